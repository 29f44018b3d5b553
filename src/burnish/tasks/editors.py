"""What a person changes when a record is reviewed: a task names its editors, and no page asks which task it is.

kind       what is edited, and the shape of its value in a record
label      one of `labels`: a string                      labels     any of `labels`: a list of strings
spans      [{start, end, label}] of the text in `over`    relations  [{head, tail, label}] over the record's spans
answer     {text, start} in the text of `over`            value      a number within low..high, by `step` where that is set
output     a text that is written                         messages   a conversation; turns of the assistant are written
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = ("label", "labels", "spans", "relations", "answer", "value", "output", "messages")


@dataclass(frozen=True)
class Editor:
    """One target of a record. path: its column, or the way to it in meta. name: of its task, among several.

    ordered: labels stand in an order. separator: parts of a label's path in a tree. open: labels beside `labels` may be
    given (types of spans that no section of the spec lists). clears: other places of the same target, emptied by a change.
    panes: what the columns of the input are, by column: question, context, query, candidate, source.
    """

    kind: str
    path: tuple[str, ...]
    labels: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    over: str = "text"
    name: str = ""
    ordered: bool = False
    separator: str = ""
    open: bool = False
    nested: bool = True
    low: float | None = None
    high: float | None = None
    step: float | None = None
    clears: tuple[tuple[str, ...], ...] = ()
    panes: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def shown(self, row: Mapping[str, Any]) -> Any:
        """Its value in a row of records whose meta is a mapping; None without one."""
        return reach(row, self.path)


def reach(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands at a path of nested mappings; None where it ends before."""
    value: Any = row
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def put(row: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set what stands at a path, making the mappings on the way; what else they hold stays."""
    for key in path[:-1]:
        inside = row.get(key)
        row[key] = dict(inside) if isinstance(inside, Mapping) else {}
        row = row[key]
    row[path[-1]] = value
