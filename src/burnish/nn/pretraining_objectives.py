"""What pre-training makes small: tokens told from the others. Whatever is drawn is drawn from torch's generator, which the
loop sets by the step, so a step after a resume masks what it would have masked.

Logits are computed only where the loss asks for one. The loss of an example is the sum over its told tokens times B / T, as
in nn.generation_objectives, so that every told token of a batch counts the same.

B examples, L tokens, T told tokens, V vocabulary, D hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.core.errors import BurnishError
from burnish.nn.batches import Batch
from burnish.nn.examples import IGNORED
from burnish.nn.generation_objectives import NextToken, Predicted, _encoder_decoder, can_pack, logits_only_at
from burnish.nn.word_starts import WordStarts

TOLD = 64  # told tokens are filled up to a multiple, so that the vocabulary's product meets few shapes


@dataclass(frozen=True)
class Ids:
    """Token numbers. special: never told, never drawn; size: of the vocabulary; mask: -1 where there is none."""

    size: int
    special: tuple[int, ...]
    mask: int = -1

    def ordinary(self, tokens: Tensor) -> Tensor:
        """Where a token is not special."""
        return ~torch.isin(tokens, torch.tensor(self.special, dtype=tokens.dtype))


def ids_of(tokenizer: Any, *, mask: bool = False) -> Ids:
    """Of a tokenizer. Raises BurnishError where a mask is wanted and it has none."""
    found = tokenizer.mask_token_id
    if mask and found is None:
        raise BurnishError(
            "this tokenizer has no mask token", hint="train.pretrain.objective: causal, or another `from`"
        )
    special = tuple(sorted(set(tokenizer.all_special_ids) | set(sentinels_of(tokenizer))))
    return Ids(len(tokenizer), special, -1 if found is None else int(found))


def sentinels_of(tokenizer: Any) -> tuple[int, ...]:
    """Numbers of <extra_id_0>, <extra_id_1>, ... in that order; () where there are none."""
    vocabulary = tokenizer.get_vocab()
    found: list[int] = []
    while (name := f"<extra_id_{len(found)}>") in vocabulary:
        found.append(int(vocabulary[name]))
    return tuple(found)


@dataclass(frozen=True)
class Told(Predicted):
    """Predicted, and what was judged of each pair of sentences, (B, 2), or None. count: told tokens but for the filling."""

    count: int = 0
    pairs_B2: Tensor | None = None


@dataclass(frozen=True)
class MaskedTokens:
    """Masked language model; sentences: the network also says whether `targets` (B: 0 yes, 1 no) belong together.

    share: of ordinary tokens told, of the whole batch, so that every batch tells as many. masked, random: shares of those
    that are read as the mask, as another token. words: masks cover whole words where given.
    """

    ids: Ids
    share: float = 0.15
    masked: float = 0.8
    random: float = 0.1
    words: WordStarts | None = None
    sentences: bool = False

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(ids_BL as they are read, flat_T): which of the B x L places are told, ascending."""
        inside_BL = batch.mask_BL.bool() & self.ids.ordinary(batch.ids_BL)
        places = inside_BL.reshape(-1).nonzero().squeeze(1)
        if not len(places):
            raise BurnishError("a batch has no token that could be masked", hint="are all texts empty?")
        count = max(1, round(self.share * len(places)))
        if self.words is None:
            chosen = torch.rand(len(places)).argsort()[:count]
        else:
            starts_BL = self.words(batch.ids_BL.numpy(), inside_BL.numpy())
            chosen = _whole(torch.from_numpy(starts_BL).reshape(-1)[places], count)
        flat_T = places[chosen].sort().values
        luck_T = torch.rand(len(flat_T))
        told_T = batch.ids_BL.reshape(-1)[flat_T]
        read_T = torch.where(luck_T < self.masked, torch.full_like(told_T, self.ids.mask), told_T)
        others_T = self._any(len(flat_T))
        read_T = torch.where((luck_T >= self.masked) & (luck_T < self.masked + self.random), others_T, read_T)
        return batch.ids_BL.reshape(-1).scatter(0, flat_T, read_T).view_as(batch.ids_BL), flat_T

    def _any(self, count: int) -> Tensor:
        """Ordinary tokens, all alike likely."""
        drawn = torch.randint(self.ids.size - len(self.ids.special), (count,))
        for special in self.ids.special:  # ascending: every number from here on moves up by one
            drawn += drawn >= special
        return drawn

    def forward(self, model: Any, batch: Batch) -> Told:
        """Run the network, with logits computed at told tokens only."""
        network = model.plain
        device = next(network.parameters()).device
        read_BL, flat_T = self.draw(batch)
        filled = -len(flat_T) % TOLD
        at_T = functional.pad(flat_T, (0, filled)).to(device)
        targets_T = functional.pad(batch.ids_BL.reshape(-1)[flat_T], (0, filled), value=IGNORED).to(device)
        more = {} if batch.types_BL is None else {"token_type_ids": batch.types_BL.to(device)}
        with told_only(network, at_T):
            out = network(input_ids=read_BL.to(device), attention_mask=batch.mask_BL.to(device), **more)
        pairs = out.seq_relationship_logits if self.sentences else None
        logits = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
        return Told(logits[0], targets_T, at_T // batch.ids_BL.shape[1], len(flat_T), pairs)

    def loss(self, outputs: Told, batch: Batch, model: Any) -> Tensor:
        """(B) float32."""
        loss_B = _spread(outputs, len(batch.rows), outputs.count)
        if outputs.pairs_B2 is not None:
            assert batch.targets is not None
            pairs, targets = outputs.pairs_B2.float(), batch.targets.to(outputs.pairs_B2.device)
            loss_B = loss_B + functional.cross_entropy(pairs, targets, reduction="none")
        return loss_B


def _whole(starts_P: Tensor, count: int) -> Tensor:
    """Which of P tokens are told: whole words drawn until the next would be more than `count`, at least one."""
    word_P = starts_P.long().cumsum(0) - starts_P[:1].long()
    sizes_W = torch.bincount(word_P)
    order = torch.rand(len(sizes_W)).argsort()
    within = sizes_W[order].cumsum(0) <= count
    within[0] = True
    taken_W = torch.zeros(len(sizes_W), dtype=torch.bool)
    taken_W[order[within]] = True
    return taken_W[word_P].nonzero().squeeze(1)


def told_only(network: Any, at_T: Tensor) -> Any:
    """Inside the block the head of a masked language model sees only the places at_T of the flat batch: logits (1, T, V)."""

    def take(module: Any, given: Any) -> Any:
        hidden = given[0]
        return (hidden.reshape(-1, hidden.shape[-1])[at_T][None], *given[1:])

    head = next((one for name in ("cls", "lm_head") if (one := getattr(network, name, None)) is not None), None)
    handle = (head if head is not None else network.get_output_embeddings()).register_forward_pre_hook(take)
    return _Removed(handle)


class _Removed:
    """A hook for the length of a block."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def _spread(outputs: Predicted, examples: int, told: int) -> Tensor:
    """(B) losses whose mean is the mean over all told tokens."""
    loss_T = functional.cross_entropy(
        outputs.logits_TV.float(), outputs.targets_T, reduction="none", ignore_index=IGNORED
    )
    scale = examples / max(told, 1)
    return torch.zeros(examples, device=loss_T.device).index_add(0, outputs.of_T, loss_T * scale)


@dataclass(frozen=True)
class CausalTokens(NextToken):
    """Every token from those before it. end: the token behind a document; apart: documents in one window do not see one
    another, and the first token of one is not told from the one before."""

    end: int = -1
    apart: bool = False

    def forward(self, model: Any, batch: Batch) -> Predicted:
        """Run the decoder; logits where a token follows."""
        told_BL = batch.ids_BL.masked_fill(batch.mask_BL == 0, IGNORED)
        if not self.apart:
            return super().forward(model, replace(batch, token_targets_BL=told_BL))
        network = model.plain
        if not can_pack(network):
            raise BurnishError(
                f"{network.config.model_type} cannot keep documents of one window apart",
                hint="train.pretrain.objective: {use: causal, apart: false}",
            )
        device = next(network.parameters()).device
        ids_BL = batch.ids_BL[:, :-1]
        ends_BL = functional.pad((ids_BL == self.end).long(), (1, 0))[:, :-1]
        document_BL = ends_BL.cumsum(1)
        next_BL = told_BL[:, 1:].masked_fill(ids_BL == self.end, IGNORED)
        first_BL = torch.cat([torch.ones_like(document_BL[:, :1]), document_BL.diff(dim=1)], 1) > 0
        at_L = torch.arange(ids_BL.shape[1])
        positions_BL = at_L - torch.where(first_BL, at_L, 0).cummax(1).values
        same = document_BL[:, :, None] == document_BL[:, None, :]
        sees = same & (at_L[:, None] >= at_L) & (batch.mask_BL[:, None, :-1] > 0) | (at_L[:, None] == at_L)
        dtype = network.get_input_embeddings().weight.dtype
        mask = torch.zeros(sees.shape, dtype=dtype).masked_fill_(~sees, torch.finfo(dtype).min)[:, None]
        where = (next_BL != IGNORED).to(device)
        with logits_only_at(network, where):
            given = {"attention_mask": mask.to(device), "position_ids": positions_BL.to(device)}
            logits = network(input_ids=ids_BL.to(device), use_cache=False, **given).logits[0]
        of_BL = torch.arange(len(ids_BL), device=device)[:, None].expand_as(where)
        return Predicted(logits, next_BL.to(device)[where], of_BL[where])


@dataclass(frozen=True)
class CorruptedSpans:
    """Runs of tokens are taken out of what the encoder reads. sentinels: what stands for them there.

    whole: False: the decoder writes each run behind its sentinel, and one sentinel more at the end (T5); True: every run
    becomes the same mark, and the decoder writes the whole text (BART).
    """

    ids: Ids
    share: float
    mean: float
    sentinels: tuple[int, ...]
    whole: bool

    def __post_init__(self) -> None:
        if not self.sentinels:
            raise BurnishError(
                "this tokenizer has no token that could stand for what is taken out",
                hint="leave train.pretrain.from out, so that a tokenizer is learnt, or name one with <extra_id_0>",
            )

    def forward(self, model: Any, batch: Batch) -> Predicted:
        """Run the encoder on what is left and the decoder on what is missing."""
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        sides = [self.cut(row, random) for row in _rows(batch)]
        end = model.config.eos_token_id
        pad = int(getattr(model.config, "pad_token_id", None) or 0)
        inputs = _padded([read for read, _ in sides], pad)
        outputs = _padded([_ended(written, end) for _, written in sides], pad)
        read = replace(batch, ids_BL=inputs[0], mask_BL=inputs[1], types_BL=None, full=False)
        written = replace(batch, ids_BL=outputs[0], mask_BL=outputs[1], types_BL=None, full=False)
        return _encoder_decoder(model.plain, replace(read, output=written))

    def loss(self, outputs: Predicted, batch: Batch, model: Any) -> Tensor:
        """(B) float32."""
        return _spread(outputs, len(batch.rows), len(outputs.targets_T))

    def cut(self, tokens: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(what is read, what is written) of one text, neither with an end of its own where the text has none."""
        room = len(tokens) if self.whole else len(self.sentinels) - 1
        out = noise(len(tokens), share=self.share, mean=self.mean, most=room, random=random)
        out &= ~np.isin(tokens, self.ids.special)
        starts = out & ~np.concatenate([[False], out[:-1]])
        run = np.cumsum(starts) - 1
        marks = np.asarray(self.sentinels)
        of_run = np.zeros(len(tokens), np.int64) if self.whole else np.minimum(run, len(marks) - 1)
        read = np.where(starts, marks[of_run], tokens)[~out | starts]
        if self.whole:
            return read, tokens
        taken, count = tokens[out], int(starts.sum())
        written = np.insert(taken, np.flatnonzero(starts[out]), marks[:count])
        return read, np.append(written, marks[min(count, len(marks) - 1)])


def noise(length: int, *, share: float, mean: float, most: int, random: np.random.Generator) -> np.ndarray:
    """(length) bool: runs of tokens to take out, the first token never among them (T5's random_spans_noise_mask).

    Their number is round(length x share), in round(number / mean) runs, at most `most`; every division into runs is alike
    likely.
    """
    out = np.zeros(length, dtype=bool)
    if length < 2:
        return out
    taken = int(np.clip(round(length * share), 1, length - 1))
    runs = int(np.clip(round(taken / mean), 1, min(taken, length - taken, max(most, 1))))
    sizes = np.stack([_parts(length - taken, runs, random), _parts(taken, runs, random)], 1).reshape(-1)
    out[:] = np.repeat(np.arange(2 * runs) % 2 == 1, sizes)
    return out


def _parts(total: int, count: int, random: np.random.Generator) -> np.ndarray:
    """`total` in `count` parts of at least one."""
    cuts = np.sort(random.choice(total - 1, count - 1, replace=False) + 1) if count > 1 else np.zeros(0, np.int64)
    return np.diff(np.concatenate([[0], cuts, [total]])).astype(np.int64)


def _rows(batch: Batch) -> list[np.ndarray]:
    lengths = batch.mask_BL.sum(1).tolist()
    return [row[:length] for row, length in zip(batch.ids_BL.numpy(), lengths, strict=True)]


def _ended(tokens: np.ndarray, end: int | None) -> np.ndarray:
    """With the end token behind it, once."""
    return tokens if end is None or (len(tokens) and tokens[-1] == end) else np.append(tokens, end)


def _padded(rows: list[np.ndarray], pad: int) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids, mask = np.full((len(rows), longest), pad, np.int64), np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
