"""The same text as somebody else would have written it: typing errors, other case, marks, widths; and its denial.

A variant is a function of text and dice to another text, or None where it changes nothing. Those of SAME_LENGTH keep the place
of every character, for targets that stand at places. What a text means stays, but for `negated`, which turns it round.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable

from burnish.text import typos
from burnish.text.edits import applied, clusters, is_letter, sound
from burnish.text.scripts import HAN_CLASS

Variant = Callable[[str, random.Random], str | None]
_MARKS = re.compile(r"[.,;:!?\"'()\[\]…—–\-，。；：！？、“”‘’（）《》【】]")
_END = re.compile(r"[.!?。！？]+\s*$")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_BE = re.compile(
    r"\b(is|are|was|were|am|will|would|can|could|should|must|may|might|has|have|had|does|do|did)\b(?! not\b|n't)",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?<=[a-z])n['’]t\b| not\b", re.IGNORECASE)
# Chinese: 不 before what is said of something, 没 before 有; a denial that stands there is taken away.
_ZH_DENIED = re.compile(r"(?:不(?=是|好|错|会|能|想|喜欢|推荐|满意|值得|舒服|应该|可以|太)|没(?=有))")
_ZH_BE = re.compile(
    r"(?<![不没非])(?:是|好(?!像|多|几)|会|能|喜欢|推荐|满意|值得|舒服|应该|可以)|(?<!没)有(?!点|些|时)"
)


def typo(text: str, draw: random.Random) -> str | None:
    """Errors of a QWERTY keyboard in one Latin letter of twenty: neighbour, swap, drop, double."""
    return typos.latin_typed(text, draw=draw)


def typo_in_place(text: str, draw: random.Random) -> str | None:
    """As `typo`, with errors that keep the length: neighbours and swaps."""
    letters = [
        one
        for one in clusters(text)
        if is_letter(text[slice(*one)]) and text[slice(*one)].lower() in typos.neighbours()
    ]
    edits = typos.mistyped(letters, text, rate=0.05, errors=("neighbour", "swap"), draw=draw)
    made = applied(text, sound(edits))
    return made if made != text else None


def homophone(text: str, draw: random.Random) -> str | None:
    """One Chinese character of ten as another of the same toneless pinyin, as a pinyin keyboard offers it."""
    return typos.misheard(text, draw=draw)


def look_alike(text: str, draw: random.Random) -> str | None:
    """One Chinese character of ten as another of like shape."""
    return typos.misread(text, draw=draw)


def case(text: str, draw: random.Random) -> str | None:
    """All capitals, or all small where most letters are capitals already."""
    large = sum(sign.isupper() for sign in text)
    made = "".join(one if len(one) == 1 else sign for sign in text for one in [sign.lower() if 2 * large > sum(map(str.isalpha, text)) else sign.upper()])  # fmt: skip
    return made if made != text else None


def unmarked(text: str, draw: random.Random) -> str | None:
    """Every punctuation mark a blank, as texts without marks are typed."""
    made = _MARKS.sub(" ", text)
    return made if made != text and made.strip() else None


def end_mark(text: str, draw: random.Random) -> str | None:
    """Another end: without its mark, or with an exclamation mark where there is none."""
    wide = re.search(f"[{HAN_CLASS}]", text) is not None
    made = _END.sub("", text) if _END.search(text) else text.rstrip() + ("！" if wide else "!")
    return made if made != text and made.strip() else None


def width(text: str, draw: random.Random) -> str | None:
    """Letters, figures and marks full width where they were narrow, narrow where they were wide."""
    wide = any(0xFF01 <= ord(sign) <= 0xFF5E for sign in text)
    made = "".join(unicodedata.normalize("NFKC", sign) if 0xFF01 <= ord(sign) <= 0xFF5E else sign for sign in text) if wide else text.translate(_WIDE)  # fmt: skip
    return made if made != text else None


def negated(text: str, draw: random.Random) -> str | None:
    """Deny the first thing said, or take the denial away: is not, 不; None where no verb of a short list stands there."""
    if found := _DENIED.search(text):
        before = text[: found.start()].rstrip()
        if found[0].startswith(" "):
            return before + text[found.end() :]
        stem = {"wo": "will", "ca": "can", "sha": "shall"}.get(re.split(r"\W", before)[-1].lower())
        whole = re.split(r"\W", before)[-1]
        return (before[: len(before) - len(whole)] + stem if stem else before) + text[found.end() :]
    if found := _ZH_DENIED.search(text):
        return text[: found.start()] + text[found.end() :]
    if found := _BE.search(text):
        return f"{text[: found.end()]} not{text[found.end() :]}"
    if found := _ZH_BE.search(text):
        return text[: found.start()] + ("没" if found[0] == "有" else "不") + text[found.start() :]
    return None


VARIANTS: dict[str, Variant] = {
    "typos": typo, "homophones": homophone, "look_alikes": look_alike, "case": case, "punctuation": unmarked,
    "end_mark": end_mark, "width": width,
}  # fmt: skip
SAME_LENGTH: dict[str, Variant] = {
    "typos": typo_in_place, "homophones": homophone, "look_alikes": look_alike, "case": case, "punctuation": unmarked, "width": width,
}  # fmt: skip
