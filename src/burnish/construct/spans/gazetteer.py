"""Names found in text: millions of terms at once by Aho-Corasick (1975), on word borders in English, anywhere in Chinese.

A term ends where a word ends when its own end is a letter or digit of a script that puts blanks between words. What is
compared is one character for one (narrow width, typographic quotes, capitals as `case` says), so that places stay.
Of matches that share characters the longest counts, then the earlier.
"""

from __future__ import annotations

import functools
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

Case = Literal["smart", "ignore", "exact"]

_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: 0x20, 0xA0: 0x20, 0x2009: 0x20, 0x202F: 0x20, 0x9: 0x20, 0xA: 0x20, 0xD: 0x20,
    0x2018: 0x27, 0x2019: 0x27, 0x60: 0x27, 0x201C: 0x22, 0x201D: 0x22, 0x2010: 0x2D, 0x2011: 0x2D, 0x2013: 0x2D,
}  # fmt: skip


_ODD = re.compile(r"[\t\n\r`]")  # what ASCII holds of it


class Hit(NamedTuple):
    """text[start:end] is term number `term`."""

    start: int
    end: int
    term: int


def plain(text: str, *, case: bool) -> str:
    """The text as it is compared: as many characters as before. case: whether capitals count."""
    narrow = text if text.isascii() and not _ODD.search(text) else text.translate(_NARROW)
    if case:
        return narrow
    lower = narrow.lower()
    if len(lower) == len(narrow):
        return lower
    return "".join(small if len(small := one.lower()) == 1 else one for one in narrow)  # İ becomes two characters


@functools.lru_cache(maxsize=1 << 16)
def spaced_word(character: str) -> bool:
    """Whether it is a letter, digit or mark of a script that puts blanks between words."""
    code = ord(character)
    unspaced = (
        0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x323AF
    )  # fmt: skip
    return (character.isalnum() or character == "_" or 0x0300 <= code <= 0x036F) and not unspaced


def on_borders(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] neither begins nor ends inside a word."""
    if start and spaced_word(text[start]) and spaced_word(text[start - 1]):
        return False
    if end < len(text) and spaced_word(text[end]) and spaced_word(text[end - 1]):
        return False
    # an accent that is written behind its letter belongs to it
    return not (end < len(text) and 0x0300 <= ord(text[end]) <= 0x036F)


class Gazetteer:
    """Terms by number, found in text: benchmarks/gazetteer.py says how many bytes a term and how many MB a second.

    terms: empty ones are left out. case: whether capitals must agree; "smart": a term is found as it is written and in
    capitals throughout (London, LONDON), one without capitals also at the beginning of a sentence.
    """

    def __init__(self, terms: Iterable[str], *, case: Case = "smart") -> None:
        import ahocorasick

        self.case = case
        self._automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        self._lengths, self._first = array("I"), array("I")
        self._more: dict[int, list[int]] = {}  # terms that are the same when compared
        for number, term in enumerate(terms):
            for key in self._keys(term.strip()):
                self._add(key, number)
        if len(self._lengths):
            self._automaton.make_automaton()

    def _keys(self, term: str) -> Iterator[str]:
        key = plain(term, case=self.case != "ignore")
        if key:
            yield key
            if self.case == "smart" and key[0].islower() and key.islower() and len(key[0].upper()) == 1:
                yield key[0].upper() + key[1:]

    def _add(self, key: str, number: int) -> None:
        place = self._automaton.get(key, None)
        if place is not None:
            self._more.setdefault(place, []).append(number)
            return
        self._automaton.add_word(key, len(self._lengths))
        self._lengths.append(len(key))
        self._first.append(number)

    def matches(self, text: str) -> Iterator[Hit]:
        """Every place of every term, those that overlap too."""
        if not len(self._lengths):
            return
        shown = plain(text, case=self.case != "ignore")
        yield from self._hits(shown)
        if self.case == "smart" and _LOUD.search(shown) and (quiet := _CAPITALS.sub(_titled, shown)) != shown:
            yield from (hit for hit in self._hits(quiet) if shown[hit.start : hit.end].isupper())

    def _hits(self, shown: str) -> Iterator[Hit]:
        for last, place in self._automaton.iter(shown):
            start, end = last + 1 - self._lengths[place], last + 1
            if on_borders(shown, start, end):
                yield Hit(start, end, self._first[place])
                for number in self._more.get(place, ()):
                    yield Hit(start, end, number)

    def find(self, text: str) -> list[list[Hit]]:
        """The longest matches, none of which overlap, in order; hits of the same place together (an ambiguous name)."""
        return longest(self.matches(text))


# words written in capitals throughout; shorter ones are too often something else (US, IT)
_LOUD = re.compile(r"[^\W\d_a-z]{4}")  # at least this is needed for one, and quickly looked for
_CAPITALS = re.compile(r"\b[^\W\d_]{4,}\b")


def _titled(found: re.Match[str]) -> str:
    word = found[0]
    made = word[0] + word[1:].lower() if word.isupper() else word
    return made if len(made) == len(word) else word


def longest(hits: Iterable[Hit]) -> list[list[Hit]]:
    """Of hits that share characters the longest, then the earlier; hits of one place stay together. In order."""
    places: dict[tuple[int, int], list[Hit]] = {}
    for hit in hits:
        places.setdefault((hit.start, hit.end), []).append(hit)
    taken: list[tuple[int, int]] = []
    for start, end in sorted(places, key=lambda one: (one[0] - one[1], one[0])):
        if all(end <= a or start >= b for a, b in taken):
            taken.append((start, end))
    return [places[place] for place in sorted(taken)]


def majority_label(labels: Sequence[str], weights: Sequence[float], *, margin: float) -> tuple[str, float] | None:
    """The label with most weight and its share, None where it does not lead by `margin` of all weight, 0..1 (ties abstain)."""
    total: dict[str, float] = {}
    for label, weight in zip(labels, weights, strict=True):
        total[label] = total.get(label, 0.0) + weight
    ordered = sorted(total.items(), key=lambda one: (-one[1], one[0]))
    whole = sum(max(weight, 0.0) for _, weight in ordered)
    second = ordered[1][1] if len(ordered) > 1 else 0.0
    if ordered[0][1] <= second or ordered[0][1] <= 0 or (ordered[0][1] - second) / whole < margin:
        return None
    return ordered[0][0], ordered[0][1] / whole
