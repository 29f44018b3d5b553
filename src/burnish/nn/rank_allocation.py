"""How AdaLoRA spends its budget of rank in a run: peft's allocator, driven by the loop and kept in its checkpoints.

N directions of a matrix, each P[:, n] E[n] Q[n]; E = 0 is switched off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from burnish.nn import adapters, anatomy
from burnish.nn.regularisers.base import Learn, Working

MEMORIES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # what peft's allocator remembers of each weight


class Allocation(Working):
    """AdaLoRA at work: the orthogonal penalty in every batch, the budget after every step.

    A second run on the same network (checked records at the end) keeps the directions that the first one left.
    """

    def __init__(self, settings: Any, run: Any) -> None:
        self.settings, self.run = settings, run
        self.body = anatomy.body(run.model)
        self.model = adapters.held(self.body).base_model
        self.allocator = self.model.rankallocator
        self.config = self.model.peft_config["default"]
        self.over = bool(self.config.rank_pattern)  # an earlier run has spent the budget
        self.total = 0
        names = {id(weight): name for name, weight in run.model.named_parameters()}
        self.weights = {
            name: (weight, names[id(weight)])
            for name, weight in self.body.named_parameters()
            if any(f".lora_{one}." in name for one in "ABE")
        }
        self.gradients: dict[str, Tensor] = {}

    def learn(self, batch: Any, inner: Learn) -> float:
        loss = inner(batch)
        if self.settings.orthogonal:
            self.run.backward(self.settings.orthogonal * self.penalty())
        # the optimiser forgets them; of several batches a step the last sees the sum
        self.gradients = {name: weight.grad for name, (weight, _) in self.weights.items() if weight.grad is not None}
        return loss

    def penalty(self) -> Tensor:
        """Mean over the matrices of the Frobenius norm of P'P - I and of Q Q' - I (eq. 4, as peft takes it)."""
        found = []
        for name, (weight, _) in self.weights.items():
            if ".lora_E." not in name:
                exact = weight.float()
                square = exact @ exact.T if ".lora_A." in name else exact.T @ exact
                found.append(torch.linalg.matrix_norm(square - torch.eye(len(square), device=square.device)))
        return torch.stack(found).mean()

    @torch.no_grad()
    def moved(self, *, rate: float) -> None:
        if not self.total:
            self._plan()
        shown = {name: weight.data for name, (weight, _) in self.weights.items()}
        for name, (weight, whole) in self.weights.items():  # the allocator reads fp32
            weight.data, gradient = self.run.weights[whole], self.gradients.get(name)
            weight.grad = torch.zeros_like(weight) if gradient is None else gradient.to(weight.dtype)
        if self.over:
            self.allocator.mask_using_rank_pattern(self.body, self.config.rank_pattern)
        else:
            self.model.update_and_allocate(self.run.optimiser.steps)
        for name, (weight, whole) in self.weights.items():
            weight.grad = None
            weight.data = shown[name]
            weight.data.copy_(self.run.weights[whole])
        self.gradients = {}

    def _plan(self, total: int = 0) -> None:
        """Share the steps out. A run counts its steps only about, so what it said at first holds."""
        self.total = total or int(self.run.total_steps)
        self.config.total_step = self.total
        self.config.tinit, self.config.tfinal = (
            int(share * self.total) for share in (self.settings.warm, self.settings.last)
        )

    def state(self) -> dict[str, Tensor]:
        kept = {f"{at}:{name}": value for at in MEMORIES for name, value in getattr(self.allocator, at).items()}
        pattern = self.config.rank_pattern or {}
        kept |= {f"pattern:{name}": torch.tensor(value, dtype=torch.uint8) for name, value in pattern.items()}
        return {name: value.clone() for name, value in kept.items()} | {"plan": torch.tensor([self.total, self.over])}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.allocator.reset_ipt()
        pattern: dict[str, list[bool]] = {}
        for key, value in state.items():
            at, _, name = key.partition(":")
            if at == "plan":
                total, over = value.tolist()
                self.over = bool(over)
                if total:
                    self._plan(total)
            elif at == "pattern":
                pattern[name] = value.bool().tolist()
            else:
                getattr(self.allocator, at)[name] = value.clone()
        self.config.rank_pattern = pattern or None


@contextlib.contextmanager
def whole(model: Any) -> Iterator[None]:
    """Inside the block peft's configuration says nothing of directions, so that it keeps all, those off with E = 0.

    Its own list may be of a later step than the best weights are, and a matrix without any direction warns when it is
    kept and again when it is opened.
    """
    config = adapters.held(anatomy.body(model)).peft_config["default"]
    before, config.rank_pattern = config.rank_pattern, None
    try:
        yield
    finally:
        config.rank_pattern = before
