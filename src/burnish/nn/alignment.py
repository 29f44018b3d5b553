"""Where characters and tokens meet: which characters a token owns, where a text may be cut, which tokens a span touches.

A tokenizer's own offsets are no partition of the text: it drops characters (control characters, the accent of a letter
written as two), takes the blank before a word into the word, and gives one emoji to several tokens. Here every token
that stands for something ("site") owns characters, so that what is read back ends where a reader would end it:

- blanks at either end are not the token's; a token of blanks alone is no site;
- characters that no token covers go to the token they stand right behind, else to the one right before which they
  stand; a run of them between blanks belongs to nobody.

A span whose borders are borders of sites comes back to the last character. One that begins or ends inside a site cannot:
the tokens it touches stand for it, they are read back whole, and `Aligned` counts it. No border is moved in silence.

Long texts come in windows that overlap by `overlap_of(max_length)` tokens; of a token in several windows the copy with
the most context counts, in training and in reading, so nothing is lost and nothing counted twice.
All is done on whole arrays. n records, S sites, M spans.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.nn.examples import Examples

FREE, WORD, WHOLE = (
    0,
    1,
    2,
)  # a border between words; between pieces of one word; inside what a reader sees as one character
_SPACE, _JOINS, _JOINER, _LETTER, _DIGIT = 1, 2, 4, 8, 16
# scripts whose words are written without a blank, or with their endings attached: any border in them is free
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "YI ")


def overlap_of(max_length: int) -> int:
    """How many tokens two neighbouring windows of `max_length` tokens share."""
    return max_length // 4


@dataclass(frozen=True)
class Sites:
    """The S tokens of n records that stand for something, in reading order.

    at: which of the examples' tokens. starts, ends: the characters it owns in its text. offsets: (n + 1), the sites of
    record i are offsets[i]:offsets[i + 1]. border: (S) FREE, WORD or WHOLE, between a site and the one before it.
    base: (n) where each text begins when all stand one after the other: `starts + base` ascend over all records.
    """

    at: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    border: NDArray[np.int8]
    base: NDArray[np.int64]

    @property
    def records(self) -> NDArray[np.int64]:
        """(S) the record of each site."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def sites_of(texts: Sequence[str], examples: Examples) -> Sites:
    """The sites of texts encoded with `characters=True`, in windows or not."""
    assert examples.starts is not None and examples.ends is not None and examples.parts is not None
    at, records = merged(examples)
    kinds, base = _kinds(texts)
    is_space = (kinds & _SPACE) > 0
    starts, ends = (array[at].astype(np.int64) + base[records] for array in (examples.starts, examples.ends))
    next_space, after_space = _next(is_space), _after_last(is_space)
    starts = np.minimum(_next(~is_space)[starts], ends)
    ends = np.maximum(_after_last(~is_space)[ends], starts)
    there = ends > starts
    at, records, starts, ends = at[there], records[there], starts[there], ends[there]
    # what nobody covers: behind a token as far as the next token or blank, then before a token as far back as the last
    following = np.append(starts[1:], len(kinds))
    ends = np.maximum(ends, np.minimum(next_space[ends], following))
    preceding = np.append(0, ends[:-1])
    starts = np.minimum(starts, np.maximum(after_space[starts], preceding))
    offsets = np.searchsorted(records, np.arange(len(texts) + 1)).astype(np.int64)
    border = _borders(kinds, starts, ends)
    border[offsets[:-1][offsets[:-1] < len(border)]] = FREE
    return Sites(at, starts - base[records], ends - base[records], offsets, border, base)


def _borders(kinds: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int8]:
    border = np.full(len(starts), FREE, np.int8)
    if len(starts) < 2:
        return border
    here, before = kinds[starts[1:]], kinds[starts[1:] - 1]
    touching = starts[1:] == ends[:-1]
    word = touching & (((here & before) & (_LETTER | _DIGIT)) > 0)
    whole = (starts[1:] < ends[:-1]) | (touching & (((here & _JOINS) > 0) | ((before & _JOINER) > 0)))
    border[1:] = np.where(whole, WHOLE, np.where(word, WORD, FREE))
    return border


