"""What a check is, and what it may look at. A check is a function in one registry: a score for every record, a flag, a summary.

    @check("empty", dimension="noise", auto="drop")
    def empty(material: Material) -> Found:
        \"\"\"Texts without a letter or a figure. ...formula, source...\"\"\"

It looks at `Material` alone and says a reason that a person understands. What is done about a finding is decided later
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

from burnish.core.artifacts import Records
from burnish.core.records import TARGETS, Reject
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.measures.duplicates import Groups, exact_duplicates, near_duplicates, near_duplicates_of_parts
from burnish.quality.material import Array as Array
from burnish.quality.material import Embed, Views
from burnish.quality.told import Told
from burnish.text.inputs import parts, said
from burnish.text.language import Languages, languages

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

    def run(self, material: Material) -> Found:
        """What it says of the records; nothing, and why, where the task has no labels to judge."""
        if self.of_labels and not material.one_label:
            return material.nothing(f"{NOT_HERE}: it judges class labels, and {material.context.task.type} has none")
        return self.judge(material)

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.judge) or ""

    @property
    def about(self) -> str:
        return self.doc.split("\n", 1)[0]


NOT_HERE = "not for this task"
CHECKS: dict[str, Check] = {}


def check(
    name: str, *, dimension: Dimension, auto: Auto, of_labels: bool = False
) -> Callable[[Callable[[Material], Found]], Any]:
    """Register a check under its name; order of registration is order of the report.

    of_labels: it judges class labels, so it is skipped where a target is something else.
    """

    def register(function: Callable[[Material], Found]) -> Callable[[Material], Found]:
        CHECKS[name] = Check(name, dimension, auto, function, of_labels)
        return function

    return register


class Material(Views):
    """The n kept records of a data set as checks see them; what costs time is computed once, when first asked for.

    rows: their positions among all records. texts: what a model would read. labels: class numbers, -1 where there is none.
    near: the similarity from which texts count as near-duplicates. Memory: the texts, and vectors of the labelled ones.
    """

    told = Told()  # what ethics checks were told; set by the audit

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
    ) -> None:
        self.context, self.near, self.folds, self.backbone = context, near, folds, backbone
        self.embed, self.reference, self.against, self.version_of = embed, reference, against, version_of
        keep = np.array(table["keep"].to_pylist(), dtype=bool)
        self.rows = np.flatnonzero(keep)
        self._table = table.filter(pa.array(keep))
        self.ids: list[str] = self.column("id")
        self.texts = said(self._table)
        self.task = open_task(context.task)
        self.one_label: bool = self.task.one_label
        position = {label: number for number, label in enumerate(context.task.labels if self.one_label else ())}
        self.labels = np.array([position.get(label, -1) for label in self.column("label")], dtype=np.int64)
        given = {label for label in self.column("label") if label is not None} if self.one_label else set()
        self.foreign = sorted(given - position.keys())

    def select(self, names: Sequence[str]) -> pa.Table:
        """The kept records with these columns alone."""
        return self._table.select(list(names))

    @property
    def names(self) -> tuple[str, ...]:
        """The task's labels, in class order."""
        return self.context.task.labels

    def nothing(self, skipped: str = "", **facts: Any) -> Found:
        """A verdict without a finding."""
        return Found(np.zeros(len(self)), np.zeros(len(self), dtype=bool), facts=facts, skipped=skipped)

    @functools.cached_property
    def labelled(self) -> Array:
        """Positions of the records with a label of the task: (l,)."""
        return np.flatnonzero(self.labels >= 0)

    @functools.cached_property
    def blank(self) -> Array:
        """(n,) texts without a letter or a figure."""
        return np.array([not any(map(str.isalnum, text)) for text in self.texts], dtype=bool)

    @functools.cached_property
    def languages(self) -> Languages:
        return languages(self.texts, among=self.context.task.languages)

    @functools.cached_property
    def same(self) -> Groups:
        """Groups of equal texts."""
        return exact_duplicates(self.texts)

    @functools.cached_property
    def alike(self) -> Groups:
        """Groups of equal and similar texts."""
        apart = parts(self._table)
        if len(apart) > 1 or self._table["messages"].null_count != len(self):
            return near_duplicates_of_parts(apart, threshold=self.near)
        return near_duplicates(self.texts, threshold=self.near)

    @functools.cached_property
    def taught(self) -> Array:
        """(n,) which records have a target of the task."""
        if self.one_label:
            return self.labels >= 0
        return np.asarray(self.task.labelled(self._table), dtype=bool)

    @functools.cached_property
    def meant(self) -> list[tuple[str, str]]:
        """(n,) what each record's target says, without places in the text, and what it says in words of its own."""
        targets = [name for name in TARGETS if name in self.task.target]
        rows = self._table.select(targets).to_pylist() if targets else [{}] * len(self)
        return [_meant(row) for row in rows]

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
    def worth(self) -> list[tuple[Any, ...]]:
        """(n,) sort keys: of several copies the one with the smallest key is kept (labelled, checked, sure, first)."""
        sure, source = self.column("confidence"), self.column("label_from")
        return [
            (not self.taught[row], source[row] != "gold", -(1.0 if sure[row] is None else sure[row]), row)
            for row in range(len(self))
        ]


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
