"""AEDA: punctuation marks between the words."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.core.stage import Share
from burnish.text.edits import Edit
from burnish.train.augment._cutting import Chinese, Cut, cutter, is_han
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations

MARKS, FULL_MARKS = ".;?:!,", "。；？：！，"  # of the paper, and what Chinese writes for them


@augmentations.part("aeda")
@dataclass(frozen=True)
class Aeda(Augmentation):
    """Punctuation marks put between words, nothing else changed (AEDA, Karimi, Rossi and Prati 2021).

    rate: most marks for each word; a copy draws from one mark up to it. The paper has a third.
    chinese: what a word of Chinese is; words needs the extra "chinese" (rjieba).
    """

    rate: Share = 0.33
    chinese: Chinese = "characters"

    def begin(self, ground: Ground) -> Write:
        cut = cutter(self.chinese)
        return lambda passages: [_marked(one, self.rate, cut) for one in passages]


def _marked(passage: Passage, rate: float, cut: Cut) -> list[Edit]:
    text, draw = passage.text, passage.draw
    inside = [(start, start) for start, _ in cut(text)]
    open_places = [at for at, _ in inside if not any(start < at < end for start, end in passage.kept)]
    if not open_places:
        return []
    count = draw.randint(1, max(1, int(rate * len(open_places))))
    return [
        Edit(at, at, draw.choice(FULL_MARKS) if is_han(text[at]) else draw.choice(MARKS) + " ")
        for at in sorted(draw.sample(open_places, count))
    ]
