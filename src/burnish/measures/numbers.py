"""How good predicted numbers are: correlation, errors, and agreement of ordered classes.

Pearson, MAE, RMSE and R2 come from sums that add up over records, so that an interval draws rows and not texts; Spearman
needs all ranks at once. Numbers are float64; n records, last axis of sums 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def number_sums(targets: ArrayLike, predictions: ArrayLike, *, centre: float = 0.0) -> Floats:
    """Of each record (n, 8): 1, t, p, tt, pp, tp, |t - p|, (t - p)^2, of t and p less `centre`; they add up.

    centre: a number in the middle of the targets, the same for all sums that are put together. It changes no score and
    keeps the last digits where the numbers are far from 0 and near each other.
    """
    t, p = _pair(targets, predictions)
    t, p = t - centre, p - centre
    return np.stack([np.ones_like(t), t, p, t * t, p * p, t * p, np.abs(t - p), (t - p) ** 2], axis=-1)


def number_scores(sums: NDArray[Any]) -> dict[str, Floats]:
    """pearson (-1..1), r2 (up to 1), mae and rmse (0 up, in the unit of the target) of sums (..., 8): (...).

    Pearson is NaN where targets or predictions do not vary, R2 where targets do not (scipy and scikit-learn warn there).
    """
    n, t, p, tt, pp, tp, off, square = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_t, spread_p = _spread(tt, t, n), _spread(pp, p, n)
        pearson = np.clip((tp - t * p / n) / np.sqrt(spread_t * spread_p), -1.0, 1.0)
        return {
            "pearson": pearson,
            "r2": 1.0 - square / spread_t,
            "mae": off / n,
            "rmse": np.sqrt(square / n),
        }


def _spread(squares: Floats, total: Floats, n: Floats) -> Floats:
    """Sum of squared deviations; what is only the rounding of numbers that do not vary is NaN."""
    spread = squares - total * total / n
    made: Floats = np.where(spread > 1e-14 * np.abs(squares), spread, np.nan)
    return made


def ranks(values: ArrayLike) -> Floats:
    """Ranks from 1, equal values the mean of theirs: (n,)."""
    values = np.asarray(values, dtype=np.float64)
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[group]


def spearman(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Pearson correlation of the ranks, ties at their mean rank, -1..1; NaN where one side does not vary (Spearman 1904)."""
    t, p = _pair(targets, predictions)
    if not len(t):
        return float("nan")
    return float(number_scores(number_sums(ranks(t), ranks(p), centre=(len(t) + 1) / 2).sum(0))["pearson"])


def quadratic_kappa(matrix: NDArray[Any]) -> Floats:
    """Agreement beyond chance of ordered classes, from confusion matrices (..., C, C): (...), -1..1, 1 is perfect.

    A mistake weighs the square of its distance in classes (Cohen 1968); equal to scikit-learn's
    cohen_kappa_score(weights="quadratic") with all classes named. Where targets and predictions are all of one and the
    same class it is 1: nothing was confused (scikit-learn gives NaN).
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    classes = np.arange(matrix.shape[-1])
    weights = (classes[:, None] - classes[None, :]) ** 2
    total = matrix.sum((-2, -1))
    chance = matrix.sum(-1)[..., :, None] * matrix.sum(-2)[..., None, :]
    found, expected = (weights * matrix).sum((-2, -1)), (weights * chance).sum((-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(expected > 0, 1.0 - found * total / expected, 1.0)
    made: Floats = np.where(total > 0, kappa, np.nan)
    return made


def _pair(targets: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    t, p = np.asarray(targets, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if t.ndim != 1 or t.shape != p.shape:
        raise ValueError(f"targets {t.shape} and predictions {p.shape} must be of one length")
    if not (np.isfinite(t).all() and np.isfinite(p).all()):
        raise ValueError("targets and predictions must be finite")
    return t, p
