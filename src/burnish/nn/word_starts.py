"""Where words begin among the tokens of a batch, told from the pieces alone: for masks that cover whole words.

A piece says itself whether it goes on with a word (## of WordPiece; no blank in front, for the others). Chinese is cut
into words by `text.segment` where its characters stand in a row, for its pieces say nothing of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burnish.text.scripts import UNSPACED_CLASS

_HAN = re.compile(rf"[{UNSPACED_CLASS}]+")
_BLANKS = "▁Ġ "  # what stands for a blank in front of a piece: SentencePiece, byte-level BPE, ours


@dataclass(frozen=True)
class WordStarts:
    """begins_V: whether a piece begins a word; han_V: what it is where it is Chinese, else "". V: tokens."""

    name: str
    begins_V: np.ndarray = field(repr=False, compare=False)
    han_V: np.ndarray = field(repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: Any) -> WordStarts:
        """Of a tokenizer of transformers."""
        pieces = [piece or "" for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
        word_piece = any(piece.startswith("##") for piece in pieces)
        bare = [piece.removeprefix("##") if word_piece else piece.lstrip(_BLANKS) for piece in pieces]
        if word_piece:
            begins = [not piece.startswith("##") for piece in pieces]
        else:  # a piece without a blank goes on with a word, unless it cannot be inside of one
            begins = [piece[:1] in _BLANKS or not (piece[:1].isalnum() or piece.startswith("<0x")) for piece in pieces]
        han = [one if _HAN.fullmatch(one) else "" for one in bare]
        return cls(type(tokenizer).__name__, np.array(begins), np.array(han, dtype=object))

    def __call__(self, ids_BL: np.ndarray, inside_BL: np.ndarray) -> np.ndarray:
        """(B, L) bool: where a word begins. inside_BL: False on special tokens and padding, behind which one begins."""
        starts_BL: np.ndarray = self.begins_V[ids_BL]
        first_BL = np.ones_like(inside_BL)
        first_BL[:, 1:] = ~inside_BL[:, :-1]
        starts_BL = starts_BL | first_BL
        han_BL = self.han_V[ids_BL]
        chinese_BL = (han_BL != "") & inside_BL
        if not chinese_BL.any():
            return starts_BL
        from burnish.text.segment import words_of

        after_BL = np.zeros_like(chinese_BL)
        after_BL[:, 1:] = chinese_BL[:, :-1]
        starts_BL[after_BL & ~chinese_BL] = True  # what follows Chinese is a word of its own
        for row in np.flatnonzero(chinese_BL.any(1)):
            edges = np.flatnonzero(np.diff(chinese_BL[row].astype(np.int8), prepend=0, append=0))
            for begin, end in edges.reshape(-1, 2):
                run = han_BL[row, begin:end]
                words = {0}
                for word in words_of("".join(run)):
                    words.add(max(words) + len(word))
                at = np.cumsum([0, *(len(piece) for piece in run[:-1])])
                starts_BL[row, begin:end] = [place in words for place in at.tolist()]
        return starts_BL
