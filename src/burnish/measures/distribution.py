"""How labels and lengths are spread, and how far apart two spreads are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.text.lengths import lengths
from burnish.text.scripts import Texts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How labels are spread over the classes.

    counts: (classes,). imbalance: largest count over smallest count above 0, 1 or more. missing: classes without a record.
    entropy: in nats, 0 to log(classes). effective: exp(entropy), the number of equally frequent classes that are as
    diverse (Hill 1973, order 1). All are 0 where there is no record.
    """

    counts: NDArray[np.int64]
    imbalance: float
    missing: NDArray[np.int64]
    entropy: float
    effective: float


def label_spread(labels: ArrayLike, num_classes: int) -> Spread:
    """Count labels 0..num_classes - 1; -1 (no label) is left out."""
    labels = np.asarray(labels, dtype=np.int64)
    if len(labels) and not (labels.min() >= -1 and labels.max() < num_classes):
        raise ValueError(f"labels must lie in -1..{num_classes - 1}, found {labels.min()}..{labels.max()}")
    counts = np.bincount(labels[labels >= 0], minlength=num_classes)
    filled = counts[counts > 0]
    missing = np.flatnonzero(counts == 0)
    if not len(filled):
        return Spread(counts, 0.0, missing, 0.0, 0.0)
    share = filled / filled.sum()
    entropy = float(-(share * np.log(share)).sum()) + 0.0  # not -0.0
    return Spread(counts, float(filled.max() / filled.min()), missing, entropy, float(np.exp(entropy)))


def jensen_shannon(a_counts: ArrayLike, b_counts: ArrayLike) -> float:
    """Jensen-Shannon divergence of two count vectors in bits: 0 for the same shares, 1 for nothing in common (Lin 1991)."""
    a, b = _shares(a_counts), _shares(b_counts)
    middle = (a + b) / 2
    # Rounding can leave -1e-17 for equal shares.
    return max(0.0, (_relative(a, middle) + _relative(b, middle)) / 2)


@dataclass(frozen=True)
class ChiSquare:
    """statistic, degrees of freedom, p_value that both come from one distribution, Cramer's v 0..1 as size of the effect."""

    statistic: float
    freedom: int
    p_value: float
    v: float


def chi_square(a_counts: ArrayLike, b_counts: ArrayLike) -> ChiSquare:
    """Test whether two count vectors (classes,) come from one distribution; classes that are empty in both are left out.

    With expected counts under about 5 the p-value is rough. One class, or one side empty: nothing to tell, p_value 1.
    """
    from scipy.stats import chi2

    observed = np.stack([np.asarray(a_counts, dtype=np.float64), np.asarray(b_counts, dtype=np.float64)])
    observed = observed[:, observed.sum(0) > 0]
    if observed.shape[1] < 2 or not observed.sum(1).all():
        return ChiSquare(0.0, 0, 1.0, 0.0)
    expected = observed.sum(1, keepdims=True) * observed.sum(0) / observed.sum()
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = observed.shape[1] - 1
    return ChiSquare(statistic, freedom, float(chi2.sf(statistic, freedom)), float(np.sqrt(statistic / observed.sum())))


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Sizes:
    """Lengths of n texts in words (Chinese: characters).

    words: (n,). quantiles: per language, at QUANTILES. score: (n,) robust z-score of the log length within the language,
    below 0 for short. outlier: (n,) |score| above the limit. Texts without a word are outliers with score -inf.
    """

    words: NDArray[np.int64]
    quantiles: dict[str, Floats]
    score: Floats
    outlier: NDArray[np.bool_]


def length_outliers(texts: Texts, languages: ArrayLike, *, limit: float = 3.5) -> Sizes:
    """Measure lengths and find texts that are far too short or long for their language.

    languages: (n,) codes. limit: of the modified z-score 0.6745 (x - median) / MAD (Iglewicz and Hoaglin 1993) of log
    length, which is near normal where length is not. MAD counts as at least 0.1 (texts within 10% of each other), so that
    texts of one length do not make outliers of their neighbours.
    """
    return size_outliers(lengths(texts).words, languages, limit=limit)


def size_outliers(words: NDArray[np.int64], languages: ArrayLike, *, limit: float = 3.5) -> Sizes:
    """The same of texts that are measured already: words (n,)."""
    codes = np.asarray(languages)
    if len(codes) != len(words):
        raise ValueError(f"{len(words)} texts but {len(codes)} languages")
    score = np.full(len(words), -np.inf)
    quantiles = {}
    for code in np.unique(codes):
        own = codes == code
        quantiles[str(code)] = np.quantile(words[own], QUANTILES)
        filled = own & (words > 0)
        if filled.any():
            logs = np.log(words[filled])
            middle = np.median(logs)
            score[filled] = 0.6745 * (logs - middle) / max(float(np.median(np.abs(logs - middle))), 0.1)
    return Sizes(words, quantiles, score, np.abs(score) > limit)


def _shares(counts: ArrayLike) -> Floats:
    values = np.asarray(counts, dtype=np.float64)
    if values.sum() <= 0 or values.min() < 0:
        raise ValueError("a distribution needs counts that are not negative, and one above 0")
    shares: Floats = values / values.sum()
    return shares


def _relative(a: Floats, b: Floats) -> float:
    """Relative entropy of a to b in bits; a is 0 wherever b is."""
    return float((a[a > 0] * np.log2(a[a > 0] / b[a > 0])).sum())
