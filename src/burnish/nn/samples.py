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


def inputs(model: Any) -> dict[str, Tensor]:
    """What `model` reads, made up: tokens, with the markers of pairs where it looks for them, and pixels where it sees."""
    config = model.config
    device = next(model.parameters()).device
    ids_BL, mask_BL = tokens(min(config.vocab_size, *getattr(config, "marker_ids", (config.vocab_size,))))
    if hasattr(model, "head_id"):
        ids_BL[:, 0], ids_BL[:, 1] = model.head_id, model.tail_id
    made = {"input_ids": ids_BL.to(device), "attention_mask": mask_BL.to(device)}
    if hasattr(model, "pixels"):
        generator = torch.Generator().manual_seed(0)
        made["pixel_values"] = torch.randn(4, 3, model.size, model.size, generator=generator).to(device)
    return made


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
