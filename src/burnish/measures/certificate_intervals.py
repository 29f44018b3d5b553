"""How sure a share is that was measured on a stratified sample: intervals that hold for small samples and near 1.

H strata hold sizes (H,) records each, of which checked (H,) were looked at and right (H,) found right; within a stratum
the checked records are a simple random sample. Leading dimensions (..., H) are samples side by side. Intervals are
two-sided at `confidence`; `z` replaces the normal quantile where somebody looks more often than once (`look_often`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.intervals import Interval, clopper_pearson

Floats = NDArray[np.float64]
STEPS = 40  # halvings of the search for an end of an interval: far below any digit that is shown


def quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 at 0.95."""
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def look_often(checked: float, planned: float, *, confidence: float = 0.95) -> float:
    """The quantile with which an interval holds at every look at once, however often and whenever somebody looks.

    Robbins' normal mixture as an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024,
    Annals of Statistics 52): sqrt((1 + 1/(n rho^2)) (log(1 + n rho^2) - 2 log alpha)), with rho set so that it is
    tightest at `planned` checks.
    """
    alpha = 1 - confidence
    rho = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / max(planned, 1.0)
    seen = max(checked, 1.0) * rho
    return math.sqrt((1 + 1 / seen) * (math.log1p(seen) - 2 * math.log(alpha)))


