"""Texts in an Arrow column, read like a list: what is asked for becomes a string, the rest stays where it lies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

_AT_ONCE = 4096


class Lines(Sequence[str]):
    """A column of texts without None. An English text takes its bytes and 4, where a list of strings takes 57 more."""

    def __init__(self, column: pa.ChunkedArray | pa.Array) -> None:
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        self.column = column.fill_null("") if column.null_count else column
        self._chunks = self.column.chunks
        self._starts = [0, *np.cumsum([len(chunk) for chunk in self._chunks]).tolist()]

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, at: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        place = at.__index__()
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(at)
        chunk = bisect_right(self._starts, place) - 1
        text: str = self._chunks[chunk][place - self._starts[chunk]].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for chunk in self._chunks:
            for start in range(0, len(chunk), _AT_ONCE):
                yield from chunk.slice(start, _AT_ONCE).to_pylist()

    def to_pylist(self) -> list[str]:
        """All of them as strings."""
        texts: list[str] = self.column.to_pylist()
        return texts

    def take(self, rows: ArrayLike) -> Lines:
        """Those at these places, in this order."""
        return Lines(self.column.take(pa.array(rows)))
