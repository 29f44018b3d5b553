"""Texts disturbed as people disturb them: typing errors, other case, he for she. What a text means stays.

The same seed disturbs a text in the same way. A text in which nothing can be disturbed comes back as None.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from burnish.text.edits import Edit, Stretch, applied, clusters, is_letter, sound
from burnish.text.words import find_keywords

TYPO_RATE = 0.05  # of the letters, at least one
# pairs of terms that name a person's gender; the first pair that holds a term says what it becomes
GENDER = (
    ("he", "she"), ("him", "her"), ("his", "her"), ("himself", "herself"), ("man", "woman"), ("men", "women"),
    ("boy", "girl"), ("boys", "girls"), ("father", "mother"), ("dad", "mum"), ("son", "daughter"), ("brother", "sister"),
    ("husband", "wife"), ("boyfriend", "girlfriend"), ("mr", "mrs"), ("sir", "madam"), ("actor", "actress"),
    ("uncle", "aunt"), ("guy", "girl"), ("male", "female"), ("king", "queen"),
    ("他", "她"), ("他们", "她们"), ("先生", "女士"), ("男人", "女人"), ("男生", "女生"), ("男孩", "女孩"), ("爸爸", "妈妈"),
    ("父亲", "母亲"), ("儿子", "女儿"), ("哥哥", "姐姐"), ("弟弟", "妹妹"), ("老公", "老婆"), ("丈夫", "妻子"), ("男友", "女友"),
    ("帅哥", "美女"), ("爷爷", "奶奶"), ("叔叔", "阿姨"), ("其他", "其他"), ("吉他", "吉他"),
)  # fmt: skip


def typos(text: str, *, seed: int) -> str | None:
    """One letter in twenty swapped with the next, left out or doubled (Belinkov and Bisk 2018); figures and marks stay."""
    draw = random.Random(f"{seed} {text}")
    letters = [one for one in clusters(text) if is_letter(text[slice(*one)])]
    if len(letters) < 4:
        return None
    edits = []
    for at in draw.sample(range(len(letters) - 1), max(1, int(TYPO_RATE * len(letters)))):
        here, following = letters[at], letters[at + 1]
        sign, next_sign = text[slice(*here)], text[slice(*following)]
        kind = draw.choice(("swap", "drop", "double"))
        if kind == "swap" and following[0] == here[1] and sign != next_sign:
            edits.append(Edit(here[0], following[1], next_sign + sign))
        else:
            edits.append(Edit(*here, sign * 2 if kind == "double" else ""))
    return _changed(text, edits)


def case(text: str, *, seed: int) -> str | None:
    """All capitals, or all small where most letters are capitals; None for texts without case, such as Chinese."""
    large = sum(sign.isupper() for sign in text)
    made = text.lower() if 2 * large > sum(sign.isalpha() for sign in text) else text.upper()
    return made if made != text else None


def counterfactual(text: str, *, seed: int) -> str | None:
    """The same about a person of the other gender, English and Chinese: he for she, 爸爸 for 妈妈 (Lu et al. 2020)."""
    known: dict[str, str] = {}
    for one, other in GENDER:
        known.setdefault(one, other)
        known.setdefault(other, one)
    return _changed(text, [_swapped(text, place, known) for place in find_keywords(text, tuple(known))])


DISTURBED: dict[str, Callable[..., str | None]] = {"typos": typos, "case": case, "counterfactual": counterfactual}


def _swapped(text: str, place: Stretch, known: dict[str, str]) -> Edit:
    said = text[slice(*place)]
    other = known.get(said.lower(), said)
    return Edit(
        *place,
        other.upper() if said.isupper() and len(said) > 1 else other.capitalize() if said[:1].isupper() else other,
    )


def _changed(text: str, edits: list[Edit]) -> str | None:
    made = applied(text, sound(edits))
    return made if made != text else None
