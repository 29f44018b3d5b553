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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.figures import title
from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.examples import Examples, encode
from burnish.nn.index import Index
from burnish.nn.models import Head
from burnish.tasks import _ranking_baselines, _ranking_figures, _ranking_windows
from burnish.tasks._ranking_answers import SHOWN, matched, nearest_of_pool, ordered, platt, scores_of, threshold
from burnish.tasks._ranking_index import entries_of, relevant_entries
from burnish.tasks._ranking_lists import Query, mined_negatives, queries_of, random_negatives, relevance_of
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.base import Task as Base
from burnish.tasks.editors import Editor

CHOICES = {
    "model": ("cross-encoder", "two-tower"),
    "loss": ("auto", "pointwise", "pairwise", "listwise"),
    "negatives": ("auto", "given", "random", "mined", "in_batch"),
}
ALSO = {"query": "text", "candidate": "text_b"}  # what callers say for our fields

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
        self.index: Index | None = None

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
            relevance = relevance_of(record.label, record.value)
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
        candidates = self._candidates(inputs)
        return _ranking_windows.read(inputs, candidates, tokenizer, towers=self.towers, max_length=max_length)

    def _candidates(self, inputs: Sequence[Input]) -> list[list[str]]:
        """What the network reads beside each query."""
        return _ranking_windows.candidates_of(
            inputs,
            towers=self.towers,
            pooled=self.pooled,
            index=self.index,
            retrieve=int(self.settings["retrieve"]),
        )

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Labelled records with the negatives that `negatives` asks for, the windows of a list in one group.

        Negatives come from the candidates of this very table, so never from another side of a split.
        """
        queries = queries_of(table)
        grouped = self.towers or self.loss != "pointwise"
        taught = _ranking_windows.taught(
            queries,
            self._negatives(queries),
            towers=self.towers,
            highest=float(self.settings["highest"]),
            list_size=int(self.settings["list_size"]) if grouped else None,
        )
        return _ranking_windows.encoded(taught, tokenizer, towers=self.towers, grouped=grouped, max_length=max_length)

    def _negatives(self, queries: Sequence[Query]) -> list[list[str]]:
        """Candidates to tell from the relevant ones, beside those the records name."""
        how, count = self.settings["negatives"], int(self.settings["num_negatives"])
        if how == "mined":
            return mined_negatives(queries, count=count, margin=float(self.settings["margin"]))
        if how == "random" or (how == "auto" and not (self.towers and self.loss == "listwise")):
            drawn = random_negatives(queries, count=count, seed=_ranking_windows.SEED)
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
        rows = _ranking_windows.by_record(examples, len(inputs))
        listed = self._candidates(inputs)
        pooled: dict[int, list[Answer]] = {}
        if self.towers:
            pooled = nearest_of_pool(inputs, rows, outputs, index=self.index, pooled=self.pooled)
        place = {text: row for row, text in enumerate(self.index.texts)} if self.index else {}
        answers: list[Answer] = []
        for at, (given, candidates) in enumerate(zip(inputs, listed, strict=True)):
            own = scores_of(rows[at], outputs, card, towers=self.towers)[: len(candidates)]
            if given.get("candidates") is not None:
                answers.append({"ranking": ordered(candidates, own)})
                continue
            paired = int(given.get("text_b") is not None)
            answer: Answer = {"score": round(float(own[0]), 6)} if paired else {}
            if at in pooled:
                answer["ranking"] = pooled[at]
            elif not self.towers and len(candidates) > paired:
                found = ordered(candidates[paired:], own[paired:], count=SHOWN)
                answer["ranking"] = [one | {"index": place.get(one["text"], one["index"])} for one in found]
            if not paired:
                least = float(card.get("threshold", 0.0))
                answer = matched(answer.get("ranking", []), self.index, threshold=least)
            answers.append(answer)
        return Answers(answers)

    def calibrate(self, table: pa.Table, examples: Examples, outputs: Sequence[Any]) -> dict[str, Any]:
        """A cross-encoder's logits as probabilities (Platt 1999), and the score from which a bare query is answered.

        threshold: where answering right and keeping silent are best together, every query being met twice: with its
        relevant candidates among all of these records, and without them, when it should not be answered. The share of
        both that come out right at that score is `threshold_accuracy`.
        """
        queries = queries_of(table)
        card: dict[str, Any] = {}
        if not self.towers:
            card |= platt(queries, _ranking_windows.by_record(examples, len(table)), outputs)
        answers = self.decode(self.inputs(table), examples, outputs, card)
        return card | threshold(queries, answers)

    # -- an index beside the model

    def collect(self, train: pa.Table, validation: pa.Table | None = None, *, base: Path | None = None) -> None:
        """Take the entries of the index: all that is relevant to something in these records, or those of a file.

        `candidates` of the task section: "known", or a file of records: `text` or `question`, and `reply` where there is one.
        """
        where = self.settings["candidates"]
        if where == "given":
            return
        known = where == "known"
        self.index = relevant_entries(train, validation) if known else entries_of(Path(base or ".") / where)

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
        self.index = Index.open(folder)

    # -- 5. which scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 1 + figures): queries, and the sums of their figures, at the first record of each."""
        return _ranking_figures.tally(self._lists(queries_of(table), answers), records=len(table))

    def _lists(self, queries: Sequence[Query], answers: Answers) -> list[_ranking_figures.Listed]:
        """The lists that have an order to judge."""
        return _ranking_figures.judged(queries, answers, pooled=self.pooled)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Means over queries."""
        return _ranking_figures.means(sums)

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """How many queries were judged, where their first relevant candidate came, and figures by number of candidates."""
        queries = queries_of(table)
        lists = self._lists(queries, answers)
        made: dict[str, Any] = {
            "queries": len(queries),
            "queries_judged": len(lists),
            "queries_without_relevant": sum(not query.relevant for query in queries),
            **_ranking_figures.parts(lists, _ranking_figures.tally(lists, records=len(table))),
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
        for query in queries_of(table):
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
        pool: list[str] = []
        if self.pooled:
            known = self.settings["candidates"] == "known"
            pool = self.index.texts if self.index else relevant_entries(train, validation).texts if known else []
            pool = pool or _ranking_windows.pool_of(self.inputs(test))
        return _ranking_baselines.baselines(
            queries_of(train), queries_of(test), records=len(test), pool=pool, seed=seed
        )

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
        query = next((one for one in queries_of(table) if row in one.rows), None)
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
        relevance = relevance_of(row.get("label"), row.get("value"))
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
