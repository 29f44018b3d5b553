"""What a check is, and what it may look at. A check is a function in one registry: a score for every record, a flag, a summary.

    @check("empty", dimension="noise", auto="drop")
    def empty(material: Material) -> Found:
        \"\"\"Texts without a letter or a figure. ...formula, source...\"\"\"

It looks at `Material` alone and says a reason that a person understands; what one record says by itself is a trait
(quality.traits), which it names in `reads`, so that all are found in one pass over the texts. What is done about a finding is decided later
(quality.curate); `auto` is what that does when nobody says otherwise.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.core.artifacts import Records
from burnish.core.records import TARGETS, Reject
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.quality.material import Array as Array
from burnish.quality.material import Embed, Views
from burnish.quality.told import Told
from burnish.quality.traits import Trait, cut
from burnish.text.inputs import said
from burnish.text.lines import Lines

Dimension = Literal["distribution", "noise", "diversity", "timeliness", "ethics"]
Auto = Literal["drop", "report"]
COLUMNS = (
    "id", "text", "text_b", "messages", *TARGETS, "probs", "meta", "label_from", "confidence", "keep",
    "source", "file", "line", "time", "group", "language", "licence",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a check says about n records.

    score: (n,) 0 (nothing wrong) to 1 (worst). flagged: (n,) records with a finding. reason, action: of a flagged row.
    action: drop, relabel:LABEL, soften, redact, reweigh:WEIGHT, review or keep. facts: the check's numbers for the report. skipped: why it could not judge.
    """

    score: Array
    flagged: Array
    reason: Callable[[int], str] = lambda row: ""
    action: Callable[[int], str] = lambda row: "review"
    facts: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True)
class Check:
    """A registered check; `about` is the first line of its docstring, `doc` the whole."""

    name: str
    dimension: Dimension
    auto: Auto
    judge: Callable[[Material], Found]
    of_labels: bool = False
    reads: tuple[Trait, ...] = ()

    def run(self, material: Material) -> Found:
        """What it says of the records; nothing, and why, where the task has no labels to judge."""
        if not self.fits(material):
            return material.nothing(f"{NOT_HERE}: it judges class labels, and {material.context.task.type} has none")
        return self.judge(material)

    def fits(self, material: Material) -> bool:
        """Whether the task has what it judges."""
        return material.one_label or not self.of_labels

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.judge) or ""

    @property
    def about(self) -> str:
        return self.doc.split("\n", 1)[0]


NOT_HERE = "not for this task"
CHECKS: dict[str, Check] = {}


def check(
    name: str, *, dimension: Dimension, auto: Auto, of_labels: bool = False, reads: Sequence[Trait] = ()
) -> Callable[[Callable[[Material], Found]], Any]:
    """Register a check under its name; order of registration is order of the report.

    of_labels: it judges class labels, so it is skipped where a target is something else. reads: traits that it will ask for.
    """

    def register(function: Callable[[Material], Found]) -> Callable[[Material], Found]:
        CHECKS[name] = Check(name, dimension, auto, function, of_labels, tuple(reads))
        return function

    return register


