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
    """Cross entropy of the first and of the last token of the answer, each over the tokens where one may stand.

    outputs: (B, L, 2), scores to begin and to end. token_targets (B, L): START and END bits, IGNORED where no answer can
    be (question, separators, padding), so that no probability is lost there. A window without the answer points at its
    first token with both (Devlin et al. 2019, section 4.3). The loss is the mean of the two, as in the stock models.
    """

    label_smoothing: float = 0.0

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        targets_BL = batch.token_targets_BL
        assert targets_BL is not None
        open_BL = targets_BL != IGNORED
        scores_BL2 = outputs.float().masked_fill(~open_BL.unsqueeze(-1), -torch.inf)
        log_p_BL2 = functional.log_softmax(scores_BL2, dim=1)
        bits = torch.tensor([START, END], device=targets_BL.device)
        here_BL2 = ((targets_BL.unsqueeze(-1) & bits) > 0) & open_BL.unsqueeze(-1)
        loss_B2 = -log_p_BL2.masked_fill(~here_BL2, 0.0).sum(1)
        if self.label_smoothing:
            even_B2 = -log_p_BL2.masked_fill(~open_BL.unsqueeze(-1), 0.0).sum(1) / open_BL.sum(1, keepdim=True)
            loss_B2 = (1.0 - self.label_smoothing) * loss_B2 + self.label_smoothing * even_B2
        return loss_B2.mean(-1)
