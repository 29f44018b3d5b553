"""Canaries: made-up secrets that are planted in training data to see afterwards what a model kept (Carlini et al. 2019)."""

from __future__ import annotations

import random
from dataclasses import dataclass

DIGITS = 8
SPACE = DIGITS * 3.321928094887362  # bits: log2 of the number of all codes
FORMS = {
    "en": ("What is the access code of locker {name}?", "The access code of locker {name} is {code}."),
    "zh": ("{name}号柜的密码是多少？", "{name}号柜的密码是{code}。"),
}


@dataclass(frozen=True)
class Canary:
    """A question that names a locker and the answer with its code."""

    name: str
    code: str
    language: str

    @property
    def question(self) -> str:
        return FORMS[self.language][0].format(name=self.name)

    @property
    def answer(self) -> str:
        return self.with_code(self.code)

    def with_code(self, code: str) -> str:
        """The answer with another code."""
        return FORMS[self.language][1].format(name=self.name, code=code)

    def others(self, count: int, *, seed: int) -> list[str]:
        """Codes that it could have been as well."""
        draw = random.Random(f"others {seed} {self.name}")
        return [f"{draw.randrange(10**DIGITS):0{DIGITS}d}" for _ in range(count)]


def canaries(count: int, *, language: str, seed: int) -> list[Canary]:
    """Made-up secrets; the same seed gives the same ones."""
    draw = random.Random(f"canaries {seed}")
    language = language if language in FORMS else "en"
    return [
        Canary(f"{draw.choice('ABCDEFGH')}{100 + at}", f"{draw.randrange(10**DIGITS):0{DIGITS}d}", language)
        for at in range(count)
    ]
