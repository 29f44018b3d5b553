"""How long texts are, in units that mean the same in both languages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import (
    DIGIT,
    HAN,
    HANGUL,
    KANA,
    LETTER,
    OTHER,
    Texts,
    as_list,
    blocks,
    codepoints,
    script_table,
    sums,
)

_PIECES_A_LETTER = 0.04  # beyond a word's first; least squares on AG News gives 0.045, on SST-2 0.086


@dataclass(frozen=True)
class Lengths:
    """Three lengths of n texts, each (n,).

    characters: code points, blanks included. words: runs of letters or figures, and each Han or kana character.
    tokens: an estimate of what a BERT WordPiece vocabulary makes of the text, without [CLS] and [SEP]: totals of news,
    film and shopping reviews within 5% of MiniLM's tokenizer, a single text within 9% on average. A SentencePiece
    vocabulary makes about a tenth more of English and a quarter less of Chinese. To plan by, not to cut by.
    """

    characters: NDArray[np.int64]
    words: NDArray[np.int64]
    tokens: NDArray[np.int64]


def lengths(texts: Texts) -> Lengths:
    """Measure texts. Four bytes a character of the block at hand are all the memory it takes."""
    listed = as_list(texts)
    characters, words, tokens = (np.zeros(len(listed), dtype=np.int64) for _ in range(3))
    for start, end in blocks(listed):
        codes, starts = codepoints(listed[start:end])
        scripts = script_table()[codes]
        characters[start:end] = np.diff(starts)
        alone = (scripts == HAN) | (scripts == KANA)
        spaced = (scripts == LETTER) | (scripts == DIGIT) | (scripts == HANGUL)
        begins = spaced.copy()
        begins[1:] &= ~spaced[:-1]
        firsts = starts[:-1][np.diff(starts) > 0]
        begins[firsts] = spaced[firsts]  # the last letter of the text before does not reach over
        words[start:end] = sums(alone | begins, starts)
        pieces = sums(alone | begins | (scripts == OTHER), starts) + sums(spaced & ~begins, starts) * _PIECES_A_LETTER
        tokens[start:end] = np.rint(pieces).astype(np.int64)
    return Lengths(characters, words, tokens)
