"""One form in which two writings of the same text compare equal. The stored text is never rewritten with it.

Unicode compatibility form (NFKC: full-width to half-width, ligatures, circled numbers), lower case, zero-width characters
and control characters removed, runs of blanks as one blank, none at the ends. Accents and traditional characters stay:
résumé is not resume, 後 is not 后.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from burnish.text.scripts import Texts

if TYPE_CHECKING:
    import polars

# Characters nobody sees: soft hyphen, zero-width spaces and joiners, direction marks, byte order mark, variation selectors.
_UNSEEN = "\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_CONTROLS = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
# Both engines get the same list: what \s means differs between Python and Rust.
_BLANKS = r"\t-\r\x1c-\x1f \x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

_unseen = re.compile(f"[{_UNSEEN}{_CONTROLS}]")
_blanks = re.compile(f"[{_BLANKS}]+")


def normalise(text: str) -> str:
    """Return the form of one text to compare by."""
    seen = unicodedata.normalize("NFKC", _unseen.sub("", text)).lower()
    # Lower case can leave a decomposed letter (İ): compose again, so that normalising twice changes nothing.
    return _blanks.sub(" ", unicodedata.normalize("NFKC", seen)).strip(" ")


def normalised(texts: Texts) -> polars.Series:
    """Return the forms of many texts to compare by, as polars strings in the same order; None becomes "".

    The same as `normalise` for every character that Python's Unicode tables know, some thirty times faster.
    """
    import polars as pl

    series = texts if isinstance(texts, pl.Series) else pl.Series(values=texts, dtype=pl.String)
    lowered = _cleared(series.fill_null(""))
    wide = lowered.str.len_bytes() != lowered.str.len_chars()
    if not wide.any():  # nothing to compose in ASCII
        lowered = lowered.str.to_lowercase()
    elif wide.all():
        lowered = _composed(lowered)
    else:
        at = wide.arg_true()
        lowered = lowered.str.to_lowercase().scatter(at, _composed(lowered.gather(at)))
    # a single blank stays as it is, and most blanks are such
    rust = _rust(f"[{_BLANKS}]{{2,}}|[{_BLANKS.replace(' ', '', 1)}]")
    return lowered.str.replace_all(rust, " ").str.strip_chars(" ")


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


def _cleared(series: polars.Series) -> polars.Series:
    """Without the characters that nobody sees; most texts have none, and a look is cheaper than a copy."""
    unseen = _rust(f"[{_UNSEEN}{_CONTROLS}]")
    at = series.str.contains(unseen).arg_true()
    return series.clone().scatter(at, series.gather(at).str.replace_all(unseen, "")) if len(at) else series


def _composed(series: polars.Series) -> polars.Series:
    """Compatibility form in lower case, composed again where lower case left a mark by itself."""
    composed = series.str.normalize("NFKC")
    at = composed.str.contains(r"\p{Changes_When_Lowercased}").arg_true()  # Chinese texts have few capitals
    if not len(at):
        return composed
    lowered = composed.gather(at).str.to_lowercase()
    marked = lowered.str.contains(r"\p{M}").arg_true()
    if len(marked):
        lowered = lowered.scatter(marked, lowered.gather(marked).str.normalize("NFKC"))
    return composed.scatter(at, lowered)


def _rust(pattern: str) -> str:
    """Write the escapes of a pattern as the characters themselves: Rust knows no \\uXXXX without braces."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: rf"\x{{{found[1]}}}", pattern)
