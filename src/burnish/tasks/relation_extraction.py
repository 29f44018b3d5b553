"""Relation extraction: which pairs of marked spans stand in a relation, and in which.

target   `relations` [{head, tail, label}], head and tail being positions in `spans`; [] says that there are none
valid    spans inside the text, relations between two different spans of it, labels that the task has
encode   every candidate pair is one window: the text with the pair marked in it, types in words (nn/markers.py)
head     one output a relation and one for none, read from the two opening markers; cross entropy
scores   micro F1 over relations (none does not count), macro F1, strict triple F1 (tasks/_triples.py)

A pair has one relation at most; of several the first is learnt, and the others are missed in every score.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.examples import Examples
from burnish.nn.markers import add_markers, encode_pairs
from burnish.nn.models import Head
from burnish.tasks import _triples, base
from burnish.tasks._triples import Key, Pairs, Spans, characters, clues, quoted, span_problem
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

PAIRS = ("all", "once", "named")
UNNAMED = ("none", "unknown")
LEAST_TO_CHOOSE = 50  # true relations on the validation side from which a threshold is fitted
TAGGER = "tagger"  # folder beside a model
REMEMBERED = 20_000  # texts whose tagged spans are kept: encode and decode both ask for them

PROMPTS = {
    "en": "Find the relations between the things named in the text.\nRelations:\n{labels}\nText: {text}\n"
    'Answer with a JSON list of {{"head": ..., "relation": ..., "tail": ...}}, words as in the text; [] if there is none.\nRelations:',
    "zh": "找出文本中各个实体之间的关系。\n关系类型：\n{labels}\n文本：{text}\n"
    '以 JSON 列表回答，每项为 {{"head": …, "relation": …, "tail": …}}，词语照抄原文；没有关系则回答 []。\n关系：',
}


class Task(base.Task):
    """Relations between spans that are given, or that a tagger finds.

    no_relation: name of the answer "none of these", which may stand among the labels or not. directed: whether head and
    tail can be told apart. pairs: which are candidates: all in both orders; once, each in one window that answers for
    both orders (half the work, and one relation for the two at most); named, those that `relations` names, with any
    label. types: what the network reads for a type of span, {PER: person}; "" shows none. type_pairs: which types can
    have a relation, [[PER, LOC], ...]; auto takes those of the training records, all does not look. unnamed: what a
    candidate that `relations` does not name teaches: none, that it has no relation; unknown, nothing (records that
    labellers voted on, where nobody looked at every pair). tagger: a run or
    model folder of a tagger that finds the spans of every input that has none; records are then judged end to end.
    """

    name = "relation_extraction"
    pipeline = "text-classification"
    target = ("relations",)
    reads = ("text", "spans")
    options: ClassVar[Mapping[str, Any]] = {
        "no_relation": "no_relation",
        "directed": True,
        "pairs": "all",
        "types": {},
        "type_pairs": "auto",
        "unnamed": "none",
        "tagger": None,
    }
    figure = "micro_f1"
    about: ClassVar[Mapping[str, str]] = {
        "confused": "Relations taken for each other, missed or invented, the most frequent first.",
        "by_distance": "By the words (characters in Chinese) between the two spans.",
        "triples": "Relations in the test records, and relations said.",
    }
    least_labels = 1

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.none: str = self.settings["no_relation"]
        self.directed = bool(self.settings["directed"])
        self.pairs: str = self.settings["pairs"]
        self.relations = [label for label in self.labels if label != self.none]
        self.both_ways = self.directed and self.pairs == "once"
        self.outputs = [self.none, *self.relations, *(f"{one} (reversed)" for one in self.relations if self.both_ways)]
        self._position = {label: at + 1 for at, label in enumerate(self.relations)} | {self.none: 0}
        self._tagged: dict[str, Spans] = {}
        self._beside: Path | None = None

    # -- records

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        settings = {**cls.options, **spec.options}
        if spec.labels and set(spec.labels) <= {settings["no_relation"]}:
            found.append(("labels", "there is no relation among the labels", "labels: [born_in, works_for]"))
        if settings["pairs"] not in PAIRS:
            found.append(("pairs", f"pairs is {settings['pairs']!r}", f"one of {', '.join(PAIRS)}"))
        if settings["unnamed"] not in UNNAMED:
            found.append(("unnamed", f"unnamed is {settings['unnamed']!r}", f"one of {', '.join(UNNAMED)}"))
        if settings["pairs"] == "named" and settings["tagger"]:
            found.append(("tagger", "pairs: named has nothing to name when a tagger finds the spans", "pairs: all"))
        for name, kind, example in (
            ("no_relation", str, "no_relation: other"),
            ("directed", bool, "directed: true"),
            ("types", dict, "types: {PER: person}"),
        ):
            if not isinstance(settings[name], kind):
                found.append((name, f"{name} is {settings[name]!r}", example))
        allowed = settings["type_pairs"]
        if allowed not in ("auto", "all") and not (
            isinstance(allowed, list | tuple)
            and all(isinstance(one, list | tuple) and len(one) == 2 for one in allowed)
        ):
            found.append(("type_pairs", f"type_pairs is {allowed!r}", "auto, all, or [[person, city], ...]"))
        return found

    @classmethod
    def files(cls, spec: TaskSpec) -> dict[str, str]:
        """What the tagger has learnt is part of what a model behind it is."""
        named = spec.options.get("tagger")
        return {"tagger": named} if named else {}

    def settle(self, train: pa.Table) -> TaskSpec:
        """The task section with `type_pairs: auto` as the training records have it."""
        if self.settings["type_pairs"] != "auto":
            return self.spec
        seen: dict[tuple[Any, Any], None] = {}
        for row in train.select(["spans", "relations"]).to_pylist():
            for one in row["relations"] or ():
                if one["label"] != self.none:
                    seen[row["spans"][one["head"]].get("label"), row["spans"][one["tail"]].get("label")] = None
        ordered = sorted((list(pair) for pair in seen), key=lambda pair: [str(one) for one in pair])
        return replace(self.spec, options={**self.spec.options, "type_pairs": ordered or "all"})

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid."""
        if not (record.text or "").strip():
            return "empty text"
        if wrong := span_problem(record.spans or [], record.text or ""):
            return wrong
        if record.relations is not None and record.spans is None:
            return "relations without spans"
        for one in record.relations or ():
            if not (0 <= one["head"] < len(record.spans or ()) and 0 <= one["tail"] < len(record.spans or ())):
                return f"relation between spans {one['head']} and {one['tail']} of {len(record.spans or ())}"
            if one["head"] == one["tail"]:
                return f"span {one['head']} stands in a relation with itself"
            if one["label"] not in self._position:
                return f"relation {one['label']!r} is not one of the task's ({nearest(one['label'], self.labels, 'labels are')})"
        return None

    # -- encoding

    def input(self, given: Any) -> Input:
        """{"text", "spans"} and, for named pairs, "relations" [{head, tail}]; a tagger finds spans that are not given."""
        made = super().input(given)
        spans = made["spans"]
        if spans is None and not self.settings["tagger"]:
            raise ValueError(
                'spans are missing: give [{"start", "end", "label"}], or name a tagger in the task section'
            )
        if spans is not None:
            if not isinstance(spans, list) or not all(isinstance(one, Mapping) for one in spans):
                raise ValueError('spans must be a list of {"start", "end", "label"}')
            if wrong := span_problem(spans, made["text"]):
                raise ValueError(wrong)
        if self.pairs == "named":
            named = given.get("relations") if isinstance(given, Mapping) else None
            if not isinstance(named, list):
                raise ValueError('relations are missing: name the pairs as [{"head", "tail"}]')
            made["relations"] = [
                {"head": one["head"], "tail": one["tail"]} for one in named if isinstance(one, Mapping)
            ]
            ends = [one[end] for one in made["relations"] for end in ("head", "tail")]
            if len(made["relations"]) < len(named) or not all(
                type(end) is int and 0 <= end < len(spans or ()) for end in ends
            ):
                raise ValueError("head and tail of relations must be positions in spans")
        return made

    def inputs(self, table: pa.Table) -> list[Input]:
        """Texts with their spans; without them where a tagger is to find them. Never a label of a relation."""
        rows = table.select(["text", "spans", "relations"]).to_pylist()
        made: list[Input] = []
        for row in rows:
            one: Input = {"text": row["text"], "spans": None if self.settings["tagger"] else row["spans"] or []}
            if self.pairs == "named":
                one["relations"] = [{"head": r["head"], "tail": r["tail"]} for r in row["relations"] or ()]
            made.append(one)
        return made

    def tokenizer(self, tokenizer: Any) -> Any:
        add_markers(tokenizer)
        return tokenizer

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        spans = self._spans(inputs)
        return self._windows(inputs, spans, self._candidates(inputs, spans), tokenizer, max_length)

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Windows of the records' own spans; what a candidate that no relation names teaches, `unnamed` says."""
        table = table.filter(pa.array(self.labelled(table)))
        rows = table.select(["text", "spans", "relations"]).to_pylist()
        spans = [row["spans"] or [] for row in rows]
        pairs = self._candidates(rows, spans)
        if self.settings["unnamed"] == "unknown":
            pairs = [self._named(row, own) for row, own in zip(rows, pairs, strict=True)]
        made = self._windows(rows, spans, pairs, tokenizer, max_length)
        return replace(made, targets=self._targets(rows, spans, pairs))

    def _windows(self, inputs: Sequence[Input], spans: list[Spans], pairs: list[Pairs], *how: Any) -> Examples:
        tokenizer, max_length = how
        marked = [[(one["start"], one["end"], self._words(one.get("label"))) for one in own] for own in spans]
        return encode_pairs([one["text"] for one in inputs], marked, pairs, tokenizer, max_length=max_length)

    def _words(self, kind: str | None) -> str:
        """What the network reads for a type of span."""
        if kind in self.settings["types"]:
            return str(self.settings["types"][kind])
        return (kind or "").replace("_", " ").replace("-", " ").lower()

    @cached_property
    def _tagger(self) -> Any:
        from burnish.tasks.predictor import load

        return load(self._tagger_folder)

    @property
    def _tagger_folder(self) -> Path:
        """Of the tagger that stands beside an opened model, else of the one that the section names, relative to the spec."""
        from burnish.tasks.predictor import model_folder

        return self._beside or model_folder((self.spec.base or Path()) / self.settings["tagger"])

    def furnish(self, folder: Path, engine: Any) -> None:
        """Put the tagger beside a model, which then answers alone, whatever becomes of the run that made the tagger."""
        if self.settings["tagger"]:
            shutil.copytree(self._tagger_folder, folder / TAGGER, dirs_exist_ok=True)

    def opened(self, folder: Path) -> None:
        """Find the tagger beside a model."""
        beside = folder / TAGGER
        self._beside = beside if beside.is_dir() else None

    def _spans(self, inputs: Sequence[Input]) -> list[Spans]:
        """The spans of every input: its own, or those the tagger finds."""
        asked = list(dict.fromkeys(one["text"] for one in inputs if one.get("spans") is None))
        found = {text: self._tagged[text] for text in asked if text in self._tagged}
        if unknown := [text for text in asked if text not in found]:
            answers = self._tagger.predict([{"text": text} for text in unknown])
            found |= {text: answer["spans"] for text, answer in zip(unknown, answers, strict=True)}
            if len(self._tagged) + len(unknown) > REMEMBERED:
                self._tagged.clear()
            self._tagged |= found
        return [found[one["text"]] if one.get("spans") is None else one["spans"] for one in inputs]

    def _candidates(self, inputs: Sequence[Input], spans: Sequence[Spans]) -> list[Pairs]:
        """The pairs of each input that are asked about, in a fixed order."""
        allowed = self.settings["type_pairs"]
        can = None if allowed in ("auto", "all") else {tuple(one) for one in allowed}
        made: list[Pairs] = []
        for one, own in zip(inputs, spans, strict=True):
            if self.pairs == "named":
                made.append(list(dict.fromkeys((r["head"], r["tail"]) for r in one["relations"] or ())))
                continue
            order = sorted(range(len(own)), key=lambda i: (own[i]["start"], own[i]["end"], i))
            pairs = [(head, tail) for at, head in enumerate(order) for tail in order[at + 1 :]]
            if self.directed and self.pairs == "all":
                pairs = sorted(pairs + [(tail, head) for head, tail in pairs])
            if can is not None:
                either_way = not self.directed or self.both_ways
                pairs = [
                    (head, tail)
                    for head, tail in pairs
                    if (kinds := (own[head].get("label"), own[tail].get("label"))) in can
                    or (either_way and kinds[::-1] in can)
                ]
            made.append(pairs)
        return made

    def _named(self, row: Mapping[str, Any], pairs: Pairs) -> Pairs:
        """Those of the candidates that a record's relations name, either way round where one window answers for both."""
        named = {(one["head"], one["tail"]) for one in row["relations"] or ()}
        if not self.directed or self.both_ways:
            named |= {pair[::-1] for pair in named}
        return [pair for pair in pairs if pair in named]

    def _targets(self, rows: Sequence[Mapping[str, Any]], spans: Sequence[Spans], pairs: Sequence[Pairs]) -> np.ndarray:
        """(W) the output each window should give, by the characters of its spans."""
        found = []
        for row, own, asked in zip(rows, spans, pairs, strict=True):
            true: dict[Key, str] = {}
            for key, label in self._triples(row["spans"], row["relations"]):
                true.setdefault(key, label)
            for head, tail in asked:
                key = (characters(own[head]), characters(own[tail]))
                label, back = true.get(key, self.none), true.get(key[::-1])
                if label == self.none and back and not self.directed:
                    label = back
                at = self._position[label]
                if label == self.none and back and self.both_ways:
                    at = self._position[back] + len(self.relations)
                found.append(at)
        return np.array(found, dtype=np.int64)

    # -- head and loss

    def head(self) -> Head:
        return Head("markers", tuple(self.outputs))

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import CrossEntropy

        return CrossEntropy(class_weights, label_smoothing)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"relations": [{head, tail, label, score, head_text, tail_text}], "spans": [...]}; nothing is said of the rest."""
        spans = self._spans(inputs)
        logits = np.asarray(outputs, dtype=np.float64).reshape(-1, len(self.outputs)) / card.get("temperature", 1.0)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
        shares /= shares.sum(axis=1, keepdims=True)
        pairs = self._candidates(inputs, spans)
        return Answers(self._answers(inputs, spans, pairs, shares, threshold=card.get("threshold")))

    def _answers(
        self,
        inputs: Sequence[Input],
        spans: Sequence[Spans],
        pairs: Sequence[Pairs],
        shares: np.ndarray,
        *,
        threshold: float | None = None,
    ) -> list[Answer]:
        """Answers of shares (W, C). threshold: of the share of all relations together; None takes the likeliest output."""
        likeliest = shares[:, 1:].argmax(axis=1) + 1
        said = shares.argmax(axis=1) > 0 if threshold is None else 1.0 - shares[:, 0] >= threshold
        made: list[Answer] = []
        window = 0
        for one, own, asked in zip(inputs, spans, pairs, strict=True):
            relations = []
            for head, tail in asked:
                at = int(likeliest[window])
                if said[window]:
                    back = at > len(self.relations)
                    first, second = (tail, head) if back else (head, tail)
                    texts = [one["text"][own[i]["start"] : own[i]["end"]] for i in (first, second)]
                    relations.append(
                        {
                            "head": first,
                            "tail": second,
                            "label": self.relations[(at - 1) % len(self.relations)],
                            "score": round(float(shares[window, at]), 6),
                            "head_text": texts[0],
                            "tail_text": texts[1],
                        }
                    )
                window += 1
            made.append({"relations": relations, "spans": [dict(span) for span in own]})
        return made

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The temperature (Guo et al. 2017), and the threshold of best micro F1 where it beats the likeliest answer."""
        from burnish.nn.probe import fit_temperature

        inputs, rows = self.inputs(table), table.select(["spans", "relations"]).to_pylist()
        spans = self._spans(inputs)
        pairs = self._candidates(inputs, spans)
        targets = self._targets(rows, spans, pairs)
        true = sum(len(self._triples(row["spans"], row["relations"])) for row in rows)
        if not len(targets):
            return {}
        logits = np.asarray(outputs, dtype=np.float64).reshape(-1, len(self.outputs))
        card = {"temperature": round(float(fit_temperature(logits, targets)), 6)}
        if true < LEAST_TO_CHOOSE:
            return card
        shares = np.exp((logits - logits.max(1, keepdims=True)) / card["temperature"])
        shares /= shares.sum(1, keepdims=True)
        right = (shares[:, 1:].argmax(1) + 1 == targets)[order := np.argsort(shares[:, 0], kind="stable")]
        f1 = 2 * np.cumsum(right) / (np.arange(1, len(right) + 1) + true)
        likely = shares.argmax(1)
        plain = 2 * ((likely == targets) & (likely > 0)).sum() / ((likely > 0).sum() + true)
        best = int(f1.argmax())
        if f1[best] <= plain + 1e-9:
            return card
        edge = shares[order[best : best + 2], 0].mean()  # half way to the first pair that is left out
        return card | {"threshold": round(float(1.0 - edge), 6)}

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """Share of the triples of either that both say; 1 where neither says any."""
        found = []
        for one, other in zip(before.items, after.items, strict=True):
            a, b = (self._triples(item["spans"], item["relations"]).keys() for item in (one, other))
            found.append(len(a & b) / len(a | b) if a | b else 1.0)
        return np.array(found)

    # -- scores

    def _triples(self, spans: Any, relations: Any) -> dict[tuple[Key, str], tuple[Any, Any]]:
        return _triples.triples(spans, relations, directed=self.directed, none=self.none)

    def _sides(self, table: pa.Table, answers: Answers) -> tuple[list[dict[Any, Any]], list[dict[Any, Any]]]:
        rows = table.select(["spans", "relations"]).to_pylist()
        said = [self._triples(one["spans"], one["relations"]) for one in answers.items]
        return [self._triples(row["spans"], row["relations"]) for row in rows], said

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        rows = [
            _triples.tally(true, said, self.relations) for true, said in zip(*self._sides(table, answers), strict=True)
        ]
        return np.array(rows).reshape(len(rows), 3 * len(self.relations) + 1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return _triples.figures(sums)

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Per relation, what was taken for what, and scores by the distance of the two spans."""
        true, said = self._sides(table, answers)
        sums = self.tally(table, answers).sum(axis=0)
        return {
            "per_class": _triples.per_class(sums, self.relations),
            "confused": _triples.confused(true, said, self.none),
            "by_distance": _triples.by_distance(table["text"].to_pylist(), true, said),
            "triples": {"true": sum(map(len, true)), "said": sum(map(len, said))},
            "spans_from": "tagger" if self.settings["tagger"] else "record",
        }

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """Relations missed, and the scores of those that are wrong."""
        found = []
        for true, one in zip(self._sides(table, answers)[0], answers.items, strict=True):
            wrong = 0.0
            for relation in one["relations"]:
                if not self._triples(one["spans"], [relation]).keys() & true.keys():
                    wrong += relation["score"]
            found.append(len(true.keys() - self._triples(one["spans"], one["relations"]).keys()) + wrong)
        return np.array(found)

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """The commonest answer, and a regression on the words between and around the spans and on their types."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        rows = train.filter(pa.array(self.labelled(train))).select(["text", "spans", "relations"]).to_pylist()
        own = [row["spans"] or [] for row in rows]
        candidates = self._candidates(rows, own)
        targets = self._targets(rows, own, candidates)
        asked = self.inputs(test)
        spans = self._spans(asked)
        pairs = self._candidates(asked, spans)
        if not len(targets):
            return
        counts = np.bincount(targets, minlength=len(self.outputs)) / len(targets)
        majority = np.tile(counts, (sum(map(len, pairs)), 1))
        yield "majority class", Answers(self._answers(asked, spans, pairs, majority)), {}
        if len(np.unique(targets)) < 2 or not len(majority):
            return
        terms = TfidfVectorizer(analyzer=list, sublinear_tf=True, min_df=1 if len(targets) < 1000 else 2, norm="l2")
        features = terms.fit_transform(clues(rows, own, candidates))
        model = LogisticRegression(C=10.0, max_iter=300, tol=1e-3, random_state=seed).fit(features, targets)
        shares = np.zeros((len(majority), len(self.outputs)))
        shares[:, model.classes_] = model.predict_proba(terms.transform(clues(asked, spans, pairs)))
        chosen = {"terms": int(features.shape[1]), "pairs": len(targets)}
        yield (
            "words between and around + logistic regression",
            Answers(self._answers(asked, spans, pairs, shares)),
            chosen,
        )

    # -- shown

    def show(self, record: Record) -> str:
        text, spans = record.text or "", record.spans or []
        said = [
            f"{quoted(text, spans[one['head']])} -{one['label']}-> {quoted(text, spans[one['tail']])}"
            for one in record.relations or ()
        ]
        return f"[{'; '.join(said) or ('?' if record.relations is None else self.none)}] {' '.join(text.split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        """The relations by name."""
        return "" if answer is None else ", ".join(one["label"] for one in answer["relations"]) or "none"

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """The text with its spans marked, and the relations below, one a line."""
        text = given.get("text") or ""
        spans = (answer or {}).get("spans") or given.get("spans") or []
        made: list[Piece] = []
        at = 0
        for span in sorted(spans, key=lambda one: (one["start"], -one["end"])):
            if span["start"] >= at:  # of nested spans the outer one is marked
                made += [Piece(text[at : span["start"]]), Piece(quoted(text, span), span.get("label") or "span")]
                at = span["end"]
        made.append(Piece(text[at:]))
        for one in (answer or {}).get("relations") or ():
            head, tail = (quoted(text, spans[one[end]]) for end in ("head", "tail"))
            made += [Piece(f"\n{head} → "), Piece(one["label"], "relation"), Piece(f" → {tail}")]
        return [piece for piece in made if piece.text]

    def editors(self) -> tuple[Editor, ...]:
        """Spans too: what was marked wrongly cannot be related rightly. Their types are those that the records have."""
        types = tuple(self.settings["types"])
        return (
            Editor("spans", ("spans",), types, open=True),
            Editor("relations", ("relations",), tuple(self.relations), self.spec.descriptions),
        )

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        if row.get("relations") is None:
            return None
        return {
            "relations": [one for one in row["relations"] if one["label"] != self.none],
            "spans": row["spans"] or [],
        }

    def prompt(self, text: str, *, language: str = "en") -> str:
        lines = "\n".join(
            f"- {label}: {self.spec.descriptions[label]}" if label in self.spec.descriptions else f"- {label}"
            for label in self.relations
        )
        return PROMPTS.get(language, PROMPTS["en"]).format(labels=lines, text=text)
