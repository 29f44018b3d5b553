"""Checks of time: how old the records are, which a later version replaces, and how words and topics drift."""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import Any

import numpy as np

from burnish.measures.association import contingency, group_counts, log_odds
from burnish.measures.timeline import equal_slices, permuted_shift
from burnish.quality.checks import Array, Found, Material, check

LEAST_TIMED = 30
SLICES = 6
LEAST_IN_SLICE = 20
OLD = 3.0  # interquartile ranges below the first quartile of the dates (Tukey 1977: far out)
NO_TIME = "no record has a time: `fields: {time: ...}` of the source names it"
OUT_OF_USE = 0.95


@check("age", dimension="timeliness", auto="report")
def age(material: Material) -> Found:
    """How old the records are, by the newest of them; dates that cannot be true, and records far older than the others.

    Age in days before the newest record whose date the others make plausible. Facts: quartiles, gaps (the longest time without a record), records a year,
    share without a time. Flagged: dates of a broken clock (1 January 1970, before 1980, or later than the rest by more than the rest spans), score 1; ages more
    than three interquartile ranges above the third quartile (Tukey 1977) and a year, score age / (age + limit).
    """
    days = material.days
    known = np.flatnonzero(np.isfinite(days))
    if not len(known):
        return material.nothing(NO_TIME)
    own = days[known]
    middle = float(np.median(own))
    low, high = np.quantile(own, [0.01, 0.99]) if len(known) >= 100 else (own.min(), np.sort(own)[-2:].min())
    span = max(float(high - low), 1.0)
    broken = (own < 3652) | (own > high + max(span, 365.0))
    sound = own[~broken]
    newest = float(sound.max()) if len(sound) else float(own.max())
    ages = np.maximum(newest - own, 0)
    q1, q3 = np.quantile(ages[~broken] if len(sound) else ages, [0.25, 0.75])
    limit = max(q3 + OLD * (q3 - q1), 365.0)
    score, why = np.zeros(len(material)), {}
    for at, row in enumerate(known.tolist()):
        if broken[at]:
            score[row], why[row] = (
                1.0,
                f"dated {_day(own[at])}, when the others are from {_day(float(low))} to {_day(float(high))}",
            )
        elif ages[at] > limit and len(known) >= LEAST_TIMED:
            score[row] = ages[at] / (ages[at] + limit)
            why[row] = (
                f"{ages[at] / 365.25:.1f} years older than the newest; half of the records are younger than {np.median(ages) / 365.25:.1f}"
            )
    ordered = np.sort(sound)
    years = [datetime.datetime.fromtimestamp(day * 86400, datetime.UTC).year for day in sound.tolist()]
    facts = {
        "with_time": round(len(known) / len(material), 4), "oldest": _day(float(own.min())), "newest": _day(newest), "median": _day(middle),
        "age_days": {name: round(float(np.quantile(ages[~broken] if len(sound) else ages, at)), 1) for name, at in (("0.25", 0.25), ("0.5", 0.5), ("0.75", 0.75), ("0.95", 0.95))},
        "longest_gap_days": round(float(np.diff(ordered).max(initial=0)), 1), "by_year": {str(year): years.count(year) for year in sorted(set(years))},
    }  # fmt: skip
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


@check("superseded", dimension="timeliness", auto="drop")
def superseded(material: Material) -> Found:
    """Records of which there is a later version.

    Of records that `version_of` gives the same name (group, source, file or a field of meta), and of near-duplicates by default, those with an earlier time than
    the last. Score 1 where the name says so; of near-duplicates their similarity, and only a person decides. Equal times replace nothing.
    """
    days = material.days
    if not np.isfinite(days).any():
        return material.nothing(NO_TIME)
    score, why = np.zeros(len(material)), {}
    groups = 0
    if material.version_of:
        named: dict[str, list[int]] = defaultdict(list)
        for row, name in enumerate(_names(material, material.version_of)):
            if name is not None and np.isfinite(days[row]):
                named[str(name)].append(row)
        members = [rows for rows in named.values() if len(rows) > 1]
    else:
        return _by_likeness(material)
    for rows in members:
        last = max(rows, key=lambda row: (days[row], -row))
        older = [row for row in rows if days[row] < days[last]]
        groups += bool(older)
        for row in older:
            score[row] = 1.0
            why[row] = (
                f"{material.version_of} is the same {days[last] - days[row]:,.0f} days later in {material.ids[last]}"
            )
    facts = {"groups": groups, "by": material.version_of}
    return Found(score, score > 0, lambda row: why[row], lambda row: "drop", facts)


def _by_likeness(material: Material) -> Found:
    """Pairs of near-duplicates of different times: the earlier one may be an old version."""
    days, score, why = material.days, np.zeros(len(material)), {}
    pairs = 0
    for (one, other), alike in zip(material.alike.pairs.tolist(), material.alike.similarity.tolist(), strict=True):
        if (
            material.same.label[one] == material.same.label[other]
            or days[one] == days[other]
            or np.isnan(days[one] + days[other])
        ):
            continue
        old, new = (one, other) if days[one] < days[other] else (other, one)
        pairs += 1
        if alike > score[old]:
            score[old] = alike
            why[old] = (
                f"{alike:.0%} the same text is there {days[new] - days[old]:,.0f} days later in {material.ids[new]}"
            )
    return Found(
        score, score > 0, lambda row: why[row], lambda row: "review", {"groups": pairs, "by": "near duplicates"}
    )


