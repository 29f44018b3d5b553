"""How good answers to questions are: exact match and F1, as SQuAD counts them in English and CMRC 2018 in Chinese.

The two count differently, and which of them counts is told by script: where neither what was said nor the gold answer has
a Chinese or Japanese character it is SQuAD's way (a bag of words, without punctuation and a, an, the), else CMRC's (Chinese
characters one by one, Latin words and figures whole, without Chinese punctuation, the longest run that both have).
An answer "" says that there is none. Scores are per record, 0..1, and their means are the figures: intervals are cheap.

SQuAD: Rajpurkar et al. 2016 and 2018, evaluate-v2.0.py. CMRC 2018: Cui et al. 2019, cmrc2018_evaluate.py.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.text.scripts import UNSPACED_CLASS

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_UNSPACED = re.compile(f"[{UNSPACED_CLASS}]")
# Besides Chinese punctuation, the marks that CMRC's evaluator drops; not those of figures: 3.14, 1,000, 50%, 30℃.
_DROPPED = frozenset("-:_*^/\\~`+=～")
_KEPT = frozenset("％‰")  # punctuation to Unicode
# A character of an unspaced script, a word or figure, or any other mark by itself.
_PIECE = re.compile(rf"[{UNSPACED_CLASS}]|[^\W{UNSPACED_CLASS}]+(?:[.,'’][^\W{UNSPACED_CLASS}]+)*|\S")


def is_unspaced(text: str) -> bool:
    """Say whether a text has a Chinese or Japanese character, and is therefore compared by characters."""
    return _UNSPACED.search(text) is not None


def normalised_english(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and needless blanks: normalize_answer of SQuAD, to the letter."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def pieces_chinese(text: str) -> list[str]:
    """Chinese and Japanese characters one by one, other words and figures whole; lower case, without punctuation.

    The evaluator of CMRC lists the marks it drops; here it is those and every other mark of Unicode outside ASCII, for
    its list has “ but not ‘, and ASCII marks that figures need stay, as there. On spans cut about the answers of CMRC's
    3,219 development questions exact match agrees in all, F1 in all but 10 (0.001 points of their mean).
    """
    kept = (" " if one.isspace() else one for one in text.lower() if not _is_dropped(one))
    return _PIECE.findall("".join(kept))


def _is_dropped(character: str) -> bool:
    if character in _DROPPED:
        return True
    return character > "\x7f" and character not in _KEPT and unicodedata.category(character)[0] == "P"


def exact(said: str, gold: str) -> float:
    """1.0 when the two are the same once normalised, else 0.0. What normalises to nothing equals only the like."""
    if is_unspaced(gold + said):
        return float("".join(pieces_chinese(said)) == "".join(pieces_chinese(gold)))
    return float(normalised_english(said) == normalised_english(gold))


def f1(said: str, gold: str) -> float:
    """Overlap of the two, 0..1: common words in English, the longest common run of characters in Chinese.

    Where one of them is empty once normalised, 1.0 if both are, else 0.0.
    """
    if is_unspaced(gold + said):
        told, wanted = pieces_chinese(said), pieces_chinese(gold)
        common = longest_common_run(told, wanted)
    else:
        told, wanted = normalised_english(said).split(), normalised_english(gold).split()
        common = sum((Counter(told) & Counter(wanted)).values())
    if not told or not wanted:
        return float(told == wanted)
    precision, recall = common / len(told), common / len(wanted)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def longest_common_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest run of pieces that stands in both; O(len(a) x len(b)), whole rows at a time."""
    if not a or not b:
        return 0
    names = {piece: i for i, piece in enumerate({*a, *b})}
    row_a, row_b = np.array([names[one] for one in a]), np.array([names[one] for one in b])
    before, best = np.zeros(len(b) + 1, dtype=np.int64), 0
    for one in row_a:
        now = np.zeros(len(b) + 1, dtype=np.int64)
        now[1:] = np.where(row_b == one, before[:-1] + 1, 0)
        best, before = max(best, int(now.max())), now
    return best


def answer_scores(said: Sequence[str], golds: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Exact match and F1 of each record (n, 2), the best over its gold answers; no gold answer, or "", is unanswerable.

    A record without an answer scores 1 when "" was said and 0 otherwise. Of gold answers that normalise to nothing (",")
    SQuAD keeps those that do not, and so does this.
    """
    if len(said) != len(golds):
        raise ValueError(f"{len(said)} answers to {len(golds)} questions")
    made = np.zeros((len(said), 2))
    for row, (one, wanted) in enumerate(zip(said, golds, strict=True)):
        told = [gold for gold in wanted if _says_something(gold)] or [""]
        made[row] = max(exact(one, gold) for gold in told), max(f1(one, gold) for gold in told)
    return made


def _says_something(gold: str) -> bool:
    return bool(pieces_chinese(gold) if is_unspaced(gold) else normalised_english(gold))


@dataclass(frozen=True)
class Threshold:
    """Where to say that there is no answer: above `value`. score: the mean it gives, 0..1."""

    value: float
    score: float


def best_threshold(no_answer: ArrayLike, scores: ArrayLike, answerable: ArrayLike) -> Threshold:
    """The threshold of `no_answer` scores (n,) above which to say "no answer", so that the mean score is highest.

    scores: (n,) of the answer that would be given, 0..1; answerable: (n,) bool. Thresholds between every two records are
    tried, O(n log n); of equally good ones the highest, which answers most. No record: 0. It gives what find_best_thresh
    of SQuAD 2.0 does, with a threshold between two values instead of on one.
    """
    odds, scores, able = np.asarray(no_answer, float), np.asarray(scores, float), np.asarray(answerable, bool)
    if not len(odds):
        return Threshold(0.0, float("nan"))
    if not np.isfinite(odds).all():
        raise ValueError("no-answer scores must be finite")
    order = np.argsort(odds, kind="stable")
    sorted_odds = odds[order]
    # Answering the first k of the order: their scores, and 1 for each unanswerable one that is refused.
    gained = np.concatenate([[0.0], np.cumsum(np.where(able, scores, 0.0)[order])])
    refused = np.concatenate([[0.0], np.cumsum(~able[order])])
    totals = gained + (refused[-1] - refused)
    cuttable = np.concatenate([[True], sorted_odds[1:] > sorted_odds[:-1], [True]])
    totals = np.where(cuttable, totals, -1.0)
    k = int(len(totals) - 1 - np.argmax(totals[::-1]))
    edges = np.concatenate([[sorted_odds[0] - 1.0], sorted_odds, [sorted_odds[-1] + 1.0]])
    value = float((edges[k] + edges[k + 1]) / 2)
    return Threshold(value if value < edges[k + 1] else float(edges[k]), float(totals[k] / len(odds)))


def by_kind(scores: NDArray[Any], answerable: ArrayLike) -> dict[str, dict[str, float]]:
    """Means of scores (n, 2) over all records and over those with and without an answer; kinds without a record are left out."""
    able = np.asarray(answerable, dtype=bool)
    kinds = {"all": np.ones(len(able), dtype=bool), "answerable": able, "unanswerable": ~able}
    return {
        name: {"n": int(rows.sum()), "exact_match": float(scores[rows, 0].mean()), "f1": float(scores[rows, 1].mean())}
        for name, rows in kinds.items()
        if rows.any()
    }
