"""Is a text worth reading? The usual rules of web corpora, right for Chinese, at 10 MB and more a CPU-second.

A word is a run of letters and figures; a Chinese character or kana is a word of its own. Rules that are shares (letters,
repetition, lines, stop words) are asked of texts of `judged_from` words or more: in a short text a share says nothing.

    rule          source
    words         Gopher (Rae et al. 2021, table A1): 50 to 100,000; here a record, so that the lower end is a setting
    word_length   Gopher: mean of 3 to 10 letters; Chinese words count as nothing here
    symbols       Gopher: # and … to words at most 0.1
    letters       Gopher: 80% of words with a letter
    stop_words    Gopher: at least two of the, be, to, of, and, that, have, with; Chinese: of 的 是 在 了 和 有 不 一
    bullets       Gopher: at most 90% of lines begin with a bullet
    ellipses      Gopher: at most 30% of lines end with an ellipsis
    repeated_lines  Gopher: at most 30% of lines are repeats; FineWeb (Penedo et al. 2024) is stricter with 1% of characters
    top_ngram     Gopher: the commonest 2-, 3-, 4-gram is at most 20, 18, 16% of the words
    repeated_ngrams  Gopher: repeats are at most 15% of 5-grams and 10% of 10-grams
    unended       FineWeb: at least 12% of lines end with a mark; of texts with five lines or more
    placeholder   C4 (Raffel et al. 2020): lorem ipsum
    markup        share of characters in tags, entities and braces of templates
    mojibake      share of characters that were lost or read in the wrong encoding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.language import languages
from burnish.text.scripts import DIGIT, HAN, HANGUL, KANA, LETTER, blocks, codepoints, script_table, sums

TOP = ((2, 0.20), (3, 0.18), (4, 0.16))
REPEATED = ((5, 0.15), (10, 0.10))
STOP_WORDS = {"en": "the be to of and that have with", "zh": "的 是 在 了 和 有 不 一"}
LANGUAGE_CHARACTERS = 1000  # of a text that the detector reads
_MARKUP = r"</?[a-zA-Z][^<>]{0,300}>|<!--|&[a-zA-Z]{2,8};|&#x?[0-9a-fA-F]{2,6};|\{\{[^{}]{0,200}\}\}|\[/?(?:url|img|quote)[^\]]{0,200}\]"
_MOJIBAKE = "\ufffd|锟斤拷|烫烫烫|屯屯屯|[\u0080-\u0084\u0086-\u009f]|[ÃÂ][\u0080-\u00bf€™œž]|â€[™œ\u009d“”˜¦]|ï»¿|[\ue000-\uf8ff]"
_PLACEHOLDER = r"(?i)lorem ipsum"
_ENDS = tuple(".!?。！？…\"”’'」』）)】]；;：:")
_BULLETS = tuple("-*•‣▪●·○◦")

# in the order in which a text is asked; the first that does not hold is its reason
RULES = (
    "language", "words", "mojibake", "markup", "placeholder", "letters", "symbols", "word_length", "stop_words",
    "bullets", "ellipses", "repeated_lines", "unended", "top_ngram", "repeated_ngrams",
)  # fmt: skip
REASONS = {
    "language": "its language is not one of those wanted",
    "words": "{:.0f} words or Chinese characters",
    "mojibake": "{:.0%} of its characters were lost or read in the wrong encoding",
    "markup": "{:.0%} of its characters are markup",
    "placeholder": "it is a placeholder: lorem ipsum",
    "letters": "{:.0%} of its words have a letter",
    "symbols": "{:.2f} number signs and ellipses a word",
    "word_length": "its words have {:.1f} letters on average",
    "stop_words": "{:.0f} stop words: no running text",
    "bullets": "{:.0%} of its lines begin with a bullet",
    "ellipses": "{:.0%} of its lines end with an ellipsis",
    "repeated_lines": "{:.0%} of its lines are repeats",
    "unended": "{:.0%} of its lines end with a mark",
    "top_ngram": "one sequence of words makes up {:.0%} of it",
    "repeated_ngrams": "{:.0%} of its sequences of words are repeats",
}


@dataclass(frozen=True)
class Limits:
    """Thresholds; shares lie in 0..1. languages: () for any. off: rules that are not asked."""

    languages: tuple[str, ...] = ()
    min_words: int = 2
    max_words: int = 100_000
    judged_from: int = 50
    mojibake: float = 0.01
    markup: float = 0.2
    letters: float = 0.7
    symbols: float = 0.1
    word_length: tuple[float, float] = (3.0, 10.0)
    stop_words: int = 2
    bullets: float = 0.9
    ellipses: float = 0.3
    repeated_lines: float = 0.3
    unended: float = 0.12
    repetition: float = 1.0
    off: tuple[str, ...] = ()


def faults(texts: Sequence[str], limits: Limits) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return (rule, value): the place in RULES of the first rule that each text breaks, -1 for none, and what was measured.

    Memory: about 200 bytes a character of a block of 65,536 characters.
    """
    rule, value = np.full(len(texts), -1, dtype=np.int8), np.zeros(len(texts))
    for start, end in blocks(texts, characters=1 << 16):
        broken = _broken(texts[start:end], limits)
        for number in reversed(range(len(RULES))):
            if RULES[number] in broken and RULES[number] not in limits.off:
                flagged, measured = broken[RULES[number]]
                rule[start:end][flagged] = number
                value[start:end][flagged] = measured[flagged]
    return rule, value


