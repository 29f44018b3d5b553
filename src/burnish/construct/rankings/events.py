"""What people did with what they were shown, read from a log file or from records, one event a row."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.core.errors import BurnishError, DataError
from burnish.core.records import Record
from burnish.core.stage import nearest

# what a log says of an event -> how its key is called where nothing else is said
FIELDS = ("user", "list", "query", "item", "text", "position", "action", "dwell", "time")
GRADES = {"impression": 0.0, "view": 0.0, "skip": 0.0, "click": 1.0, "cart": 2.0, "purchase": 3.0}


@dataclass(slots=True)
class Event:
    """One thing shown or done. list: the page of results it stood on. grade: 0 shown alone, 1 clicked, more is more.

    position: from 1. time: a datetime, or None. record: the row it came from.
    """

    user: str | None
    list: str | None
    query: str | None
    item: str
    text: str | None
    position: int | None
    grade: float
    time: datetime.datetime | None
    record: Record | None


def of_records(records: Sequence[Record], fields: Mapping[str, str], rules: Rules) -> Iterator[Event]:
    """Events that records are: text the query (or, where a query is the history, the item), text_b the item, the rest in meta."""
    for record in records:
        row: dict[str, Any] = dict(record.meta)
        row |= {"query": record.text, "text": record.text_b, "time": record.time} if record.text_b else {
            "text": record.text, "time": record.time}  # fmt: skip
        row.setdefault("item", record.text_b or record.text)
        row.setdefault("list", record.group)
        where = f"{record.file}:{record.line}" if record.file else f"record {record.id}"
        if (event := _event(row, fields, rules, where)) is not None:
            event.record = record
            yield event


def of_file(path: Path, fields: Mapping[str, str], columns: Sequence[str] | None, rules: Rules) -> Iterator[Event]:
    """Events of a log: .jsonl, .csv, .tsv or .parquet. columns: names for a file without a header."""
    import polars as pl

    try:
        if path.suffix in (".jsonl", ".ndjson", ".json"):
            table = pl.read_ndjson(path, infer_schema_length=None)
        elif path.suffix == ".parquet":
            table = pl.read_parquet(path)
        else:
            separator = "," if path.suffix == ".csv" else "\t"
            table = pl.read_csv(
                path, separator=separator, has_header=not columns, new_columns=list(columns or ()) or None,
                infer_schema=False,
            )  # fmt: skip
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the log cannot be read: {error}", where=str(path), hint="jsonl, csv, tsv or parquet"
        ) from error
    for wanted, key in fields.items():
        if key not in table.columns:
            raise DataError(
                f"no column {key!r}", where=str(path), hint=f"fields.{wanted}: {nearest(key, table.columns, 'it has')}"
            )
    if fields.get("item", "item") not in table.columns:
        raise DataError("no column 'item'", where=str(path), hint="fields: {item: COLUMN}")
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        if (event := _event(row, fields, rules, f"{path}:{number}")) is not None:
            yield event


@dataclass(frozen=True)
class Rules:
    """How an action becomes a grade. least_dwell: seconds; a click that stayed less is none. skipped: what was left out, by reason."""

    grades: Mapping[str, float]
    least_dwell: float
    highest: float
    skipped: Counter[str]


def _event(row: Mapping[str, Any], fields: Mapping[str, str], rules: Rules, where: str) -> Event | None:
    said = {name: row.get(fields.get(name, name)) for name in FIELDS}
    if said["item"] is None:
        rules.skipped["no item"] += 1
        return None
    grade = _grade(said["action"], rules, where)
    if grade > 0 and said["dwell"] is not None and _number(said["dwell"], "dwell", where) < rules.least_dwell:
        rules.skipped["left at once: counts as shown alone"] += 1
        grade = 0.0
    position = None if said["position"] is None else int(_number(said["position"], "position", where))
    if position is not None and position < 1:
        raise DataError(f"position {position} is not from 1 up", where=where, hint="the first place is 1")
    return Event(
        user=_name(said["user"]), list=_name(said["list"]), query=_name(said["query"]), item=str(said["item"]),
        text=_name(said["text"]), position=position, grade=grade, time=_time(said["time"], where), record=None,
    )  # fmt: skip


def _grade(action: Any, rules: Rules, where: str) -> float:
    if action is None:
        return 1.0  # a log of what was taken: every row is a wish
    if (named := rules.grades.get(str(action).lower())) is not None:
        return min(named, rules.highest)
    try:
        return min(max(float(action), 0.0), rules.highest)
    except (TypeError, ValueError):
        hint = nearest(str(action), rules.grades, "actions: {NAME: GRADE} says what it is worth; known are")
        raise DataError(f"nobody knows the action {action!r}", where=where, hint=hint) from None


def _number(value: Any, name: str, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"{name} is no number: {value!r}", where=where, hint=f"fields: {{{name}: COLUMN}}") from None


def _name(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _time(value: Any, where: str) -> datetime.datetime | None:
    """A datetime, an ISO text, or seconds (or milliseconds) since 1970."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    try:
        seconds = float(value)
        return datetime.datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, datetime.UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        found = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        raise DataError(
            f"time cannot be read: {value!r}", where=where, hint="ISO 8601, or seconds since 1970"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def checked_grades(actions: Mapping[str, float] | None) -> dict[str, float]:
    """What each action is worth; BurnishError for a grade below 0."""
    grades = {**GRADES, **{name.lower(): float(grade) for name, grade in (actions or {}).items()}}
    if wrong := [name for name, grade in grades.items() if grade < 0]:
        raise BurnishError(
            f"the action {wrong[0]!r} is worth less than 0",
            where="construct.behaviour.actions",
            hint="0 is shown alone",
        )
    return grades
