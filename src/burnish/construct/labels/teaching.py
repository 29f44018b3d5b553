"""A probe that learns from doubtful labels first and from checked ones last (`nn.continuing`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.nn.continuing import continued, natural_weights, scores, softmax


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
        log_score, accuracy = scores(gold_logits, truth, natural_weights(truth, shares))
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
