"""Texts become tokens once, and tokens become batches of nearly equal length.

Padding is wasted work: on short sentences padded to 128 it is four fifths of a training step. So texts are
tokenised once in bulk, kept ragged, and every batch holds texts of nearly the same length, as many as fit a budget
of tokens. The order is a pure function of (seed, epoch): a resumed run walks the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from burnish.nn.examples import IGNORED, Examples, encode, spans_of

__all__ = ["Batch", "Examples", "batches_of", "encode", "make_batch", "padding_rate", "reading_order", "training_order"]


@dataclass(frozen=True)
class Batch:
    """One padded batch (B texts, L tokens of the longest).

    ids_BL, mask_BL: int64; types_BL: int64 or None; full: no text is shorter than L, so nothing needs a mask.
    rows: which examples these are. targets: those of the rows; token_targets_BL: IGNORED on padding; spans: (M, 4) with
    the window numbered within the batch; output: what a decoder should write; groups: whose windows belong together,
    all of a group in one batch; images: not decoded yet; weights: what each example counts; several: the batch of each head that has targets
    here, with only the rows that have them, padded as this batch; each None where the examples have none.
    """

    rows: np.ndarray
    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    types_BL: torch.Tensor | None
    full: bool
    targets: torch.Tensor | None = None
    token_targets_BL: torch.Tensor | None = None
    spans: torch.Tensor | None = None
    output: Batch | None = None
    weights: torch.Tensor | None = None
    several: Mapping[str, Batch] | None = None
    groups: torch.Tensor | None = None
    images: np.ndarray | None = None

    @property
    def num_tokens(self) -> int:
        return int(self.mask_BL.sum()) + (self.output.num_tokens if self.output else 0)


def make_batch(examples: Examples, rows: np.ndarray, *, pad_token: int, length: int | None = None) -> Batch:
    """Pad the texts at `rows` to the longest of them, on the right; or to `length` tokens."""
    lengths_B = examples.offsets[np.asarray(rows) + 1] - examples.offsets[rows]  # of these alone: there may be millions
    longest = length or int(lengths_B.max())
    at_BL = np.arange(longest)[None, :]
    mask_BL = at_BL < lengths_B[:, None]
    where_BL = np.where(mask_BL, examples.offsets[rows][:, None] + at_BL, 0)

    def padded(values: np.ndarray | None, padding: int) -> torch.Tensor | None:
        if values is None:
            return None
        return torch.from_numpy(np.where(mask_BL, values[where_BL], padding).astype(np.int64))

    ids_BL = padded(examples.tokens, pad_token)
    assert ids_BL is not None
    targets, spans = examples.targets, examples.spans
    return Batch(
        rows=rows,
        ids_BL=ids_BL,
        mask_BL=torch.from_numpy(mask_BL.astype(np.int64)),
        types_BL=padded(examples.types, 0),
        full=bool(lengths_B.min() == longest),
        targets=None if targets is None else torch.from_numpy(np.ascontiguousarray(targets[rows])),
        token_targets_BL=padded(examples.token_targets, IGNORED),
        spans=None if spans is None else torch.from_numpy(spans_of(spans, rows, len(examples))),
        output=None if examples.output is None else make_batch(examples.output, rows, pad_token=pad_token),
        groups=None if examples.groups is None else torch.from_numpy(np.ascontiguousarray(examples.groups[rows])),
        weights=None if examples.weights is None else torch.from_numpy(examples.weights[rows]),
        images=None if examples.images is None else examples.images[rows],
        several=None if examples.several is None else _parts(examples.several, rows, pad_token, longest),
    )


def _parts(several: Mapping[str, Examples], rows: np.ndarray, pad_token: int, length: int) -> dict[str, Batch]:
    """The batch of each head that has targets among `rows`."""
    made = {}
    for name, one in several.items():
        told = rows if one.weights is None else rows[one.weights[rows] > 0]
        if len(told):
            made[name] = make_batch(one, told, pad_token=pad_token, length=length)
    return made


def training_order(
    lengths: np.ndarray, *, batch_tokens: int, seed: int, epoch: int, groups: np.ndarray | None = None
) -> list[np.ndarray]:
    """Rows of every batch of one epoch: equal lengths together, batches in random order.

    batch_tokens: padded tokens a batch may hold; a single longer text is a batch of its own. Texts of one length are
    shuffled before they are cut into batches, and lengths are jittered by under one token, so that from epoch to epoch
    different texts meet. Costs O(n log n). groups: (n), rows of one number stay in one batch, whatever it holds then;
    a group is as long as its longest text, jittered by up to a quarter, for who meets whom is half of what is learnt.
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    if groups is not None:
        batches = _cut_groups(lengths, groups, batch_tokens, random)
        return [batches[i] for i in random.permutation(len(batches))]
    order = np.argsort(lengths + random.random(len(lengths)) * 1.5, kind="stable")
    batches = _cut(lengths, order, batch_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(lengths: np.ndarray, order: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cut an ascending order into runs whose (rows x longest) stays within the budget; runs of one length are even."""
    batches: list[np.ndarray] = []
    ordered = lengths[order]
    start = 0
    while start < len(order):  # once a batch, not once a row: packed windows come by the million
        most = batch_tokens // int(ordered[start]) + 1 if ordered[start] else len(order)
        some = ordered[start : start + most]
        fits = np.maximum.accumulate(some) * np.arange(1, len(some) + 1) <= batch_tokens
        count = len(some) if fits.all() else max(1, int(fits.argmin()))
        batches.append(order[start : start + count])
        start += count
    return batches


def _cut_groups(
    lengths: np.ndarray, groups: np.ndarray, batch_tokens: int, random: np.random.Generator | None
) -> list[np.ndarray]:
    """Cut groups of like length into runs whose (rows x longest) stays within the budget; rows of a group keep their order."""
    numbers, of_row = np.unique(groups, return_inverse=True)
    longest = np.zeros(len(numbers), lengths.dtype)
    np.maximum.at(longest, of_row, lengths)
    jitter = 0.25 * random.random(len(numbers)) if random else 0.0
    order = np.argsort(longest * (1.0 + jitter), kind="stable")
    rows = np.argsort(of_row, kind="stable")
    sizes = np.bincount(of_row, minlength=len(numbers))
    begins = np.cumsum(sizes) - sizes
    batches: list[np.ndarray] = []
    held: list[np.ndarray] = []
    count, width = 0, 0
    for one in order:
        wider = max(width, int(longest[one]))
        if held and wider * (count + sizes[one]) > batch_tokens:
            batches.append(np.concatenate(held))
            held, count, wider = [], 0, int(longest[one])
        held.append(rows[begins[one] : begins[one] + sizes[one]])
        count, width = count + int(sizes[one]), wider
    return [*batches, np.concatenate(held)] if held else batches


def reading_order(lengths: np.ndarray, *, batch_tokens: int, groups: np.ndarray | None = None) -> list[np.ndarray]:
    """Rows of every batch for inference: longest first, so that memory peaks at once and not at the end.

    groups: (n), rows of one number stay in one batch, as in training: for a loss over whole groups.
    """
    if groups is not None:
        return _cut_groups(lengths, groups, batch_tokens, None)[::-1]
    order = np.argsort(lengths, kind="stable")
    return _cut(lengths, order, batch_tokens)[::-1]


def padding_rate(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of all positions that are padding, 0..1."""
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    return 1.0 - float(lengths.sum()) / padded if padded else 0.0


def batches_of(examples: Examples, order: list[np.ndarray], *, pad_token: int) -> Iterator[Batch]:
    """The batches of an order, made one at a time."""
    for rows in order:
        yield make_batch(examples, rows, pad_token=pad_token)