def merged(examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every token of the first texts once, special ones left out: (its place in `tokens`, its record), in reading order.

    Of a token's copies in several windows: the one farthest from where its window was cut; the earlier of two alike.
    """
    assert examples.parts is not None
    windows = np.repeat(examples.of_records, examples.lengths)
    at = np.flatnonzero(examples.parts == 0)
    records = windows[at]
    several = np.flatnonzero(np.bincount(examples.of_records, minlength=1) > 1)
    if not len(several):
        return at, records
    keep = np.ones(len(at), bool)
    keep[np.isin(records, several)] = False
    chosen = [at[keep]]
    begins = np.searchsorted(examples.of_records, several)
    for record, first in zip(several, begins, strict=True):
        last = int(np.searchsorted(examples.of_records, record, side="right"))
        chosen.append(_best_copies(examples, int(first), last))
    at = np.concatenate(chosen)
    records = windows[at]
    order = np.argsort(records, kind="stable")
    return at[order], records[order]


def _best_copies(examples: Examples, first: int, last: int) -> NDArray[np.int64]:
    """The tokens of one record in the windows first:last, each from the window that shows most around it."""
    assert examples.parts is not None
    shared = overlap_of(int(examples.lengths[first]))  # the first window of several is full
    copies, begin = [], 0
    for window in range(first, last):
        span = examples.window(window)
        here = span.start + np.flatnonzero(examples.parts[span] == 0)
        index = np.arange(len(here))
        left = index if window > first else np.full(len(here), len(examples.tokens))
        right = len(here) - 1 - index if window < last - 1 else np.full(len(here), len(examples.tokens))
        copies.append(np.stack([begin + index, -np.minimum(left, right), here]))
        begin += len(here) - shared
    every = np.concatenate(copies, axis=1)
    order = np.lexsort((every[2], every[1], every[0]))
    numbers, at = every[0, order], every[2, order]
    best: NDArray[np.int64] = at[np.append(True, numbers[1:] != numbers[:-1])]
    return best


@dataclass(frozen=True)
class Aligned:
    """What became of the spans of some records.

    exact: their borders are borders of sites. inside: a border lies inside a site, and what is read back is longer.
    lost: they touch no site. crossing: they share sites with a span that was taken first (flat tags only). cut: no
    window holds them whole (nested spans only, longer than what windows share).
    """

    spans: int = 0
    exact: int = 0
    inside: int = 0
    lost: int = 0
    crossing: int = 0
    cut: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON, with the share that can be read back exactly (1 where there are no spans)."""
        return asdict(self) | {"exact_rate": self.exact / self.spans if self.spans else 1.0}


def touched(
    sites: Sites, records: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """First and last site (M), inclusive, that spans of characters touch, and whether they own just those characters.

    Sites that a reader sees as one character (WHOLE) are touched together. A span that touches none has its last site
    before its first.
    """
    base = sites.base[sites.records]
    first = np.searchsorted(sites.ends + base, starts + sites.base[records], side="right")
    last = np.searchsorted(sites.starts + base, ends + sites.base[records], side="left") - 1
    some = np.flatnonzero(last >= first)
    numbers = np.arange(len(sites.at) + 1)
    parted = np.append(sites.border != WHOLE, True)
    first[some] = np.maximum.accumulate(np.where(parted, numbers, 0))[first[some]]
    last[some] = np.minimum.accumulate(np.where(parted, numbers, len(sites.at))[::-1])[::-1][last[some] + 1] - 1
    exact = np.zeros(len(starts), bool)
    exact[some] = (sites.starts[first[some]] == starts[some]) & (sites.ends[last[some]] == ends[some])
    return first, last, exact


def _kinds(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What every character is, all texts one after the other with a blank behind each; and where each text begins."""
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    base = np.concatenate([[0], np.cumsum(lengths)])[: len(texts)].astype(np.int64)
    whole = "\n".join([*texts, ""])
    codes = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), np.uint32)
    distinct, inverse = np.unique(codes, return_inverse=True)
    kinds = np.array([_kind(chr(code)) for code in distinct], np.uint8)[inverse]
    # an accent, a vowel sign or a soft hyphen is part of the letter it stands behind
    joins = np.flatnonzero(kinds & _JOINS)
    bearer = np.maximum(_after_last((kinds & _JOINS) == 0)[joins] - 1, 0)
    kinds[joins] |= kinds[bearer] & (_LETTER | _DIGIT)
    return np.append(kinds, np.uint8(_SPACE)), base


@functools.lru_cache(maxsize=1 << 16)
def _kind(char: str) -> int:
    if char.isspace():
        return _SPACE
    category = unicodedata.category(char)
    if char == "\u200d":  # zero-width joiner: a family of emoji is one character to a reader
        return _JOINS | _JOINER
    if category in ("Mn", "Me", "Mc", "Cf") or "\U0001f3fb" <= char <= "\U0001f3ff":
        return _JOINS
    if category[0] == "L" and not unicodedata.name(char, "").startswith(_UNSPACED):
        return _LETTER
    return _DIGIT if category[0] == "N" else 0


def _next(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each place, and the end, the first place from it on where it is `there`; the end where there is none."""
    places = np.where(there, np.arange(len(there)), len(there))
    return np.append(np.minimum.accumulate(places[::-1])[::-1], len(there))


def _after_last(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each place, and the end, the place right after the last one before it where it is `there`; 0 for none."""
    places = np.where(there, np.arange(len(there)) + 1, 0)
    return np.append(0, np.maximum.accumulate(places))