class Material(Views):
    """The n kept records of a data set as checks see them; what costs time is computed once, when first asked for.

    rows: their positions among all records. texts: what a model would read. labels: class numbers, -1 where there is none.
    near: the similarity from which texts count as near-duplicates. told: what ethics checks were told.
    Memory: the texts as Arrow, columns of traits, words counted, and vectors of the labelled ones (docs: Large corpora).
    """

    def __init__(
        self,
        table: pa.Table,
        context: Context,
        *,
        near: float,
        folds: int,
        backbone: str,
        embed: Embed = "auto",
        reference: Path | None = None,
        against: Path | None = None,
        version_of: str | None = None,
        told: Told | None = None,
    ) -> None:
        self.told = told or Told()
        self.context, self.near, self.folds, self.backbone = context, near, folds, backbone
        self.embed, self.reference, self.against, self.version_of = embed, reference, against, version_of
        keep = table["keep"].to_numpy().astype(bool)
        self.rows = np.flatnonzero(keep)
        self._table = table if keep.all() else table.filter(pa.array(keep))
        self.ids = Lines(self._table["id"])
        self.texts = Lines(_said(self._table))
        self._traits = {}
        self.task = open_task(context.task)
        self.one_label: bool = self.task.one_label
        position = {label: number for number, label in enumerate(context.task.labels if self.one_label else ())}
        self.labels = np.array([position.get(label, -1) for label in self.column("label")], dtype=np.int64)
        given = {label for label in self.column("label") if label is not None} if self.one_label else set()
        self.foreign = sorted(given - position.keys())

    def select(self, names: Sequence[str]) -> pa.Table:
        """The kept records with these columns alone."""
        return self._table.select(list(names))

    def nothing(self, skipped: str = "", **facts: Any) -> Found:
        """A verdict without a finding."""
        return Found(np.zeros(len(self)), np.zeros(len(self), dtype=bool), facts=facts, skipped=skipped)

    @functools.cached_property
    def labelled(self) -> Array:
        """Positions of the records with a label of the task: (l,)."""
        return np.flatnonzero(self.labels >= 0)

    @functools.cached_property
    def taught(self) -> Array:
        """(n,) which records have a target of the task."""
        if self.one_label:
            return self.labels >= 0
        return np.asarray(self.task.labelled(self._table), dtype=bool)

    @functools.cached_property
    def meant(self) -> _Meant:
        """What each record's target says, without places in the text, and what it says in words of its own."""
        return _Meant(self._table.select([name for name in TARGETS if name in self.task.target]))

    @functools.cached_property
    def targets(self) -> Array:
        """Soft labels (l, k) of the labelled records: `probs` where a record has them, else its label."""
        hard = np.eye(len(self.names), dtype=np.float32)[self.labels[self.labelled]]
        probs = self.column("probs")
        for at, row in enumerate(self.labelled):
            if probs[row] is not None and len(probs[row]) == len(self.names):
                hard[at] = probs[row]
        return hard

    @functools.cached_property
    def vectors(self) -> Array:
        """Embeddings (l, d) of the labelled records."""
        if self.embed == "all":
            return np.asarray(self.raw_points[self.labelled])
        return (
            self.embedded([self.texts[row] for row in self.labelled])
            if self.seen is not self.labelled
            else self.raw_points
        )

    @functools.cached_property
    def worth(self) -> Array:
        """(n,) ranks: of several copies the one with the smallest is kept (labelled, checked, sure, first)."""
        sure = pc.fill_null(self._table["confidence"], 1.0).to_numpy()
        gold = pc.fill_null(pc.equal(self._table["label_from"], "gold"), False).to_numpy().astype(bool)
        rank = np.empty(len(self), dtype=np.int64)
        rank[np.lexsort((-sure, ~gold, ~self.taught))] = np.arange(len(self))
        return rank


def _said(table: pa.Table) -> pa.ChunkedArray:
    """What a model would read of each record; the column of the texts itself where there is nothing else."""
    if table["text_b"].null_count == table["messages"].null_count == len(table):
        return table["text"]
    return pa.chunked_array([pa.array(said(block), pa.string()) for block in cut(table)], pa.string())


class _Meant:
    """Row -> what its target says, made when it is asked for: few rows ever are."""

    def __init__(self, targets: pa.Table) -> None:
        self._targets = targets

    def __getitem__(self, row: int) -> tuple[str, str]:
        return _meant(self._targets.slice(int(row), 1).to_pylist()[0] if self._targets.num_columns else {})


def _meant(row: dict[str, Any]) -> tuple[str, str]:
    """Labels, numbers and quoted answers; and what was written. Equal records of a task have equal ones."""
    named = sorted(one["label"] for name in ("spans", "relations") for one in row.get(name) or ())
    answer = (row.get("answer") or {}).get("text")
    said = [row.get("label"), sorted(row.get("labels") or ()), row.get("value"), named, answer]
    return (json.dumps(said, ensure_ascii=False), row.get("output") or "")


def rewritten(records: Records, batches: Callable[[], Iterator[pa.Table]]) -> Records:
    """As many records as before, from a walk that can be begun again and again."""

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        return (batch.select(list(columns)) if columns else batch for batch in batches())

    return Records(walk, len(records))
