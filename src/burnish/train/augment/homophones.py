"""Wrong characters of Chinese: what a pinyin keyboard offers for the same sound, and what looks alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from burnish.core.errors import MissingExtra
from burnish.core.stage import Share
from burnish.text.edits import Edit
from burnish.train.augment._cutting import is_han
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations

LEVEL_1 = range(0xB0, 0xD8)  # first bytes of GB 2312 level 1: the 3,755 characters in everyday use
OWN = Path(__file__).with_name("look_alikes.txt")


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


@cache
def same_sound(tones: bool) -> dict[str, str]:
    """Character -> the common characters that share one of its readings, itself not among them.

    A reading of a character with several counts only where it comes first: 行 stands under xing, not under hang.
    """
    try:
        from pypinyin.constants import PINYIN_DICT
    except ImportError as error:
        raise MissingExtra("homophones", "chinese") from error
    heard: dict[str, list[str]] = {}
    reading: dict[str, str] = {}
    for sign in _common():
        said = PINYIN_DICT.get(ord(sign), "").split(",")[0]
        reading[sign] = said if tones else _toneless(said)
        heard.setdefault(reading[sign], []).append(sign)
    made = {sign: "".join(one for one in heard[said] if one != sign) for sign, said in reading.items() if said}
    return {sign: others for sign, others in made.items() if others}


@cache
def look_alikes() -> dict[str, str]:
    """Character -> those that are taken for it."""
    made: dict[str, str] = {}
    for line in OWN.read_text("utf-8").splitlines():
        group = "" if line.startswith("#") else line.strip()
        for sign in group:
            made[sign] = made.get(sign, "") + "".join(one for one in group if one != sign)
    return made


def _common() -> list[str]:
    pairs = ((first, second) for first in LEVEL_1 for second in range(0xA1, 0xFF))
    found = (bytes(pair).decode("gb2312", "ignore") for pair in pairs)
    return [sign for sign in found if sign]


def _toneless(said: str) -> str:
    """lǜ -> lü, hǎo -> hao."""
    apart = unicodedata.normalize("NFD", said)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c) or c == "\u0308"))
