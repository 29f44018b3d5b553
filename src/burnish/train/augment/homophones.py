"""Wrong characters of Chinese: what a pinyin keyboard offers for the same sound, and what looks alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.core.stage import Share
from burnish.text.edits import Edit
from burnish.text.typos import look_alikes, same_sound
from burnish.train.augment._cutting import is_han
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations


@augmentations.part("homophones")
@dataclass(frozen=True)
class Homophones(Augmentation):
    """Chinese characters replaced by common ones of the same pinyin, or of like shape; needs the extra "chinese" (pypinyin).

    rate: share of the Chinese characters that are replaced, at least one.
    tones: the tone must be the same too; pinyin is typed without it.
    shapes: share of them that are replaced by one that looks alike (of a small table of ours), where there is one.
    inside_spans: replace inside spans too; an answer stays as it is.
    """

    rate: Share = 0.1
    tones: bool = False
    shapes: Share = 0.0
    inside_spans: bool = False

    @property
    def touches(self) -> bool:
        return self.inside_spans

    def problem(self, task: Any) -> str:
        spoken = task.spec.languages
        return "" if "zh" in spoken else f"homophones are Chinese, and task.languages are {', '.join(spoken)}"

    def begin(self, ground: Ground) -> Write:
        sounds = same_sound(self.tones) if self.shapes < 1 else {}
        shapes = look_alikes() if self.shapes > 0 else {}
        return lambda passages: [self._replaced(one, sounds, shapes) for one in passages]

    def _replaced(self, passage: Passage, sounds: Mapping[str, str], shapes: Mapping[str, str]) -> list[Edit]:
        text, draw = passage.text, passage.draw
        places = passage.free([(at, at + 1) for at, sign in enumerate(text) if is_han(sign)])
        can = [place for place in places if text[place[0]] in sounds or text[place[0]] in shapes]
        count = max(1, int(self.rate * len(places)))
        edits = []
        for start, end in sorted(draw.sample(can, min(count, len(can)))):
            alike = draw.random() < self.shapes
            first, second = (shapes, sounds) if alike else (sounds, shapes)
            edits.append(Edit(start, end, draw.choice(first.get(text[start]) or second[text[start]])))
        return edits
