"""What the classes of a text or a token cost: the point-wise losses that a spec may put in place of cross entropy.

Files of this folder declare them as parts (`core.parts`) and wake torch only inside functions. N rows, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.core.parts import Family

losses = Family("loss", "burnish.nn.losses", single=True)


@dataclass(frozen=True)
class Loss:
    """A loss of class probabilities. remembers: it keeps something for each example, so `of` is given their rows."""

    name: ClassVar[str] = ""
    remembers: ClassVar[bool] = False

    def of(self, log_p_NC: Any, target_NC: Any, rows_N: Any = None) -> Any:
        """(N) losses from log probabilities and target shares (rows that sum to 1), before class weights.

        rows_N: which example each row is, of a loss that remembers.
        """
        return -(target_NC * log_p_NC).sum(-1)


@losses.part("cross_entropy")
@dataclass(frozen=True)
class CrossEntropyLoss(Loss):
    """Minus the log of what the model gives the right class."""
