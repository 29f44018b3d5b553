"""One file says it all: sections are rooms, in the order the data walks through them.

`load` reads a spec and checks everything that can be checked without running it; every mistake is reported at once,
each with its line and what would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from burnish.core.engine import ENGINES
from burnish.core.engine import SETTINGS as ENGINE_SETTINGS
from burnish.core.engine import problems as engine_problems
from burnish.core.errors import BurnishError, Problem, SpecError, UsageError
from burnish.core.stage import ROOMS, Stage, TaskSpec, closing_stage, find, nearest, read_labels

FORMAT = 1
SECTIONS = ("burnish", "name", "seed", "task", *ROOMS, "engine", "store")
MAX_BYTES = 1_000_000
MAX_NODES = 100_000
DEFAULT_USE = {"gold": "file"}


@dataclass(frozen=True)
class Step:
    """One stage with its settings, as the spec asks for it. line: 0 when burnish added it (a closing stage)."""

    room: str
    use: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0

    @property
    def stage(self) -> Stage:
        return find(self.room, self.use)

    @property
    def address(self) -> str:
        return f"{self.room}.{self.use}"


@dataclass(frozen=True)
class Spec:
    """A checked spec. base: the folder that relative paths start from."""

    path: Path
    name: str
    task: TaskSpec
    seed: int = 0
    steps: tuple[Step, ...] = ()
    store: Path = Path("runs")
    engine: Mapping[str, Any] = field(default_factory=lambda: {"use": "local"})

    @property
    def base(self) -> Path:
        return self.path.parent.resolve()

    @property
    def store_path(self) -> Path:
        return self.base / self.store

    @property
    def run_path(self) -> Path:
        return self.store_path / self.name


class _Source:
    """YAML with the line of every key and item, addressed by the tuple of keys that leads there."""

    def __init__(self, text: str, file: str) -> None:
        self.lines: dict[tuple[Any, ...], int] = {}
        self.problems: list[Problem] = []
        self._nodes = 0
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None:
                self._walk(node, ())
            self.data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or str(error)
            raise SpecError(file, [Problem(mark.line + 1 if mark else 1, f"not YAML: {said}")]) from error
        if not isinstance(self.data, dict):
            raise SpecError(file, [Problem(1, "a spec is a mapping of sections", "start from `burnish init`")])

    def _walk(self, node: yaml.Node, path: tuple[Any, ...]) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise yaml.YAMLError("too many nodes: aliases that multiply are refused")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    self.problems.append(Problem(key.start_mark.line + 1, f"{key.value!r} is written twice"))
                seen.add(key.value)
                self.lines[(*path, key.value)] = key.start_mark.line + 1
                self._walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for position, value in enumerate(node.value):
                self._walk(value, (*path, position))

    def line(self, *path: Any) -> int:
        """The line of a place, or of the nearest one above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load(path: str | Path, *, overrides: Sequence[str] = (), seed: int | None = None, limit: int | None = None) -> Spec:
    """Read and check a spec. Raises SpecError with every problem and its line.

    overrides: `room.stage.key=value` (`room.stage[1].key=value` for the second of that name; `seed=`, `name=`,
    `task.key=`, `store.path=`), the value read as YAML. limit: at most this many records of every source.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no spec at {path}", hint="`burnish init DATA` writes one")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES:,} bytes: not a spec")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(str(path), [Problem(1, f"not UTF-8 (byte {error.start})", "save the file as UTF-8")]) from error
    source = _Source(text, str(path))
    _override(source, overrides)
    if seed is not None:
        source.data["seed"] = seed
    problems = source.problems
    for section in source.data:
        if section not in SECTIONS:
            hint = nearest(str(section), SECTIONS, "sections are")
            problems.append(Problem(source.line(section), f"unknown section {section!r}", hint))
    name = _name(source, path, problems)
    task = replace(_task(source, problems, path.parent.resolve()), run=name)
    steps = _steps(source, task, problems)
    if limit is not None:
        steps = [
            replace(s, settings={**s.settings, "limit": limit}) if s.room == "sources" and s.line else s for s in steps
        ]
    checked_seed = source.data.get("seed", 0)
    if not isinstance(checked_seed, int) or isinstance(checked_seed, bool) or checked_seed < 0:
        problems.append(Problem(source.line("seed"), f"seed must be a whole number from 0, got {checked_seed!r}"))
    if problems:
        raise SpecError(str(path), problems)
    store = (source.data.get("store") or {}).get("path", "runs")
    return Spec(
        path, name, task, checked_seed, tuple(steps), Path(store), source.data.get("engine") or {"use": "local"}
    )


def _name(source: _Source, path: Path, problems: list[Problem]) -> str:
    version = source.data.get("burnish", FORMAT)
    if version != FORMAT:
        problems.append(
            Problem(source.line("burnish"), f"burnish: {version!r} is a format this version cannot read", "burnish: 1")
        )
    fallback = path.stem if path.stem != "burnish" else path.resolve().parent.name
    name = source.data.get("name", re.sub(r"[^\w.-]", "-", fallback) or "run")
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{0,99}", name):
        problems.append(
            Problem(source.line("name"), f"name {name!r} must be letters, digits, - _ . (it names a folder)")
        )
    for section, keys in (("store", ("path",)), ("engine", ENGINE_SETTINGS)):
        given = source.data.get(section) or {}
        if not isinstance(given, dict):
            problems.append(Problem(source.line(section), f"{section} must be a mapping, got {given!r}"))
            source.data[section] = None
            continue
        for key in given.keys() - set(keys):
            problems.append(
                Problem(
                    source.line(section, key), f"{section} has no setting {key!r}", nearest(key, keys, f"{section} has")
                )
            )
    if not isinstance((source.data.get("store") or {}).get("path", ""), str):
        problems.append(Problem(source.line("store", "path"), "store.path must be a folder name"))
    engine = source.data.get("engine") or {}
    use = engine.get("use", "local")
    if use not in ENGINES:
        problems.append(Problem(source.line("engine"), f"no engine {use!r}", nearest(str(use), ENGINES, "engines are")))
    else:
        problems += [Problem(source.line("engine", key), *said) for key, *said in engine_problems(engine)]
    return str(name)


def _task(source: _Source, problems: list[Problem], base: Path) -> TaskSpec:
    """The task section. What a task type asks beyond it, the task's own file checks (`burnish.tasks`)."""
    from burnish.core.tasktypes import known_types, option_problems

    given = source.data.get("task")
    line = source.line("task")
    if isinstance(given, str):
        given = {"type": given}
    if _learns_text_alone(source) and (given is None or (isinstance(given, dict) and set(given) == {"languages"})):
        given = {"type": "classification", "labels": [], **(given or {})}  # no label is asked for
    if not isinstance(given, dict):
        problems.append(
            Problem(line, "the spec needs a task", "task: {type: classification, labels: [a, b], languages: [en]}")
        )
        return TaskSpec()
    kind = given.get("type")
    if kind not in known_types():
        problems.append(
            Problem(
                source.line("task", "type"),
                f"unknown task type {kind!r}",
                nearest(str(kind), known_types(), "types are"),
            )
        )
        return TaskSpec()
    labels, descriptions = _labels(source, given, problems)
    languages = given.get("languages", ["en"])
    languages = [languages] if isinstance(languages, str) else languages
    if (
        not isinstance(languages, list)
        or not languages
        or not all(isinstance(x, str) and re.fullmatch("[a-z]{2,3}", x) for x in languages)
    ):
        problems.append(
            Problem(source.line("task", "languages"), f"languages must be codes like [en, zh], got {languages!r}")
        )
        languages = ["en"]
    options = {k: v for k, v in given.items() if k not in ("type", "labels", "languages")}
    task = TaskSpec(kind, tuple(labels), descriptions, tuple(languages), options, base)
    if _learns_text_alone(source) and not labels:
        return task
    for key, message, hint in option_problems(task):
        problems.append(Problem(source.line("task", key), message, hint))
    return task


