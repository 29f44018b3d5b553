"""From what a ranker's network gives to what it says: scores of candidates, their order, and from where on a score answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.nn import index as indexes
from burnish.tasks._ranking_lists import Query
from burnish.tasks.base import Answer, Answers, Input

SHOWN = 10  # of a long list, in the answer to a bare query


def scores_of(rows: np.ndarray, outputs: Sequence[Any], card: Mapping[str, Any], *, towers: bool) -> np.ndarray:
    """Scores of the candidates that one input had read: cosines, or probabilities (0..1) of a cross-encoder.

    rows: its windows, with two towers the query's first.
    """
    if not len(rows):
        return np.zeros(0)
    if towers:
        vectors = np.stack([np.asarray(outputs[row], dtype=np.float64) for row in rows])
        cosines: np.ndarray = vectors[1:] @ vectors[0]
        return cosines
    logits = np.array([float(np.ravel(outputs[row])[0]) for row in rows])
    return _sigmoid(float(card.get("slope", 1.0)) * logits + float(card.get("offset", 0.0)))


def ordered(texts: Sequence[str], scores: np.ndarray, *, count: int | None = None) -> list[Answer]:
    """The list, best first; of equal scores the first."""
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:count]
    return [{"index": int(at), "text": texts[at], "score": round(float(scores[at]), 6)} for at in order]


def nearest_of_pool(
    inputs: Sequence[Input],
    windows: Sequence[np.ndarray],
    outputs: Sequence[Any],
    *,
    index: indexes.Index | None,
    pooled: bool,
) -> dict[int, list[Answer]]:
    """Two towers: the best of the index for every input that asks for it, by position; before there is one, of these
    inputs, where the task answers from one (`pooled`)."""
    asking = [
        at for at, given in enumerate(inputs)
        if given.get("candidates") is None and (given.get("text_b") is None or pooled)
    ]  # fmt: skip
    if not asking or not (index or pooled):
        return {}
    if index is not None:
        texts, vectors = index.texts, index.vectors
        assert vectors is not None, "an index of two towers has vectors"
    else:
        first = {given["text_b"]: windows[at][1] for at, given in enumerate(inputs) if given.get("text_b") is not None}
        texts, vectors = list(first), np.stack([np.asarray(outputs[row]) for row in first.values()])
    queries = np.stack([np.asarray(outputs[windows[at][0]]) for at in asking])
    rows, cosines = indexes.nearest(vectors, queries, count=SHOWN)
    return {
        at: [
            {"index": int(row), "text": texts[row], "score": round(float(score), 6)}
            for row, score in zip(rows[i], cosines[i], strict=True)
        ]
        for i, at in enumerate(asking)
    }


def matched(ranking: list[Answer], index: indexes.Index | None, *, threshold: float) -> Answer:
    """The entry that answers a bare query, None where the best is below the threshold (or nothing was found)."""
    best: Answer = ranking[0] if ranking else {"text": None, "score": 0.0}
    found = bool(ranking) and best["score"] >= threshold
    made: Answer = {"text": best["text"] if found else None, "score": best["score"], "ranking": ranking}
    if found and index and (reply := index.replies[best["index"]]) is not None:
        made["reply"] = reply
    return made


def platt(queries: Sequence[Query], windows: Sequence[np.ndarray], outputs: Sequence[Any]) -> dict[str, float]:
    """slope and offset of the logistic curve through the logits of the records' own pairs (Platt 1999); {} where they are
    few or of one class alone."""
    found = [
        (float(np.ravel(outputs[windows[row][0]])[0]), value > 0)
        for query in queries
        for row, value in zip(query.rows, query.relevance, strict=True)
        if len(windows[row])
    ]
    logits = np.array([logit for logit, _ in found])
    relevant = np.array([good for _, good in found], dtype=bool)
    if len(logits) < 10 or relevant.all() or not relevant.any():
        return {}
    from sklearn.linear_model import LogisticRegression

    spread = max(float(logits.std()), 1e-6)
    fitted = LogisticRegression(C=1.0).fit((logits / spread)[:, None], relevant)
    slope = float(fitted.coef_[0, 0]) / spread
    # a curve that falls would turn the order round: the scores then say nothing, and are left as they are
    return {"slope": slope, "offset": float(fitted.intercept_[0])} if slope > 0 else {}


def threshold(queries: Sequence[Query], answers: Answers) -> dict[str, float]:
    """The score that is best for both: queries with an answer answered right, queries without one left alone; {} where
    there is none of either. threshold_accuracy: the share of both that come out right at it."""
    best: list[tuple[float, bool]] = []  # (score of the best candidate, is it relevant)
    without: list[float] = []
    for query in queries:
        seen = _seen(query, answers)
        good = [score for score, relevant in seen if relevant]
        bad = [score for score, relevant in seen if not relevant]
        if good and bad:
            best.append((max(good), max(good) > max(bad)))
        if bad:
            without.append(max(bad))
    if not best or not without:
        return {}
    right = np.array([score for score, good in best if good])
    silent = np.array(without)
    places = np.unique(np.concatenate([right, silent]))
    places = np.concatenate([places, [np.nextafter(places[-1], np.inf)]])
    share = [
        0.5 * ((right >= place).sum() / len(best) + (silent < place).mean()) for place in places
    ]  # (T) balanced accuracy
    at = int(np.argmax(share))
    return {"threshold": round(float(places[at]), 6), "threshold_accuracy": round(float(share[at]), 6)}


def _seen(query: Query, answers: Answers) -> list[tuple[float, bool]]:
    """(score, relevant) of all that was scored for a query."""
    relevant = set(query.relevant)
    seen = {
        candidate: answers.items[row].get("score", 0.0)
        for row, candidate in zip(query.rows, query.candidates, strict=True)
    }
    for one in answers.items[query.rows[0]].get("ranking", []):
        seen.setdefault(one["text"], one["score"])
    return [(score, text in relevant) for text, score in seen.items()]


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
