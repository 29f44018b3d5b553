"""Typing errors: a neighbour on the keyboard, two signs the wrong way round, one missing, one twice."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from burnish.core.stage import Share
from burnish.text.edits import Edit, Stretch, clusters, is_letter
from burnish.train.augment._cutting import cased, is_han
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations

Error = Literal["neighbour", "swap", "drop", "double"]
ERRORS: tuple[Error, ...] = ("neighbour", "swap", "drop", "double")
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row stands half a key to the right of the one above


@augmentations.part("characters")
@dataclass(frozen=True)
class Characters(Augmentation):
    """Typing errors in letters and Chinese characters, never in figures, marks or emoji (Belinkov and Bisk 2018).

    rate: share of the letters that are mistyped, at least one.
    errors: of which each is drawn: neighbour (on a QWERTY keyboard; Latin letters alone), swap (with the next), drop,
        double.
    inside_spans: mistype inside spans too, which move along; an answer stays as it is.
    """

    rate: Share = 0.05
    errors: tuple[Error, ...] = ERRORS
    inside_spans: bool = False

    @property
    def touches(self) -> bool:
        return self.inside_spans

    def problem(self, task: Any) -> str:
        return "" if self.errors else "characters has no error to draw"

    def begin(self, ground: Ground) -> Write:
        return lambda passages: [self._mistyped(one) for one in passages]

    def _mistyped(self, passage: Passage) -> list[Edit]:
        text, draw = passage.text, passage.draw
        letters = [one for one in passage.free(clusters(text)) if is_letter(text[slice(*one)])]
        if not letters:
            return []
        count = max(1, int(self.rate * len(letters)))
        follows = dict(pairwise(letters))
        edits: list[Edit] = []
        for place in sorted(draw.sample(letters, count)):
            if edits and place[0] < edits[-1].end:  # swapped with the one before
                continue
            edits += self._error(text, place, follows.get(place), alone=len(letters) == 1, draw=draw)
        return edits

    def _error(
        self, text: str, place: Stretch, following: Stretch | None, *, alone: bool, draw: random.Random
    ) -> list[Edit]:
        """One mistake at one letter; [] where none of the errors can happen to it."""
        sign = text[slice(*place)]
        can: list[Edit] = []
        for error in self.errors:
            if error == "neighbour" and (near := neighbours().get(sign.lower())):
                can.append(Edit(*place, cased(draw.choice(near), sign)))
            elif error == "swap" and following and following[0] == place[1] and text[slice(*following)] != sign:
                can.append(Edit(place[0], following[1], text[slice(*following)] + sign))
            elif error == "drop" and not alone:
                can.append(Edit(*place, ""))
            elif error == "double" and not is_han(sign):
                can.append(Edit(*place, sign + sign))
        return [draw.choice(can)] if can else []


@cache
def neighbours() -> dict[str, str]:
    """Letter -> the letters whose keys touch its key."""
    at = {letter: (row, 2 * column + row) for row, keys in enumerate(ROWS) for column, letter in enumerate(keys)}
    return {
        letter: "".join(
            other
            for other, (y, x) in at.items()
            if other != letter and abs(y - row) <= 1 and abs(x - column) <= 2 - abs(y - row)
        )
        for letter, (row, column) in at.items()
    }
