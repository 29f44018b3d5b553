"""Labelled records that a model is shown before the one it answers: for each, those that share most words with it.

Retrieved examples in the context (Liu et al. 2022, "What makes good in-context examples for GPT-3?"), found by BM25, which
needs no second model and is right for Chinese.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.text.bm25 import Bm25

FILE = "demonstrations.parquet"


class Demonstrations:
    """What may be shown: texts (the second one or None) and their answers."""

    def __init__(self, texts: Sequence[str], seconds: Sequence[str | None], answers: Sequence[str]) -> None:
        self.texts, self.seconds, self.answers = list(texts), list(seconds), list(answers)

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def _index(self) -> Bm25:
        return Bm25([f"{text} {second or ''}" for text, second in zip(self.texts, self.seconds, strict=True)])

    def nearest(self, text: str, *, count: int) -> list[int]:
        """The best `count`, the best one last, where a model weighs it most; never the text itself."""
        found = [row for row in self._index.top(text, count=count + 5) if self.texts[row] != text][:count]
        return found[::-1]

    def save(self, folder: Path) -> None:
        """One file beside the model."""
        columns = {"text": self.texts, "text_b": self.seconds, "answer": self.answers}
        pq.write_table(
            pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), folder / FILE
        )

    @classmethod
    def open(cls, folder: Path) -> Demonstrations | None:
        """Those of a model folder; None where it has none."""
        if not (folder / FILE).is_file():
            return None
        table = pq.read_table(folder / FILE)
        return cls(*(table[name].to_pylist() for name in ("text", "text_b", "answer")))