def _names(material: Material, version_of: str) -> list[Any]:
    if version_of.startswith("meta."):
        return [one.get(version_of.removeprefix("meta.")) for one in material.meta]
    return material.column(version_of)


@check("drift", dimension="timeliness", auto="report")
def drift(material: Material) -> Found:
    """How words, topics and labels change from one time to the next.

    Time is cut into up to six slices of equal size. Of each slice to the next, and of the first to the last: Jensen-Shannon divergence of the word counts in bits (Lin
    1991) against 200 shuffles of whole records (permutation test, Good 2005); excess is what is left above the shuffled mean. The same of topics (k-means of embeddings)
    where there are vectors, and chi-square with Cramer's V of labels. Words that rose and fell: log-odds with informative prior, first half against second (Monroe
    et al. 2008). Score of a record: how much its words are of the first slice and not of the last, 0.5 for neither; flagged above 0.95 in the first slice where the words drift at 1%.
    """
    days = material.days
    timed = int(np.isfinite(days).sum())
    if timed < LEAST_TIMED:
        return material.nothing(NO_TIME if not timed else f"needs {LEAST_TIMED} records with a time, there are {timed}")
    number = equal_slices(days, int(np.clip(timed // LEAST_IN_SLICE, 2, SLICES)))
    last = int(number.max())
    if last < 1:
        return material.nothing("all records are of one time")
    seed = material.context.seed
    bag = material.bag
    inside = [np.flatnonzero(number == one) for one in range(last + 1)]
    steps: list[dict[str, Any]] = []
    for one, other in [*((at, at + 1) for at in range(last)), *([(0, last)] if last > 1 else [])]:
        found = permuted_shift(bag.counts, inside[one], inside[other], seed=seed)
        steps.append({"from": _between(days[inside[one]]), "to": _between(days[inside[other]]), **_shown(found)})
    halves = np.where(number < 0, -1, (number > last / 2).astype(np.int64))
    per = group_counts(bag.counts, halves, 2)
    z = log_odds(per)[1]
    order = np.argsort(-z, kind="stable")
    rose = [[bag.words[at], round(float(z[at]), 2)] for at in order[:20].tolist() if z[at] > 1.96]
    fell = [[bag.words[at], round(float(-z[at]), 2)] for at in order[::-1][:20].tolist() if z[at] < -1.96]
    facts: dict[str, Any] = {
        "slices": [{"time": _between(days[rows]), "records": len(rows)} for rows in inside],
        "words": steps,
        "rose": rose,
        "fell": fell,
    }
    topics = _topics(material, number, last)
    if topics:
        facts["topics"] = topics
    if len(material.labelled) >= LEAST_TIMED and material.one_label:
        table = np.zeros((last + 1, len(material.names)), dtype=np.int64)
        both = (number >= 0) & (material.labels >= 0)
        np.add.at(table, (number[both], material.labels[both]), 1)
        tested = contingency(table)
        facts["labels"] = {"counts": table.tolist(), "p_value": tested.p_value, "v": round(tested.v, 4)}
    score = _old_fashioned(material, per)
    moved = steps[-1]["p_value"] <= 0.01
    flagged = (number == 0) & (score > OUT_OF_USE) if moved else np.zeros(len(material), dtype=bool)
    return Found(
        score,
        flagged,
        lambda row: "its words are of the earlier time and hardly used in the later",
        lambda row: "review",
        facts,
    )


def _old_fashioned(material: Material, per: Array) -> Array:
    """(n,) chance that a text is of the first half rather than the second, by its words: naive Bayes, mean of the log ratios times 5; 0.5 without time."""
    share = (per + 0.5) / (per + 0.5).sum(1, keepdims=True)
    ratio = np.log(share[0] / share[1]) if per.sum(1).all() else np.zeros(per.shape[1])
    size = np.asarray(material.bag.counts.sum(axis=1)).reshape(-1)
    mean = np.asarray(material.bag.counts @ ratio).reshape(-1) / np.maximum(size, 5)
    return np.asarray(1 / (1 + np.exp(-np.clip(5 * mean, -30, 30))))


def _topics(material: Material, number: Array, last: int) -> dict[str, Any]:
    """Drift of topics, and which of them grew or shrank."""
    from scipy.sparse import csr_array

    rows = material.seen
    if len(rows) < 2 * LEAST_TIMED:
        return {}
    topic, centres, names = material.topics
    onto = csr_array((np.ones(len(rows)), (np.arange(len(rows)), topic)), shape=(len(rows), len(centres)))
    slice_of = number[rows]
    first, final = np.flatnonzero(slice_of == 0), np.flatnonzero(slice_of == last)
    if min(len(first), len(final)) < LEAST_IN_SLICE:
        return {}
    found = permuted_shift(onto, first, final, seed=material.context.seed)
    before, after = (np.bincount(topic[some], minlength=len(centres)) / len(some) for some in (first, final))
    order = np.argsort(-np.abs(after - before), kind="stable")[:5]
    moved = [
        {"words": names[at], "before": round(float(before[at]), 4), "after": round(float(after[at]), 4)}
        for at in order.tolist()
    ]
    return {**_shown(found), "moved": moved}


def _shown(found: Any) -> dict[str, float]:
    return {
        "divergence": round(found.divergence, 5), "shuffled": round(found.expected, 5), "excess": round(found.excess, 5), "p_value": round(found.p_value, 5),
    }  # fmt: skip


def _day(day: float) -> str:
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(days=day)).date().isoformat()


def _between(days: Array) -> str:
    return f"{_day(float(days.min()))} to {_day(float(days.max()))}"
