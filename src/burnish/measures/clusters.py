"""Texts that mean the same, gathered by their vectors; and how well a gathering agrees with a known one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

MOST_AT_ONCE = 5000  # texts of one component whose distances are held at once: 100 MB
_BLOCK = 1024


def alike(vectors: Floats, *, threshold: float) -> Labels:
    """Clusters of vectors (n, d) of length 1: the smallest index of each one's cluster (n,); who is alone has its own.

    threshold: mean cosine of two clusters from which they are one, -1..1 (average linkage, Sokal and Michener 1958). Exact: two
    clusters with that mean have a pair with that cosine, so each connected component of such pairs is gathered by itself. A
    component of more than MOST_AT_ONCE is cut in two along its widest direction first, again and again. Time n²d.
    """
    labels = np.arange(len(vectors), dtype=np.int64)
    for members in _components(np.asarray(vectors, dtype=np.float32), threshold):
        for part in _halves(vectors, members):
            labels[part] = _linked(vectors[part], threshold, part)
    return labels


def _components(vectors: Floats, threshold: float) -> list[Labels]:
    """Members of each connected component of two or more in the graph of pairs with the cosine."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = [], []
    for at in range(0, len(vectors), _BLOCK):
        near = vectors[at : at + _BLOCK] @ vectors[at:].T >= threshold
        left, right = np.nonzero(near)
        some = right > left
        rows.append(left[some] + at)
        columns.append(right[some] + at)
    if not rows:
        return []
    pairs = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_array((np.ones(len(pairs[0]), dtype=bool), pairs), shape=(len(vectors), len(vectors)))
    _, component = connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return [part.astype(np.int64) for part in parts if len(part) > 1]


def _halves(vectors: Floats, members: Labels) -> list[Labels]:
    if len(members) <= MOST_AT_ONCE:
        return [members]
    own = vectors[members]
    moved = own - own.mean(0)
    direction = np.ones(moved.shape[1], dtype=np.float32)
    for _ in range(20):  # power iteration: the widest direction
        direction = moved.T @ (moved @ direction)
        direction /= max(float(np.linalg.norm(direction)), 1e-12)
    order = np.argsort(moved @ direction, kind="stable")
    middle = len(members) // 2
    halves = (np.sort(members[order[:middle]]), np.sort(members[order[middle:]]))
    return [part for half in halves for part in _halves(vectors, half)]


def _linked(vectors: Floats, threshold: float, members: Labels) -> Labels:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(members) < 2:
        return members
    distance = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    distance = np.clip((distance + distance.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average")
    cluster = fcluster(tree, t=1 - threshold + 1e-9, criterion="distance")
    first = np.full(cluster.max() + 1, members.max() + 1)
    np.minimum.at(first, cluster, members)
    smallest: Labels = first[cluster].astype(np.int64)
    return smallest


def middle(vectors: Floats, weights: Sequence[float] | None = None) -> int:
    """Which of the vectors (n, d) is nearest to all of them, each as heavy as it weighs: the medoid by cosine."""
    heavy = np.ones(len(vectors)) if weights is None else np.asarray(weights, dtype=np.float64)
    return int(np.argmax(vectors @ (heavy[:, None] * vectors).sum(0)))


def agreement(said: Sequence[Any] | NDArray[Any], known: Sequence[Any] | NDArray[Any]) -> dict[str, float]:
    """How well clusters agree with known ones, by pairs and by information, each 0..1.

    precision: of pairs put together those that belong together; recall: of those that belong, those put together; f1: both;
    nmi: mutual information over the mean of the two entropies (arithmetic). Order of names means nothing.
    """
    from sklearn.metrics import normalized_mutual_info_score

    a = np.unique(np.asarray(said), return_inverse=True)[1].reshape(-1)
    b = np.unique(np.asarray(known), return_inverse=True)[1].reshape(-1)
    both = np.unique(a * (int(b.max(initial=0)) + 1) + b, return_counts=True)[1]
    together, ours, theirs = (_pairs(count) for count in (both, np.bincount(a), np.bincount(b)))
    precision = together / ours if ours else 1.0
    recall = together / theirs if theirs else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "nmi": float(normalized_mutual_info_score(b, a))}


def _pairs(counts: NDArray[Any]) -> float:
    return float((counts * (counts - 1) // 2).sum())
