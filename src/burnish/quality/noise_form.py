"""Checks of form: empty, damaged, in another language, or not language at all."""

from __future__ import annotations

import re
import zlib

import numpy as np

from burnish.quality.checks import Array, Found, Material, check
from burnish.text.scripts import blocks, codepoints

LANGUAGE_LETTERS = 20  # below this, naming the language of a text in letters is a guess
REPEATS = 0.2  # compressed size over size; running text lies between 0.35 (long) and 1 (short)
REPEATS_BYTES = 120
SURPRISE_LIMIT = 6.0  # modified z-score of a text's bits a character
SURPRISE_CHARACTERS = 12
SURPRISE_TEXTS = 200  # fewer texts cannot say what is usual
VALID = 0.8  # share of a run's bytes that must make sense; strings of Chinese characters reach it by chance hardly ever
SYMBOLS = 0.7  # share of characters that are neither letter nor figure

# Bytes of one encoding read as another leave marks; each pattern is a run that is decoded back to make sure.
_WESTERN = re.compile(
    "[\u0080-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122\u20ac]{2,}"
)
_HAN = re.compile("[\u4e00-\u9fff\ue000-\uf8ff\u20ac]{4,}")
_DAMAGE = re.compile("\ufffd|锟斤拷|烫烫烫|屯屯屯|[\ud800-\udfff]")


@check("empty", dimension="noise", auto="drop")
def empty(material: Material) -> Found:
    """Texts without a letter or a figure.

    Score 1. An emoji alone counts as empty here: a backbone has no word for it.
    """
    return Found(
        material.blank.astype(float), material.blank, lambda row: "there is no letter and no figure in it",
        lambda row: "drop",
    )  # fmt: skip


@check("encoding", dimension="noise", auto="report")
def encoding(material: Material) -> Found:
    """Texts that were read in the wrong encoding (mojibake), or with characters that were lost.

    A run of suspicious characters counts when its bytes are valid in the encoding it probably was (UTF-8 read as
    Windows-1252 or GBK; GBK read as Latin-1), beside replacement characters. Score: 0.5 + half the share of such characters.
    """
    score, shown = np.zeros(len(material)), {}
    for row, text in enumerate(material.texts):
        if text.isascii():
            continue
        count, example = _mojibake(text)
        if count:
            score[row], shown[row] = 0.5 + min(1.0, count / len(text)) / 2, example
    return Found(score, score > 0, lambda row: shown[row])


@check("language", dimension="noise", auto="report")
def language(material: Material) -> Found:
    """Texts in a language that the task does not name.

    By script, then by eldc where it calls itself reliable and there are 20 letters to judge by. Score 1; a text in
    letters of two languages counts as the one with more.
    """
    wanted = material.context.task.languages
    code, reliable = material.languages.code, material.languages.reliable
    letters = np.array([sum(map(str.isalpha, text)) for text in material.texts])
    certain = reliable & ((letters >= LANGUAGE_LETTERS) | np.isin(code, ("zh", "ja", "ko")))
    flagged = certain & ~np.isin(code, [*wanted, "und"])
    names, counts = np.unique(code, return_counts=True)
    facts = {"counts": {str(name): int(count) for name, count in zip(names, counts, strict=True)}}
    said = " or ".join(wanted)
    return Found(
        flagged.astype(float), flagged, lambda row: f"looks like {code[row]}, not {said}", lambda row: "review", facts
    )


@check("gibberish", dimension="noise", auto="report")
def gibberish(material: Material) -> Found:
    """Texts that repeat themselves, are made of symbols, or of letters in an order nobody uses here.

    Repeats: zlib makes less than a fifth of it (texts of 120 bytes or more). Symbols: 70% or more of its characters.
    Order: bits a character under a bigram model of the other texts in its script, modified z-score above 6 (texts of 12
    characters or more, where there are 200 texts or more). Score: how far past the limit, 0.5 at the limit.
    """
    score, why = np.zeros(len(material)), {}
    surprise = _surprise(material)
    for row, text in enumerate(material.texts):
        packed = text.encode("utf-8", "surrogatepass")
        ratio = len(zlib.compress(packed, 6)) / len(packed) if len(packed) >= REPEATS_BYTES else 1.0
        dense = "".join(text.split())
        symbols = 1 - sum(map(str.isalnum, dense)) / len(dense) if len(dense) >= 5 else 0.0
        if ratio < REPEATS:
            score[row], why[row] = 1 - ratio / REPEATS / 2, f"repeats itself: it packs into {ratio:.0%} of its size"
        elif symbols >= SYMBOLS and not material.blank[row]:
            score[row], why[row] = symbols, f"{symbols:.0%} of its characters are neither letters nor figures"
        elif surprise[row] > SURPRISE_LIMIT:
            score[row] = surprise[row] / (surprise[row] + SURPRISE_LIMIT)
            why[row] = "its characters follow each other as in no other text here"
    return Found(score, score > 0, lambda row: why[row])


