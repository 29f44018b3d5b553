"""Texts as flat arrays of code points, and the script each character belongs to.

Everything here that must know English from Chinese without reading words starts from two arrays: `codes`, the code
points of all texts one after another, and `starts`, where each text begins (n + 1 numbers, the last is the end).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars
    import pyarrow

# What every bulk function of text/ and measures/ takes. None counts as the empty text.
Texts = Union[Sequence[str], Sequence["str | None"], "pyarrow.Array[Any]", "pyarrow.ChunkedArray[Any]", "polars.Series"]

OTHER, BLANK, DIGIT, LETTER, HAN, KANA, HANGUL = range(7)

HAN_RANGES = (
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
KANA_RANGES = (
    (0x3041, 0x3096),
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
)
HANGUL_RANGES = ((0x1100, 0x11FF), (0x3131, 0x318E), (0xAC00, 0xD7A3))

# For regular expressions: the characters that are words by themselves, without a blank between them.
HAN_CLASS = "".join(f"{chr(first)}-{chr(last)}" for first, last in HAN_RANGES)
UNSPACED_CLASS = HAN_CLASS + "".join(f"{chr(first)}-{chr(last)}" for first, last in KANA_RANGES)

_ZERO_WIDTH = (0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)


@cache
def script_table() -> NDArray[np.uint8]:
    """Map each code point (0x110000 of them) to OTHER, BLANK, DIGIT, LETTER, HAN, KANA or HANGUL.

    Marks count as letters, so that a word with a combining accent stays one word.
    """
    import unicodedata

    table = np.zeros(0x110000, dtype=np.uint8)
    kinds = {"L": LETTER, "M": LETTER, "N": DIGIT, "Z": BLANK}
    for code in range(0x20000):  # above lie only Han and tags
        table[code] = kinds.get(unicodedata.category(chr(code))[0], OTHER)
    table[[9, 10, 11, 12, 13, 28, 29, 30, 31, 0x85, *_ZERO_WIDTH]] = BLANK
    for script, ranges in ((HAN, HAN_RANGES), (KANA, KANA_RANGES), (HANGUL, HANGUL_RANGES)):
        for first, last in ranges:
            table[first : last + 1] = script
    return table


def as_list(texts: Texts) -> list[str]:
    """Return the texts as a list of str; None becomes the empty text."""
    if not isinstance(texts, list | tuple):
        to_list = getattr(texts, "to_pylist", None) or getattr(texts, "to_list", None)
        texts = to_list() if to_list else list(texts)
    return [text or "" for text in texts]


def codepoints(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (codes, starts) of texts; text i is codes[starts[i]:starts[i + 1]]. Four bytes a character."""
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)), out=starts[1:])
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return codes, starts


def blocks(texts: Sequence[str], *, characters: int = 1 << 21) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of texts with about `characters` characters: the bound on memory of bulk functions."""
    start, held = 0, 0
    for index, text in enumerate(texts):
        held += len(text)
        if held >= characters:
            yield start, index + 1
            start, held = index + 1, 0
    if start < len(texts):
        yield start, len(texts)


def sums(flags: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum a flag or number per character over each text; empty texts give 0. (characters,) and (n + 1,) to (n,)."""
    if flags.dtype == bool:  # places of the few are found faster than all are summed
        return np.diff(np.searchsorted(np.flatnonzero(flags), starts))
    running = np.zeros(len(flags) + 1, dtype=np.int64)
    np.cumsum(flags, out=running[1:])
    return running[starts[1:]] - running[starts[:-1]]


def script_counts(texts: Texts) -> NDArray[np.int64]:
    """Count the characters of each script in each text: (n, 7), columns in the order of the constants above."""
    listed = as_list(texts)
    counts = np.zeros((len(listed), 7), dtype=np.int64)
    for start, end in blocks(listed):
        codes, starts = codepoints(listed[start:end])
        scripts = script_table()[codes]
        for script in range(7):
            counts[start:end, script] = sums(scripts == script, starts)
    return counts
