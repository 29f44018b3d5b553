"""Logits of many texts, in the order they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from burnish.nn.batches import Batch, Examples, batches_of, reading_order

READ_TOKENS = 4096  # tokens a batch: from here on a larger one is not faster, only larger


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """(B, C) logits of one batch; `model` returns them, or an output of transformers that holds them."""
    inputs = {"input_ids": batch.ids_BL, "attention_mask": batch.mask_BL}
    if batch.types_BL is not None:
        inputs["token_type_ids"] = batch.types_BL
    out = model(**inputs)
    return out if isinstance(out, Tensor) else out.logits


def pad_token_of(model: nn.Module) -> int:
    """The padding token its configuration names, else 0 (masked, so it only has to be a token)."""
    return int(getattr(getattr(model, "config", None), "pad_token_id", None) or 0)


def predict_logits(model: nn.Module, examples: Examples, *, batch_tokens: int = READ_TOKENS) -> np.ndarray:
    """float32 (n, C), row i for text i, though texts are read in order of length."""
    was_training = model.training
    model.eval()
    out: np.ndarray | None = None
    order = reading_order(examples.lengths, batch_tokens=batch_tokens)
    try:
        with torch.inference_mode():
            for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
                logits_BC = logits_of(model, batch).float().numpy()
                if out is None:
                    out = np.empty((len(examples), logits_BC.shape[1]), dtype=np.float32)
                out[batch.rows] = logits_BC
    finally:
        model.train(was_training)
    return (
        out if out is not None else np.empty((0, getattr(getattr(model, "config", None), "num_labels", 0)), np.float32)
    )


def stream_logits(
    model: nn.Module, parts: Iterable[Examples], *, batch_tokens: int = READ_TOKENS
) -> Iterator[np.ndarray]:
    """Logits of one part after the other: memory is that of the largest part, sorting is within parts."""
    for part in parts:
        yield predict_logits(model, part, batch_tokens=batch_tokens)
