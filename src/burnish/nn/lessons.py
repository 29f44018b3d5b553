"""What one batch teaches: forward, loss and gradients, plainly or inside the regularisers, which ask for its parts."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn.batches import Batch
from burnish.nn.devices import formatted
from burnish.nn.distributed import Group
from burnish.nn.kernels import Installed, Kernels
from burnish.nn.muon import Muon
from burnish.nn.objectives import Objective
from burnish.nn.optimise import AdamW
from burnish.nn.predict import outputs_of
from burnish.nn.regularisers.base import Working
from burnish.nn.training import Training


class Lessons:
    """A network, its optimiser and what it shall make small; B examples of a batch.

    helpers: regularisers and strategies at work, the first one outermost. step_seed: of the batch that is being learnt.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: Training,
        *,
        operators: Installed,
        kernels: Kernels,
        group: Group,
        device: torch.device,
    ) -> None:
        self.model, self.objective, self.settings = model, objective, settings
        self.operators, self.kernels = operators, kernels
        self.group, self.device = group, device
        moves = Muon if settings.optimiser == "muon" else AdamW
        self.optimiser = moves(operators, weight_decay=settings.weight_decay, betas=settings.betas, eps=settings.eps)
        self.optimiser.squares = group.squares
        self.helpers: list[Working] = []
        self.step_seed = 0
        self._scale = 1.0  # what a gradient counts

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.operators.masters | self.operators.tables

    def taught(self) -> Callable[[Batch], float]:
        """How one batch teaches: plainly, inside every regulariser, the first one outermost."""
        learn: Callable[[Batch], float] = self._plain
        for helper in reversed(self.helpers):
            learn = functools.partial(helper.learn, inner=learn)
        return learn

    def _plain(self, batch: Batch) -> float:
        loss = self.loss(batch)
        self.backward(loss)
        return float(loss.detach())

    def again(self) -> None:
        """Draw from here on what was drawn from the batch's beginning on: a second forward has the same dropout masks.

        Without it, it has others.
        """
        self.operators.pool.begin(self.step_seed)
        torch.manual_seed(self.step_seed)  # for what draws outside the pool; the loop runs inside fork_rng

    def forward(self, batch: Batch, model: nn.Module | None = None) -> Any:
        """What the model gives for a batch; decoders compute no more logits than the loss asks for."""
        run, model = getattr(self.objective, "forward", None), model or self.model
        return run(model, batch) if run else outputs_of(model, batch)

    def losses(self, batch: Batch, outputs: Any = None, model: nn.Module | None = None) -> Tensor:
        """(B) losses of a batch, before examples are weighed; outputs: of `forward`, where it has run already."""
        outputs = self.forward(batch, model) if outputs is None else outputs
        return self.objective.loss(outputs, batch, model or self.model)

    def loss(self, batch: Batch, outputs: Any = None) -> Tensor:
        """Mean loss of a batch, its examples weighed; outputs: of `forward`, where it has run already."""
        with self.formatted():
            return self.group.within(self._loss, batch, outputs)

    def _loss(self, batch: Batch, outputs: Any) -> Tensor:
        return self.mean(self.losses(batch, outputs), batch)

    def mean(self, values_B: Tensor, batch: Batch) -> Tensor:
        """The mean of something of each example, weighed as its loss is."""
        if batch.weights is not None:
            values_B = values_B * batch.weights
        return values_B.mean()

    @contextlib.contextmanager
    def counting(self, share: float) -> Iterator[None]:
        """Inside, gradients count this share of what they count outside."""
        before = self._scale
        self._scale = before * share
        try:
            yield
        finally:
            self._scale = before

    @contextlib.contextmanager
    def forgetting(self) -> Iterator[None]:
        """Inside, gradients reach what the caller watches, and leave those of the weights as they were."""
        working, rows = self.operators.working.values(), self.operators.rows.values()
        grads, touched = [weight.grad for weight in working], [list(table.touched) for table in rows]
        for weight in working:
            weight.grad = None
        try:
            yield
        finally:
            for weight, grad in zip(working, grads, strict=True):
                weight.grad = grad
            for table, before in zip(rows, touched, strict=True):
                table.touched[:] = before

    def formatted(self) -> contextlib.AbstractContextManager[Any]:
        """The number format of the products, where modules do not have it by themselves."""
        return formatted(self.device, self.kernels.autocast)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a mean loss to those of this step."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BurnishError(
                f"the training loss is {value} in step {self.optimiser.steps + 1}",
                hint=f"lower train.tune.learning_rate (now {self.settings.learning_rate}), or set precision: fp32",
            )
        if loss.requires_grad:  # 0 where another process counts this batch
            torch.autograd.backward(loss * self._scale if self._scale != 1.0 else loss)
