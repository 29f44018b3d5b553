"""Checks of what old records are worth: labels whose meaning moved, usefulness against age, and when to collect again."""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.measures.association import holm
from burnish.measures.intervals import mcnemar
from burnish.measures.timeline import decline, equal_slices
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.timeliness import NO_TIME, _between, _day

LEAST = 120  # labelled records with a time
LEAST_OF_CLASS = 15  # in each half
REPEATS = 8
SLICES = 5
LOST = 0.02  # accuracy that may be lost until records are collected again
LOST_BITS = 0.1
SURE = 0.9


@check("label_drift", dimension="timeliness", auto="report", of_labels=True)
def label_drift(material: Material) -> Found:
    """Labels whose meaning moved: what the early records teach is wrong of the late ones.

    Records are halved at the middle of their times. For each class: recall on the late half of a probe trained on the early half, and of one trained on as many late records
    (out of sample, 5 folds, near-duplicates in one fold); the difference, tested on the same records (McNemar's exact test, 1947; Holm 1979). Moved: 10 points or more at 5%.
    Flagged: early records of a moved class whose label the late probe gives less than half of what it gives another (90% or more); score: the probability of that other label. By
    embeddings, else by words (naive Bayes).
    """
    from burnish.nn.probe import assign_folds

    days = material.days
    rows = material.labelled[np.isfinite(days[material.labelled])]
    if len(rows) < LEAST:
        return material.nothing(
            NO_TIME if not len(rows) else f"needs {LEAST} labelled records with a time, there are {len(rows)}"
        )
    half = equal_slices(days[rows], 2)
    if half.max() < 1:
        return material.nothing("all records are of one time")
    labels, seed, classes = material.labels[rows], material.context.seed, len(material.names)
    learner = _learner(material, rows)
    early, late = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    of_early = learner(early, late).argmax(1)
    fold = assign_folds(labels[late], folds=5, groups=material.alike.label[rows[late]], seed=seed)
    of_late = np.empty(len(late), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for one in np.unique(fold):
        inside = late[fold != one]
        if len(inside) > len(early):
            inside = np.sort(rng.choice(inside, len(early), replace=False))
        of_late[fold == one] = learner(inside, late[fold == one]).argmax(1)
    said, tests = {}, []
    for label, name in enumerate(material.names):
        own = labels[late] == label
        if own.sum() < LEAST_OF_CLASS or (labels[early] == label).sum() < LEAST_OF_CLASS:
            continue
        a, b = of_early[own] == label, of_late[own] == label
        tests.append(mcnemar(a, b))
        said[name] = {"early": round(float(a.mean()), 4), "late": round(float(b.mean()), 4), "records": int(own.sum())}
    for one, p in zip(said.values(), holm(tests), strict=True):
        one["p_value"] = round(float(p), 5)
    moved = [name for name, one in said.items() if one["late"] - one["early"] >= 0.1 and one["p_value"] < 0.05]
    score, flagged, why = np.zeros(len(material)), np.zeros(len(material), dtype=bool), {}
    if moved:
        chances = learner(late, early)
        given = labels[early]
        own = chances[np.arange(len(early)), given]
        other = np.where(np.arange(classes) == given[:, None], -1, chances).argmax(1)
        best = chances[np.arange(len(early)), other]
        doubted = np.isin(given, [material.names.index(name) for name in moved]) & (own < best / 2)
        for at in np.flatnonzero(doubted).tolist():
            row = int(rows[early[at]])
            score[row] = best[at]
            flagged[row] = best[at] >= 0.5
            why[row] = (
                f"{material.names[given[at]]} as it was labelled in {_day(float(days[row]))}; by the records since "
                f"{_day(float(days[rows[late]].min()))} it is {material.names[other[at]]}, {best[at]:.0%}",
                f"relabel:{material.names[other[at]]}" if best[at] >= SURE else "review",
            )
    facts = {
        "by": "vectors" if material.embed != "none" else "words", "early": _between(days[rows[early]]), "late": _between(days[rows[late]]),
        "classes": said, "moved": moved,
    }  # fmt: skip
    return Found(score, flagged, lambda row: why[row][0], lambda row: why[row][1], facts)


@check("usefulness", dimension="timeliness", auto="report")
def usefulness(material: Material) -> Found:
    """What records of each age still teach about the newest, and when it is time to collect again.

    Time is cut into five slices of equal size. Probes learn from as many records of each slice and are judged on the same held-out half of the newest, 8 times: accuracy by age. A line
    through it says what a year of age costs, and at which age 2 points are lost: then the newest records will be that old, and others are due; 95% interval by drawing
    repeats and residuals anew (Efron 1979). It is an extrapolation beyond the ages seen. Without class labels, and then without a flag: bits a word of the newest texts under the words of each slice, and 0.1 bits. Score of a record: what its slice
    loses against the newest, over the largest loss; flagged where the slice is worth less than the newest for sure (its interval of repeats lies below 0) by 2 points.
    """
    days = material.days
    labelled = material.one_label and len(material.labelled) >= LEAST
    rows = material.labelled if labelled else np.arange(len(material))
    rows = rows[np.isfinite(days[rows])]
    if len(rows) < LEAST:
        return material.nothing(
            NO_TIME if not len(rows) else f"needs {LEAST} records with a time, there are {len(rows)}"
        )
    number = equal_slices(days[rows], SLICES)
    last = int(number.max())
    if last < 2:
        return material.nothing("needs three times or more")
    scores = _accuracies(material, rows, number) if labelled else _bits(material, rows, number)
    newest = float(days[rows[number == last]].mean())
    ages = np.array([(newest - days[rows[number == one]].mean()) / 365.25 for one in range(last + 1)])
    drop = LOST if labelled else LOST_BITS
    line = decline(ages, scores, drop=drop, seed=material.context.seed)
    loss = scores[:, -1:] - scores
    mean, spread = loss.mean(0), loss.std(0, ddof=1) / np.sqrt(len(loss)) * 2.36  # t of 7 degrees of freedom
    worse = (mean - spread > 0) & (mean >= drop)
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows] = np.clip(mean, 0, None)[number] / max(float(mean.max()), drop)
    flagged[rows] = worse[number] & labelled  # fewer bits are no harm by themselves
    at = dict(zip(rows.tolist(), number.tolist(), strict=True))

    def reason(row: int) -> str:
        one = at[row]
        lost = f"{100 * mean[one]:.1f} points of accuracy" if labelled else f"{mean[one]:.1f} bits a word"
        return (
            f"records of {_between(days[rows[number == one]])} teach {lost} less about the newest than recent ones do"
        )

    sure = line.slope_high < 0
    due = {"value": _years(line.due), "low": _years(line.due_low), "high": _years(line.due_high)}
    facts = {
        "by": ("vectors" if material.embed != "none" else "words") if labelled else "bits",
        "slices": [
            {"time": _between(days[rows[number == one]]), "age_years": round(float(ages[one]), 3), "score": round(float(scores[:, one].mean()), 5), "loss": round(float(mean[one]), 5),
             "low": round(float(mean[one] - spread[one]), 5), "high": round(float(mean[one] + spread[one]), 5)}
            for one in range(last + 1)
        ],
        "a_year": {"value": round(line.slope, 5), "low": round(line.slope_low, 5), "high": round(line.slope_high, 5)},
        "collect_again": {"lost": drop, "age_years": due, "on": _day(newest + line.due * 365.25) if sure and line.due < 50 else None, "falls": bool(sure)},
    }  # fmt: skip
    return Found(score, flagged, reason, lambda row: "reweigh:0.50", facts)


