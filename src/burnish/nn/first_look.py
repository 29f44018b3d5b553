"""What is looked at before training: how much the backbone can read, and where its states lie, so that the first steps of a
fresh head are not spent on what all texts share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.nn.examples import Examples


def shown(model: Any, sample: Examples, *, pad_token: int, centred: bool) -> None:
    """Show a fresh head what the encoder gives for a sample of training texts.

    A head over tokens standardises their states; one over whole texts starts, where the backbone is `centred`, at the
    deviation from the mean text, where all texts of the encoder look alike (e5). Other heads are left as they are.
    """
    tokens = hasattr(model, "standardise")
    texts = centred and hasattr(model, "centre") and getattr(model, "reads_mean", True)
    if not (tokens or texts) or not len(sample):
        return
    import torch

    from burnish.nn.batches import batches_of, reading_order

    order = reading_order(sample.lengths, batch_tokens=4096)
    states: list[Any] = []
    means: list[Any] = []
    model.eval()
    with torch.inference_mode():
        for batch in batches_of(sample, order, pad_token=pad_token):
            given = batch.ids_BL, batch.mask_BL, batch.types_BL
            if tokens:
                states.append(model.states(*given)[batch.mask_BL.bool()])
            if texts:
                means.append(model.pooled(*given))
    if tokens:
        model.standardise(torch.cat(states).float().clone())
    if texts:
        model.centre(torch.cat(means).mean(0).clone())


def longest(folder: Path, tokenizer: Any) -> int:
    """Tokens that the backbone in `folder` can read at once, at most 8192."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    limit = min(int(getattr(config, "max_position_embeddings", 512)), int(tokenizer.model_max_length), 8192)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit = min(limit, int(config.max_position_embeddings) - 2)  # positions start behind the padding's
    return limit
