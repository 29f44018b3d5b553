"""Rows of any format become tables of records: fields found by name, values checked, the rest kept as meta.

A row that cannot become a record becomes a `Reject`. Its reason starts with a category before ":", which is what gets
counted: missing field, empty text, too long, wrong type, not Unicode, no such label, span, relation, answer, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from burnish.core import values as v
from burnish.core.errors import DataError
from burnish.core.records import SCHEMA, TARGETS, Reject, SeenCounts, assign_ids
from burnish.core.stage import nearest

MAX_CHARS = 1_000_000
CHUNK_ROWS = 8192
CHUNK_CHARS = 4 << 20

# How an input may be named in a file: the first form whose names are all there is taken; the second name of the three
# lower pairs may be absent (a question without a context). Nothing else is guessed.
FORMS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("text",), {"text": "text", "text_b": "text_b"}),
    (("text_a",), {"text": "text_a", "text_b": "text_b"}),
    (("query",), {"text": "query", "text_b": "candidate"}),
    (("question",), {"text": "question", "text_b": "context"}),
    (("source", "target"), {"text": "source", "output": "target"}),
)
BY_NAME = ("messages", "label", "spans", "relations", "answer", "id", "time", "group", "language", "licence", "meta")
# Names that `fields` may use -> the record field. labels, value and output are read only when they are asked for, by
# `fields` or by the task whose target they are: many a file has a column "value" that is none.
ALIASES = {"text_a": "text", "question": "text", "query": "text", "source": "text"} | {
    "context": "text_b",
    "candidate": "text_b",
    "target": "output",
    "license": "licence",
}
FIELDS = ("text", "text_b", "labels", "value", "output", *BY_NAME)


@dataclass(slots=True)
class Chunk:
    """A run of parsed rows of one file. raws: the rows as they stood in the file, None where there is no such text.

    columns: the header, where the format has one.
    """

    file: str
    numbers: list[int | None]
    rows: list[dict[str, Any]]
    raws: list[str] | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """For one set of keys: record field -> key (or dotted path), and the keys that stay in meta."""

    keys: dict[str, str]
    extras: tuple[str, ...]
    nested: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What a reader asks of every row. fields: record field -> key; an empty key means the field is not read.

    targets: record fields of the task's target, found under their own names.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    licence: str | None = None
    label_names: Mapping[str, str] | None = None
    max_chars: int = MAX_CHARS
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.fields:
            if name not in FIELDS and name not in ALIASES:
                known = [*FIELDS, *ALIASES]
                raise DataError(
                    f"a record has no field {name!r}", where="fields", hint=nearest(name, known, "there are")
                )
        object.__setattr__(self, "fields", {ALIASES.get(name, name): key for name, key in self.fields.items()})


def chunks(
    file: str, items: Iterable[tuple[int, dict[str, Any], str] | Reject], **known: Any
) -> Iterator[Chunk | Reject]:
    """Gather (line, row, raw) into chunks of bounded size."""
    chunk, size = Chunk(file, [], [], [], **known), 0
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        number, row, raw = item
        chunk.numbers.append(number)
        chunk.rows.append(row)
        chunk.raws.append(raw)  # type: ignore[union-attr]
        size += len(raw)
        if len(chunk.rows) == CHUNK_ROWS or size > CHUNK_CHARS:
            yield chunk
            chunk, size = Chunk(file, [], [], [], **known), 0
    if chunk.rows:
        yield chunk


def to_records(
    items: Iterable[Chunk | Reject], wanted: Wanted, *, limit: int | None = None
) -> Iterator[pa.Table | Reject]:
    """Turn chunks into tables of SCHEMA with ids; rejects pass through.

    limit: records at most (rejects do not count); None or 0 for all. Memory is one chunk, and 12 bytes a distinct record.
    Raises DataError when `fields` names a column that a header does not have.
    """
    seen, left = SeenCounts(), limit or None
    unseen = {key for key in wanted.fields.values() if key}
    last = ""
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        last = item.file
        if item.columns is not None:
            _check_header(item.columns, item.file, wanted)
        if unseen:
            unseen = {key for key in unseen if not any(_has(row, key) for row in item.rows)}
        table, rejects = shape(item, wanted)
        table = assign_ids(table if left is None else table.slice(0, left), seen)
        if len(table):
            yield table
        yield from rejects
        if left is not None and (left := left - len(table)) == 0:
            return
    for name, key in wanted.fields.items():
        if key in unseen and last:
            yield Reject(last, None, f"missing field: no row of this source has {key!r}, which fields.{name} asks for")


def shape(chunk: Chunk, wanted: Wanted) -> tuple[pa.Table, list[Reject]]:
    """One chunk to a table of SCHEMA without ids of its own making, and its rejects."""
    rows = chunk.rows
    cache: dict[tuple[str, ...], Layout] = {}
    layouts = []
    for row in rows:
        keys = tuple(row)
        own = cache.get(keys)
        if own is None:
            own = cache[keys] = layout(keys, wanted.fields, wanted.targets)
        layouts.append(own)
    single = layouts[0] if len(cache) == 1 else None

    def column(name: str) -> list[Any] | None:
        """The values of one record field; None when no row has it."""
        if single:
            key = single.keys.get(name)
            return (
                None
                if key is None
                else [_get(row, key) for row in rows]
                if "." in key
                else [row.get(key) for row in rows]
            )
        if not any(name in one.keys for one in cache.values()):
            return None
        return [_get(row, key) if (key := own.keys.get(name)) else None for row, own in zip(rows, layouts, strict=True)]

    bad: dict[int, str] = {}
    made = _inputs(column, rows, bad, wanted)
    made |= _targets(column, made, bad, wanted)
    made |= _about(column, bad)
    made["meta"] = _meta(column("meta"), rows, layouts, bad)
    return _table(made, chunk, bad, wanted), _rejects(chunk, bad)


def _inputs(column: Any, rows: list[dict[str, Any]], bad: dict[int, str], wanted: Wanted) -> dict[str, list[Any]]:
    text, text_b, messages = column("text"), column("text_b"), column("messages")
    if messages is not None:
        messages = v.messages(messages, bad, wanted.max_chars)
    needless = [one is not None for one in messages] if messages else None
    if text is None and needless is None:
        text = [None] * len(rows)
    made = {"messages": messages}
    if text is not None:
        made["text"] = v.texts(text, bad, wanted.max_chars, needless, lambda i: _absent(rows[i], wanted))
    elif needless is not None:
        for i, there in enumerate(needless):
            if not there:
                bad.setdefault(i, _absent(rows[i], wanted))
    if text_b is not None:
        made["text_b"] = v.texts(text_b, bad, wanted.max_chars, [one is None for one in text_b], None)
    return {name: values for name, values in made.items() if values is not None}


def _targets(column: Any, made: dict[str, Any], bad: dict[int, str], wanted: Wanted) -> dict[str, list[Any]]:
    targets: dict[str, list[Any]] = {}
    if (given := column("label")) is not None:
        targets["label"], lists = v.labels(given, bad, wanted.label_names)
        if any(one is not None for one in lists):
            targets["labels"] = lists
    if (given := column("labels")) is not None:
        targets["labels"] = v.labels([v.parsed(one) for one in given], bad, wanted.label_names)[1]
    if (given := column("value")) is not None:
        targets["value"] = v.numbers(given, bad)
    if (given := column("output")) is not None:
        targets["output"] = v.texts(given, bad, wanted.max_chars, [one is None for one in given], None)
    if (given := column("spans")) is not None:
        targets["spans"] = v.spans(given, made.get("text", [None] * len(given)), bad)
    if (given := column("relations")) is not None:
        targets["relations"] = v.relations(given, targets.get("spans", [None] * len(given)), bad)
    if (given := column("answer")) is not None:
        nothing = [None] * len(given)
        targets["answer"] = v.answers(given, made.get("text_b", made.get("text", nothing)), bad)
    return targets


def _about(column: Any, bad: dict[int, str]) -> dict[str, list[Any]]:
    about: dict[str, list[Any]] = {}
    for name in ("id", "group", "language", "licence"):
        if (given := column(name)) is not None:
            about[name] = v.names(given, name, bad)
    if (given := column("time")) is not None:
        about["time"] = v.times(given, bad)
    if (given := column("votes")) is not None:  # only where a format is asked for them
        about["votes"] = v.votes(given, bad)
    return about


def _meta(
    given: list[Any] | None, rows: list[dict[str, Any]], layouts: list[Layout], bad: dict[int, str]
) -> list[str | None]:
    """Everything that has no field of its own, as JSON text; nulls are left out."""
    kept: list[str | None] = []
    for i, (row, own) in enumerate(zip(rows, layouts, strict=True)):
        if not own.extras and given is None:
            kept.append(None)
            continue
        rest = v.without(row, own.nested) if own.nested else row
        meta = {key: rest[key] for key in own.extras if rest.get(key) is not None}
        if given is not None and given[i] is not None:
            inner = v.parsed(given[i])
            meta |= inner if isinstance(inner, dict) else {"meta": inner}
        kept.append(v.json_text(meta) if meta else None)
    return kept


def _table(made: dict[str, list[Any]], chunk: Chunk, bad: dict[int, str], wanted: Wanted) -> pa.Table:
    n = len(chunk.rows)
    made["line"] = chunk.numbers
    targets = [made[name] for name in TARGETS if name in made]
    if targets:
        made["label_from"] = [
            "given" if any(one is not None for one in row) else None for row in zip(*targets, strict=True)
        ]
    if bad:
        good = [i for i in range(n) if i not in bad]
        made = {name: [values[i] for i in good] for name, values in made.items()}
        n = len(good)
    fixed = {"source": wanted.source, "file": chunk.file, "keep": True}
    if "licence" in made:
        made["licence"] = [own or wanted.licence for own in made["licence"]]
    else:
        fixed["licence"] = wanted.licence or None
    columns = []
    for wanted_field in SCHEMA:
        name, kind = wanted_field.name, wanted_field.type
        if name in made:
            columns.append(pa.array(made[name], kind))
        elif fixed.get(name) is not None:
            columns.append(pa.repeat(pa.scalar(fixed[name], kind), n))
        else:
            columns.append(pa.nulls(n, kind))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _rejects(chunk: Chunk, bad: dict[int, str]) -> list[Reject]:
    def raw(i: int) -> str:
        return chunk.raws[i] if chunk.raws is not None else v.json_text(chunk.rows[i])

    return [Reject(chunk.file, chunk.numbers[i], reason, raw(i)[:2000]) for i, reason in sorted(bad.items())]


def layout(keys: tuple[str, ...], fields: Mapping[str, str], targets: tuple[str, ...] = ()) -> Layout:
    """Where the record fields are among these keys: as `fields` says, else under the names of FORMS and BY_NAME."""
    there = set(keys)
    found = {name: key for name, key in fields.items() if key}
    heads = {name: key if key in there else key.split(".")[0] for name, key in found.items()}
    used = set(heads.values())
    if "text" not in fields:
        for names, form in FORMS:
            if there.issuperset(names) and not used & set(names):
                found |= {name: key for name, key in form.items() if name not in fields and key in there}
                break
    elif "text_b" not in fields and "text_b" in there - used:
        found["text_b"] = "text_b"
    for name in dict.fromkeys((*BY_NAME, *targets)):
        if name not in fields and name not in found and name in there - used:
            found[name] = name
    whole = {key for name, key in found.items() if key in there}
    nested = tuple(key for key in found.values() if key not in there and "." in key and key.split(".")[0] in there)
    return Layout(found, tuple(key for key in keys if key not in whole), nested)


def _get(row: Mapping[str, Any], key: str) -> Any:
    """The value at a key, or at a dotted path where there is no such key."""
    if key in row or "." not in key:
        return row.get(key)
    value: Any = row
    for part in key.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _has(row: Mapping[str, Any], key: str) -> bool:
    return key in row or ("." in key and _get(row, key) is not None)


def _absent(row: Mapping[str, Any], wanted: Wanted) -> str:
    asked = wanted.fields.get("text") or "text"
    return f"missing field: no {asked!r}; there are: {', '.join(map(str, row))[:200] or 'none'}"


def _check_header(columns: tuple[str, ...], file: str, wanted: Wanted) -> None:
    """A header without what was asked for fails as a whole: row by row it would only say the same."""
    for name, key in wanted.fields.items():
        if key and key not in columns and key.split(".")[0] not in columns:
            raise DataError(
                f"there is no column {key!r}, which fields.{name} asks for",
                where=file,
                hint=nearest(key, columns, "columns"),
            )
    found = layout(columns, wanted.fields, wanted.targets).keys
    if "text" not in found and "messages" not in found:
        raise DataError(
            f"no column is named text; there are: {', '.join(columns)}",
            where=file,
            hint="say which one holds the text, as in fields: {text: " + (columns[0] if columns else "NAME") + "}",
        )
