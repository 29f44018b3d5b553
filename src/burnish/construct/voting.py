"""What every labeller shares: walking the records and the gold, labels that must be the task's, votes as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, TaskSpec, nearest
from burnish.core.tasktypes import one_label, targets_of


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


def task_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: votes are for one label a text, so the target must be one."""
    if one_label(task):
        return []
    target = ", ".join(targets_of(task))
    message = f"votes are for one label a text, and a target of {task.type} is in {target}"
    return [("use", message, "leave construct out and give labelled records as a source")]


def label_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: a labeller's label must be one of the task's, and the task one of labels."""
    label = settings["label"]
    if not one_label(task):
        return task_problems(settings, task)
    if label in task.labels or not task.labels:
        return []
    return [("label", f"the task has no label {label!r}", nearest(label, task.labels, "its labels are"))]


def check_label(label: str, context: Context, where: str) -> str:
    """The label when the task has it, else an error that names the nearest."""
    labels = context.task.labels
    if label not in labels:
        raise BurnishError(
            f"{label!r} is not a label of the task", where=where, hint=nearest(label, labels, "the task has")
        )
    return label


class Ballot:
    """Collects votes column by column; `votes` makes the artefact."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self._labellers: list[str] = []
        self._labels: list[np.ndarray] = []
        self._confidences: list[np.ndarray] = []

    def add(
        self, rows: np.ndarray, labeller: str, labels: str | Sequence[str], confidence: float | np.ndarray = 1.0
    ) -> None:
        """Votes of one labeller: rows (v,), one label or one a row, one confidence in 0..1 or one a row."""
        if not len(rows):
            return
        self._rows.append(np.asarray(rows, dtype=np.int64))
        self._labellers.append(labeller)
        self._labels.append(
            np.full(len(rows), labels, dtype=object) if isinstance(labels, str) else np.array(labels, dtype=object)
        )
        self._confidences.append(np.broadcast_to(np.asarray(confidence, dtype=np.float32), (len(rows),)))

    def votes(self, labellers: Sequence[Labeller]) -> Votes:
        if not self._rows:
            return Votes(labellers, Votes.SCHEMA.empty_table())
        count = sum(map(len, self._rows))
        names = [np.full(len(rows), name, dtype=object) for rows, name in zip(self._rows, self._labellers, strict=True)]
        nothing = pa.nulls(count, pa.int32())
        table = pa.Table.from_arrays(
            [
                pa.array(np.concatenate(self._rows), pa.int64()),
                pa.array(np.concatenate(names), pa.string()),
                pa.array(np.concatenate(self._labels), pa.string()),
                pa.array(np.concatenate(self._confidences), pa.float32()),
                nothing,
                nothing,
            ],
            schema=Votes.SCHEMA,
        )
        return Votes(labellers, table)
