"""What makes a look at a record worth it, as numbers: how its votes disagree, how unsure it is, what was found in it.

All are 0..1, one a record, computed batch by batch. Votes that can contradict each other are those on the same thing: the
whole record, or stretches of text that overlap; a labeller that says nothing of a stretch has not contradicted anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from burnish.core.artifacts import Records
from burnish.tasks.editors import Editor

Floats = NDArray[np.float64]
COLUMNS = ("id", "label", "probs", "confidence", "votes", "findings", "keep", "source", "language", "meta")
ONE_OF = (
    "label",
    "value",
    "answer",
    "output",
    "messages",
)  # kinds of which a record has one: two votes exclude each other


@dataclass
class Signals:
    """For n records. told: row -> what a sentence about it needs. slices: column -> the value of each record."""

    ids: list[str]
    disagreement: Floats
    uncertainty: Floats
    suspicion: Floats
    targeted: NDArray[np.bool_]  # a target is there
    waiting: NDArray[np.bool_]  # a person can still change something: not set aside as a copy or as broken
    slices: dict[str, list[Any]]
    told: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def measure(records: Records, task: Any, editors: Sequence[Editor], slices: Sequence[str]) -> Signals:
    """Signals of all records; `slices` are columns, or meta.NAME. Memory: five numbers and an id a record."""
    parts = []
    needs = list(
        dict.fromkeys([*COLUMNS, *task.target, *task.reads, *(one for one in slices if not one.startswith("meta."))])
    )
    at = 0
    for batch in records.batches(needs):
        parts.append(_of_batch(batch, task, editors, slices, at))
        at += len(batch)
    if not parts:
        nothing = np.zeros(0)
        return Signals(
            [], nothing, nothing, nothing, nothing.astype(bool), nothing.astype(bool), {one: [] for one in slices}
        )
    return Signals(
        [one for part in parts for one in part.ids],
        np.concatenate([part.disagreement for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
        np.concatenate([part.suspicion for part in parts]),
        np.concatenate([part.targeted for part in parts]),
        np.concatenate([part.waiting for part in parts]),
        {name: [one for part in parts for one in part.slices[name]] for name in slices},
        {row: told for part in parts for row, told in part.told.items()},
    )


def _of_batch(batch: pa.Table, task: Any, editors: Sequence[Editor], slices: Sequence[str], first: int) -> Signals:
    exclusive = all(one.kind in ONE_OF for one in editors)
    nested = any(one.kind == "spans" and one.nested for one in editors)
    targeted = np.asarray(task.labelled(batch), dtype=bool)
    told: dict[int, dict[str, Any]] = defaultdict(dict)
    disagreement = np.zeros(len(batch))
    for row, votes in _voted(batch["votes"]):
        if len(votes) > 1:
            disagreement[row], sides = conflict(votes, exclusive=exclusive, nested=nested)
            if disagreement[row]:
                told[first + row]["sides"] = sides
    suspicion, waiting = np.zeros(len(batch)), np.ones(len(batch), dtype=bool)
    keep = batch["keep"].to_pylist()
    for row, findings in enumerate(batch["findings"].to_pylist()):
        for one in findings or ():
            if (one["action"] or "").split(":")[0] in ("review", "relabel") and one["check"] != "review":
                score = min(1.0, max(0.0, float(one["score"] or 0)))
                if score > suspicion[row]:
                    suspicion[row] = score
                    told[first + row]["finding"] = {"check": one["check"], "reason": one["reason"]}
        waiting[row] = keep[row] is not False or not any((one["action"] or "") == "drop" for one in findings or ())
    return Signals(
        batch["id"].to_pylist(), disagreement, _unsure(batch, targeted), suspicion, targeted, waiting,
        {name: _column(batch, name) for name in slices}, dict(told),
    )  # fmt: skip


def _voted(column: pa.ChunkedArray) -> list[tuple[int, list[dict[str, Any]]]]:
    """Rows with two votes or more; most records of most sets have fewer, and are not opened."""
    import pyarrow.compute as pc

    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    rows = np.flatnonzero(counts > 1)
    return list(zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True)) if len(rows) else []


def conflict(
    votes: Sequence[Mapping[str, Any]], *, exclusive: bool, nested: bool = False
) -> tuple[float, dict[str, list[str]]]:
    """Share of comparable pairs of labellers that contradict each other, 0..1, and who stands on which side.

    exclusive: votes on the whole record exclude each other (one label); else several labels may hold at once.
    nested: spans may lie in each other, so that only those of the same place can contradict each other.
    """
    met = against = 0
    sides: dict[str, list[str]] = defaultdict(list)
    for one in votes:
        sides[str(one["label"] or one.get("text") or "")].append(one["labeller"])
    for a, b in combinations(votes, 2):
        if a["labeller"] == b["labeller"]:
            continue
        placed = a.get("start") is not None and b.get("start") is not None
        if placed:
            if a["start"] >= b["end"] or b["start"] >= a["end"]:
                continue
            if nested and (a["start"], a["end"]) != (b["start"], b["end"]):
                continue
            keys = ("label", "start", "end", "tail_start", "tail_end")
            differ = any(a.get(key) != b.get(key) for key in keys)
        elif exclusive:
            differ = a["label"] != b["label"] or a.get("text") != b.get("text")
        else:
            continue
        met += 1
        against += differ
    return (against / met if met else 0.0), dict(sides)


def _unsure(batch: pa.Table, targeted: NDArray[np.bool_]) -> Floats:
    """1 - (best - second) of the probabilities where there are any, else 1 - confidence; 1 where nothing is known."""
    sure = np.array([np.nan if one is None else one for one in batch["confidence"].to_pylist()], dtype=np.float64)
    made = np.where(np.isnan(sure), 0.0, 1 - sure)  # a target of unknown confidence: given with the data
    for row, probs in enumerate(batch["probs"].to_pylist()):
        if probs and len(probs) > 1:
            second, best = np.partition(np.asarray(probs, dtype=np.float64), -2)[-2:]
            made[row] = 1 - (best - second)
    made[~targeted] = 1.0
    return np.clip(made, 0.0, 1.0)


def _column(batch: pa.Table, name: str) -> list[Any]:
    """A column as text, or a place in meta."""
    import json

    if not name.startswith("meta."):
        return [one if one is None or isinstance(one, str) else str(one) for one in batch[name].to_pylist()]
    key = name.removeprefix("meta.")
    found = [json.loads(one).get(key) if one else None for one in batch["meta"].to_pylist()]
    return [None if one is None else str(one) for one in found]
