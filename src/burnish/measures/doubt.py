"""How likely each label is wrong: a model of what is true and a model of how labels go wrong, fitted together.

What a classifier trained on doubtful labels says out of sample is no probability of the truth: it has learnt the mistakes
too, so its confidence is drawn in everywhere, and towards the classes that mistakes go to. Here its logits only order the
records. With views v (logits (n, k) of several classifiers), given labels g and true classes y

    P(g | x) = sum_y softmax(sum_v a_v logits_v(x) + b)_y T[y, g]

a (a scale for each view), b (a shift for each class) and T (k, k; how often class y is labelled g) are those that make the
given labels likeliest, and P(y | x, g), the posterior, says how likely each label is wrong. Mistakes that a class makes
with every text, sure ones too, go to T; what the views cannot tell apart stays in the softmax. Without b a class half of
whose labels were turned would look hard instead of wrong.

Noise as a transition matrix: Patrini et al. 2017 (forward correction); by maximum likelihood: Bootkrajang and Kaban 2012
(label-noise robust logistic regression). Scales and shifts of held-out logits: Guo et al. 2017 (vector scaling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from burnish.measures.intervals import Interval, wilson

Floats = NDArray[np.float64]
PRIOR = 20.0  # records that each class is thought to have been seen with already, mistakes even over the other classes
SHIFT = 1.0  # deviation of a class's shift, in logits
RATE = 0.1  # of wrong labels, where the search begins
ROUNDS, STEPS = 4, 25
ROWS = 4000  # the few numbers fitted need no more; the posterior is of all
SMALL = 1e-12


@dataclass(frozen=True)
class Doubt:
    """wrong: (n,) probability that the given label is wrong. shares: (n, k) probability of each class to be the true one, by
    views and given label together; rows sum to 1. clean: (n, k) the same by the views alone. transition: (k, k) chance
    that a record of the true class (row) is given the label (column). joint: (k, k) share of all records with given label
    (row) and true class (column). rate: share of wrong labels, with the Wilson interval of a share among n."""

    wrong: Floats
    shares: Floats
    clean: Floats
    transition: Floats
    joint: Floats
    rate: Interval


def doubt(labels: ArrayLike, views: Sequence[ArrayLike], *, seed: int = 0) -> Doubt:
    """Fit the model to labels (n,) class numbers and out-of-sample logits (n, k) of one view or several.

    A class that nobody is labelled with is never the true one. Needs two classes that are given. Deterministic.
    """
    given, logits = np.asarray(labels), [np.asarray(one, dtype=np.float64) for one in views]
    if not logits or any(one.shape != (len(given), logits[0].shape[1]) for one in logits):
        raise ValueError(f"every view must be ({len(given)}, classes), there are {[one.shape for one in logits]}")
    width = logits[0].shape[1]
    present, place = np.unique(given, return_inverse=True)
    if len(present) < 2 or present[0] < 0 or present[-1] >= width:
        raise ValueError(f"needs labels of two classes in 0..{width - 1}, found {present.tolist()}")
    seen = np.stack([standard(one, given)[:, present] for one in logits])
    rows = np.arange(len(given))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(given))[:ROWS])
    scales, shift, transition = _fitted(seen[:, rows], place[rows])
    clean = _softmax(np.tensordot(scales, seen, 1) + shift)
    shares = clean * transition[:, place].T
    shares /= np.maximum(shares.sum(1, keepdims=True), SMALL)
    shares += (1 / len(present) - shares) / len(given)  # n records make nobody surer than 1 in n
    wrong = 1 - shares[np.arange(len(given)), place]
    whole = np.zeros((2, len(given), width))
    whole[0][:, present], whole[1][:, present] = shares, clean
    every, joint = np.eye(width), np.zeros((width, width))
    every[np.ix_(present, present)] = transition
    joint[np.ix_(present, present)] = _counts(shares, place, len(present)).T / len(given)
    rate = wilson(round(wrong.sum()), len(given))
    return Doubt(wrong, whole[0], whole[1], every, joint, rate)


def standard(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Logits (n, k) of mean 0 in each record and deviation 1 in all, by the classes that somebody is labelled with."""
    whole, present = np.asarray(logits, dtype=np.float64), np.unique(np.asarray(labels))
    seen = whole[:, present]
    middle = seen.mean(1, keepdims=True)
    made: Floats = (whole - middle) / max(float((seen - middle).std()), SMALL)
    return made


def _fitted(views: Floats, given: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Scales (v,), shifts (k,) and transition (k, k) of views (v, n, k); the prior's rate follows the rate that is found."""
    from scipy.optimize import minimize

    count, (_, records, classes) = len(views), views.shape
    rate = RATE
    start = np.concatenate([np.full(count, -np.log(count)), np.zeros(classes), np.zeros(classes * classes)])
    start[count + classes :] = np.log(_prior(rate, classes) / (1 - rate)).ravel()

    def parts(flat: Floats) -> tuple[Floats, Floats, Floats]:
        rows = flat[count + classes :].reshape(classes, classes)
        return np.exp(flat[:count]), flat[count : count + classes], _softmax(rows)

    def objective(flat: Floats, thought: Floats) -> tuple[float, Any]:
        scales, shift, transition = parts(flat)
        clean = _softmax(np.tensordot(scales, views, 1) + shift)
        both = clean * transition[:, given].T
        likely = np.maximum(both.sum(1), SMALL)
        shares = both / likely[:, None]
        loss = -np.log(likely).sum() - (thought * np.log(np.maximum(transition, SMALL))).sum()
        loss += np.square(shift / SHIFT).sum() / 2
        moved = clean - shares  # of the loss, by the logits
        counts = _counts(shares, given, classes) + thought
        gradient = np.concatenate([
            scales * np.array([(moved * one).sum() for one in views]),
            moved.sum(0) + shift / SHIFT**2,
            (counts.sum(1, keepdims=True) * transition - counts).ravel(),
        ])  # fmt: skip
        return float(loss) / records, gradient / records

    for _ in range(ROUNDS):
        start = minimize(
            objective, start, args=(PRIOR * _prior(rate, classes),), jac=True, method="L-BFGS-B",
            options={"maxiter": STEPS}, bounds=[(-6, 6)] * count + [(-8, 8)] * classes + [(-12, 12)] * classes**2,
        ).x  # fmt: skip
        scales, shift, transition = parts(start)
        both = _softmax(np.tensordot(scales, views, 1) + shift) * transition[:, given].T
        shares = both / np.maximum(both.sum(1, keepdims=True), SMALL)
        rate = float(np.clip(1 - shares[np.arange(records), given].mean(), 1e-3, 0.5))
    return scales, shift, transition


def _prior(rate: float, classes: int) -> Floats:
    """(k, k) rows of a transition whose mistakes go to all other classes alike."""
    wrong = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(wrong, 1 - rate)
    return wrong


def _counts(shares: Floats, given: NDArray[np.int64], classes: int) -> Floats:
    """(k, k) records of true class (row) and given label (column); summed in order: the same bits on any number of cores."""
    return np.stack([shares[given == one].sum(0) for one in range(classes)], axis=1)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    made: Floats = shifted / shifted.sum(1, keepdims=True)
    return made
