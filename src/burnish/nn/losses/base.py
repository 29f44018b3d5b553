"""What the classes of a text or a token cost: the point-wise losses that a spec may put in place of cross entropy.

Files of this folder declare them as parts (`core.parts`) and wake torch only inside functions. A loss is pure: what one
remembers of the examples lies with the objective (`nn.costs.Memory`), which checkpoints keep. N rows (texts, tokens, or the
yes or no of each label of each text), C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from burnish.core.parts import Family

losses = Family("loss", "burnish.nn.losses", single=True)


@dataclass(frozen=True)
class Loss:
    """A loss of class probabilities. remembers: it keeps a row of C numbers for every row, from epoch to epoch.

    binary: it also makes sense for one label among several that a text may have, as a choice between yes and no.
    doubts: it expects wrong labels, so checked records (gold) are learnt by cross entropy.
    """

    name: ClassVar[str] = ""
    remembers: ClassVar[bool] = False
    binary: ClassVar[bool] = True
    doubts: ClassVar[bool] = False

    def of(self, log_p_NC: Any, target_NC: Any, memory_NC: Any = None) -> Any:
        """(N) losses from log probabilities and target shares (rows that sum to 1), before class weights.

        memory_NC: what is remembered of the rows, of a loss that remembers; None while judging, where it is plain.
        """
        return -(target_NC * log_p_NC).sum(-1)

    def remember(self, memory_NC: Any, p_NC: Any) -> Any:
        """(N, C) the memory of rows that the model gives these probabilities, from what it was; it starts at 0."""
        return memory_NC

    def weights(self, counts_C: np.ndarray) -> np.ndarray | None:
        """(C) float32, what each class counts where it has so many rows of the training side; None is one each."""
        return None


@losses.part("auto")
@dataclass(frozen=True)
class AutoLoss(Loss):
    """What suits who gave the labels: elr where labellers gave some of them and a text has one, else cross_entropy."""


@losses.part("cross_entropy")
@dataclass(frozen=True)
class CrossEntropyLoss(Loss):
    """Minus the log of what the model gives the right class."""
