"""Classification into labels that are in an order: the order of the task's labels.

target   `label`; or `probs`
head     k - 1 outputs, "above label c, given at least c" (objectives.ContinuationRatio): ranks are always consistent
answer   the median label, which costs the least mean absolute error; scores of all labels
scores   quadratic kappa, accuracy, macro F1, mean absolute error in labels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.measures import scores
from burnish.nn.examples import Examples
from burnish.nn.models import Head
from burnish.tasks import base, classification
from burnish.tasks.base import Answers, Input
from burnish.tasks.editors import Editor


class Task(classification.Task):
    """One label of an order."""

    figure = "quadratic_kappa"

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        made = super().examples(table, tokenizer, max_length=max_length, soft=soft)
        assert made.targets is not None
        return made if made.targets.ndim == 2 else made.with_targets(np.eye(len(self.labels))[made.targets])

    def head(self) -> Head:
        return self.standing([f"above {label}" for label in self.labels[:-1]])

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import ContinuationRatio

        return ContinuationRatio(class_weights)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """Answers of the contract: the median label, its score, and the score of every label."""
        logits = np.asarray(outputs, dtype=np.float64).reshape(-1, len(self.labels) - 1)
        return self.answers(shares(logits / float(card.get("temperature", 1.0))))

    def answers(self, probabilities: np.ndarray) -> Answers:
        made = super().answers(probabilities)
        for one, at in zip(made.items, self.medians(probabilities), strict=True):
            one |= {"label": self.labels[at], "score": one["scores"][self.labels[at]]}
        return made

    @staticmethod
    def medians(probabilities: np.ndarray) -> np.ndarray:
        """(n,) the lowest label at or below which at least half of the probability lies."""
        medians: np.ndarray = (probabilities.cumsum(axis=1) < 0.5 - 1e-9).sum(axis=1)
        return medians.clip(max=probabilities.shape[1] - 1)

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The temperature of least log loss on the validation side; it divides every output."""
        from scipy.optimize import minimize_scalar

        logits = np.asarray(outputs, dtype=np.float64)
        targets = self.hard_targets(table)
        found = minimize_scalar(
            lambda log_t: scores.log_loss(targets, shares(logits / np.exp(log_t))),
            bounds=(np.log(0.05), np.log(20)),
            method="bounded",
        )
        return {"temperature": round(float(np.exp(found.x)), 6)}

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, k * k): one in the cell of (true, said); sums are a confusion matrix."""
        k = len(self.labels)
        cells: np.ndarray = np.eye(k * k)[self.hard_targets(table) * k + self.said(answers)]
        return cells

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """quadratic_kappa is -1..1 (Cohen 1968); mae counts labels, and less is better."""
        sums = np.asarray(sums, dtype=np.float64)
        k = len(self.labels)
        matrix = sums.reshape(*sums.shape[:-1], k, k)
        n = matrix.sum((-2, -1))
        apart = np.abs(np.arange(k)[:, None] - np.arange(k)[None, :])
        by_chance = matrix.sum(-1)[..., :, None] * matrix.sum(-2)[..., None, :]
        with np.errstate(invalid="ignore", divide="ignore"):
            kappa = 1.0 - n * (matrix * apart**2).sum((-2, -1)) / (by_chance * apart**2).sum((-2, -1))
            mae = (matrix * apart).sum((-2, -1)) / n
        plain = {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
        return {"quadratic_kappa": kappa, **plain, "micro_f1": plain["accuracy"], "mae": mae}

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        k = len(self.labels)
        f1 = scores.per_class(sums.reshape(*sums.shape[:-1], k, k))[2]
        return {label: f1[..., at] for at, label in enumerate(self.labels)}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return base.Task.headline(self, value, low, high, count)

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("label", ("label",), tuple(self.labels), self.spec.descriptions, ordered=True),)

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """How many labels the answer is off, and within that how sure it was."""
        targets, said = self.hard_targets(table), self.said(answers)
        assert answers.probabilities is not None
        own = answers.probabilities[np.arange(len(targets)), targets]
        return np.where(said == targets, 0.0, np.abs(said - targets) + 1.0 - own)


def shares(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of the outputs (n, k - 1), as the objective reads them: equal where all outputs are 0."""
    passed = 1.0 / (1.0 + np.exp(-logits - np.log(np.arange(logits.shape[1], 0, -1))))
    ones = np.ones((len(logits), 1))
    reached = np.concatenate([ones, passed.cumprod(axis=1)], axis=1)
    made: np.ndarray = reached * np.concatenate([1.0 - passed, ones], axis=1)
    return made
