"""What every labeller shares: walking the records and the gold, labels that must be the task's, votes as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Said, rows_of, votable
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, TaskSpec, nearest


def walk(
    records: Records, gold: Gold | None, columns: Sequence[str] | None = None
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Batches of the records, then of the gold, each with the rows that votes on it carry (gold: -1, -2, …)."""
    at = 0
    for batch in records.batches(columns):
        yield np.arange(at, at + len(batch)), batch
        at += len(batch)
    at = 0
    for batch in gold.batches(columns) if gold is not None else ():
        yield -1 - np.arange(at, at + len(batch)), batch
        at += len(batch)


def texts_of(batch: pa.Table) -> list[str]:
    """What a labeller reads of each record: its text, a second text on the next line."""
    first = batch["text"].to_pylist()
    second = batch["text_b"].to_pylist() if "text_b" in batch.column_names else [None] * len(first)
    return [(one or "") if two is None else f"{one or ''}\n{two}" for one, two in zip(first, second, strict=True)]


def all_texts(records: Records, gold: Gold | None) -> tuple[np.ndarray, list[str]]:
    """Rows and texts of all of them: for labellers that must see all. Memory: the texts."""
    rows, texts = [np.empty(0, dtype=np.int64)], []
    for some, batch in walk(records, gold, ["text", "text_b"]):
        rows.append(some)
        texts += texts_of(batch)
    return np.concatenate(rows), texts


def label_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: a labeller's label must be one of the task's."""
    label, labels = settings["label"], votable(task)
    if label in labels or not labels:
        return []
    return [("label", f"the task has no label {label!r}", nearest(label, labels, "its labels are"))]


def check_label(label: str, context: Context, where: str) -> str:
    """The label when the task has it, else an error that names the nearest."""
    labels = votable(context.task)
    if label not in labels:
        raise BurnishError(
            f"{label!r} is not a label of the task", where=where, hint=nearest(label, labels, "the task has")
        )
    return label


class Ballot:
    """Collects votes column by column; `votes` makes the artefact."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._waiting: list[dict[str, Any]] = []

    def add(
        self,
        rows: np.ndarray,
        labeller: str,
        labels: str | Sequence[str],
        confidence: float | np.ndarray = 1.0,
        *,
        start: np.ndarray | None = None,
        end: np.ndarray | None = None,
    ) -> None:
        """Votes of one labeller: rows (v,), one label or one a row, one confidence in 0..1 or one a row.

        start, end: (v,) characters where votes are on spans; a row may then come several times.
        """
        count = len(rows)
        if not count:
            return
        said = pa.array([labels] * count if isinstance(labels, str) else list(labels), pa.string())
        sure = np.broadcast_to(np.asarray(confidence, dtype=np.float32), (count,))
        given = {
            "row": pa.array(np.asarray(rows, dtype=np.int64)),
            "labeller": pa.array([labeller] * count, pa.string()),
            "label": said,
            "confidence": pa.array(sure, pa.float32()),
            "start": None if start is None else pa.array(np.asarray(start, dtype=np.int32)),
            "end": None if end is None else pa.array(np.asarray(end, dtype=np.int32)),
        }
        columns = [
            found if (found := given.get(field.name)) is not None else pa.nulls(count, field.type)
            for field in Votes.SCHEMA
        ]
        self._tables.append(pa.Table.from_arrays(columns, schema=Votes.SCHEMA))

    def cast(self, row: int, labeller: str, said: Iterable[Said]) -> None:
        """Votes of one labeller on one row, in the task's form."""
        self._waiting += rows_of(row, labeller, said)

    def votes(self, labellers: Sequence[Labeller]) -> Votes:
        tables = [Votes.SCHEMA.empty_table(), *self._tables, Votes.tabled(self._waiting)]
        return Votes(labellers, pa.concat_tables(tables).combine_chunks())
