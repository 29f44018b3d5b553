"""Questions that a teacher writes about a text, each with an answer that stands in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pyarrow as pa

from burnish.construct.making import mark_material, story
from burnish.construct.questions.asking import is_chinese
from burnish.construct.questions.makers import LEAST_CONTEXT, asked, for_answers
from burnish.construct.teachers import TEACHERS, Question, Reply, ask, teacher_problems
from burnish.construct.teachers.costing import Estimate, estimate
from burnish.construct.teachers.prompts import PromptFile, load_prompt, prompt_problems
from burnish.construct.teachers.reading import as_json, find_quote
from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage

BY = "construct.teacher_questions"
Pair = tuple[str, int, int]  # question, start and end of the answer


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    return (
        for_answers(settings, task)
        or teacher_problems(settings["teacher"], needed_for=BY)
        or prompt_problems(settings["prompt"], ("text", "count"), needs=("text",), task=task)
    )


def _estimate(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Estimate | None:
    each = tokens / max(records, 1)
    out = 40.0 * settings["most"]
    return estimate(TEACHERS.one(settings["teacher"]), requests=records, tokens_in=each + 120, tokens_out=out)


@stage("construct.teacher_questions", check=_problems, estimate=_estimate)
def teacher_questions(
    records: Records,
    context: Context,
    *,
    teacher: Annotated[Any, TEACHERS],
    most: Positive = 3,
    prompt: PromptFile = "questions",
    confidence: Share = 0.7,
) -> Records:
    """Let a teacher write questions about texts, with answers copied from them.

    teacher: the endpoint that is asked, {base_url, model, max_cost, ...}.
    most: questions of a text.
    prompt: the prompt: a shipped one by name, or a file of your own with {text} and {count}.
    confidence: how sure an answer is taken to be in training, 0..1.

    An answer is found again in the text by search; a text none of whose questions has one is asked about once more, then set
    aside. A round trip behind it sets aside questions whose answer is not found again.
    """
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    facts = dict(records.facts)
    replies = ask(
        TEACHERS.one(teacher), _questions(records, most, prompt, context), context=context, name=BY, read=_read
    )

    def walk() -> Iterator[pa.Table | Reject]:
        seen, answers = SeenCounts(), iter(replies)
        for batch in records.batches():
            born: list[Record] = []
            children = [0] * len(batch)
            for at, record in enumerate(iterate([batch])):
                if not _can(record):
                    continue
                counts["seen"] += 1
                reply: Reply = next(answers)
                if reply.problem:
                    refused[reply.problem.split(":")[0]] += 1
                    continue
                pairs, without = reply.value
                refused["an answer that does not stand in the text"] += without
                for question, start, end in pairs[:most]:
                    why = "the teacher's question, its answer found in the text"
                    made = asked(
                        record, question, record.text or "", (start, end), by=BY, why=why, confidence=confidence
                    )
                    born.append(made)
                    children[at] += 1
            counts.update(material=sum(map(bool, children)), made=len(born))
            yield assign_ids(mark_material(batch, _array(children), BY), seen)
            if born:
                yield assign_ids(to_table(born), seen)
        for _ in answers:  # at its end the ledger is written
            pass
        yield from replies.rejects()
        facts["teacher"] = [*facts.get("teacher", []), replies.facts]
        story(facts, counts, +refused, by=BY, what="questions", context=context)

    grown = Records.stream(walk())
    grown.facts = facts
    return grown


def _array(values: list[int]) -> Any:
    import numpy as np

    return np.array(values, dtype=np.int64)


def _can(record: Record) -> bool:
    return (
        record.keep
        and record.text_b is None
        and record.answer is None
        and len((record.text or "").strip()) >= LEAST_CONTEXT
    )


def _questions(records: Records, most: int, prompt: str, context: Context) -> Iterator[Question]:
    for record in records:
        if _can(record):
            text = record.text or ""
            language = "zh" if is_chinese(text) else "en"
            filled = load_prompt(prompt, language=language, base=context.base).messages(text=text, count=most)
            yield Question(record.id or "", filled, language=language, about=text)


def _read(said: str, question: Question) -> tuple[list[Pair], int]:
    """Questions with their answers' places, and how many answers stand nowhere. ValueError where none is of use."""
    found = as_json(said)
    given = found.get("questions") if isinstance(found, dict) else None
    if not isinstance(given, list) or not given:
        raise ValueError('answer with {"questions": [{"question": "...", "answer": "..."}]}')
    text: str = question.about
    pairs: list[Pair] = []
    without = 0
    for one in given:
        asking, answer = (one.get("question"), one.get("answer")) if isinstance(one, dict) else (None, None)
        if not isinstance(asking, str) or not asking.strip() or not isinstance(answer, str):
            without += 1
            continue
        try:
            start, end = find_quote(text, answer)
        except ValueError:
            without += 1
            continue
        pairs.append((" ".join(asking.split()), start, end))
    if not pairs:
        raise ValueError("no answer stands in the text: copy the words of each answer from it, letter for letter")
    return pairs, without
