"""Terms and their counterparts: he and she, 爸爸 and 妈妈, Muslim and Christian; a text about somebody else, still grammatical.

English needs more than a table: "her" is "his" before a noun and "him" elsewhere, "his" alone is "hers", and "a" becomes "an"
where the new word asks for it. Chinese terms change one for one; terms paired with themselves (其他) protect what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from burnish.core.errors import BurnishError
from burnish.text.edits import Edit, Stretch, applied, sound
from burnish.text.words import find_keywords

TERMS, OPPOSITES = Path(__file__).with_name("counterparts.tsv"), Path(__file__).with_name("opposites.tsv")
# After "her" these say that no noun follows: it is an object.
_NO_NOUN = (
    "to for from with in on at by of and or but so because as that if when while then than not now again away "
    "back up down out off over about after before until since though although the a an this these those my "
    "your his its our their some any no all very too also yesterday today tomorrow here there is are was were "
    "will would can could may might must should do does did has have had i you he she it we they what who how "
    "why where go come know feel say "
)
_NEXT = re.compile(r"\s+([^\W\d_][\w'’-]*)")
_ARTICLE = re.compile(r"\b([Aa]n?)( )$")
_SILENT = ("heir", "honest", "hour", "honour", "honor")
_LONG = ("uni", "use", "eu", "one", "user")


def said(text: str, place: Stretch) -> str:
    """A term as dictionaries are asked for it."""
    return " ".join(text[slice(*place)].lower().split())


def cased(word: str, like: str) -> str:
    """A word with the capitals of another: GOOD, Good, good."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def paired(lines: Iterable[Sequence[str]]) -> dict[str, str]:
    """Term in lower case -> its counterpart; of several the first. BurnishError where there is none."""
    made: dict[str, str] = {}
    for one, other in (line[:2] for line in lines):
        made.setdefault(one.lower(), other)
        made.setdefault(other.lower(), one)
    if not made:
        raise BurnishError("there is not one pair of terms", hint="a pair a line, with a tab between")
    return made


@cache
def counterparts(about: str = "gender") -> dict[str, str]:
    """The terms that come with burnish: gender, groups (religions, origins, ages) or all."""
    lines = [line.split("\t") for line in TERMS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return paired([line[1:] for line in lines if about in ("all", line[0])])


def changes(text: str, known: Mapping[str, str]) -> list[Edit]:
    """Every term replaced by its counterpart with the same capitals; articles follow."""
    made: list[Edit] = []
    for place in find_keywords(text, tuple(known)):
        old = text[slice(*place)]
        new = cased(_in_place(text, place, known), old)
        if new.lower() == old.lower():
            continue
        article = _ARTICLE.search(text[: place[0]])
        if article and not (made and made[-1].end > article.start()):
            right = ("an" if _vowel(new) else "a") if _vowel(new) != _vowel(old) else article[1]
            if right.lower() != article[1].lower():
                made.append(
                    Edit(
                        article.start(1), article.end(1), cased(right, article[1]) if article[1][0].isupper() else right
                    )
                )
        made.append(Edit(*place, new))
    return made


def swapped(text: str, known: Mapping[str, str]) -> str | None:
    """The text about somebody else; None where no term stands in it."""
    edits = sound(changes(text, known))
    return applied(text, edits) if edits else None


def _in_place(text: str, place: Stretch, known: Mapping[str, str]) -> str:
    """The counterpart that fits where the term stands."""
    word = said(text, place)
    if known.get("he") == "she" and word in ("her", "his"):
        following = _NEXT.match(text, place[1])
        noun = following is not None and following[1].lower() not in _NO_NOUN.split()
        return ("his" if noun else "him") if word == "her" else ("her" if noun else "hers")
    if known.get("he") == "she" and word == "hers":
        return "his"
    return known[word]


def _vowel(word: str) -> bool:
    """Whether it begins with the sound of a vowel."""
    small = word.lower()
    return small.startswith(_SILENT) or (small[:1] in "aeiou" and not small.startswith(_LONG))
