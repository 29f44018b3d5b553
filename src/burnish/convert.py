"""`burnish import` and `burnish export`: files of other tools become records, and records become files of other tools."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.core.artifacts import SIDES, Records
from burnish.core.errors import DataError, UsageError
from burnish.core.objects import is_url, put_objects
from burnish.core.progress import Progress, Silent
from burnish.core.records import Reject
from burnish.core.stage import nearest
from burnish.formats.base import FORMATS, Format, Told, whole
from burnish.formats.guess import guessed, read_records

ROOMS = ("quality", "construct", "sources")  # where a run without a split keeps its newest records


def import_file(
    path: Path, out: Path, *, format: str = "auto", settings: Sequence[str] = (), licence: str = "",
    limit: int | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Read a file, folder or glob in a format and write its records as JSON Lines or Parquet; say what was done.

    settings: of the format, key=value. What cannot be read is in OUT.quarantine.jsonl, with file, line and reason.
    """
    writer = _one("parquet" if out.suffix in (".parquet", ".pq") else "jsonl", ())
    part, why = _chosen(path, format, settings)
    if why:
        (progress or Silent()).tell(f"  {path}: read as {part.name}, for {why}")
    told = Told()
    with _held(read_records(path, part, licence=licence or None, limit=limit)) as (records, counts):
        aside = records.quarantine()
        beside = out.with_name(out.name + ".quarantine.jsonl")
        beside.unlink(missing_ok=True)
        if not len(records):
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts.get("reasons", {}).items())
            raise DataError(
                f"no record was read as {part.name}; {counts.get('quarantined', 0):,} rows were set aside: {reasons or 'none'}",
                where=str(path),
                hint=f"--format says another one: {', '.join(FORMATS.parts())}",
            )
        writer.write(records, out, told)
        if aside:
            shutil.copy2(aside, beside)
            told.files.append(beside.name)
    quarantined: dict[str, Any] = {name: counts[name] for name in ("quarantined", "reasons") if name in counts}
    return {"format": part.name, **({"because": why} if why else {}), **told.plain(), **quarantined}


