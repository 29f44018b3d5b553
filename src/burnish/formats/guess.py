"""Which format a file is of, told by what stands in it; and files of any format as records."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.errors import DataError
from burnish.core.formats import shown_name
from burnish.core.lines import BROKEN_STREAM, bare_suffix
from burnish.core.records import INPUT, Reject
from burnish.core.rows import MAX_CHARS, Chunk, Wanted, chunks, to_records
from burnish.formats.base import CONTENT, FORMATS, Format, Look, Parsed
from burnish.formats.json_items import beginning, objects, shape

# the surest first: what holds a list of turns may also hold a label
ORDER = (
    "docbin", "huggingface", "parquet", "label_studio", "squad", "sharegpt", "alpaca", "kto", "dpo", "prompt_completion",
    "openai", "doccano", "jsonl", "csv", "tsv", "conll", "fasttext", "text",
)  # fmt: skip
LOOKED_AT = 200
TARGETS = tuple(name for name in (*CONTENT, "votes") if name not in INPUT)


@FORMATS.part("auto")
@dataclass(frozen=True)
class Auto(Format):
    """Whatever the file is, by what stands in it."""

    suffix: ClassVar[str] = ""

    def files(self, path: Path) -> list[Path]:
        return guessed(path)[0].files(path)

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        return guessed(path)[0].read(path, shown=shown, max_chars=max_chars)


def guessed(path: Path) -> tuple[Format, str]:
    """The format of a file, folder or glob, and why. DataError where nothing fits."""
    look = look_at(path)
    for name in ORDER:
        part = FORMATS.parts()[name]
        if why := part.fits(look):
            return part(), why
    raise DataError(
        "nothing in it says which format it is", where=str(path), hint=f"say --format: {', '.join(FORMATS.parts())}"
    )


def look_at(path: Path) -> Look:
    """The beginning of a file; of a folder or a glob its first file's, unless the folder is one data set."""
    if path.is_dir():
        found = Look(path, suffix="")
        if any((path / name).exists() for name in ("dataset_dict.json", "state.json", "README.md", "data")):
            return found
        inside = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
        inside = [one for one in inside if one.name != "dataset_info.json" and one.suffix != ".xml"]
        return look_at(inside[0]) if inside else found
    if not path.is_file():
        files = Format().files(path)
        return look_at(files[0])
    suffix = bare_suffix(path)
    if suffix in (".parquet", ".pq"):
        try:
            return Look(path, suffix, columns=tuple(pq.read_schema(path).names))
        except BROKEN_STREAM as error:
            raise DataError(f"no Parquet file: {error}", where=str(path)) from error
    if suffix == ".spacy":
        return Look(path, suffix)
    head = beginning(path)
    lines = tuple(line.rstrip("\r") for line in head.split("\n")[:LOOKED_AT])
    if suffix in (".csv", ".tsv", ".tab") or head.lstrip()[:1] not in ("{", "["):
        return Look(path, suffix, lines=lines)
    key = "data" if shape(path, "data") == "object" else ""
    first = itertools.islice(objects(path, shown=path.name, key=key), LOOKED_AT)
    rows = tuple(one[1] for one in first if not isinstance(one, Reject))
    return Look(path, suffix, rows=rows, lines=() if rows else lines, keys=(key,) if key else ())


def read_records(
    path: Path, format: Format, *, source: str = "", licence: str | None = None, limit: int | None = None,
    max_chars: int = MAX_CHARS, label_names: dict[str, str] | None = None, base: Path | None = None,
) -> Iterator[pa.Table | Reject]:  # fmt: skip
    """Records of a file, folder or glob as tables of at most 8,192 rows, and rejects between them.

    Settings as for `core.files.read`. Every row is checked as rows of all files are; ids that a file gives are kept.
    """
    wanted = Wanted({}, source or shown_name(path, base), licence, label_names, max_chars, TARGETS)

    def every() -> Iterator[Chunk | Reject]:
        for file in format.files(path):
            shown = shown_name(file, base)
            yield from chunks(shown, _numbered(format.read(file, shown=shown, max_chars=max_chars)))

    return to_records(every(), wanted, limit=limit)


def _numbered(items: Iterator[Parsed | Reject]) -> Iterator[Any]:
    """Rows without the fields that are None: a key says that a field is there."""
    for item in items:
        if isinstance(item, Reject):
            yield item
        else:
            line, row, raw = item
            yield line, {key: value for key, value in row.items() if value is not None}, raw
