"""What is wrong with marked spans: which types are taken for which, borders beside types, by length, new names beside known.

A target and a prediction meet when they share a character; each target is judged by the prediction it shares most with.
Spans are {start, end, label} in characters, end exclusive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from burnish.measures.entities import Spans

MISSED, INVENTED = "missed", "invented"
KINDS = ("right", "border", "type", "border_and_type", MISSED, INVENTED)


def span_errors(targets: Sequence[Spans], predictions: Sequence[Spans], labels: Sequence[str]) -> dict[str, Any]:
    """Every target and prediction by what became of it, and which types are taken for which.

    kinds: right; border (same type, other borders); type (same borders, other type); border_and_type; missed; invented.
    right + border + type + border_and_type + missed is the number of targets. confusion: rows are target types and,
    last, what was invented; columns predicted types and, last, what was missed. A border error counts under its types.
    """
    kinds: Counter[str] = Counter({kind: 0 for kind in KINDS})
    at = {label: i for i, label in enumerate(labels)}
    confusion = [[0] * (len(labels) + 1) for _ in range(len(labels) + 1)]
    for gold, said in zip(targets, predictions, strict=True):
        wanted, found = _unique(gold), _unique(said)
        met: set[tuple[int, int, str]] = set()
        for one in wanted:
            best = max(
                (other for other in found if _shared(one, other) > 0), key=lambda o: _closeness(one, o), default=None
            )
            if best is None:
                kinds[MISSED] += 1
                confusion[at[one[2]]][-1] += 1
                continue
            met.add(best)
            kinds[_kind_of(one, best)] += 1
            confusion[at[one[2]]][at[best[2]]] += 1
        for other in found:
            if other not in met and not any(_shared(one, other) for one in wanted):
                kinds[INVENTED] += 1
                confusion[-1][at[other[2]]] += 1
    return {"kinds": dict(kinds), "confusion": confusion}


def _unique(spans: Spans) -> list[tuple[int, int, str]]:
    return sorted({(one["start"], one["end"], one["label"]) for one in spans or ()})


def _shared(one: tuple[int, int, str], other: tuple[int, int, str]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _closeness(one: tuple[int, int, str], other: tuple[int, int, str]) -> tuple[bool, float, bool]:
    """Exactly the span first, then the largest share of both (Jaccard), then the same type."""
    joint = max(one[1], other[1]) - min(one[0], other[0])
    return one == other, _shared(one, other) / joint, one[2] == other[2]


def _kind_of(one: tuple[int, int, str], other: tuple[int, int, str]) -> str:
    if one == other:
        return "right"
    if one[2] == other[2]:
        return "border"
    return "type" if one[:2] == other[:2] else "border_and_type"


def scores_by(
    targets: Sequence[Spans],
    predictions: Sequence[Spans],
    bucket: Callable[[int, Mapping[str, Any]], str],
) -> dict[str, dict[str, float]]:
    """Strict precision, recall, F1 and support of the spans of each bucket. bucket(record, span) names it."""
    counts: dict[str, list[int]] = {}
    for row, (gold, said) in enumerate(zip(targets, predictions, strict=True)):
        wanted, found = set(_unique(gold)), set(_unique(said))
        for kind, spans in enumerate((wanted & found, found - wanted, wanted - found)):
            for start, end, label in spans:
                name = bucket(row, {"start": start, "end": end, "label": label})
                counts.setdefault(name, [0, 0, 0])[kind] += 1
    made = {}
    for name in sorted(counts):
        right, extra, missing = counts[name]
        precision = right / (right + extra) if right + extra else 0.0
        recall = right / (right + missing) if right + missing else 0.0
        f1 = 2 * right / (2 * right + extra + missing) if right + extra + missing else 0.0
        made[name] = {"precision": precision, "recall": recall, "f1": f1, "support": right + missing}
    return made


def reliability(wanted: Sequence[Any], said: Sequence[Any]) -> dict[str, Any]:
    """How far the scores of spans are from how often they are right, as classification tells it; {} without spans."""
    rows = [
        (float(one.get("score", 1.0)), (one["start"], one["end"], one["label"]) in gold)
        for gold, spans in (
            ({(s["start"], s["end"], s["label"]) for s in gold or ()}, spans)
            for gold, spans in zip(wanted, said, strict=True)
        )
        for one in spans
    ]
    if not rows:
        return {}
    scores, right = np.array(rows, float).T
    place = np.minimum((scores * 10).astype(int), 9)
    bins, gap = [], 0.0
    for at in range(10):
        here = place == at
        count = int(here.sum())
        mean, share = (float(one[here].mean()) if count else None for one in (scores, right))
        gap += count * abs((mean or 0.0) - (share or 0.0)) / len(rows)
        bins.append({"lower": at / 10, "upper": (at + 1) / 10, "count": count, "confidence": mean, "accuracy": share})
    return {"ece": gap, "calibration": bins}
