"""Plan: give every step a key. Run: make only what is not there yet. Why: what changed.

There is no graph to draw: a step takes the newest artefact of each kind it asks for in its signature. The key of a step
is the hash of its stage and version, its settings with defaults filled in, the content of the files it reads, the task,
the seed, and the keys of what it takes: same key, no work.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from burnish.core import engine
from burnish.core.artifacts import write_json
from burnish.core.errors import BurnishError, GateError, UsageError
from burnish.core.progress import Progress, Silent
from burnish.core.records import FORMAT
from burnish.core.spec import Spec, Step, dump, fill
from burnish.core.stage import ROOMS, Context, Need, nearest
from burnish.core.store import Store
from burnish.core.tasktypes import task_files

# where a room's artefacts are linked in a run folder, and files that get the name people look for
SHOWN_AS = {"train": "model", "compress": "deploy", "evaluate": "evaluation"}
MADE_AS = {"Pretrained": "backbone"}  # kinds that lie in a folder of their own, beside what their room makes else
KEYS_FILE = ".keys.json"  # beside the links: which steps they come from
RENAMED = {("construct", "aggregate", "facts.json"): "labellers.json"}


@dataclass(frozen=True)
class Planned:
    """A step with its key. takes: keys of its inputs by parameter (one, several, or none). inputs: setting -> content."""

    step: Step
    key: str
    takes: tuple[str | tuple[str, ...] | None, ...]
    settings: dict[str, Any]
    inputs: dict[str, str]
    made: bool
    seconds: float | None = None  # what it took, or would take
    counts: dict[str, Any] = field(default_factory=dict)


def plan(spec: Spec, *, to: str | None = None) -> list[Planned]:
    """Give every step its key and say which are made already; nothing is run.

    Steps whose stage makes nothing (servers, watchers) are left out: their own commands start them.
    """
    store = Store(spec.store_path)
    made: list[tuple[str, str]] = []
    planned: list[Planned] = []
    last = ROOMS.index(_room(to)) if to else len(ROOMS)
    for step in spec.steps:
        if ROOMS.index(step.room) > last or step.stage.makes is None:
            continue
        takes = tuple(_take(need, made) for need in step.stage.needs)
        settings = step.stage.filled(step.settings)
        inputs = _inputs(step, settings, spec, store)
        key = _key(step, settings, inputs, spec, takes)
        made.append((step.stage.makes, key))
        there = store.has(key)
        row = store.ledger.step(key) if there else None
        planned.append(
            Planned(step, key, takes, settings, inputs, there, row["seconds"] if row else None, store.counts(key))
        )
    return planned


def _room(name: str) -> str:
    if name not in ROOMS:
        raise UsageError(f"no room {name!r}", hint=nearest(name, ROOMS, "rooms are"))
    return name


def _take(need: Need, made: list[tuple[str, str]]) -> str | tuple[str, ...] | None:
    keys = [key for kind, key in made if kind == need.kind]
    if need.every:
        return tuple(keys)
    return keys[-1] if keys else None


def _inputs(step: Step, settings: dict[str, Any], spec: Spec, store: Store) -> dict[str, Any]:
    """What the settings that point outside the spec point at: file contents and weights."""
    found: dict[str, Any] = {}
    for name, setting in step.stage.settings.items():
        value = settings[name]
        if value is None:
            continue
        try:
            if setting.is_path and not isinstance(value, int | float):
                found[name] = store.digest(spec.base / value)
            elif setting.family:
                found[name] = setting.family.identity(value, lambda path: store.digest(spec.base / path))
            elif identity := setting.identity(value, spec.task):
                found[name] = identity
        except BurnishError as error:
            where = f"{spec.path}:{step.line}"
            raise type(error)(f"{step.address}.{name}: {error.message}", where=where, hint=error.hint) from error
    if step.stage.makes == "Model":  # what stands beside a model may come from a file that the task section names
        found |= {f"task.{name}": store.digest(spec.base / path) for name, path in task_files(spec.task).items()}
    return found


def _key(step: Step, settings: dict[str, Any], inputs: dict[str, str], spec: Spec, takes: Iterable[Any]) -> str:
    own = {name: inputs.get(name, value) for name, value in settings.items()}
    own |= {name: digest for name, digest in inputs.items() if name.startswith("task.")}
    parts = [FORMAT, step.room, step.use, step.stage.version, own, spec.task.plain(), spec.seed, list(takes)]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run(
    spec: Spec,
    *,
    to: str | None = None,
    again_from: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Walk the rooms; return the run folder. Killed half way, the next run goes on where this one stopped.

    to: the last room to walk. again_from: make this room and all behind it again, made or not.
    """
    progress = progress or Silent()
    engine.begin(spec.engine)
    if engine.follows(spec.engine):
        engine.follow()
        return spec.run_path
    store = Store(spec.store_path)
    steps = plan(spec, to=to)
    record = _RunRecord(spec, store, steps)
    first = ROOMS.index(_room(again_from)) if again_from else len(ROOMS)
    status = "failed"
    try:
        for position, planned in enumerate(steps):
            again = ROOMS.index(planned.step.room) >= first
            record.step(position, "running")
            began = time.time()
            try:
                made = _make(planned, spec, store, progress, again)
            except GateError:
                record.step(position, "refused", seconds=time.time() - began)
                status = "refused"
                raise
            except BaseException:
                record.step(position, "failed", seconds=time.time() - began)
                raise
            row = store.ledger.step(planned.key) or {}
            record.step(position, "made" if made else "kept", seconds=row.get("seconds") or 0.0)
            _say(planned, made, store, row.get("seconds") or 0.0, progress)
        status = "done"
    finally:
        record.finish(status)
        engine.dismiss(spec.engine)
    return spec.run_path


