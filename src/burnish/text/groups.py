"""Groups of people, and the terms by which a text speaks of them, English and Chinese; a file of your own has the same form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import BurnishError
from burnish.text.counterparts import counterparts
from burnish.text.scripts import HAN_CLASS
from burnish.text.words import LETTERS as WORD
from burnish.text.words import keyword_pattern

Array = NDArray[Any]
_HAN, _LATIN = re.compile(f"[{HAN_CLASS}]"), re.compile("[A-Za-z]")
_DOTS = {ord("ı"): "i", ord("İ"): "i", 0x307: None}  # lower case of İ is i and a dot
DEFAULT = Path(__file__).with_name("groups.tsv")
Groups = dict[tuple[str, str], tuple[str, ...]]


class Terms:
    """A list of terms and the way to find them: Chinese by one pattern, others by the word they begin with.

    At one place the longest counts; what it covers is not looked at again, so 吉他 keeps 他 from being found in it.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        han = sorted({term for term in terms if _HAN.match(term)}, key=lambda one: (-len(one), one))
        self._han = re.compile("|".join(map(re.escape, han)) or r"(?!)")
        others = tuple(term for term in terms if not _HAN.match(term))
        first: dict[str, list[str]] = defaultdict(list)
        for term in others:
            if word := WORD.match(term.strip()):
                first[_folded(word[0])].append(term)
        self._first = {word: keyword_pattern(tuple(some)) for word, some in first.items()}
        # one that begins with a sign begins with no word: then one pattern looks for all, 50 times slower
        self._all = keyword_pattern(others) if sum(map(len, first.values())) < len(others) else None

    def of(self, text: str) -> list[str]:
        """The terms of a text, in lower case, with repeats."""
        found = self._han.findall(text)
        if _LATIN.search(text):
            found += [" ".join(one[0].lower().split()) for one in self._words(text)]
        return found

    def _words(self, text: str) -> Iterator[re.Match[str]]:
        """The terms in letters, none over another: where a word is the first of some, the longest of them that stands there."""
        if self._all:
            yield from self._all.finditer(text)
            return
        until = 0
        for word in WORD.finditer(text):
            terms = self._first.get(_folded(word[0])) if word.start() >= until else None
            if terms and (found := terms.match(text, word.start())):
                until = found.end()
                yield found


@lru_cache(maxsize=1 << 16)
def _folded(word: str) -> str:
    """At least all that a pattern without regard to case takes for the same; it is asked afterwards."""
    return word.casefold().translate(_DOTS)


def read_groups(path: Path) -> Groups:
    """(axis, group) -> terms, from a file: axis, group, terms parted by |, with tabs between. BurnishError with the line."""
    found: Groups = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        terms = tuple(term.strip().lower() for term in cells[-1].split("|") if term.strip())
        if len(cells) != 3 or not all(cells) or not terms:
            raise BurnishError(
                "a line has an axis, a group and terms",
                where=f"{path.name}:{number}",
                hint="gender<TAB>women<TAB>she|her|她",
            )
        found[cells[0], cells[1]] = found.get((cells[0], cells[1]), ()) + terms
    if not found:
        raise BurnishError(f"{path.name} names no group", hint="gender<TAB>women<TAB>she|her|她")
    return found


class Mentions:
    """Which groups a text speaks of; terms inside other words (吉他 with 他) do not count."""

    def __init__(self, groups: Groups) -> None:
        self._of: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for key, terms in groups.items():
            for term in terms:
                self._of[term].append(key)
        guards = [term for term, other in counterparts("all").items() if term == other and term not in self._of]
        self._finder = Terms((*self._of, *guards))

    def of(self, text: str) -> set[tuple[str, str]]:
        """The (axis, group) of the groups."""
        return {key for term in self._finder.of(text) for key in self._of.get(term, ())}


def mentions(texts: Sequence[str], groups: Groups) -> dict[tuple[str, str], Array]:
    """(axis, group) -> (n,) which texts speak of it."""
    made: dict[tuple[str, str], Array] = {key: np.zeros(len(texts), dtype=bool) for key in groups}
    finder = Mentions(groups)
    for row, text in enumerate(texts):
        for key in finder.of(text):
            made[key][row] = True
    return made
