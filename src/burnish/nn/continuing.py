"""Weak first, then continue on clean: gold moves a probe that learnt from doubtful labels.

Weak labels are many and wrong together; a few gold records are right but too few. So the probe is fitted on the weak
ones, and gold may then move it: a second logistic regression on gold alone starts from the weak one's logits and pays
for every step away from them. `pull` is that price per squared length; no move at all is among the choices. BoxWRENCH calls it "weak first, then continue on clean".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PULLS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
USUAL = 1e-2  # best or near it on records that were neither gold nor test, TREC-6 and SMS (benchmarks/construct.py)
FOLDS = 5


@dataclass(frozen=True)
class Correction:
    """What gold adds to the logits of vectors (n, d): vectors @ weight + bias; pull None when it adds nothing."""

    weight: np.ndarray
    bias: np.ndarray
    pull: float | None
    log_score: float  # mean log-belief in the truth, each gold record judged without itself
    accuracy: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        added: np.ndarray = vectors @ self.weight + self.bias
        return added


def continued(
    logits: np.ndarray, vectors: np.ndarray, truth: np.ndarray, *, shares: np.ndarray, seed: int
) -> Correction:
    """Learn from gold how weak logits (g, k) of vectors (g, d) must move to meet truth (g,).

    shares (k,): of the labels among the records; gold counts in these shares, however it was drawn.
    The pull is USUAL unless another (or no move at all) does better by a standard error: with a few gold records
    cross-validation alone picks by chance (TREC, 5 a label: 66% instead of 75%).
    """
    k = logits.shape[1]
    count = natural_weights(truth, shares)
    if len(truth) < 2 * k:
        return Correction(np.zeros((vectors.shape[1], k)), np.zeros(k), None, *scores(logits, truth, count))
    held: dict[float | None, np.ndarray] = {None: logits}
    order = np.random.default_rng(seed).permutation(len(truth))
    for pull in PULLS:
        held[pull] = logits.copy()
        for fold in np.array_split(order, min(FOLDS, len(truth))):
            rest = np.setdiff1d(order, fold)
            weight, bias = _solve(logits[rest], vectors[rest], truth[rest], count[rest], pull)
            held[pull][fold] = logits[fold] + vectors[fold] @ weight + bias
    chosen: float | None = USUAL
    gains = {pull: _gain(found, held[USUAL], truth, count) for pull, found in held.items() if pull != USUAL}
    best = max(gains, key=lambda pull: gains[pull][0])
    if gains[best][0] > gains[best][1]:
        chosen = best
    reached = scores(held[chosen], truth, count)
    if chosen is None:
        return Correction(np.zeros((vectors.shape[1], k)), np.zeros(k), None, *reached)
    return Correction(*_solve(logits, vectors, truth, count, chosen), chosen, *reached)


def _gain(one: np.ndarray, other: np.ndarray, truth: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Mean gain in log score of logits `one` over `other` (both (g, k)), and its standard error."""
    at = np.arange(len(truth))
    gain = np.log(np.maximum(softmax(one)[at, truth], 1e-3)) - np.log(np.maximum(softmax(other)[at, truth], 1e-3))
    mean = float(np.average(gain, weights=count))
    share = count / count.sum()
    return mean, float(np.sqrt((share**2 * (gain - mean) ** 2).sum()))


def scores(logits: np.ndarray, truth: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Log score and accuracy of logits (g, k), record i counting count[i]."""
    chances = softmax(logits)[np.arange(len(truth)), truth]
    right = logits.argmax(1) == truth
    return float(np.average(np.log(np.maximum(chances, 1e-3)), weights=count)), float(np.average(right, weights=count))


def _solve(
    logits: np.ndarray, vectors: np.ndarray, truth: np.ndarray, count: np.ndarray, pull: float
) -> tuple[np.ndarray, np.ndarray]:
    """weight (d, k) and bias (k,) that minimise the log loss of logits + vectors @ weight + bias, by L-BFGS."""
    from scipy.optimize import minimize

    d, k = vectors.shape[1], logits.shape[1]
    wide = np.hstack([vectors, np.ones((len(vectors), 1))]).astype(np.float64)
    target, share = np.eye(k)[truth], count / count.sum()

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        step = flat.reshape(d + 1, k)
        chances = softmax(logits + wide @ step)
        loss = -(share * np.log(np.maximum((chances * target).sum(1), 1e-12))).sum() + pull / 2 * (step**2).sum()
        gradient = wide.T @ ((chances - target) * share[:, None]) + pull * step
        return float(loss), gradient.ravel()

    step = minimize(objective, np.zeros((d + 1) * k), jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    step = step.reshape(d + 1, k)
    return step[:-1], step[-1]


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    chances: np.ndarray = raised / raised.sum(1, keepdims=True)
    return chances


def natural_weights(known: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(n,) weights, mean 1 over known rows, that bring their labels to the expected `shares` (k,).

    People check a few records of every label, whatever its share; unweighed, a rule for a rare label looks better than
    it is. Expected shares are themselves estimates, so no label counts more than four times or less than a quarter.
    """
    weights = np.zeros(len(known))
    rows = np.flatnonzero(known >= 0)
    if len(rows):
        have = np.bincount(known[rows], minlength=len(shares)) / len(rows)
        ratio = np.clip((shares + 0.01) / (have + 0.01), 0.25, 4.0)
        weights[rows] = ratio[known[rows]] / ratio[known[rows]].mean()
    return weights