def _make(planned: Planned, spec: Spec, store: Store, progress: Progress, again: bool) -> bool:
    """Make one step unless it is there. Returns whether work was done."""
    step = planned.step
    if store.has(planned.key) and not again:
        _warn_of_changed_source(planned, store, progress)
        return False
    waiting = lambda: progress.tell(f"  waiting: another run is making {step.address}")  # noqa: E731
    with store.lock(planned.key, waiting):
        if store.has(planned.key) and not again:  # the other run made it meanwhile
            return False
        store.sweep(planned.key)
        began = time.time()
        scratch = store.scratch(planned.key)
        job = engine.Job(planned, spec, again, isinstance(progress, Silent))
        if step.stage.distributed and engine.many(spec.engine):
            counts = engine.launch(job, scratch)
        else:
            counts = perform(job, progress)
        shutil.rmtree(scratch, ignore_errors=True)
        store.ledger.record_step(_row(planned, spec, time.time() - began, counts))
    return True


def perform(job: engine.Job, progress: Progress, *, rank: int = 0) -> dict[str, Any]:
    """Run one step's stage in this process, and store what it makes; return its counts.

    rank: of several processes that run it at once the first alone stores, and each of the others has its own scratch.
    """
    planned, spec = job.planned, job.spec
    step, store = planned.step, Store(spec.store_path)
    scratch = store.scratch(planned.key)
    if rank:
        scratch = scratch / f"process-{rank}"
        scratch.mkdir(exist_ok=True)
    parallel = str(spec.engine.get("parallel", "auto"))
    context = Context(
        spec.task, spec.seed, spec.base, scratch, store.cache, progress, planned.key, spec.name,
        parallel=parallel, engine=spec.engine,
    )  # fmt: skip
    taken = [_open(need, take, store, context) for need, take in zip(step.stage.needs, planned.takes, strict=True)]
    settings = {name: _absolute(step, name, value, spec) for name, value in planned.settings.items()}
    artifact = step.stage.run(*taken, **settings)
    return {} if rank else store.put(planned.key, artifact, replace=job.again)


def _open(need: Need, take: Any, store: Store, context: Context) -> Any:
    if need.kind == "Context":
        return context
    if need.every:
        return [store.open(need.kind, key) for key in take]
    return store.open(need.kind, take) if take else None


def _absolute(step: Step, name: str, value: Any, spec: Spec) -> Any:
    is_path = step.stage.settings[name].is_path and value is not None and not isinstance(value, int | float)
    return spec.base / value if is_path else value


def _row(planned: Planned, spec: Spec, seconds: float, counts: dict[str, Any]) -> dict[str, Any]:
    step = planned.step
    return {
        "key": planned.key,
        "room": step.room,
        "stage": step.use,
        "version": step.stage.version,
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in planned.settings.items()},
        "inputs": planned.inputs,
        "takes": list(planned.takes),
        "task": spec.task.plain(),
        "seed": spec.seed,
        "source_digest": step.stage.digest,
        "counts": counts,
        "seconds": round(seconds, 3),
        "made_at": time.time(),
        "versions": versions(),
        "machine": machine(),
    }


