"""Sketches of shingle sets: two sets of Jaccard similarity s agree in each of the BINS numbers with chance s.

One-permutation hashing (Li, Owen and Zhang 2012): every shingle falls into one bin, the smallest of a bin is kept, so the
cost is a constant a shingle and not one a permutation; an empty bin borrows from the filled one before it (Shrivastava
and Li 2014). Each shingle falls twice, under two hashes, so that short texts fill their bins. Sixty-four bins serve 32
bands of 4 rows, each bin in two bands among other neighbours: at s = 0.6 and more the recall is that of 112 permutations
in 28 bands (0.998 against 0.999 on Chinese reviews, 1.0 and 1.0 on English news) at a tenth of the work.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import blocks
from burnish.text.shingles import shingles

BINS, BANDS, ROWS = 64, 32, 4
SHINGLES_A_BLOCK = 1 << 16  # fits the second-level cache; larger or smaller blocks are up to twice slower
_SHIFT = np.uint32(32 - 6)  # the upper bits of a hash name its bin
_EMPTY = np.uint32(0xFFFFFFFF)


def sketches(forms: list[str], sizes: tuple[int, int] = (5, 3)) -> NDArray[np.uint32]:
    """Return the sketch of each normalised text: (n, BINS). sizes: characters of a shingle, elsewhere and in Chinese.

    A text without a shingle (the empty one) has a sketch of its own, the same for all such.
    """
    made = np.empty((len(forms), BINS), dtype=np.uint32)
    for start, end in blocks(forms, characters=SHINGLES_A_BLOCK):
        made[start:end] = _sketched(*shingles(forms[start:end], latin=sizes[0], han=sizes[1]))
    return made


def _sketched(hashes: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.uint32]:
    count = len(starts) - 1
    bins = np.full(count * BINS, _EMPTY, dtype=np.uint32)
    begin = np.repeat(np.arange(0, count * BINS, BINS), np.diff(starts))
    np.minimum.at(bins, begin + (hashes >> _SHIFT), hashes)
    again = hashes * np.uint32(0x9E3779B1)
    again ^= again >> np.uint32(15)
    np.minimum.at(bins, begin + (again >> _SHIFT), again)
    table = bins.reshape(count, BINS)
    source = np.where(table != _EMPTY, np.arange(BINS, dtype=np.int16), np.int16(-1))
    np.maximum.accumulate(source, axis=1, out=source)
    source = np.where(source < 0, source[:, -1:], source)  # around the end
    borrowed: NDArray[np.uint32] = np.take_along_axis(table, np.maximum(source, 0).astype(np.intp), axis=1)
    return borrowed


def band_keys(made: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the key of each band of each sketch: (n, BINS) to (BANDS, n). Equal keys make two texts candidates."""
    keys = np.empty((BANDS, len(made)), dtype=np.uint32)
    for start in range(0, len(made), 1 << 12):
        columns = np.ascontiguousarray(made[start : start + (1 << 12)].T)
        for band in range(BANDS):
            keys[band, start : start + (1 << 12)] = _key(columns, band)
    return keys


def agreement(made: Any, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the estimated Jaccard similarity of pairs of sketches: (m, 2) to (m,), standard error 0.06 at 0.6."""
    shares = np.empty(len(pairs))
    for start in range(0, len(pairs), 1 << 14):
        block = pairs[start : start + (1 << 14)]
        shares[start : start + (1 << 14)] = (made[block[:, 0]] == made[block[:, 1]]).mean(axis=1)
    return shares


@cache
def _bands() -> NDArray[np.intp]:
    """Which bins make a band: (BANDS, ROWS), far from each other, each bin in two bands."""
    random = np.random.default_rng(1)
    bands: NDArray[np.intp] = np.concatenate(
        [random.permutation(BINS).reshape(-1, ROWS) for _ in range(BANDS * ROWS // BINS)]
    )
    return bands


def _key(columns: NDArray[np.uint32], band: int) -> NDArray[np.uint32]:
    """Hash the rows of a band into one number."""
    first, *others = _bands()[band]
    mixed = columns[first].astype(np.uint64)
    for row in others:
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed += columns[row]
        mixed ^= mixed >> np.uint64(31)
    key: NDArray[np.uint32] = (mixed * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)).astype(np.uint32)
    return key
