"""What a summary has to do with its text: taken out of it, shorter than it, faithful to it.

coverage     share of the summary's words that stand in runs taken from the text, 0..1
density      mean length of the run that a word of the summary stands in, 0 up
compression  words of the text for one of the summary
(Grusky et al. 2018, Newsroom); novel n-grams (See et al. 2017); the extractive oracle (Nallapati et al. 2017). Words are
those of ROUGE: Chinese characters one by one, other words whole, lower case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from burnish.measures.generation import rouge_tokens
from burnish.text.normalise import normalise
from burnish.text.scripts import UNSPACED_CLASS

NAMES_ZH = ("nr", "nrt", "nrfg", "ns", "nt", "nz")  # jieba's tags: people, places, organisations, other names
_HAN = re.compile(f"[{UNSPACED_CLASS}]")
_NAME = re.compile(r"(?<![A-Za-z0-9_'’-])[A-Z][A-Za-z'’\u00c0-\u024f-]*[A-Za-z\u00c0-\u024f](?![0-9])")
_CODE = re.compile(
    r"(?<![A-Za-z0-9_.])(?=[A-Za-z0-9-]*[A-Za-z])(?=[A-Za-z0-9-]*\d)[A-Za-z0-9][A-Za-z0-9-]*(?![A-Za-z0-9_])"
)
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s|am|pm)", re.IGNORECASE)
_ENDING = re.compile(r"(?<=[a-z]{3})(?:ies|ied|ing|ed|es|ly|[sey])$")
_START = re.compile(r"(?:^|[.!?:;\n\"“”‘(\[-]\s*|#\s+|#\w+#:\s*)$")
# English words that say nothing of what a text is about
_STOP_WORDS = (
    "a an the and or but nor so yet if then than that this these those there here of in on at by for with from to into onto "
    "over under about as is are was were be been being am do does did done has have had having will would shall should can "
    "could may might must not no he she it they we you i me him her them us his hers its their our your my mine who whom whose "
    "which what when where why how all any both each few more most other some such only own same too very just also after "
    "before up down out off again once because while during between through against s t"
)
STOP = frozenset(_STOP_WORDS.split())
STOP_ZH = frozenset("的了和与及或在是有为以于对将把被从到由其之这那个不也都就而并等中上下后前着过地得所我你他她它们")


def fragments(text: Sequence[str], summary: Sequence[str]) -> list[int]:
    """Lengths of the runs of the summary that are taken from the text, greedily the longest from each place.

    O(len(text) x len(summary)) at worst. Grusky et al. 2018, figure 2.
    """
    places: dict[str, list[int]] = {}
    for at, word in enumerate(text):
        places.setdefault(word, []).append(at)
    found, i = [], 0
    while i < len(summary):
        longest = 0
        for start in places.get(summary[i], ()):
            size = 0
            while i + size < len(summary) and start + size < len(text) and summary[i + size] == text[start + size]:
                size += 1
            longest = max(longest, size)
        if longest:
            found.append(longest)
        i += max(longest, 1)
    return found


@dataclass(frozen=True, slots=True)
class Extracted:
    """How far a summary is taken from its text."""

    coverage: float
    density: float
    compression: float
    novel_bigrams: float  # share of the summary's pairs of words that the text has not, 0..1


def extracted(text: str, summary: str) -> Extracted:
    """Coverage, density, compression and novelty of a summary; all 0 for one without a word."""
    ours, theirs = rouge_tokens(text), rouge_tokens(summary)
    if not theirs:
        return Extracted(0.0, 0.0, 0.0, 0.0)
    runs = fragments(ours, theirs)
    n = len(theirs)
    pairs = list(pairwise(theirs))
    known = set(pairwise(ours))
    novel = sum(pair not in known for pair in pairs) / len(pairs) if pairs else 0.0
    return Extracted(sum(runs) / n, sum(run * run for run in runs) / n, len(ours) / n, novel)


def names_missing(text: str, summary: str) -> list[str]:
    """Names of a summary that its text does not have; [] when there are none.

    A name is a capitalised English word that does not begin a sentence, a code of letters and figures (A4, Person1), or a
    Chinese word that jieba takes for a person, a place, an organisation or another name (extra `chinese`).
    """
    missing = []
    body = normalise(text)
    compact = re.sub(r"[^\w]", "", body)
    known = {_stem(word) for word in rouge_tokens(body)}
    for name in dict.fromkeys(_names_latin(summary)):
        form = normalise(name).removesuffix("'s").removesuffix("’s")
        inside = all(_stem(part) in known for part in rouge_tokens(form)) and not _CODE.fullmatch(name)
        if not inside and re.sub(r"[^\w]", "", form) not in compact:
            missing.append(name)
    for name, before, after in _names_zh(summary):
        # a word cut wrongly (基|于小波|变换) goes over a border that the text has too
        wrongly = (before and before + name[0] in text) or (after and name[-1] + after in text)
        if normalise(name) not in body and not wrongly and name not in missing:
            missing.append(name)
    return missing


def names(text: str) -> list[str]:
    """Words that name somebody or something: English ones, then Chinese ones."""
    return _names_latin(text) + [name for name, _, _ in _names_zh(text)]


def _names_latin(text: str) -> list[str]:
    codes = [match[0] for match in _CODE.finditer(text) if not _ORDINAL.fullmatch(match[0])]
    return codes + [
        match[0]
        for match in _NAME.finditer(text)
        if not _START.search(text[max(0, match.start() - 12) : match.start()]) and match[0].lower() not in STOP
    ]


def _names_zh(text: str) -> list[tuple[str, str, str]]:
    """(name, the character before it, the one after it)."""
    from burnish.text.segment import tagged

    found, at = [], 0
    for word, tag in tagged(text) if _HAN.search(text) else ():
        start = text.find(word, at)
        at = start + len(word)
        if tag in NAMES_ZH and len(word) > 1 and _HAN.search(word):
            found.append((word, text[start - 1 : start] if start else "", text[at : at + 1]))
    return found


def content(text: str) -> list[str]:
    """Words that say what a text is about: no stop words, no single letters; Chinese characters, stop characters left out."""
    return [
        word
        for word in rouge_tokens(text)
        if (word not in STOP_ZH if _HAN.match(word) else word not in STOP and len(word) > 1 and not word.isdigit())
    ]


def supported(text: str, summary: str) -> float:
    """Share of the summary's content words whose stem the text has, 0..1; 1 where it has none."""
    wanted = content(summary)
    known = {_stem(word) for word in rouge_tokens(text)}
    return sum(_stem(word) in known for word in wanted) / len(wanted) if wanted else 1.0


