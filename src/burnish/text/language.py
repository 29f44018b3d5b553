"""Which language a text is in, and which Chinese script.

Script is asked first, because it is certain where statistics are not: Han characters without kana are Chinese however
short the text. Only texts in other letters go to the statistical detector (eldc, ISO 639-1 codes of 60 languages).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.scripts import HAN, HANGUL, KANA, LETTER, Texts, as_list, blocks, codepoints, script_counts, sums

UNKNOWN = "und"  # ISO 639-2 for undetermined

# A Chinese character says as much as about three Latin letters (1.6 characters a word against 5): the weight with which
# the scripts of a mixed text are compared.
_HAN_WEIGHT = 3
# A few kana decorate Chinese texts (の); Japanese prose has more than half. Below this share of kana Han is Chinese.
_KANA_SHARE = 0.1


@dataclass(frozen=True)
class Languages:
    """Languages of n texts. `code` holds ISO 639-1 codes or "und"; `reliable` is False where it is a guess."""

    code: NDArray[np.str_]
    reliable: NDArray[np.bool_]


def languages(texts: Texts, *, among: Sequence[str] = ()) -> Languages:
    """Name the language of each text.

    among: the languages that are expected here. They settle texts the detector is unsure of ("ok", "lol"), as guesses
    that are not reliable; another language that is found with confidence is still named. Without it such texts are "und".
    A text without a letter is "und". About 0.5 million short texts per CPU-second.
    """
    listed = as_list(texts)
    counts = script_counts(listed)
    han, kana, hangul, letter = (counts[:, script] for script in (HAN, KANA, HANGUL, LETTER))
    cjk = han + kana
    code = np.full(len(listed), UNKNOWN, dtype="<U8")
    japanese = (kana > _KANA_SHARE * cjk) & (_HAN_WEIGHT * cjk >= letter)
    chinese = (han > 0) & ~japanese & (_HAN_WEIGHT * han >= letter + hangul)
    korean = (hangul > 0) & ~japanese & ~chinese & (_HAN_WEIGHT * hangul >= letter)
    code[japanese], code[chinese], code[korean] = "ja", "zh", "ko"
    reliable = japanese | chinese | korean
    for index in np.flatnonzero(~reliable & (letter + cjk + hangul > 0)):
        code[index], reliable[index] = _detect(listed[index], tuple(among))
    return Languages(code, reliable)


def _detect(text: str, among: tuple[str, ...]) -> tuple[str, bool]:
    found = _detector(()).detect_details(text)
    if found.reliable:
        return found.language, True
    return (_detector(among).detect(text) if among else UNKNOWN), False


@cache
def _detector(among: tuple[str, ...]) -> Any:
    """Return eldc, limited to some languages; an instance of our own, so that nobody else's settings reach us."""
    import eldc

    eldc.init()
    detector = eldc.instance()
    if among:
        detector.set_languages(list(among))
    return detector


@cache
def _chinese_only() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which code points are simplified only and traditional only.

    The national standards hold the answer: GB 2312 is the simplified repertoire, the first level of Big5 (5,401 frequent
    characters) the traditional one. A character in one but not the other is evidence, one in both (的, 后, 里) is none.
    """
    simplified, traditional = np.zeros(0x110000, dtype=bool), np.zeros(0x110000, dtype=bool)
    for code in range(0x4E00, 0xA000):
        character = chr(code)
        in_gb = bool(character.encode("gb2312", "ignore"))
        big5 = character.encode("big5", "ignore")
        simplified[code] = in_gb and not big5
        traditional[code] = bool(big5) and big5[0] <= 0xC6 and not in_gb
    return simplified, traditional


def traditional_share(texts: Texts) -> NDArray[np.float64]:
    """Return for each text the share of traditional among the characters that tell, 0 (simplified) to 1; NaN if none."""
    listed = as_list(texts)
    share = np.full(len(listed), np.nan)
    simplified, traditional = _chinese_only()
    for start, end in blocks(listed):
        codes, starts = codepoints(listed[start:end])
        plain, old = sums(simplified[codes], starts), sums(traditional[codes], starts)
        np.divide(old, plain + old, out=share[start:end], where=plain + old > 0)
    return share
