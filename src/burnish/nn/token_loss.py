"""Cross entropy of many tokens over a vocabulary, in pieces that stay in the processor's cache.

torch's own keeps log-probabilities in fp32 and takes its exponentials number by number where rows are long: for 2,048 tokens
of 8,000 words it costs 230 ms of one core, and this a third (benchmarks/results/generation.md). T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PIECE = 1 << 18  # logits taken at a time: 1 MB in fp32


class _TokenLoss(torch.autograd.Function):
    """-log p of each target; label smoothing as torch defines it (Szegedy et al. 2016)."""

    @staticmethod
    def forward(ctx: Any, logits_TV: Tensor, targets_T: Tensor, smoothing: float) -> Tensor:
        log_sum_T, said_T = (torch.empty(len(logits_TV), dtype=torch.float32) for _ in range(2))
        size = logits_TV.shape[1]
        for piece, at in _pieces(logits_TV):
            z = piece.float() if piece.dtype != torch.float32 else piece.clone()
            targets_P = targets_T[at]
            said_T[at] = z.gather(1, targets_P[:, None])[:, 0] * (1.0 - smoothing)
            if smoothing:
                said_T[at] += z.sum(1) * (smoothing / size)
            most_P = z.amax(1)
            log_sum_T[at] = most_P + z.sub_(most_P[:, None]).exp_().sum(1).log_()
        ctx.save_for_backward(logits_TV, targets_T, log_sum_T)
        ctx.smoothing = smoothing
        return log_sum_T - said_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits_TV, targets_T, log_sum_T = ctx.saved_tensors
        grad_T = grads[0].float()
        out = torch.empty_like(logits_TV)
        for piece, at in _pieces(logits_TV):
            p = piece.float() if piece.dtype != torch.float32 else piece.clone()
            p.sub_(log_sum_T[at][:, None]).exp_()
            if ctx.smoothing:
                p.sub_(ctx.smoothing / p.shape[1])
            p.scatter_add_(1, targets_T[at][:, None], torch.full((len(p), 1), ctx.smoothing - 1.0))
            out[at] = p.mul_(grad_T[at][:, None])
        return out, None, None


_token_loss: Callable[..., Tensor] = _TokenLoss.apply


def _pieces(logits_TV: Tensor) -> list[tuple[Tensor, slice]]:
    step = max(1, PIECE // logits_TV.shape[1])
    places = [slice(start, start + step) for start in range(0, len(logits_TV), step)]
    return [(logits_TV[at], at) for at in places]


def token_loss(logits_TV: Tensor, targets_T: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """(T) float32 losses of tokens, as `functional.cross_entropy` gives them without reduction; no target is ignored."""
    if logits_TV.device.type != "cpu":
        return functional.cross_entropy(logits_TV.float(), targets_T, reduction="none", label_smoothing=label_smoothing)
    return _token_loss(logits_TV, targets_T, label_smoothing)
