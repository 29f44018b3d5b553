"""Groups of people in texts: who is spoken of, how labels are spread over them, which words go with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from burnish.measures.intervals import wilson

Array = NDArray[Any]


class Rate(NamedTuple):
    """`hits` of `total` inside a group, `rest_count` of `rest` outside; p_value: that the two rates are one."""

    hits: int
    total: int
    value: float
    low: float
    high: float
    rest_count: int
    rest: int
    rest_value: float
    p_value: float


def rate(inside: Array, marked: Array) -> Rate:
    """How often `marked` (n,) holds inside a group (n,) and outside: Wilson's interval (1927), Fisher's exact test (1922)."""
    from scipy.stats import fisher_exact

    total, rest = int(inside.sum()), int((~inside).sum())
    count, rest_count = int((inside & marked).sum()), int((~inside & marked).sum())
    around = wilson(count, total)
    p = float(fisher_exact([[count, total - count], [rest_count, rest - rest_count]])[1]) if total and rest else 1.0
    return Rate(
        count, total, around.value, around.low, around.high, rest_count, rest, rest_count / rest if rest else 0.0, p
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of many tests at once: Holm's step-down (1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.maximum.accumulate([min(1.0, p_values[at] * (len(order) - step)) for step, at in enumerate(order)])
    made = np.ones(len(order))
    made[order] = adjusted
    return [float(one) for one in made]


def log_odds(
    inside: Counter[str], outside: Counter[str], *, prior: float = 500.0, least: int = 5
) -> list[tuple[str, float]]:
    """Words by how much they go with one set of texts against another: z of the log-odds ratio, highest first.

    With an informative Dirichlet prior of `prior` pseudo-counts spread as the words are in both together (Monroe, Colaresi
    and Quinn 2008, "Fightin' Words", eqs. 16, 20 and 22). Words met fewer than `least` times are left out.
    """
    both = inside + outside
    n_in, n_out, n = inside.total(), outside.total(), both.total()
    if not n_in or not n_out:
        return []
    found = []
    for word, count in both.items():
        if count < least:
            continue
        a = prior * count / n
        y, z = inside[word] + a, outside[word] + a
        delta = np.log(y / (n_in + prior - y)) - np.log(z / (n_out + prior - z))
        found.append((word, float(delta / np.sqrt(1 / y + 1 / z))))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


class Weat(NamedTuple):
    """effect: Cohen's d of the association of x against y, -2..2; p_value: one-sided, by permutation."""

    effect: float
    p_value: float


def weat(x: Array, y: Array, a: Array, b: Array, *, seed: int, draws: int = 2000) -> Weat:
    """Word embedding association test (Caliskan, Bryson and Narayanan 2017): do vectors x lie nearer to a than y do?

    x, y (n, d): targets; a, b (m, d): attributes; cosine. effect: (mean of s over x - mean over y) / deviation over both,
    with s(w) = mean cos(w, a) - mean cos(w, b). p_value: share of equally large partitions that give as much.
    """
    unit = [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in (x, y, a, b)]
    towards = unit[2].mean(axis=0) - unit[3].mean(axis=0)
    score = np.concatenate([unit[0] @ towards, unit[1] @ towards])
    size = len(x)
    spread = score.std(ddof=1)
    seen = score[:size].mean() - score[size:].mean()
    rng = np.random.default_rng(seed)
    count = 1
    for _ in range(draws):
        order = rng.permutation(len(score))
        count += score[order[:size]].mean() - score[order[size:]].mean() >= seen
    return Weat(float(seen / spread) if spread else 0.0, count / (draws + 1))
