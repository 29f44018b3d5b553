"""A strategy says which weights of a network learn, and how fast; a spec names one or several.

Files of this folder declare strategies as parts (`core.parts`) and wake torch only inside functions. A run goes

    place          freezes what shall not move, puts in what moves instead          once, before the optimiser exists
    factors        what each weight's rate is times                                 once
    opens          whether a weight moves by now                                    before every epoch
    fold           folds what was put in into the network's own weights             once, before saving
    keep, take_up  write and read back beside the model what cannot be folded       saving, loading

of every strategy in the order of the spec. Names of weights are those of `model.named_parameters()` after all have placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.parts import Family

strategies = Family("strategy", "burnish.nn.strategies")


@dataclass(frozen=True)
class Strategy:
    """What does nothing: all weights learn at the same rate. adds: it puts weights of its own into the network, which
    only one strategy of a run may do. start: what `nn.loop.settle` is told of them, "adapters" or ""."""

    name: ClassVar[str] = ""
    adds: ClassVar[bool] = False
    start: ClassVar[str] = ""

    def place(self, model: Any, *, seed: int) -> None:
        """Change what learns: set `requires_grad`, put modules in. seed: for first weights."""

    def factors(self, model: Any) -> dict[str, float]:
        """Name -> what the learning rate of that weight is times; a weight that is not named has 1."""
        return {}

    def opens(self, model: Any, *, share: float) -> set[str] | None:
        """Names of the weights that move in the epoch that begins at this share of all epochs, 0..1; None is all."""
        return None

    def fold(self, model: Any) -> None:
        """After training: fold what was put in into the network, exactly, so that the saved model is a stock one."""

    def keep(self, model: Any, folder: Path) -> None:
        """Write what was put in, into `folder` beside the model (peft's layout where it is peft's), folded or not."""

    def take_up(self, model: Any, folder: Path) -> None:
        """Put back into a freshly loaded network what `keep` wrote and `fold` could not fold."""

    @property
    def folds(self) -> bool:
        """Whether the saved network is whole without `take_up`."""
        return True


@strategies.part("full")
@dataclass(frozen=True)
class Full(Strategy):
    """All weights learn."""


def check(parts: Sequence[Strategy]) -> str:
    """What is wrong with strategies together, or ""."""
    adding = [one.name for one in parts if one.adds]
    return f"{' and '.join(adding)} both put weights into the network; name one of them" if len(adding) > 1 else ""


def combined(parts: Sequence[Strategy], model: Any) -> dict[str, float]:
    """Name -> the product of what all strategies make of its rate."""
    made: dict[str, float] = {}
    for one in parts:
        for name, factor in one.factors(model).items():
            made[name] = made.get(name, 1.0) * factor
    return made
