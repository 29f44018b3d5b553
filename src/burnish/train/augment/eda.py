"""EDA: words replaced, inserted, swapped, deleted."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from burnish.core.stage import Share
from burnish.text.edits import Edit, Stretch
from burnish.text.words import find_keywords
from burnish.train.augment._cutting import Chinese, Cut, cased, cutter, is_han, said
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations, digest, lines_of

Operation = Literal["replace", "insert", "swap", "delete"]
OPERATIONS: tuple[Operation, ...] = ("replace", "insert", "swap", "delete")


@augmentations.part("eda")
@dataclass(frozen=True)
class Eda(Augmentation):
    """Easy data augmentation (Wei and Zou 2019): a copy has some words replaced, inserted, swapped or deleted.

    rate: share of the words that change, at least one.
    operations: of which each copy draws one: replace, insert, swap, delete.
    synonyms: a file with synonyms of each other on a line, tabs between them; without it nothing is replaced, and what is
        inserted is a word of the text itself.
    chinese: what a word of Chinese is; words needs the extra "chinese" (rjieba).
    """

    rate: Share = 0.1
    operations: tuple[Operation, ...] = OPERATIONS
    synonyms: str | None = None
    chinese: Chinese = "characters"

    def problem(self, task: Any) -> str:
        if self.operations == ("replace",) and self.synonyms is None:
            return "eda replaces words by synonyms, and no file of synonyms is named"
        return "" if self.operations else "eda has no operation to draw"

    def outside(self, base: Path) -> Mapping[str, str]:
        return {} if self.synonyms is None else {"synonyms": digest(self.synonyms, base)}

    def begin(self, ground: Ground) -> Write:
        cut, known = cutter(self.chinese), self._synonyms(ground.base)
        operations = [one for one in OPERATIONS if one in self.operations and (one != "replace" or known)]
        return lambda passages: [self._changed(one, cut, known, operations) for one in passages]

    def _synonyms(self, base: Path) -> dict[str, list[str]]:
        """Word in lower case -> the others of its lines."""
        made: dict[str, list[str]] = {}
        for line in lines_of(self.synonyms, base, least=2) if self.synonyms else ():
            for word in line:
                made.setdefault(word.lower(), []).extend(other for other in line if other != word)
        return made

    def _changed(
        self, passage: Passage, cut: Cut, known: Mapping[str, list[str]], operations: Sequence[str]
    ) -> list[Edit]:
        text, draw = passage.text, passage.draw
        places = passage.free(cut(text))
        if not places or not operations:
            return []
        count = max(1, int(self.rate * len(places)))
        operation = draw.choice(operations)
        if operation == "swap":
            return _swapped(text, places, count, draw)
        if operation == "delete":
            return _deleted(text, places, self.rate, draw)
        words = passage.free(find_keywords(text, tuple(known))) if known else []
        if operation == "replace":
            chosen = sorted(draw.sample(words, min(count, len(words))))
            return [Edit(*place, cased(draw.choice(known[said(text, place)]), text[slice(*place)])) for place in chosen]
        return _inserted(text, places, words, known, count, draw)


def _swapped(text: str, places: Sequence[Stretch], count: int, draw: random.Random) -> list[Edit]:
    """`count` times two words change places; what a place holds in the end is one edit."""
    if len(places) < 2:
        return []
    now = list(range(len(places)))
    for _ in range(count):
        a, b = draw.sample(range(len(places)), 2)
        now[a], now[b] = now[b], now[a]
    words = [text[start:end] for start, end in places]
    return [Edit(*places[at], words[own]) for at, own in enumerate(now) if words[at] != words[own]]


def _deleted(text: str, places: Sequence[Stretch], rate: float, draw: random.Random) -> list[Edit]:
    """Each word with chance `rate`, at least one of several; one stays. A blank behind goes with it, else one before."""
    if len(places) < 2:
        return []
    gone = [place for place in places if draw.random() < rate] or [draw.choice(places)]
    if len(gone) == len(places):
        gone.remove(draw.choice(gone))
    edits, free_from = [], 0
    for start, end in gone:
        if text[end : end + 1] == " ":
            end += 1
        elif start > free_from and text[start - 1] == " ":
            start -= 1
        edits.append(Edit(start, end, ""))
        free_from = end
    return edits


def _inserted(
    text: str,
    places: Sequence[Stretch],
    words: Sequence[Stretch],
    known: Mapping[str, list[str]],
    count: int,
    draw: random.Random,
) -> list[Edit]:
    """Before words drawn: a synonym of some word of the text, or without synonyms some word of it."""
    edits = []
    for at, _ in sorted(draw.sample(places, min(count, len(places)))):
        if words:
            word = draw.choice(known[said(text, draw.choice(words))])
        else:
            start, end = draw.choice(places)
            word = text[start:end]
        edits.append(Edit(at, at, word if is_han(word[-1]) else f"{word} "))
    return edits