def _stem(word: str) -> str:
    """A word without its ending: closing and close, library and libraries; Chinese characters are their own."""
    return _ENDING.sub("", word)


# -- the extractive oracle


def oracle(sentences: Sequence[Sequence[str]], reference: Sequence[str], *, most: int = 3) -> list[int]:
    """Sentences (places, in order) that together score best against a reference, found greedily.

    The next sentence is the one that raises the sum of ROUGE-1 and ROUGE-2 F1 most; none is taken that does not raise it
    (Nallapati et al. 2017; Liu & Lapata 2019). sentences, reference: words as `rouge_tokens` cuts them. most: at most
    so many. Of equal ones the first.
    """
    wanted = [Counter(_grams(reference, size)) for size in (1, 2)]
    grams = [[Counter(_grams(one, size)) for size in (1, 2)] for one in sentences]
    chosen: list[int] = []
    held: list[Counter[tuple[str, ...]]] = [Counter(), Counter()]
    best = 0.0
    while len(chosen) < most:
        scores = {
            at: sum(_f1(had + more, gold) for had, more, gold in zip(held, grams[at], wanted, strict=True))
            for at in range(len(sentences))
            if at not in chosen
        }
        at = max(scores, key=lambda one: scores[one], default=None)
        if at is None or scores[at] <= best + 1e-12:
            break
        best = scores[at]
        chosen.append(at)
        held = [had + more for had, more in zip(held, grams[at], strict=True)]
    return sorted(chosen)


def principal(sentences: Sequence[Sequence[str]], *, count: int = 1) -> list[int]:
    """The `count` sentences that say most of what the others say: ROUGE-1 F1 of each with all others (PEGASUS, Ind-Orig).

    Zhang et al. 2020. Places, in order; of equal ones the first.
    """
    bags = [Counter(_grams(one, 1)) for one in sentences]
    whole: Counter[tuple[str, ...]] = sum(bags, Counter())
    scores = [_f1(bag, whole - bag) for bag in bags]
    return sorted(sorted(range(len(sentences)), key=lambda at: -scores[at])[:count])


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


def _f1(said: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> float:
    both = (said & wanted).total()
    total = said.total() + wanted.total()
    return 2 * both / total if total else 0.0
