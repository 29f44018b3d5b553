"""Which sentences of two texts say the same: monotone alignment of parallel documents, and mining of comparable ones.

A bead is a run of source sentences and the run of target sentences that translates it: 1-1, 1-2, 2-1, 2-2, or one side
empty. `align` finds the cheapest chain of beads by dynamic programming over all cells of the table, a diagonal at a time.
Costs come from lengths (Gale & Church 1993), from vectors (Thompson & Koehn 2019, Vecalign), or from both.

n, m sentences of the two sides, d dimensions; vectors have length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Move = tuple[int, int]  # sentences of the source, of the target

# How often each bead is met, Gale & Church 1993, table 5; the two of each kind share it. 2-2 as there.
PRIORS: Mapping[Move, float] = {
    (1, 1): 0.89, (1, 0): 0.0099 / 2, (0, 1): 0.0099 / 2, (2, 1): 0.089 / 2, (1, 2): 0.089 / 2, (2, 2): 0.011,
}  # fmt: skip
VARIANCE = 6.8  # of the length of a translation, a character of the source (Gale & Church 1993)
NEIGHBOURS = 4  # of the margin (Artetxe & Schwenk 2019)
SAMPLE = 64  # sentences of the other side that say how alike strangers are
SKIP_QUANTILE = 0.1  # of the costs of strangers: what it costs to leave a sentence out (Vecalign: 0.2)
FEW = 50  # pairs of strangers, below which their low quantile says little
LENGTH_WEIGHT = 0.1  # of a squared standard deviation of length beside a cost of vectors, which is near 1 for strangers
LONGEST_Z = 3.0  # standard deviations of length from which it gets no worse


@dataclass(frozen=True, slots=True)
class Bead:
    """Sentences start..end of the source and of the target (end exclusive; an empty side has start == end).

    score: how alike they are beside strangers, 0 (as strangers) to 1 (the same); of lengths alone 1 - cost / skip's.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    score: float

    @property
    def kind(self) -> str:
        return f"{self.source[1] - self.source[0]}-{self.target[1] - self.target[0]}"


def by_length(source: Sequence[int], target: Sequence[int], *, ratio: float | None = None) -> list[Bead]:
    """Align by lengths alone (Gale & Church 1993). source (n,), target (m,): characters of each sentence.

    ratio: characters of the target for one of the source; by default the two sums say it. A bead costs the negative
    logarithm of its prior and of the chance of a length at least so far from the one expected.
    """
    from scipy.special import log_ndtr

    deviations = _deviations(source, target, ratio, list(PRIORS))
    costs = {move: -log_ndtr(-z) - np.log(2 * PRIORS[move]) for move, z in deviations.items()}
    skip = -float(np.log(PRIORS[1, 0]))
    return [
        Bead(source_at, target_at, float(np.clip(1 - cost / (2 * skip), 0, 1)))
        for source_at, target_at, cost in cheapest(costs, len(source), len(target))
    ]


def by_vectors(
    source: Mapping[int, Floats],
    target: Mapping[int, Floats],
    source_lengths: Sequence[int],
    target_lengths: Sequence[int],
    *,
    ratio: float | None = None,
    strangers: tuple[Floats, Floats] | None = None,
    seed: int = 0,
) -> list[Bead]:
    """Align by meaning and length.

    strangers: sentences of either side that say how alike any two are; by default some of these. seed: of drawing them.
    source, target: size of a run -> vectors of the runs of so many sentences, (n - size + 1, d); size 1 must be there.
    The cost of a bead is its distance over the mean distance of either side to strangers (Thompson & Koehn 2019, eq. 2),
    times the sentences of both its sides, and a small share of the squared deviation of its length. Leaving a
    sentence out costs a low quantile of what strangers cost. Memory: 8 bytes x n x m for each of the moves.
    """
    n, m = len(source_lengths), len(target_lengths)
    strangers_s, strangers_t = strangers or (sample(source[1], seed=seed), sample(target[1], seed=seed))
    moves = [(i, j) for i in source for j in target]
    lengths = _deviations(source_lengths, target_lengths, ratio, moves)
    costs: dict[Move, Floats] = {}
    likeness: dict[Move, Floats] = {}
    for size_s, vectors_s in source.items():
        usual_s = (1 - vectors_s @ strangers_t.T).mean(1)
        for size_t, vectors_t in target.items():
            move = (size_s, size_t)
            if not len(vectors_s) or not len(vectors_t):
                continue
            usual_t = (1 - vectors_t @ strangers_s.T).mean(1)
            distance = (1 - vectors_s @ vectors_t.T) / np.maximum((usual_s[:, None] + usual_t[None]) / 2, 1e-6)
            likeness[move] = distance
            costs[move] = size_s * size_t * (distance + LENGTH_WEIGHT * np.minimum(lengths[move], LONGEST_Z) ** 2)
    skip = _cost_of_strangers(costs[1, 1]) / 2
    costs[1, 0], costs[0, 1] = np.full((n, m + 1), skip), np.full((n + 1, m), skip)
    beads = []
    for (a, b), (c, d), _ in cheapest(costs, n, m):
        score = float(np.clip(1 - likeness[b - a, d - c][a, c], 0, 1)) if a < b and c < d else 0.0
        beads.append(Bead((a, b), (c, d), score))
    return beads


