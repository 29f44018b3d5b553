"""What clicks say of relevance once the place they were shown at is taken off: the position-based model.

A click needs an item to be looked at, which its place decides (the propensity of position k, with position 1 as 1), and
to be relevant, which query and item decide (Craswell et al. 2008). Three ways to tell propensities from logs, none of
which needs an experiment: EM (Chuklin, Markov & de Rijke 2015), regression-EM (Wang et al. 2018), and harvested
interventions, the same item seen at two places (Agarwal et al. 2019).

E events (an item shown once), P pairs (query, item), K positions counted from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 200
ENOUGH = 1e-5  # change of any propensity below which EM stops
PRIOR = (1.0, 2.0)  # a Beta on every pair's relevance: a pair seen once is not known from it


@dataclass(frozen=True)
class Examined:
    """propensity: (K,) 0..1, position 0 has 1; relevance: (P,) 0..1, chance of a click when looked at. rounds: of EM."""

    propensity: Floats
    relevance: Floats
    rounds: int = 0


def em(position: Ints, clicked: NDArray[np.bool_], pair: Ints, *, rounds: int = ROUNDS) -> Examined:
    """Propensities and relevances that make the clicks likeliest, a Beta prior on each relevance.

    position, clicked, pair: (E,). Pairs that were shown at several places are what tells the two apart.
    """
    counts, clicks = _tables(position, clicked)
    theta = _start(counts, clicks)
    num_pairs = int(pair.max(initial=-1)) + 1
    shown = np.bincount(pair, minlength=num_pairs)
    gamma = np.full(num_pairs, float(clicked.mean()) if len(clicked) else 0.5)
    done = 0
    while done < rounds:
        done += 1
        looked, wanted = _hidden(theta[position], gamma[pair], clicked)
        gamma = (np.bincount(pair, weights=wanted, minlength=num_pairs) + PRIOR[0]) / (shown + sum(PRIOR))
        new = np.bincount(position, weights=looked, minlength=len(theta)) / np.maximum(counts, 1)
        moved = float(np.abs(new - theta).max())
        theta = new
        if moved < ENOUGH:
            break
    return _scaled(theta, gamma, done)


def regression_em(
    position: Ints, clicked: NDArray[np.bool_], pair: Ints, features: Any, *, rounds: int = 20
) -> Examined:
    """EM whose relevance is a logistic regression on features of the pair, (P, f), dense or sparse.

    Where most pairs are seen once, what is learnt of one pair speaks for others like it (Wang et al. 2018, who draw the
    hidden relevance where this weighs by it). Memory: twice the features.
    """
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    counts, clicks = _tables(position, clicked)
    theta = _start(counts, clicks)
    num_pairs = int(pair.max(initial=-1)) + 1
    gamma = np.full(num_pairs, float(clicked.mean()) if len(clicked) else 0.5)
    both = [features, features] if not hasattr(features, "tocsr") else None
    table = np.concatenate(both) if both else vstack([features, features]).tocsr()
    yes = np.repeat([1, 0], num_pairs)
    for _ in range(rounds):
        looked, wanted = _hidden(theta[position], gamma[pair], clicked)
        theta = np.bincount(position, weights=looked, minlength=len(theta)) / np.maximum(counts, 1)
        weight = np.concatenate(
            [np.bincount(pair, weights=one, minlength=num_pairs) for one in (wanted, 1 - wanted)]
        )  # each pair as relevant and as not, weighed by how likely either is
        model = LogisticRegression(C=10.0, tol=1e-3, max_iter=1000).fit(table, yes, sample_weight=weight)
        gamma = np.clip(model.predict_proba(features)[:, 1], 1e-4, 1 - 1e-4)
    return _scaled(theta, gamma, rounds)


def harvest(position: Ints, clicked: NDArray[np.bool_], pair: Ints) -> Examined | None:
    """Propensities from pairs that were shown at more than one place; None where there are not enough.

    For any two places, clicks on the pairs seen at both have the ratio of the two propensities; all ratios together are
    solved by least squares of logarithms, each weighed by the clicks it rests on (Agarwal et al. 2019, all pairs).
    """
    size = int(position.max(initial=-1)) + 1
    num_pairs = int(pair.max(initial=-1)) + 1
    key = pair * size + position
    shown = np.bincount(key, minlength=num_pairs * size).reshape(num_pairs, size)
    clicks = np.bincount(key, weights=clicked, minlength=num_pairs * size).reshape(num_pairs, size)
    rate = np.divide(clicks, shown, out=np.zeros_like(clicks), where=shown > 0)
    rows, wanted, weights = [], [], []
    for a in range(size):
        for b in range(a + 1, size):
            both = (shown[:, a] > 0) & (shown[:, b] > 0)
            trust = np.minimum(shown[both, a], shown[both, b])
            up, down = (trust * rate[both, a]).sum(), (trust * rate[both, b]).sum()
            if up > 0 and down > 0:
                row = np.zeros(size)
                row[a], row[b] = 1.0, -1.0
                rows.append(row)
                wanted.append(np.log(up / down))
                weights.append(np.sqrt(1 / (1 / up + 1 / down)))
    if not rows:
        return None
    matrix, weight = np.array(rows)[:, 1:], np.array(weights)  # the logarithm of position 0 is 0
    if np.linalg.matrix_rank(matrix) < size - 1:
        return None
    logs = np.linalg.lstsq(matrix * weight[:, None], np.array(wanted) * weight, rcond=None)[0]
    theta = np.clip(np.exp(np.concatenate([[0.0], logs])), 1e-3, 1.0)
    return Examined(theta, relevance(position, clicked.astype(float), pair, theta))


def relevance(position: Ints, gain: Floats, pair: Ints, propensity: Floats, *, least: float = 0.05) -> Floats:
    """(P,) gain of each pair over how often it was looked at, drawn to the mean of all where it was looked at seldom.

    gain: (E,) 0 up, what a showing earned (a click 1, a purchase more). least: a propensity below it counts as this, so
    that one click at a far place does not outweigh all (clipping; Joachims, Swaminathan & Schnabel 2017). The prior
    counts as one look.
    """
    num_pairs = int(pair.max(initial=-1)) + 1
    looks = np.bincount(pair, weights=np.maximum(propensity, least)[position], minlength=num_pairs)
    gains = np.bincount(pair, weights=gain, minlength=num_pairs)
    mean = gains.sum() / max(looks.sum(), 1e-9)
    made: Floats = (gains + mean) / (looks + 1.0)
    return made


def _tables(position: Ints, clicked: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    return np.bincount(position).astype(np.float64), np.bincount(position, weights=clicked).astype(np.float64)


def _start(counts: Floats, clicks: Floats) -> Floats:
    """Click rates by place: where EM begins."""
    rate = (clicks + 1) / (counts + 2)
    made: Floats = np.clip(rate / rate.max(), 0.05, 1.0)
    return made


def _hidden(theta: Floats, gamma: Floats, clicked: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(E,) chances that it was looked at, and that it was relevant, given whether it was clicked."""
    no_click = np.maximum(1 - theta * gamma, 1e-9)
    looked = np.where(clicked, 1.0, theta * (1 - gamma) / no_click)
    wanted = np.where(clicked, 1.0, gamma * (1 - theta) / no_click)
    return looked, wanted


def _scaled(theta: Floats, gamma: Floats, rounds: int) -> Examined:
    """Only the product of the two is seen: position 0 is set to 1, unless a place has more."""
    top = max(float(theta[0]), 1e-9) if len(theta) else 1.0
    return Examined(np.clip(theta / top, 1e-4, 1.0), np.clip(gamma * top, 0.0, 1.0), rounds)
