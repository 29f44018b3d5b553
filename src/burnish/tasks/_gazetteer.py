"""The tagger had for nothing: names as the training side marks them, found again by the longest match."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Spans = Sequence[Mapping[str, Any]] | None

# a run of letters and digits, a character of a script without blanks, or a sign
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
# a stretch between blanks, or a character of a script without blanks
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def pieces_of(text: str) -> list[tuple[int, int]]:
    """(start, end) of words and signs; every Chinese character is one."""
    return [found.span() for found in _PIECE.finditer(text)]


def tokens_of(text: str) -> list[tuple[int, int]]:
    """(start, end) of what stands between blanks, signs with their words; every Chinese character is one.

    On texts made of CoNLL columns these are the tokens of the file.
    """
    return [found.span() for found in _TOKEN.finditer(text)]


class Gazetteer:
    """Names, each with the label it most often has. Longest match from the left, capitals count.

    A name that the training side leaves unmarked more often than marked is left out: it says too little.
    """

    def __init__(self, texts: Sequence[str], spans: Sequence[Spans]) -> None:
        marked: dict[tuple[str, ...], Counter[str]] = {}
        places = [pieces_of(text) for text in texts]
        for text, pieces, found in zip(texts, places, spans, strict=True):
            for one in found or ():
                name = tuple(text[s:e] for s, e in pieces if s >= one["start"] and e <= one["end"])
                if name:
                    marked.setdefault(name, Counter())[one["label"]] += 1
        self.num_names = len(marked)
        self.longest = max(map(len, marked), default=0)
        self.labels = {name: min(counts, key=lambda label: (-counts[label], label)) for name, counts in marked.items()}
        seen: Counter[tuple[str, ...]] = Counter()
        for text, pieces in zip(texts, places, strict=True):
            seen.update(name for _, _, name in self._matches(text, pieces))
        self.labels = {name: label for name, label in self.labels.items() if 2 * marked[name].total() >= seen[name]}

    def find(self, text: str) -> list[dict[str, Any]]:
        """Spans of the names in a text, in order; none overlap."""
        return [
            {"start": start, "end": end, "label": self.labels[name], "text": text[start:end], "score": 1.0}
            for start, end, name in self._matches(text, pieces_of(text))
        ]

    def _matches(self, text: str, pieces: list[tuple[int, int]]) -> list[tuple[int, int, tuple[str, ...]]]:
        words = [text[start:end] for start, end in pieces]
        found, at = [], 0
        while at < len(words):
            for length in range(min(self.longest, len(words) - at), 0, -1):
                name = tuple(words[at : at + length])
                if name in self.labels:
                    found.append((pieces[at][0], pieces[at + length - 1][1], name))
                    at += length
                    break
            else:
                at += 1
        return found
