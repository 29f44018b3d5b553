"""Word embeddings moved by a little: where adversarial training and smoothness look for the worst point nearby.

A shift is added to what an embedding gives, not to its table, so each text has its own, and tables that learn row by row
(`operators.RowEmbedding`), frozen ones and those read twice (by an encoder and its decoder) are all the same. Lengths are
Euclidean, over all numbers of a text, and told as a share of the length of the text's own embeddings: backbones
differ (the mean row of the table is 1.1 long in MiniLM, 1.6 in e5-small, 3.2 in SmolLM2).

B texts, L tokens, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError

TINY = 1e-12


@dataclass
class Shift:
    """What is added to one reading of an embedding. delta_BLD: fp32; lengths_B: of the embeddings it was made for."""

    delta_BLD: Tensor
    lengths_B: Tensor

    def sizes(self) -> Tensor:
        """(B) length as a share of the embeddings' length; 0 for a text without any."""
        return _lengths(self.delta_BLD) / self.lengths_B.clamp(min=TINY)

    def towards(self, *, share: float) -> Shift:
        """A shift of this length along the gradient that this one gathered, 0 where there is none."""
        return Shift(self._uphill(share), self.lengths_B)

    def climbed(self, *, step: float, most: float) -> Shift:
        """This shift and a step of that length along its gradient, cut to the length `most`."""
        delta = self.delta_BLD.detach() + self._uphill(step)
        room_B = most * self.lengths_B / _lengths(delta).clamp(min=TINY)
        return Shift(_scaled(delta, room_B.clamp(max=1.0)), self.lengths_B)

    def _uphill(self, share: float) -> Tensor:
        grad = self.delta_BLD.grad
        if grad is None:
            return torch.zeros_like(self.delta_BLD)
        return _scaled(grad, share * self.lengths_B / _lengths(grad).clamp(min=TINY))


Start = Callable[[Tensor, Tensor], Tensor]  # (B, L, D) embeddings and where there are real tokens -> first delta


def nought(embedded_BLD: Tensor, real_BL1: Tensor) -> Tensor:
    """No shift: only its gradient is wanted."""
    return torch.zeros_like(embedded_BLD)


def drawn(*, share: float, seed: int) -> Start:
    """A random direction for each text, of this length."""
    generator = torch.Generator().manual_seed(seed)

    def start(embedded_BLD: Tensor, real_BL1: Tensor) -> Tensor:
        delta = torch.randn(embedded_BLD.shape, generator=generator).to(embedded_BLD) * real_BL1
        return _scaled(delta, share * _lengths(embedded_BLD * real_BL1) / _lengths(delta).clamp(min=TINY))

    return start


class Embeddings:
    """The modules that turn token numbers into vectors in a network. pad: the token that is none."""

    def __init__(self, model: nn.Module, *, pad: int, wanted_by: str) -> None:
        self.tables, self.pad, self.wanted_by = tables_of(model), pad, wanted_by
        if not self.tables:
            raise BurnishError(
                f"{wanted_by} moves word embeddings, and this network has none that can be found",
                where="train.tune.regularise",
                hint="leave it out",
            )

    @contextmanager
    def begun(self, start: Start) -> Iterator[list[Shift]]:
        """Inside, each reading of an embedding makes a shift with `start` and adds it; they gather gradients."""
        made: list[Shift] = []

        def shift(ids: Tensor, out: Tensor) -> Tensor:
            real_BL1 = (ids != self.pad).unsqueeze(-1)
            embedded = out.detach().float()
            delta = start(embedded, real_BL1).requires_grad_()
            made.append(Shift(delta, _lengths(embedded * real_BL1)))
            return delta

        with self._hooked(shift):
            yield made
        if not made and torch.is_grad_enabled():
            raise BurnishError(
                f"{self.wanted_by} moves word embeddings, and this network was not asked for any",
                where="train.tune.regularise",
                hint="leave it out",
            )

    @contextmanager
    def moved(self, shifts: list[Shift]) -> Iterator[list[Shift]]:
        """Inside, readings of embeddings are moved by these shifts, in their order; they gather gradients anew."""
        again = [Shift(one.delta_BLD.detach().clone().requires_grad_(), one.lengths_B) for one in shifts]
        left = iter(again)
        with self._hooked(lambda ids, out: next(left).delta_BLD):
            yield again

    @contextmanager
    def _hooked(self, shift: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
        def hook(module: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor | None:
            return out + shift(given[0], out).to(out.dtype) if torch.is_grad_enabled() else None

        hooks = [table.register_forward_hook(hook) for table in self.tables]
        try:
            yield
        finally:
            for one in hooks:
                one.remove()


def tables_of(model: nn.Module) -> list[nn.Embedding]:
    """The embeddings of token numbers: what parts of transformers call theirs, and others of the same weights."""
    from transformers import PreTrainedModel

    weights: list[Any] = []
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            try:
                table = part.get_input_embeddings()
            except NotImplementedError:  # a part that reads no tokens, such as an image encoder
                continue
            weights += [table.weight] if isinstance(table, nn.Embedding) else []
    found = [part for part in model.modules() if isinstance(part, nn.Embedding)]
    return [part for part in found if any(part.weight is weight for weight in weights)]


def _lengths(values: Tensor) -> Tensor:
    lengths_B: Tensor = torch.linalg.vector_norm(values.detach().float().flatten(1), dim=1)
    return lengths_B


def _scaled(values: Tensor, factors_B: Tensor) -> Tensor:
    return values * factors_B.view(-1, *[1] * (values.ndim - 1))