def sample(vectors: Floats, *, seed: int) -> Floats:
    """At most SAMPLE of the vectors (n, d), drawn without repeats."""
    chosen = np.random.default_rng(seed).choice(len(vectors), min(len(vectors), SAMPLE), replace=False)
    drawn: Floats = vectors[np.sort(chosen)]
    return drawn


def _cost_of_strangers(costs: Floats) -> float:
    """A low quantile of what pairs (n, m) cost that are nobody's best; the middle where there are few of them."""
    best = (costs == costs.min(0, keepdims=True)) | (costs == costs.min(1, keepdims=True))
    rest = costs[~best]
    if not len(rest):
        return 1.0  # what strangers cost by definition
    return float(np.quantile(rest, SKIP_QUANTILE if len(rest) >= FEW else 0.5))


def _deviations(
    source: Sequence[int], target: Sequence[int], ratio: float | None, moves: Sequence[Move]
) -> dict[Move, Floats]:
    """How many standard deviations the length of each bead is from the one expected, 0 up."""
    ratio = ratio or max(sum(target), 1) / max(sum(source), 1)
    sums_s, sums_t = (np.concatenate([[0.0], np.cumsum(one)]) for one in (source, target))
    made = {}
    for i, j in moves:
        if i > len(source) or j > len(target):
            continue
        said = sums_s[i:] - sums_s[: len(sums_s) - i]
        told = sums_t[j:] - sums_t[: len(sums_t) - j]
        mean = np.maximum((said[:, None] + told[None] / ratio) / 2, 1.0)  # of both, so that neither side is favoured
        made[i, j] = np.abs(told[None] - ratio * said[:, None]) / np.sqrt(VARIANCE * mean * ratio)
    return made


def cheapest(costs: Mapping[Move, Floats], n: int, m: int) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
    """The chain of beads (source, target, cost) with the least sum from (0, 0) to (n, m).

    costs: move (i, j) -> (n - i + 1, m - j + 1), of the bead that begins at each place. O(n m moves), a diagonal at once.
    """
    moves = [move for move in costs if move[0] <= n and move[1] <= m and costs[move].size]
    best = np.full((n + 1, m + 1), np.inf)
    step = np.zeros((n + 1, m + 1), dtype=np.int8)
    best[0, 0] = 0.0
    for diagonal in range(1, n + m + 1):
        rows = np.arange(max(0, diagonal - m), min(n, diagonal) + 1)
        columns = diagonal - rows
        for at, (i, j) in enumerate(moves):
            able = (rows >= i) & (columns >= j)
            if not able.any():
                continue
            r, c = rows[able], columns[able]
            cost = best[r - i, c - j] + costs[i, j][r - i, c - j]
            better = cost < best[r, c]
            best[r[better], c[better]] = cost[better]
            step[r[better], c[better]] = at
    found = []
    at_row, at_column = n, m
    while at_row or at_column:
        i, j = moves[step[at_row, at_column]]
        begin = (at_row - i, at_column - j)
        found.append(((begin[0], at_row), (begin[1], at_column), float(costs[i, j][begin])))
        at_row, at_column = begin
    return found[::-1]


def mine(source: Floats, target: Floats, *, neighbours: int = NEIGHBOURS) -> list[tuple[int, int, float]]:
    """Pairs (row of source, row of target, margin) where each is the other's best by margin, the best first.

    The margin is the cosine over the mean cosine to the nearest `neighbours` of both sides (ratio; Artetxe & Schwenk
    2019): about 1 for strangers, above for translations. Vectors as the encoder gives them, not centred: ratios need
    cosines above 0. Memory: 1,024 rows of similarities at a time. O(n m d).
    """
    if not len(source) or not len(target):
        return []
    mean_s = _nearest_mean(source, target, neighbours)
    mean_t = _nearest_mean(target, source, neighbours)
    forth, margin = _best(source, target, mean_s, mean_t)
    back, _ = _best(target, source, mean_t, mean_s)
    rows = np.flatnonzero(back[forth] == np.arange(len(source)))
    order = rows[np.argsort(-margin[rows], kind="stable")]
    return [(int(row), int(forth[row]), float(margin[row])) for row in order]


def _nearest_mean(vectors: Floats, others: Floats, neighbours: int) -> Floats:
    k = min(neighbours, len(others))
    return np.concatenate(
        [
            -np.partition(-(vectors[at : at + 1024] @ others.T), k - 1, axis=1)[:, :k].mean(1)
            for at in range(0, len(vectors), 1024)
        ]
    )


def _best(vectors: Floats, others: Floats, mean: Floats, mean_others: Floats) -> tuple[NDArray[np.int64], Floats]:
    found, margins = [], []
    for at in range(0, len(vectors), 1024):
        near = vectors[at : at + 1024] @ others.T
        near = near / np.maximum((mean[at : at + 1024, None] + mean_others[None]) / 2, 1e-6)
        found.append(near.argmax(1))
        margins.append(near.max(1))
    return np.concatenate(found), np.concatenate(margins)


def runs(count: int, most: int) -> dict[int, list[tuple[int, int]]]:
    """Size -> the runs (start, end) of so many of `count` sentences, for sizes 1 to `most`."""
    return {size: [(at, at + size) for at in range(count - size + 1)] for size in range(1, most + 1)}