Broken = dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]


def _broken(texts: Sequence[str], limits: Limits) -> Broken:
    codes, starts = codepoints(texts)
    cut = _Cut(codes, starts)
    count = cut.counts
    judged = count >= limits.judged_from
    many = np.maximum(count, 1)
    code = _languages(texts, limits)
    broken: Broken = {}
    if limits.languages:
        other = ~np.isin(code, [*limits.languages, "und"]) & (count > 0)
        broken["language"] = (other, np.zeros(len(texts)))
    broken["words"] = ((count < limits.min_words) | (count > limits.max_words), count.astype(float))
    broken |= _marked(texts, limits)
    letters = cut.lettered / many
    broken["letters"] = (judged & (letters < limits.letters), letters)
    symbols = (sums(codes == 35, starts) + sums(codes == 0x2026, starts) + _dots(codes, starts)) / many
    broken["symbols"] = (judged & (symbols > limits.symbols), symbols)
    spaced = np.maximum(cut.spaced, 1)
    length = cut.letters_spaced / spaced
    least, most = limits.word_length
    mostly = cut.spaced >= 0.5 * many
    broken["word_length"] = (judged & mostly & ((length < least) | (length > most)), length)
    known = np.isin(code, list(STOP_WORDS))
    broken["stop_words"] = (judged & known & (cut.stops < limits.stop_words), cut.stops.astype(float))
    broken |= _lines(texts, codes, starts, judged, limits)
    broken |= cut.repetition(judged, limits)
    return broken