def _years(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) and value < 1000 else None


def _learner(material: Material, rows: Array) -> Any:
    """learn(inside, outside) -> probabilities (outside, classes) of a model of the rows inside; positions are among `rows`."""
    labels, classes, seed = material.labels[rows], len(material.names), material.context.seed
    if material.embed != "none":
        from burnish.nn.probe import Probe

        position = np.full(len(material), -1, dtype=np.int64)
        position[material.labelled] = np.arange(len(material.labelled))
        vectors = material.vectors[position[rows]]
        l2 = Probe(classes, seed=seed).fit(vectors, labels).chosen_l2
        return lambda inside, outside: (
            Probe(classes, seed=seed, l2=l2).fit(vectors[inside], labels[inside]).probabilities(vectors[outside])
        )
    from sklearn.naive_bayes import MultinomialNB

    counts = material.bag.counts[rows]

    def learn(inside: Array, outside: Array) -> Array:
        model = MultinomialNB(alpha=0.5).fit(counts[inside], labels[inside])
        chances = np.full((len(outside), classes), 1e-9)
        chances[:, model.classes_] = model.predict_proba(counts[outside])
        return chances

    return learn


def _accuracies(material: Material, rows: Array, number: Array) -> Array:
    """(repeats, slices) accuracy on the newest slice, of equally many records of each slice."""
    learner, labels = _learner(material, rows), material.labels[rows]
    last = int(number.max())
    newest = np.flatnonzero(number == last)
    groups = material.alike.label[rows]
    made = np.zeros((REPEATS, last + 1))
    for repeat in range(REPEATS):
        rng = np.random.default_rng([material.context.seed, repeat])
        judged = rng.permutation(newest)[: len(newest) // 2]
        seen = set(groups[judged].tolist())
        pools = [
            np.array([at for at in np.flatnonzero(number == one) if groups[at] not in seen], dtype=np.int64)
            for one in range(last + 1)
        ]
        size = max(min(map(len, pools)), 1)
        for one, pool in enumerate(pools):
            inside = np.sort(rng.choice(pool, min(size, len(pool)), replace=False)) if len(pool) else judged[:1]
            made[repeat, one] = (learner(inside, judged).argmax(1) == labels[judged]).mean()
    return made


def _bits(material: Material, rows: Array, number: Array) -> Array:
    """(repeats, slices) minus the bits a word of the newest slice under each slice's words, smoothed with all words (1,000 in their shares)."""
    counts = material.bag.counts[rows]
    last = int(number.max())
    newest = np.flatnonzero(number == last)
    prior = np.asarray(counts.sum(axis=0)).reshape(-1) + 0.5
    prior = 1000 * prior / prior.sum()
    made = np.zeros((REPEATS, last + 1))
    for repeat in range(REPEATS):
        rng = np.random.default_rng([material.context.seed, repeat])
        judged = rng.permutation(newest)[: len(newest) // 2]
        asked = np.asarray(counts[np.sort(judged)].sum(axis=0)).reshape(-1)
        held = set(judged.tolist())
        pools = [
            np.array([at for at in np.flatnonzero(number == one) if at not in held], dtype=np.int64)
            for one in range(last + 1)
        ]
        size = max(min(map(len, pools)), 1)
        for one, pool in enumerate(pools):
            inside = np.sort(rng.choice(pool, min(size, len(pool)), replace=False))
            own = np.asarray(counts[inside].sum(axis=0)).reshape(-1) + prior
            made[repeat, one] = float(asked @ np.log2(own / own.sum())) / max(float(asked.sum()), 1.0)
    return made
