"""How likely a model that writes finds a given answer: the bits of its tokens, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from burnish.nn.batches import batches_of
from burnish.nn.examples import Examples
from burnish.nn.generation_objectives import NextToken
from burnish.nn.generators import Generator

ROWS = 16


@torch.no_grad()
def answer_bits(network: Any, examples: Examples, *, pad_token: int) -> np.ndarray:
    """(n) float64: minus log2 of the probability of each example's target tokens, summed. examples: with targets."""
    model, objective = Generator(network), NextToken(packing=False)
    was_training = network.training
    network.eval()
    found = np.zeros(len(examples))
    order = np.argsort(-np.asarray(examples.lengths), kind="stable")
    rows = [order[at : at + ROWS] for at in range(0, len(order), ROWS)]
    for batch, of in zip(batches_of(examples, rows, pad_token=pad_token), rows, strict=True):
        out = objective.forward(model, batch)
        loss_T = functional.cross_entropy(out.logits_TV.double(), out.targets_T, reduction="none") / np.log(2)
        sums = torch.zeros(len(of), dtype=torch.float64, device=loss_T.device).index_add(0, out.of_T, loss_T)
        found[of] = sums.cpu().numpy()
    network.train(was_training)
    return found
