"""Which labels are wrong, and how many: confident learning from out-of-sample probabilities.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70). The
probabilities (n, classes) must come from models that did not see the record's own label (cross-validation); labels are
(n,) class numbers, or soft labels (n, classes) that sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.intervals import Interval

Floats = NDArray[np.float64]
Prune = Literal["noise_rate", "class", "both", "confident"]
Rank = Literal["normalized_margin", "self_confidence"]


@dataclass(frozen=True)
class Noise:
    """What is known about the labels of n records.

    suspect: (n,) labels to doubt. score: (n,) quality of each label, 0 (surely wrong) to 1. suggestion: (n,) likeliest class.
    joint: (classes, classes) estimated share of records with given label (row) and true class (column); sums to 1.
    transition: (classes, classes) chance that a record of the true class (row) is given the label (column); rows sum to 1,
    and where no record is of the class the row is the identity's.
    rate: estimated share of wrong labels, with an interval for the sampling of records. The classifier's own mistakes are
    in it too, so a weak classifier on clean labels still shows noise: a lead for people, not a measurement.
    """

    suspect: NDArray[np.bool_]
    score: Floats
    suggestion: NDArray[np.int64]
    joint: Floats
    transition: Floats
    rate: Interval


def label_errors(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    prune: Prune = "both",
    rank: Rank = "normalized_margin",
    seed: int = 0,
    draws: int = 500,
) -> Noise:
    """Estimate label noise and name the labels to doubt.

    prune: how suspects are chosen. noise_rate: for each pair of classes as many as the joint says, largest margin first;
    class: for each class as many as the joint says, lowest self-confidence first; both: what the two agree on, the best
    balance of precision and recall on planted errors in English and Chinese (benchmarks/label_errors.py);
    confident: every record that counts as confidently another class. A label that is the likeliest class is never doubted.
    rank: the score. normalized_margin: probability of the label against the best other class; self_confidence: of the label.
    """
    weights, probabilities = _checked(labels, probabilities)
    given, suggestion = weights.argmax(1), probabilities.argmax(1)
    confident = confident_classes(weights, probabilities)
    sure = confident >= 0
    classes = probabilities.shape[1]
    counted = np.zeros((classes, classes))
    np.add.at(counted.T, confident[sure], weights[sure])
    joint = calibrated(counted, weights.sum(0))
    rivals = probabilities - 2.0 * (np.arange(classes) == given[:, None])
    own = (weights * probabilities).sum(1)
    score = own if rank == "self_confidence" else (own - rivals.max(1) + 1) / 2
    picks: dict[Prune, Callable[[], NDArray[np.bool_]]] = {
        "noise_rate": lambda: _by_pair(joint, given, probabilities),
        "class": lambda: _by_class(joint, given, own),
        "both": lambda: _by_pair(joint, given, probabilities) & _by_class(joint, given, own),
        "confident": lambda: sure & (confident != given),
    }
    suspect = picks[prune]() & (suggestion != given)
    share = joint / joint.sum()
    return Noise(suspect, score, suggestion, share, _transition(share), _rate(given, confident, share, seed, draws))


def confident_classes(weights: Floats, probabilities: Floats) -> NDArray[np.int64]:
    """Return the class each record confidently is, -1 for none: (n,). weights: one-hot or soft labels (n, classes).

    A class is confident where its probability reaches the mean probability that records labelled so give it (the paper's
    equation 2); of several, the likeliest. A class that nobody is labelled with has no threshold and is never confident.
    """
    support = weights.sum(0)
    mean = np.divide((weights * probabilities).sum(0), support, out=np.full(len(support), np.inf), where=support > 0)
    # Rounding: records that all have the mean probability must reach it.
    reached = np.where(probabilities >= mean - 1e-6, probabilities, -1.0)
    return np.where(reached.max(1) >= 0, reached.argmax(1), -1)


def calibrated(counted: Floats, support: Floats) -> Floats:
    """Scale the rows of confident joints (..., classes, classes) to the number of labels of each class (equation 3).

    A row without a confident record is taken as right.
    """
    rows = counted.sum(-1, keepdims=True)
    plain = np.eye(counted.shape[-1]) * (rows == 0)
    scaled: Floats = (np.divide(counted, rows, out=np.zeros(counted.shape), where=rows > 0) + plain) * support[
        ..., None
    ]
    return scaled


def _by_pair(joint: Floats, given: NDArray[np.int64], probabilities: Floats) -> NDArray[np.bool_]:
    """Doubt, for each pair (given i, true j), as many records labelled i as the joint says, by margin p_j - p_i."""
    doubted = np.zeros(len(given), dtype=bool)
    number = np.rint(joint).astype(np.int64)
    for i, row in enumerate(number):
        own = np.flatnonzero(given == i)
        for j in np.flatnonzero(row):
            if j != i:
                margin = probabilities[own, j] - probabilities[own, i]
                doubted[own[np.argsort(-margin, kind="stable")[: row[j]]]] = True
    return doubted


def _by_class(joint: Floats, given: NDArray[np.int64], own: Floats) -> NDArray[np.bool_]:
    """Doubt, for each given class, as many records as the joint says are wrong, lowest self-confidence first."""
    doubted = np.zeros(len(given), dtype=bool)
    for i, wrong in enumerate(np.rint(joint.sum(1) - np.diagonal(joint)).astype(np.int64)):
        records = np.flatnonzero(given == i)
        doubted[records[np.argsort(own[records], kind="stable")[:wrong]]] = True
    return doubted


def _transition(share: Floats) -> Floats:
    true = share.sum(0)
    return np.where(true[:, None] > 0, share.T / np.where(true > 0, true, 1)[:, None], np.eye(len(true)))


def _rate(given: NDArray[np.int64], confident: NDArray[np.int64], share: Floats, seed: int, draws: int) -> Interval:
    """Bootstrap the estimated share of wrong labels over (given, confident class) cells; 95% percentile interval."""
    classes = len(share)
    cells, counts = np.unique(given * (classes + 1) + confident + 1, return_counts=True)
    label, sure = cells // (classes + 1), cells % (classes + 1) - 1
    drawn = np.random.default_rng(seed).multinomial(int(counts.sum()), counts / counts.sum(), size=draws).astype(float)
    onto = (label[:, None] == np.arange(classes)).astype(float)  # sums the cells of each label: (cells, classes)
    support = drawn @ onto
    counted = (drawn * (sure >= 0)) @ onto
    off = (drawn * ((sure >= 0) & (sure != label))) @ onto
    rates = (np.divide(off, counted, out=np.zeros_like(off), where=counted > 0) * support).sum(1) / len(given)
    low, high = np.quantile(rates, [0.025, 0.975])
    value = float(1 - np.trace(share))
    return Interval(max(value, 0.0), min(float(low), value), max(float(high), value))


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise ValueError(f"probabilities must be ({len(labels)}, classes) and not empty, not {probabilities.shape}")
    if labels.ndim == 2:
        if labels.shape != probabilities.shape:
            raise ValueError(f"soft labels {labels.shape} and probabilities {probabilities.shape} must match")
        return labels.astype(np.float64), probabilities
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must lie in 0..{probabilities.shape[1] - 1}, found {labels.min()}..{labels.max()}")
    return np.eye(probabilities.shape[1])[labels], probabilities
