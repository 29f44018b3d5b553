"""An index of texts to find again: the entries of a FAQ, the candidates of a retriever.

Exact search: one matrix product. 100,000 entries of 384 numbers are 154 MB and some ten milliseconds a query; more than
that wants an approximate index, which this is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.errors import BurnishError

ENTRIES, VECTORS = "questions.parquet", "questions.npy"


@dataclass(frozen=True)
class Index:
    """Distinct texts, what is replied to each (None where nothing is), and their vectors (n, D), rows of length 1.

    vectors: None where entries are found by their words (BM25) and scored by a cross-encoder.
    """

    texts: list[str]
    replies: list[str | None]
    vectors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, texts: Sequence[str], replies: Sequence[str | None] | None = None) -> Index:
        """The distinct texts in the order they came; of a repeated one, the first reply there is."""
        found: dict[str, str | None] = {}
        for text, reply in zip(texts, replies or [None] * len(texts), strict=True):
            found[text] = found.get(text) or reply
        return cls(list(found), list(found.values()))

    def save(self, folder: Path) -> None:
        """Two files beside the model; the folder is new, its rename is the caller's."""
        pq.write_table(
            pa.table({"text": pa.array(self.texts, pa.string()), "reply": pa.array(self.replies, pa.string())}),
            folder / ENTRIES,
        )
        if self.vectors is not None:
            np.save(folder / VECTORS, self.vectors, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Index | None:
        """The index of a model folder; None where it has none."""
        if not (folder / ENTRIES).is_file():
            return None
        table = pq.read_table(folder / ENTRIES)
        there = (folder / VECTORS).is_file()
        vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False) if there else None
        if vectors is not None and len(vectors) != len(table):
            raise BurnishError(
                f"{len(vectors)} vectors for {len(table)} entries",
                where=str(folder / VECTORS),
                hint="train again: its two files are of two models",
            )
        return cls(table["text"].to_pylist(), table["reply"].to_pylist(), vectors)


def nearest(vectors: np.ndarray, queries: np.ndarray, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, cosines), each (Q, min(count, n)), best first; of equal ones the first. Memory: 1,024 queries x n numbers."""
    rows, scores = [], []
    for at in range(0, len(queries), 1024):
        part = queries[at : at + 1024] @ vectors.T
        order = np.argsort(-part, axis=1, kind="stable")[:, :count]
        rows.append(order)
        scores.append(np.take_along_axis(part, order, axis=1))
    width = min(count, len(vectors))
    empty = np.zeros((0, width))
    return np.concatenate(rows or [empty.astype(np.int64)]), np.concatenate(scores or [empty])


def shortened(vectors: np.ndarray, size: int) -> np.ndarray:
    """The first `size` numbers of each vector, brought back to length 1: what Matryoshka training is for."""
    cut = np.asarray(vectors[:, :size], dtype=np.float32)
    made: np.ndarray = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
    return made
