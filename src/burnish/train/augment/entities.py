"""Names of the same type put in place of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from burnish.core.stage import Share
from burnish.text.edits import Edit, Stretch
from burnish.train.augment._cutting import is_han
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations

Kind = tuple[tuple[str | None, ...], bool]  # the types at one place, and whether it is written in Chinese


@augmentations.part("entities")
@dataclass(frozen=True)
class Entities(Augmentation):
    """Spans replaced by other spans of the training side with the same type (mention replacement, Dai and Adel 2020).

    rate: share of the spans of a text that are replaced, at least one.
    distinct: every different name is as likely; false draws them as often as they stand in the training side.

    Spans without a type, and spans that overlap others, stay. A Chinese name takes the place of a Chinese one alone.
    """

    needs: ClassVar[tuple[str, ...]] = ("spans",)

    rate: Share = 0.5
    distinct: bool = True

    @property
    def touches(self) -> bool:
        return True

    def begin(self, ground: Ground) -> Write:
        counted: dict[Kind, Counter[str]] = {}
        for passage in ground.passages:
            for place, kind in _places(passage).items():
                counted.setdefault(kind, Counter())[passage.text[slice(*place)]] += 1
        names = {kind: sorted(own) for kind, own in counted.items()}
        weights = {
            kind: None if self.distinct else [counted[kind][name] for name in own] for kind, own in names.items()
        }
        return lambda passages: [self._swapped(one, names, weights) for one in passages]

    def _swapped(
        self, passage: Passage, names: Mapping[Kind, Sequence[str]], weights: Mapping[Kind, Sequence[int] | None]
    ) -> list[Edit]:
        can = [(place, kind) for place, kind in _places(passage).items() if len(names.get(kind, ())) > 1]
        count = min(len(can), max(1, round(self.rate * len(can))))
        edits = []
        for place, kind in sorted(passage.draw.sample(can, count), key=lambda one: one[0]):
            (name,) = passage.draw.choices(names[kind], weights[kind])
            if name != passage.text[slice(*place)]:
                edits.append(Edit(*place, name))
        return edits


def _places(passage: Passage) -> dict[Stretch, Kind]:
    """The places of spans with a type that overlap no other place, and what stands there."""
    types: dict[Stretch, list[str | None]] = {}
    for start, end, label in passage.spans:
        types.setdefault((start, end), []).append(label)
    alone = passage.free(
        [one for one in types if not any(other != one and other[0] < one[1] and other[1] > one[0] for other in types)]
    )
    return {
        (start, end): (tuple(sorted(str(label) for label in types[start, end])), is_han(passage.text[start]))
        for start, end in sorted(alone)
        if None not in types[start, end]
    }
