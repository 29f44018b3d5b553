"""How sure a score is: intervals, and whether two models differ.

Every random draw comes from the seed that is passed in. Intervals are two-sided at `confidence`, 0.95 by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.scores import confusion

# A score of confusion matrices (draws, classes, classes) -> (draws,), such as scores.macro_f1.
MatrixScore = Callable[[NDArray[Any]], NDArray[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A score and the interval around it, low <= high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Model b minus model a; p_value: two-sided, that there is no difference."""

    value: float
    low: float
    high: float
    p_value: float


def bootstrap(
    targets: ArrayLike,
    predictions: ArrayLike,
    score: MatrixScore,
    *,
    num_classes: int,
    seed: int,
    draws: int = 1000,
    stratified: bool = False,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap of a score of the confusion matrix (Efron 1979).

    Drawing n records with replacement is drawing the cells of the confusion matrix from a multinomial distribution: no
    index is drawn, and the cost does not grow with n. stratified: every class keeps its number of records in every draw.
    """
    matrix = confusion(targets, predictions, num_classes)
    rng = np.random.default_rng(seed)
    if not matrix.any():
        raise ValueError("a bootstrap needs at least one record")
    outcomes = np.stack(np.nonzero(matrix))  # (target, prediction) pairs that occur: (2, outcomes)
    counts = matrix[outcomes[0], outcomes[1]]
    strata = (
        [outcomes[0] == label for label in np.unique(outcomes[0])] if stratified else [np.ones(len(counts), dtype=bool)]
    )
    drawn = np.empty((draws, len(counts)), dtype=np.int64)
    for stratum in strata:
        drawn[:, stratum] = _drawn(rng, counts[stratum], draws)
    return Interval(float(score(matrix)), *_percentiles(_scored(drawn, outcomes, score, num_classes), confidence))


def bootstrap_indices(
    count: int,
    score: Callable[[NDArray[np.int64]], float],
    *,
    seed: int,
    draws: int = 1000,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap of any score of record indices (n,) -> float, such as ECE or entity F1.

    strata: (n,) records are drawn within each value, so that each keeps its number.
    """
    if count < 1:
        raise ValueError("a bootstrap needs at least one record")
    rng = np.random.default_rng(seed)
    groups = (
        np.zeros(count, dtype=np.int64) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    )
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    start, size = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    drawn = (score(order[start + (rng.random(count) * size).astype(np.int64)]) for _ in range(draws))
    return Interval(float(score(np.arange(count))), *_percentiles(np.fromiter(drawn, dtype=np.float64), confidence))


def paired_bootstrap(
    targets: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    score: MatrixScore,
    *,
    num_classes: int,
    seed: int,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Difference:
    """Compare two models on the same records: both are scored on the same draws (Berg-Kirkpatrick et al. 2012).

    The p-value is twice the smaller share of draws on either side of no difference, at most 1, at least 1 / draws.
    Only outcomes (target, a, b) that occur are drawn. Memory: draws x their number.
    """
    a, b = confusion(targets, predictions_a, num_classes), confusion(targets, predictions_b, num_classes)
    if not a.any():
        raise ValueError("a bootstrap needs at least one record")
    cells = np.stack([np.asarray(side, dtype=np.int64) for side in (targets, predictions_a, predictions_b)])
    outcomes, counts = np.unique(cells, axis=1, return_counts=True)
    drawn = _drawn(np.random.default_rng(seed), counts, draws)
    of_a, of_b = (_scored(drawn, outcomes[[0, side]], score, num_classes) for side in (1, 2))
    gap = of_b - of_a
    tail = min(float((gap <= 0).mean()), float((gap >= 0).mean()))
    low, high = _percentiles(gap, confidence)
    return Difference(float(score(b) - score(a)), low, high, min(1.0, max(2 * tail, 1 / draws)))


def bootstrap_sums(
    tally: ArrayLike,
    figures: Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]],
    *,
    seed: int,
    draws: int = 1000,
    against: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, Difference]:
    """Percentile bootstrap of scores whose counts add up over records: entity F1, BLEU, mean reciprocal rank.

    tally: (n, s) counts of each record. figures: sums (..., s) -> scores (...) by name. against: the tally of another
    model on the same records; then it is the difference tally - against, on the same draws (Berg-Kirkpatrick et al. 2012).
    A score that is a plain share of records has Wilson's interval, which does not vanish at 0 and 1. Scores that are not a
    number in a draw are left out of it. p_value as in `paired_bootstrap`, 1.0 for a single model. Memory: 64 draws x n.
    """
    own = np.asarray(tally, dtype=np.float64)
    if not len(own):
        raise ValueError("a bootstrap needs at least one record")
    other = None if against is None else np.asarray(against, dtype=np.float64)
    rng, n = np.random.default_rng(seed), len(own)
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    for start in range(0, draws, 64):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(64, draws - start)).astype(np.float64)
        scored = figures(weights @ own)
        base = figures(weights @ other) if other is not None else {}
        for name, values in scored.items():
            drawn.setdefault(name, []).append(values - base[name] if other is not None else values)
    whole, base = figures(own.sum(0)), figures(other.sum(0)) if other is not None else {}
    found = {}
    for name, parts in drawn.items():
        values = np.concatenate([np.atleast_1d(part) for part in parts])
        values = values[np.isfinite(values)]
        value = float(whole[name]) - (float(base[name]) if other is not None else 0.0)
        low, high = _percentiles(values, confidence) if len(values) else (float("nan"), float("nan"))
        tail = (
            min(float((values <= 0).mean()), float((values >= 0).mean())) if len(values) and other is not None else 0.5
        )
        found[name] = Difference(value, low, high, min(1.0, max(2 * tail, 1 / draws)))
    return found if other is not None else found | _shares(own, figures, found, confidence)


