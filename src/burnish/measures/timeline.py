"""What changes over time: vocabulary and topics between slices of time, and what old records are still worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.association import group_counts
from burnish.measures.distribution import jensen_shannon

Floats = NDArray[np.float64]


def equal_slices(times: ArrayLike, count: int) -> NDArray[np.int64]:
    """Slices 0 (oldest) to count - 1 of about equal size (n,); equal times are in one slice; NaN has -1."""
    when = np.asarray(times, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(when))
    found = np.full(len(when), -1, dtype=np.int64)
    if not len(known):
        return found
    values, inverse, sizes = np.unique(when[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - sizes / 2
    number = np.minimum((middle / len(known) * count).astype(np.int64), count - 1)
    found[known] = np.unique(number, return_inverse=True)[1].reshape(-1)[inverse] if len(values) else number
    return found


@dataclass(frozen=True)
class Shift:
    """Jensen-Shannon divergence in bits between two sets, what shuffling gives (mean and 95th percentile), the p-value, and
    excess: divergence less the mean of the shuffled ones, 0 where there is no drift."""

    divergence: float
    expected: float
    limit: float
    p_value: float

    @property
    def excess(self) -> float:
        return max(0.0, self.divergence - self.expected)


def permuted_shift(bag: Any, first: ArrayLike, second: ArrayLike, *, seed: int, draws: int = 200) -> Shift:
    """Do two sets of rows of a sparse matrix of counts (n, words) come from one distribution?

    Records are shuffled between the sets as wholes (words of one text go together), `draws` times; p = (1 + number of shuffles
    that diverge as much) / (1 + draws) (Good 2005). Divergence: Jensen-Shannon in bits (Lin 1991), 0..1.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    rows = bag[np.concatenate([a, b])]
    side = np.repeat([0, 1], [len(a), len(b)])
    total = np.asarray(rows.sum(axis=0)).reshape(-1).astype(np.float64)
    observed = _diverged(group_counts(rows, side, 2))
    rng = np.random.default_rng(seed)
    shuffled = np.empty(draws)
    for start in range(0, draws, 25):
        some = min(25, draws - start)
        picked = np.stack([rng.permutation(side) == 0 for _ in range(some)])
        left = np.asarray(rows.T @ picked.T.astype(np.float64)).T  # (draws, words)
        shuffled[start : start + some] = [_diverged(np.stack([one, total - one])) for one in left]
    p_value = (1 + int((shuffled >= observed - 1e-12).sum())) / (1 + draws)
    return Shift(observed, float(shuffled.mean()), float(np.quantile(shuffled, 0.95)), p_value)


def _diverged(counts: Floats) -> float:
    return jensen_shannon(counts[0], counts[1]) if (counts.sum(1) > 0).all() else 0.0


@dataclass(frozen=True)
class Decline:
    """What a unit of age costs. slope: change of the score by unit of age (below 0: old records are worth less), with its 95%
    interval; start: the score at age 0; due: age at which `drop` is lost, with the interval (inf: never within what is sure)."""

    slope: float
    slope_low: float
    slope_high: float
    start: float
    due: float
    due_low: float
    due_high: float


def decline(ages: ArrayLike, scores: ArrayLike, *, drop: float, seed: int, draws: int = 1000) -> Decline:
    """Fit score = start + slope age to repeats (r, slices) by least squares; repeats are drawn again and again (Efron 1979).

    ages: (slices,). The age when `drop` is lost is drop / -slope: a line is laid through what was seen, so a date beyond the
    oldest slice is an extrapolation.
    """
    age, score = np.asarray(ages, dtype=np.float64), np.atleast_2d(np.asarray(scores, dtype=np.float64))
    rng = np.random.default_rng(seed)
    middle = score.mean(0)
    slope, start = _line(age, middle)
    # repeats share their records: the points' distance from the line says what the repeats cannot
    fitted = start + slope * age
    free = max(len(age) - 2, 1)
    noise = np.sqrt(np.square(middle - fitted).sum() / free)
    drawn = score[rng.integers(len(score), size=(draws, len(score)))].mean(1) + rng.normal(0, noise, (draws, len(age)))
    slopes = np.array([_line(age, one)[0] for one in drawn])
    low, high = np.quantile(slopes, [0.025, 0.975])
    return Decline(
        slope, float(low), float(high), start, _due(slope, drop), _due(float(low), drop), _due(float(high), drop)
    )


def _due(slope: float, drop: float) -> float:
    return drop / -slope if slope < 0 else float("inf")


def _line(age: Floats, score: Floats) -> tuple[float, float]:
    moved = age - age.mean()
    slope = float((moved * (score - score.mean())).sum() / max(float(np.square(moved).sum()), 1e-12))
    return slope, float(score.mean() - slope * age.mean())
