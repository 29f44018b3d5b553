"""`burnish review`: a run's records, put before people on a local page."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.errors import UsageError
from burnish.core.pipeline import filled_spec, read_run
from burnish.core.progress import Progress, Silent
from burnish.core.stage import Context, TaskSpec, find
from burnish.core.tasktypes import open_task

BEFORE = ("quality", "construct", "sources")  # rooms whose records are shown: as they were before people changed them


def task_of(folder: Path) -> TaskSpec:
    """The task of a run, as its run.json tells it."""
    from burnish.tasks.predictor import task_spec

    run = read_run(folder)
    return replace(task_spec(run["task"]), base=Path(run["spec"]).parent, run=run["name"])


def records_of(folder: Path) -> Path:
    """The file of the records that people look at."""
    for room in BEFORE:
        path = folder / room / "records.parquet"
        if path.exists():
            return path.resolve()
    raise UsageError(f"{folder} has no records yet", hint="burnish run --to quality")


def open_session(
    folder: Path,
    *,
    verdicts: Path | None = None,
    guidelines: Path | None = None,
    shared: float = 0.1,
    progress: Progress | None = None,
) -> Any:
    """A `burnish.review.session.Session` on a run folder: its queue, its draws, its file of verdicts.

    verdicts, guidelines: over what the spec's review section says. shared: share of records that every reviewer sees.
    """
    import json

    from burnish.review.files import draws_of, verdicts_of
    from burnish.review.session import Session
    from burnish.review.shelf import Shelf

    task_spec = task_of(folder)
    base, name = task_spec.base or Path(), task_spec.run
    steps = filled_spec(folder).get("review") or [{}]
    stage = find("review", "queue")
    settings = stage.filled({key: value for key, value in steps[-1].items() if key in stage.settings})
    path = verdicts or verdicts_of(settings["verdicts"] or "auto", name, base)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write verdicts in", hint="--verdicts FILE")
    rules = guidelines or (base / settings["guidelines"] if settings["guidelines"] else None)
    if rules is not None and not rules.is_file():
        raise UsageError(f"no file of guidelines {rules}", hint="--guidelines FILE, in Markdown")
    file = records_of(folder)
    records = Records.from_parquet(file)
    made = folder / "review" / "queue.json"
    if made.is_file():
        looks = json.loads(made.read_text("utf-8"))["queue"]
    else:
        told = progress or Silent()
        with tempfile.TemporaryDirectory() as scratch:
            context = Context(task_spec, 0, base, Path(scratch), Path(scratch), told, name=name)
            asked = {**settings, "verdicts": str(path) if path.is_file() else None, "guidelines": None}
            looks = stage.run(records, context, **asked).facts["queue"]
    task = open_task(task_spec)
    shelf = Shelf(records, task, task.editors(), list(settings["slices"]))
    draws = draws_of(name, base)
    text = rules.read_text("utf-8") if rules else ""
    return Session(shelf, path, name=name, looks=looks, draws=draws, guidelines=text, shared=shared)


def exchange(folder: Path, files: Mapping[str, Path | None], **settings: Any) -> Iterator[str]:
    """Take verdicts from the files of other tools, then write them for others; yields what a person reads.

    files: "from_TOOL" and "to_TOOL" -> a path. settings: of `open_session`.
    """
    from burnish.review.exchange import TOOLS, take, write

    session = open_session(folder, **settings)
    for way, act in (("from", take), ("to", write)):
        for tool in TOOLS:
            if path := files.get(f"{way}_{tool}"):
                yield act(session, path, tool)


def review(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8090,
    on_ready: Callable[[str], Any] | None = None,
    **settings: Any,
) -> None:
    """Open the review page of a run and answer until stopped. settings: of `open_session`."""
    from burnish.review._web.server import serve

    session = open_session(folder, **settings)

    def ready(address: str) -> None:
        print(
            f"reviewing {session.name}: {len(session.shelf):,} records, {len(session.looks):,} in the queue\n"
            f"open {address} (ctrl-c stops; every decision is in {session.file.path} already)",
            file=sys.stderr,
            flush=True,
        )
        if on_ready:
            on_ready(address)

    serve(session, host=host, port=port, on_ready=ready)
