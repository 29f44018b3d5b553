"""Krippendorff's alpha for any kind of value: classes in an order, numbers, sets, spans, texts.

A unit is a record, its values are what each reviewer who looked at it said; who did not look is simply not there.
alpha = 1 - D_o / D_e, with D_o the mean difference between two values of one record, D_e between any two values at all
(Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections A to D). 1 perfect, 0 chance, below 0 worse;
NaN where nothing can be compared or nothing differs at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, TypeVar

import numpy as np

Value = TypeVar("Value", bound=Hashable)
Difference = Callable[[Any, Any], float]

MOST_PAIRS = 100_000  # of distinct values that are compared for D_e; of more, as many are drawn


def alpha(units: Iterable[Sequence[Value]], difference: Difference, *, seed: int = 0) -> float:
    """Alpha of units under a difference (0 for the same, larger for more different; squared already where it is metric).

    Cost: pairs inside units, and at most MOST_PAIRS between distinct values (drawn with `seed` where there are more).
    """
    pairable = [unit for unit in units if len(unit) > 1]
    counts = Counter(value for unit in pairable for value in unit)
    total = counts.total()
    if total < 2:
        return float("nan")
    inside = sum(2 * sum(difference(a, b) for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in pairable)
    expected = _expected(counts, total, difference, seed)
    return 1 - (inside / total) / expected if expected else float("nan")


def _expected(counts: Counter[Any], total: int, difference: Difference, seed: int) -> float:
    """Mean difference between two of all values."""
    values = list(counts)
    if len(values) * (len(values) - 1) // 2 <= MOST_PAIRS:
        apart = sum(2 * counts[a] * counts[b] * difference(a, b) for a, b in combinations(values, 2))
        return apart / (total * (total - 1))
    every = list(counts.elements())
    draws = np.random.default_rng(seed).integers(0, total, (MOST_PAIRS, 2))
    draws = draws[draws[:, 0] != draws[:, 1]]
    return float(np.mean([difference(every[a], every[b]) for a, b in draws.tolist()]))


def nominal(a: Any, b: Any) -> float:
    """0 for the same, 1 for another."""
    return float(a != b)


def interval(a: float, b: float) -> float:
    """The square of the difference of two numbers."""
    return (a - b) ** 2


def ordinal(order: Sequence[Hashable], counts: Mapping[Any, int]) -> Difference:
    """Difference of classes in an order: the square of how many values lie between them, half of their own counted.

    counts: how often each class was said in all units that can be compared.
    """
    below = np.concatenate([[0], np.cumsum([counts.get(one, 0) for one in order])])
    middle = {one: (below[at] + below[at + 1]) / 2 for at, one in enumerate(order)}
    return lambda a, b: float((middle[a] - middle[b]) ** 2)


def masi(a: Collection[Hashable], b: Collection[Hashable]) -> float:
    """Difference of sets: 1 - Jaccard x monotonicity (1 the same, 2/3 one inside the other, 1/3 crossing, 0 apart).

    Passonneau 2006, "Measuring Agreement on Set-valued Items (MASI) for Semantic and Pragmatic Annotation".
    """
    first, second = set(a), set(b)
    if first == second:
        return 0.0
    both, either = first & second, first | second
    if not both:
        return 1.0
    monotonicity = 2 / 3 if both in (first, second) else 1 / 3
    return 1 - len(both) / len(either) * monotonicity


def f1_apart(a: Collection[Hashable], b: Collection[Hashable]) -> float:
    """1 - F1 of two sets of marks; 0 where both are empty. (Hripcsak & Rothschild 2005: F1 for marks without a known
    number of places where none is.)"""
    first, second = set(a), set(b)
    return 1 - 2 * len(first & second) / (len(first) + len(second)) if first or second else 0.0


def overlap_apart(a: tuple[int, int] | None, b: tuple[int, int] | None) -> float:
    """1 - F1 of the characters of two stretches (start, end); None is none at all, and far from any."""
    if a is None or b is None:
        return float(a != b)
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    lengths = (a[1] - a[0]) + (b[1] - b[0])
    return 1 - 2 * shared / lengths if lengths else 0.0


def by_character(records: Iterable[tuple[int, Sequence[Collection[tuple[int, int, str]]]]]) -> float:
    """Nominal alpha of spans, every character of every text a unit: its value is the set of labels it lies in.

    records: (length of the text, the spans (start, end, label) that each reviewer marked). Cost grows with spans, not
    with characters.
    """
    counts: Counter[frozenset[str]] = Counter()
    differing = 0.0
    for length, marked in records:
        if len(marked) < 2:
            continue
        cuts = sorted({0, length, *(edge for spans in marked for one in spans for edge in one[:2])})
        for start, end in pairwise(cuts):
            said = Counter(frozenset(one[2] for one in spans if one[0] <= start and end <= one[1]) for spans in marked)
            raters, same = said.total(), sum(count * (count - 1) for count in said.values())
            differing += (end - start) * (raters * (raters - 1) - same) / (raters - 1)
            for value, count in said.items():
                counts[value] += count * (end - start)
    total = counts.total()
    expected = total**2 - sum(count**2 for count in counts.values())
    return 1 - (total - 1) * differing / expected if expected else float("nan")


def weighted_kappa(a: Sequence[int], b: Sequence[int], classes: int) -> float:
    """Cohen's kappa with quadratic weights, for classes in an order (Cohen 1968); NaN where chance is certain."""
    table = np.zeros((classes, classes))
    np.add.at(table, (np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)), 1)
    if not table.sum():
        return float("nan")
    table /= table.sum()
    apart = (np.arange(classes)[:, None] - np.arange(classes)) ** 2
    chance = float((apart * np.outer(table.sum(1), table.sum(0))).sum())
    return 1 - float((apart * table).sum()) / chance if chance else float("nan")
