"""Typing errors: a neighbour on the keyboard, two signs the wrong way round, one missing, one twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from burnish.core.stage import Share
from burnish.text.edits import Edit, clusters, is_letter
from burnish.text.typos import ERRORS, Error, mistyped
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations


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
        return mistyped(letters, text, rate=self.rate, errors=self.errors, draw=draw)
