"""Where texts lie among each other: clusters of their vectors, a name in words for each, and a plane that sets them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FEW, MANY = 3, 12  # clusters that a person can still tell apart on a map
NAMED_BY = 3  # words
LITTLE = frozenset(
    "的了是我你他她它们很不在有也就都和这那还又个一没么吗呢吧啊被把与着过得地之曰"
)  # characters that name nothing
COMMON = 0.1  # of the texts: a word in more of them names nothing


@dataclass(frozen=True)
class Places:
    """at: (n, 2) in 0..1. cluster: (n,) number of each text's, the largest is 0. names: of the clusters, "" for none.
    centres: (c, 2) in 0..1, where the names stand. explained: share of the spread that the plane keeps."""

    at: NDArray[np.float64]
    cluster: NDArray[np.int64]
    names: list[str]
    centres: NDArray[np.float64]
    explained: float


def places(vectors: Floats, texts: Sequence[str], *, seed: int) -> Places:
    """Lay n >= 3 texts out in a plane by their vectors (n, d); the same input gives the same map.

    Clusters: k-means of the centred vectors, k = sqrt(n / 6) within FEW..MANY. The plane: the two widest directions of the
    cluster centres, each weighed by its size (the between-group part of discriminant analysis, Fisher 1936), so that clusters
    lie apart; it is linear, so distances on it are shadows of distances, never larger than they are. Names: the words with
    the highest count in the cluster times log(1 + average size / count everywhere) (class-based tf-idf, Grootendorst 2022).
    """
    from sklearn.cluster import KMeans

    moved = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0, dtype=np.float64)
    count = int(np.clip(np.sqrt(len(moved) / 6), FEW, MANY))
    different = len(np.unique(moved.round(6), axis=0))
    means = KMeans(min(count, different), n_init=2, random_state=seed).fit(moved)
    order = np.argsort(-np.bincount(means.labels_), kind="stable")
    cluster = np.argsort(order)[means.labels_].astype(np.int64)
    centres, sizes = means.cluster_centers_[order], np.bincount(cluster)
    plane = _plane(centres * np.sqrt(sizes)[:, None], moved)
    flat, middle = moved @ plane.T, centres @ plane.T
    low, reach = flat.min(0), np.ptp(flat, axis=0)
    reach[reach == 0] = 1.0
    spread = float((moved**2).sum())
    explained = float((flat**2).sum()) / spread if spread else 1.0
    return Places((flat - low) / reach, cluster, names(texts, cluster), (middle - low) / reach, explained)


def _plane(centres: Any, moved: Any) -> Any:
    """(2, d) directions at right angles, the largest entry of each above 0; what the centres leave open, the rows fill."""
    wide = np.linalg.svd(centres, full_matrices=False)[2][:2]
    if len(wide) < 2 or np.linalg.matrix_rank(centres) < 2:
        wide = np.linalg.svd(moved, full_matrices=False)[2][:2]
    if len(wide) < 2:
        wide = np.vstack([wide, np.zeros_like(wide)])[:2]
    signs = np.sign(wide[np.arange(2), np.abs(wide).argmax(1)])
    return wide * np.where(signs == 0, 1, signs)[:, None]


def names(texts: Sequence[str], cluster: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """A name of each cluster: its NAMED_BY words that are most its own, in how many texts they are."""
    from burnish.text.words import terms

    inside: list[Counter[str]] = [Counter() for _ in range(int(max(cluster, default=-1)) + 1)]
    for text, number in zip(texts, cluster, strict=True):
        inside[number].update({term for term in terms(text) if _says_something(term)})
    everywhere: Counter[str] = sum(inside, Counter())
    usual = max(COMMON * len(texts), 2)
    average = sum(everywhere.values()) / max(len(inside), 1)
    made = []
    for counts in inside:
        worth = {
            term: count * float(np.log1p(average / everywhere[term])) * (count / everywhere[term])
            for term, count in counts.items()
            if count > 1 and everywhere[term] <= usual
        }
        made.append(" · ".join(_different(sorted(worth, key=lambda term: (-worth[term], term)))))
    return made


def _says_something(term: str) -> bool:
    """Two Chinese characters without little words, or one word of three letters and more."""
    if term.isascii():
        return len(term) > 2 and " " not in term
    return len(term) > 1 and LITTLE.isdisjoint(term) and not any(map(str.isascii, term))


def _different(ordered: Sequence[str]) -> list[str]:
    """The first few, none of which holds another or shares most with it."""
    taken: list[str] = []
    for one in ordered:
        if not any(one in other or other in one or set(one.split()) & set(other.split()) for other in taken):
            taken.append(one)
        if len(taken) == NAMED_BY:
            break
    return taken
