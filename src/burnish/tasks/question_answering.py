"""Question answering, extractive: where in a context the answer to a question stands, or that it stands nowhere.

target   `answer` {text, start}: start in characters of the context, the end is start + len(text), exclusive. Where there
         is none, text is "" (start null or -1), or `answer` is null and meta.is_impossible is true. More gold answers
         stand in meta.answers: texts, {text, start} (or answer_start), or the two lists of the datasets library
valid    a question in `text`, a context in `text_b`, an answer that stands in the context (without a start: where its
         text is first found), or none
head     scores to begin and to end for every token; a long context is read in windows that overlap. A window without
         the answer points at its first token
scores   exact match and F1, as SQuAD counts in English and CMRC 2018 in Chinese (measures.answers)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.measures.answers import answer_scores, best_threshold
from burnish.nn.borders import Found, best_spans, border_targets, distinct, shortened
from burnish.nn.examples import Examples, encode, han_apart
from burnish.nn.models import Head
from burnish.tasks import base
from burnish.tasks._answer_parts import parts
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor
from burnish.text.questions import best_sentence, rarity

THRESHOLD = "no_answer_threshold"
KEPT = 4  # spans a window offers for each one that is wanted: some are the same but for blanks
LEAST_LENGTH = 16  # tokens of a window: less leaves no room for question and context

PROMPTS = {
    "en": "Answer the question with the shortest words copied from the text that answer it. If the text does not answer "
    "it, say NONE.\nText: {context}\nQuestion: {question}\nAnswer:",
    "zh": "请用文本中原样出现的、尽可能短的文字回答问题。如果文本没有给出答案，请回答“无”。\n文本：{context}\n问题：{question}\n答案：",
}


class Task(base.Task):
    """Extractive question answering."""

    name = "question_answering"
    pipeline = "question-answering"
    target = ("answer",)
    figure = "f1"
    about: ClassVar[Mapping[str, str]] = {
        "by_answerable": "Questions whose answer is in the context, and those that have none.",
        "apart": "The two things it does, each by itself. Where: of questions whose answer is in the context, the best text "
        "found, also where it said that there is none. Whether: how often a question without an answer has higher odds of "
        "having none than one with an answer; 0.5 is chance.",
        "no_answer": "How often it said that there is none: right; missed, where it answered such a question; needless, "
        "where there was an answer.",
        "by_question": "By the word that asks.",
        "by_answer_length": "By the length of the answer asked for, in characters.",
        "by_context_length": "By the length of the context, in characters.",
    }
    options: ClassVar[Mapping[str, Any]] = {
        "stride": 128,  # tokens that two neighbouring windows of a context share, at most half of one
        "question_length": 64,  # tokens of a question that are read, at most half a window
        "answer_length": 60,  # tokens of the longest answer
        "alternatives": 2,  # other answers that are given beside the best
    }

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        # Whether the records that were read so far hold questions without an answer; None before any. Epochs are judged
        # before a threshold is fitted: where every question has an answer, none may then be refused.
        self._lacking: bool | None = None

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        for name, default in cls.options.items():
            value = spec.options.get(name, default)
            least = 0 if name in ("alternatives", "stride") else 1
            if type(value) is not int or value < least:
                found.append(
                    (name, f"{name} must be a whole number of {least} or more, got {value!r}", f"{name}: {default}")
                )
        if spec.labels:
            found.append(
                ("labels", "question_answering has no labels: its answers stand in the context", "leave labels out")
            )
        return found

    # -- records

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid."""
        if not (record.text or "").strip():
            return "empty text: there is no question"
        if not (record.text_b or "").strip():
            return "empty text: there is no context (text_b) to answer from"
        golds = gold_answers({"answer": record.answer, "meta": record.meta})
        for gold in golds or ():
            if placed(gold, record.text_b or "") is None:
                return f"answer: {gold['text'][:60]!r} does not stand in the context"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        """(n,) bool: which records have an answer, or say that there is none."""
        return np.array([gold_answers(row) is not None for row in _targets(table)], dtype=bool)

    # -- encoding

    def input(self, given: Any) -> Input:
        """{"text", "text_b"}, or {"question", "context"}, checked."""
        if not isinstance(given, Mapping):
            raise ValueError(f'an object with "question" and "context" is wanted, got {type(given).__name__}')
        given = {"text": given.get("question"), "text_b": given.get("context")} | {
            name: value for name, value in given.items() if value is not None
        }
        made = super().input(given)
        if not (made["text_b"] or "").strip():
            raise ValueError("text_b, the context that holds the answer, is missing or empty")
        return made

    def tokenizer(self, tokenizer: Any) -> Any:
        """Chinese by character, for what is asked for begins and ends between characters."""
        return han_apart(tokenizer) if "zh" in self.spec.languages else tokenizer

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        """Question and context in windows of `max_length` tokens; the context is cut, the question stands in each.

        A question longer than `question_length` tokens loses its end, and is counted in `num_truncated`.
        """
        if max_length < LEAST_LENGTH:
            raise ValueError(f"windows of {max_length} tokens cannot hold a question and a context; {LEAST_LENGTH} can")
        limit = min(int(self.settings["question_length"]), max_length // 2 - 4)
        questions, cut = shortened([one.get("text") or "" for one in inputs], tokenizer, limit)
        made = encode(
            questions,
            tokenizer,
            pairs=[one.get("text_b") or "" for one in inputs],
            max_length=max_length,
            # at most half of what is left for the context beside the longest question and its four marks
            stride=min(int(self.settings["stride"]), (max_length - limit - 4) // 2),
            cut="second",
            characters=True,
        )
        return replace(made, num_truncated=cut)

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Windows with the borders of the first gold answer; a window that holds only a part of it teaches "not here".

        soft: a record counts as much as it is believed (`confidence`), where it says.
        """
        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        contexts = table["text_b"].to_pylist()
        spans = [_span(row, context or "") for row, context in zip(_targets(table), contexts, strict=True)]
        self._lacking = bool(self._lacking) or None in spans
        weights = None
        if soft and "confidence" in table.column_names and table["confidence"].null_count < len(table):
            given = table["confidence"].fill_null(1.0).to_numpy()
            weights = given[made.of_records].astype(np.float32)
        return replace(made, token_targets=border_targets(made, spans), weights=weights)

    # -- head and loss

    def head(self) -> Head:
        return Head("token", ("start", "end"))

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        """Cross entropy of both borders; there are no classes to weigh."""
        from burnish.nn.span_objectives import Borders

        return Borders(label_smoothing)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"text", "start", "end", "score", "no_answer", "alternatives"}, one an input.

        start, end: characters of the context, end exclusive; text "" and null where no answer is given. score: the
        probability of what is said within its window. no_answer: log odds that there is none; the card's threshold,
        fitted on the validation side, says from where on; null there means that every question has an answer. Where the
        card has none, a question is refused that likelier has no answer than one.
        """
        found = self._found(inputs, examples, outputs)
        said = zip(found, inputs, strict=True)
        return Answers([self._answer(one, given, refused=self._refuses(one, card)) for one, given in said])

    def _refuses(self, found: Found, card: Mapping[str, Any]) -> bool:
        if THRESHOLD in card:
            return card[THRESHOLD] is not None and found.odds > card[THRESHOLD]
        # not the odds against the best place, for while places are hardly known every one of them is less likely
        return self._lacking is not False and found.nothing > math.log(0.5)

    def _found(self, inputs: Sequence[Input], examples: Examples, outputs: Sequence[Any]) -> list[Found]:
        """The best spans of each input over all its windows."""
        keep = 1 + int(self.settings["alternatives"])
        made: list[Found] = [Found([], 0.0) for _ in inputs]
        records = examples.of_records
        nothing = np.zeros(len(inputs))
        for window in range(len(examples)):
            at = examples.window(window)
            spans, none = best_spans(
                np.asarray(outputs[window]),
                examples.parts[at] == 1,  # type: ignore[index]
                longest=int(self.settings["answer_length"]),
                most=KEPT * keep,
            )
            starts, ends = examples.starts[at], examples.ends[at]  # type: ignore[index]
            record = int(records[window])
            nothing[record] = min(nothing[record], none)
            made[record].spans.extend((score, int(starts[i]), int(ends[j])) for score, i, j in spans)
        return [
            Found(distinct(one.spans, given.get("text_b") or "", keep), float(none))
            for one, given, none in zip(made, inputs, nothing, strict=True)
        ]

    def _answer(self, found: Found, given: Input, *, refused: bool) -> Answer:
        context = given.get("text_b") or ""
        spans = [
            {"text": context[start:end], "start": start, "end": end, "score": round(math.exp(score), 6)}
            for score, start, end in found.spans
        ]
        if spans and not refused:
            best, *others = spans
        else:
            best, others = {"text": "", "start": None, "end": None, "score": round(math.exp(found.nothing), 6)}, spans
        odds = min(max(found.odds, -1e3), 1e3)  # JSON knows no infinity
        return best | {"no_answer": round(odds, 6), "alternatives": others[: int(self.settings["alternatives"])]}

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The threshold of the log odds with the best F1 on the validation side; null where all its questions have an answer."""
        golds = [gold_answers(row) for row in _targets(table)]
        able = np.array([bool(gold) for gold in golds])
        if able.all():
            return {THRESHOLD: None}
        inputs = self.inputs(table)
        found = self._found(inputs, examples, outputs)
        said = [self._answer(one, given, refused=False)["text"] for one, given in zip(found, inputs, strict=True)]
        scores = answer_scores(said, [_texts(gold) for gold in golds])[:, 1]
        odds = np.clip([one.odds for one in found], -1e3, 1e3)
        return {THRESHOLD: round(best_threshold(odds, scores, able).value, 6)}

    def judging(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The threshold too: at an unfitted one a model that refuses everything looks better than one that begins to answer."""
        return self.calibrate(table, examples, outputs)

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """(n,) 1.0 where two models give the same answer from the same place, whatever stands beside it."""
        pairs = zip(before.items, after.items, strict=True)
        return np.array([all(a[key] == b[key] for key in ("text", "start")) for a, b in pairs], dtype=np.float64)

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 3): whether a record has a target, its F1, its exact match."""
        golds = [gold_answers(row) for row in _targets(table)]
        told = np.array([gold is not None for gold in golds], dtype=np.float64)
        scores = answer_scores(_said(answers), [_texts(gold) for gold in golds])
        return np.stack([told, scores[:, 1] * told, scores[:, 0] * told], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"f1": sums[..., 1] / sums[..., 0], "exact_match": sums[..., 2] / sums[..., 0]}

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Figures of parts: with and without an answer, of places and of refusing by themselves, by the word that asks, by the
        length of answer and context."""
        golds = [gold_answers(row) for row in _targets(table)]
        told = np.array([gold is not None for gold in golds])
        texts = [_texts(gold) for gold in golds]
        return parts(answers, texts, told, table["text"].to_pylist(), table["text_b"].to_pylist())

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """No answer to anything, where training knows such questions; the sentence that shares most with the question."""
        golds = [gold_answers(row) for row in _targets(train)]
        lacking = any(gold == [] for gold in golds)
        if lacking:
            yield "no answer", Answers([_nothing() for _ in range(len(test))]), {}
        rare = rarity(train["text_b"].to_pylist())
        chosen: dict[str, Any] = {}
        threshold = math.inf
        if lacking and len(validation):
            side = [_sentence(one, rare) for one in self.inputs(validation)]
            wanted = [gold_answers(row) for row in _targets(validation)]
            scores = answer_scores([answer["text"] for answer, _ in side], [_texts(gold) for gold in wanted])[:, 1]
            found = best_threshold([-share for _, share in side], scores, [bool(gold) for gold in wanted])
            threshold = found.value
            chosen = {"least_share": round(-threshold, 4)}
        made = [_sentence(one, rare) for one in self.inputs(test)]
        yield (
            "sentence that shares most with the question",
            Answers([answer if -share <= threshold else _nothing() for answer, share in made]),
            chosen,
        )

    # -- showing

    def show(self, record: Record) -> str:
        golds = gold_answers({"answer": record.answer, "meta": record.meta})
        answer = "?" if golds is None else golds[0]["text"] if golds else "∅"
        return " ".join(f"{record.text or ''} → {answer}".split())[:240]

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        return "" if answer is None else answer.get("text") or "no answer"

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """The question, and the context with the answer marked in it."""
        context = given.get("text_b") or ""
        asked = Piece((given.get("text") or "") + "\n")
        start, end = (answer.get("start"), answer.get("end")) if answer else (None, None)
        if answer is None or start is None or end is None:
            return [asked, Piece(context), *([Piece("\n→ ∅")] if answer is not None and not answer.get("text") else [])]
        marked = [Piece(context[:start]), Piece(context[start:end], mark="answer"), Piece(context[end:])]
        return [asked, *(piece for piece in marked if piece.text)]

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        """The first gold answer."""
        golds = gold_answers(row)
        if golds is None:
            return None
        span = placed(golds[0], row.get("text_b") or "") if golds else None
        if not golds:
            return _nothing()
        start, end = span or (None, None)
        return {"text": golds[0]["text"], "start": start, "end": end}

    def editors(self) -> tuple[Editor, ...]:
        other = (("meta", "answers"), ("meta", "is_impossible"))
        panes = {"text": "question", "text_b": "context"}
        return (Editor("answer", ("answer",), over="text_b", clears=other, panes=panes),)

    # -- prompts

    def prompt(self, text: str, *, language: str = "en", context: str = "") -> str:
        """What a teacher is asked: the question, and the context to answer from."""
        return PROMPTS.get(language, PROMPTS["en"]).format(question=text, context=context)


# -- gold answers


def gold_answers(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Gold answers {text, start or None} of a row, the chief one first; [] where there is none, None without a target.

    meta: JSON text, or what it says.
    """
    meta = row.get("meta") or {}
    meta = json.loads(meta) if isinstance(meta, str) else meta
    chief, more = row.get("answer"), _listed(meta.get("answers"))
    said = [] if chief is None else [{"text": chief.get("text") or "", "start": chief.get("start")}]
    if said and not said[0]["text"]:
        return []
    if meta.get("is_impossible") is True and not said:
        return []
    if not said and more is None:
        return None
    known = {(one["text"], one["start"]) for one in said} | {(one["text"], None) for one in said}
    return [*said, *(one for one in more or () if (one["text"], one["start"]) not in known)]


def _listed(given: Any) -> list[dict[str, Any]] | None:
    """meta.answers in any of its forms; None where it is none of them."""
    if isinstance(given, Mapping) and isinstance(given.get("text"), list):
        starts = given.get("answer_start") or given.get("start") or [None] * len(given["text"])
        given = [{"text": text, "start": start} for text, start in zip(given["text"], starts, strict=False)]
    if not isinstance(given, list):
        return None
    made = []
    for one in given:
        one = {"text": one} if isinstance(one, str) else one
        if isinstance(one, Mapping) and isinstance(one.get("text"), str) and one["text"]:
            start = one.get("start", one.get("answer_start"))
            made.append({"text": one["text"], "start": start if isinstance(start, int) and start >= 0 else None})
    return made


def placed(gold: Mapping[str, Any], context: str) -> tuple[int, int] | None:
    """Start and end of a gold answer in the context, without blanks at its ends; None where it does not stand there."""
    text, start = gold["text"], gold.get("start")
    if start is None or start < 0 or context[start : start + len(text)] != text:
        start = context.find(text)
    if start < 0 or not text.strip():
        return None
    left = start + len(text) - len(text.lstrip())
    return left, left + len(text.strip())


def _span(row: Mapping[str, Any], context: str) -> tuple[int, int] | None:
    """Where the first gold answer stands; None for no answer. ValueError where it stands nowhere."""
    golds = gold_answers(row)
    if not golds:
        return None
    span = placed(golds[0], context)
    if span is None:
        raise ValueError(f"the answer {golds[0]['text'][:60]!r} does not stand in its context: the record is not valid")
    return span


def _targets(table: pa.Table) -> Iterable[dict[str, Any]]:
    columns = [name for name in ("answer", "meta") if name in table.column_names]
    return table.select(columns).to_pylist() if columns else [{}] * len(table)


def _texts(golds: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [one["text"] for one in golds or ()]


def _said(answers: Answers) -> list[str]:
    return [one["text"] for one in answers.items]


def _nothing() -> Answer:
    return {"text": "", "start": None, "end": None}


# -- baselines


def _sentence(given: Input, rare: Mapping[str, float]) -> tuple[Answer, float]:
    """The sentence of the context that shares most with the question, as an answer, and the share, 0..1."""
    context = given.get("text_b") or ""
    start, end, share = best_sentence(given.get("text") or "", context, rare)
    return {"text": context[start:end], "start": start, "end": end}, share
