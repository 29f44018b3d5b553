"""How a ranker's lists are scored: figures of each query, by measures.ranking, and where its first relevant one came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.measures import ranking
from burnish.tasks._lists import Query

NAMES = ("ndcg@10", "hr@10", "mrr@10", "recall@1", "recall@10", "map")


@dataclass(frozen=True)
class Listed:
    """A query's candidates as they were scored. shown: of a list from an index, how many were found; the rest are
    relevant ones that were not."""

    query: Query
    scores: Sequence[float]
    relevance: Sequence[float]
    shown: int


def figures_of(lists: Sequence[Listed]) -> np.ndarray:
    """(Q, len(NAMES)) of lists that each have a relevant candidate; MAP counts what was not found as never met."""
    order = _order(lists)
    shown = _order(
        [replace(one, scores=one.scores[: one.shown], relevance=one.relevance[: one.shown]) for one in lists]
    )
    relevant = order.relevance > 0
    share = shown.total(shown.relevance > 0) / order.total(relevant)
    precision = np.nan_to_num(ranking.average_precision(shown)) * share
    columns = [
        ranking.ndcg(order, 10, gain="exponential"),
        ranking.hit_rate(order, 10),
        ranking.reciprocal_rank(order, 10),
        ranking.recall(order, 1),
        ranking.recall(order, 10),
        precision,
    ]
    return np.stack(columns, axis=1)


def first_ranks(lists: Sequence[Listed]) -> list[int]:
    """The rank of the first relevant candidate of each, from 1; of ties the likely one."""
    return [round(1 / value) for value in ranking.reciprocal_rank(_order(lists))] if lists else []


def _order(lists: Sequence[Listed]) -> ranking.Ranked:
    return ranking.ranked(
        [score for one in lists for score in one.scores],
        [value for one in lists for value in one.relevance],
        np.repeat(np.arange(len(lists)), [len(one.scores) for one in lists]),
    )


RANKS = ("1", "2-3", "4-10", "beyond 10", "not found")


def rank_name(rank: int) -> str:
    return (
        "not found"
        if rank == 0
        else "1"
        if rank == 1
        else "2-3"
        if rank <= 3
        else "4-10"
        if rank <= 10
        else "beyond 10"
    )


def size_name(size: int) -> str:
    return f"{size}" if size < 10 else "10-99" if size < 100 else "100 and more"
