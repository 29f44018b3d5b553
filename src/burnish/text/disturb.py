"""Texts disturbed as people disturb them, one way a name: typing errors, other case, he for she. What a text means stays.

The same seed disturbs a text in the same way. A text in which nothing can be disturbed comes back as None.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from burnish.text.counterparts import counterparts, swapped
from burnish.text.typos import typed


def typos(text: str, *, seed: int) -> str | None:
    """One letter in twenty mistyped (Belinkov and Bisk 2018); figures and marks stay."""
    return typed(text, draw=random.Random(f"{seed} {text}"))


def case(text: str, *, seed: int) -> str | None:
    """All capitals, or all small where most letters are capitals; None for texts without case, such as Chinese."""
    large = sum(sign.isupper() for sign in text)
    made = text.lower() if 2 * large > sum(sign.isalpha() for sign in text) else text.upper()
    return made if made != text else None


def counterfactual(text: str, *, seed: int) -> str | None:
    """The same about a person of the other gender, English and Chinese: he for she, 爸爸 for 妈妈 (Lu et al. 2020)."""
    return swapped(text, counterparts())


DISTURBED: dict[str, Callable[..., str | None]] = {"typos": typos, "case": case, "counterfactual": counterfactual}
