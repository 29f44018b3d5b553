"""Names that nothing marks: likely ones by lists of given names and surnames (English letters) and by a dictionary's tags (Chinese).

Lists: the given names and surnames of Faker's locales (MIT), about 21,000 and 26,000 in Latin letters. A run of capitalised
words is a name where it begins with a given name; words that are names and something else as well ("May", "Paris") need a
surname beside them. Chinese: what the dictionary of jieba tags as a person and begins with a surname (extra "chinese").
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from burnish.text.scripts import HAN_CLASS

Stretch = tuple[int, int]
LEAST_LETTERS = 3  # of a given name that stands alone: "An", "Jo", "Su" are words too often

_LINES = [
    line.split("\t") for line in Path(__file__).with_suffix(".tsv").read_text("utf-8").splitlines() if line[0] != "#"
]


def _words(kind: str) -> frozenset[str]:
    return frozenset(word for of, words in _LINES if of == kind for word in words.split())


# Given names that are words, places, months or brands: names only beside a surname, or where a mark says so.
DOUBTFUL = _words("doubtful")
# Doubtful words that are surnames as soon as a given name stands before them: Will Smith.
_TRADES = _words("trades")
# A run that ends in one of these is the name of a thing.
_THINGS = _words("things")
# Who comes next is a person: kinship, trades, and verbs that people are the object of.
_ROLES = re.compile(
    r"\b(?:named|called|calls?|nam(?:ed|ing) (?:him|her|them)|songwriter|singer|commenter|comment(?:ator|ary by)|actor|actress|"
    r"author|writer|director|producer|drummer|guitarist|poet|painter|teacher|colleague|employee|customer|client|patient|student|"
    r"(?:my|his|her|our|their) (?:boss|friend|wife|husband|partner|son|daughter|brother|sister|mother|father|mom|dad|aunt|uncle|"
    r"cousin|neighbou?r|manager|assistant|doctor|lawyer|girlfriend|boyfriend|fianc[ée]e?)(?:['’]s name(?: is)?)?|"
    r"(?:speak|talk|spoke|talked|spoken) (?:to|with)|married to|marry|it['’]?s under|maiden name(?: is| was)?|said|under the name(?: of)?|on behalf of|"
    r"as [^\W\d_]+ said|written by|sung by|performed by|directed by|signed by|according to)\s+"
    r"(?P<value>[A-ZÀ-ÖØ-ÞĀ-Ž][\w'’-]+(?: [A-Z]\.?)?(?: [A-ZÀ-ÖØ-ÞĀ-Ž][\w'’-]+){0,2})"
)
_CALLED = re.compile(
    r"(?:^|[.!?]\s+|\n)(?P<value>[A-ZÀ-ÖØ-ÞĀ-Ž][\w'’-]+), (?=(?:can|could|would|will|may|do|are|is|what|how|please|I)\b)"
)
# A line of its own that is two or three capitalised words: a letterhead, a signature. What follows must look like one.
_LINE = re.compile(
    r"^(?P<value>[A-ZÀ-ÖØ-ÞĀ-Ž][\w'’-]+(?: [A-Z]\.?)?(?: [A-ZÀ-ÖØ-ÞĀ-Ž][\w'’-]+){1,2})\s*\n(?=\s*(?:\n\s*)?(?:\d|[A-Z][^\n]{3,60}\n))",
    re.MULTILINE,
)
_RUN = re.compile(
    r"(?<![\w@.'’/-])[A-ZÀ-ÖØ-ÞĀ-Ž][^\W\d_]*(?:['’-][^\W\d_]+)*(?:[ ](?:[A-Z]\.?(?= )|(?:de|van|der|den|von|da|di|la|bin|al|of|dos|du|del)(?= [A-ZÀ-ÖØ-ÞĀ-Ž])|[A-ZÀ-ÖØ-ÞĀ-Ž][^\W\d_]*(?:['’-][^\W\d_]+)*))*"
)
_POSSESSIVE = re.compile(r"['’]s$")


class Lists(NamedTuple):
    """Given names and surnames of all locales, as written, and surnames in lower case; doubtful: DOUBTFUL and places."""

    given: frozenset[str]
    surnames: frozenset[str]
    small_surnames: frozenset[str]
    doubtful: frozenset[str]


@cache
def lists() -> Lists:
    """Read once, 0.3 s; Latin letters alone."""
    import faker.providers.person as persons

    given: set[str] = set()
    surnames: set[str] = set()
    for found in pkgutil.iter_modules(persons.__path__):
        provider = importlib.import_module(f"{persons.__name__}.{found.name}").Provider
        for name in dir(provider):
            values = getattr(provider, name)
            if isinstance(values, list | tuple | dict):
                held = given if name.startswith("first_name") else surnames if name.startswith("last_name") else None
                if held is not None:
                    held.update(one for one in values if isinstance(one, str))
    # Brontë's and Finnish surnames are some people's given names: what is mostly a surname stays one
    given = {one for one in given if one[:1].isupper() and ord(one[0]) < 0x250 and len(one) > 1 and " " not in one}
    surnames = {one for one in surnames if one[:1].isupper() and ord(one[0]) < 0x250 and len(one) > 1}
    return Lists(frozenset(given), frozenset(surnames), frozenset(map(str.lower, surnames)), DOUBTFUL | _places())


def _places() -> frozenset[str]:
    """Countries, capitals and the cities of time zones, each word of theirs in lower case."""
    from faker.providers.date_time import Provider

    names: set[str] = set()
    for country in Provider.countries:
        names |= {country.name, country.capital, *(zone.split("/")[-1].replace("_", " ") for zone in country.timezones)}
    return frozenset(word.lower() for name in names for word in name.split() if len(word) > 2)


def english_names(text: str) -> Iterator[Stretch]:
    """Stretches that are likely names of people, in no order and perhaps overlapping."""
    seen: set[str] = set()
    for pattern in (_ROLES, _CALLED, _LINE):
        for one in pattern.finditer(text):
            start, end = one.span("value")
            words = text[start:end].split()
            if words[0].lower() in lists().doubtful and (len(words) == 1 or words[-1] not in lists().surnames):
                continue
            if words[-1].lower() in _THINGS:
                continue
            cut = _POSSESSIVE.search(text[start:end])
            end -= len(cut[0]) if cut else 0
            seen.update(words)
            yield start, end
    for run in _RUN.finditer(text):
        for start, end in _names_in(run[0]):
            seen.update(run[0][start:end].split())
            yield run.start() + start, run.start() + end
    for word in seen:  # somebody named in full is often named in part elsewhere
        if len(word) > 3 and word.lower() not in lists().doubtful and word[0].isupper():
            yield from (one.span() for one in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text))


def _names_in(run: str) -> Iterator[Stretch]:
    """Names inside a run of capitalised words: from a given name on, at most four words; initials count none."""
    known = lists()
    words = [(one.group(), one.start(), one.end()) for one in re.finditer(r"\S+", run)]
    if words[-1][0].lower() in _THINGS:
        return
    at = 0
    while at < len(words):
        word, start, _ = words[at]
        bare = _POSSESSIVE.sub("", word)
        given = bare in known.given or (bare.isupper() and len(words) > 1 and bare.capitalize() in known.given)
        if not given and (len(bare) < LEAST_LETTERS or not _before_a_surname(words, at)):
            at += 1
            continue
        last = at
        while (
            last + 1 < len(words)
            and last - at < 4
            and words[last + 1][0].lower() not in known.doubtful - known.small_surnames
        ):
            last += 1
        following = _POSSESSIVE.sub("", words[last][0])
        alone = last == at
        certain = bare.lower() not in lists().doubtful and len(bare) >= LEAST_LETTERS
        if certain or (not alone and following in known.surnames and following.lower() not in known.doubtful - _TRADES):
            if alone and at > 0 and not certain:
                at += 1
                continue
            end = words[last][2] - (len(words[last][0]) - len(following))
            yield start, end
            at = last + 1
        else:
            at += 1


def _before_a_surname(words: list[tuple[str, int, int]], at: int) -> bool:
    """Whether a word that no list knows stands before a surname and begins the run: Bonifacy Kaczmarek."""
    known = lists()
    rest = [_POSSESSIVE.sub("", word) for word, _, _ in words[at + 1 : at + 4] if word[:1].isupper() and len(word) > 2]
    return (
        at == 0
        and words[at][0].lower() not in lists().doubtful
        and len(rest) == 1
        and rest[0] in known.surnames
        and rest[0] not in known.given
        and rest[0].lower() not in lists().doubtful
    )


_NO_END = "人者性族们派式化度赛婆裤镜汤州省市县国语厂店村镇"  # ends of words, hardly ever of given names
_SAYS = "说称表示认为告诉指出透露介绍回忆坦言先生女士同志老师教授医生经理"
_FOREIGN = re.compile(r"[A-Za-z·•]")


def chinese_names(text: str, surname: re.Pattern[str]) -> Iterator[Stretch]:
    """What jieba's dictionary takes for a person that begins with a surname: three characters, or two with a verb of saying.

    MissingExtra without rjieba. Transliterated names have no surname and stay unseen.
    """
    try:
        import rjieba
    except ImportError as error:
        from burnish.core.errors import MissingExtra

        raise MissingExtra("likely Chinese names", "chinese") from error
    at = 0
    for word, tag in rjieba.tag(text):
        end = at + len(word)
        if tag.startswith("nr") and re.fullmatch(f"[{HAN_CLASS}]{{2,4}}", word):
            compound = surname.match(word)
            if word[-1] in _NO_END:
                at = end
                continue
            long = compound is not None and len(word) == compound.end() + 2
            said = compound is not None and len(word) == compound.end() + 1 and text[end : end + 1] in [*_SAYS]
            beside = _FOREIGN.match(text[end : end + 1]) or _FOREIGN.match(text[at - 1 : at] if at else "")
            if (long or said) and not beside:
                yield at, end
        at = end
