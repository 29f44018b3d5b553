"""Makers of questions out of texts without a teacher: clozes, definitions, headings, questions and answers already written.

Each takes texts (sections of documents, articles) and makes records of question, context and answer; the text is material.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from burnish.construct.making import Refused, grow, made
from burnish.construct.questions.asking import (
    Candidate,
    asking_heading,
    candidates,
    cloze,
    definition,
    faq_pairs,
    first_part,
)
from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.core.tasktypes import open_task, option_problems
from burnish.text.sentences import sentences

LEAST_CONTEXT = 30  # characters: of a shorter text nothing is asked


def for_answers(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: what is made has an answer as its target."""
    if option_problems(task) or open_task(task).target[0] == "answer":
        return []
    return [("use", f"it makes questions with answers, and {task.type} has other targets", "type: question_answering")]


def _context_of(record: Record) -> str | None:
    """The text that is asked about: of records that are no question themselves."""
    text = record.text or ""
    return text if record.text_b is None and len(text.strip()) >= LEAST_CONTEXT else None


def _draw(record: Record, seed: int) -> np.random.Generator:
    """A generator that depends on the record alone, so that what stands beside it changes nothing."""
    digest = hashlib.sha256(f"{seed}:{record.id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def asked(
    record: Record,
    question: str,
    context: str,
    span: tuple[int, int],
    *,
    by: str,
    why: str,
    confidence: float,
    **meta: Any,
) -> Record:
    """A question with its answer at `span` of the context."""
    start, end = span
    return made(
        record, by=by, why=why, text=question, text_b=context, answer={"text": context[start:end], "start": start},
        confidence=confidence, meta=meta,
    )  # fmt: skip


@stage("construct.cloze_questions", check=for_answers)
def cloze_questions(
    records: Records,
    context: Context,
    *,
    most: Positive = 3,
    kinds: list[str] | None = None,
    confidence: Share = 0.6,
) -> Records:
    """Make questions of sentences: a name, date, number or title is asked for in the place where it stands.

    most: questions of a text; one of a sentence, of kinds that differ as far as it goes.
    kinds: of answers: date, year, number, name (English); date, number, title, person, place, organisation (Chinese). All
        when it is not given.
    confidence: how sure an answer is taken to be in training, 0..1.

    After Lewis et al. 2019, by rules instead of a translation model. Chinese names need the extra `chinese`.
    """
    by = "construct.cloze_questions"

    def make(record: Record) -> Iterator[Record | Refused]:
        text = _context_of(record)
        if text is None:
            yield Refused("no text, or a short one")
            return
        can = list(_clozes(text, kinds))
        if not can:
            yield Refused("nothing to ask for")
        for answer, question in _spread(can, most, _draw(record, context.seed)):
            span = (answer.start, answer.end)
            why = f"{answer.kind} {text[answer.start : answer.end]!r} of its sentence as answer"
            yield asked(record, question, text, span, by=by, why=why, confidence=confidence, kind=answer.kind)

    return grow(records, make, context, by=by, what="questions")


def _clozes(text: str, kinds: Sequence[str] | None) -> Iterator[tuple[Candidate, str]]:
    every = sentences(text)
    for answer in candidates(text):
        if kinds is not None and answer.kind not in kinds:
            continue
        sentence = next((one for one in every if one[0] <= answer.start and answer.end <= one[1]), None)
        said = text[answer.start : answer.end]
        if sentence is None or "\n" in text[sentence[0] : sentence[1]].strip():
            continue  # rows of tables and lists are no sentences
        if text[sentence[0] : sentence[1]].count(said) == 1 and (question := cloze(text, answer, sentence)):
            yield answer, question


