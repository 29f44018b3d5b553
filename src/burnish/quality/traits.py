"""What records say by themselves: found block by block, on as many cores or machines as the engine names.

A trait is a function of a block of records to a column with a row for each of them, and looks at one record at a time:

    def marks(block: Block) -> pa.Array: ...

    @check("markup", dimension="noise", auto="report", reads=[marks])
    def markup(material: Material) -> Found:
        for row, one in told(material.trait(marks)): ...

What a check reads is said beside it, so that one pass finds the traits of all checks. Comparing records is the check's own
matter, and done here. A block is cut by its records alone: every engine sees the same ones, and makes the same columns.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from burnish.core.records import TARGETS
from burnish.text.groups import Groups
from burnish.text.inputs import said
from burnish.text.language import Languages, languages
from burnish.text.obfuscation import Hidden

Made = TypeVar("Made")
Array = np.ndarray[Any, np.dtype[Any]]
COLUMNS = ("text", "text_b", "messages", *TARGETS, "probs", "time")  # of a block
RECORDS, BYTES = 4096, 1 << 20  # of a block, whichever comes first


@dataclass(frozen=True)
class Asked:
    """What a block must know besides its records: the task's languages, its class labels, and what ethics checks were told."""

    languages: tuple[str, ...]
    labels: tuple[str, ...] = ()
    groups: Groups = dataclasses.field(default_factory=dict)
    hidden: Hidden | None = None


class Block:
    """Some hundred records: `table` with COLUMNS and what the check added, `texts` as a model would read them."""

    def __init__(self, table: pa.Table, asked: Asked) -> None:
        self.table, self.asked = table, asked
        self._found: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def texts(self) -> list[str]:
        return said(self.table)

    @functools.cached_property
    def languages(self) -> Languages:
        return languages(self.texts, among=self.asked.languages)

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self.table[name].to_pylist()
        return values

    def once(self, function: Callable[[Block], Made]) -> Made:
        """function(self), found once for all traits that need it."""
        if function not in self._found:
            self._found[function] = function(self)
        made: Made = self._found[function]
        return made


Trait = Callable[[Block], pa.Array]


def read(table: pa.Table | pa.Buffer, *, traits: Sequence[Trait], asked: Asked) -> pa.RecordBatch:
    """The traits of one block, a column each, named by their places."""
    block = Block(opened(table), asked)
    return pa.record_batch([trait(block) for trait in traits], names=[str(at) for at in range(len(traits))])


def apply(table: pa.Table | pa.Buffer, *, function: Callable[[Block], Made], asked: Asked) -> Made:
    """What a function makes of one block."""
    return function(Block(opened(table), asked))


def cut(table: pa.Table) -> Iterator[pa.Table]:
    """The table in blocks of RECORDS, fewer where their texts have more than BYTES; a longer text is a block of its own."""
    for start in range(0, len(table), RECORDS):
        part = table.slice(start, RECORDS)
        size = _sizes(part)
        begin, held = 0, 0
        for at, own in enumerate(size.tolist()):
            if held and held + own > BYTES:
                yield part.slice(begin, at - begin)
                begin, held = at, 0
            held += own
        if begin < len(part):
            yield part.slice(begin)


def _sizes(table: pa.Table) -> Array:
    """(n,) bytes of the texts, about."""
    import pyarrow.compute as pc

    total = np.zeros(len(table), dtype=np.int64)
    for name in ("text", "text_b"):
        total += pc.fill_null(pc.binary_length(table[name]), 0).to_numpy()
    if table["messages"].null_count < len(table):
        turns = table["messages"].to_pylist()
        total += [sum(len(turn["content"] or "") for turn in talk or ()) for talk in turns]
    return total


def sealed(table: pa.Table) -> pa.Buffer:
    """A block to be sent: pickle would send the whole table that it is a slice of."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def opened(table: pa.Table | pa.Buffer) -> pa.Table:
    return table if isinstance(table, pa.Table) else pa.ipc.open_stream(table).read_all()


def told(column: pa.ChunkedArray) -> Iterator[tuple[int, Any]]:
    """(row, what it says) of the rows that say something, as Python sees it."""
    start = 0
    for chunk in column.chunks:
        there = np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
        for row, one in zip(there.tolist(), chunk.take(pa.array(there)).to_pylist(), strict=True):
            yield start + row, one
        start += len(chunk)


def field(column: pa.ChunkedArray, name: str) -> Array:
    """(n,) one field of a column of structs; 0, False or None where it has none."""
    import pyarrow.compute as pc

    values = pc.struct_field(column, name)
    if values.null_count and not pa.types.is_string(values.type):
        values = pc.fill_null(values, pa.scalar(0, values.type) if not pa.types.is_boolean(values.type) else False)
    made: Array = values.to_numpy()
    return made


def flat(column: pa.ChunkedArray) -> tuple[Array, Array]:
    """Of a column of lists, all values one behind the other, and where each row begins: (n + 1,)."""
    import pyarrow.compute as pc

    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = pc.list_flatten(column)
    return values.to_numpy(), np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def rows_of(values: Sequence[Mapping[str, Any] | None], **types: pa.DataType) -> pa.Array:
    """A column of structs with these fields."""
    return pa.array(values, pa.struct(list(types.items())))
