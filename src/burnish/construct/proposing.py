"""Rules that a few checked records suggest: words that go with a label, each with how often it would be right.

A few gold records cannot say how good a rule is: most words stand in none of them. So a probe learns from the gold and
says what it believes of every raw text; a word's accuracy is the mean belief over the raw texts that hold it, which its
gold records then move (a Beta posterior worth PRIOR votes). A person reads word, figures and texts, and accepts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from burnish.construct.labels.one_label import known_rows
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context
from burnish.nn.backbones import Backbone

MOST_TEXTS = 20_000  # raw texts that are looked at
LEAST_TEXTS = 5  # that hold a word worth a rule
PRIOR = 8.0  # votes that the probe's belief in a word is worth beside its gold records
LIKELY = 0.9  # of the posterior that lies above the low and below the high end of the interval that is shown
LEAST, LEAST_LOW = 0.7, 0.5  # accuracy of a word worth showing, and the low end of its interval
SHOWN = 3


@dataclass(frozen=True)
class Proposal:
    """A word that would vote for a label. accuracy with its 80% interval, coverage: share of the raw texts."""

    label: str
    word: str
    accuracy: float
    low: float
    high: float
    coverage: float
    gold_right: int
    gold_tried: int
    texts: list[str]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def propose(
    records: Records, gold: Gold | None, context: Context, *, per_label: int = 8, backbone: str = "auto"
) -> list[Proposal]:
    """The words most worth a rule, at most `per_label` a label, in the order in which they add covered texts.

    Memory: MOST_TEXTS texts, their vectors and a sparse count of their words.
    """
    from scipy.stats import beta

    labels = list(context.task.labels)
    texts, gold_texts, truth = _texts(records, gold, labels)
    beliefs = _beliefs(texts, gold_texts, truth, len(labels), backbone, context)
    terms, held, in_gold = _held(texts, gold_texts)
    count = np.asarray(held.sum(axis=0)).ravel()  # (t,)
    believed = np.asarray(held.T @ beliefs) / np.maximum(count, 1)[:, None]  # (t, k)
    tried = np.asarray(in_gold.sum(axis=0)).ravel()
    right = np.asarray(in_gold.T @ np.eye(len(labels))[truth])  # (t, k)
    a = right + PRIOR * believed
    b = np.maximum(tried[:, None] + PRIOR - a, 1e-6)
    a = np.maximum(a, 1e-6)
    low, high = beta.ppf(1 - LIKELY, a, b), beta.ppf(LIKELY, a, b)
    accuracy, common = a / (a + b), beliefs.mean(0)
    made: list[Proposal] = []
    for label, name in enumerate(labels):
        beyond = (accuracy[:, label] - common[label]) / (1 - common[label])  # 0: says what is said anyway, 1: all right
        fit = np.flatnonzero((accuracy[:, label] >= LEAST) & (low[:, label] >= LEAST_LOW) & (beyond > 0.25))
        for term in _greedy(fit, held, beyond, per_label):
            rows = held[:, term].nonzero()[0]
            made.append(
                Proposal(
                    name,
                    terms[term],
                    float(accuracy[term, label]),
                    float(low[term, label]),
                    float(high[term, label]),
                    float(count[term] / len(texts)),
                    int(right[term, label]),
                    int(tried[term]),
                    [texts[row][:120] for row in rows[:SHOWN]],
                )
            )
    return made


def _texts(records: Records, gold: Gold | None, labels: Sequence[str]) -> tuple[list[str], list[str], np.ndarray]:
    """Raw texts without repeats, gold texts, and their labels (g,) as numbers."""
    from burnish.construct.voting import texts_of

    raw: dict[str, None] = {}
    for batch in records.batches(["text", "text_b"]):
        raw.update(dict.fromkeys(text for text in texts_of(batch) if text.strip()))
        if len(raw) >= MOST_TEXTS:
            break
    known = known_rows(0, gold, labels)
    checked = np.flatnonzero(known >= 0)
    if len(np.unique(known[checked])) < 2:
        raise BurnishError(
            "gold records of at least two labels are needed to propose rules",
            where="gold",
            hint="label a few texts of every label: gold: {path: gold.jsonl}",
        )
    assert gold is not None
    every = texts_of(gold.table(["text", "text_b"]))
    return list(raw)[:MOST_TEXTS], [every[row] for row in checked], known[checked]


def _beliefs(
    texts: Sequence[str], gold_texts: Sequence[str], truth: np.ndarray, k: int, backbone: str, context: Context
) -> np.ndarray:
    """(n, k) what a probe that learnt from the gold believes of the raw texts."""
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import centre, embed
    from burnish.nn.probe import Probe

    folder = resolve(Backbone(backbone), languages=context.task.languages, progress=context.progress)
    vectors = centre(embed([*texts, *gold_texts], folder, cache=context.cache, progress=context.progress))
    probe = Probe(k, seed=context.seed, calibrate=True).fit(vectors[len(texts) :], truth)
    found: np.ndarray = probe.probabilities(vectors[: len(texts)])
    return found


def _held(texts: Sequence[str], gold_texts: Sequence[str]) -> tuple[list[str], Any, Any]:
    """Words and word pairs that at least LEAST_TEXTS raw texts hold, and who holds them: sparse (n, t) and (g, t) of 0, 1."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=rule_words, binary=True, min_df=LEAST_TEXTS, max_df=0.5, dtype=np.float32)
    try:
        held = counter.fit_transform(texts)
    except ValueError as error:  # no word is left
        raise BurnishError(
            f"no word stands in {LEAST_TEXTS} of {len(texts):,} raw texts", hint="give more raw text"
        ) from error
    return list(counter.get_feature_names_out()), held.tocsc(), counter.transform(gold_texts)


def rule_words(text: str) -> list[str]:
    """What a rule may look for: English words of three letters and more and pairs of words, Chinese words of two
    characters and more; figures alone are none."""
    from burnish.text.segment import segmented
    from burnish.text.words import words

    found: list[str] = []
    for piece in segmented(text.lower()):
        cut = words(piece)
        if len(cut) > 1 and all(len(one) == 1 and not one.isascii() for one in cut):
            found.append(piece)  # one Chinese word
        elif cut and cut[0].isascii():
            found += [one for one in cut if len(one) > 2 and not one.isdigit()]
            found += [f"{a} {b}" for a, b in itertools.pairwise(cut) if len(a) + len(b) > 4]
    return found


def _greedy(fit: np.ndarray, held: Any, worth: np.ndarray, most: int) -> list[int]:
    """Terms one after the other, each the one that adds most: texts not yet covered times what a vote is worth (t,)."""
    chosen: list[int] = []
    covered = np.zeros(held.shape[0], dtype=bool)
    rows = {int(term): held.indices[held.indptr[term] : held.indptr[term + 1]] for term in fit}
    while rows and len(chosen) < most:
        new = {term: int((~covered[where]).sum()) for term, where in rows.items()}
        best = max(rows, key=lambda term: (new[term] * worth[term], -term))
        if new[best] < LEAST_TEXTS:
            break
        chosen.append(best)
        covered[rows.pop(best)] = True
    return chosen
