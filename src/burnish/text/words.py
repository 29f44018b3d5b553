"""Words: between blanks in English, characters in Chinese and Japanese, both in a text that has both.

One pattern cuts them, so that keywords, TF-IDF and overlap scores agree on what a word is. Python's \\b is of no use here:
to it "iPhone手机" is a single word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from burnish.text.normalise import normalise, normalised
from burnish.text.scripts import UNSPACED_CLASS, Texts

Han = Literal["characters", "bigrams", "both"]

_LETTER = rf"[^\W_{UNSPACED_CLASS}]"
# A word keeps its apostrophes and inner dots between figures: don't, l'été, 3.14, 1,000.
_WORD = re.compile(rf"[{UNSPACED_CLASS}]|{_LETTER}+(?:['’]{_LETTER}+|(?<=\d)[.,](?=\d){_LETTER}+)*")
_UNSPACED = re.compile(f"[{UNSPACED_CLASS}]+")
LETTERS = re.compile(
    f"{_LETTER}+"
)  # a run of letters and figures of a spaced script: where a keyword may begin and end


def words(text: str, *, han: Han = "characters") -> list[str]:
    """Cut a text into words, in order; punctuation is dropped, case is kept.

    han: what a run of Chinese or Japanese gives: its characters, its overlapping pairs (a run of one gives itself),
    or characters and pairs.
    """
    if han == "characters":
        return _WORD.findall(text)
    cut: list[str] = []
    end = 0
    for run in _UNSPACED.finditer(text):
        cut += _WORD.findall(text[end : run.start()])
        characters, end = run[0], run.end()
        pairs = [characters[i : i + 2] for i in range(len(characters) - 1)]
        cut += [*characters, *pairs] if han == "both" else pairs or [characters]
    return cut + _WORD.findall(text[end:])


def placed(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of the words of a text, in characters, end exclusive: `words` with where they stand."""
    return [found.span() for found in _WORD.finditer(text)]


def terms(text: str) -> list[str]:
    """Return what bag-of-words models count (a scikit-learn `analyzer`): normalised words, their pairs, Han pairs.

    English words and word pairs; Chinese characters and character pairs, which stand in for Chinese words.
    """
    cut = words(normalise(text))
    return cut + ngrams(cut, 2, join=True)


def ngrams(tokens: Sequence[str], size: int, *, join: bool = False) -> list:  # type: ignore[type-arg]
    """Return the overlapping runs of `size` tokens as tuples; join: as strings, with a blank except between Han."""
    runs = zip(*(tokens[start:] for start in range(size)), strict=False)
    return [_joined(run) for run in runs] if join else list(runs)


def _joined(run: Iterable[str]) -> str:
    text = ""
    for token in run:
        blank = text and not (_UNSPACED.match(token) and _UNSPACED.match(text[-1]))
        text += f" {token}" if blank else token
    return text


@lru_cache(maxsize=256)
def keyword_pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern that finds any of the keywords, longest first, without regard to case.

    A keyword must end where a word ends ("art" is not in "party") on the sides where it ends in a letter or figure of a
    spaced script; Chinese ones match anywhere, and "iPhone" is found in "买iPhone手机". A blank in a keyword matches any.
    """
    if not (kept := [keyword for keyword in keywords if keyword.strip()]):
        return re.compile(r"(?!)")
    parts = [_bounded(keyword.strip(), rf"(?<!{_LETTER})", rf"(?!{_LETTER})") for keyword in kept]
    return re.compile("|".join(sorted(parts, key=len, reverse=True)), re.IGNORECASE)


def _bounded(keyword: str, before: str, after: str) -> str:
    body = r"\s+".join(re.escape(part) for part in keyword.split())
    front = before if re.match(_LETTER, keyword) else ""
    back = after if re.match(_LETTER, keyword[-1]) else ""
    return f"{front}{body}{back}"


def find_keywords(text: str, keywords: Sequence[str]) -> list[tuple[int, int]]:
    """Return the (start, end) of every keyword in the text as stored, in characters, end exclusive."""
    return [found.span() for found in keyword_pattern(tuple(keywords)).finditer(text)]


def has_keyword(texts: Texts, keywords: Sequence[str]) -> NDArray[np.bool_]:
    """Say for each text whether a keyword is in it, comparing normalised forms (case, width and blanks are ignored).

    Runs in Rust, which knows no look-around: what may stand beside a keyword is part of its match there.
    """
    import polars as pl

    rust = rf"(?:^|[^\p{{L}}\p{{M}}\p{{N}}]|[{UNSPACED_CLASS}])", rf"(?:$|[^\p{{L}}\p{{M}}\p{{N}}]|[{UNSPACED_CLASS}])"
    kept = [form for keyword in keywords if (form := normalise(keyword))]
    forms = pl.Series("text", normalised(texts), dtype=pl.String)
    if not kept:
        return np.zeros(len(forms), dtype=bool)
    pattern = "|".join(_rust_bounded(form, *rust) for form in kept)
    return forms.to_frame().select(pl.col("text").str.contains(pattern)).to_series().to_numpy()


def _rust_bounded(form: str, before: str, after: str) -> str:
    body = "".join(rf"\x{{{ord(character):x}}}" for character in form)
    front = before if re.match(_LETTER, form) else ""
    back = after if re.match(_LETTER, form[-1]) else ""
    return f"{front}{body}{back}"
