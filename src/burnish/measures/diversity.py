"""How many different things there are in a set, and which few of them stand for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def vendi(vectors: Floats, *, weights: ArrayLike | None = None) -> float:
    """The effective number of different vectors among n: 1 (all the same) to n (all at right angles).

    exp(-sum l log l) of the eigenvalues l of K / n, K the matrix of cosines (Friedman and Dieng 2023, equation 2), taken from
    the smaller of the n x n and the d x d matrix, which have the same eigenvalues above 0. Rows have length 1.
    weights: (n,) shares that sum to 1 in place of 1 / n.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if not len(rows):
        return 0.0
    share = np.full(len(rows), 1 / len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    scaled = rows * np.sqrt(share)[:, None]
    gram = scaled @ scaled.T if len(rows) <= rows.shape[1] else scaled.T @ scaled
    values = np.linalg.eigvalsh(gram)
    values = values[values > 1e-12]
    values = values / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def entropy(counts: ArrayLike) -> float:
    """Shannon entropy of counts in bits, 0 to log2 of their number."""
    filled = np.asarray(counts, dtype=np.float64)
    filled = filled[filled > 0]
    share = filled / max(float(filled.sum()), 1.0)
    return max(0.0, float(-(share * np.log2(share)).sum()))


def distinct(tokens: Sequence[Sequence[str]], size: int) -> float:
    """Different runs of `size` tokens over all such runs (distinct-n, Li et al. 2016), 0..1; 0 where there is none."""
    seen: set[tuple[str, ...]] = set()
    total = 0
    for one in tokens:
        runs = list(zip(*(one[start:] for start in range(size)), strict=False))
        seen.update(runs)
        total += len(runs)
    return len(seen) / total if total else 0.0


def farthest_first(vectors: Floats, count: int, *, seed: int) -> NDArray[np.int64]:
    """`count` rows that leave nobody far away: k-centre by the greedy rule, at most twice the best radius (Gonzalez 1985).

    The first is the row nearest to the mean. Time n count d.
    """
    del seed  # ties go to the first: nothing is drawn
    chosen = [int(np.argmax(vectors @ vectors.mean(0)))]
    closest = vectors @ vectors[chosen[0]]
    for _ in range(min(count, len(vectors)) - 1):
        closest[chosen[-1]] = 2.0
        following = int(np.argmin(closest))
        chosen.append(following)
        np.maximum(closest, vectors @ vectors[following], out=closest)
    return np.array(chosen, dtype=np.int64)


def facility_location(
    vectors: Floats, count: int, *, weights: ArrayLike | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """`count` rows such that everybody has somebody similar among them: greedy for sum_i max_j cos(i, j) from 0 up.

    Greedy reaches 1 - 1/e of the best (Nemhauser et al. 1978); of large sets each step looks at a random sample of
    n / count * log(1 / 0.05) candidates (stochastic greedy, Mirzasoleiman et al. 2015), so that time is about 3 n² d.
    weights: (n,) what a row is worth as a candidate, 0 or more: its gain is multiplied with it.
    """
    n = len(vectors)
    worth = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    rng = np.random.default_rng(seed)
    sample = n if n <= 600 else min(n, int(np.ceil(n / count * 3)))
    covered = np.zeros(n, dtype=np.float32)
    free = np.ones(n, dtype=bool)
    chosen = []
    for _ in range(min(count, n)):
        pool = np.flatnonzero(free)
        if len(pool) > sample:
            pool = np.sort(rng.choice(pool, sample, replace=False))
        gain = np.zeros(len(pool))
        for start in range(0, len(pool), 256):
            near = vectors[pool[start : start + 256]] @ vectors.T
            gain[start : start + 256] = np.maximum(near - covered, 0).sum(1)
        best = int(pool[int(np.argmax(gain * worth[pool]))])
        chosen.append(best)
        free[best] = False
        np.maximum(covered, vectors @ vectors[best], out=covered)
    return np.array(chosen, dtype=np.int64)


def clusters(vectors: Floats, count: int, *, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """k-means of the rows: numbers (n,), largest cluster first, and centres (count, d) of length 1. Empty ones are left out."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    asked = min(count, len(np.unique(vectors, axis=0)) if len(vectors) <= 200 else count)
    kind: Any = KMeans if len(vectors) <= 5000 else MiniBatchKMeans
    extra = {} if len(vectors) <= 5000 else {"batch_size": 2048}
    fitted = kind(n_clusters=asked, n_init=3, random_state=seed, **extra).fit(vectors)
    filled, number, sizes = np.unique(fitted.labels_, return_inverse=True, return_counts=True)
    rank = np.empty(len(filled), dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    rank[order] = np.arange(len(filled))
    centres = fitted.cluster_centers_[filled[order]].astype(np.float32)
    return rank[number], centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)


def plane(vectors: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two widest directions of the rows: places (n, 2), and the directions (2, d) with the sign that makes their
    largest entry positive; principal components (Pearson 1901)."""
    moved = np.asarray(vectors, dtype=np.float64) - np.asarray(vectors, dtype=np.float64).mean(0)
    _, directions = np.linalg.eigh(moved.T @ moved)
    axes = directions[:, ::-1][:, :2].T
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    return moved @ axes.T, axes
