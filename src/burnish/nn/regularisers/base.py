"""A regulariser changes how one step teaches, or what is kept of the steps; a spec names any number.

Files of this folder declare them as parts (`core.parts`) and wake torch only inside functions. The part holds settings;
`begin` gives the one that works in a run and remembers what must survive a kill (`state`). In a list the first one is
outermost: what it does to a batch goes around what the others do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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

    def judged(self, found: tuple[float, float]) -> None:
        """A validation is over; the weights it looked at still stand in `run.weights`. found: score, minus the loss."""

    def state(self) -> dict[str, Any]:
        """Tensors to keep in a checkpoint; {} without memory."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""

    def finish(self) -> None:
        """The run ends, after the best weights were put back: last changes to `run.weights`."""


@dataclass(frozen=True)
class Regulariser:
    """modules: it hooks single layers, so they must run as modules and not as one operator (`nn.stack`).

    teaches: "around" where it asks for the lesson of a batch once or several times, "anew" where it gives that lesson in
    its own way and nothing can stand inside it, "alone" where nothing may stand around it either; "" where it leaves the
    lesson as it is. perturbs: it moves word embeddings. second: `run.second` must be a copy of the network. doubts: it
    leaves out what looks wrong, so it takes no part where checked records (gold) are learnt.
    """

    name: ClassVar[str] = ""
    modules: ClassVar[bool] = False
    teaches: ClassVar[Literal["", "around", "anew", "alone"]] = ""
    perturbs: ClassVar[bool] = False
    second: ClassVar[bool] = False
    doubts: ClassVar[bool] = False

    def dropout_rate(self) -> float | None:
        """What every rate of dropout becomes; None leaves it."""
        return None

    def begin(self, run: Any) -> Working:
        """Take part in a run. run: `nn.loop.Run`. BurnishError where that makes no sense for what it learns."""
        return Working()


def check(parts: Sequence[Regulariser]) -> str:
    """What is wrong with regularisers together, or ""."""
    doubled = [part.name for at, part in enumerate(parts) if part.name in [one.name for one in parts[:at]]]
    if doubled:
        return f"{doubled[0]} is named twice"
    moving = [part.name for part in parts if part.perturbs]
    if len(moving) > 1:
        return f"{' and '.join(moving)} both move the word embeddings; name one of them"
    own = [part.name for part in parts if part.teaches in ("anew", "alone")]
    if len(own) > 1:
        return f"{' and '.join(own)} both teach a batch in a way of their own; name one of them"
    teaching = [part for part in parts if part.teaches]
    for at, part in enumerate(teaching):
        if part.teaches == "alone" and len(teaching) > 1:
            others = ", ".join(one.name for one in teaching if one is not part)
            return f"{part.name} teaches two networks and cannot be joined with {others}"
        if part.teaches == "anew" and at + 1 < len(teaching):
            inside = teaching[at + 1].name
            return f"{inside} stands inside {part.name}, which would pass it over: name {inside} before {part.name}"
    return ""
