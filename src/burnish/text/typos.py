"""Wrong letters: what a keyboard has beside a key, what a pinyin keyboard offers for the same sound, what looks alike."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

from burnish.core.errors import MissingExtra
from burnish.text.counterparts import cased
from burnish.text.edits import Edit, Stretch, applied, clusters, is_letter, sound

Error = Literal["neighbour", "swap", "drop", "double"]
ERRORS: tuple[Error, ...] = ("neighbour", "swap", "drop", "double")
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row stands half a key to the right of the one above
LEVEL_1 = range(0xB0, 0xD8)  # first bytes of GB 2312 level 1: the 3,755 characters in everyday use
OWN = Path(__file__).with_name("look_alikes.txt")


@cache
def neighbours() -> dict[str, str]:
    """Letter -> the letters whose keys touch its key."""
    at = {letter: (row, 2 * column + row) for row, keys in enumerate(ROWS) for column, letter in enumerate(keys)}
    return {
        letter: "".join(
            other
            for other, (y, x) in at.items()
            if other != letter and abs(y - row) <= 1 and abs(x - column) <= 2 - abs(y - row)
        )
        for letter, (row, column) in at.items()
    }


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
        reading[sign] = said if tones else toneless(said)
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


def mistyped(
    letters: list[Stretch], text: str, *, rate: float, errors: tuple[Error, ...], draw: random.Random
) -> list[Edit]:
    """Typing errors at a share `rate` of the letters, at least one (Belinkov and Bisk 2018); [] without letters."""
    if not letters:
        return []
    count = max(1, int(rate * len(letters)))
    follows = dict(pairwise(letters))
    edits: list[Edit] = []
    for place in sorted(draw.sample(letters, count)):
        if edits and place[0] < edits[-1].end:  # swapped with the one before
            continue
        edits += _error(text, place, follows.get(place), alone=len(letters) == 1, errors=errors, draw=draw)
    return edits


def typed(text: str, *, rate: float = 0.05, draw: random.Random) -> str | None:
    """A text with typing errors in its letters, whatever their script; None without letters."""
    letters = [one for one in clusters(text) if is_letter(text[slice(*one)])]
    return _changed(text, mistyped(letters, text, rate=rate, errors=ERRORS, draw=draw))


def latin_typed(text: str, *, rate: float = 0.05, draw: random.Random) -> str | None:
    """A text with typing errors of a QWERTY keyboard in its Latin letters; None without one."""
    letters = [one for one in clusters(text) if text[slice(*one)].lower() in neighbours()]
    return _changed(text, mistyped(letters, text, rate=rate, errors=ERRORS, draw=draw))


def misheard(text: str, *, rate: float = 0.1, draw: random.Random) -> str | None:
    """Chinese characters of the same toneless pinyin instead; None where there are none. MissingExtra without pypinyin."""
    return _replaced(text, same_sound(False), rate, draw)


def misread(text: str, *, rate: float = 0.1, draw: random.Random) -> str | None:
    """Chinese characters of like shape instead, of a small table; None where none of them stands in the text."""
    return _replaced(text, look_alikes(), rate, draw)


def _replaced(text: str, others: dict[str, str], rate: float, draw: random.Random) -> str | None:
    can = [at for at, sign in enumerate(text) if sign in others]
    if not can:
        return None
    han = sum(unicodedata.name(sign, "").startswith("CJK UNIFIED") for sign in text)
    chosen = sorted(draw.sample(can, min(len(can), max(1, int(rate * han)))))
    return _changed(text, [Edit(at, at + 1, draw.choice(others[text[at]])) for at in chosen])


def _changed(text: str, edits: list[Edit]) -> str | None:
    made = applied(text, sound(edits))
    return made if made != text else None


def _error(
    text: str, place: Stretch, following: Stretch | None, *, alone: bool, errors: tuple[Error, ...], draw: random.Random
) -> list[Edit]:
    """One mistake at one letter; [] where none of the errors can happen to it."""
    sign = text[slice(*place)]
    can: list[Edit] = []
    for error in errors:
        if error == "neighbour" and (near := neighbours().get(sign.lower())):
            can.append(Edit(*place, cased(draw.choice(near), sign)))
        elif error == "swap" and following and following[0] == place[1] and text[slice(*following)] != sign:
            can.append(Edit(place[0], following[1], text[slice(*following)] + sign))
        elif error == "drop" and not alone:
            can.append(Edit(*place, ""))
        elif error == "double" and not unicodedata.name(sign, "").startswith("CJK UNIFIED"):
            can.append(Edit(*place, sign + sign))
    return [draw.choice(can)] if can else []


def _common() -> list[str]:
    pairs = ((first, second) for first in LEVEL_1 for second in range(0xA1, 0xFF))
    found = (bytes(pair).decode("gb2312", "ignore") for pair in pairs)
    return [sign for sign in found if sign]


def toneless(said: str) -> str:
    """lǜ -> lü, hǎo -> hao."""
    apart = unicodedata.normalize("NFD", said)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c) or c == "\u0308"))
