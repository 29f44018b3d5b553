"""How a record is learnt: what a linear model thinks of its label after each pass over the data.

Training dynamics (Swayamdipta et al. 2020, "Dataset Cartography") and area under the margin (Pleiss et al. 2020,
"Identifying Mislabeled Data using the Area Under the Margin Ranking"), from a softmax layer on frozen vectors trained by
stochastic gradient descent, which fits what agrees before it fits what does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EPOCHS = 12
BATCH = 64
RATE = 0.5  # of vectors scaled to unit variance over sqrt(dimensions)


@dataclass(frozen=True)
class Dynamics:
    """Of n records: confidence: (n,) mean probability of the label over the epochs; variability: (n,) its standard deviation;
    correctness: (n,) share of the epochs whose likeliest class is the label; margin: (n,) mean of the label's logit less the
    largest other one (the area under the margin); other: (n,) the class that was likeliest most often, the label aside."""

    confidence: Floats
    variability: Floats
    correctness: Floats
    margin: Floats
    other: NDArray[np.int64]


def training_dynamics(
    vectors: NDArray[Any], labels: NDArray[np.int64], num_classes: int, *, seed: int, epochs: int = EPOCHS
) -> Dynamics:
    """Train on vectors (n, d) and labels (n,), watch every record after each epoch. Time n d classes epochs."""
    standard = _scaled(vectors)
    logits = _epochs(standard, labels, num_classes, seed=seed, epochs=epochs)
    rows = np.arange(len(labels))
    own = np.empty((epochs, len(labels)))
    right = np.empty((epochs, len(labels)))
    margin = np.zeros(len(labels))
    votes = np.zeros((len(labels), num_classes))
    for epoch, seen in enumerate(logits):
        chances = np.exp(seen - seen.max(1, keepdims=True))
        own[epoch] = chances[rows, labels] / chances.sum(1)
        right[epoch] = seen.argmax(1) == labels
        others = seen.copy()
        others[rows, labels] = -np.inf
        margin += (seen[rows, labels] - others.max(1)) / epochs
        votes[rows, others.argmax(1)] += 1
    return Dynamics(own.mean(0), own.std(0), right.mean(0), margin, votes.argmax(1))


def margin_threshold(
    vectors: NDArray[Any], labels: NDArray[np.int64], num_classes: int, *, seed: int, epochs: int = EPOCHS
) -> tuple[Floats, float]:
    """Areas under the margin (n,), and the one below which a label is like a label that is surely wrong.

    Threshold samples: n / (classes + 1) records are given a class of its own that nobody belongs to; the threshold is the 99th
    percentile of their areas (the paper's section 3.3). Two rounds, so that every record has an area with its own label.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    size = max(1, len(labels) // (num_classes + 1))
    area = np.zeros(len(labels))
    limits = []
    for number, chosen in enumerate((order[:size], order[-size:])):
        given = labels.copy()
        given[chosen] = num_classes
        found = training_dynamics(vectors, given, num_classes + 1, seed=seed + number, epochs=epochs).margin
        limits.append(float(np.quantile(found[chosen], 0.99)))
        own = np.ones(len(labels), dtype=bool)
        own[chosen] = False
        area[own] += found[own]
    both = np.full(len(labels), 2.0)
    both[order[:size]] -= 1
    both[order[-size:]] -= 1
    return area / np.maximum(both, 1), float(np.mean(limits))


def _scaled(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Centred, unit variance over sqrt(d): rows of length about 1 whatever the backbone; the last column is the bias."""
    rows = np.asarray(vectors, dtype=np.float32)
    spread = rows.std(0)
    rows = (rows - rows.mean(0)) / np.where(spread > 1e-6, spread, 1) / np.sqrt(rows.shape[1])
    return np.concatenate([rows, np.ones((len(rows), 1), dtype=np.float32)], axis=1)


def _epochs(
    standard: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int, *, seed: int, epochs: int
) -> list[NDArray[np.float32]]:
    """Logits (n, classes) after each epoch of gradient descent with momentum 0.9, batches shuffled anew."""
    rng = np.random.default_rng(seed)
    weight = np.zeros((standard.shape[1], num_classes), dtype=np.float32)
    speed = np.zeros_like(weight)
    seen = []
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            logits = standard[batch] @ weight
            chances = np.exp(logits - logits.max(1, keepdims=True))
            chances /= chances.sum(1, keepdims=True)
            chances[np.arange(len(batch)), labels[batch]] -= 1
            speed = 0.9 * speed - RATE / len(batch) * (standard[batch].T @ chances)
            weight = weight + speed
        seen.append(standard @ weight)
    return seen
