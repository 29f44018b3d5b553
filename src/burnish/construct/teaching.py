"""A probe that learns from doubtful labels first and from checked ones last.

Weak labels are many and wrong together; a few gold records are right but too few. So the probe is fitted on the weak
ones, and gold may then move it: a second logistic regression on gold alone starts from the weak one's logits and pays
for every step away from them. `pull` is that price per squared length; no move at all is among the choices. BoxWRENCH calls it "weak first, then continue on clean".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.construct.label_models import natural_weights

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
        return Correction(np.zeros((vectors.shape[1], k)), np.zeros(k), None, *_scores(logits, truth, count))
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
    scores = _scores(held[chosen], truth, count)
    if chosen is None:
        return Correction(np.zeros((vectors.shape[1], k)), np.zeros(k), None, *scores)
    return Correction(*_solve(logits, vectors, truth, count, chosen), chosen, *scores)


def _gain(one: np.ndarray, other: np.ndarray, truth: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Mean gain in log score of logits `one` over `other` (both (g, k)), and its standard error."""
    at = np.arange(len(truth))
    gain = np.log(np.maximum(softmax(one)[at, truth], 1e-3)) - np.log(np.maximum(softmax(other)[at, truth], 1e-3))
    mean = float(np.average(gain, weights=count))
    share = count / count.sum()
    return mean, float(np.sqrt((share**2 * (gain - mean) ** 2).sum()))


def _scores(logits: np.ndarray, truth: np.ndarray, count: np.ndarray) -> tuple[float, float]:
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


def noisy_temperature(logits: np.ndarray, votes: np.ndarray) -> float:
    """The temperature 0.1..10 of logits (n, k) under which votes (n, k), beliefs from a flat prior, are most likely.

    Fitting to doubtful labels directly would teach the probe their noise as its own doubt; the likelihood of a record's
    votes sums over what may be true: log sum_y votes(y) softmax(logits / T)(y).
    """
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        return -float(np.log((votes * softmax(logits / np.exp(log_t))).sum(1) + 1e-9).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


@dataclass
class Teacher:
    """What a probe on the labels believes of every record, and how far gold bears it out.

    beliefs (n, k): out of sample on labelled rows. log_score, accuracy: on gold, each record judged without itself;
    nan without gold. pull: of the correction by gold.
    """

    beliefs: np.ndarray
    log_score: float
    accuracy: float
    pull: float | None


def teach(
    vectors: np.ndarray,
    targets: np.ndarray,
    labelled: np.ndarray,
    *,
    votes: np.ndarray,
    gold_vectors: np.ndarray,
    truth: np.ndarray,
    learn_gold: bool,
    seed: int,
    folds: int = 4,
) -> Teacher:
    """Fit probes on labelled rows (n,) with soft targets (n, k); believe every row, labelled ones out of sample.

    votes (n, k): what votes alone believe, nan rows where nobody voted; they calibrate the probe.
    learn_gold: whether gold may move the probe; else it only judges.
    """
    from burnish.nn.probe import Probe, assign_folds

    k = targets.shape[1]
    rows = np.flatnonzero(labelled)
    whole = Probe(k, seed=seed).fit(vectors[rows], targets[rows])
    correction = None
    log_score = accuracy = float("nan")
    if len(truth):
        # the price of moving away is per squared length of the vectors as they are: unit length
        gold_logits = whole.logits(gold_vectors)
        shares = softmax(whole.logits(vectors)).mean(0)
        log_score, accuracy = _scores(gold_logits, truth, natural_weights(truth, shares))
        if learn_gold:
            correction = continued(gold_logits, gold_vectors, truth, shares=shares, seed=seed)
            log_score, accuracy = correction.log_score, correction.accuracy
    logits = whole.logits(vectors).astype(np.float64)
    fold = assign_folds(targets[rows].argmax(1), folds=folds, groups=None, seed=seed)
    for number in np.unique(fold):
        inside, outside = rows[fold != number], rows[fold == number]
        part = Probe(k, seed=seed, l2=whole.chosen_l2).fit(vectors[inside], targets[inside])
        logits[outside] = part.logits(vectors[outside])
    if correction is not None:
        logits = logits + correction(vectors)
    covered = ~np.isnan(votes[:, 0])
    temperature = noisy_temperature(logits[covered], votes[covered])
    return Teacher(softmax(logits / temperature), log_score, accuracy, correction.pull if correction else None)
