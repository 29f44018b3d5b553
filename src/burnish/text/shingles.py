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
    size = np.where((scripts == HAN) | (scripts == KANA), np.int8(han), np.int8(latin))
    left = np.repeat(starts[1:], np.diff(starts)) - np.arange(len(codes))
    first = np.zeros(len(codes), dtype=bool)
    first[starts[:-1][np.diff(starts) > 0]] = True
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for offset in range(max(latin, han)):
        inside = (offset < size) & (offset < left)
        ahead = np.zeros(len(codes), dtype=np.uint64)
        ahead[: len(codes) - offset] = codes[offset:]
        hashes = np.where(inside, (hashes + ahead + np.uint64(1)) * _MULTIPLIER, hashes)
        hashes ^= hashes >> np.uint64(29)
    # Shingles cut short by the end are kept only where the text is no longer than one.
    kept = (size <= left) | first
    hashed = (hashes[kept] * _MULTIPLIER >> np.uint64(32)).astype(np.uint32)
    running = np.concatenate([[0], np.cumsum(kept)])
    return hashed, running[starts].astype(np.int64)
