"""What models said of the same records, as figures with intervals and as differences; one way for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Model
from burnish.core.errors import BurnishError
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task


@dataclass(frozen=True)
class Judged:
    """The answers of one model for the records of `table`. position: in the list of models, -1 for a baseline."""

    name: str
    position: int
    info: Mapping[str, Any]
    task: Any
    table: pa.Table
    answers: Any

    @cached_property
    def tally(self) -> np.ndarray:
        """(n, s) counts of each record (`Task.tally`)."""
        made: np.ndarray = np.asarray(self.task.tally(self.table, self.answers), dtype=np.float64)
        return made

    def figures(self, rows: np.ndarray | None = None) -> dict[str, float]:
        """Every figure of the task on all records, or on those of a mask; not a number becomes None in JSON."""
        sums = (self.tally if rows is None else self.tally[rows]).sum(0)
        return {name: plain(value) for name, value in self.task.figures(sums).items()}

    @cached_property
    def losses(self) -> np.ndarray:
        """(n,) how wrong each answer is, 0 when right."""
        made: np.ndarray = self.task.losses(self.table, self.answers)
        return made

    def intervals(self, *, seed: int, draws: int) -> dict[str, list[float]]:
        """[low, high] of each figure at 95%."""
        from burnish.measures.intervals import bootstrap_sums

        found = bootstrap_sums(self.tally, self.task.figures, seed=seed, draws=draws)
        return {name: [one.low, one.high] for name, one in found.items()}

    def better_than(self, other: Judged, *, seed: int, draws: int) -> dict[str, dict[str, Any]]:
        """By how much each figure is higher than that of `other` on the same records (paired bootstrap)."""
        from burnish.measures.intervals import bootstrap_sums

        found = bootstrap_sums(self.tally, self.task.figures, seed=seed, draws=draws, against=other.tally)
        return {
            name: {"value": one.value, "interval": [one.low, one.high], "p_value": one.p_value}
            for name, one in found.items()
        }


def plain(value: Any) -> float:
    """A figure as a number; not a number, which JSON does not have, is 0: nothing was right where nothing was asked."""
    return float(np.nan_to_num(float(value)))


def answered(models: Sequence[Model], table: pa.Table, context: Context) -> list[Judged]:
    """Every model that was not refused, oldest first: the last is the one that serves."""
    found: list[Judged] = []
    for position, model in enumerate(models):
        if model.info.get("accepted", True):
            name = _name(model, [one.name for one in found])
            task, said = ask(model, table, context)
            found.append(Judged(name, position, model.info, task, table, said))
    if not found:
        raise BurnishError("there is no model to judge", hint="add a `train` section before `evaluate`")
    return found


def ask(model: Model, table: pa.Table, context: Context) -> tuple[Any, Any]:
    """The task, and a model's answers to records; probabilities in the order of the task's labels."""
    from burnish.tasks import predictor
    from burnish.tasks.base import Answers

    opened = predictor.load(model.folder)
    task, wanted = open_task(context.task), list(context.task.labels)
    task.opened(model.folder)
    if set(opened.labels) != set(wanted):
        raise BurnishError(
            f"the model answers {', '.join(opened.labels)}, the task asks for {', '.join(wanted)}",
            where=str(model.folder),
            hint="train it again with this task, or judge it with the spec it was made by",
        )
    said = opened.answers(task.inputs(table), progress=context.progress)
    if said.probabilities is not None and list(opened.labels) != wanted:
        said = Answers(said.items, said.probabilities[:, [opened.labels.index(label) for label in wanted]])
    return task, said


def _name(model: Model, taken: list[str]) -> str:
    """How the report calls a model: its format, and a number where that is not enough."""
    said = " ".join(str(model.info[key]) for key in ("format", "precision") if model.info.get(key)) or "model"
    return said if said not in taken else f"{said} {len(taken) + 1}"
