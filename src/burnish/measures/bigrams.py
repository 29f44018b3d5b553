"""Pairs of characters counted block by block, and how surprising a text is to whoever has read the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import codepoints

Array = NDArray[Any]
Counts = tuple[Array, Array]  # keys (p,), sorted (here: before << 21 | after); how often each is there (p,)
PRIOR = 5  # occurrences that a character's share of all is worth, after any other (Dirichlet)


@dataclass(frozen=True)
class Bigrams:
    """Pairs (p,) sorted with their counts, and how often each code point comes first and last: two of (0x110000,)."""

    pairs: Array
    counts: Array
    firsts: Array
    lasts: Array

    @classmethod
    def of(cls, pairs: Array, counts: Array) -> Bigrams:
        first, last = (pairs >> np.uint64(21)).astype(np.int64), (pairs & np.uint64(0x1FFFFF)).astype(np.int64)
        many = int(max(first.max(initial=0), last.max(initial=0))) + 1
        sums = (np.bincount(one, weights=counts, minlength=many).astype(np.int64) for one in (first, last))
        return cls(pairs, counts, *sums)


def counted(texts: list[str]) -> Counts:
    """The pairs of characters inside texts, none across two of them."""
    return _unique(_pairs(texts)[0])


def merged(parts: Iterable[Mapping[int, Counts]]) -> dict[int, Counts]:
    """Counts of all blocks, by number. What waits is added when it is half of what is there, so that time stays linear."""
    there: dict[int, Counts] = {}
    waiting: dict[int, list[Counts]] = {}
    for part in parts:
        for one, counts in part.items():
            waiting.setdefault(one, []).append(counts)
            if one not in there or 2 * sum(len(keys) for keys, _ in waiting[one]) > len(there[one][0]):
                there[one] = _added([*([there[one]] if one in there else []), *waiting.pop(one)])
    return there | {one: _added([there[one], *left]) for one, left in waiting.items()}


def bits_a_character(texts: list[str], model: Bigrams) -> Array:
    """Mean bits a character (n,): -log2 of (count(ab) - 1 + m p(b)) / (count(a) - 1 + m), m = PRIOR.

    The model must have counted these texts: the occurrence itself is left out. 0 of a text of one character.
    """
    pairs, owner = _pairs(texts)
    kinds, place = np.unique(pairs, return_inverse=True)
    before, after = (kinds >> np.uint64(21)).astype(np.int64), (kinds & np.uint64(0x1FFFFF)).astype(np.int64)
    count = model.counts[np.searchsorted(model.pairs, kinds)]
    total = model.counts.sum()
    chance = (count - 1 + PRIOR * model.lasts[after] / total) / (model.firsts[before] - 1 + PRIOR)
    bits = np.bincount(owner, weights=-np.log2(chance)[place], minlength=len(texts))
    mean: Array = bits / np.maximum(np.bincount(owner, minlength=len(texts)), 1)
    return mean


def _pairs(texts: list[str]) -> tuple[Array, Array]:
    """Pairs (m,) in order, and the text of each (m,)."""
    codes, starts = codepoints(texts)
    text = np.repeat(np.arange(len(texts)), np.diff(starts))
    inside = text[1:] == text[:-1]
    wide = codes.astype(np.uint64)
    return (wide[:-1] << np.uint64(21) | wide[1:])[inside], text[1:][inside]


def _unique(pairs: Array) -> Counts:
    return np.unique(pairs, return_counts=True)


def _added(parts: list[Counts]) -> Counts:
    keys, counts = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(keys)
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else order
    return keys[first], np.add.reduceat(counts, first) if len(first) else counts
