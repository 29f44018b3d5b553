"""One file in one of the formats becomes chunks of rows; a row that cannot be parsed becomes a reject.

Reasons: not UTF-8, broken JSON, not an object, not Unicode, columns, quote, too long, broken file.
"""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.errors import DataError
from burnish.core.lines import BROKEN_STREAM, Lines, bare_suffix, lines
from burnish.core.records import Reject
from burnish.core.rows import CHUNK_CHARS, CHUNK_ROWS, MAX_CHARS, Chunk, chunks

Format = Literal["auto", "jsonl", "csv", "tsv", "parquet", "text"]
Unit = Literal["line", "paragraph", "file"]
Parsed = Iterator[tuple[int, dict[str, Any], str] | Reject]

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}


def find_files(path: Path, format: Format = "auto") -> list[tuple[Path, Format]]:
    """The files behind a path, a folder (walked, hidden files left out) or a glob, sorted, each with its format."""
    if path.is_file():
        found = [path]
    elif path.is_dir():
        inside = (one for one in path.rglob("*") if one.is_file())
        visible = [one for one in inside if not any(part.startswith(".") for part in one.relative_to(path).parts)]
        wanted = {"auto": tuple(SUFFIXES.values()), "csv": ("csv", "tsv")}.get(format, (format,))
        found = [one for one in visible if format == "text" or SUFFIXES.get(bare_suffix(one)) in wanted]
    else:
        found = [one for one in map(Path, glob.glob(str(path), recursive=True)) if one.is_file()]
    if not found:
        kind = "the folder holds no file of records" if path.is_dir() else "there is no such file"
        raise DataError(
            kind, where=str(path), hint=f"suffixes that are read: {', '.join(SUFFIXES)}, also under .gz or .zst"
        )
    return [(one, format_of(one, format)) for one in sorted(found)]


def format_of(path: Any, format: Format) -> Format:
    """The format of one file: the one that is named, or the one its suffix says."""
    known = SUFFIXES.get(bare_suffix(path))
    if format == "csv" and known == "tsv":
        return known
    if format != "auto":
        return format
    if known:
        return known
    raise DataError(
        f"the suffix {bare_suffix(path)!r} does not say what is inside",
        where=str(path),
        hint="say format: jsonl, csv, tsv, parquet or text",
    )


def shown_name(path: Path, base: Path | None) -> str:
    """A file's name in records and messages: told from the spec's folder, so that it is the same on every machine."""
    return path.relative_to(base).as_posix() if base and path.is_relative_to(base) else path.as_posix()


def parse(
    path: Path,
    format: Format,
    *,
    shown: str,
    max_chars: int = MAX_CHARS,
    encoding: str = "utf-8",
    unit: Unit = "line",
    delimiter: str = "",
    columns: list[str] | None = None,
) -> Iterator[Chunk | Reject]:
    """One file as chunks of rows, before fields are looked for."""
    if format == "parquet":
        yield from _parquet(path, shown)
        return
    # JSON may write a character in 12 bytes (\ud83d\ude00), and a row holds more than its text
    max_bytes = 12 * max_chars + (1 << 16)
    text = lines(path, shown=shown, encoding=encoding, max_bytes=max_bytes)
    if format == "jsonl":
        yield from chunks(shown, _jsonl(text, shown))
    elif format == "text":
        yield from chunks(shown, _text(text, unit, shown, max_chars))
    else:
        yield from _csv(text, shown, delimiter or ("\t" if format == "tsv" else ","), columns, max_bytes)