def _learns_text_alone(source: _Source) -> bool:
    """Whether the spec ends with a backbone, which needs no task: sources, what sorts them, and `pretrain`."""
    train = source.data.get("train")
    steps = train if isinstance(train, list) else [train]
    uses = {step.get("use") if isinstance(step, dict) else step for step in steps}
    return uses == {"pretrain"} and not {"construct", "review", "split", "compress", "evaluate"} & set(source.data)


def _labels(source: _Source, given: Mapping[str, Any], problems: list[Problem]) -> tuple[list[str], dict[str, str]]:
    """Labels as text, with descriptions where they are {name: description}."""
    labels, descriptions, wrong = read_labels(given.get("labels", []))
    for position, message, hint in wrong:
        place = ("task", "labels") if position is None else ("task", "labels", position)
        problems.append(Problem(source.line(*place), message, hint))
    return labels, descriptions


def _steps(source: _Source, task: TaskSpec, problems: list[Problem]) -> list[Step]:
    steps: list[Step] = []
    for room in ROOMS:
        if source.data.get(room) is None:
            continue
        section = source.data[room]
        items = section if isinstance(section, list) else [section]
        in_room: list[Step] = []
        for position, item in enumerate(items):
            place = (room, position) if isinstance(section, list) else (room,)
            step = _step(source, room, item, place, task, problems)
            if step:
                in_room.append(step)
        closing = closing_stage(room) if in_room else None
        if closing and not any(step.use == closing.name for step in in_room):
            in_room.insert(_closing_place(in_room, closing), Step(room, closing.name))
        steps += in_room
    if "sources" not in source.data:
        problems.append(Problem(1, "the spec needs sources", "sources: [{use: jsonl, path: raw/*.jsonl}]"))
    if len(steps) == len([step for step in steps if not step.line]) + _written(
        source
    ):  # else one wrong name tells twice
        _check_flow(source, steps, problems)
    return steps


