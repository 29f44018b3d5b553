"""What a word is to an augmentation, and how a new one is written in its place."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Literal

from burnish.text.counterparts import cased, said
from burnish.text.edits import Stretch
from burnish.text.scripts import HAN_CLASS
from burnish.text.segment import words_of
from burnish.text.words import placed

__all__ = ["Chinese", "Cut", "cased", "cutter", "is_han", "said"]

Chinese = Literal["characters", "words"]
Cut = Callable[[str], list[Stretch]]
_HAN = re.compile(f"[{HAN_CLASS}]")


def cutter(chinese: Chinese) -> Cut:
    """What cuts a text into words: characters of Chinese, or its words where a dictionary is there."""
    if chinese == "characters":
        return placed
    words_of("词")  # says now, not in the middle of a run, when the dictionary is not there

    def cut(text: str) -> list[Stretch]:
        """Words between blanks as `placed` has them; runs of Han as the dictionary parts them."""
        made: list[Stretch] = []
        for han, run in itertools.groupby(placed(text), key=lambda place: is_han(text[place[0]])):
            stretches = list(run)
            for start, end in _joined(stretches) if han else ():
                borders = itertools.accumulate(map(len, words_of(text[start:end])), initial=start)
                made += itertools.pairwise(borders)
            made += [] if han else stretches
        return made

    return cut


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches that touch, as one."""
    made: list[Stretch] = []
    for start, end in stretches:
        if made and made[-1][1] == start:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return made


def is_han(sign: str) -> bool:
    """Whether a character is Chinese."""
    return _HAN.fullmatch(sign) is not None
