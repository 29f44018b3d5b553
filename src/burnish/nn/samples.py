"""Made-up tokens on which a saved model is compared with the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def tokens(vocabulary: int) -> tuple[Tensor, Tensor]:
    """ids and mask (4, 12) of texts of four lengths, always the same; ids from 5 up, past most special tokens."""
    ids_BL = torch.randint(5, vocabulary, (4, 12), generator=torch.Generator().manual_seed(0))
    mask_BL = (torch.arange(12)[None] < torch.tensor([12, 9, 5, 2])[:, None]).long()
    return ids_BL, mask_BL


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients inside the block, and the mode it had after."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