def _written(source: _Source) -> int:
    """How many steps the file asks for."""
    sections = [source.data[room] for room in ROOMS if source.data.get(room) is not None]
    return sum(len(section) if isinstance(section, list) else 1 for section in sections)


def _closing_place(steps: list[Step], closing: Stage) -> int:
    """Behind the last step that makes what the closing stage gathers; at the end where it gathers nothing."""
    gathered = {need.kind for need in closing.needs if need.every}
    makers = [at for at, step in enumerate(steps) if step.stage.makes in gathered]
    return makers[-1] + 1 if makers else len(steps)


def _step(
    source: _Source, room: str, item: Any, place: tuple[Any, ...], task: TaskSpec, problems: list[Problem]
) -> Step | None:
    line = source.line(*place)
    if isinstance(item, str):
        item = {"use": item}
    if not isinstance(item, dict):
        problems.append(Problem(line, f"{room}: a step is a name or a mapping with `use`, got {item!r}"))
        return None
    use = item.get("use", DEFAULT_USE.get(room))
    if not isinstance(use, str):
        problems.append(Problem(line, f"{room}: say which stage to use", f"`burnish stages {room}` lists them"))
        return None
    try:
        stage = find(room, use)
    except KeyError as error:
        message, _, hint = str(error.args[0]).partition(" (")
        problems.append(Problem(source.line(*place, "use"), message, hint.rstrip(")")))
        return None
    settings: dict[str, Any] = {}
    before = len(problems)
    for written, value in item.items():
        key = stage.aliases.get(written, written)
        if key == "use":
            continue
        if key != written and key in item:
            problems.append(Problem(source.line(*place, written), f"{written!r} is another name of {key!r}: give one"))
            continue
        if key not in stage.settings:
            hint = stage.gone.get(key) or nearest(str(key), stage.settings, f"{stage.address} has")
            problems.append(Problem(source.line(*place, written), f"{stage.address} has no setting {key!r}", hint))
            continue
        checked, wrong = stage.settings[key].check(value)
        if wrong:
            problems.append(
                Problem(source.line(*place, written), f"{stage.address}.{key}: {wrong}", stage.settings[key].about)
            )
        settings[key] = checked
    for name, setting in stage.settings.items():
        if setting.required and name not in settings:
            problems.append(Problem(line, f"{stage.address} needs {name!r}", setting.about))
    if stage.check and len(problems) == before:
        for key, message, hint in stage.check(stage.filled(settings), task):
            name = stage.address if key == "use" else f"{stage.address}.{key}"
            problems.append(Problem(source.line(*place, key), f"{name}: {message}", hint))
    return Step(room, use, settings, line)


def _check_flow(source: _Source, steps: Iterable[Step], problems: list[Problem]) -> None:
    """Every step must find what it takes among what is made before it."""
    made: set[str] = set()
    for step in steps:
        for need in step.stage.needs:
            if need.kind not in made | {"Context"} and not need.optional and not need.every:
                message = f"{step.address} needs {need.kind}, and nothing before it makes one"
                problems.append(Problem(step.line or source.line(step.room), message, _maker_hint(need.kind)))
        if step.stage.makes:
            made.add(step.stage.makes)


