"""Texts said again: into another language and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from burnish.core.stage import Positive
from burnish.text.edits import Edit
from burnish.train.augment.base import Augmentation, Ground, Passage, Write, augmentations, found, weights


@augmentations.part("back_translation")
@dataclass(frozen=True, kw_only=True)
class BackTranslation(Augmentation):
    """Texts translated into another language and back (Sennrich, Haddow and Birch 2016).

    there: what translates into the other language: a translation run of burnish, or a folder or hub name of an
        encoder-decoder.
    back: what translates back.
    there_prompt: what `there` reads, with {text}, where it must be told ("translate English to German: {text}").
    back_prompt: the same for `back`.
    temperature: 0 writes the likeliest; above it words are drawn, so that copies of one text differ.
    beams: of the search, at temperature 0.

    A text that is longer than either model reads gets no copy: its end would be lost.
    """

    rewrites: ClassVar[bool] = True

    there: str
    back: str
    there_prompt: str = "{text}"
    back_prompt: str = "{text}"
    temperature: Annotated[float, Ge(0)] = 0.0
    beams: Positive = 1

    def problem(self, task: object) -> str:
        if "{text}" not in self.there_prompt or "{text}" not in self.back_prompt:
            return "a prompt of back_translation says where the text goes: {text}"
        if self.copies > 1 and self.temperature == 0:
            return "back_translation writes the same copy each time at temperature: 0; give one above it, or copies: 1"
        return ""

    def outside(self, base: Path) -> Mapping[str, str]:
        return {"there": weights(self.there, base), "back": weights(self.back, base)}

    def begin(self, ground: Ground) -> Write:
        from burnish.nn.backbones import resolve
        from burnish.nn.translating import Translating

        ways = []
        for name, prompt in ((self.there, self.there_prompt), (self.back, self.back_prompt)):
            folder = resolve(found(name, ground.base), languages=ground.task.spec.languages, progress=ground.progress)
            ways.append(Translating(folder, prompt=prompt, temperature=self.temperature, beams=self.beams))
        calls = iter(range(1_000_000))  # each copy draws anew

        def write(passages: Sequence[Passage]) -> list[list[Edit]]:
            seed = ground.seed * 1000 + next(calls)
            texts: list[str] = [one.text for one in passages]
            for way in ways:
                texts = way(texts, seed=seed, progress=ground.progress)
            return [[Edit(0, len(one.text), text)] if text else [] for one, text in zip(passages, texts, strict=True)]

        return write
