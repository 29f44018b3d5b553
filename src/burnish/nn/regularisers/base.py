"""A regulariser changes how one step teaches, or what is kept of the steps; a spec names any number.

Files of this folder declare them as parts (`core.parts`) and wake torch only inside functions. The part holds settings;
`begin` gives the one that works in a run and remembers what must survive a kill (`state`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.core.parts import Family

regularisers = Family("regulariser", "burnish.nn.regularisers")

Learn = Callable[[Any], float]  # batch -> loss; gradients were added up


class Working:
    """A regulariser at work in a run (`nn.loop.Run`); hooks that do nothing."""

    def learn(self, batch: Any, inner: Learn) -> float:
        """One batch forward and backward: call `inner` once, several times, or do it anew with run.loss and
        run.backward. The value is the loss that the history shows."""
        return inner(batch)

    def moved(self, *, rate: float) -> None:
        """The optimiser has moved the weights (`run.weights`, fp32) at this rate."""

    def looking(self) -> contextlib.AbstractContextManager[None]:
        """Around every validation and the choice of the best: the weights to look at stand in `run.weights`."""
        return contextlib.nullcontext()

    def state(self) -> dict[str, Any]:
        """Tensors to keep in a checkpoint; {} without memory."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""

    def finish(self) -> None:
        """The run ends, after the best weights were put back: last changes to `run.weights`."""


@dataclass(frozen=True)
class Regulariser:
    """modules: it hooks single layers, so they must run as modules and not as one operator (`nn.stack`). shares: it works
    where each of several processes sees a share of the batches; not so what remembers something of every batch."""

    name: ClassVar[str] = ""
    modules: ClassVar[bool] = False
    shares: ClassVar[bool] = True

    def begin(self, run: Any) -> Working:
        """Take part in a run. run: `nn.loop.Run`."""
        return Working()
