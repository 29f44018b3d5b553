"""Writing with a network: prompts in batches of like length, sampling that repeats itself, answers without their end."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from burnish.nn.batches import Batch, make_batch, reading_order
from burnish.nn.examples import Examples
from burnish.nn.quiet import silent_loading

WRITE_TOKENS = 16_384  # tokens a batch may come to hold while it is written, prompts and beams included
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p")


def write(
    network: Any,
    examples: Examples,
    *,
    seed: int = 0,
    batch_tokens: int = WRITE_TOKENS,
    stop_strings: list[str] | None = None,
    tokenizer: Any = None,
    streamer: Any = None,
    **settings: Any,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(rows, what was written for each) batch by batch: int64 tokens without the end.

    settings: of transformers' GenerationConfig, over the model's own; temperature 0 is greedy. Prompts of a decoder are
    padded on the left. stop_strings end an answer (tokenizer: which has them); streamer: of transformers, fed as tokens
    come, for one example. The same examples, settings and seed give the same tokens.
    """
    chosen = copy.deepcopy(network.generation_config)
    chosen.update(**sound(settings))
    if network.config.is_encoder_decoder and (limit := getattr(network.config, "max_position_embeddings", 0)):
        chosen.max_new_tokens = min(chosen.max_new_tokens, limit - 1)
    beams = max(chosen.num_beams or 1, chosen.num_return_sequences or 1)
    order = reading_order((examples.lengths + chosen.max_new_tokens) * beams, batch_tokens=batch_tokens)
    more = {"stop_strings": stop_strings, "tokenizer": tokenizer} if stop_strings else {}
    if streamer is not None:
        more["streamer"] = streamer
    for at, rows in enumerate(order):
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), silent_loading():
            torch.manual_seed(seed * 1_000_003 + at)
            # with several sequences an example, its row stands once for each of them
            yield (
                np.repeat(rows, chosen.num_return_sequences or 1),
                _written(network, make_batch(examples, rows, pad_token=chosen.pad_token_id or 0), chosen, more),
            )


def sound(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of generation that agree with each other: temperature 0 is greedy, and greedy has no sampling settings."""
    kept = {name: value for name, value in settings.items() if value is not None}
    if "temperature" in kept or "do_sample" in kept:
        kept["do_sample"] = bool(kept.get("do_sample", True)) and kept.get("temperature", 1.0) > 0
        if not kept["do_sample"]:
            kept |= dict.fromkeys(SAMPLING)
    elif kept.get("num_beams", 1) > 1:
        kept |= {"do_sample": False, **dict.fromkeys(SAMPLING)}
    return kept


def _written(network: Any, batch: Batch, chosen: Any, more: Mapping[str, Any]) -> list[np.ndarray]:
    ids_BL, mask_BL, begin = batch.ids_BL, batch.mask_BL, 1
    if not network.config.is_encoder_decoder:
        ids_BL, mask_BL = (torch.stack(to_the_right(part, mask_BL)) for part in (ids_BL, mask_BL))
        begin = ids_BL.shape[1]
    given = {"input_ids": ids_BL.to(network.device), "attention_mask": mask_BL.to(network.device)}
    out = network.generate(**given, generation_config=chosen, **more)
    ends = set(chosen.eos_token_id if isinstance(chosen.eos_token_id, list) else [chosen.eos_token_id])
    found = []
    for row in out[:, begin:].cpu().numpy().astype(np.int64):
        over = np.flatnonzero(np.isin(row, [*ends]))
        found.append(row[: over[0]] if len(over) else row)
    return found


def to_the_right(part_BL: Tensor, mask_BL: Tensor) -> list[Tensor]:
    """Rows with their padding moved to the front, where a decoder wants it."""
    return [torch.roll(row, int((1 - mask).sum())) for row, mask in zip(part_BL, mask_BL, strict=True)]
