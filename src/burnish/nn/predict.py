"""What a network gives for many texts, in the order they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.nn.batches import Batch, Examples, batches_of, reading_order
from burnish.nn.devices import device_in, moved
from burnish.nn.models import Head, gathered, per_window

READ_TOKENS = 4096  # tokens a batch: from here on a larger one is not faster, only larger


def outputs_of(model: nn.Module, batch: Batch) -> Any:
    """What the model gives for one batch: a tensor (B, ...), or a dict of them; of transformers' outputs the logits."""
    batch = moved(batch, device_in(model))
    inputs = {"input_ids": batch.ids_BL, "attention_mask": batch.mask_BL}
    if batch.types_BL is not None:
        inputs["token_type_ids"] = batch.types_BL
    if batch.images is not None:
        inputs["pixel_values"] = moved(model.pixels(batch.images), device_in(model))  # type: ignore[operator]
    out = model(**inputs)
    return out.logits if hasattr(out, "logits") else out


def read_lengths(model: nn.Module, examples: Examples) -> np.ndarray:
    """(W) tokens that the network reads of each window: those of the text, and those an image becomes."""
    return examples.lengths + int(getattr(model, "image_tokens", 0))


def pad_token_of(model: nn.Module) -> int:
    """The padding token its configuration names, else 0 (masked, so it only has to be a token)."""
    return int(getattr(getattr(model, "config", None), "pad_token_id", None) or 0)


def stream_outputs(
    model: nn.Module, examples: Examples, head: Head, *, batch_tokens: int = READ_TOKENS
) -> Iterator[tuple[np.ndarray, Any]]:
    """(rows, outputs) of batch after batch, longest windows first; outputs as `models.per_window` cuts them, float32."""
    was_training = model.training
    model.eval()
    order = reading_order(read_lengths(model, examples), batch_tokens=batch_tokens)
    try:
        with torch.inference_mode():
            for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
                yield batch.rows, per_window(_numbers(outputs_of(model, batch)), head, examples.lengths[batch.rows])
    finally:
        model.train(was_training)


def predict_outputs(model: nn.Module, examples: Examples, head: Head, *, batch_tokens: int = READ_TOKENS) -> Any:
    """Outputs of all windows in their order: float32 (W, C), or a list of one array a window where it has tokens."""
    return gathered(len(examples), stream_outputs(model, examples, head, batch_tokens=batch_tokens))


def predict_logits(model: nn.Module, examples: Examples, *, batch_tokens: int = READ_TOKENS) -> np.ndarray:
    """float32 (n, C), row i for text i, of a model with one output vector a text."""
    if not len(examples):
        return np.empty((0, getattr(getattr(model, "config", None), "num_labels", 0)), np.float32)
    made: np.ndarray = predict_outputs(model, examples, Head("sequence"), batch_tokens=batch_tokens)
    return made


def stream_logits(
    model: nn.Module, parts: Iterable[Examples], *, batch_tokens: int = READ_TOKENS
) -> Iterator[np.ndarray]:
    """Logits of one part after the other: memory is that of the largest part, sorting is within parts."""
    for part in parts:
        yield predict_logits(model, part, batch_tokens=batch_tokens)


def _numbers(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.float().cpu().numpy()
    return {name: value.float().cpu().numpy() for name, value in outputs.items()}
