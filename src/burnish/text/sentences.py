"""Where sentences end, in English and Chinese."""

from __future__ import annotations

import re

# A dot after these never ends a sentence: a name comes next ...
_TITLES = re.compile(
    r"(?:mr|mrs|ms|dr|prof|st|sr|jr|gen|col|capt|lt|rev|hon|pres|gov|sen|rep|eds?|vs|cf)", re.IGNORECASE
)
# ... or, after these, if a figure comes next ...
_COUNTS = re.compile(
    r"(?:no|nos|vol|figs?|eqs?|pp?|ch|sec|art|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)", re.IGNORECASE
)
_INITIAL = re.compile(r"(?:^|[\s(\"'“‘.])[A-Z]$")
# ... nor after the figure that counts a list: "1. Wash".
_COUNTED = re.compile(r"(?:^|\n)\s*\d{1,3}$")
_NEXT = re.compile(r"\s*(\S)")
_LAST_WORD = re.compile(r"[^\W\d_](?:[\w.]*\w)?$")

_CLOSERS = re.escape("\"'”’»」』）)】]〉》")
# Chinese marks end a sentence wherever they stand; Latin ones before a blank, a Chinese character or the end (not in
# 3.14, example.com or page?id=1). Closing quotes and brackets belong to the sentence they close.
_END = re.compile(
    rf"(?P<han>[。！？｡…]+[。！？!?｡….]*[{_CLOSERS}]*)|(?P<latin>[.!?]+[{_CLOSERS}]*)(?=\s|$|[^\x00-\u2e7f])|(?P<gap>\n\s*\n)"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of the sentences of a text, in characters, end exclusive, blanks at both ends left out.

    Every character that is not blank lies in exactly one sentence. A line break ends one only before an empty line.
    Rules, not a model: initials, titles, decimals, ellipses and quotes are known; "in the U.S. He" is one sentence.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for mark in _END.finditer(text):
        if mark["latin"] and not _ends(text, start, mark):
            continue
        _add(found, text, start, mark.end())
        start = mark.end()
    _add(found, text, start, len(text))
    return found


def _ends(text: str, start: int, mark: re.Match[str]) -> bool:
    """Say whether a Latin mark ends the sentence that began at `start`."""
    if _lower_follows(text, mark.end()):
        return False  # "Really?" she asked. Well... maybe.
    if not mark["latin"].startswith(".") or mark["latin"].startswith(".."):
        return True
    before = text[start : mark.start()]
    if _COUNTED.search(before) or _INITIAL.search(before[-3:]):
        return False
    word = _LAST_WORD.search(before[-40:])
    following = _NEXT.match(text, mark.end())
    if not word or not following:
        return True
    if _COUNTS.fullmatch(word[0]) and following[1].isdigit():
        return False
    return not _TITLES.fullmatch(word[0]) and "." not in word[0]  # U.S., e.g., a.m.


def _lower_follows(text: str, at: int) -> bool:
    following = _NEXT.match(text, at)
    return following is not None and following[1].islower()


def _add(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    if stripped := piece.strip():
        start += len(piece) - len(piece.lstrip())
        found.append((start, start + len(stripped)))
