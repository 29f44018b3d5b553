"""Losses for labels of which some are wrong: a row that the model finds absurd does not pull at it without end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from burnish.nn.losses.base import Loss, losses

Weight = Annotated[float, Ge(0)]


@losses.part("gce")
@dataclass(frozen=True)
class GeneralisedCrossEntropy(Loss):
    """(1 - p^q) / q, between cross entropy and absolute error, which no wrong label moves far (Zhang and Sabuncu 2018).
    Nor does a rare one: 400 sentences of CoNLL-2003 tuned by it had no name at all (symmetric: entity F1 69.8).

    q: 1 is the absolute error, which learns slowly; towards 0 it is cross entropy.
    """

    q: Annotated[float, Gt(0), Le(1)] = 0.7

    doubts = True

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        return (target_NC * (1.0 - (self.q * log_p_NC).exp())).sum(-1) / self.q


@losses.part("symmetric")
@dataclass(frozen=True)
class Symmetric(Loss):
    """alpha CE(target, model) + beta CE(model, target): the second one asks whether the label is likely (Wang et al. 2019).

    alpha: what cross entropy counts; it learns, and fits wrong labels too.
    beta: what the reverse counts; it is the absolute error times -floor / 2 for a hard label.
    floor: the log of a target of 0, of which the reverse is made.
    """

    alpha: Weight = 0.1
    beta: Weight = 1.0
    floor: Annotated[float, Lt(0)] = -4.0

    doubts = True

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        straight_N = -(target_NC * log_p_NC).sum(-1)
        reverse_N = -(log_p_NC.exp() * target_NC.log().clamp(min=self.floor)).sum(-1)
        return self.alpha * straight_N + self.beta * reverse_N


@losses.part("elr")
@dataclass(frozen=True)
class EarlyLearning(Loss):
    """Cross entropy, and a pull towards what the model said of each row in earlier epochs (Liu et al. 2020).

    A model learns what is right before it learns the wrong labels by heart; the pull strength x log(1 - <p, memory>)
    holds it there. The memory is a running mean of p, of four bytes a class and row; it is in every checkpoint.

    strength: of the pull; 0 is cross entropy.
    memory: what the running mean keeps of itself each time the row is read, 0..1.
    """

    strength: Weight = 3.0
    memory: Annotated[float, Ge(0), Lt(1)] = 0.7

    remembers = True
    binary = False
    doubts = True

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        loss_N = -(target_NC * log_p_NC).sum(-1)
        if memory_NC is None or self.strength == 0:
            return loss_N
        alike_N = (log_p_NC.exp() * memory_NC).sum(-1)
        return loss_N + self.strength * (1.0 - alike_N).clamp(min=1e-4).log()

    def remember(self, memory_NC: Any, p_NC: Any) -> Any:
        p_NC = p_NC.clamp(1e-4, 1.0 - 1e-4)
        return self.memory * memory_NC + (1.0 - self.memory) * p_NC / p_NC.sum(-1, keepdim=True)
