"""What a ranker's network reads: one window a pair, or with two towers one a text; and which windows are of which record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from burnish.nn.examples import Examples, encode
from burnish.nn.index import Index
from burnish.tasks._ranking_lists import Query, dealt
from burnish.tasks.base import Input
from burnish.text.bm25 import Bm25

SEED = 0  # of drawn negatives and dealt lists: part of what the task is, as a loss is


class Window(NamedTuple):
    """record: row of the table; group: number of the list it stands in; candidate: None where a tower reads `text` alone;
    relevance: 0..1, or QUERY of a query that a tower reads."""

    record: int
    group: int
    text: str
    candidate: str | None
    relevance: float


def candidates_of(
    inputs: Sequence[Input], *, towers: bool, pooled: bool, index: Index | None, retrieve: int
) -> list[list[str]]:
    """What the network reads beside each query. Two towers find entries of an index without reading them; a cross-encoder
    reads the `retrieve` entries that share most words with the query."""
    found: list[list[str]] = []
    words: Bm25 | None = None
    pool: list[str] = []
    for given in inputs:
        own = [given["text_b"]] if given.get("text_b") is not None else []
        if given.get("candidates") is not None:
            own = list(given["candidates"])
        elif not towers and (pooled or not own):
            if words is None:
                pool = index.texts if index else pool_of(inputs)
                words = Bm25(pool)
            own += [pool[row] for row in words.top(given["text"] or "", count=retrieve)]
        found.append(own)
    return found


def pool_of(inputs: Sequence[Input]) -> list[str]:
    """The distinct candidates of these inputs: what stands for an index before there is one."""
    return list(dict.fromkeys(given["text_b"] for given in inputs if given.get("text_b") is not None))


def read(
    inputs: Sequence[Input], candidates: Sequence[Sequence[str]], tokenizer: Any, *, towers: bool, max_length: int
) -> Examples:
    """Windows to predict from: a pair each; with two towers the query's, and one for each candidate."""
    first: list[str] = []
    second: list[str | None] = []
    records: list[int] = []
    for at, (given, own) in enumerate(zip(inputs, candidates, strict=True)):
        query = given.get("text") or ""
        first += [query, *own] if towers else [query] * len(own)
        second += own
        records += [at] * (len(own) + towers)
    made = encode(first, tokenizer, pairs=None if towers else second, max_length=max_length)
    of = np.array(records, dtype=np.int64)
    return made if np.array_equal(of, np.arange(len(inputs))) else replace(made, records=of)


def taught(
    queries: Sequence[Query],
    negatives: Sequence[Sequence[str]],
    *,
    towers: bool,
    highest: float,
    list_size: int | None,
) -> list[Window]:
    """Windows to learn from, in order of the records. highest: the relevance that counts 1; list_size: None deals nothing.

    negatives: of each query, which stand under its first record.
    """
    from burnish.nn.ranking_losses import QUERY

    made: list[Window] = []
    group = 0
    for query, more in zip(queries, negatives, strict=True):
        rows = [*query.rows, *[query.rows[0]] * len(more)]
        texts = [*query.candidates, *more]
        values = [value / highest for value in query.relevance] + [0.0] * len(more)
        for part in dealt(values, size=list_size or len(rows), seed=SEED):
            if towers:
                made.append(Window(min(rows[at] for at in part), group, query.text, None, QUERY))
                made += [Window(rows[at], group, texts[at], None, values[at]) for at in part]
            else:
                made += [Window(rows[at], group, query.text, texts[at], values[at]) for at in part]
            group += 1
    return sorted(made, key=lambda one: one.record)  # stable: a query before its candidates, own before drawn ones


def encoded(windows: Sequence[Window], tokenizer: Any, *, towers: bool, grouped: bool, max_length: int) -> Examples:
    """Examples with targets (W, 2): relevance, and a number for each distinct text, by which a loss knows copies."""
    pairs = None if towers else [one.candidate for one in windows]
    made = encode([one.text for one in windows], tokenizer, pairs=pairs, max_length=max_length)
    numbers: dict[str, int] = {}
    texts = [numbers.setdefault(one.candidate or one.text, len(numbers)) for one in windows]
    assert len(numbers) < 2**24, "text numbers are float32"
    return replace(
        made,
        records=np.array([one.record for one in windows], dtype=np.int64),
        targets=np.array([[one.relevance for one in windows], texts], dtype=np.float32).T.reshape(len(windows), 2),
        groups=np.array([one.group for one in windows], dtype=np.int64) if grouped else None,
    )


def by_record(examples: Examples, count: int) -> list[np.ndarray]:
    """The windows of each record; of examples with targets, those a prediction would have: query first, then candidate."""
    from burnish.nn.ranking_losses import QUERY, RELEVANCE

    records = examples.of_records
    begins = np.searchsorted(records, np.arange(count + 1))
    windows = [np.arange(begins[at], begins[at + 1]) for at in range(count)]
    if examples.targets is None:
        return windows
    query = examples.targets[:, RELEVANCE] == QUERY
    if not query.any():
        return [rows[:1] for rows in windows]
    if examples.groups is None:  # targets laid over what `read` made
        return windows
    of_group = {int(examples.groups[row]): int(row) for row in np.flatnonzero(query)}
    made = []
    for rows in windows:
        own = rows[~query[rows]][:1]
        made.append(np.array([of_group[int(examples.groups[own[0]])], own[0]]) if len(own) else own)
    return made
