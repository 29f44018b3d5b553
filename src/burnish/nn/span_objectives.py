"""What training makes small where a model points at the first and the last token of an answer.

B windows, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from burnish.nn.batches import Batch
from burnish.nn.borders import END, START
from burnish.nn.examples import IGNORED


@dataclass(frozen=True)
class Borders:
    """Where the answer stands, and whether it stands there at all: two questions, two losses, one sum.

    outputs: (B, L, 2), scores to begin and to end. token_targets (B, L): START and END bits, IGNORED where no answer can
    be (question, separators, padding), so that no probability is lost there; both bits on the first token say that the
    window has no answer, so the stock head of BERT serves (Devlin et al. 2019, section 4.3).
    Where: cross entropy of both borders over the tokens of the context, their mean, of windows that have the answer.
    Whether: binary cross entropy of every window; the first token's two scores add up to the log odds that it has none.
    One softmax over both, as the stock models train it, lets windows without the answer push down every other token: where
    half of the questions have none, refusing is learnt in the first steps, and a few thousand questions did not teach the
    places any more (docs/log.md, "Refusing is learnt first").
    """

    label_smoothing: float = 0.0

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        targets_BL = batch.token_targets_BL
        assert targets_BL is not None
        inside_BL1 = (targets_BL != IGNORED).unsqueeze(-1)
        inside_BL1[:, 0] = False
        scores_BL2 = outputs.float()
        bits = torch.tensor([START, END], device=targets_BL.device)
        here_BL2 = ((targets_BL.unsqueeze(-1) & bits) > 0) & inside_BL1
        total_B2 = scores_BL2.masked_fill(~inside_BL1, torch.finfo(torch.float32).min).logsumexp(1)
        where_B2 = total_B2 - scores_BL2.masked_fill(~here_BL2, 0.0).sum(1)
        if self.label_smoothing:
            mean_B2 = scores_BL2.masked_fill(~inside_BL1, 0.0).sum(1) / inside_BL1.sum(1).clamp(min=1)
            where_B2 = (1.0 - self.label_smoothing) * where_B2 + self.label_smoothing * (total_B2 - mean_B2)
        there_B = here_BL2.any(1).all(1)
        odds_B = scores_BL2[:, 0].sum(-1)
        whether_B = functional.binary_cross_entropy_with_logits(odds_B, (~there_B).float(), reduction="none")
        return where_B2.mean(-1).where(there_B, torch.zeros_like(whether_B)) + whether_B
