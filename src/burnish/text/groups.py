"""Groups of people, and the terms by which a text speaks of them, English and Chinese; a file of your own has the same form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import BurnishError
from burnish.text.counterparts import counterparts
from burnish.text.scripts import HAN_CLASS
from burnish.text.words import keyword_pattern

Array = NDArray[Any]
_HAN, _LATIN = re.compile(f"[{HAN_CLASS}]"), re.compile("[A-Za-z]")
DEFAULT = Path(__file__).with_name("groups.tsv")
Groups = dict[tuple[str, str], tuple[str, ...]]


class Terms:
    """A list of terms and the way to find them: Chinese by their first character, others as words by one pattern.

    At one place the longest counts; what it covers is not looked at again, so 吉他 keeps 他 from being found in it.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self._han: dict[str, list[str]] = defaultdict(list)
        for term in sorted({*terms}, key=lambda one: (-len(one), one)):
            if _HAN.match(term):
                self._han[term[0]].append(term)
        self._pattern = keyword_pattern(tuple(term for term in terms if not _HAN.match(term)))

    def of(self, text: str) -> list[str]:
        """The terms of a text, in lower case, with repeats."""
        found, until = [], 0
        for at, sign in enumerate(text):
            if at >= until and sign in self._han:
                term = next((one for one in self._han[sign] if text.startswith(one, at)), None)
                if term is not None:
                    found.append(term)
                    until = at + len(term)
        if _LATIN.search(text):
            found += [" ".join(one[0].lower().split()) for one in self._pattern.finditer(text)]
        return found


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


def mentions(texts: Sequence[str], groups: Groups) -> dict[tuple[str, str], Array]:
    """(axis, group) -> (n,) which texts speak of it; terms inside other words (吉他 with 他) do not count."""
    of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, terms in groups.items():
        for term in terms:
            of[term].append(key)
    guards = [term for term, other in counterparts("all").items() if term == other and term not in of]
    finder = Terms((*of, *guards))
    made: dict[tuple[str, str], Array] = {key: np.zeros(len(texts), dtype=bool) for key in groups}
    for row, text in enumerate(texts):
        for term in set(finder.of(text)):
            for key in of.get(term, ()):
                made[key][row] = True
    return made
