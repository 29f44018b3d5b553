"""What two networks that write think of the same answers, token by token: the largest difference of their logits.

Each is told the answer so far and asked for the next token (teacher forcing), so that one early difference does not make
all later tokens others. The exported one reads the prompt in one step and the answer in the next, through its cache.

B texts, L tokens of a prompt, T of an answer, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from burnish.nn.batches import make_batch
from burnish.nn.conversations import gathered
from burnish.nn.examples import Examples
from burnish.nn.writing import to_the_right

NUMBERS = 1 << 25  # logits computed at once


@torch.inference_mode()
def largest_difference(before: Any, after: Any, examples: Examples, answers: Sequence[np.ndarray]) -> float:
    """Largest |difference| of a logit at any token of the answers or at their end.

    before: a network of transformers; after: one that was exported from it. examples: what they read, one window an answer.
    """
    worst = 0.0
    said = gathered([np.asarray(answer, dtype=np.int32) for answer in answers])
    padding = int(before.generation_config.pad_token_id or 0)
    for rows in _batches(said.lengths, int(before.config.get_text_config(decoder=True).vocab_size)):
        read, written = (make_batch(one, rows, pad_token=padding) for one in (examples, said))
        counted_BT = torch.arange(written.ids_BL.shape[1] + 1)[None] <= written.mask_BL.sum(1, keepdim=True)
        logits = _encoder_decoder if before.config.is_encoder_decoder else _decoder
        ours_BTV, theirs_BTV = (logits(one, read.ids_BL, read.mask_BL, written.ids_BL) for one in (before, after))
        worst = max(worst, float((ours_BTV - theirs_BTV).abs()[counted_BT].max()))
    return worst


def _batches(lengths: np.ndarray, vocabulary: int) -> Iterator[np.ndarray]:
    """Rows of like length, as many as the logits of their answers allow."""
    order = np.argsort(-lengths, kind="stable")
    at = 0
    while at < len(order):
        count = max(1, NUMBERS // (int(lengths[order[at]] + 1) * vocabulary))
        yield order[at : at + count]
        at += count


def _decoder(network: Any, ids_BL: Tensor, mask_BL: Tensor, answer_BT: Tensor) -> Tensor:
    """(B, T + 1, V) behind the prompt and behind each token of the answer."""
    ids_BL, mask_BL = (torch.stack(to_the_right(part, mask_BL)) for part in (ids_BL, mask_BL))
    mask_BN = torch.cat([mask_BL, torch.ones_like(answer_BT)], 1)
    placed = "position_ids" in inspect.signature(network.forward).parameters
    place_BN = (mask_BN.cumsum(-1) - 1).clamp(min=0)
    length = ids_BL.shape[1]
    cache: Any = None
    found: list[Tensor] = []
    for part_BK, begin in ((ids_BL, 0), (answer_BT, length)):
        if not part_BK.shape[1]:
            continue
        end = begin + part_BK.shape[1]
        more = {"position_ids": place_BN[:, begin:end].to(network.device)} if placed else {}
        out = network(
            input_ids=part_BK.to(network.device),
            attention_mask=mask_BN[:, :end].to(network.device),
            past_key_values=cache,
            use_cache=True,
            **more,
        )
        cache = out.past_key_values
        found.append(out.logits[:, -1:] if not found else out.logits)
    return torch.cat(found, 1).float().cpu()


def _encoder_decoder(network: Any, ids_BL: Tensor, mask_BL: Tensor, answer_BT: Tensor) -> Tensor:
    """(B, T + 1, V) behind the start and behind each token of the answer."""
    start_B1 = torch.full_like(ids_BL[:, :1], network.config.decoder_start_token_id)
    given = {"input_ids": ids_BL.to(network.device), "attention_mask": mask_BL.to(network.device)}
    read = network.get_encoder()(**given)
    cache: Any = None
    found: list[Tensor] = []
    for part_BK in (start_B1, answer_BT):
        if not part_BK.shape[1]:
            continue
        out = network(
            encoder_outputs=read,
            attention_mask=given["attention_mask"],
            decoder_input_ids=part_BK.to(network.device),
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
        found.append(out.logits)
    return torch.cat(found, 1).float().cpu()