def _spread(can: Sequence[tuple[Candidate, str]], most: int, draw: np.random.Generator) -> list[tuple[Candidate, str]]:
    """At most `most` of them: rare kinds first, then at random, never two that ask the same."""
    count: dict[str, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for at in draw.permutation(len(can)).tolist():
        kind = can[at][0].kind
        ranked.append((count.get(kind, 0), len(ranked), at))
        count[kind] = count.get(kind, 0) + 1
    chosen: dict[str, int] = {}
    for _, _, at in sorted(ranked):
        if len(chosen) < most:
            chosen.setdefault(can[at][1], at)
    return [can[at] for at in sorted(chosen.values())]


@stage("construct.definition_questions", check=for_answers)
def definition_questions(records: Records, context: Context, *, most: Positive = 2, confidence: Share = 0.8) -> Records:
    """Ask what something is where a sentence says so: "X is a Y …" and "X refers to …", X是…, X是指…, X，即….

    most: questions of a text, the first ones.
    confidence: how sure an answer is taken to be in training, 0..1.
    """
    by = "construct.definition_questions"

    def make(record: Record) -> Iterator[Record | Refused]:
        text = _context_of(record)
        found = [one for at in sentences(text) if (one := definition(text, at))] if text else []
        if text is None or not found:
            yield Refused("no text, or a short one" if text is None else "no sentence that says what something is")
            return
        for question, start, end, term in found[:most]:
            why = f"what its text says {term!r} is"
            yield asked(record, question, text, (start, end), by=by, why=why, confidence=confidence, kind="definition")

    return grow(records, make, context, by=by, what="questions")


@stage("construct.heading_questions", check=for_answers)
def heading_questions(
    records: Records,
    context: Context,
    *,
    field: str = "headings",
    plain: bool = False,
    max_answer: Positive = 300,
    confidence: Share = 0.7,
) -> Records:
    """Take a heading as a question and the first paragraph under it as the answer.

    field: of meta that holds the heading, or a list of headings, the innermost last.
    plain: whether a heading that does not ask is taken too, as people type it into a search ("Returns: how long"); without
        it only those that ask: "How do I …", "…?", 如何…, …吗？
    max_answer: characters of an answer; longer paragraphs are cut after a sentence.
    confidence: how sure an answer is taken to be in training, 0..1.
    """
    by = "construct.heading_questions"

    def make(record: Record) -> Iterator[Record | Refused]:
        said = (record.meta or {}).get(field)
        path = [said] if isinstance(said, str) else [one for one in said or () if isinstance(one, str)]
        text = _context_of(record)
        if text is None or not path:
            yield Refused("no text, or a short one" if text is None else "no heading")
            return
        question = asking_heading(path[-1])
        if question is None and not plain:
            yield Refused("a heading that does not ask")
            return
        if question is None:
            question = ": ".join(path[-2:])
        span = first_part(text, max_answer)
        why = f"heading {path[-1]!r} as question, its first paragraph as answer"
        yield asked(record, question, text, span, by=by, why=why, confidence=confidence, kind="heading")

    return grow(records, make, context, by=by, what="questions")


@stage("construct.faq_questions", check=for_answers)
def faq_questions(
    records: Records, context: Context, *, max_answer: Positive = 300, confidence: Share = 0.9
) -> Records:
    """Take questions and answers that a text already writes as such: Q: … A: …, 问：…答：….

    max_answer: characters of an answer; longer ones are cut after a sentence of their first paragraph.
    confidence: how sure an answer is taken to be in training, 0..1.

    The context is the answers of the text, all of them, without the questions: else the words asked would mark the place.
    """
    by = "construct.faq_questions"

    def make(record: Record) -> Iterator[Record | Refused]:
        pairs = faq_pairs(_context_of(record) or "")
        if not pairs:
            yield Refused("no question with an answer written in it")
            return
        text, starts = "", []
        for _, answer in pairs:
            starts.append(len(text))
            text += answer + "\n\n"
        text = text.rstrip()
        for (question, answer), start in zip(pairs, starts, strict=True):
            first, last = first_part(answer, max_answer)
            span = (start + first, start + last)
            why = "question and answer as its text has them"
            yield asked(record, question, text, span, by=by, why=why, confidence=confidence, kind="faq")

    return grow(records, make, context, by=by, what="questions")
