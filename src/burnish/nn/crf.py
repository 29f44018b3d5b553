"""The likelihood of a whole sequence of tags under a linear-chain CRF (Lafferty, McCallum & Pereira 2001).

    p(y | x) = exp(first[y1] + sum scores[t, yt] + sum transitions[yt, yt+1] + last[yn]) / Z(x)

Z by the forward algorithm, all sequences of a batch at once. Decoding is `nn.viterbi`, without torch.
B sequences, L tokens, C tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from burnish.nn.batches import Batch
from burnish.nn.examples import IGNORED


def negative_log_likelihood(scores_BLC: Tensor, tags_BL: Tensor, crf: Mapping[str, Tensor]) -> Tensor:
    """-log p of the tags of each sequence (B), fp32. Tokens whose tag is IGNORED are not in the chain.

    crf: transitions (C, C) from row to column, first (C), last (C). A sequence without tags costs 0.
    """
    transitions_CC, first_C, last_C = (crf[name].float() for name in ("transitions", "first", "last"))
    scores_BLC, tags_BL, told_BL = _packed(scores_BLC.float(), tags_BL)
    lengths_B = told_BL.sum(1)
    rows = torch.arange(len(tags_BL), device=tags_BL.device)
    end_B = (lengths_B - 1).clamp(min=0)
    # what the tags themselves score
    said_BL = scores_BLC.gather(2, tags_BL.unsqueeze(2)).squeeze(2)
    moved_BL = functional.pad(transitions_CC[tags_BL[:, :-1], tags_BL[:, 1:]], (1, 0))
    path_B = ((said_BL + moved_BL) * told_BL).sum(1) + first_C[tags_BL[:, 0]] + last_C[tags_BL[rows, end_B]]
    # what all sequences score together
    alpha_BC = first_C + scores_BLC[:, 0]
    for step in range(1, tags_BL.shape[1]):
        onward_BC = torch.logsumexp(alpha_BC.unsqueeze(2) + transitions_CC, 1) + scores_BLC[:, step]
        alpha_BC = torch.where(told_BL[:, step, None], onward_BC, alpha_BC)
    total_B = torch.logsumexp(alpha_BC + last_C, 1)
    return torch.where(lengths_B > 0, total_B - path_B, torch.zeros_like(path_B))


def _packed(scores_BLC: Tensor, tags_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Told tokens moved to the front of their sequences, the rest cut off; IGNORED becomes 0 where it is left."""
    told_BL = tags_BL != IGNORED
    longest = max(1, int(told_BL.sum(1).max()))
    order_BL = torch.argsort((~told_BL).to(torch.uint8), dim=1, stable=True)[:, :longest]
    scores_BLC = scores_BLC.gather(1, order_BL.unsqueeze(2).expand(-1, -1, scores_BLC.shape[2]))
    return scores_BLC, tags_BL.gather(1, order_BL).clamp(min=0), told_BL.gather(1, order_BL)


@dataclass(frozen=True)
class CrfLikelihood:
    """One tag a token, judged as a sequence: token_targets (B, L), outputs (B, L, C), `model.crf`.

    The loss of a text is divided by its tokens, so that learning rates of TokenCrossEntropy fit.
    """

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.token_targets_BL is not None
        lengths_B = (batch.token_targets_BL != IGNORED).sum(1).clamp(min=1)
        return negative_log_likelihood(outputs, batch.token_targets_BL, model.crf.values()) / lengths_B
