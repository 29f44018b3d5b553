"""Tagging: stretches of a text marked with types: names, and any other spans.

target   `spans`, {start, end, label} in characters, end exclusive; [] says that there are none, null that nobody looked
valid    a text that is not empty, spans inside it, labels that the task has
encoded  long texts in windows that overlap; every token's tag, each token taught and read where most is around it
head     a score for every token and tag (BIO or BIOES), or, for spans inside spans, for every pair of tokens and type
decoded  the best tags that obey their scheme and part no word (Viterbi), or with a CRF's transitions
scores   strict entity F1 first (start, end and type all right), token micro F1 beside what saying O everywhere is given

Sub-words: all pieces of a word are taught, the first as B, the others as I; in reading, a border between two pieces of
one word is closed where that gives the better entity F1 on the validation side (`whole_words` in the card): it does for
English, and does not where names end inside a written word (Korean; scripts without blanks have no such borders).
Characters: see nn.alignment. A span that begins or ends inside a token is taught as the tokens it touches; `alignment`
in the card counts them, and scores are always against the characters asked for.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from burnish.core.records import DOUBT, Record
from burnish.core.stage import TaskSpec, nearest
from burnish.measures import entities, span_errors
from burnish.nn import spans_of_scores
from burnish.nn.alignment import Aligned, Sites, overlap_of, sites_of, touched
from burnish.nn.examples import IGNORED, Examples, encode, han_apart
from burnish.nn.models import Head
from burnish.nn.viterbi import Chain, best_tags, chain_of, marginals, tags_of
from burnish.tasks import base
from burnish.tasks._gazetteer import Gazetteer, pieces_of, tokens_of
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

log = logging.getLogger(__name__)

# what a labeller votes where it says that there is no name, and that there is one of a type it does not know
NOTHING, SOMETHING = "O", "?"
CHOICES = {"scheme": ("BIO", "BIOES"), "decoding": ("constrained", "crf"), "nested": (False, True)}

PROMPTS = {
    "en": (
        "Mark every span of these types in the text. Answer with a JSON list of objects "
        '{{"text": the words exactly as they stand, "label": the type}}, in order, [] when there are none.\n'
        "Types:\n{labels}\nText: {text}\nJSON:"
    ),
    "zh": (
        "找出文本中属于下列类型的所有片段。只回答一个 JSON 列表，其中每个对象为 "
        '{{"text": 原文中的片段, "label": 类型}}，按出现的先后排列；没有则回答 []。\n'
        "类型：\n{labels}\n文本：{text}\nJSON："
    ),
}


class Task(base.Task):
    """Spans of a text, flat or nested."""

    name = "tagging"
    pipeline = "token-classification"
    target: ClassVar[tuple[str, ...]] = ("spans",)
    reads: ClassVar[tuple[str, ...]] = ("text",)
    options: ClassVar[Mapping[str, Any]] = {"scheme": "BIO", "decoding": "constrained", "nested": False}
    figure = "entity_f1"
    about: ClassVar[Mapping[str, str]] = {
        "span_errors": "What became of each span: border says right type and wrong borders, type the other way round; "
        "invented spans stand where there is none.",
        "tokens": "Token by token, as older reports count. Most tokens lie in no span (O), so that saying O everywhere "
        "(all O) scores well where O counts: compare with that, or leave O out.",
        "by_length": "Spans by their length; a character is a word in Chinese.",
        "by_novelty": "Taught spans stand in the training side with the same words and type, new ones do not.",
    }
    least_labels = 1

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.nested = bool(self.settings["nested"])
        self.scheme = str(self.settings["scheme"])
        self.crf = self.settings["decoding"] == "crf" and not self.nested
        self.tags = tags_of(self.labels, self.scheme)
        self._position = {label: at for at, label in enumerate(self.labels)}

    @property
    def votable(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.labels, NOTHING, SOMETHING]))

    # -- 1. what is a target, when is a record valid

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        for key, choices in CHOICES.items():
            value = spec.options.get(key, cls.options[key])
            if value not in choices:
                allowed = ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in choices)
                found.append((key, f"{key} is {value!r}", f"it is one of {allowed}"))
        if spec.options.get("nested") is True and spec.options.get("decoding") == "crf":
            found.append(("decoding", "a CRF joins tags, and nested spans have none", "leave decoding out"))
        return found

    def problem(self, record: Record) -> str | None:
        text = record.text or ""
        if not text.strip():
            return "empty text"
        for one in record.spans or ():
            start, end, label = one["start"], one["end"], one["label"]
            if start is None or end is None or not 0 <= start < end <= len(text):
                return f"span {start}..{end} is not inside a text of {len(text)} characters"
            if label not in self._position:
                return (
                    f"span label {label!r} is not one of the task's ({nearest(label or '', self.labels, 'labels are')})"
                )
        return None

    # -- 2. how is it encoded

    def tokenizer(self, tokenizer: Any) -> Any:
        """Chinese by character, for what is asked for begins and ends between characters."""
        return han_apart(tokenizer) if "zh" in self.spec.languages else tokenizer

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        texts = [one["text"] or "" for one in inputs]
        return encode(texts, tokenizer, max_length=max_length, stride=overlap_of(max_length), characters=True)

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        texts = [text or "" for text in table["text"].to_pylist()]
        sites = sites_of(texts, made)
        records, starts, ends, labels = self._spans(table)
        first, last, _ = touched(sites, records, starts, ends)
        aligned = self.aligned(table, sites, made)
        if aligned.inside or aligned.lost or aligned.crossing or aligned.cut:
            log.warning(
                "of %d spans, %d begin or end inside a token, %d touch none, %d cross another one (nested: true keeps "
                "them), %d are longer than what windows share",
                *(aligned.spans, aligned.inside, aligned.lost, aligned.crossing, aligned.cut),
            )
        if self.nested:
            there = last >= first
            made = replace(made, spans=spans_of_scores.targets(made, sites, first[there], last[there], labels[there]))
        else:
            tags = np.full(len(made.tokens), IGNORED, np.int64)  # special tokens, and the copies that are not read
            tags[sites.at] = self._tags(sites, first, last, labels)
            if soft:
                self._leave_out_doubts(tags, sites, table)
            made = replace(made, token_targets=tags)
        if soft and "confidence" in table.column_names and table["confidence"].null_count < len(table):
            weights = np.array([1.0 if one is None else one for one in table["confidence"].to_pylist()], np.float32)
            made = replace(made, weights=weights[made.of_records])
        return made

    def _leave_out_doubts(self, tags: NDArray[np.int64], sites: Sites, table: pa.Table) -> None:
        """Tokens of spans that construction doubts, and that are not said, teach nothing."""
        votes = table["votes"].to_pylist() if "votes" in table.column_names else []
        doubts = [
            (row, one["start"], one["end"])
            for row, cast in enumerate(votes)
            for one in cast or ()
            if one["labeller"] == DOUBT and one["start"] is not None
        ]
        columns = np.array(doubts, np.int64).reshape(-1, 3).T
        first, last, _ = touched(sites, columns[0], columns[1], columns[2])
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            at = sites.at[begin : end + 1]
            tags[at[tags[at] == 0]] = IGNORED

    def _spans(self, table: pa.Table) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Record, start, end and label of every span."""
        rows = [
            (row, one["start"], one["end"], self._position[one["label"]])
            for row, spans in enumerate(table["spans"].to_pylist())
            for one in spans or ()
        ]
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        return columns[0], columns[1], columns[2], columns[3]

    def _tags(self, sites: Sites, first: NDArray[Any], last: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
        """The tag of every site (S)."""
        tags = np.zeros(len(sites.at), np.int64)
        width = len(self.tags) // len(self.labels)
        for at in self._kept(first, last):
            begin, end, own = int(first[at]), int(last[at]) + 1, 1 + width * int(labels[at])
            tags[begin:end] = own + 1
            tags[begin] = own
            if self.scheme == "BIOES":
                tags[end - 1] = own + (2 if end - begin > 1 else 3)
        return tags

    @staticmethod
    def _kept(first: NDArray[Any], last: NDArray[Any]) -> list[int]:
        """Spans that flat tags can hold: of two that share a token the longer, of equal ones the earlier."""
        kept: list[int] = []
        free = np.ones(int(last.max(initial=-1)) + 2, bool)
        for at in np.lexsort((first, first - last)):
            if last[at] >= first[at] and free[first[at] : last[at] + 1].all():
                free[first[at] : last[at] + 1] = False
                kept.append(int(at))
        return kept

    def aligned(self, table: pa.Table, sites: Sites, examples: Examples) -> Aligned:
        """What the tokens can say of the spans of records."""
        records, starts, ends, _ = self._spans(table)
        first, last, exact = touched(sites, records, starts, ends)
        there = last >= first
        crossing = cut = 0
        if self.nested:
            cut = int((~spans_of_scores.held(examples, sites, first[there], last[there])).sum())
        else:
            crossing = int(there.sum()) - len(self._kept(first, last))
        return Aligned(len(first), int(exact.sum()), int((there & ~exact).sum()), int((~there).sum()), crossing, cut)

    # -- 3. which head and loss

    def head(self) -> Head:
        if self.nested:
            return Head("pointer", tuple(self.labels))
        return Head("token", tuple(self.tags), {"crf": self.crf})

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        """A CRF's likelihood and the loss of nested spans take neither class weights nor smoothing, and say so."""
        if (self.nested or self.crf) and (class_weights is not None or label_smoothing):
            what = "nested spans" if self.nested else "a CRF"
            log.warning("train.tune: class_weights and label_smoothing do nothing for %s", what)
        if self.nested:
            from burnish.nn.pointer_heads import PairLoss

            return PairLoss()
        if self.crf:
            from burnish.nn.crf import CrfLikelihood

            return CrfLikelihood()
        from burnish.nn.objectives import TokenCrossEntropy

        return TokenCrossEntropy(class_weights, label_smoothing)

    # -- 4. how is output decoded

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        texts = [one["text"] or "" for one in inputs]
        sites = sites_of(texts, examples)
        closed = 1 if card.get("whole_words", True) else 2  # borders from this kind on are shut
        if self.nested:
            numbers = {name: float(card.get(name, other)) for name, other in (("threshold", 0.0), ("temperature", 1.0))}
            found = spans_of_scores.read(examples, sites, outputs, closed=closed, **numbers)
        else:
            found = self._flat(sites, _flattened(outputs)[sites.at], card, closed=closed)
        return Answers(self._answers(texts, *found))

    def _flat(
        self, sites: Sites, scores: NDArray[Any], card: Mapping[str, Any], *, closed: int
    ) -> tuple[NDArray[Any], ...]:
        """Record, start, end, label and score of every span of the best tags."""
        scores = scores.reshape(-1, len(self.tags))
        cuts = sites.offsets[1:-1]
        inside = np.split(sites.border >= closed, cuts)
        chain = self._rules
        if card.get("crf"):
            chain, potentials = chain.with_crf(card["crf"]), np.split(scores, cuts)
            sure = np.concatenate([*marginals(potentials, chain, inside=inside), np.zeros((0, len(self.tags)))])
        else:
            potentials = np.split(_log_softmax(scores), cuts)
            sure = _log_softmax(scores / float(card.get("temperature", 1.0)))
        tags = np.concatenate([*best_tags(potentials, chain, inside=inside), np.zeros(0, np.int64)])
        width = len(self.tags) // len(self.labels)
        place = (tags - 1) % width
        begins = (tags > 0) & ((place == 0) | (place == 3))
        # a span goes on while its inner tags do; the record's end is a border too, for I cannot begin one
        goes_on = np.append((tags[1:] > 0) & ~begins[1:], False)
        first = np.flatnonzero(begins)
        last = np.flatnonzero((tags > 0) & ~goes_on)
        chosen = np.append(sure[np.arange(len(tags)), tags], 0.0)
        least = np.minimum.reduceat(chosen, np.stack([first, last + 1], 1).ravel())[::2] if len(first) else first
        return sites.records[first], sites.starts[first], sites.ends[last], (tags[first] - 1) // width, np.exp(least)

    def _answers(
        self,
        texts: Sequence[str],
        records: NDArray[Any],
        starts: NDArray[Any],
        ends: NDArray[Any],
        labels: NDArray[Any],
        scores: NDArray[Any],
    ) -> list[Answer]:
        """Answers of the contract, spans in reading order, outer ones first."""
        made: list[Answer] = [{"spans": []} for _ in texts]
        columns = (column.tolist() for column in (records, starts, ends, labels, scores))
        for record, start, end, label, score in sorted(
            zip(*columns, strict=True), key=lambda r: (r[0], r[1], -r[2], r[3])
        ):
            made[record]["spans"].append(
                {
                    "start": start,
                    "end": end,
                    "label": self.labels[label],
                    "text": texts[record][start:end],
                    "score": round(float(score), 6),
                }
            )
        return made

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """whole_words: whether borders inside words are shut; temperature of the scores, or threshold of nested spans.

        alignment: what the tokens can say of the spans. A CRF's values are not known here: whole_words is chosen without.
        """
        inputs = self.inputs(table)
        sites = sites_of([one["text"] or "" for one in inputs], examples)
        made: dict[str, Any] = {"alignment": self.aligned(table, sites, examples).plain()}
        if self.nested:
            made |= self._threshold(table, examples, sites, outputs)
        elif not self.crf:
            made["temperature"] = self._temperature(table, sites, outputs)
        tried = {}
        for whole in (True, False):
            answers = self.decode(inputs, examples, outputs, made | {"whole_words": whole})
            tried[whole] = float(self.figures(self.tally(table, answers).sum(0))[self.figure])
        return made | {"whole_words": tried[True] >= tried[False]}

    def _temperature(self, table: pa.Table, sites: Sites, outputs: Sequence[Any]) -> float:
        """What tags' scores are divided by so that they say how often they are right (Guo et al. 2017)."""
        if not len(sites.at):
            return 1.0
        records, starts, ends, labels = self._spans(table)
        first, last, _ = touched(sites, records, starts, ends)
        scores, tags = _flattened(outputs)[sites.at], self._tags(sites, first, last, labels)
        rows = np.arange(len(tags))
        tried = np.geomspace(0.25, 4.0, 33)
        costs = [-_log_softmax(scores / one)[rows, tags].mean() for one in tried]
        return round(float(tried[int(np.argmin(costs))]), 4)

    def _threshold(self, table: pa.Table, examples: Any, sites: Sites, outputs: Sequence[Any]) -> dict[str, float]:
        """threshold: the score from which a pair of tokens is a span, with the best entity F1, nearest 0 of equal ones.
        temperature: of the chances that scores stand for, fitted on the pairs that come near it."""
        columns = spans_of_scores.read(examples, sites, outputs, threshold=-4.0, closed=2)
        wanted = set(zip(*(column.tolist() for column in self._spans(table)), strict=True))
        found = list(zip(*(column.tolist() for column in columns[:4]), strict=True))
        chances = np.clip(columns[4], 1e-9, 1 - 1e-9)
        logits = np.log(chances / (1 - chances))
        right = np.array([one in wanted for one in found], bool)

        def f1(threshold: float) -> float:
            said = logits > threshold
            return 2 * float((said & right).sum()) / max(1, int(said.sum()) + len(wanted))

        def cost(temperature: float) -> float:
            return float(np.logaddexp(0.0, np.where(right, -logits, logits) / temperature).sum())

        thresholds: list[float] = np.linspace(-4.0, 4.0, 33).tolist()
        temperatures: list[float] = np.geomspace(0.25, 8.0, 41).tolist()
        return {
            "threshold": max(thresholds, key=lambda one: (f1(one), -abs(one))),
            "temperature": temperatures[int(np.argmin([cost(one) for one in temperatures]))],
        }

    @functools.cached_property
    def _rules(self) -> Chain:
        """Which tag may follow which."""
        return chain_of(self.tags, self.scheme)

    # -- 5. which scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 3 x types + 5): true and false positives and false negatives of each type, then counts of tokens."""
        wanted = table["spans"].to_pylist()
        said = [one["spans"] for one in answers.items]
        counts = entities.entity_counts(wanted, said, self.labels)
        tags = [
            [_token_tags(text or "", spans) for text, spans in zip(table["text"].to_pylist(), side, strict=True)]
            for side in (wanted, said)
        ]
        return np.concatenate([counts.reshape(len(table), 3 * len(self.labels)), entities.token_counts(*tags)], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums)
        made = entities.entity_scores(self._counts(sums))
        named = {f"entity_{name}": made[f"micro_{name}"] for name in ("f1", "precision", "recall")}
        tokens = entities.token_scores(sums[..., -5:])
        return (
            named
            | {"entity_macro_f1": made["macro_f1"]}
            | {name: tokens[name] for name in ("token_micro_f1", "token_micro_f1_without_o")}
        )

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        made = entities.entity_scores(self._counts(np.asarray(sums)))["per_f1"]
        return {label: made[..., at] for at, label in enumerate(self.labels)}

    def _counts(self, sums: np.ndarray) -> np.ndarray:
        """(..., types, 3) of the tally's sums."""
        return sums[..., :-5].reshape(*sums.shape[:-1], len(self.labels), 3)

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Per type, seqeval's report, tokens beside the all-O baseline, what is taken for what, by length, how sure."""
        texts = [text or "" for text in table["text"].to_pylist()]
        wanted, said = table["spans"].to_pylist(), [one["spans"] for one in answers.items]
        sums = self.tally(table, answers).sum(0)
        scores = entities.entity_scores(self._counts(sums))
        errors = span_errors.span_errors(wanted, said, self.labels)
        return {
            "per_class": {
                label: {
                    **{name: float(scores[f"per_{name}"][at]) for name in ("precision", "recall", "f1")},
                    "support": int(scores["support"][at]),
                }
                for at, label in enumerate(self.labels)
            },
            "classification_report": entities.classification_report(self._counts(sums), self.labels),
            "confusion": errors["confusion"],
            "confusion_labels": [*self.labels, "none"],
            "span_errors": errors["kinds"],
            "tokens": {name: float(value) for name, value in entities.token_scores(sums[-5:]).items()},
            "by_length": span_errors.scores_by(wanted, said, lambda row, one: _length_bucket(texts[row], one)),
            **span_errors.reliability(wanted, said),
        }

    def beside(self, train: pa.Table, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Spans whose words and type were taught, scored apart from new ones."""
        if "spans" not in train.column_names:
            return {}
        taught = {
            (text[one["start"] : one["end"]], one["label"])
            for text, spans in zip(train["text"].to_pylist(), train["spans"].to_pylist(), strict=True)
            for one in spans or ()
        }
        texts, wanted = table["text"].to_pylist(), table["spans"].to_pylist()

        def bucket(row: int, one: Mapping[str, Any]) -> str:
            return "taught" if (texts[row][one["start"] : one["end"]], one["label"]) in taught else "new"

        return {"by_novelty": span_errors.scores_by(wanted, [one["spans"] for one in answers.items], bucket)}

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n,) spans missed, and spans invented as far as the model was sure of them."""
        made = np.zeros(len(table))
        for row, (gold, one) in enumerate(zip(table["spans"].to_pylist(), answers.items, strict=True)):
            wanted = {(s["start"], s["end"], s["label"]) for s in gold or ()}
            said = {(s["start"], s["end"], s["label"]): float(s.get("score", 1.0)) for s in one["spans"]}
            made[row] = len(wanted - said.keys()) + sum(score for span, score in said.items() if span not in wanted)
        return made

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterable[tuple[str, Answers, dict[str, Any]]]:
        """Saying that there are none; then the names of the training side, found again."""
        yield "nothing marked (all O)", Answers([{"spans": []} for _ in range(len(test))]), {}
        known = Gazetteer([text or "" for text in train["text"].to_pylist()], train["spans"].to_pylist())
        found = [{"spans": known.find(text or "")} for text in test["text"].to_pylist()]
        yield "names of the training side", Answers(found), {"names": known.num_names, "kept": len(known.labels)}

    # -- 6. how is it shown

    def show(self, record: Record) -> str:
        said = "".join(
            f"[{one.text} | {one.mark}]" if one.mark else one.text
            for one in self.pieces({"text": record.text}, {"spans": record.spans or []})
        )
        return f"[{'?' if record.spans is None else len(record.spans)}] {' '.join(said.split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        if answer is None:
            return ""
        return "; ".join(f"{one['text']} [{one['label']} {one['start']}-{one['end']}]" for one in answer["spans"])

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """The text cut at its spans. Nested spans are cut where any begins or ends, and a piece names all it is in."""
        text = given.get("text") or ""
        spans = (answer or {}).get("spans") or []
        cuts = sorted({0, len(text), *(one[side] for one in spans for side in ("start", "end"))})
        made = []
        for start, end in itertools.pairwise(cuts):
            marks = [one["label"] for one in spans if one["start"] <= start and end <= one["end"]]
            made.append(Piece(text[start:end], " / ".join(marks) or None))
        return made

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        if row.get("spans") is None:
            return None
        text = row.get("text") or ""
        return {"spans": [{**one, "text": text[one["start"] : one["end"]]} for one in row["spans"]]}

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("spans", ("spans",), tuple(self.labels), self.spec.descriptions, nested=self.nested),)

    # -- 7. what is a teacher asked

    def prompt(self, text: str, *, language: str = "en") -> str:
        lines = "\n".join(
            f"- {label}: {self.spec.descriptions[label]}" if label in self.spec.descriptions else f"- {label}"
            for label in self.labels
        )
        return PROMPTS.get(language, PROMPTS["en"]).format(labels=lines, text=text)


def _flattened(outputs: Sequence[Any]) -> NDArray[Any]:
    """Scores of all tokens of all windows, (T, C)."""
    return np.concatenate([np.asarray(one) for one in outputs]) if len(outputs) else np.zeros((0, 1))


def _log_softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    scores = np.asarray(scores, np.float64)
    shifted = scores - scores.max(-1, keepdims=True, initial=-np.inf)
    made: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return made


def _token_tags(text: str, spans: Any) -> list[str]:
    """A BIO tag for each token of a text: of the longest span that touches it."""
    places = tokens_of(text)
    tags = ["O"] * len(places)
    starts = [start for start, _ in places]
    ends = [end for _, end in places]
    for one in sorted(spans or (), key=lambda one: one["end"] - one["start"]):
        first = int(np.searchsorted(ends, one["start"], side="right"))
        last = int(np.searchsorted(starts, one["end"], side="left"))
        tags[first:last] = [f"I-{one['label']}"] * (last - first)
        if first < last:
            tags[first] = f"B-{one['label']}"
    return tags


def _length_bucket(text: str, span: Mapping[str, Any]) -> str:
    words = len(pieces_of(text[span["start"] : span["end"]]))
    return f"{words} word{'s' * (words > 1)}" if words < 5 else "5 words or more"
