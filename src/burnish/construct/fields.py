"""Where a maker finds something in a record: a field of its own ("group", "text"), or "meta.NAME", dots for what lies inside."""

from __future__ import annotations

from typing import Any

from burnish.core.errors import BurnishError
from burnish.core.records import COLUMNS, Record
from burnish.core.stage import nearest


def value_of(record: Record, field: str) -> Any:
    """What stands there; None where nothing does."""
    column, _, inner = field.partition(".")
    found = getattr(record, column)
    for part in inner.split(".") if inner else ():
        found = found.get(part) if isinstance(found, dict) else None
    return found


def field_problems(key: str, field: str | None) -> list[tuple[str, str, str]]:
    """(key, message, hint) when no record can have such a field."""
    if field is None:
        return []
    column, _, inner = field.partition(".")
    if column in COLUMNS and bool(inner) == (column == "meta"):
        return []
    names = [name for name in COLUMNS if name != "meta"]
    return [(key, f"records have no field {field!r}", nearest(column, names, "meta.NAME, or one of"))]


def need(found: int, field: str, *, where: str, hint: str) -> None:
    """Say so when no record has what a setting names."""
    if not found:
        raise BurnishError(f"no record has {field!r}", where=where, hint=hint)