class _Cut:
    """Texts cut into words: what is counted in them. All arrays are (n,) but those of words, (w,)."""

    def __init__(self, codes: NDArray[np.uint32], starts: NDArray[np.int64]) -> None:
        scripts = script_table()[codes]
        alone = (scripts == HAN) | (scripts == KANA)
        inside = (scripts == LETTER) | (scripts == DIGIT) | (scripts == HANGUL)
        begins = inside.copy()
        begins[1:] &= ~inside[:-1]
        firsts = starts[:-1][np.diff(starts) > 0]
        begins[firsts] = inside[firsts]
        begins |= alone
        at = np.flatnonzero(begins)
        self.texts = len(starts) - 1
        self.first = np.searchsorted(at, starts)
        self.counts = np.diff(self.first)
        if not len(at):
            zero = np.zeros(self.texts, dtype=np.int64)
            self.lettered = self.spaced = self.letters_spaced = self.stops = zero
            self.words = np.empty(0, dtype=np.uint64)
            return
        self.words = _hashed(codes, alone | inside, at)
        has_letter = np.add.reduceat((inside & (scripts != DIGIT) | alone).astype(np.int32), at) > 0
        self.lettered = sums(has_letter, self.first)
        self.spaced = sums(~alone[at], self.first)
        self.letters_spaced = sums(inside, starts)
        self.stops = sums(np.isin(self.words, _stops()), self.first)

    def repetition(self, judged: NDArray[np.bool_], limits: Limits) -> Broken:
        """The commonest and the repeated sequences of words, of the texts that are judged."""
        flagged = {name: np.zeros(self.texts, dtype=bool) for name in ("top_ngram", "repeated_ngrams")}
        value = {name: np.zeros(self.texts) for name in flagged}
        text = np.repeat(np.arange(self.texts), np.where(judged, self.counts, 0))
        words = self.words[np.repeat(judged, self.counts)]
        for size, most in (*TOP, *REPEATED):
            name = "top_ngram" if (size, most) in TOP else "repeated_ngrams"
            if len(words) < size:
                continue
            grams = words[: len(words) - size + 1].copy()
            for offset in range(1, size):
                grams *= np.uint64(0x9E3779B97F4A7C15)
                grams += words[offset : offset + len(grams)]
            whole = text[: len(grams)] == text[size - 1 :]
            keys = (grams[whole] * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(20)
            keys |= text[: len(grams)][whole].astype(np.uint64) << np.uint64(44)  # a block has fewer texts than 2^20
            if not len(keys):
                continue
            keys.sort()
            runs = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            its = (keys[runs] >> np.uint64(44)).astype(np.int64)
            total = np.bincount((keys >> np.uint64(44)).astype(np.int64), minlength=self.texts)
            if name == "top_ngram":
                lengths = np.diff(np.append(runs, len(keys)))
                top = np.zeros(self.texts, dtype=np.int64)
                np.maximum.at(top, its, lengths)
                share = np.where(top > 1, top * size / np.maximum(self.counts, 1), 0)
            else:
                share = 1 - np.bincount(its, minlength=self.texts) / np.maximum(total, 1)
                share[total == 0] = 0
            over = judged & (share > most * limits.repetition) & ~flagged[name]
            value[name][over] = share[over]
            flagged[name] |= over
        return {name: (flagged[name], np.minimum(value[name], 1)) for name in flagged}


def _hashed(codes: NDArray[np.uint32], inside: NDArray[np.bool_], at: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash the word that begins at each of `at`, without regard to the case of ASCII letters."""
    low = codes.astype(np.uint64)
    low += ((codes >= 65) & (codes <= 90)).astype(np.uint64) * np.uint64(32)
    begin = np.repeat(at, np.diff(np.append(at, len(codes))))
    offset = np.arange(at[0], len(codes)) - begin
    term = low[at[0] :] * _places()[offset & 63]
    term *= inside[at[0] :]
    made: NDArray[np.uint64] = np.add.reduceat(term, at - at[0])
    made ^= made >> np.uint64(29)
    return made * np.uint64(0x9E3779B97F4A7C15)


@cache
def _places() -> NDArray[np.uint64]:
    return np.random.default_rng(7).integers(1 << 62, size=64, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@cache
def _stops() -> NDArray[np.uint64]:
    codes, starts = codepoints([word for words in STOP_WORDS.values() for word in words.split()])
    return _hashed(codes, np.ones(len(codes), dtype=bool), starts[:-1])


def _languages(texts: Sequence[str], limits: Limits) -> NDArray[np.str_]:
    found = languages([text[:LANGUAGE_CHARACTERS] for text in texts], among=limits.languages)
    return np.where(found.reliable, found.code, "und")


def _marked(texts: Sequence[str], limits: Limits) -> Broken:
    """Shares of characters that patterns find; a text without a match costs a look."""
    import polars as pl

    series = pl.Series(values=texts, dtype=pl.String)
    size = np.maximum(series.str.len_chars().to_numpy(), 1)
    broken: Broken = {}
    for name, pattern, most in (("mojibake", _MOJIBAKE, limits.mojibake), ("markup", _MARKUP, limits.markup)):
        share = np.zeros(len(texts))
        at = series.str.contains(pattern).arg_true()
        if len(at):
            left = series.gather(at).str.replace_all(pattern, "").str.len_chars().to_numpy()
            share[at.to_numpy()] = 1 - left / size[at.to_numpy()]
        broken[name] = (share > most, share)
    placeholder = series.str.contains(_PLACEHOLDER).to_numpy()
    return broken | {"placeholder": (placeholder, placeholder.astype(float))}


def _dots(codes: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ellipses written as three dots, each once."""
    dots = codes == 46
    three = dots.copy()
    three[2:] &= dots[1:-1] & dots[:-2]
    three[:2] = False
    three[1:] &= ~three[:-1]
    return sums(three, starts)


def _lines(
    texts: Sequence[str],
    codes: NDArray[np.uint32],
    starts: NDArray[np.int64],
    judged: NDArray[np.bool_],
    limits: Limits,
) -> Broken:
    names = ("bullets", "ellipses", "repeated_lines", "unended")
    shares = {name: np.zeros(len(texts)) for name in names}
    shares["unended"][:] = 1
    for row in np.flatnonzero(judged & (sums(codes == 10, starts) >= 2)).tolist():
        lines = [line for line in map(str.strip, texts[row].split("\n")) if line]
        if len(lines) < 3:
            continue
        shares["bullets"][row] = sum(line.startswith(_BULLETS) for line in lines) / len(lines)
        shares["ellipses"][row] = sum(line.endswith(("...", "…")) for line in lines) / len(lines)
        shares["repeated_lines"][row] = 1 - len(set(lines)) / len(lines)
        if len(lines) >= 5:
            shares["unended"][row] = sum(line.endswith(_ENDS) for line in lines) / len(lines)
    limit: dict[str, Any] = {name: getattr(limits, name) for name in names}
    return {
        name: (share < limit[name] if name == "unended" else share > limit[name], share)
        for name, share in shares.items()
    }
