"""How far labellers agree: rules, models and people alike.

votes: (n, m) integers, one row a record, one column a labeller, -1 where it abstains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
ABSTAIN = -1


@dataclass(frozen=True)
class Labellers:
    """For each of m labellers, as share of all n records: (m,) each, 0..1.

    coverage: it votes. overlap: it votes and so does another. conflict: it votes and another says something else.
    (The words of Snorkel's LFAnalysis.)
    """

    coverage: Floats
    overlap: Floats
    conflict: Floats


def labellers(votes: ArrayLike) -> Labellers:
    """Measure coverage, overlap and conflict of each labeller. Cost n x classes, not n x m^2."""
    votes = _checked(votes)
    cast = votes != ABSTAIN
    count = cast.sum(1, keepdims=True)
    # A vote stands against another exactly where the record's lowest and highest votes differ.
    low = np.where(cast, votes, np.iinfo(np.int64).max).min(1, keepdims=True, initial=np.iinfo(np.int64).max)
    high = votes.max(1, keepdims=True, initial=ABSTAIN)
    total = max(len(votes), 1)
    return Labellers(cast.sum(0) / total, (cast & (count > 1)).sum(0) / total, (cast & (low != high)).sum(0) / total)


def coverage(votes: ArrayLike) -> float:
    """Share of records with at least one vote, 0..1."""
    votes = _checked(votes)
    return float((votes != ABSTAIN).any(1).mean()) if len(votes) else 0.0


def cohen_kappa(a: ArrayLike, b: ArrayLike) -> float:
    """Agreement of two labellers beyond chance on the records both voted on (Cohen 1960).

    1 perfect, 0 chance, below 0 worse; NaN where chance agreement is certain (both use one class) or nothing is shared.
    """
    votes = _checked(np.stack([np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)], axis=1))
    votes = votes[(votes != ABSTAIN).all(1)]
    if not len(votes):
        return float("nan")
    first, second = (np.bincount(votes[:, side], minlength=int(votes.max()) + 1) / len(votes) for side in (0, 1))
    return _beyond(float((votes[:, 0] == votes[:, 1]).mean()), float(first @ second))


def fleiss_kappa(votes: ArrayLike) -> float:
    """Agreement beyond chance of records with the same number of votes each, whoever gave them (Fleiss 1971).

    NaN where every vote is for one class. Records with different numbers of votes are an error: use krippendorff_alpha.
    """
    counts = _class_counts(_checked(votes))
    raters = counts.sum(1)
    if not len(counts) or raters.min() != raters.max() or raters[0] < 2:
        raise ValueError("Fleiss' kappa needs the same number of votes, two or more, for every record")
    number = raters[0]
    agreed = ((counts**2).sum(1) - number) / (number * (number - 1))
    return _beyond(float(agreed.mean()), float(((counts.sum(0) / counts.sum()) ** 2).sum()))


def krippendorff_alpha(votes: ArrayLike) -> float:
    """Krippendorff's alpha for nominal classes; abstentions are missing values, records with one vote do not count.

    1 perfect, 0 chance, below 0 systematic disagreement; NaN where every vote is for one class or none can be compared.
    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: alpha = 1 - (n - 1) x
    (n - sum of o_cc) / (n^2 - sum of n_c^2), from the coincidences o of n votes that can be paired.
    """
    counts = _class_counts(_checked(votes)).astype(np.float64)
    counts = counts[counts.sum(1) > 1]
    if not len(counts):
        return float("nan")
    raters = counts.sum(1)
    total, of_class = float(counts.sum()), counts.sum(0)
    matched = float((((counts**2).sum(1) - raters) / (raters - 1)).sum())
    expected = total**2 - float((of_class**2).sum())
    return 1 - (total - 1) * (total - matched) / expected if expected else float("nan")


def _class_counts(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the votes of each record for each class: (n, m) to (n, classes)."""
    classes = int(votes.max(initial=ABSTAIN)) + 1
    rows, columns = np.nonzero(votes != ABSTAIN)
    flat = np.bincount(rows * classes + votes[rows, columns], minlength=len(votes) * classes)
    return flat.reshape(len(votes), classes)


def _beyond(observed: float, by_chance: float) -> float:
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def _checked(votes: ArrayLike) -> NDArray[np.int64]:
    votes = np.asarray(votes, dtype=np.int64)
    if votes.ndim != 2 or votes.min(initial=0) < ABSTAIN:
        raise ValueError(f"votes must be (records, labellers) of classes, -1 to abstain, not {votes.shape}")
    return votes