def stratified(
    right: ArrayLike, checked: ArrayLike, sizes: ArrayLike, *, confidence: float = 0.95, z: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """(share right of all records, low, high), each (...,), by the score interval of a stratified sample.

    Wilson's interval for several strata: a share is believed as long as it is within z standard errors of what was seen,
    with the standard error under that share. The shares of the strata that fit it best are found by maximum likelihood
    under the constraint that their weighted mean is that share (the restricted estimates of Miettinen and Nurminen 1985,
    here for one weighted sum); so a large stratum with few checks and no error among them still widens the interval. With
    one stratum it is Wilson's. Every stratum must have a check. Variances carry the finite population correction 1 - n/N.
    """
    right, checked, sizes = (np.asarray(one, dtype=np.float64) for one in (right, checked, sizes))
    if (checked <= 0).any() or (right > checked).any() or (checked > sizes).any():
        raise ValueError("every stratum needs a check, no more right than checked, no more checked than there are")
    right, checked, sizes = np.broadcast_arrays(right, checked, sizes)
    weight = sizes / sizes.sum(-1, keepdims=True)
    value = (weight * right / checked).sum(-1)
    bound = np.asarray(quantile(confidence) if z is None else z, dtype=np.float64)
    unseen = weight**2 * (1 - checked / sizes)  # of each stratum's part, p (1 - p) / checks of the variance
    low = _end(right, checked, weight, unseen, value, bound)
    high = 1 - _end(checked - right, checked, weight, unseen, 1 - value, bound)
    return value, low, high


def _end(right: Floats, checked: Floats, weight: Floats, unseen: Floats, value: Floats, z: Floats) -> Floats:
    """The lower end (...,): bisection over the multiplier of the constraint, which the share falls with."""
    below, above = np.zeros(value.shape), np.asarray(checked.sum(-1), dtype=np.float64)
    for _ in range(STEPS):  # until the multiplier is large enough everywhere
        far = _apart(right, checked, weight, unseen, value, above) < z
        if not far.any() or above.max() > 1e12:
            break
        above = np.where(far, above * 4, above)
    for _ in range(STEPS):
        middle = (below + above) / 2
        near = _apart(right, checked, weight, unseen, value, middle) < z
        below, above = np.where(near, middle, below), np.where(near, above, middle)
    found: Floats = (weight * _restricted(right, checked, weight * below[..., None])).sum(-1)
    return found


def _apart(right: Floats, checked: Floats, weight: Floats, unseen: Floats, value: Floats, multiplier: Floats) -> Floats:
    """Standard errors between what was seen and the share that the multiplier stands for."""
    shares = _restricted(right, checked, weight * multiplier[..., None])
    gap = value - (weight * shares).sum(-1)
    spread = shares * np.maximum(1 - shares, 0.0)
    # each stratum's share is fitted: together H - 1 checks more than one share takes, where shares can vary at all
    spare = checked - (1 - 1 / checked.shape[-1]) * 4 * spread
    error = np.sqrt((unseen * spread / spare).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        made: Floats = np.where(gap <= 1e-15, 0.0, gap / error)
    return made


def _restricted(right: Floats, checked: Floats, pull: Floats) -> Floats:
    """The share p of each stratum that maximises right log p + (checked - right) log(1 - p) - pull p, for pull >= 0.

    The root of pull p^2 - (checked + pull) p + right = 0 that lies in 0..1, without cancellation.
    """
    total = checked + pull
    made: Floats = 2 * right / (total + np.sqrt(np.maximum(total**2 - 4 * pull * right, 0.0)))
    return made


def share(
    right: ArrayLike, checked: ArrayLike, sizes: ArrayLike, *, confidence: float = 0.95, z: float | None = None
) -> tuple[Interval, str]:
    """The share right with its interval, and the name of the method: exact binomial for one stratum, else `stratified`.

    Strata without a check are left to others: merge them first (`certificate_design.merged`).
    """
    right, checked, sizes = (np.atleast_1d(np.asarray(one, dtype=np.int64)) for one in (right, checked, sizes))
    if len(sizes) == 1 and z is None:
        return clopper_pearson(
            int(right[0]), int(checked[0]), confidence=confidence
        ), "exact binomial (Clopper-Pearson)"
    value, low, high = stratified(right, checked, sizes, confidence=confidence, z=z)
    return Interval(float(value), float(low), float(high)), "stratified score (Wilson)"


def ratio(
    part: ArrayLike, whole: ArrayLike, stratum: ArrayLike, sizes: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """The ratio of two totals, sum(part) / sum(whole) over all records, from checked ones (n,); 0 <= part <= whole.

    Precision, recall and F1 of mentions, accuracy of one label, a cell of a noise matrix are all such ratios. Wilson's
    interval on the effective number of `whole` units: p (1 - p) over the linearised variance of the ratio (Korn and
    Graubard 1998), with Student's t for few records; where no unit differs from the others, Kish's effective number.
    stratum: (n,) numbers; sizes: (H,) records in each. Nothing in the sample: nan within 0..1.
    """
    from scipy.stats import t

    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    stratum, sizes = np.asarray(stratum, dtype=np.int64), np.asarray(sizes, dtype=np.float64)
    count = np.bincount(stratum, minlength=len(sizes)).astype(np.float64)
    weight = (sizes / np.maximum(count, 1))[stratum]
    total = float(weight @ whole)
    if not total > 0:
        return Interval(float("nan"), 0.0, 1.0)
    value = float(weight @ part) / total
    kish = total**2 / float((weight**2 * whole) @ np.maximum(whole, 1.0))  # records, not units, are what was drawn
    effective = kish
    if 0 < value < 1:
        rest = (part - value * whole) / total * weight
        middle = np.bincount(stratum, weights=rest, minlength=len(sizes)) / np.maximum(count, 1)
        spread = np.bincount(stratum, weights=(rest - middle[stratum]) ** 2, minlength=len(sizes))
        unseen = 1 - count / np.maximum(sizes, 1)
        variance = float((spread * unseen * count / np.maximum(count - 1, 1)).sum())
        effective = value * (1 - value) / max(variance, 1e-12)
    members = int((whole > 0).sum())
    z = float(t.ppf((1 + confidence) / 2, max(members - 1, 1)))
    low, high = _wilson(value, min(effective, 4 * kish), min(z, 4.0))
    return Interval(value, low, high)


def _wilson(value: float, count: float, z: float) -> tuple[float, float]:
    shrink = 1 + z**2 / count
    middle = (value + z**2 / (2 * count)) / shrink
    half = z / shrink * math.sqrt(value * (1 - value) / count + z**2 / (4 * count**2))
    return (0.0 if value <= 0 else max(0.0, middle - half)), (1.0 if value >= 1 else min(1.0, middle + half))


def prediction_powered(
    seen: ArrayLike,
    predicted: ArrayLike,
    unchecked: Sequence[ArrayLike],
    stratum: ArrayLike,
    *,
    confidence: float = 0.95,
) -> tuple[Interval, float]:
    """(mean of all records with its interval, tuning) by stratified prediction-powered inference on a finite population.

    seen (n,): what people found, predicted (n,): what the model believed of the same records; unchecked: one array of
    beliefs a stratum, of the records that nobody checked. The mean of all beliefs times a tuning weight, put right by what
    people found beyond it: PPI++ with one weight for all strata that makes the variance least (Angelopoulos, Duchi, Zrnic
    2024, "PPI++"; strata as Fisch et al. 2024), 0 being the plain stratified mean and 1 PPI (Angelopoulos et al. 2023); the
    checked records are part of the whole, so it is the survey's difference estimator with 1 - n/N (Särndal, Swensson,
    Wretman 1992, ch. 6). Rests on the central limit theorem: trust it from some dozens of errors on.
    """
    seen, predicted = np.asarray(seen, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    stratum = np.asarray(stratum, dtype=np.int64)
    rest = [np.asarray(one, dtype=np.float64) for one in unchecked]
    groups = [(seen[stratum == h], predicted[stratum == h], np.concatenate([predicted[stratum == h], one])) for h, one in enumerate(rest)]  # fmt: skip
    if not all(len(y) for y, _, _ in groups):
        raise ValueError("every stratum needs a check")
    sizes = np.array([len(whole) for _, _, whole in groups], dtype=np.float64)
    part = (sizes / sizes.sum()) ** 2 * np.array([(1 - len(y) / len(whole)) / len(y) for y, _, whole in groups])
    several = [(p, y, f, whole) for p, (y, f, whole) in zip(part, groups, strict=True) if len(y) > 1]
    above = sum(p * float(np.cov(y, f)[0, 1]) for p, y, f, _ in several)
    below = sum(p * float(np.var(whole, ddof=1)) for p, _, _, whole in several)
    tuning = float(np.clip(above / below, 0.0, 1.0)) if below > 0 else 0.0
    means = np.array([np.mean(y - tuning * f) + tuning * np.mean(whole) for y, f, whole in groups])
    variance = sum(p * float(np.var(y - tuning * f, ddof=1)) for p, y, f, _ in several)
    half = quantile(confidence) * math.sqrt(variance)
    value = min(max(float(sizes @ means / sizes.sum()), 0.0), 1.0)
    return Interval(value, max(0.0, value - half), min(1.0, value + half)), tuning
