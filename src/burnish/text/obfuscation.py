"""Listed words, found however they are disguised: leetspeak, letters drawn apart or repeated, unseen and full-width signs.

A text is walked as a row of plain letters, each with its place, so that what was found is told where it stands. English
words must stand alone in that row up to blanks and signs; Chinese ones are found with anything but Han between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from burnish.core.errors import BurnishError
from burnish.text.scripts import HAN_CLASS

_LEET = str.maketrans({"0": "o", "1": "i", "!": "i", "|": "i", "3": "e", "4": "a", "@": "a", "5": "s", "$": "s", "7": "t", "+": "t", "8": "b", "9": "g"})  # fmt: skip
_JOINED, _SPACED = (
    r"[._\-*~^·•]{0,2}",
    r"[\s._\-*~^·•,/]{1,3}",
)  # "it's hit" must not be one word: blanks stand in every gap or in none
_SIGNS = rf"[^{HAN_CLASS}A-Za-z0-9]{{0,4}}"
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")


class Listed(NamedTuple):
    """A listed word at start..end; disguised: not written as it is listed."""

    start: int
    end: int
    word: str
    disguised: bool


class Hidden:
    """A list of words that finds them in any disguise."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = sorted(
            {unicodedata.normalize("NFKC", word).strip().lower() for word in words} - {""},
            key=lambda one: (-len(one), one),
        )
        if not self.words:
            raise BurnishError("the list holds no word", hint="a word or phrase a line")
        parts = [f"(?P<w{at}>{_pattern(word)})" for at, word in enumerate(self.words)]
        self._pattern = re.compile("|".join(parts))

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def read(cls, path: Path) -> Hidden:
        """From a UTF-8 file, a word or phrase a line; lines that begin with # say nothing."""
        lines = path.read_text("utf-8-sig").splitlines()
        return cls(line for line in lines if line.strip() and not line.startswith("#"))

    def find(self, text: str) -> list[Listed]:
        """The listed words of a text, in order."""
        letters, at = [], []
        for place, sign in enumerate(text):
            if _UNSEEN.match(sign):
                continue
            for plain in unicodedata.normalize("NFKD", sign).lower():
                if not unicodedata.combining(plain):
                    letters.append(plain)
                    at.append(place)
        row = "".join(letters)
        found = {(one.start(), one.end()): one for one in self._pattern.finditer(row)}
        for one in self._pattern.finditer(row.translate(_LEET)):
            found.setdefault((one.start(), one.end()), one)
        made, until = [], -1
        for (start, end), one in sorted(found.items()):
            if start < until:
                continue
            until = end
            word = self.words[int(str(one.lastgroup)[1:])]
            first, last = at[start], at[end - 1] + 1
            made.append(Listed(first, last, word, text[first:last].lower() != word))
        return made


def _pattern(word: str) -> str:
    if re.search(f"[{HAN_CLASS}]", word):
        return _SIGNS.join(map(re.escape, word))
    letters = [
        re.escape(sign) + "+" if sign.isalpha() else r"\s+" if sign.isspace() else re.escape(sign) for sign in word
    ]
    return rf"(?<![^\W_])(?:{_JOINED.join(letters)}|{_SPACED.join(letters)})(?![^\W_])"
