"""What is drawn anew in every step: which units are silent, and which weights are those of the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Lt

from burnish.core.errors import BurnishError
from burnish.nn.regularisers.base import Learn, Regulariser, Working, regularisers

Rate = Annotated[float, Ge(0), Lt(1)]


@regularisers.part("dropout")
@dataclass(frozen=True)
class Dropout(Regulariser):
    """One rate of dropout in the whole network, in place of those that the backbone came with (Srivastava et al. 2014).

    rate: share of units that are silent in a step; 0 turns dropout off.
    """

    rate: Rate = 0.1

    def dropout_rate(self) -> float:
        return self.rate


@regularisers.part("mixout")
@dataclass(frozen=True)
class Mixout(Regulariser):
    """In every step some weights of the body's linear layers are those of the start (Lee, Cho and Kang 2020).

    It takes the place of dropout, which is off as in the paper. A weight is start + (now - start) x keep, where keep is 0
    or 1 / (1 - rate), so its mean is the weight itself. Memory: two times the linear layers.

    rate: share of weights that are those of the start; 0 is training without dropout.
    """

    rate: Rate = 0.5

    teaches = "around"

    def dropout_rate(self) -> float:
        return 0.0

    def begin(self, run: Any) -> Working:
        return _Mixing(run, self.rate)


class _Mixing(Working):
    def __init__(self, run: Any, rate: float) -> None:
        from torch import nn

        from burnish.nn.anatomy import head_weights

        self.run, self.rate = run, rate
        layers = {f"{name}.weight" for name, part in run.model.named_modules() if isinstance(part, nn.Linear)}
        names = (layers & set(run.operators.masters)) - head_weights(run.model)
        self.start = {name: run.operators.masters[name].clone() for name in sorted(names)}
        if not names:
            raise BurnishError(
                "mixout mixes weights of the body's linear layers, and none of those learns",
                where="train.tune.regularise",
                hint="leave it out, or take a strategy that moves them",
            )

    def learn(self, batch: Any, inner: Learn) -> float:
        """Forward and backward with mixed weights; a gradient reaches a weight as far as the weight was itself."""
        if self.rate == 0.0:
            return inner(batch)
        pool, installed = self.run.operators.pool, self.run.operators
        keeps, held, grads = {}, {}, {}
        for name, start in self.start.items():
            master, shown = installed.masters[name], installed.working[name]
            keeps[name] = pool.keep(tuple(start.shape), rate=self.rate, dtype=start.dtype)
            held[name], grads[name] = master.clone(), shown.grad
            shown.data.copy_(start + (held[name] - start) * keeps[name])
            shown.grad = None
        try:
            return inner(batch)
        finally:
            for name, keep in keeps.items():
                shown = installed.working[name]
                shown.data.copy_(held[name])
                mixed = None if shown.grad is None else shown.grad * keep.to(shown.grad.dtype)
                before = grads[name]
                shown.grad = before if mixed is None else mixed if before is None else before + mixed
