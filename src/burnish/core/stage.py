"""A stage is a plain function; its keyword arguments are its spec keys, flags, help, docs and cache key.

    @stage("quality.duplicates")
    def duplicates(records: Records, context: Context, *, threshold: Share = 0.8) -> Records:

Positional parameters, by type, are what it takes:
  Records, Gold, Votes, Split, Model, Report   the newest of that kind made before it
  Gold | None                                  the same, or None when nothing made one
  list[Votes]                                  all of that kind made before it, oldest first
  Context                                      task, seed, folders and progress of this run
The return type is what it makes. Keyword-only parameters are its settings; a setting annotated `Path` is an input file,
resolved from the spec's folder and hashed by content; an annotation with `identify(value, languages)` (a backbone name), or
with `identify_for(value, task)`, goes into the key as what that returns.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import itertools
import pkgutil
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le

from burnish.core.progress import Progress

ROOMS = (
    "sources",
    "gold",
    "construct",
    "quality",
    "review",
    "split",
    "train",
    "compress",
    "evaluate",
    "serve",
    "monitor",
)

Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Gt(0)]


@dataclass(frozen=True)
class TaskSpec:
    """The `task` section: its type, its labels with what they mean, its languages, and what else the task knows."""

    type: str = "classification"
    labels: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ("en",)
    options: Mapping[str, Any] = field(default_factory=dict)
    base: Path | None = field(default=None, compare=False)  # the spec's folder; a model's card has none
    run: str = field(default="", compare=False)  # the spec's name: files beside it are called after it

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "type": self.type,
            "labels": list(self.labels),
            "descriptions": dict(self.descriptions),
            "languages": list(self.languages),
            **dict(self.options),
        }


def read_labels(raw: Any) -> tuple[list[str], dict[str, str], list[tuple[int | None, str, str]]]:
    """Labels as a spec writes them, [name, {name: description}] or {name: description}: names, descriptions, and
    (position, message, hint) for what is wrong; position None is the whole."""
    pairs = list(raw.items()) if isinstance(raw, dict) else []
    for item in raw if isinstance(raw, list) else []:
        pairs += list(item.items()) if isinstance(item, dict) else [(item, None)]
    wrong: list[tuple[int | None, str, str]] = []
    if not isinstance(raw, list | dict):
        wrong.append((None, f"labels must be a list, got {raw!r}", ""))
    labels: list[str] = []
    descriptions: dict[str, str] = {}
    for position, (name, description) in enumerate(pairs):
        if isinstance(name, bool) or name is None:
            wrong.append((position, f"YAML reads this label as {name!r}, not as text", "put it in quotes"))
        elif str(name) in labels:
            wrong.append((position, f"label {name!r} is named twice", ""))
        else:
            labels.append(str(name))
            if description is not None:
                descriptions[str(name)] = str(description)
    return labels, descriptions, wrong


@dataclass(frozen=True)
class Context:
    """What a step may know about the run it is part of.

    base: the spec's folder. scratch: a folder of this step alone that survives a kill and goes when the step is done.
    cache: a folder for what can be made again, shared by the steps of a store. key: of the artefact being made. name: of the
    run.
    looked: told of every look that training takes at the validation side (`nn.loop.fit`); a search listens.
    """

    task: TaskSpec
    seed: int
    base: Path
    scratch: Path
    cache: Path
    progress: Progress
    key: str = ""
    name: str = "run"
    looked: Callable[[Any], None] | None = None
    parallel: str = "auto"  # how the processes of a distributed stage share a network (`core.engine`)
    engine: Mapping[str, Any] = field(
        default_factory=dict
    )  # where the batches of a data stage are worked on (`core.spread`)


@dataclass(frozen=True)
class Need:
    """One positional parameter: a kind of artefact (or "Context"), how many, and whether it may be absent."""

    kind: str
    every: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Setting:
    """One keyword-only parameter."""

    name: str
    annotation: Any
    default: Any
    about: str

    EMPTY: ClassVar[Any] = inspect.Parameter.empty  # the default of one that must be given

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def is_path(self) -> bool:
        return Path in (self.annotation, *typing.get_args(self.annotation))

    @functools.cached_property
    def _adapter(self) -> Any:
        import pydantic

        return pydantic.TypeAdapter(str if hasattr(self.annotation, "identify") else self.annotation)

    @property
    def family(self) -> Any:
        """The parts it may name (`core.parts.Family`), or None."""
        return next((one for one in getattr(self.annotation, "__metadata__", ()) if hasattr(one, "parts")), None)

    def identity(self, value: Any, task: TaskSpec) -> Any:
        """What goes into the key for this value; None when the annotation has no say."""
        for annotation in (self.annotation, *typing.get_args(self.annotation)):
            if hasattr(annotation, "identify_for"):
                return annotation.identify_for(value, task)
            if hasattr(annotation, "identify"):
                return annotation.identify(value, task.languages)
        return None

    def check(self, value: Any) -> tuple[Any, str]:
        """The value as its type, or a sentence that says what it must be."""
        import pydantic

        try:
            return self._adapter.validate_python(value, strict=False), ""
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            shown = getattr(self.family, "shown", repr)  # a value may hold what no message may repeat
            return None, f"{first['msg'][0].lower()}{first['msg'][1:]}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        made: dict[str, Any] = self._adapter.json_schema()
        made["description"] = self.about
        if not self.required:
            made["default"] = str(self.default) if isinstance(self.default, Path | str) else self.default
        return made


@dataclass(frozen=True)
class Stage:
    """A registered function. version: bump it when the same input may give another output.

    closing: it ends its room and is added when the spec does not name it. cost, estimate, distributed: see `stage`.
    """

    room: str
    name: str
    version: int
    run: Callable[..., Any]
    closing: bool = False
    cost: Callable[..., Any] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    gone: Mapping[str, str] = field(default_factory=dict, hash=False)
    check: Callable[[Mapping[str, Any], TaskSpec], list[tuple[str, str, str]]] | None = None
    distributed: bool = False
    estimate: Callable[..., Any] | None = None

    @property
    def address(self) -> str:
        return f"{self.room}.{self.name}"

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.run, include_extras=True)

    @functools.cached_property
    def needs(self) -> tuple[Need, ...]:
        """What it takes, in order."""
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.run).parameters.values()
        return tuple(_need(self.hints[p.name]) for p in parameters if p.kind in positional)

    @functools.cached_property
    def makes(self) -> str | None:
        """The kind it makes; None for a stage that does not end by itself (a server)."""
        made = self.hints.get("return")
        return None if made in (None, type(None)) else made.__name__

    @functools.cached_property
    def settings(self) -> dict[str, Setting]:
        parameters = inspect.signature(self.run).parameters.values()
        about = self._about()
        return {
            p.name: Setting(p.name, self.hints[p.name], p.default, about.get(p.name, ""))
            for p in parameters
            if p.kind is p.KEYWORD_ONLY
        }

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.run) or ""

    @property
    def summary(self) -> str:
        return self.doc.split("\n", 1)[0]

    @property
    def digest(self) -> str:
        """Of the function's own source: a changed digest with an unchanged version warns."""
        return hashlib.sha256(inspect.getsource(self.run).encode()).hexdigest()[:16]

    def _about(self) -> dict[str, str]:
        names = [n for n, p in inspect.signature(self.run).parameters.items() if p.kind is p.KEYWORD_ONLY]
        return sentences(self.doc, names)

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with defaults filled in; `given` was checked."""
        return {name: given.get(name, setting.default) for name, setting in self.settings.items()}


def sentences(doc: str, names: Sequence[str]) -> dict[str, str]:
    """Setting -> its sentence in a docstring, from `name: meaning`, up to the next name or blank line."""
    if not names:
        return {}
    pattern = re.compile(rf"(?:(?<=\s)|^)({'|'.join(map(re.escape, names))}):\s+", re.MULTILINE)
    found: dict[str, str] = {}
    for paragraph in doc.split("\n\n"):
        marks = list(pattern.finditer(paragraph))
        for mark, following in itertools.zip_longest(marks, marks[1:]):
            text = paragraph[mark.end() : following.start() if following else None]
            found.setdefault(mark[1], " ".join(text.split()))
    return found


def _need(hint: Any) -> Need:
    if typing.get_origin(hint) is list:
        return Need(typing.get_args(hint)[0].__name__, every=True)
    inner = [one for one in typing.get_args(hint) if one is not type(None)]
    if inner:
        return Need(inner[0].__name__, optional=True)
    return Need(hint.__name__)


_STAGES: dict[tuple[str, str], Stage] = {}


def stage(
    address: str,
    *,
    version: int = 1,
    closing: bool = False,
    cost: Callable[..., Any] | None = None,
    aliases: Mapping[str, str] | None = None,
    gone: Mapping[str, str] | None = None,
    check: Callable[[Mapping[str, Any], TaskSpec], list[tuple[str, str, str]]] | None = None,
    distributed: bool = False,
    estimate: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as `room.name`.

    closing: the stage ends its room and is added when the spec does not name it (sources.collect, construct.aggregate).
    cost: `cost(records, tokens, settings) -> seconds` on two cores, for `burnish plan`; settings is a dict.
    aliases: names that users know from elsewhere -> ours; both in one step is a mistake.
    gone: names of settings that were once here -> what to write instead.
    estimate: `estimate(records, tokens, settings, task)` gives seconds, bytes and basis (attributes), or None where it cannot
    tell; it is asked before `cost`.
    distributed: it may run in several processes at once that train together; all but the first one's artefact is dropped.
    check: `check(settings, task)` gives (key, message, hint) for mistakes that types cannot tell, before anything runs.
    """
    room, name = address.split(".", 1)
    assert room in ROOMS, f"{address}: rooms are {ROOMS}"

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _STAGES[room, name] = Stage(
            room, name, version, function, closing, cost, aliases or {}, gone or {}, check, distributed, estimate
        )
        return function

    return register


