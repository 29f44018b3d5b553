"""A ranker's records as lists: one query each, its candidates with how relevant they are, and negatives nobody wrote.

A query is known by (group, text). Relevance is `value`, or what `label` says; the first record of a query stands for it
wherever something is counted once a query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from burnish.text.bm25 import Bm25
from burnish.text.normalise import normalise

SAID = {"relevant": 1.0, "irrelevant": 0.0, "相关": 1.0, "不相关": 0.0}
DEPTH = 50  # how far down its list a miner looks


def relevance_of(label: str | None, value: float | None) -> float | None:
    """The relevance a record states; None where it states none, ValueError where its label is no relevance."""
    if value is not None:
        return float(value)
    if label is None:
        return None
    if label.strip().lower() in SAID:
        return SAID[label.strip().lower()]
    return float(label)


@dataclass
class Query:
    """One query with its candidates, in the order of the records. rows: of the table, one a candidate."""

    text: str
    rows: list[int] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    relevance: list[float] = field(default_factory=list)

    @property
    def relevant(self) -> list[str]:
        return [text for text, value in zip(self.candidates, self.relevance, strict=True) if value > 0]


def queries_of(table: pa.Table) -> list[Query]:
    """The queries of labelled records, in the order of their first one. Records without a target or candidate are left out."""
    found: dict[tuple[str | None, str], Query] = {}
    have = set(table.column_names)
    columns = [
        table[name].to_pylist() if name in have else [None] * len(table)
        for name in ("group", "text", "text_b", "label", "value")
    ]
    for row, (group, text, candidate, label, value) in enumerate(zip(*columns, strict=True)):
        relevance = relevance_of(label, value)
        if relevance is None or candidate is None or not text:
            continue
        query = found.setdefault((group, text), Query(text))
        query.rows.append(row)
        query.candidates.append(candidate)
        query.relevance.append(relevance)
    return list(found.values())


def known_positives(queries: Sequence[Query]) -> dict[str, set[str]]:
    """What is relevant to each query text, whatever group it stands in; texts normalised, so that copies count as one."""
    known: dict[str, set[str]] = {}
    for query in queries:
        own = known.setdefault(normalise(query.text), set())
        own.update(normalise(text) for text in query.relevant)
    return known


def random_negatives(queries: Sequence[Query], *, count: int, seed: int) -> list[list[str]]:
    """For each query, up to `count` candidates of other queries that are not known to be relevant to it."""
    pool = sorted({text for query in queries for text in query.candidates})
    known = known_positives(queries)
    random = np.random.Generator(np.random.PCG64([seed, len(pool)]))
    made = []
    for query in queries:
        banned = _banned(query, known)
        drawn = random.permutation(len(pool))[: count + len(banned) + 8].tolist()
        made.append([pool[at] for at in drawn if normalise(pool[at]) not in banned][:count])
    return made


def mined_negatives(
    queries: Sequence[Query],
    *,
    count: int,
    margin: float,
    scorer: Callable[[Sequence[str]], Callable[[str], np.ndarray]] = lambda pool: Bm25(pool).scores,
) -> list[list[str]]:
    """For each query, up to `count` candidates that look relevant and are not known to be.

    scorer: made of the pool (the distinct candidates of these queries, so of one side of a split alone); gives the score
    of all of them for a query text; BM25 by default, or cosines of a frozen encoder's vectors.
    margin: a candidate that scores above this share of the query's best relevant one is left alone, for it may be an
    unmarked relevant one (the false negatives of Qu et al. 2021; the relative margin of Moreira et al. 2024); 1 lets in all
    up to that score. Queries without a relevant candidate get none. Cost: one scoring of the pool a query.
    """
    pool = sorted({text for query in queries for text in query.candidates})
    place = {text: at for at, text in enumerate(pool)}
    forms = [normalise(text) for text in pool]
    known = known_positives(queries)
    scores_of = scorer(pool)
    made: list[list[str]] = []
    for query in queries:
        if not query.relevant:
            made.append([])
            continue
        banned, scores = _banned(query, known), scores_of(query.text)
        best = max(float(scores[place[text]]) for text in query.relevant)
        ceiling = margin * best if best > 0 else np.inf  # a positive that shares no word says nothing about others
        order = np.argsort(-scores, kind="stable")[: DEPTH + len(banned)]
        fit = [pool[at] for at in order if 0 < scores[at] <= ceiling and forms[at] not in banned]
        made.append(fit[:count])
    return made


def _banned(query: Query, known: dict[str, set[str]]) -> set[str]:
    """What may never be a negative of a query: what is relevant to its text anywhere, what it has already, and itself."""
    own = {normalise(text) for text in query.candidates}
    return own | known[normalise(query.text)] | {normalise(query.text)}


def dealt(relevance: Sequence[float], *, size: int, seed: int) -> list[list[int]]:
    """Positions of a long list dealt into lists of at most `size`, each with a relevant one where there is any.

    Every position is in some list; where there are fewer relevant ones than lists, they are in several.
    """
    if len(relevance) <= size:
        return [list(range(len(relevance)))]
    random = np.random.Generator(np.random.PCG64([seed, len(relevance)]))
    good = [int(at) for at in random.permutation(np.flatnonzero(np.asarray(relevance) > 0))]
    bad = [int(at) for at in random.permutation(np.flatnonzero(np.asarray(relevance) <= 0))]
    if not good or not bad:
        rest = good or bad
        return [rest[at : at + size] for at in range(0, len(rest), size)]
    # each list has at least one relevant place; lists enough for all of either kind
    share = min(size - 1, max(1, round(size * len(good) / len(relevance))))
    count = max(-(-len(bad) // (size - share)), -(-len(good) // share))
    lists = [bad[at::count] for at in range(count)]
    for at in range(max(count, len(good))):
        lists[at % count].append(good[at % len(good)])
    return lists