def _jsonl(text: Iterator[Lines | Reject], shown: str) -> Parsed:
    decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode
    for run in text:
        if isinstance(run, Reject):
            yield run
            continue
        escaped = any("\\ud" in line or "\\uD" in line for line in run.texts)
        for number, line in zip(run.numbers, run.texts, strict=True):
            said = line.strip(" \t\r")
            if not said:
                continue
            try:
                row, end = decode(said)
                if end != len(said):
                    raise json.JSONDecodeError("Extra data", said, end)
                if not isinstance(row, dict):
                    yield Reject(shown, number, f"not an object: the line is {_json_kind(row)}", line[:2000])
                    continue
                if escaped and "\\u" in line:
                    json.dumps(row, ensure_ascii=False).encode()  # a lone half of a surrogate pair is no character
            except json.JSONDecodeError as error:
                yield Reject(shown, number, f"broken JSON: {error.msg} at column {error.colno}", line[:2000])
            except UnicodeEncodeError:
                yield Reject(shown, number, "not Unicode: an escape stands for half a character", line[:2000])
            except (ValueError, RecursionError) as error:
                yield Reject(shown, number, f"broken JSON: {error}"[:300], line[:2000])
            else:
                yield number, row, line


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json_kind(value: Any) -> str:
    return {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _text(text: Iterator[Lines | Reject], unit: Unit, shown: str, max_chars: int) -> Parsed:
    """A record a non-empty line, a paragraph (up to an empty line), or the file."""
    held: list[str] = []
    start, size = 1, 0
    for run in text:
        if isinstance(run, Reject):
            yield run
            continue
        for number, line in zip(run.numbers, run.texts, strict=True):
            blank = not line.strip()
            if unit == "line":
                if not blank:
                    yield number, {"text": line.strip()}, line
            elif blank and unit == "paragraph":
                yield from _joined(held, start, size, shown, max_chars)
                held, size = [], 0
            elif held or not blank:
                start = start if held else number
                if size <= max_chars:  # once too long, nothing more is held
                    held.append(line.rstrip())
                size += len(line) + 1
    yield from _joined(held, start, size, shown, max_chars)


def _joined(held: list[str], start: int, size: int, shown: str, max_chars: int) -> Parsed:
    said = "\n".join(held).strip()
    if size - 1 > max_chars and len(said) > max_chars:
        yield Reject(shown, start, f"too long: about {size:,} characters, the limit is {max_chars:,}", said[:2000])
    elif said:
        yield start, {"text": said}, said


def _csv(
    text: Iterator[Lines | Reject], shown: str, delimiter: str, columns: list[str] | None, max_bytes: int
) -> Iterator[Chunk | Reject]:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(f"a delimiter is one character, not {delimiter!r}", where=shown, hint="',', ';', '|' or a tab")
    rows = _csv_rows(text, shown, delimiter, max_bytes)
    header = columns
    if header is None:
        for item in rows:
            if not isinstance(item, Reject):
                header = [name.strip() for name in item[1]]
                break
            yield item
    if header is None:
        return
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(
            f"columns that are there twice: {', '.join(map(repr, twice))}", where=f"{shown}:1", hint="rename one"
        )
    names = tuple(header)

    def named() -> Parsed:
        for item in rows:
            if isinstance(item, Reject):
                yield item
            elif len(item[1]) != len(names):
                where = f"columns: {len(item[1])} where the header has {len(names)}"
                yield Reject(shown, item[0], where, item[2][:2000])
            else:
                yield item[0], dict(zip(names, item[1], strict=True)), item[2]

    yield from chunks(shown, named(), columns=names)


def _csv_rows(
    text: Iterator[Lines | Reject], shown: str, delimiter: str, max_bytes: int
) -> Iterator[tuple[int, list[str], str] | Reject]:
    """Rows as lists of strings. Quotes count where a field starts with one; a quoted field may hold newlines in CSV.

    In tab-separated files a field ends with its line, because texts that begin with a quote are common there.
    A quoted field that does not close before max_bytes or the end is a reject of one line: reading goes on below it.
    """
    pending: list[tuple[int, str]] = []  # lines of a row whose quoted field is open; also lines to be read again
    coming = _numbered(text)
    again: list[tuple[int, str] | Reject] = []
    quotes = size = 0
    while True:
        item = again.pop() if again else next(coming, None)
        if item is None or size > max_bytes:
            if not pending:
                return
            if item is not None:
                again.append(item)
            (number, first), *rest = pending
            yield Reject(shown, number, "quote: a field opens with a quote here that does not close", first[:2000])
            again.extend(reversed(rest))
            pending, quotes, size = [], 0, 0
            continue
        if isinstance(item, Reject):
            yield item
            continue
        number, line = item
        if not pending and '"' not in line:
            if line.strip():
                yield number, line.split(delimiter), line
            continue
        pending.append(item)
        quotes += line.count('"')
        size += len(line) + 1
        if len(pending) > 1 and quotes % 2:
            continue  # inside a quoted field every quote that belongs to the text is doubled
        raw = "\n".join(one for _, one in pending)
        row = _split(raw, delimiter)
        if row is None and delimiter == "\t":
            row = raw.split(delimiter)
        if row is not None:
            yield pending[0][0], row, raw
            pending, quotes, size = [], 0, 0


def _numbered(text: Iterator[Lines | Reject]) -> Iterator[tuple[int, str] | Reject]:
    for run in text:
        if isinstance(run, Reject):
            yield run
        else:
            yield from zip(run.numbers, run.texts, strict=True)


def _split(raw: str, delimiter: str) -> list[str] | None:
    """Split one row; None when a quoted field is still open at its end.

    The csv module does the rows it can take whole. Its limit on a field (131,072 characters) is a global of the process,
    and it does not say where a field opened: longer, odd and open rows go through the loop below, by the same rules.
    """
    try:
        return next(csv.reader((raw,), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        pass
    row: list[str] = []
    place, end = 0, len(raw)
    while True:
        if raw.startswith('"', place):
            parts, place = [], place + 1
            while True:
                close = raw.find('"', place)
                if close < 0:
                    return None
                parts.append(raw[place:close])
                place = close + 1
                if not raw.startswith('"', place):
                    break
                parts.append('"')
                place += 1
            stop = raw.find(delimiter, place)
            stop = end if stop < 0 else stop
            row.append("".join(parts) + raw[place:stop])  # text behind a closing quote stays, as the csv module does
        else:
            stop = raw.find(delimiter, place)
            stop = end if stop < 0 else stop
            row.append(raw[place:stop])
        if stop == end:
            return row
        place = stop + 1


def _parquet(path: Path, shown: str) -> Iterator[Chunk | Reject]:
    row = 0
    try:
        with path.open("rb") as raw, pq.ParquetFile(path if isinstance(path, Path) else raw) as file:
            names = tuple(file.schema_arrow.names)
            for batch in parquet_batches(file):
                yield from from_arrow(batch, shown, first=row, columns=names)
                row += batch.num_rows
    except BROKEN_STREAM as error:
        yield Reject(shown, None, f"broken file: {error}; what follows row {row} is lost")


def parquet_batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Batches of at most 8,192 rows and about 4 MB, however wide the rows are: the reader decodes a batch at once."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    yield from file.iter_batches(batch_size=int(max(1, min(CHUNK_ROWS, CHUNK_CHARS / max(widest, 1)))))


def from_arrow(batch: pa.RecordBatch, shown: str, *, first: int, columns: tuple[str, ...]) -> Iterator[Chunk | Reject]:
    """An Arrow batch as chunks of bounded size; `line` is the 1-based row."""
    rows = max(1, min(CHUNK_ROWS, CHUNK_CHARS * batch.num_rows // max(batch.nbytes, 1)))
    for begin in range(0, batch.num_rows, rows):
        part = batch.slice(begin, rows)
        numbers: list[int | None] = list(range(first + begin + 1, first + begin + part.num_rows + 1))
        try:
            yield Chunk(shown, numbers, part.to_pylist(), columns=columns)
        except UnicodeDecodeError:
            yield from _one_by_one(part, shown, numbers, columns)


def _one_by_one(
    part: pa.RecordBatch, shown: str, numbers: list[int | None], columns: tuple[str, ...]
) -> Iterator[Chunk | Reject]:
    for i, number in enumerate(numbers):
        try:
            yield Chunk(shown, [number], part.slice(i, 1).to_pylist(), columns=columns)
        except UnicodeDecodeError as error:
            yield Reject(shown, number, f"not UTF-8: byte 0x{error.object[error.start]:02x} in a string column")
