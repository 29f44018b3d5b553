"""Tables and lines: JSON Lines, Parquet, CSV, TSV, plain text, with the record's fields under their own names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core import formats as core
from burnish.core.artifacts import Records
from burnish.core.records import SCHEMA, Record, Reject
from burnish.core.rows import MAX_CHARS, Chunk
from burnish.core.values import json_text
from burnish.formats.base import ABOUT, CONTENT, FIELDS, FORMATS, Format, Look, Parsed, Told, Unfit, used, whole

STRUCTURED = ("messages", "labels", "spans", "relations", "answer", "meta")
# What a spreadsheet takes for a formula and computes when the file is opened (OWASP, "CSV injection"), and our guard before it
_FORMULA, _GUARDED = re.compile(r"'*[=+\-@\t\r]"), re.compile(r"'+[=+\-@\t\r]")


def rows_of(chunk: Chunk) -> Iterator[Parsed]:
    """A chunk of core.formats, row by row."""
    raws: Sequence[str | None] = chunk.raws or [None] * len(chunk.rows)
    for number, row, raw in zip(chunk.numbers, chunk.rows, raws, strict=True):
        yield number, row, json_text(row) if raw is None else raw


@FORMATS.part("jsonl")
@dataclass(frozen=True)
class JsonLines(Format):
    """An object a line, with the fields of a record under their own names."""

    suffix: ClassVar[str] = ".jsonl"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        from burnish.formats.json_items import objects

        yield from objects(path, shown=shown, max_chars=max_chars)

    def write(self, records: Records, out: Path, told: Told) -> None:
        with whole(out) as file:
            for record in records:
                row = plain(record)
                told.wrote(record, row.keys())
                file.write(json_text(row) + "\n")
        told.files.append(out.name)

    @classmethod
    def fits(cls, look: Look) -> str:
        return "its lines are objects" if look.rows else ""


def plain(record: Record) -> dict[str, Any]:
    """The content of a record and what is known about it, as JSON takes it; what is absent is left away."""
    row = {name: value for name in ("id", *CONTENT) if (value := getattr(record, name)) is not None}
    for name in ABOUT[1:]:
        value = getattr(record, name)
        if value is not None and value != {}:
            row[name] = value.isoformat() if hasattr(value, "isoformat") else value
    if record.votes:
        row["votes"] = [{key: said for key, said in vote.items() if said is not None} for vote in record.votes]
    return row


@FORMATS.part("parquet")
@dataclass(frozen=True)
class Parquet(Format):
    """A Parquet file with a column for every field that any record has; meta as JSON text."""

    suffix: ClassVar[str] = ".parquet"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        for item in core.parse(path, "parquet", shown=shown, max_chars=max_chars):
            if isinstance(item, Reject):
                yield item
            else:
                yield from rows_of(item)

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)
        names = [name for name in SCHEMA.names if name in columns or name in ("id", "votes")]
        schema = pa.schema([SCHEMA.field(name) for name in names])
        with whole(out, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in records.batches(names):
                writer.write_table(batch)
                told.records += len(batch)
        told.files.append(out.name)

    @classmethod
    def fits(cls, look: Look) -> str:
        return "its suffix is .parquet" if look.columns and look.suffix in (".parquet", ".pq") else ""


@dataclass(frozen=True)
class _Table(Format):
    """Rows under a header; lists and objects stand in a cell as JSON.

    guard: put ' before a cell that a spreadsheet would compute (= + - @ at its start), and take it away when reading.
    encoding: of a file that is read: utf-8, gb18030, …
    """

    guard: bool = True
    encoding: str = "utf-8"

    delimiter: ClassVar[str] = ","

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        kind: core.Format = "tsv" if self.delimiter == "\t" else "csv"
        for item in core.parse(path, kind, shown=shown, max_chars=max_chars, encoding=self.encoding):
            if isinstance(item, Reject):
                yield item
                continue
            for number, row, raw in rows_of(item):
                cells = {key: cell[1:] if self.guard and _GUARDED.match(cell) else cell for key, cell in row.items()}
                # an empty cell is nothing, and a text column may be empty where messages stand
                yield number, {key: cell for key, cell in cells.items() if cell != ""}, raw

    def write(self, records: Records, out: Path, told: Told) -> None:
        columns = used(records)
        names = [name for name in ("id", *CONTENT, *ABOUT[1:]) if name in columns or name == "id"]
        with whole(out) as file:
            writer = csv.writer(file, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(names)
            for record in records:
                try:
                    cells = [self._cell(record, name, told) for name in names]
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                told.wrote(record, names)
                writer.writerow(cells)
        told.files.append(out.name)

    def _cell(self, record: Record, name: str, told: Told) -> str:
        value = getattr(record, name)
        if value is None or value == {}:
            return ""
        if name in STRUCTURED:
            return json_text(value)
        said = value.isoformat() if hasattr(value, "isoformat") else repr(value) if name == "value" else str(value)
        if self.delimiter == "\t" and "\n" in said:
            raise Unfit(f"line break: {name} holds one, and a row of TSV is a line; take csv")
        if "\r\n" in said:
            told.changed["line ends: CR LF comes back as LF"] += 1
        if self.guard and name != "value" and _FORMULA.match(said):
            return "'" + said
        return said


@FORMATS.part("csv")
@dataclass(frozen=True)
class Csv(_Table):
    """Comma-separated rows under a header."""

    suffix: ClassVar[str] = ".csv"

    @classmethod
    def fits(cls, look: Look) -> str:
        return "its suffix is .csv" if look.suffix == ".csv" else ""


@FORMATS.part("tsv")
@dataclass(frozen=True)
class Tsv(_Table):
    """Tab-separated rows under a header; a text with a line break is left out."""

    suffix: ClassVar[str] = ".tsv"
    delimiter: ClassVar[str] = "\t"

    @classmethod
    def fits(cls, look: Look) -> str:
        return f"its suffix is {look.suffix}" if look.suffix in (".tsv", ".tab") else ""


@FORMATS.part("text")
@dataclass(frozen=True)
class Text(Format):
    """Plain text, for its texts alone.

    unit: what one record is: a line, a paragraph, or the file.
    """

    unit: Literal["line", "paragraph", "file"] = "line"

    suffix: ClassVar[str] = ".txt"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        for item in core.parse(path, "text", shown=shown, max_chars=max_chars, unit=self.unit):
            if isinstance(item, Reject):
                yield item
            else:
                yield from rows_of(item)

    def write(self, records: Records, out: Path, told: Told) -> None:
        with whole(out) as file:
            for record in records:
                if not record.text:
                    told.leave(record, "no text: there are messages alone")
                elif self.unit == "line" and "\n" in record.text:
                    told.leave(record, "line break: a record is a line; say unit: paragraph")
                elif self.unit == "paragraph" and re.search(r"\n[ \t\r]*\n", record.text.strip()):
                    told.leave(record, "line break: an empty line ends a paragraph")
                else:
                    if record.text != record.text.strip():
                        told.changed["text: blanks around it are gone"] += 1
                    file.write(record.text.strip() + ("\n" if self.unit == "line" else "\n\n"))
                    told.wrote(record, ("text",))
        told.files.append(out.name)

    @classmethod
    def fits(cls, look: Look) -> str:
        return "nothing but lines of text was recognised" if look.lines else ""


@FORMATS.part("fasttext")
@dataclass(frozen=True)
class FastText(Format):
    """Lines of __label__NAME and a text (Joulin et al. 2016). A blank in a label is written as ▁ and read back; there is no
    room for ids.

    several: a line may have several labels, which are read as labels; else its one label is read as label.
    """

    several: bool = False

    suffix: ClassVar[str] = ".txt"
    prefix: ClassVar[str] = "__label__"

    def read(self, path: Path, *, shown: str, max_chars: int = MAX_CHARS) -> Iterator[Parsed | Reject]:
        for item in core.parse(path, "text", shown=shown, max_chars=max_chars):
            if isinstance(item, Reject):
                yield item
                continue
            for number, row, raw in rows_of(item):
                words = row["text"].split(" ")
                head = next((at for at, word in enumerate(words) if not word.startswith(self.prefix)), len(words))
                names = [word.removeprefix(self.prefix).replace("▁", " ") for word in words[:head]]
                text = " ".join(words[head:])
                if len(names) > 1 and not self.several:
                    yield Reject(
                        shown, number, f"label: {len(names)} where one is wanted; say several: true", raw[:2000]
                    )
                elif any(not name for name in names) or self.prefix in text:
                    yield Reject(shown, number, "label: an empty one, or one behind the text", raw[:2000])
                else:
                    labels: dict[str, Any] = {"labels": names} if self.several else {"label": names[0]} if names else {}
                    yield number, {"text": text} | labels, raw

    def write(self, records: Records, out: Path, told: Told) -> None:
        with whole(out) as file:
            for record in records:
                try:
                    file.write(self._line(record, told) + "\n")
                except Unfit as error:
                    told.leave(record, str(error))
                    continue
                told.wrote(record, ("text", "label", "labels"))
        told.files.append(out.name)

    def _line(self, record: Record, told: Told) -> str:
        labels = record.labels if record.labels is not None else [record.label] if record.label else []
        if not labels or not record.text:
            raise Unfit("unlabelled: a line has a label and a text")
        if any("▁" in one or re.search(r"[^\S ]", one) for one in labels):
            raise Unfit("label: it holds ▁, a tab or a line break")
        if self.prefix in record.text:
            raise Unfit("text: it holds __label__ itself")
        text = re.sub(r"[\t-\r\x00\x1c-\x1f\x85\u2028\u2029]+", " ", record.text).strip(" ")
        if text != record.text:
            told.changed["text: line breaks, tabs and blanks at its ends"] += 1
        return " ".join([*(self.prefix + one.replace(" ", "▁") for one in labels), text])

    @classmethod
    def fits(cls, look: Look) -> str:
        if look.lines and all(line.startswith("__label__") for line in look.lines if line.strip()):
            return "its lines begin with __label__"
        return ""


assert set(STRUCTURED) <= set(FIELDS)
