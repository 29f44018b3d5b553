"""Files as other tools write and read them: one part a format, both ways.

    FORMATS.open("alpaca")[0].read(path, shown="a.json")     rows of record fields, and rejects between them
    FORMATS.open("alpaca")[0].write(records, out, told)      a file that appears whole; `told` counts what found no room

A reader gives (line, row, raw) with a row of record fields (core.rows checks them, as it checks every file), or a Reject.
A writer says of every record what it held; the rest is counted as lost, and a record that the format cannot hold at all is
left out with a reason. Nothing is dropped in silence.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.formats import find_files
from burnish.core.lines import COMPRESSED
from burnish.core.parts import Family
from burnish.core.records import Record, Reject
from burnish.core.rows import MAX_CHARS

FORMATS = Family("format", "burnish.formats", single=True)
Parsed = tuple[int | None, dict[str, Any], str]

CONTENT = ("text", "text_b", "messages", "label", "labels", "value", "spans", "relations", "answer", "output")
ABOUT = ("id", "time", "group", "language", "licence", "meta")
FIELDS = (*CONTENT, *ABOUT)


@dataclass(frozen=True)
class Look:
    """What a format may guess by. rows: the first objects of a JSON or JSON Lines file; lines: the first of a text file;
    columns: of a table. document: the file is one JSON object, whose keys are `keys`."""

    path: Path
    suffix: str = ""
    rows: tuple[dict[str, Any], ...] = ()
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def every(self, *names: str) -> bool:
        """Whether there are rows and each has all of these keys."""
        return bool(self.rows) and all(set(names) <= row.keys() for row in self.rows)


@dataclass
class Told:
    """What became of the records of an export. left_out: reason -> records; lost: field -> records that had it and the
    format has no room for it; changed: what was written otherwise than it stood -> records."""

    records: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    out_ids: list[tuple[str | None, str]] = field(default_factory=list)  # bounded: the first 10,000
    facts: dict[str, Any] = field(default_factory=dict)  # of the run that is exported, for a card

    def wrote(self, record: Record, held: Iterable[str]) -> None:
        """Count a record that was written, and its fields that were not."""
        self.records += 1
        room = set(held)
        for name in FIELDS:
            value = getattr(record, name)
            if name not in room and value is not None and value != {}:
                self.lost[name] += 1

    def leave(self, record: Record, reason: str) -> None:
        """Count a record that the format cannot hold."""
        self.left_out[reason.split(":")[0]] += 1
        if len(self.out_ids) < 10_000:
            self.out_ids.append((record.id, reason))

    def plain(self) -> dict[str, Any]:
        """As JSON; empty counts are left away."""
        counts = {"left_out": self.left_out, "lost": self.lost, "changed": self.changed}
        return {"records": self.records, "files": self.files} | {
            name: dict(one.most_common()) for name, one in counts.items() if one
        }


class Unfit(ValueError):
    """A record that a format cannot hold; says why."""


@dataclass(frozen=True)
class Format:
    """A format of files. suffix: of what it writes; folder: it writes a folder, with every side of a split in it."""

    name: ClassVar[str] = ""
    suffix: ClassVar[str] = ".json"
    folder: ClassVar[bool] = False

    def files(self, path: Path) -> list[Path]:
        """The files behind a path: itself, a glob, or those of a folder that have the format's suffix."""
        if path.is_dir():
            found = sorted(one for one in path.rglob(f"*{self.suffix}*") if one.is_file() and not _hidden(one, path))
            if not found:
                raise DataError(f"the folder holds no {self.suffix} file", where=str(path))
            return found
        return [file for file, _ in find_files(path, "text")]

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        """Rows of record fields."""
        raise NotImplementedError

    def write(self, records: Records, out: Path, told: Told) -> None:
        """Write records that can be walked more than once."""
        raise NotImplementedError

    @classmethod
    def fits(cls, look: Look) -> str:
        """Why a file is taken for one of this format; "" when it is not."""
        return ""


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def used(records: Records) -> frozenset[str]:
    """The fields that any record has: columns must be the same in every row for readers that infer types."""
    found: set[str] = set()
    for batch in records.batches(FIELDS):
        found |= {name for name in FIELDS if name not in found and batch[name].null_count < len(batch)}
    return frozenset(found)


def about(record: Record, columns: frozenset[str], *, but: Iterable[str] = ()) -> dict[str, Any]:
    """id, time, group, language, licence and meta (as JSON text) of a record, where any record of the file has them.

    but: keys of meta that have a place of their own.
    """
    made: dict[str, Any] = {"id": record.id}
    for name in ("time", "group", "language", "licence"):
        if name in columns:
            value = getattr(record, name)
            made[name] = value.isoformat() if isinstance(value, datetime) else value
    if "meta" in columns:
        left = {key: value for key, value in record.meta.items() if key not in set(but)}
        made["meta"] = json.dumps(left, ensure_ascii=False, sort_keys=True) if left else None
    return made


def about_of(row: Mapping[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """The same back from a row; keys that are neither these nor `taken` go to meta."""
    made: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    gone = set(taken)
    for key, value in row.items():
        if key in gone or value is None:
            continue
        name = "licence" if key == "license" else key
        if name in ABOUT[:-1] and isinstance(value, str | int | float) and not isinstance(value, bool):
            made[name] = value
        elif key == "meta" and isinstance(inner := _object(value), dict):
            meta |= inner
        else:
            meta[key] = value
    return made | ({"meta": meta} if meta else {})


def _object(value: Any) -> Any:
    if isinstance(value, str) and value[:1] == "{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


@contextmanager
def whole(out: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under its name when all of it is written."""
    if out.suffix.lower() in COMPRESSED:
        raise DataError(
            "compressed files are read, not written", where=str(out), hint=f"write {out.stem} and compress it"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    half = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with half.open(mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": "\n"})) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, out)
    finally:
        half.unlink(missing_ok=True)


def write_objects(rows: Iterable[Mapping[str, Any]], out: Path, told: Told) -> None:
    """Objects one a line where the name ends in .jsonl, else as one JSON array, an object a line."""
    with whole(out) as file:
        if out.suffix.lower() in (".jsonl", ".ndjson"):
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            before = "[\n"
            for row in rows:
                file.write(before + json.dumps(row, ensure_ascii=False))
                before = ",\n"
            file.write(("[" if before == "[\n" else "") + "\n]\n")
    told.files.append(out.name)
