"""The linear layer that gives tokens their scores, started where the states of its encoder lie.

Encoders differ in how much of a state is common to all tokens and in how far apart tokens lie: the mean of e5's states is
longer than their spread is, MiniLM's is a sixth of it. A plain fresh layer has to learn the common part first, at a rate
meant for the encoder: e5 on 1,000 records of CLUENER reached 7 entity F1 in three epochs, and 57 with the mean taken off
and the rest brought to one spread; for MiniLM it makes no difference (docs/log.md). One spread for all dimensions, for those
that hardly differ say little: a spread for each cost MiniLM two points. All of it is linear, so `fold` writes it into the
weights in the end, and what is saved is the stock layer.

B texts, L tokens, D hidden, C labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NARROWEST = 1e-3  # states of less spread are all alike


class TokenLinear(nn.Linear):
    """Scores (B, L, C) fp32 of states (B, L, D). Its state dict is that of nn.Linear."""

    def __init__(self, hidden: int, num_labels: int, *, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws first weights that nobody will see
            super().__init__(hidden, num_labels)
        self.mean_D: Tensor | None
        self.spread: Tensor | None
        self.register_buffer("mean_D", None, persistent=False)
        self.register_buffer("spread", None, persistent=False)
        with torch.no_grad():
            self.weight.normal_(0.0, 0.02, generator=torch.Generator().manual_seed(seed))
            self.bias.zero_()

    def scores(self, states_BLD: Tensor, dropout: nn.Module) -> Tensor:
        """(B, L, C); dropout comes after standardising, so that what is dropped is the mean and not nought."""
        if self.mean_D is None or self.spread is None:
            plain_BLC: Tensor = self(dropout(states_BLD).to(self.weight.dtype))
            return plain_BLC.float()
        standard_BLD = (states_BLD.float() - self.mean_D) / self.spread
        scores_BLC: Tensor = self(dropout(standard_BLD).to(self.weight.dtype))
        return scores_BLC.float()

    def standardise(self, states_ND: Tensor) -> None:
        """Take mean and spread (one number: root mean square over dimensions) from the states of N tokens, two at least."""
        self.mean_D, self.spread = states_ND.mean(0), states_ND.var(0).mean().sqrt().clamp(min=NARROWEST)

    @torch.no_grad()
    def fold(self) -> None:
        """Write mean and spread into the weights: the same scores from a plain layer."""
        if self.mean_D is None or self.spread is None:
            return
        self.weight.div_(self.spread)
        self.bias.sub_(self.weight @ self.mean_D)
        self.mean_D, self.spread = None, None