@functools.cache
def versions() -> dict[str, str]:
    """The libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in ("burnish", "torch", "transformers", "tokenizers", "numpy", "scikit-learn", "onnxruntime", "pyarrow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def machine() -> str:
    """Processor and number of cores, as a person names them."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def _warn_of_changed_source(planned: Planned, store: Store, progress: Progress) -> None:
    row = store.ledger.step(planned.key)
    if row and row["source_digest"] != planned.step.stage.digest:
        progress.tell(
            f"  warning: the code of {planned.step.address} changed and its version did not: kept what the old code made "
            f"(`burnish run --from {planned.step.room}` makes it again)"
        )


def _say(planned: Planned, made: bool, store: Store, seconds: float, progress: Progress) -> None:
    counts = {k: v for k, v in store.counts(planned.key).items() if not isinstance(v, dict | list)}
    facts = ", ".join(
        f"{_figure(v)} {k.removesuffix('s') if v == 1 else k}"
        if isinstance(v, int) and not isinstance(v, bool)
        else f"{k} {_figure(v)}"
        for k, v in counts.items()
    )
    word = f"made in {seconds:.1f} s" if made else "kept"
    progress.tell(f"{planned.step.address:<26} {word:<16} {facts}")


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class _RunRecord:
    """The run folder: run.json rewritten after every step, rooms linked into the store as they get ready."""

    def __init__(self, spec: Spec, store: Store, steps: list[Planned]) -> None:
        self.spec, self.store, self.steps = spec, store, steps
        self.folder = spec.run_path
        self.folder.mkdir(parents=True, exist_ok=True)
        text = dump(fill(spec))
        half = self.folder / f".burnish.yaml.{os.getpid()}"
        half.write_text(text, encoding="utf-8")
        os.replace(half, self.folder / "burnish.yaml")
        self._unlink_stale()
        self.id = store.ledger.begin_run(spec.name, text)
        self.began = time.time()
        self.rows: list[dict[str, Any]] = [
            {"room": p.step.room, "use": p.step.use, "key": p.key, "status": "waiting", "seconds": None, "counts": {}}
            for p in steps
        ]
        self._write("running")

    def step(self, position: int, status: str, *, seconds: float | None = None) -> None:
        planned = self.steps[position]
        counts = self.store.counts(planned.key) if status in ("made", "kept") else {}
        self.rows[position].update(
            status=status, seconds=round(seconds, 3) if seconds is not None else None, counts=counts
        )
        self.store.ledger.record_run_step(self.id, position, planned.key, status)
        if status in ("made", "kept"):
            self._link(_shown_in(planned.step), position)
        self._write("running")

    def finish(self, status: str) -> None:
        self.store.ledger.end_run(self.id, status)
        error = sys.exc_info()[1]
        if status == "failed" and error is not None and not isinstance(error, BurnishError | KeyboardInterrupt):
            (self.folder / "error.log").write_text(traceback.format_exc(), encoding="utf-8")
        self._write(status, str(error) if error is not None else None)

    def _write(self, status: str, error: str | None = None) -> None:
        content = {
            "burnish": importlib.metadata.version("burnish") if _installed() else None,
            "name": self.spec.name,
            "id": self.id,
            "spec": str(self.spec.path.resolve()),
            "status": status,
            "started": self.began,
            "finished": None if status == "running" else time.time(),
            "seconds": round(time.time() - self.began, 3),
            "task": self.spec.task.plain(),
            "steps": self.rows,
        }
        write_json(self.folder / "run.json", content | ({"error": error} if error else {}))

    def _unlink_stale(self) -> None:
        """Take away rooms that another version of this spec filled: an old judgement must not stand beside new data."""
        planned = plan(self.spec)
        for place in {SHOWN_AS.get(room, room) for room in ROOMS} | set(MADE_AS.values()):
            shown = self.folder / place
            linked = shown / KEYS_FILE
            keys = [one.key for one in planned if _shown_in(one.step) == place]
            if shown.is_dir() and (not linked.is_file() or json.loads(linked.read_text("utf-8")) != keys):
                shutil.rmtree(shown)

    def _link(self, place: str, upto: int) -> None:
        """Show the newest files of a folder under their contract names; links, so that nothing is stored twice."""
        new = self.folder / f".{place}.{os.getpid()}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        names: dict[str, Path] = {}
        there = [planned for planned in self.steps[: upto + 1] if _shown_in(planned.step) == place]
        for planned in there:
            for file in self.store.folder(planned.key).iterdir():
                names[_shown_name(planned.step, file.name)] = file
        names.pop("counts.json", None)
        (new / KEYS_FILE).write_text(json.dumps([planned.key for planned in there]), encoding="utf-8")
        for name, file in names.items():
            (new / name).symlink_to(os.path.relpath(file.resolve(), self.folder / place))
        target = self.folder / place
        if target.exists():
            old = self.folder / f".{place}.old.{os.getpid()}"
            os.replace(target, old)
            os.replace(new, target)
            shutil.rmtree(old)
        else:
            os.replace(new, target)
        if "quarantine.jsonl" in names:
            link = self.folder / "quarantine.jsonl"
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(names["quarantine.jsonl"].resolve(), self.folder))


