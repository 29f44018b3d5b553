"""Texts become tokens once, and tokens become batches of nearly equal length.

Padding is wasted work: on short sentences padded to 128 it is four fifths of a training step. So texts are
tokenised once in bulk, kept ragged, and every batch holds texts of nearly the same length, as many as fit a budget
of tokens. The order is a pure function of (seed, epoch): a resumed run walks the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

CHUNK = 4096  # texts per call of the fast tokenizer: enough to use its threads, little enough to stream


@dataclass(frozen=True)
class Examples:
    """Tokenised texts with what they should become.

    tokens: int32, all texts one after the other, special tokens included; types: int8 of the same length, 0 for the
    first text and 1 for the second of a pair, or None when no text is a pair.
    offsets: int64 of n + 1; text i is tokens[offsets[i]:offsets[i + 1]].
    targets: int64 of n (hard labels), float32 of (n, classes) whose rows sum to 1 (soft labels), or None.
    weights: float32 of n, what each example counts in the loss, or None for one each.
    num_truncated: texts that were longer than max_length and lost their end.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None = None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def with_targets(self, targets: Any, weights: Any = None) -> Examples:
        """The same texts with hard (n) or soft (n, classes) targets and, where given, example weights."""
        targets = np.asarray(targets)
        targets = targets.astype(np.int64) if targets.ndim == 1 else targets.astype(np.float32)
        if len(targets) != len(self):
            raise ValueError(f"{len(targets)} targets for {len(self)} texts")
        if targets.ndim == 1 and len(targets) and targets.min() < 0:
            raise ValueError("hard targets are class numbers from 0 up")
        if targets.ndim == 2 and not np.allclose(targets.sum(1), 1.0, atol=1e-3):
            raise ValueError("every row of soft targets must sum to 1")
        if weights is not None:
            weights = np.asarray(weights, dtype=np.float32)
            if weights.shape != (len(self),) or (weights < 0).any():
                raise ValueError("weights are one number per text, none below 0")
        return replace(self, targets=targets, weights=weights)

    def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The texts at `rows`, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        where = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self,
            tokens=self.tokens[where],
            offsets=offsets,
            types=None if self.types is None else self.types[where],
            targets=None if self.targets is None else self.targets[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def digest(self) -> str:
        """A checksum of everything that can change what training does with these examples."""
        total = hashlib.sha256()
        for name in ("tokens", "offsets", "types", "targets", "weights"):
            array = getattr(self, name)
            total.update(f"{name}:{None if array is None else (array.dtype.str, array.shape)};".encode())
            if array is not None:
                total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()


def encode(texts: Sequence[str], tokenizer: Any, *, pairs: Sequence[str] | None = None, max_length: int) -> Examples:
    """Tokenise every text once.

    tokenizer: of transformers, fast. pairs: a second text for each. max_length: in tokens, special ones included;
    a longer text loses its end (of the longer of a pair), and is counted in `num_truncated`.
    """
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(f"{len(pairs)} second texts for {len(texts)} first texts")
    tokens: list[np.ndarray] = []
    types: list[np.ndarray] = []
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(texts), CHUNK):
        first = list(texts[start : start + CHUNK])
        second = None if pairs is None else list(pairs[start : start + CHUNK])
        made = tokenizer(
            first,
            second,
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=pairs is not None,
            return_overflowing_tokens=False,
        )
        ids = made["input_ids"]
        lengths += [len(row) for row in ids]
        truncated += sum(bool(found.overflowing) for found in made.encodings or [])
        tokens.append(np.fromiter((token for row in ids for token in row), dtype=np.int32))
        if pairs is not None and "token_type_ids" in made:
            types.append(np.fromiter((kind for row in made["token_type_ids"] for kind in row), dtype=np.int8))
    return Examples(
        tokens=np.concatenate(tokens) if tokens else np.zeros(0, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        types=np.concatenate(types) if types else None,
        num_truncated=truncated,
    )


@dataclass(frozen=True)
class Batch:
    """One padded batch (B texts, L tokens of the longest, U different tokens).

    ids_BL, mask_BL: int64; types_BL: int64 or None; full: no text is shorter than L, so nothing needs a mask.
    rows: which examples these are.
    """

    rows: np.ndarray
    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    types_BL: torch.Tensor | None
    full: bool

    @property
    def num_tokens(self) -> int:
        return int(self.mask_BL.sum())


def make_batch(examples: Examples, rows: np.ndarray, *, pad_token: int) -> Batch:
    """Pad the texts at `rows` to the longest of them, on the right."""
    lengths_B = examples.lengths[rows]
    longest = int(lengths_B.max())
    at_BL = np.arange(longest)[None, :]
    mask_BL = at_BL < lengths_B[:, None]
    where_BL = np.where(mask_BL, examples.offsets[rows][:, None] + at_BL, 0)
    ids_BL = np.where(mask_BL, examples.tokens[where_BL], pad_token).astype(np.int64)
    types_BL = None
    if examples.types is not None:
        types_BL = torch.from_numpy(np.where(mask_BL, examples.types[where_BL], 0).astype(np.int64))
    return Batch(
        rows=rows,
        ids_BL=torch.from_numpy(ids_BL),
        mask_BL=torch.from_numpy(mask_BL.astype(np.int64)),
        types_BL=types_BL,
        full=bool(lengths_B.min() == longest),
    )


def training_order(lengths: np.ndarray, *, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Rows of every batch of one epoch: equal lengths together, batches in random order.

    batch_tokens: padded tokens a batch may hold; a single longer text is a batch of its own. Texts of one length are
    shuffled before they are cut into batches, and lengths are jittered by under one token, so that from epoch to epoch
    different texts meet. Costs O(n log n).
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = np.argsort(lengths + random.random(len(lengths)) * 1.5, kind="stable")
    batches = _cut(lengths, order, batch_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(lengths: np.ndarray, order: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cut an ascending order into runs whose (rows x longest) stays within the budget; runs of one length are even."""
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    for end, row in enumerate(order):
        longer = max(longest, int(lengths[row]))
        if end > start and longer * (end + 1 - start) > batch_tokens:
            batches.append(order[start:end])
            start, longer = end, int(lengths[row])
        longest = longer
    if start < len(order):
        batches.append(order[start:])
    return batches


def reading_order(lengths: np.ndarray, *, batch_tokens: int) -> list[np.ndarray]:
    """Rows of every batch for inference: longest first, so that memory peaks at once and not at the end."""
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