def export(
    source: Path, out: Path | str, *, format: str, settings: Sequence[str] = (), side: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the records of a run, or of a file of any format, in a format; say what was written, lost and left out.

    side: of the run's split: train, validation or test; without it all of them, each a file of the folder OUT. Records that
    curation set aside are left out. Left-out records are listed in OUT.left_out.jsonl.
    out: a path, or a URL of an object store (s3://bucket/train.jsonl); objects of that name are replaced.
    """
    if is_url(str(out)):
        where, _, name = str(out).rstrip("/").rpartition("/")
        with tempfile.TemporaryDirectory(prefix="burnish-") as folder:
            told = export(source, Path(folder) / name, format=format, settings=settings, side=side, progress=progress)
            put_objects(Path(folder), where)
        return told
    out = Path(out)
    part = _one(format, settings)
    if side and side not in SIDES:
        raise UsageError(f"export: there is no side {side!r}", hint=nearest(side, SIDES, "sides"))
    if not (source / "run.json").exists():
        if side:
            raise UsageError("export: --side is for a run, and this is none", hint="leave it out")
        found, why = _chosen(source, "auto", ())
        (progress or Silent()).tell(f"  {source}: read as {found.name}, for {why}")
        with _held(read_records(source, found)) as (records, counts):
            return _written(part, {"": records}, out, {}) | {
                name: counts[name] for name in ("quarantined", "reasons") if name in counts
            }
    sides = _sides(source, side)
    if len(sides) > 1 and not part.folder and out.suffix:
        raise UsageError(
            f"export: the run has {', '.join(sides)}, and {out} is one file",
            hint="say --side train, or give a folder with -o",
        )
    return _written(part, sides, out, _facts(source))


def _written(part: Format, sides: dict[str, Records], out: Path, facts: dict[str, Any]) -> dict[str, Any]:
    told = Told(facts=facts)
    if part.folder:
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"export: {out} is there and not empty", hint="give a new folder with -o")
        part.write_sides({name or "train": _kept(one, told) for name, one in sides.items()}, out, told)  # type: ignore[attr-defined]
    else:
        for name, records in sides.items():
            part.write(_kept(records, told), out if len(sides) == 1 else out / f"{name}{part.suffix}", told)
    listed = (out / "left_out.jsonl") if not out.suffix else out.with_name(out.name + ".left_out.jsonl")
    listed.unlink(missing_ok=True)
    if told.out_ids:
        with whole(listed) as file:
            for record, reason in told.out_ids:
                file.write(json.dumps({"id": record, "reason": reason}, ensure_ascii=False) + "\n")
        told.files.append(listed.name)
    return {"format": part.name, **told.plain()}


def _kept(records: Records, told: Told) -> Records:
    """The records that curation kept; the others are counted, once however often they are walked."""
    aside = sum(len(batch) - sum(batch["keep"].to_pylist()) for batch in records.batches(["keep"]))
    if not aside:
        return records
    told.left_out["set aside by curation"] += aside

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        for batch in records.batches([*columns, "keep"] if columns and "keep" not in columns else columns):
            kept = batch.filter(batch["keep"])
            yield kept.select(list(columns)) if columns else kept

    return Records(walk, len(records) - aside)


def _one(format: str, settings: Sequence[str]) -> Format:
    """A format by name, with its settings as key=value."""
    import yaml

    given: dict[str, Any] = {"use": format}
    for one in settings:
        key, equals, value = one.partition("=")
        if not equals:
            raise UsageError(f"--with {one}: a setting is key=value", hint="--with scheme=BIOES")
        given[key] = yaml.safe_load(value)
    try:
        [part] = FORMATS.open(given)
    except ValueError as error:
        raise UsageError(str(error), hint="burnish stages sources.import lists them") from error
    assert isinstance(part, Format)
    return part


def _chosen(path: Path, format: str, settings: Sequence[str]) -> tuple[Format, str]:
    if format == "auto" and not settings:
        return guessed(path)
    if format == "auto":
        return _one(guessed(path)[0].name, settings), guessed(path)[1]
    return _one(format, settings), ""


@contextmanager
def _held(items: Iterator[pa.Table | Reject]) -> Iterator[tuple[Records, dict[str, Any]]]:
    """Records on disk while they are written: a writer walks them more than once, in memory of one batch."""
    with tempfile.TemporaryDirectory(prefix="burnish-") as folder:
        counts = Records.stream(items).save(Path(folder))
        yield Records.open(Path(folder)), counts


def _sides(run: Path, side: str) -> dict[str, Records]:
    files = {one: run / "split" / f"{one}.parquet" for one in SIDES if side in ("", one)}
    found = {one: Records.from_parquet(path) for one, path in files.items() if path.exists()}
    if found or side:
        if not found:
            raise DataError(f"the run has no side {side}", where=str(run), hint="burnish run --to split")
        return {one: records for one, records in found.items() if side or len(records)}
    for room in ROOMS:
        if (run / room / "records.parquet").exists():
            return {"": Records.from_parquet(run / room / "records.parquet")}
    raise DataError("the run holds no records yet", where=str(run), hint="burnish run --to sources")


def _facts(run: Path) -> dict[str, Any]:
    """What a card tells of a run: its name, its task, and the steps that made its records."""
    from burnish.core.pipeline import read_run
    from burnish.core.tasktypes import task_class

    told = read_run(run)
    steps = []
    for step in told.get("steps", ()):
        if step.get("room") in ("sources", "gold", "construct", "quality", "review", "split"):
            counts = {name: one for name, one in (step.get("counts") or {}).items() if isinstance(one, int | float)}
            said = ", ".join(f"{one:,} {name}" for name, one in counts.items())
            steps.append(f"`{step['room']}.{step['use']}`" + (f": {said}" if said else ""))
    task = (told.get("task") or {}).get("type") if isinstance(told.get("task"), dict) else told.get("task")
    pipeline = task_class(task).pipeline if task else None
    from burnish import data_card

    return {
        "name": told.get("name") or run.name,
        "pipeline": pipeline,
        "steps": steps,
        "chapters": data_card.sections(run),
    }
