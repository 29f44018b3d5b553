"""Numbers that a text says, in figures, in English words and in Chinese characters, as values that compare.

25,000 is 2.5万 is "twenty-five thousand"; October is the tenth month; 十月 is. A figure in one text is said by another
when the other says its value in any of these ways.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

_UNITS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "千": 10**3, "百": 10**2, "兆": 10**12} | {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9,
}  # fmt: skip
_FIGURE = re.compile(
    r"(?<![A-Za-z0-9_.])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:\s?(hundred|thousand|million|billion|trillion|bn|mn|[kKmM](?![a-zA-Z0-9]))(?![a-zA-Z])|\s?([万萬亿億兆千百]+))?",
    re.IGNORECASE,
)
_LOOSE = re.compile(r"\d+(?:\.\d+)?")  # figures inside codes: A4, MP3
_ONES_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ORDINAL_WORDS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES: dict[str, int] = {word: value for value, word in enumerate(_ONES_WORDS.split())}
_ONES |= {"dozen": 12, "once": 1, "twice": 2}
_ORDINALS = {word: value for value, word in enumerate(_ORDINAL_WORDS.split(), start=1)}
_TENS = {word: 10 * value for value, word in enumerate(_TENS_WORDS.split(), start=2)}
_MONTHS = {
    word: value
    for value, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sept sep", "october oct", "november nov", "december dec"), start=1,
    )
    for word in names.split()
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")
_HAN_DIGITS = {d: v for v, d in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2, "俩": 2, "廿": 20}
_HAN_STEPS = {"十": 10, "百": 100, "千": 1000}
_HAN_LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_HAN_RUN = re.compile("[零一二三四五六七八九〇两兩俩廿十百千万萬亿億]+(?:点[零一二三四五六七八九]+)?")


def figures(text: str) -> list[Fraction]:
    """The values of the numbers written in figures, in order; with their unit where one follows (2.5万, 3 million)."""
    found = []
    for match in _FIGURE.finditer(_plain(text)):
        value = Fraction(match[1].replace(",", ""))
        unit = (match[2] or "").lower()
        value *= _UNITS.get(unit, 1)
        for character in match[3] or "":
            value *= _UNITS[character]
        found.append(value)
    return found


def said(text: str) -> set[Fraction]:
    """Every value a text can be read to say: figures with and without their unit, words, Chinese numerals, months."""
    plain = _plain(text)
    values = set(figures(text)) | {Fraction(one) for one in _LOOSE.findall(plain.replace(",", ""))}
    values |= {Fraction(one) for one in _LOOSE.findall(plain)}
    values |= set(_words(plain.lower())) | set(_han(plain))
    return values


def unsaid(figures_of: str, other: str) -> list[str]:
    """Figures of one text that the other does not say in any way, as they would be written."""
    told = said(other)
    missing = []
    for value in figures(figures_of):
        if value not in told and not _clock(value, told):
            missing.append(f"{float(value):g}" if value.denominator > 1 else f"{int(value)}")
    return missing


def _clock(value: Fraction, told: set[Fraction]) -> bool:
    """14 may be said as 2 (p.m.), and 下午2点 as 14."""
    return value.denominator == 1 and (
        (13 <= value <= 23 and value - 12 in told) or (1 <= value <= 11 and value + 12 in told)
    )


def _plain(text: str) -> str:
    """Full-width figures as plain ones; nothing else of a text is changed so that it means another number."""
    return unicodedata.normalize("NFKC", text)


def _words(text: str) -> Iterator[Fraction]:
    """Values of English number words: each by itself, and of a run of them (twenty-five thousand) its whole."""
    total, current, open_run, last = Fraction(0), Fraction(0), False, 0
    for match in _WORD.finditer(text):
        word = match[0]
        gap = text[last : match.start()].strip(" -")
        if open_run and (gap or word not in {*_ONES, *_TENS, *_UNITS, *_ORDINALS, "and"}):
            yield total + current
            total, current, open_run = Fraction(0), Fraction(0), False
        last = match.end()
        if word in _ORDINALS:
            yield current + _ORDINALS[word]
            yield Fraction(_ORDINALS[word])
        if word in _MONTHS:
            yield Fraction(_MONTHS[word])
        if word in _ONES or word in _TENS:
            value = Fraction(_ONES.get(word, _TENS.get(word, 0)))
            current, open_run = current + value, True
            yield value
        elif word in _UNITS and open_run and len(word) > 2:
            if word == "hundred":
                current *= 100
            else:
                total, current = total + current * _UNITS[word], Fraction(0)
        elif word in ("hundred", "thousand", "million"):
            yield Fraction(_UNITS[word])
    if open_run:
        yield total + current


def _han(text: str) -> Iterator[Fraction]:
    for match in _HAN_RUN.finditer(text):
        run, _, tail = match[0].partition("点")
        yield han_value(run)
        if tail:
            yield han_value(run) + Fraction(int("".join(str(_HAN_DIGITS[d]) for d in tail)), 10 ** len(tail))
        if len(run) > 1:  # 三四 is three or four, 二十一 also says 二十
            yield from (Fraction(_HAN_DIGITS[d]) for d in run if d in _HAN_DIGITS)


def han_value(run: str) -> Fraction:
    """The value of a Chinese numeral: 二十五 25, 一百零三 103, 两万 20000, 二〇二四 2024."""
    if len(run) > 1 and all(one in _HAN_DIGITS for one in run):
        return Fraction(int("".join(str(_HAN_DIGITS[one]) for one in run)))
    total, section, digit = 0, 0, 0
    for one in run:
        if one in _HAN_DIGITS:
            digit = _HAN_DIGITS[one]
        elif one in _HAN_STEPS:
            section, digit = section + (digit or 1) * _HAN_STEPS[one], 0
        else:
            total, section, digit = (total + (section + digit or 1)) * _HAN_LARGE[one], 0, 0
    return Fraction(total + section + digit)
