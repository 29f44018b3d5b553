"""Ranking: which of the candidates answers the query, by a cross-encoder, or by two towers and an index (FAQ matching).

input    `text` the query, `text_b` one candidate; for prediction also {"query", "candidates"}, or a bare query against
         the index
target   `value`, how relevant (0..highest), or `label` 1/0/relevant/irrelevant; a query is known by (`group`, `text`)
head     cross-encoder: one output for a pair, stock AutoModelForSequenceClassification with one label;
         two-tower: a vector a text, stock AutoModel with sentence-transformers' pooling files
loss     pointwise, pairwise (RankNet), listwise (softmax within the query; InfoNCE with in-batch negatives)
scores   nDCG@10, hit rate@10, MRR@10, recall@1 and @10, MAP, means over queries

The first record of a query carries its figures; its other records carry zeros, so sums over records are sums over
queries. A query without a relevant candidate, or with nothing but relevant ones, has no order to judge and counts in none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.figures import title
from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest
from burnish.nn import index as indexes
from burnish.nn.examples import Examples, encode
from burnish.nn.models import Head
from burnish.tasks import _lists
from burnish.tasks._listed import NAMES, RANKS, Listed, figures_of, first_ranks, rank_name, size_name
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.base import Task as Base
from burnish.tasks.editors import Editor
from burnish.text.bm25 import Bm25

CHOICES = {
    "model": ("cross-encoder", "two-tower"),
    "loss": ("auto", "pointwise", "pairwise", "listwise"),
    "negatives": ("auto", "given", "random", "mined", "in_batch"),
}
ALSO = {"query": "text", "candidate": "text_b"}  # what callers say for our fields
SHOWN = 10  # of a long list, in the answer to a bare query
SEED = 0  # of drawn negatives and dealt lists: part of what the task is, as a loss is

PROMPTS = {
    "en": "How relevant is the candidate to the query? Answer with 1 (relevant) or 0 (not relevant) alone.\n{text}\nAnswer:",
    "zh": "候选内容与查询是否相关？只回答 1（相关）或 0（不相关）。\n{text}\n回答：",
}


class Task(Base):
    """Order candidates by how well they answer a query."""

    name = "ranking"
    pipeline = "text-ranking"
    target = ("value", "label")
    options: ClassVar[Mapping[str, Any]] = {
        "model": "cross-encoder",
        "loss": "auto",
        "negatives": "auto",
        "num_negatives": 4,
        "margin": 0.95,
        "temperature": "auto",
        "dimensions": (),
        "list_size": 16,
        "highest": 1,
        "candidates": "given",
        "retrieve": 20,
    }
    figure = "ndcg@10"
    about: ClassVar[Mapping[str, str]] = {
        "first_relevant_at": "Queries by the place of their first relevant candidate.",
        "by_candidates": "Queries by how many candidates they have.",
    }
    together = ("text",)

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        own = self.settings
        self.towers = own["model"] == "two-tower"
        self.loss: Any = own["loss"] if own["loss"] != "auto" else "listwise" if self.towers else "pointwise"
        self.pooled = own["candidates"] != "given"
        self.index: indexes.Index | None = None

    # -- 1. what is a target, when is a record valid

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        """(key, message, hint) for what is wrong with the `task` section."""
        found = super().problems(spec)
        own = {**cls.options, **spec.options}
        for key, choices in CHOICES.items():
            if own[key] not in choices:
                hint = nearest(str(own[key]), choices, "it is one of")
                found.append((key, f"ranking has no {key} {own[key]!r}", hint))
        for key, least in (("num_negatives", 0), ("list_size", 2), ("retrieve", 1)):
            if not isinstance(own[key], int) or own[key] < least:
                found.append(
                    (key, f"{key} is a whole number from {least} up, got {own[key]!r}", f"{key}: {cls.options[key]}")
                )
        for key in ("margin", "highest", "temperature"):
            given = own[key]
            if given != "auto" and (not isinstance(given, int | float) or given <= 0):
                found.append((key, f"{key} is a number above 0, got {given!r}", f"{key}: {cls.options[key]}"))
        sizes = own["dimensions"]
        if not isinstance(sizes, list | tuple) or not all(isinstance(one, int) and one > 0 for one in sizes):
            found.append(("dimensions", f"dimensions are whole numbers, got {sizes!r}", "dimensions: [384, 128, 64]"))
        towers = own["model"] == "two-tower"
        if sizes and not towers:
            found.append(("dimensions", "a cross-encoder has no vectors to shorten", "model: two-tower"))
        if own["negatives"] == "in_batch" and (not towers or own["loss"] not in ("auto", "listwise")):
            hint = "model: two-tower with loss: listwise, or negatives: mined"
            found.append(("negatives", "in-batch negatives are for two towers and the listwise loss", hint))
        return found

    @classmethod
    def files(cls, spec: TaskSpec) -> dict[str, str]:
        """The entries of the index, where a file holds them."""
        where = spec.options.get("candidates", "given")
        return {} if where in ("given", "known") else {"candidates": where}

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid."""
        if not (record.text or "").strip():
            return "empty query"
        try:
            relevance = _lists.relevance_of(record.label, record.value)
        except ValueError:
            return f"label {record.label!r} is no relevance (1, 0, relevant, irrelevant, or a number in value)"
        if relevance is None:
            return None
        if not (record.text_b or "").strip():
            return "a relevance without a candidate: text_b is empty"
        if not 0 <= relevance <= self.settings["highest"]:
            return f"relevance {relevance:g} is outside 0..{self.settings['highest']} (task.highest)"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        """(n,) bool: which records say how relevant their candidate is."""
        there = super().labelled(table)
        has = table["text_b"].is_valid().to_numpy(zero_copy_only=False).astype(bool) if len(table) else there
        both: np.ndarray = there & has
        return both

    # -- 2. how is it encoded

    def input(self, given: Any) -> Input:
        """{"text", "text_b"}, {"query", "candidates"}, or a query alone where there is an index; {"candidate"} is text_b."""
        if isinstance(given, Mapping):
            given = {ALSO.get(name, name): value for name, value in given.items()}
        made = super().input(given)
        listed = given.get("candidates") if isinstance(given, Mapping) else None
        if listed is not None:
            if not isinstance(listed, list | tuple) or not listed:
                raise ValueError("candidates must be a list of texts, not empty")
            texts = [one.get("text") if isinstance(one, Mapping) else one for one in listed]
            if wrong := [at for at, text in enumerate(texts) if not isinstance(text, str)]:
                raise ValueError(f"candidates[{wrong[0]}] must be a text, or an object with one")
            made["candidates"] = texts
        if made["text_b"] is None and listed is None and self.index is None:
            raise ValueError('this model has no index: give {"query", "candidates": [...]} or {"text", "text_b"}')
        return made

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        """A window a pair; with two towers, a window for the query and one for each candidate."""
        first: list[str] = []
        second: list[str | None] = []
        records: list[int] = []
        for at, (given, candidates) in enumerate(zip(inputs, self._candidates(inputs), strict=True)):
            query = given.get("text") or ""
            first += [query, *candidates] if self.towers else [query] * len(candidates)
            second += candidates
            records += [at] * (len(candidates) + self.towers)
        pairs = None if self.towers else second
        made = encode(first, tokenizer, pairs=pairs, max_length=max_length)
        of = np.array(records, dtype=np.int64)
        return made if np.array_equal(of, np.arange(len(inputs))) else replace(made, records=of)

    def _candidates(self, inputs: Sequence[Input]) -> list[list[str]]:
        """What the network reads beside each query. Two towers find entries of an index without reading them."""
        found: list[list[str]] = []
        words: Bm25 | None = None
        pool: list[str] = []
        for given in inputs:
            own = [given["text_b"]] if given.get("text_b") is not None else []
            if given.get("candidates") is not None:
                own = list(given["candidates"])
            elif not self.towers and (self.pooled or not own):  # retrieve by words, then read what was retrieved
                if words is None:
                    pool = self.index.texts if self.index else _pool(inputs)
                    words = Bm25(pool)
                own += [pool[row] for row in words.top(given["text"] or "", count=int(self.settings["retrieve"]))]
            found.append(own)
        return found

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Labelled records with the negatives that `negatives` asks for, the windows of a list in one group.

        Negatives come from the candidates of this very table, so never from another side of a split.
        """
        windows = self._windows(table)
        first = [text for _, _, text, _, _ in windows]
        pairs = None if self.towers else [candidate for _, _, _, candidate, _ in windows]
        made = encode(first, tokenizer, pairs=pairs, max_length=max_length)
        numbers: dict[str, int] = {}
        told = [candidate or text for _, _, text, candidate, _ in windows]
        texts = [numbers.setdefault(text, len(numbers)) for text in told]
        assert len(numbers) < 2**24, "text numbers are float32"
        relevance = [value for *_, value in windows]
        grouped = self.towers or self.loss != "pointwise"
        return replace(
            made,
            records=np.array([row for row, *_ in windows], dtype=np.int64),
            targets=np.array([relevance, texts], dtype=np.float32).T.reshape(len(windows), 2),
            groups=np.array([group for _, group, *_ in windows], dtype=np.int64) if grouped else None,
        )

    def _windows(self, table: pa.Table) -> list[tuple[int, int, str, str | None, float]]:
        """(record, list, text, candidate or None, relevance) of every window, in order of the records.

        With two towers a window is one text: the query (relevance QUERY) or a candidate.
        """
        from burnish.nn.ranking_losses import QUERY

        queries = _lists.queries_of(table)
        grouped = self.towers or self.loss != "pointwise"
        made: list[tuple[int, int, str, str | None, float]] = []
        group = 0
        for query, more in zip(queries, self._negatives(queries), strict=True):
            rows = [*query.rows, *[query.rows[0]] * len(more)]
            texts = [*query.candidates, *more]
            values = [value / float(self.settings["highest"]) for value in query.relevance] + [0.0] * len(more)
            size = int(self.settings["list_size"]) if grouped else len(rows)
            for part in _lists.dealt(values, size=size, seed=SEED):
                if self.towers:
                    made.append((min(rows[at] for at in part), group, query.text, None, QUERY))
                    made += [(rows[at], group, texts[at], None, values[at]) for at in part]
                else:
                    made += [(rows[at], group, query.text, texts[at], values[at]) for at in part]
                group += 1
        return sorted(made, key=lambda one: one[0])  # stable: a query before its candidates, own before drawn ones

    def _negatives(self, queries: Sequence[_lists.Query]) -> list[list[str]]:
        """Candidates to tell from the relevant ones, beside those the records name."""
        how, count = self.settings["negatives"], int(self.settings["num_negatives"])
        if how == "mined":
            return _lists.mined_negatives(queries, count=count, margin=float(self.settings["margin"]))
        if how == "random" or (how == "auto" and not (self.towers and self.loss == "listwise")):
            drawn = _lists.random_negatives(queries, count=count, seed=SEED)
            # auto: only where a query has nothing to tell its relevant ones from
            lone = [how == "random" or all(value > 0 for value in query.relevance) for query in queries]
            return [some if alone else [] for some, alone in zip(drawn, lone, strict=True)]
        return [[] for _ in queries]

    # -- 3. which head and loss

    def head(self) -> Head:
        """One output for a pair, or a vector for a text."""
        return Head("embedding") if self.towers else Head("sequence", ("relevance",))

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        """The loss of the `task` section. Class weights and label smoothing have no meaning here."""
        from burnish.nn.ranking_losses import RankingLoss

        asked = self.settings["temperature"]
        return RankingLoss(
            self.loss,
            temperature=float(asked) if asked != "auto" else 0.05 if self.towers else 1.0,
            towers=self.towers,
            in_batch=self.settings["negatives"] in ("auto", "in_batch", "mined", "random"),
            dimensions=tuple(self.settings["dimensions"]),
        )

    # -- 4. how is output decoded

    def decode(
        self, inputs: Sequence[Input], examples: Examples, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"score"} of a pair, {"ranking"} of candidates, {"text", "score", "ranking"} of a query against the index."""
        windows = _by_record(examples, len(inputs))
        listed = self._candidates(inputs)
        scores = [self._scores(at, windows, examples, outputs, card) for at in range(len(inputs))]
        pooled = self._from_pool(inputs, windows, outputs) if self.towers else {}
        place = {text: row for row, text in enumerate(self.index.texts)} if self.index else {}
        answers: list[Answer] = []
        for at, (given, candidates) in enumerate(zip(inputs, listed, strict=True)):
            answer: Answer = {}
            own = scores[at][: len(candidates)]
            if given.get("candidates") is not None:
                answer["ranking"] = _ranking(candidates, own)
            else:
                skip = int(given.get("text_b") is not None)
                if skip:
                    answer["score"] = round(float(own[0]), 6)
                if at in pooled:
                    answer["ranking"] = pooled[at]
                elif not self.towers and len(candidates) > skip:
                    answer["ranking"] = [
                        one | {"index": place.get(one["text"], one["index"])}
                        for one in _ranking(candidates[skip:], own[skip:], count=SHOWN)
                    ]
                if not skip:
                    answer = self._matched(answer, card)
            answers.append(answer)
        return Answers(answers)

    def _matched(self, answer: Answer, card: Mapping[str, Any]) -> Answer:
        """The entry that answers a bare query, None where the best is below the threshold (or nothing was found)."""
        ranking = answer.get("ranking", [])
        best: Answer = ranking[0] if ranking else {"text": None, "score": 0.0}
        found = bool(ranking) and best["score"] >= float(card.get("threshold", 0.0))
        made: Answer = {"text": best["text"] if found else None, "score": best["score"], "ranking": ranking}
        if found and self.index and (reply := self.index.replies[best["index"]]) is not None:
            made["reply"] = reply
        return made

    def _scores(
        self, at: int, windows: list[np.ndarray], examples: Examples, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> np.ndarray:
        """Scores of the candidates that input `at` had read: cosines, or probabilities (0..1) of a cross-encoder."""
        rows = windows[at]
        if not len(rows):
            return np.zeros(0)
        if self.towers:
            vectors = np.stack([np.asarray(outputs[row], dtype=np.float64) for row in rows])
            cosines: np.ndarray = vectors[1:] @ vectors[0]
            return cosines
        logits = np.array([float(np.ravel(outputs[row])[0]) for row in rows])
        return _sigmoid(float(card.get("slope", 1.0)) * logits + float(card.get("offset", 0.0)))

    def _from_pool(
        self, inputs: Sequence[Input], windows: list[np.ndarray], outputs: Sequence[Any]
    ) -> dict[int, list[Answer]]:
        """The best of the index for every input that asks for it, by position; before there is one, of these inputs."""
        asking = [
            at for at, given in enumerate(inputs)
            if given.get("candidates") is None and (given.get("text_b") is None or self.pooled)
        ]  # fmt: skip
        if not asking or not (self.index or self.pooled):
            return {}
        if self.index is not None:
            texts, vectors = self.index.texts, self.index.vectors
            assert vectors is not None, "an index of two towers has vectors"
        else:
            first = {
                given["text_b"]: windows[at][1] for at, given in enumerate(inputs) if given.get("text_b") is not None
            }
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

    def calibrate(self, table: pa.Table, examples: Examples, outputs: Sequence[Any]) -> dict[str, Any]:
        """A cross-encoder's logits as probabilities (Platt 1999), and the score from which a bare query is answered.

        threshold: where answering right and keeping silent are best together, every query being met twice: with its
        relevant candidates among all of these records, and without them, when it should not be answered. The share of
        both that come out right at that score is `threshold_accuracy`.
        """
        inputs = self.inputs(table)
        card: dict[str, Any] = {}
        if not self.towers:
            logits, hard = self._judged(table, examples, outputs)
            card |= _platt(logits, hard)
        answers = self.decode(inputs, examples, outputs, card)
        best: list[tuple[float, bool]] = []  # (score of the best candidate, is it relevant)
        without: list[float] = []
        for query in _lists.queries_of(table):
            seen = self._seen(query, answers)
            good = [score for score, relevant in seen if relevant]
            bad = [score for score, relevant in seen if not relevant]
            if good and bad:
                best.append((max(good), max(good) > max(bad)))
                without.append(max(bad))
            elif bad:
                without.append(max(bad))
        return card | _threshold(best, without)

    def _seen(self, query: _lists.Query, answers: Answers) -> list[tuple[float, bool]]:
        """(score, relevant) of all that was scored for a query."""
        relevant = set(query.relevant)
        seen = {
            candidate: answers.items[row].get("score", 0.0)
            for row, candidate in zip(query.rows, query.candidates, strict=True)
        }
        for one in answers.items[query.rows[0]].get("ranking", []):
            seen.setdefault(one["text"], one["score"])
        return [(score, text in relevant) for text, score in seen.items()]

    def _judged(self, table: pa.Table, examples: Examples, outputs: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Logits of the records' own pairs, and whether they are relevant."""
        windows = _by_record(examples, len(table))
        found = [
            (float(np.ravel(outputs[windows[row][0]])[0]), value > 0)
            for query in _lists.queries_of(table)
            for row, value in zip(query.rows, query.relevance, strict=True)
            if len(windows[row])
        ]
        return np.array([logit for logit, _ in found]), np.array([good for _, good in found], dtype=bool)

    # -- an index beside the model

    def collect(self, train: pa.Table, validation: pa.Table | None = None, *, base: Path | None = None) -> None:
        """Take the entries of the index: all that is relevant to something in these records, or those of a file.

        `candidates` of the task section: "known", or a file of records: `text` or `question`, and `reply` where there is one.
        """
        where = self.settings["candidates"]
        if where == "given":
            return
        self.index = _known(train, validation) if where == "known" else _entries_of(Path(base or ".") / where)

    def furnish(self, folder: Path, engine: Any) -> None:
        """Write the index beside a model, its vectors made by the very engine that will answer."""
        if self.index is None:
            return
        vectors = None
        if self.towers:
            read = encode(self.index.texts, engine.tokenizer, max_length=engine.max_length)
            vectors = np.asarray(engine.outputs(read), dtype=np.float32)
        replace(self.index, vectors=vectors).save(folder)

    def opened(self, folder: Path) -> None:
        """Find the index beside a model."""
        self.index = indexes.Index.open(folder)

    # -- 5. which scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 1 + len(NAMES)): queries, and the sums of their figures, at the first record of each."""
        made = np.zeros((len(table), 1 + len(NAMES)))
        judged = self._judged_lists(table, answers)
        if judged:
            made[[one.query.rows[0] for one in judged], 0] = 1.0
            made[[one.query.rows[0] for one in judged], 1:] = figures_of(judged)
        return made

    def _judged_lists(self, table: pa.Table, answers: Answers) -> list[Listed]:
        """The lists that have an order to judge."""
        found = (self._list(query, answers) for query in _lists.queries_of(table))
        return [one for one in found if one is not None]

    def _list(self, query: _lists.Query, answers: Answers) -> Listed | None:
        """How a query's candidates were scored, None where there is no order to judge."""
        if not query.relevant:
            return None
        if not self.pooled:
            scores = [float(answers.items[row].get("score", 0.0)) for row in query.rows]
            return (
                None if len(query.relevant) == len(query.rows) else Listed(query, scores, query.relevance, len(scores))
            )
        own = dict(zip(query.candidates, query.relevance, strict=True))
        listed = [one["text"] for one in answers.items[query.rows[0]].get("ranking", [])][:SHOWN]
        relevance = [own.get(text, 0.0) for text in listed] + [0.0] * (SHOWN - len(listed))
        relevance += [value for text, value in own.items() if text not in listed]  # not found: behind all that was
        return Listed(query, [-float(at) for at in range(len(relevance))], relevance, SHOWN)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Means over queries."""
        queries = sums[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: sums[..., 1 + at] / queries for at, name in enumerate(NAMES)}

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """How many queries were judged, where their first relevant candidate came, and figures by number of candidates."""
        queries = _lists.queries_of(table)
        sums = self.tally(table, answers)
        judged_lists = self._judged_lists(table, answers)
        ranks: Counter[str] = Counter()
        by_size: dict[str, list[np.ndarray]] = {}
        for one, first in zip(judged_lists, first_ranks(judged_lists), strict=True):
            ranks[rank_name(first if first <= one.shown else 0)] += 1
            by_size.setdefault(size_name(len(one.query.rows)), []).append(sums[one.query.rows[0]])
        made: dict[str, Any] = {
            "queries": len(queries),
            "queries_judged": len(judged_lists),
            "queries_without_relevant": sum(not query.relevant for query in queries),
            "first_relevant_at": {name: ranks[name] for name in RANKS if ranks[name]},
            "by_candidates": {
                name: {"queries": len(rows)}
                | {key: float(value) for key, value in self.figures(np.sum(rows, 0)).items()}
                for name, rows in sorted(by_size.items(), key=lambda one: int(re.split("[- ]", one[0])[0]))
            },
        }
        if self.index is not None and self.pooled:
            entries = set(self.index.texts)
            made["entries"] = len(entries)
            made["queries_not_in_index"] = sum(bool(q.relevant) and not entries & set(q.relevant) for q in queries)
        return made

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n,) 1 - nDCG of a query at the relevant record that scored least, for that is what went wrong; 0 at the others."""
        sums = self.tally(table, answers)
        made = np.zeros(len(table))
        for query in _lists.queries_of(table):
            if sums[query.rows[0], 0]:
                relevant = [row for row, value in zip(query.rows, query.relevance, strict=True) if value > 0]
                lowest = min(relevant, key=lambda row: float(answers.items[row].get("score", 0.0)))
                made[lowest] = 1.0 - sums[query.rows[0], 1]
        return made

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return f"{title(self.figure)} {value:.3f} ({low:.3f} to {high:.3f}) over the queries of {count:,} records"

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """(n,) 0..1: of lists, whether the same candidate is first; of pairs, 1 less the distance of their scores."""
        return np.array([_agree(a, b) for a, b in zip(before.items, after.items, strict=True)], dtype=float)

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterable[tuple[str, Answers, dict[str, Any]]]:
        """Chance, how often a candidate was relevant in training, and BM25."""
        taught, asked = _lists.queries_of(train), _lists.queries_of(test)
        counts = Counter(text for query in taught for text in query.relevant)
        pool: list[str] = []
        if self.pooled:
            known = self.settings["candidates"] == "known"
            pool = self.index.texts if self.index else _known(train, validation).texts if known else []
            pool = pool or _pool(self.inputs(test))
        random = np.random.Generator(np.random.PCG64(seed))
        yield "random", self._by(test, asked, pool, lambda query, texts: random.random(len(texts))), {}
        met = sum(counts[text] > 0 for query in asked for text in query.candidates)
        if met:
            by_count = self._by(
                test, asked, pool, lambda query, texts: np.array([float(counts[text]) for text in texts])
            )
            yield "popularity", by_count, {"counted": "relevant in training", "candidates_met": met}
        texts = pool or sorted({text for query in asked for text in query.candidates})
        words, place = Bm25(texts), {text: at for at, text in enumerate(texts)}

        def by_words(query: str, candidates: Sequence[str]) -> np.ndarray:
            scores = words.scores(query)
            return scores if pool else scores[[place[text] for text in candidates]]

        yield "bm25", self._by(test, asked, pool, by_words), {"k1": 1.2, "b": 0.75}

    def _by(self, table: pa.Table, queries: Sequence[_lists.Query], pool: Sequence[str], scored: Any) -> Answers:
        """Answers of a rule. scored: (query, candidates) -> their scores; of the whole pool where there is one."""
        items: list[Answer] = [{"score": 0.0} for _ in range(len(table))]
        for query in queries:
            if pool:
                ranking = _ranking(pool, scored(query.text, pool), count=SHOWN)
                items[query.rows[0]] = {"score": 0.0, "ranking": ranking}
            else:
                for row, score in zip(query.rows, scored(query.text, query.candidates), strict=True):
                    items[row] = {"score": float(score)}
        return Answers(items)

    # -- 6. how is it shown

    def show(self, record: Record) -> str:
        """A record in one line, for terminals and lists."""
        said = record.label if record.value is None else f"{record.value:g}"
        texts = [" ".join((text or "").split())[:100] for text in (record.text, record.text_b)]
        return f"[{said if said is not None else '?'}] {texts[0]} ⇢ {texts[1]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        """What came first of a list, or the score of a pair."""
        if answer is None:
            return ""
        if answer.get("ranking"):
            return str(answer["ranking"][0]["text"])
        return f"score {float(answer.get('score', 0.0)):.1f}"

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """The query, its candidate, and what came first; or its candidates in an order (`sides`)."""
        made = [Piece(given.get("text") or "")]
        if answer and answer.get("placed"):
            for at, one in enumerate(answer["placed"]):
                made += [Piece(f"\n{at + 1}. "), Piece(one["text"], "relevant" if one["relevant"] else None)]
            return made
        if given.get("text_b"):
            made.append(
                Piece("\n" + given["text_b"], None if not answer or "score" not in answer else f"{answer['score']:.3f}")
            )
        for at, one in enumerate((answer or {}).get("ranking", [])[:3]):
            made.append(Piece(f"\n{at + 1}. {one['text']}", f"{one['score']:.3f}"))
        return made

    def editors(self) -> tuple[Editor, ...]:
        panes = {"text": "query", "text_b": "candidate"}
        high = float(self.settings["highest"])
        return (Editor("value", ("value",), low=0, high=high, step=1, clears=(("label",),), panes=panes),)

    def sides(self, table: pa.Table, answers: Answers, row: int) -> tuple[Answer | None, Answer | None]:
        """The candidates of the record's query, as they should stand and as they were ranked; relevant ones are marked."""
        query = next((one for one in _lists.queries_of(table) if row in one.rows), None)
        if query is None:
            return super().sides(table, answers, row)
        own = dict(zip(query.candidates, query.relevance, strict=True))
        if self.pooled:
            said = [one["text"] for one in answers.items[row].get("ranking", [])]
        else:
            scores = [float(answers.items[at].get("score", 0.0)) for at in query.rows]
            said = [text for _, text in sorted(zip(scores, query.candidates, strict=True), key=lambda one: -one[0])]
        best = sorted(own, key=lambda text: -own[text])
        return _placed(best[: len(query.relevant)], own), _placed(said[:SHOWN], own)

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        """The relevance a labelled record states, 0..1."""
        relevance = _lists.relevance_of(row.get("label"), row.get("value"))
        return None if relevance is None else {"score": relevance / float(self.settings["highest"])}

    # -- 7.

    def prompt(self, text: str, *, language: str = "en") -> str:
        """What a teacher is asked."""
        return PROMPTS.get(language, PROMPTS["en"]).format(text=text)


def rerank(predictor: Any, query: str, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """[{"index", "text", "score"}], best first: discriminative reranking of anything that was retrieved or generated.

    predictor: of a ranking run, whose model was trained to tell good candidates from bad ones. index: the place in
    `candidates`.
    """
    if not candidates:
        return []
    answer = predictor.predict([{"query": query, "candidates": list(candidates)}])[0]
    ranking: list[dict[str, Any]] = answer["ranking"]
    return ranking


def _placed(texts: Sequence[str], relevance: Mapping[str, float]) -> Answer:
    """Candidates in an order, for `pieces`."""
    return {"placed": [{"text": text, "relevant": relevance.get(text, 0.0) > 0} for text in texts]}


def _agree(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    if before.get("ranking") and after.get("ranking"):
        return float(before["ranking"][0]["text"] == after["ranking"][0]["text"])
    return max(0.0, 1.0 - abs(float(before.get("score", 0.0)) - float(after.get("score", 0.0))))


def _by_record(examples: Examples, count: int) -> list[np.ndarray]:
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
    if examples.groups is None:  # targets laid over what `encode` made
        return windows
    of_group = {int(examples.groups[row]): int(row) for row in np.flatnonzero(query)}
    made = []
    for rows in windows:
        own = rows[~query[rows]][:1]
        made.append(np.array([of_group[int(examples.groups[own[0]])], own[0]]) if len(own) else own)
    return made


def _ranking(texts: Sequence[str], scores: np.ndarray, *, count: int | None = None) -> list[Answer]:
    """The list, best first; of equal scores the first."""
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:count]
    return [{"index": int(at), "text": texts[at], "score": round(float(scores[at]), 6)} for at in order]


def _pool(inputs: Sequence[Input]) -> list[str]:
    """The distinct candidates of these inputs."""
    return list(dict.fromkeys(given["text_b"] for given in inputs if given.get("text_b") is not None))


def _known(*tables: pa.Table | None) -> indexes.Index:
    """All that is relevant to something in these records, with the `reply` beside it."""
    texts: list[str] = []
    replies: list[str | None] = []
    for table in tables:
        if table is None:
            continue
        metas = table["meta"].to_pylist() if "meta" in table.column_names else [None] * len(table)
        for query in _lists.queries_of(table):
            for row, text, value in zip(query.rows, query.candidates, query.relevance, strict=True):
                if value > 0:
                    texts.append(text)
                    replies.append(_reply(metas[row]))
    return indexes.Index.of(texts, replies)


def _entries_of(path: Path) -> indexes.Index:
    """The entries of a file of records: their texts, and what their `reply` field says."""
    from burnish.core.files import read

    texts: list[str] = []
    replies: list[str | None] = []
    for part in read(path):
        if isinstance(part, pa.Table):
            texts += part["text"].to_pylist()
            replies += [_reply(meta) for meta in part["meta"].to_pylist()]
    return indexes.Index.of(texts, replies)


def _reply(meta: str | None) -> str | None:
    said = json.loads(meta).get("reply") if meta else None
    return str(said) if said else None


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _platt(logits: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """slope and offset of the logistic curve through validation scores; {} with one class alone (Platt 1999)."""
    if len(logits) < 10 or relevant.all() or not relevant.any():
        return {}
    from sklearn.linear_model import LogisticRegression

    spread = max(float(logits.std()), 1e-6)
    fitted = LogisticRegression(C=1.0).fit((logits / spread)[:, None], relevant)
    slope = float(fitted.coef_[0, 0]) / spread
    # a curve that falls would turn the order round: the scores then say nothing, and are left as they are
    return {"slope": slope, "offset": float(fitted.intercept_[0])} if slope > 0 else {}


def _threshold(best: Sequence[tuple[float, bool]], without: Sequence[float]) -> dict[str, float]:
    """The score that is best for both: queries with an answer answered right, queries without one left alone."""
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
