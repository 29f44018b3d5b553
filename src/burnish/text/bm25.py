"""BM25: how well texts answer a query by the words they share (Robertson & Zaragoza 2009), right for Chinese.

    score(q, d) = sum over words w of q:  idf(w) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|))
    idf(w) = ln(1 + (n - df + 1/2) / (df + 1/2))            (never below 0, as Lucene has it)

A word is what `text.words` cuts: English words; of Chinese, characters and their pairs, so that a query of a single
character finds something and pairs stand in for words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.text.normalise import normalise
from burnish.text.words import words


def words_of(text: str) -> list[str]:
    """The words that are counted: normalised; Chinese characters and character pairs."""
    return words(normalise(text), han="both")


class Bm25:
    """An index over n texts; its weights are worked out once, a query adds up the postings of its words."""

    def __init__(self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        counts = [Counter(words_of(text)) for text in texts]
        lengths = np.array([sum(one.values()) for one in counts], dtype=np.float64)
        self.terms: dict[str, int] = {}
        terms, rows, times = [], [], []
        for row, one in enumerate(counts):
            for word, count in one.items():
                terms.append(self.terms.setdefault(word, len(self.terms)))
                rows.append(row)
                times.append(count)
        order = np.argsort(np.array(terms, dtype=np.int64), kind="stable")
        frequency = np.bincount(np.array(terms, dtype=np.int64), minlength=len(self.terms))
        self.size = len(texts)
        self.begins = np.concatenate([[0], np.cumsum(frequency)]).astype(np.int64)
        self.rows = np.array(rows, dtype=np.int64)[order]
        tf = np.array(times, dtype=np.float64)[order]
        idf = np.log1p((self.size - frequency + 0.5) / (frequency + 0.5))
        norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9)) if len(texts) else lengths
        self.weights = np.repeat(idf, frequency) * tf * (k1 + 1) / (tf + norm[self.rows])

    def scores(self, query: str) -> NDArray[np.float64]:
        """The score of every text (n,) for a query, 0 where they share no word."""
        found = np.zeros(self.size)
        for word, times in Counter(words_of(query)).items():
            if (term := self.terms.get(word)) is not None:
                part = slice(self.begins[term], self.begins[term + 1])
                found[self.rows[part]] += times * self.weights[part]
        return found

    def top(self, query: str, *, count: int) -> list[int]:
        """The best `count` texts that share a word with the query, best first; of equal ones the first."""
        scores = self.scores(query)
        return [int(row) for row in np.argsort(-scores, kind="stable")[:count] if scores[row] > 0]
