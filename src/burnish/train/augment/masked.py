"""Words replaced by what a masked language model would put there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.core.stage import Positive, Share
from burnish.train.augment.base import Augmentation, Ground, Write, augmentations, found, weights


@augmentations.part("masked")
@dataclass(frozen=True, kw_only=True)
class Masked(Augmentation):
    """Words replaced by draws from a masked language model that reads what stands around them (Kobayashi 2018).

    model: a masked language model: a folder, a run of train.pretrain, or a hub name. The encoders that burnish fetches by
        name have no such head.
    rate: share of the words that are replaced, at least one; Chinese by character.
    candidates: how many of the likeliest words are drawn from, by their chances.

    Words that are one token of the model are replaced, by other whole words; what lies behind its longest input stays.
    """

    model: str
    rate: Share = 0.15
    candidates: Positive = 10

    def outside(self, base: Path) -> Mapping[str, str]:
        return {"model": weights(self.model, base)}

    def begin(self, ground: Ground) -> Write:
        from burnish.nn.backbones import resolve
        from burnish.nn.masked import Replacing

        folder = resolve(found(self.model, ground.base), languages=ground.task.spec.languages, progress=ground.progress)
        replacing = Replacing(folder, candidates=self.candidates)
        return lambda passages: replacing(passages, rate=self.rate, progress=ground.progress)