def _maker_hint(kind: str) -> str:
    rooms = {
        "Records": "sources",
        "Votes": "construct",
        "Split": "split",
        "Model": "train",
        "Gold": "gold",
        "Report": "evaluate",
    }
    return f"add a `{rooms[kind]}` section" if kind in rooms else ""


_OVERRIDE = re.compile(r"(?P<room>\w+)\.(?P<use>\w+)(?:\[(?P<index>\d+)\])?\.(?P<key>\w+)")


def _override(source: _Source, overrides: Sequence[str]) -> None:
    """Put `--set` values into the data before it is checked, so that both speak with one voice."""
    for text in overrides:
        address, equals, raw = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: it needs `=`", hint="--set train.tune.epochs=3")
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text}: the value is not YAML", hint="quote it") from error
        if address in ("seed", "name"):
            source.data[address] = value
        elif re.fullmatch(r"(task|store|engine)\.\w+", address):
            section, key = address.split(".")
            source.data[section] = {**(source.data.get(section) or {}), key: value}
            if address == "engine.use" and value != "ray":
                source.data[section].pop("address", None)  # of the engine that was written, not of this one
        elif matched := _OVERRIDE.fullmatch(address):
            _override_step(source, matched, value, text)
        else:
            raise UsageError(f"--set {text}: no such place", hint="room.stage.key=value, as in train.tune.epochs=3")


def _override_step(source: _Source, matched: re.Match[str], value: Any, text: str) -> None:
    room, use, index = matched["room"], matched["use"], int(matched["index"] or 0)
    section = source.data.get(room) if room in ROOMS else None
    items = section if isinstance(section, list) else [section] if section else []
    items = [{"use": item} if isinstance(item, str) else item for item in items]
    mine = [item for item in items if isinstance(item, dict) and item.get("use", DEFAULT_USE.get(room)) == use]
    if index >= len(mine):
        have = [f"{room}.{item.get('use', DEFAULT_USE.get(room))}" for item in items if isinstance(item, dict)]
        raise UsageError(
            f"--set {text}: the spec has no {room}.{use}", hint=nearest(f"{room}.{use}", have, f"{room} has")
        )
    aliases = find(room, use).aliases
    key = aliases.get(matched["key"], matched["key"])
    for written in [one for one in mine[index] if aliases.get(one, one) == key]:
        del mine[index][written]
    mine[index][key] = value
    source.data[room] = items if isinstance(section, list) else items[0]


def fill(spec: Spec) -> dict[str, Any]:
    """The spec with every default written out; loading it again gives the same keys."""
    sections: dict[str, Any] = {
        "burnish": FORMAT,
        "name": spec.name,
        "seed": spec.seed,
        "task": _task_plain(spec.task),
    }
    for step in spec.steps:
        settings = {key: _yaml_value(value) for key, value in step.stage.filled(step.settings).items()}
        sections.setdefault(step.room, []).append({"use": step.use, **settings})
    sections["engine"] = dict(spec.engine)
    sections["store"] = {"path": str(spec.store)}
    return sections


def _task_plain(task: TaskSpec) -> dict[str, Any]:
    labels = [{name: task.descriptions[name]} if name in task.descriptions else name for name in task.labels]
    return {"type": task.type, "labels": labels, "languages": list(task.languages), **dict(task.options)}


def _yaml_value(value: Any) -> Any:
    """Plain YAML values only: paths and string subclasses become text, tuples lists."""
    if isinstance(value, Path | str):
        return str(value)
    if isinstance(value, tuple | list):
        return [_yaml_value(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _yaml_value(one) for key, one in value.items()}
    return value


def dump(sections: Mapping[str, Any]) -> str:
    """YAML as people write it: in order, Chinese readable, short lists on one line."""
    text: str = yaml.safe_dump(dict(sections), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return text


def expand(path: Path) -> list[Path]:
    """The files a path setting names: itself, the files of a folder, or what a glob matches, sorted.

    Braces in the name are alternatives: *.{md,pdf}.
    """
    if (braces := re.search(r"\{([^{}]*)\}", path.name)) and not path.exists():
        names = [path.name[: braces.start()] + one + path.name[braces.end() :] for one in braces[1].split(",")]
        return sorted({file for name in names for file in expand(path.with_name(name))})
    if any(sign in path.name or any(sign in part for part in path.parts) for sign in "*?["):
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(anchor))
        return sorted(one for one in anchor.glob(pattern) if one.is_file())
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    if not path.exists():
        raise BurnishError(f"no file {path}", hint="paths start from the spec's folder")
    return [path]