@functools.cache
def open_room(room: str) -> None:
    """Import a room, so that its stages are known; other people's by the entry point group `burnish.stages`."""
    try:
        module = importlib.import_module(f"burnish.{room}")
    except ModuleNotFoundError as error:
        if error.name != f"burnish.{room}":
            raise
    else:
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"burnish.{room}."):
            if "._" not in found.name:  # a page and its server hold no stage, and wake much
                importlib.import_module(found.name)
    _open_plugins()


@functools.cache
def _open_plugins() -> None:
    for point in importlib.metadata.entry_points(group="burnish.stages"):
        point.load()


def stages(room: str | None = None) -> list[Stage]:
    """All stages, or those of a room, in the order rooms are walked."""
    for one in ROOMS if room is None else (room,):
        open_room(one)
    found = [s for s in _STAGES.values() if room in (None, s.room)]
    return sorted(found, key=lambda s: (ROOMS.index(s.room), s.name))


def find(room: str, name: str) -> Stage:
    """Look a stage up, importing only its room. KeyError with the nearest name when there is none."""
    open_room(room)
    if (room, name) in _STAGES:
        return _STAGES[room, name]
    names = [s.name for s in stages(room)]
    if not names:
        raise KeyError(f"{room} has no stages here")
    raise KeyError(f"no stage {room}.{name} ({nearest(name, names, f'{room} has')})")


def closing_stage(room: str) -> Stage | None:
    return next((s for s in stages(room) if s.closing), None)


def nearest(name: str, names: typing.Iterable[str], otherwise: str) -> str:
    """The hint for a name nobody knows: the nearest one, or all of them."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{otherwise}: {', '.join(names) or 'none'}"
