"""What ranks without a network: chance, how often a candidate was relevant in training, and BM25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from burnish.tasks._ranking_answers import SHOWN, ordered
from burnish.tasks._ranking_lists import Query
from burnish.tasks.base import Answer, Answers
from burnish.text.bm25 import Bm25


def baselines(
    taught: Sequence[Query], asked: Sequence[Query], *, records: int, pool: Sequence[str], seed: int
) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
    """(name, answers for `records` records, what was chosen), the weakest first.

    pool: entries of an index that every query is asked against; without any a query orders its own candidates.
    """
    counts = Counter(text for query in taught for text in query.relevant)
    random = np.random.Generator(np.random.PCG64(seed))

    def answers(scored: Callable[[str, Sequence[str]], np.ndarray]) -> Answers:
        return _answers(asked, scored, records=records, pool=pool)

    yield "random", answers(lambda query, texts: random.random(len(texts))), {}
    met = sum(counts[text] > 0 for query in asked for text in query.candidates)
    if met:
        by_count = answers(lambda query, texts: np.array([float(counts[text]) for text in texts]))
        yield "popularity", by_count, {"counted": "relevant in training", "candidates_met": met}
    texts = pool or sorted({text for query in asked for text in query.candidates})
    words, place = Bm25(texts), {text: at for at, text in enumerate(texts)}

    def by_words(query: str, candidates: Sequence[str]) -> np.ndarray:
        scores = words.scores(query)
        return scores if pool else scores[[place[text] for text in candidates]]

    yield "bm25", answers(by_words), {"k1": 1.2, "b": 0.75}


def _answers(
    queries: Sequence[Query],
    scored: Callable[[str, Sequence[str]], np.ndarray],
    *,
    records: int,
    pool: Sequence[str],
) -> Answers:
    """Answers of a rule. scored: (query, candidates) -> their scores; of the whole pool where there is one."""
    items: list[Answer] = [{"score": 0.0} for _ in range(records)]
    for query in queries:
        if pool:
            items[query.rows[0]] = {"score": 0.0, "ranking": ordered(pool, scored(query.text, pool), count=SHOWN)}
        else:
            for row, score in zip(query.rows, scored(query.text, query.candidates), strict=True):
                items[row] = {"score": float(score)}
    return Answers(items)
