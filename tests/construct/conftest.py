"""A small world for labellers: a task in both languages, records in memory, a context that says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec(labels=("negative", "positive"), languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


@pytest.fixture
def records_of() -> Callable[..., Records]:
    def make(*texts: str, **columns: list[object]) -> Records:
        rows = [
            Record(text=text, id=str(i), **{name: values[i] for name, values in columns.items()})  # type: ignore[arg-type]
            for i, text in enumerate(texts)
        ]
        return Records.from_rows(rows)

    return make


@pytest.fixture
def gold_of() -> Callable[..., Gold]:
    def make(pairs: list[tuple[str, str]], *, train: bool = False) -> Gold:
        gold = Gold.from_rows(Record(text=text, label=label) for text, label in pairs)
        assert isinstance(gold, Gold)
        gold.facts = {"train": train}
        return gold

    return make


def by_row(votes: Votes) -> dict[int, str]:
    """row -> label of a single labeller's votes."""
    return dict(zip(votes.table["row"].to_pylist(), votes.table["label"].to_pylist(), strict=True))
