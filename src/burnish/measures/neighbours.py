"""Who is next to whom: nearest neighbours by cosine, exact, in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_BLOCK = 1024


def nearest(
    vectors: Floats, k: int, *, of: Floats | None = None, groups: Any = None
) -> tuple[NDArray[np.int64], Floats]:
    """The k nearest of `vectors` (n, d) to each row of `of` (m, d), nearest first: (m, k) positions and cosines.

    Rows have length 1. of: None asks about the vectors themselves, and nobody is their own neighbour. groups: (n,) numbers;
    records of one group (near-duplicates) are no neighbours, only where `of` is None. Fewer than k: position -1, cosine -1.
    Exact; time n m d (50,000 of 384 dimensions with themselves: half a minute), memory a block of 1,024 rows.
    """
    own = of is None
    asked = vectors if of is None else of
    kept = min(k, max(len(vectors) - int(own), 0))
    places = np.full((len(asked), k), -1, dtype=np.int64)
    cosines = np.full((len(asked), k), -1.0, dtype=np.float32)
    if not kept:
        return places, cosines
    several = None if groups is None else _members(np.asarray(groups))
    for start in range(0, len(asked), _BLOCK):
        block = asked[start : start + _BLOCK] @ vectors.T
        if own:
            for row in range(len(block)):
                same = None if several is None else several.get(int(groups[start + row]))
                block[row, start + row if same is None else same] = -2.0
        top = (
            np.argpartition(-block, kept - 1, axis=1)[:, :kept]
            if kept < len(vectors)
            else np.tile(np.arange(len(vectors)), (len(block), 1))
        )
        close = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-close, axis=1, kind="stable")[:, :kept]
        found, alike = np.take_along_axis(top, order, axis=1), np.take_along_axis(close, order, axis=1)
        nobody = alike < -1.5
        places[start : start + _BLOCK, :kept] = np.where(nobody, -1, found)
        cosines[start : start + _BLOCK, :kept] = np.where(nobody, -1.0, alike)
    return places, cosines


def _members(groups: NDArray[Any]) -> dict[int, NDArray[np.int64]]:
    """Positions of each group of two or more."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return {int(groups[part[0]]): part for part in parts if len(part) > 1}


def disagreement(
    labels: NDArray[np.int64], places: NDArray[np.int64], cosines: Floats
) -> tuple[NDArray[Any], NDArray[Any]]:
    """How much the neighbours (n, k) are labelled otherwise: share 0..1 by cosine (n,), and the class that most of them have.

    Wilson's edited nearest neighbour rule (1972), as a score. Who has no neighbour has share 0 and their own class.
    """
    weight = np.where(places >= 0, np.maximum(cosines, 0) + 1e-6, 0)
    theirs = labels[np.maximum(places, 0)]
    votes = np.zeros((len(labels), int(labels.max(initial=0)) + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], theirs), weight)
    total = votes.sum(1)
    own = votes[np.arange(len(labels)), labels]
    share = np.divide(total - own, total, out=np.zeros(len(labels)), where=total > 0)
    return share, np.where(total > 0, votes.argmax(1), labels)