def _mojibake(text: str) -> tuple[int, str]:
    """(characters that are damaged, an example that a person understands)."""
    lost = sum(len(found) for found in _DAMAGE.findall(text))
    if lost:
        return lost, f"{lost} characters were lost when it was read"
    for pattern, wrong, right, least in (
        (_WESTERN, "cp1252", "utf-8", 1), (_WESTERN, "latin-1", "utf-8", 1), (_HAN, "gbk", "utf-8", 3),
        (_WESTERN, "latin-1", "gbk", 2),
    ):  # fmt: skip
        for run in pattern.findall(text):
            if right == "gbk" and (len(run) < 4 or len(set(run)) < 3):
                continue  # two accented letters in a row are French before they are Chinese
            try:
                packed = run.encode(wrong)
                meant = packed.decode(right, "ignore" if wrong == "gbk" else "strict")
            except UnicodeError:
                continue
            if len(meant.encode(right)) < VALID * len(packed):
                continue  # half a character is lost here and there when UTF-8 is read as GBK
            han = sum("\u4e00" <= one <= "\u9fff" for one in meant)
            if len(meant) >= least and ((right == "utf-8" and wrong != "gbk") or han > len(meant) / 2):
                return len(run), f"“{run[:12]}” is {right.upper()} for “{meant[:12]}”, read as {wrong}"
    return 0, ""


def _surprise(material: Material) -> Array:
    """(n,) modified z-score of bits a character under a bigram model that leaves the occurrence itself out; -inf unjudged."""
    found = np.full(len(material), -np.inf)
    # What is no language is named as one at random: texts in letters are one group, less those surely in another language.
    code, reliable = material.languages.code, material.languages.reliable
    wanted = np.isin(code, material.context.task.languages)
    group = np.where(np.isin(code, ("zh", "ja", "ko")), code, np.where(reliable & ~wanted, code, "letters"))
    for one in np.unique(group):
        rows = np.array(
            [row for row in np.flatnonzero(group == one) if len(material.texts[row]) >= SURPRISE_CHARACTERS]
        )
        if len(rows) >= SURPRISE_TEXTS:
            bits = _bits([material.texts[row].lower() for row in rows])
            middle = np.median(bits)
            found[rows] = 0.6745 * (bits - middle) / max(float(np.median(np.abs(bits - middle))), 0.05)
    return found


def _bits(texts: list[str]) -> Array:
    """Mean bits a character (n,): -log2 of (count(ab) - 1 + m p(b)) / (count(a) - 1 + m), m = 5 (Dirichlet prior)."""
    parts = [codepoints(texts[start:end]) for start, end in blocks(texts)]
    codes = np.concatenate([part[0] for part in parts]).astype(np.uint64)
    sizes = np.concatenate([np.diff(part[1]) for part in parts])
    text = np.repeat(np.arange(len(texts)), sizes)
    inside = text[1:] == text[:-1]
    before, after, owner = codes[:-1][inside], codes[1:][inside], text[1:][inside]
    _, pair, pairs = np.unique(before << np.uint64(21) | after, return_inverse=True, return_counts=True)
    _, first, firsts = np.unique(before, return_inverse=True, return_counts=True)
    _, last, lasts = np.unique(after, return_inverse=True, return_counts=True)
    chance = (pairs[pair] - 1 + 5 * lasts[last] / len(after)) / (firsts[first] - 1 + 5)
    bits = np.bincount(owner, weights=-np.log2(chance), minlength=len(texts))
    return bits / np.maximum(np.bincount(owner, minlength=len(texts)), 1)
