"""What is wrong with a sentence pair, told from its two texts alone.

The order of the reasons is that of their certainty; the first found is the one that counts. A source of rules: the
cleaning of parallel corpora for WMT (Koehn et al. 2018, 2020) and bicleaner's hard rules, made right for Chinese.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from burnish.text.language import languages
from burnish.text.normalise import normalise
from burnish.text.numerals import unsaid
from burnish.text.scripts import HAN, HANGUL, KANA, LETTER, script_counts
from burnish.text.words import words

SCRIPTS = {"zh": (HAN,), "ja": (HAN, KANA), "ko": (HANGUL,)}  # the others: letters
FOREIGN_SHARE = 0.3  # of the letters, from which a text is of mixed scripts; in Chinese Latin may be half (0.5)
COPIED_SHARE = 0.8  # of the words, from which a text is a copy
SMOOTH = 8.0  # characters added to both lengths, so that a short text may be twice as long
PLACED = re.compile(
    r"https?://[^\s\u3000-\u9fff\uff00-\uffef]+|www\.[^\s\u3000-\u9fff\uff00-\uffef]+|[\w.+-]+@[\w-]+\.[\w.]*\w"
    r"|\{\{.*?\}\}|\{[\w.:!]*\}|%\(\w+\)[sdrfi]|%[sdrfi](?![a-zA-Z])|%\d+(?![\d%])(?=\b)|</?\w+[^<>]*>|&\w+;"
)
# Written alike in any language: two capitals or more inside, or letters and figures together
CODE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9-]*[A-Za-z])(?=[A-Za-z0-9-]*\d)[A-Za-z][A-Za-z0-9-]*(?![A-Za-z0-9])")
INNER = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]+[a-z][A-Z][A-Za-z]*(?![A-Za-z0-9])")
LATIN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z.+#'-]*[A-Za-z+#](?![A-Za-z0-9])")


def script_problem(text: str, language: str) -> str | None:
    """Whether a text is not, or not only, in the script of its language."""
    counts = script_counts([text])[0]
    letters = {script: int(counts[script]) for script in (HAN, KANA, HANGUL, LETTER)}
    total = sum(letters.values())
    if not total:
        return "no letter"
    own = sum(letters[script] for script in SCRIPTS.get(language, (LETTER,)))
    latin_words = len(LATIN.findall(text)) if language in SCRIPTS else 0
    foreign = total - own - (letters[LETTER] if language in SCRIPTS else 0)
    if not own:
        return "not in its script"
    if foreign / total > (0.0 if language == "zh" else FOREIGN_SHARE) and foreign > 1:
        return "mixed scripts"
    return "mixed scripts" if latin_words > own else None


def problem(source: str, target: str, *, spoken: tuple[str, str], ratio: float, most: float) -> str | None:
    """The first thing wrong with a pair, "reason: detail", or None.

    spoken: languages of source and target. ratio: usual characters of the target for one of the source. most: how many
    times more or less than usual the target may be.
    """
    forms = normalise(source), normalise(target)
    if not all(forms):
        return "empty side"
    if forms[0] == forms[1] or _copied(*forms):
        return "copy"
    for text, language in zip((source, target), spoken, strict=True):
        if wrong := script_problem(text, language):
            return f"{wrong}: {language}"
    found = languages([source, target], among=spoken)
    for code, sure, wanted, text in zip(found.code, found.reliable, spoken, (source, target), strict=True):
        if sure and str(code) != wanted and len(text) >= 20:
            return f"language: {code} where {wanted} is wanted"
    if (off := length_ratio(source, target, ratio)) > most:
        return f"length ratio: {off:.1f} times off"
    return _disagreement(source, target, spoken)


def _disagreement(source: str, target: str, spoken: tuple[str, str]) -> str | None:
    ours, theirs = Counter(PLACED.findall(source)), Counter(PLACED.findall(target))
    if ours != theirs:
        return f"addresses and placeholders: {', '.join((ours - theirs) + (theirs - ours))}"[:200]
    bare = PLACED.sub(" ", source), PLACED.sub(" ", target)
    if missing := [*unsaid(bare[1], bare[0]), *unsaid(bare[0], bare[1])]:
        return f"numbers: {', '.join(missing)}"[:200]
    if missing := _names_missing(*bare, spoken):
        return f"entities: {', '.join(missing)}"[:200]
    return None


def _names_missing(source: str, target: str, spoken: tuple[str, str]) -> list[str]:
    """Names written alike everywhere that one side has and the other has not."""
    missing = []
    for one, other, language in ((source, target, spoken[0]), (target, source, spoken[1])):
        names = [*CODE.findall(one), *INNER.findall(one)]
        if language in SCRIPTS:  # a Latin word in a Chinese text came from the other side
            names += LATIN.findall(one)
        said = normalise(other)
        missing += [name for name in dict.fromkeys(names) if normalise(name) not in said]
    return missing


def _copied(source: str, target: str) -> bool:
    """Whether most words of the target stand in the source as they are."""
    ours, theirs = Counter(words(source)), Counter(words(target))
    both = (ours & theirs).total()
    return theirs.total() >= 3 and both >= COPIED_SHARE * max(theirs.total(), ours.total())


def length_ratio(source: str, target: str, ratio: float) -> float:
    """How many times longer or shorter the target is than usual, 1 up; characters, smoothed for short texts."""
    return math.exp(abs(math.log((len(target) + SMOOTH * ratio) / ((len(source) + SMOOTH) * ratio))))


def usual_ratio(sources: Sequence[str], targets: Sequence[str]) -> float:
    """Median of characters of the target for one of the source; 1 where there is no pair."""
    return median([len(b) / len(a) for a, b in zip(sources, targets, strict=True) if a and b] or [1.0]) or 1.0
