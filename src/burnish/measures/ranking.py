"""How good an order is: nDCG, hit rate, MRR, MAP and recall of candidates ranked by score, per query.

Candidates of all queries stand one after the other: `scores` and `relevances` (N), and `queries` (N), the query each
belongs to (any numbers; equal ones are one query, in the order of first value). A measure gives one number a query, (Q),
so that means over any queries are sums that add up.

Ties are answered honestly: a measure is its mean over all orders of candidates with equal scores (McSherry & Najork
2008), so that neither the order of the file nor a model that scores everything alike earns anything. Without ties all are
the textbook's. nDCG agrees with scikit-learn's ndcg_score, ties included (tests/measures/test_ranking.py).

A query without any relevant candidate is NaN, except in `hit_rate`, where it is 0; `mean` leaves NaN out and says how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ranked:
    """Candidates of Q queries in order: best first within each query, N in all.

    query, relevance: (N); starts: (Q + 1) where each query begins; rank: (N) from 0 within the query;
    low, high: (N) ranks of the first and one past the last candidate with the same score.
    """

    query: Ints
    relevance: Floats
    starts: Ints
    rank: Ints
    low: Ints
    high: Ints

    @property
    def count(self) -> int:
        return len(self.starts) - 1

    def total(self, values: NDArray[np.generic]) -> Floats:
        """Sum values (N) over each query: (Q)."""
        return np.bincount(self.query, weights=values, minlength=self.count).astype(np.float64)


def ranked(scores: ArrayLike, relevances: ArrayLike, queries: ArrayLike) -> Ranked:
    """Sort the candidates of each query by score, highest first; ValueError for scores that are not finite.

    relevances: numbers from 0 up; 0 is not relevant, and only nDCG makes a difference between the others.
    """
    scores, relevance = np.asarray(scores, dtype=np.float64), np.asarray(relevances, dtype=np.float64)
    query = np.unique(np.asarray(queries), return_inverse=True)[1].astype(np.int64)
    if not len(scores) == len(relevance) == len(query):
        raise ValueError(f"{len(scores)} scores, {len(relevance)} relevances, {len(query)} queries")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if len(relevance) and not (np.isfinite(relevance).all() and relevance.min() >= 0):
        raise ValueError("relevances must be 0 or more")
    order = np.lexsort((-scores, query))
    scores, relevance, query = scores[order], relevance[order], query[order]
    starts = np.searchsorted(query, np.arange(int(query[-1]) + 2 if len(query) else 1)).astype(np.int64)
    place = np.arange(len(query))
    rank = place - starts[query] if len(query) else place
    fresh = np.ones(len(query), dtype=bool)
    fresh[1:] = (np.diff(scores) != 0) | (np.diff(query) != 0)
    group = np.cumsum(fresh) - 1
    first = np.flatnonzero(fresh)
    low = rank[first][group]
    high = low + np.diff(np.append(first, len(query)))[group]
    return Ranked(query, relevance, starts, rank, low, high)


def ndcg(order: Ranked, k: int | None = None, *, gain: Literal["linear", "exponential"] = "linear") -> Floats:
    """Normalised discounted cumulative gain of the first k (None: all) of each query, 0..1: (Q).

    gain: of a relevance r: linear r (Järvelin & Kekäläinen 2002; scikit-learn) or exponential 2^r - 1 (Burges et al. 2005).
    """
    gains = order.relevance if gain == "linear" else 2.0**order.relevance - 1.0
    longest = int(np.diff(order.starts).max(initial=0))
    discounts = 1.0 / np.log2(np.arange(longest) + 2.0)
    if k is not None:
        discounts[k:] = 0.0
    running = np.concatenate([[0.0], np.cumsum(discounts)])
    # each of a group of ties earns the mean discount of the group's places
    earned = gains * (running[order.high] - running[order.low]) / (order.high - order.low)
    best_first = np.lexsort((-gains, order.query))
    ideal = order.total(gains[best_first] * discounts[order.rank])
    return _over(order.total(earned), ideal)


def hit_rate(order: Ranked, k: int) -> Floats:
    """Chance that a relevant candidate is among the first k of each query, 0..1; 0 or 1 without ties: (Q).

    A query without a relevant candidate is 0: it was not answered.
    """
    return 1.0 - _chance_of_none(order, k)


def _chance_of_none(order: Ranked, k: int) -> Floats:
    """(Q) the chance that none of the first k is relevant."""
    from scipy.special import gammaln

    first, relevant = _groups(order)
    low, high, query = order.low[first], order.high[first], order.query[first]
    size = high - low
    taken = np.clip(k - low, 0, size)
    wrong = size - relevant
    none = np.where(relevant == 0, 0.0, -np.inf)
    able = (relevant > 0) & (taken <= wrong)  # choose `taken` of the wrong ones out of `taken` of all
    ways = (
        gammaln(wrong + 1) - gammaln(np.maximum(wrong - taken, 0) + 1) - gammaln(size + 1) + gammaln(size - taken + 1)
    )
    none = np.where(able, ways, none)
    return np.exp(np.bincount(query, weights=np.where(np.isinf(none), -1e9, none), minlength=order.count))


def _groups(order: Ranked) -> tuple[Ints, Floats]:
    """First place of each group of ties, and how many relevant candidates the group has."""
    first = np.flatnonzero(order.rank == order.low)
    if not len(first):
        return first, np.zeros(0)
    return first, np.add.reduceat((order.relevance > 0).astype(np.float64), first)


def recall(order: Ranked, k: int) -> Floats:
    """Share of the relevant candidates that are among the first k of each query, 0..1: (Q)."""
    relevant = order.relevance > 0
    inside = np.clip(k - order.low, 0, order.high - order.low) / (order.high - order.low)
    return _over(order.total(relevant * inside), order.total(relevant))


def reciprocal_rank(order: Ranked, k: int | None = None) -> Floats:
    """1 / rank of the first relevant candidate of each query, 0 past k: (Q). Its mean is MRR (Voorhees 1999)."""
    made = np.zeros(order.count)
    longest = int(np.diff(order.starts).max(initial=0))
    worth = 1.0 / np.arange(1, longest + 1)
    if k is not None:
        worth[k:] = 0.0
    first, relevant = _groups(order)
    first, relevant = first[relevant > 0], relevant[relevant > 0]
    queries, best = np.unique(order.query[first], return_index=True)  # the first group of each with a relevant one
    low, size = order.low[first][best], (order.high - order.low)[first][best]
    made[queries] = worth[low]
    for i in np.flatnonzero(size > 1):
        chances = _first_place(int(size[i]), int(relevant[best[i]]))
        made[queries[i]] = float((chances * worth[low[i] : low[i] + size[i]]).sum())
    made[order.total(order.relevance > 0) == 0] = np.nan
    return made


def _first_place(size: int, hits: int) -> Floats:
    """(size) chance that the first of `hits` relevant ones among `size` in random order stands at each place."""
    places = np.arange(size - hits + 1)
    survive = np.cumprod(np.concatenate([[1.0], (size - hits - places[:-1]) / (size - places[:-1])]))
    return np.concatenate([survive * hits / (size - places), np.zeros(hits - 1)])


def average_precision(order: Ranked) -> Floats:
    """Mean of the precisions at each relevant candidate of each query, 0..1: (Q). Its mean is MAP.

    The expectation over ties in closed form: at place j of a group, another of the group stands before it with chance
    (j - 1) / (size - 1).
    """
    relevant = order.relevance > 0
    first, hits = _groups(order)
    size = (order.high - order.low)[first]
    ends = order.query[first]
    before = np.cumsum(hits) - hits
    before -= np.concatenate([[0.0], np.cumsum(np.bincount(ends, weights=hits, minlength=order.count))])[ends]
    group = np.cumsum(order.rank == order.low) - 1
    inside = order.rank - order.low
    others = np.where(size > 1, (hits - 1) / np.maximum(size - 1, 1), 0.0)
    expected = hits[group] / size[group] * (before[group] + 1 + inside * others[group]) / (order.rank + 1)
    return _over(order.total(expected), order.total(relevant))


def ranking_scores(order: Ranked, *, at: tuple[int, ...] = (10,)) -> dict[str, Floats]:
    """Every measure of each query (Q) by its name: ndcg@k, hr@k and recall@k for the k of `at`, mrr, map, ndcg."""
    made: dict[str, Floats] = {}
    for k in at:
        made |= {f"ndcg@{k}": ndcg(order, k), f"hr@{k}": hit_rate(order, k), f"recall@{k}": recall(order, k)}
    return made | {"mrr": reciprocal_rank(order), "map": average_precision(order), "ndcg": ndcg(order)}


def mean(values: Floats) -> tuple[float, int]:
    """Mean over the queries that have a relevant candidate, and how many queries have none (NaN)."""
    there = ~np.isnan(values)
    return float(values[there].mean()) if there.any() else float("nan"), int((~there).sum())


def _over(over: Floats, under: Floats) -> Floats:
    """Divide, NaN where there is nothing to divide by."""
    divided: Floats = np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)
    return divided
