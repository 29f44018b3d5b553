"""Pairs that occur together most often become one, again and again (Gage 1994; Sennrich et al. 2016), for units of any kind.

Units are characters where a vocabulary is learnt, and the pieces of an old vocabulary where one is extended. The loop is
that of the tokenizers library: every unit is given a code point of its own there, so it runs at the speed of Rust. Unlike
the trainers of that library for WordPiece and Unigram, what it gives depends on the counts alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FIRST = 0x10000  # code points from here on are no surrogates and no blanks, and a million
AT_ONCE = 4096  # words of one line: what is counted again by the trainer is given as often as it occurs

Unit = int
Merge = tuple[tuple[Unit, ...], tuple[Unit, ...]]


def merges(
    words: Mapping[tuple[Unit, ...], int], *, count: int, least: int = 2, longest: int | None = None
) -> list[Merge]:
    """At most `count` merges, the first one first: each makes one piece of two, given as the units they are made of.

    words: sequences of units, numbers from 0 up, and how often each occurs; nothing is merged across their ends.
    least: times a pair must occur. longest: units of a piece at most.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if not words or count < 1:
        return []
    units = sorted({unit for word in words for unit in word})
    letters = {unit: chr(FIRST + at) for at, unit in enumerate(units)}
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(units) + count, min_frequency=least, max_token_length=longest, show_progress=False
    )
    learner.train_from_iterator(_lines(words, letters), trainer=trainer)
    return [(_units(a, units), _units(b, units)) for a, b in _pairs(learner)]


def _lines(words: Mapping[tuple[Unit, ...], int], letters: Mapping[Unit, str]) -> Iterator[str]:
    for word, times in words.items():
        line = "".join(letters[unit] for unit in word) + " "
        while times > 0:
            yield line * min(times, AT_ONCE)
            times -= AT_ONCE


def _pairs(learner: Any) -> list[Sequence[str]]:
    return list(json.loads(learner.to_str())["model"]["merges"])


def _units(letters: str, units: Sequence[Unit]) -> tuple[Unit, ...]:
    return tuple(units[ord(letter) - FIRST] for letter in letters)
