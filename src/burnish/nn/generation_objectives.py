"""What training makes small in models that write: the next token of a target, and of nothing else.

Every target token of a batch counts the same: the loss of an example is the sum over its target tokens times B / T, with T
the target tokens of the whole batch, so that the mean over the batch is the mean over its target tokens. (The mean of
means would let a one-word answer teach as much as a page.)

B examples, L tokens of the longest, R rows after packing, T target tokens, V vocabulary, D hidden.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.nn.batches import Batch
from burnish.nn.examples import IGNORED
from burnish.nn.token_loss import token_loss


@dataclass(frozen=True)
class Predicted:
    """Logits where a target comes next, and nowhere else. of_T: the example of the batch each belongs to."""

    logits_TV: Tensor
    targets_T: Tensor
    of_T: Tensor


@dataclass(frozen=True)
class NextToken:
    """Cross entropy of target tokens.

    A decoder learns `token_targets` (the token itself where it is a target, IGNORED on the prompt), an encoder-decoder
    learns `output` and the end behind it. packing: put short examples of a batch into one row where that saves rows and
    the decoder can keep them apart.
    """

    label_smoothing: float = 0.0
    packing: bool = True

    def forward(self, model: Any, batch: Batch) -> Predicted:
        """Run the network, with logits computed at targets only."""
        network = model.plain
        if batch.output is not None:
            return _encoder_decoder(network, batch)
        return _decoder(network, batch, packing=self.packing and can_pack(network))

    def loss(self, outputs: Predicted, batch: Batch, model: Any) -> Tensor:
        """(B) float32."""
        loss_T = token_loss(outputs.logits_TV, outputs.targets_T, label_smoothing=self.label_smoothing)
        count = len(batch.rows)
        scale = count / max(len(outputs.targets_T), 1)
        return torch.zeros(count, device=loss_T.device).index_add(0, outputs.of_T, loss_T * scale)


@contextmanager
def logits_only_at(network: nn.Module, where_RL: Tensor) -> Iterator[None]:
    """Inside the block the network's vocabulary projection sees only the chosen places: logits are (1, T, V).

    What a family does around the projection (scaling, soft caps, biases) stays its own.
    """
    head = network.get_output_embeddings()  # type: ignore[operator]
    taken = head.register_forward_pre_hook(lambda module, given: (given[0][where_RL][None],))
    try:
        yield
    finally:
        taken.remove()


def _decoder(network: Any, batch: Batch, *, packing: bool) -> Predicted:
    """Whole sequences, each token predicting the one behind it."""
    assert batch.token_targets_BL is not None, "a decoder learns token_targets"
    device = next(network.parameters()).device
    # the last token predicts nothing, so it is not read
    ids_BL, mask_BL = batch.ids_BL[:, :-1].to(device), batch.mask_BL[:, :-1].to(device)
    next_BL = batch.token_targets_BL[:, 1:].to(device)
    of_BL = torch.arange(len(ids_BL), device=device)[:, None].expand_as(ids_BL)
    more: dict[str, Tensor] = {"attention_mask": mask_BL}
    rows = packed_rows(mask_BL.sum(1).tolist(), room=ids_BL.shape[1]) if packing else []
    if 0 < len(rows) < len(ids_BL):
        plan = Packing.of(rows, mask_BL)
        ids_BL, next_BL, of_BL = (plan.lay(part) for part in (ids_BL, next_BL, of_BL))
        next_BL = next_BL.masked_fill(plan.example_RL < 0, IGNORED)
        dtype = network.get_input_embeddings().weight.dtype
        more = {"attention_mask": plan.mask(dtype), "position_ids": plan.positions_RL}
    where = next_BL != IGNORED
    with logits_only_at(network, where):
        logits = network(input_ids=ids_BL, use_cache=False, **more).logits[0]
    return Predicted(logits, next_BL[where], of_BL[where])


def _encoder_decoder(network: Any, batch: Batch) -> Predicted:
    """The source is read, the output is written token by token behind the family's start token."""
    assert batch.output is not None
    device = next(network.parameters()).device
    target_BL, where = batch.output.ids_BL.to(device), batch.output.mask_BL.bool().to(device)
    start = torch.full_like(target_BL[:, :1], network.config.decoder_start_token_id)
    with logits_only_at(network, where):
        logits = network(
            input_ids=batch.ids_BL.to(device),
            attention_mask=batch.mask_BL.to(device),
            decoder_input_ids=torch.cat([start, target_BL[:, :-1]], 1),
            use_cache=False,
        ).logits[0]
    of_BL = torch.arange(len(target_BL), device=device)[:, None].expand_as(target_BL)
    return Predicted(logits, target_BL[where], of_BL[where])


def can_pack(network: Any) -> bool:
    """Whether examples in one row can be kept apart: the decoder takes positions, and every layer attends to all before it."""
    config = network.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return (
        "position_ids" in inspect.signature(network.forward).parameters
        and kinds == {"full_attention"}
        and not windowed
        and getattr(config, "_attn_implementation", "eager") in ("eager", "sdpa")
    )


def packed_rows(lengths: Sequence[int], *, room: int) -> list[list[int]]:
    """Which examples share a row of `room` tokens: first fit, longest first (at most 11/9 of the fewest rows)."""
    rows: list[list[int]] = []
    left: list[int] = []
    for example in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((i for i, free in enumerate(left) if free >= lengths[example]), None)
        if row is None:
            rows.append([])
            left.append(room)
            row = len(rows) - 1
        rows[row].append(example)
        left[row] -= lengths[example]
    return rows


@dataclass(frozen=True)
class Packing:
    """Several examples in each of R rows. example_RL: whose token lies there, -1 for padding; from_RL: its place in the
    flat (B L) batch; positions_RL: counted anew in each example."""

    example_RL: Tensor
    from_RL: Tensor
    positions_RL: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], mask_BL: Tensor) -> Packing:
        """rows: as `packed_rows` gives them; mask_BL: 1 where an example has a token, on the left."""
        lengths, width = mask_BL.sum(1).tolist(), mask_BL.shape[1]
        longest = max(sum(lengths[i] for i in row) for row in rows)
        example, source, position = (np.zeros((len(rows), longest), dtype=np.int64) for _ in range(3))
        example -= 1
        for r, row in enumerate(rows):
            at = 0
            for i in row:
                place = slice(at, at + lengths[i])
                example[r, place] = i
                source[r, place] = i * width + np.arange(lengths[i])
                position[r, place] = np.arange(lengths[i])
                at += lengths[i]
        return cls(*(torch.from_numpy(part).to(mask_BL.device) for part in (example, source, position)))

    def lay(self, part_BL: Tensor) -> Tensor:
        """(R, L) of a (B, L) tensor; padding repeats its first element."""
        return part_BL.reshape(-1)[self.from_RL]

    def mask(self, dtype: torch.dtype) -> Tensor:
        """(R, 1, L, L) to be added to scores: 0 where a token may look, else the least number. Padding sees itself."""
        same = self.example_RL[:, :, None] == self.example_RL[:, None, :]
        before = torch.ones(same.shape[1:], dtype=torch.bool, device=same.device).tril()
        return torch.zeros(same.shape, dtype=dtype, device=same.device).masked_fill_(
            ~(same & before), torch.finfo(dtype).min
        )[:, None]
