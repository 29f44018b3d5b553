"""How a ranker's lists are scored: figures of each query, by measures.ranking, and where its first relevant one came.

Q lists that have an order to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from burnish.measures import ranking
from burnish.tasks._ranking_answers import SHOWN
from burnish.tasks._ranking_lists import Query
from burnish.tasks.base import Answers

NAMES = ("ndcg@10", "hr@10", "mrr@10", "recall@1", "recall@10", "map")
RANKS = ("1", "2-3", "4-10", "beyond 10", "not found")


@dataclass(frozen=True)
class Listed:
    """A query's candidates as they were scored. shown: of a list from an index, how many were found; the rest are
    relevant ones that were not."""

    query: Query
    scores: Sequence[float]
    relevance: Sequence[float]
    shown: int


def judged(queries: Sequence[Query], answers: Answers, *, pooled: bool) -> list[Listed]:
    """The lists that have an order to judge. pooled: queries were asked against an index."""
    found = (_listed(query, answers, pooled=pooled) for query in queries)
    return [one for one in found if one is not None]


def _listed(query: Query, answers: Answers, *, pooled: bool) -> Listed | None:
    """How a query's candidates were scored, None where there is no order to judge."""
    if not query.relevant:
        return None
    if not pooled:
        scores = [float(answers.items[row].get("score", 0.0)) for row in query.rows]
        return None if len(query.relevant) == len(query.rows) else Listed(query, scores, query.relevance, len(scores))
    own = dict(zip(query.candidates, query.relevance, strict=True))
    listed = [one["text"] for one in answers.items[query.rows[0]].get("ranking", [])][:SHOWN]
    relevance = [own.get(text, 0.0) for text in listed] + [0.0] * (SHOWN - len(listed))
    relevance += [value for text, value in own.items() if text not in listed]  # not found: behind all that was
    return Listed(query, [-float(at) for at in range(len(relevance))], relevance, SHOWN)


def tally(lists: Sequence[Listed], *, records: int) -> np.ndarray:
    """(records, 1 + len(NAMES)): queries, and the sums of their figures, at the first record of each."""
    made = np.zeros((records, 1 + len(NAMES)))
    if lists:
        firsts = [one.query.rows[0] for one in lists]
        made[firsts, 0] = 1.0
        made[firsts, 1:] = _figures(lists)
    return made


def means(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Figures (...,) over queries, of sums (..., 1 + len(NAMES)) of the tally."""
    queries = sums[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: sums[..., 1 + at] / queries for at, name in enumerate(NAMES)}


def parts(lists: Sequence[Listed], sums: np.ndarray) -> dict[str, Any]:
    """Where the first relevant candidates came, and figures by number of candidates, JSON. sums: of `tally`."""
    ranks: Counter[str] = Counter()
    by_size: dict[str, list[np.ndarray]] = {}
    for one, first in zip(lists, _first_ranks(lists), strict=True):
        ranks[_rank_name(first if first <= one.shown else 0)] += 1
        by_size.setdefault(_size_name(len(one.query.rows)), []).append(sums[one.query.rows[0]])
    return {
        "first_relevant_at": {name: ranks[name] for name in RANKS if ranks[name]},
        "by_candidates": {
            name: {"queries": len(rows)} | {key: float(value) for key, value in means(np.sum(rows, 0)).items()}
            for name, rows in sorted(by_size.items(), key=lambda one: int(re.split("[- ]", one[0])[0]))
        },
    }


def _figures(lists: Sequence[Listed]) -> np.ndarray:
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


def _first_ranks(lists: Sequence[Listed]) -> list[int]:
    """The rank of the first relevant candidate of each, from 1; of ties the likely one."""
    return [round(1 / value) for value in ranking.reciprocal_rank(_order(lists))] if lists else []


def _order(lists: Sequence[Listed]) -> ranking.Ranked:
    return ranking.ranked(
        [score for one in lists for score in one.scores],
        [value for one in lists for value in one.relevance],
        np.repeat(np.arange(len(lists)), [len(one.scores) for one in lists]),
    )


def _rank_name(rank: int) -> str:
    """The name of the range a rank falls in; 0 was not found."""
    if rank == 0:
        return "not found"
    return "1" if rank == 1 else "2-3" if rank <= 3 else "4-10" if rank <= 10 else "beyond 10"


def _size_name(size: int) -> str:
    return f"{size}" if size < 10 else "10-99" if size < 100 else "100 and more"
