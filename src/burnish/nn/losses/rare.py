"""Losses for classes of very different size: hard rows count more, or rare classes do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Lt

from burnish.nn.losses.base import Loss, losses

Focus = Annotated[float, Ge(0)]


@losses.part("focal")
@dataclass(frozen=True)
class Focal(Loss):
    """Cross entropy that turns to what is not yet learnt: -(1 - p)^gamma log p (Lin et al. 2017).

    gamma: how fast what is right already stops to count; 0 is cross entropy.
    """

    gamma: Focus = 2.0

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        return _focused(log_p_NC, target_NC, self.gamma)


@losses.part("class_balanced")
@dataclass(frozen=True)
class ClassBalanced(Loss):
    """Classes weighed by their effective number, (1 - beta) / (1 - beta^n) for n rows (Cui et al. 2019).

    beta: what a further row of a class adds: 0 weighs all classes alike, towards 1 by the inverse of their size.
    gamma: of the focal loss under the weights; 0 is cross entropy.
    """

    beta: Annotated[float, Ge(0), Lt(1)] = 0.999
    gamma: Focus = 0.0

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        return _focused(log_p_NC, target_NC, self.gamma)

    def weights(self, counts_C: np.ndarray) -> np.ndarray:
        """Weights whose mean over the classes that occur is 1, as in the paper; 0 for a class that never occurs."""
        there = counts_C > 0
        made = np.zeros(len(counts_C))
        made[there] = (1.0 - self.beta) / (1.0 - self.beta ** counts_C[there])
        mean_one: np.ndarray = made * there.sum() / made.sum()
        return mean_one.astype(np.float32)


def _focused(log_p_NC: Any, target_NC: Any, gamma: float) -> Any:
    if gamma == 0:
        return -(target_NC * log_p_NC).sum(-1)
    missing_NC = (1.0 - log_p_NC.exp()).clamp(min=1e-7)  # the power's slope at 0 has no end for a gamma below 1
    return -(target_NC * missing_NC**gamma * log_p_NC).sum(-1)
