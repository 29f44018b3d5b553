"""Muon: hidden matrices move along their momentum made orthogonal, everything else by AdamW.

For a matrix W (A x B) with gradient g, momentum M and a = the mean of "look ahead" (Jordan et al. 2024,
kellerjordan.github.io/posts/muon):

    M <- 0.95 M + g;   u = g + 0.95 M;   O = u (u' u)^-1/2, about, by five Newton-Schulz steps
    W <- W - rate (0.2 sqrt(max(A, B)) O + decay W)

The factor makes an entry of the step as large as AdamW's usually are (about 0.2), so that rate and weight decay mean for
both what they mean for AdamW (Liu et al. 2025, "Muon is scalable for LLM training", eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from burnish.nn.optimise import AdamW

MOMENTUM = 0.95
RMS = 0.2
# s -> a s + b s^3 + c s^5 five times over brings singular values of 0.01..1 to 0.7..1.2 (Jordan et al. 2024)
QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5
OUTSIDE = ("embed", "lm_head", "classifier", "cls.", "head.", "pooler", "decoder.weight", "shared.", "score.")


@dataclass
class Muon(AdamW):
    """The same interface and the same `Installed` as AdamW. matrices: names of those that move orthogonally.

    A step costs some 2 x 15 x min(A, B) products of A x B numbers more a matrix, whatever the batch holds: worth it with
    thousands of tokens a step, not with hundreds.
    """

    matrices: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.matrices = frozenset(name for name, value in self.installed.masters.items() if is_hidden(name, value))
        for name in self.matrices:  # one momentum and no second moment
            self.moments[name] = (self.moments[name][0], torch.zeros(0))

    def _move_all(self, grads: dict[str, Tensor], clip: float, learning_rate: float) -> None:
        for name in self.matrices & grads.keys():
            self._move(name, grads[name], clip, learning_rate * self.factors[name])
        super()._move_all(
            {name: grad for name, grad in grads.items() if name not in self.matrices}, clip, learning_rate
        )

    @torch.no_grad()
    def _move(self, name: str, grad: Tensor, clip: float, learning_rate: float) -> None:
        if name not in self.matrices:
            return super()._move(name, grad, clip, learning_rate)
        master, working, momentum = (
            self.installed.masters[name],
            self.installed.working[name].data,
            self.moments[name][0],
        )
        grad = grad.float() if clip == 1.0 else grad.float().mul_(clip)
        momentum.mul_(MOMENTUM).add_(grad)
        turned = orthogonal(grad + MOMENTUM * momentum, dtype=working.dtype)
        master.mul_(1.0 - learning_rate * self.weight_decay)
        master.add_(turned, alpha=-learning_rate * RMS * max(master.shape) ** 0.5)
        if working.data_ptr() != master.data_ptr():
            working.copy_(master)
        return None


def is_hidden(name: str, value: Tensor | nn.Parameter) -> bool:
    """Whether a weight is a matrix between hidden states: no table, no head, no vector."""
    return value.ndim == 2 and min(value.shape) > 1 and not any(part in name for part in OUTSIDE)


def orthogonal(matrix: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest matrix with singular values of about 1 (0.7..1.2), fp32 of the same shape.

    dtype: of the products; bf16 is enough (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.t() if tall else matrix) / (matrix.norm() + 1e-7)
    x = x.to(dtype).contiguous()
    for _ in range(ROUNDS):
        square = x @ x.t()
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    made = x.float()
    back: Tensor = made.t() if tall else made
    return back
