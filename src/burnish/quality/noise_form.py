"""Checks of form: empty, damaged, in another language, or not language at all."""

from __future__ import annotations

import functools
import re
import zlib

import numpy as np
import pyarrow as pa

from burnish.measures.bigrams import Bigrams, bits_a_character, counted, merged
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.material import measured
from burnish.quality.traits import Block, field, rows_of, told

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


@check("empty", dimension="noise", auto="drop", reads=[measured])
def empty(material: Material) -> Found:
    """Texts without a letter or a figure.

    Score 1. An emoji alone counts as empty here: a backbone has no word for it.
    """
    return Found(
        material.blank.astype(float), material.blank, lambda row: "there is no letter and no figure in it",
        lambda row: "drop",
    )  # fmt: skip


def damage(block: Block) -> pa.Array:
    """Characters of each text that were lost or misread, and an example."""
    found = [(0, "") if text.isascii() else _mojibake(text) for text in block.texts]
    made = [
        {"share": count / len(text), "example": example} if count else None
        for text, (count, example) in zip(block.texts, found, strict=True)
    ]
    return rows_of(made, share=pa.float64(), example=pa.string())


@check("encoding", dimension="noise", auto="report", reads=[damage])
def encoding(material: Material) -> Found:
    """Texts that were read in the wrong encoding (mojibake), or with characters that were lost.

    A run of suspicious characters counts when its bytes are valid in the encoding it probably was (UTF-8 read as
    Windows-1252 or GBK; GBK read as Latin-1), beside replacement characters. Score: 0.5 + half the share of such characters.
    """
    score, shown = np.zeros(len(material)), {}
    for row, one in told(material.trait(damage)):
        score[row], shown[row] = 0.5 + min(1.0, one["share"]) / 2, one["example"]
    return Found(score, score > 0, lambda row: shown[row])


@check("language", dimension="noise", auto="report", reads=[measured])
def language(material: Material) -> Found:
    """Texts in a language that the task does not name.

    By script, then by eldc where it calls itself reliable and there are 20 letters to judge by. Score 1; a text in
    letters of two languages counts as the one with more.
    """
    wanted = material.context.task.languages
    code, reliable = material.languages.code, material.languages.reliable
    letters = field(material.trait(measured), "letters")
    certain = reliable & ((letters >= LANGUAGE_LETTERS) | np.isin(code, ("zh", "ja", "ko")))
    flagged = certain & ~np.isin(code, [*wanted, "und"])
    names, counts = np.unique(code, return_counts=True)
    facts = {"counts": {str(name): int(count) for name, count in zip(names, counts, strict=True)}}
    said = " or ".join(wanted)
    return Found(
        flagged.astype(float), flagged, lambda row: f"looks like {code[row]}, not {said}", lambda row: "review", facts
    )


def order(block: Block) -> pa.Array:
    """How far each text packs (1 below REPEATS_BYTES), and the share of its characters that are neither letters nor figures."""
    packed, symbols = [], []
    for text in block.texts:
        raw = text.encode("utf-8", "surrogatepass")
        packed.append(len(zlib.compress(raw, 6)) / len(raw) if len(raw) >= REPEATS_BYTES else 1.0)
        dense = "".join(text.split())
        symbols.append(1 - sum(map(str.isalnum, dense)) / len(dense) if len(dense) >= 5 else 0.0)
    return pa.StructArray.from_arrays([pa.array(packed, pa.float64()), pa.array(symbols, pa.float64())], ["packed", "symbols"])  # fmt: skip


@check("gibberish", dimension="noise", auto="report", reads=[measured, order])
def gibberish(material: Material) -> Found:
    """Texts that repeat themselves, are made of symbols, or of letters in an order nobody uses here.

    Repeats: zlib makes less than a fifth of it (texts of 120 bytes or more). Symbols: 70% or more of its characters.
    Order: bits a character under a bigram model of the other texts in its script, modified z-score above 6 (texts of 12
    characters or more, where there are 200 texts or more). Score: how far past the limit, 0.5 at the limit.
    """
    score, why = np.zeros(len(material)), {}
    surprise, made = _surprise(material), material.trait(order)
    packed, symbols = field(made, "packed"), np.where(material.blank, 0.0, field(made, "symbols"))
    for row in np.flatnonzero((packed < REPEATS) | (symbols >= SYMBOLS) | (surprise > SURPRISE_LIMIT)).tolist():
        if packed[row] < REPEATS:
            score[row] = 1 - packed[row] / REPEATS / 2
            why[row] = f"repeats itself: it packs into {packed[row]:.0%} of its size"
        elif symbols[row] >= SYMBOLS:
            score[row] = symbols[row]
            why[row] = f"{symbols[row]:.0%} of its characters are neither letters nor figures"
        else:
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
    names, number = np.unique(group, return_inverse=True)
    number[field(material.trait(measured), "characters") < SURPRISE_CHARACTERS] = -1
    number[
        np.isin(number, np.flatnonzero(np.bincount(number[number >= 0], minlength=len(names)) < SURPRISE_TEXTS))
    ] = -1
    rows = np.flatnonzero(number >= 0)
    if not len(rows):
        return found
    own = pa.array(number)
    counts = merged(material.walked(pairs_of_characters, rows=rows, model=own))
    models = {one: Bigrams.of(*found) for one, found in counts.items()}
    bits = np.concatenate(list(material.walked(functools.partial(bits_of_texts, models=models), rows=rows, model=own)))
    for one in np.unique(number[rows]):
        inside = number[rows] == one
        middle = np.median(bits[inside])
        deviation = max(float(np.median(np.abs(bits[inside] - middle))), 0.05)
        found[rows[inside]] = 0.6745 * (bits[inside] - middle) / deviation
    return found


def pairs_of_characters(block: Block) -> dict[int, tuple[Array, Array]]:
    """Model -> the pairs of characters in its texts of this block, and how often they are there."""
    models = np.array(block.column("model"))
    return {int(one): counted(_lowered(block, models == one)) for one in np.unique(models)}


def bits_of_texts(block: Block, *, models: dict[int, Bigrams]) -> Array:
    """(n,) bits a character of each text under its model."""
    number = np.array(block.column("model"))
    bits = np.zeros(len(block))
    for one in np.unique(number):
        bits[number == one] = bits_a_character(_lowered(block, number == one), models[int(one)])
    return bits


def _lowered(block: Block, some: Array) -> list[str]:
    return [block.texts[at].lower() for at in np.flatnonzero(some)]
