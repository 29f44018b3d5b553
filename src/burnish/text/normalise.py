"""One form in which two writings of the same text compare equal. The stored text is never rewritten with it.

Unicode compatibility form (NFKC: full-width to half-width, ligatures, circled numbers), lower case, zero-width characters
and control characters removed, runs of blanks as one blank, none at the ends. Accents and traditional characters stay:
résumé is not resume, 後 is not 后.

In bulk nearly every character has a form of its own, whatever stands beside it: many texts are joined and looked up in a
table at once. Only texts with marks that may join the letter before them, or with a capital sigma, go one by one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import Texts, as_list, blocks

if TYPE_CHECKING:
    import polars

# Characters nobody sees: soft hyphen, zero-width spaces and joiners, direction marks, byte order mark, variation selectors.
_UNSEEN = "\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_CONTROLS = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
_BLANKS = r"\t-\r\x1c-\x1f \x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

_unseen = re.compile(f"[{_UNSEEN}{_CONTROLS}]")
_blanks = re.compile(f"[{_BLANKS}]+")

_CHARACTERS_A_BLOCK = 1 << 16  # fits the second-level cache
# Two controls that no form has serve joined texts: a border between them, and what is to go.
_BORDER, _GONE = "\0", 1
_ODD = 1 << 21  # beyond Unicode: more than one character, or a form that depends on what is beside it
# Beyond these lie Han characters and Hangul syllables, which are their own forms, and what is not assigned.
_TABLED = (range(0x3400), range(0xA000, 0xAC00), range(0xD7A4, 0x20000), range(0x2F800, 0x2FA20))


def normalise(text: str) -> str:
    """Return the form of one text to compare by."""
    return _blanks.sub(" ", _composed(_unseen.sub("", text))).strip(" ")


def normalised(texts: Texts) -> list[str]:
    """Return the forms of many texts to compare by, in the same order, as `normalise` does; None becomes "".

    Takes 2.5 ns a character in ASCII and 9 ns elsewhere (benchmarks/quality.py), 70 to 250 ns in a text that goes by itself.
    """
    listed = as_list(texts)
    forms: list[str] = []
    for start, end in blocks(listed, characters=_CHARACTERS_A_BLOCK):
        block = listed[start:end]
        narrow = iter(_of_ascii([text for text in block if text.isascii()]))
        wide = iter(_of_unicode([text for text in block if not text.isascii()]))
        forms += [next(narrow if text.isascii() else wide) for text in block]
    return forms


def mended(texts: Texts) -> polars.Series:
    """Return texts fit to be read: without characters nobody sees, runs of blanks as one, at most one empty line.

    The words stay as they are: case, width and accents are not touched, nor are joiners, on which emoji and Persian
    depend. None stays None.
    """
    import polars as pl

    series = texts if isinstance(texts, pl.Series) else pl.Series(values=texts, dtype=pl.String)
    for pattern, instead in (
        (f"[\u00ad\u200b\u2060\ufeff{_CONTROLS}]", ""), ("[ \t\u00a0\u3000]{2,}", " "), (r" ?\r?\n", "\n"), ("\n{3,}", "\n\n")
    ):  # fmt: skip
        pattern = _rust(pattern)
        at = series.str.contains(pattern).fill_null(False).arg_true()
        series = series.scatter(at, series.gather(at).str.replace_all(pattern, instead)) if len(at) else series
    return series.str.strip_chars()


def _composed(text: str) -> str:
    """Compatibility form in lower case; composed again, as lower case can leave a decomposed letter (İ)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _of_ascii(texts: list[str]) -> list[str]:
    forms = _joined(texts).encode("ascii").translate(_table()[0][:256].astype(np.uint8).tobytes())
    return _parted(_tight(np.frombuffer(forms, dtype=np.uint8)).tobytes().decode("ascii"))


def _of_unicode(texts: list[str]) -> list[str]:
    table, longer = _table()
    codes = np.frombuffer(_joined(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    forms = table[codes]
    odd = np.flatnonzero(forms >= _ODD)
    whole = _tight(forms & np.uint32(_ODD - 1)).tobytes().decode("utf-32-le", "surrogatepass")
    for character in map(chr, np.unique(codes[odd]).tolist()):
        whole = whole.replace(character, longer.get(character, character))
    made = _parted(whole)
    bound = odd[forms[odd] == _ODD | _GONE]
    for row in np.unique(np.searchsorted(np.flatnonzero(codes == 0), bound)).tolist():
        made[row] = normalise(texts[row])
    return made


def _joined(texts: list[str]) -> str:
    whole = _BORDER.join(texts)
    if whole.count(_BORDER) >= max(len(texts), 1):  # one that is in a text is no border
        whole = _BORDER.join(text.replace(_BORDER, "") for text in texts)
    return whole


def _tight(forms: NDArray[Any]) -> NDArray[Any]:
    """Without what is to go, and runs of blanks as one."""
    gone = forms == _GONE
    if gone.any():
        forms = forms[~gone]
    blank = forms == 0x20
    again = np.flatnonzero(blank[1:] & blank[:-1])
    return np.delete(forms, again) if len(again) else forms


def _parted(whole: str) -> list[str]:
    return [form.strip(" ") for form in whole.split(_BORDER)]


@cache
def _table() -> tuple[NDArray[np.uint32], dict[str, str]]:
    """The form of each code point, and those forms that are longer than a character and hang on nothing beside them.

    (0x110000,): the code of the form, _GONE where there is none; its own code | _ODD where the form is longer, and
    _GONE | _ODD where it takes the text to tell: marks and vowels of Hangul may join what is before them, the small letter
    of a capital sigma is another at the end of a word.
    """
    table, longer = np.arange(0x110000, dtype=np.uint32), {}
    characters = [chr(code) for codes in _TABLED for code in codes if not _blanks.match(chr(code))]
    forms = _composed(_unseen.sub("", "\n".join(characters))).split("\n")
    for character, form in zip(characters, forms, strict=True):
        code = ord(character)
        if any("\u1160" <= one <= "\u11ff" or one in " σ" or unicodedata.category(one)[0] == "M" for one in form):
            table[code] = _GONE | _ODD
        elif len(form) > 1:
            table[code], longer[character] = code | _ODD, form
        elif form != character:
            table[code] = ord(form) if form else _GONE
    table[ord("σ")] = ord("σ")
    table[[code for code in range(0x3001) if _blanks.match(chr(code))]] = 0x20
    table[ord(_BORDER)] = ord(_BORDER)
    return table, longer


def _rust(pattern: str) -> str:
    """Write the escapes of a pattern as the characters themselves: Rust knows no \\uXXXX without braces."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: rf"\x{{{found[1]}}}", pattern)
