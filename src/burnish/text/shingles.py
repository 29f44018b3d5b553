"""Texts as sets of character shingles, hashed in bulk.

A shingle begins at every character. It is `latin` characters long where that character is not Han (or kana), and `han`
characters where it is, so that a text in two languages is cut right in both. Word shingles would see no likeness between
two Chinese texts that share three quarters of their character trigrams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import HAN, KANA, codepoints, script_table

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio (Knuth, TAOCP 6.4)


def shingles(texts: Sequence[str], *, latin: int = 5, han: int = 3) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (hashes, starts): the shingles of text i are hashes[starts[i]:starts[i + 1]], in order, repeats included.

    A text, or rest of a text, that is shorter than a shingle gives one shingle: all of it. The empty text gives none.
    Hashes are 32 bits and the same on every machine. Normalise texts before. Takes about 40 bytes a character.
    """
    codes, starts = codepoints(texts)
    if not len(codes):
        return np.empty(0, dtype=np.uint32), starts
    scripts = script_table()[codes]
    wide = (scripts == HAN) | (scripts == KANA)
    left = np.repeat(starts[1:], np.diff(starts)) - np.arange(len(codes))
    firsts = starts[:-1][np.diff(starts) > 0]
    hashes = _windows(codes, wide, latin, han)
    kept = left >= np.where(wide, han, latin)
    short = firsts[~kept[firsts]]
    hashes[short] = _prefixes(codes, short, left[short])
    kept[short] = True
    running = np.concatenate([[0], np.cumsum(kept)])
    return (hashes[kept] * _MULTIPLIER >> np.uint64(32)).astype(np.uint32), running[starts]


def _windows(codes: NDArray[np.uint32], wide: NDArray[np.bool_], latin: int, han: int) -> NDArray[np.uint64]:
    """Hash the window that begins at each character, `han` long where wide and `latin` elsewhere, across text borders."""
    values = codes.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(len(codes), dtype=np.uint64)
    of_size = {}
    for offset in range(max(latin, han)):
        reach = hashes[: max(len(codes) - offset, 0)]
        _append(reach, values[offset:])
        if offset + 1 in (latin, han) and latin != han:
            of_size[offset + 1] = hashes.copy()
    return np.where(wide, of_size[han], of_size[latin]) if of_size else hashes


def _prefixes(codes: NDArray[np.uint32], begin: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash `length` characters from each beginning, as `_windows` does."""
    hashes = np.zeros(len(begin), dtype=np.uint64)
    for offset in range(int(length.max(initial=0))):
        inside = np.flatnonzero(offset < length)
        some = hashes[inside]
        _append(some, codes[begin[inside] + offset].astype(np.uint64) + np.uint64(1))
        hashes[inside] = some
    return hashes


def _append(hashes: NDArray[np.uint64], values: NDArray[np.uint64]) -> None:
    """Take one more character into each hash, in place."""
    hashes += values
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint64(29)