def _shown_in(step: Step) -> str:
    """The folder of a run in which what a step makes is shown."""
    return MADE_AS.get(step.stage.makes or "") or SHOWN_AS.get(step.room, step.room)


def _shown_name(step: Step, name: str) -> str:
    """Two reports or two facts of one room must not hide each other: all but `report` carry their stage's name."""
    renamed = RENAMED.get((step.room, step.use, name))
    if renamed:
        return renamed
    if name == "quarantine.jsonl" and step.room == "construct":  # of a maker: it must not hide that of the sources
        return f"{step.use}.quarantine.jsonl"
    if name == "facts.json":
        return f"{step.use}.json" if step.use != "report" else "facts.json"
    if name in ("report.json", "report.html") and step.use != "report" and step.stage.makes == "Report":
        return f"{step.use}{Path(name).suffix}"
    return name


def _installed() -> bool:
    try:
        importlib.metadata.version("burnish")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@dataclass(frozen=True)
class Reason:
    """Why a step is kept or would be made, in words."""

    address: str
    key: str
    kept: bool
    because: list[str]


def why(spec: Spec) -> list[Reason]:
    """For every step: kept, or what changed since the last run of this name."""
    store = Store(spec.store_path)
    before = [store.ledger.step(key) for key in store.ledger.last_keys(spec.name)]
    known = [row for row in before if row]
    reasons: list[Reason] = []
    seen: dict[tuple[str, str], int] = {}
    changed: set[str] = set()
    for planned in plan(spec):
        place = (planned.step.room, planned.step.use)
        nth = seen[place] = seen.get(place, -1) + 1
        rows = [row for row in known if (row["room"], row["stage"]) == place]
        old = rows[nth] if nth < len(rows) else None
        because = (
            ["it is made and nothing it depends on changed"]
            if planned.made
            else _differences(planned, old, spec, changed)
        )
        if not planned.made:
            changed.add(planned.key)
        reasons.append(Reason(planned.step.address, planned.key, planned.made, because))
    return reasons


def _differences(planned: Planned, old: dict[str, Any] | None, spec: Spec, changed: set[str]) -> list[str]:
    if old is None:
        return ["it was never made"]
    said: list[str] = []
    now = {k: str(v) if isinstance(v, Path) else v for k, v in planned.settings.items()}
    was = old["settings"]
    for name in now.keys() | was.keys():
        if json.dumps(now.get(name), default=str) != json.dumps(was.get(name), default=str):
            said.append(f"{name}: {was.get(name)!r} -> {now.get(name)!r}")
    said += [
        f"the content of {name} changed"
        for name, digest in planned.inputs.items()
        if old["inputs"].get(name) not in (None, digest)
    ]
    if old["version"] != planned.step.stage.version:
        said.append(f"stage version {old['version']} -> {planned.step.stage.version}")
    if old["seed"] != spec.seed:
        said.append(f"seed {old['seed']} -> {spec.seed}")
    if old["task"] != json.loads(json.dumps(spec.task.plain())):
        said.append("the task section changed")
    taken = [key for take in planned.takes if take for key in (take if isinstance(take, tuple) else (take,))]
    if set(taken) & changed:
        said.append("what it takes is made anew")
    return sorted(said) or ["its artefact is no longer in the store"]


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a run folder. UsageError when the folder is none."""
    path = folder / "run.json"
    if not path.is_file():
        raise UsageError(f"{folder} is no run folder (it has no run.json)", hint="`burnish runs` lists runs")
    return dict(json.loads(path.read_text("utf-8")))


def filled_spec(folder: Path) -> dict[str, Any]:
    """The filled spec that a run was made with."""
    return dict(yaml.safe_load((folder / "burnish.yaml").read_text("utf-8")))