def _shares(
    tally: NDArray[np.float64], figures: Any, found: Mapping[str, Difference], confidence: float
) -> dict[str, Difference]:
    """Wilson's interval for the scores that are a plain share of records."""
    each = figures(tally)
    made = {}
    for name, one in found.items():
        values = np.asarray(each[name], dtype=np.float64)
        if (
            values.shape == (len(tally),)
            and np.isin(values, (0.0, 1.0)).all()
            and abs(values.mean() - one.value) < 1e-9
        ):
            around = wilson(int(values.sum()), len(values), confidence=confidence)
            made[name] = Difference(one.value, around.low, around.high, 1.0)
    return made


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> float:
    """Return the two-sided exact p-value that a and b err equally often (McNemar 1947; binomial on the disagreements).

    right_a, right_b: (n,) bool, whether each model is right on each record. 1.0 when they never differ.
    """
    from scipy.stats import binomtest

    right_a, right_b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def wilson(successes: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (1927): right for small counts and near 0 and 1. (0, 1) without records."""
    from scipy.stats import norm

    _check_counts(successes, total)
    if not total:
        return Interval(float("nan"), 0.0, 1.0)
    z = float(norm.ppf((1 + confidence) / 2))
    share, shrink = successes / total, 1 + z**2 / total
    middle = (share + z**2 / (2 * total)) / shrink
    half = z / shrink * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(share, 0.0 if successes == 0 else low, 1.0 if successes == total else high)


def clopper_pearson(successes: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a proportion (1934): holds at least `confidence`, so it is wide."""
    from scipy.stats import beta

    _check_counts(successes, total)
    if not total:
        return Interval(float("nan"), 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, total - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, total - successes)) if successes < total else 1.0
    return Interval(successes / total, low, high)


def _drawn(rng: np.random.Generator, counts: NDArray[np.int64], draws: int) -> NDArray[np.int64]:
    """Draw counts.sum() records with replacement, `draws` times; how often each outcome came: (draws, outcomes)."""
    return rng.multinomial(int(counts.sum()), counts / counts.sum(), size=draws)


def _scored(
    drawn: NDArray[np.int64], outcomes: NDArray[np.int64], score: MatrixScore, num_classes: int
) -> NDArray[np.float64]:
    """Score the confusion matrix of each draw (draws, outcomes); outcomes (2, outcomes) are its rows and columns.

    In blocks, because draws x classes^2 is large for many classes.
    """
    values = np.empty(len(drawn))
    step = max(1, (1 << 22) // num_classes**2)
    for start in range(0, len(drawn), step):
        rows = drawn[start : start + step]
        matrices = np.zeros((num_classes**2, len(rows)), dtype=np.int64)
        np.add.at(matrices, outcomes[0] * num_classes + outcomes[1], rows.T)
        values[start : start + step] = score(matrices.T.reshape(len(rows), num_classes, num_classes))
    return values


def _percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _check_counts(successes: int, total: int) -> None:
    if not 0 <= successes <= total:
        raise ValueError(f"successes must lie in 0..{total}, not {successes}")
