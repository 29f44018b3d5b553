"""A teacher writes new instructions after the example of a few, and answers them (Self-Instruct), or makes given ones harder
(Evol-Instruct). What it writes is believed only when it is new, whole and answerable; filters are right for Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np

from burnish.construct.chats.answers import Threshold
from burnish.construct.chats.instructions import (
    answer_problem,
    as_turns,
    instruction_of,
    instruction_problem,
    language_of,
    size,
    with_input,
)
from burnish.construct.fields import need
from burnish.construct.making import made, story
from burnish.construct.teachers import TEACHERS, Question, ask, teacher_problems
from burnish.construct.teachers.costing import estimate
from burnish.construct.teachers.prompts import PromptFile, by_content, load_prompt, prompt_problems
from burnish.construct.teachers.reading import as_json
from burnish.core.artifacts import Records
from burnish.core.records import Record, Reject, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Positive, TaskSpec, stage
from burnish.measures.conversations import conversation_figures, told
from burnish.measures.novelty import Novelty

Way = Literal["constraints", "deepen", "concretise", "reasoning", "material", "breadth"]
WAYS: tuple[Way, ...] = ("constraints", "deepen", "concretise", "reasoning", "material", "breadth")


class _ByPrompts:
    """Puts what the prompts of the ways say into the key of the step."""

    def identify_for(self, value: Any, task: TaskSpec) -> Any:
        return by_content().identify_for([f"evolve_{way}" for way in value or WAYS], task)


HUMAN, OWN = 6, 2  # of the examples in a prompt: written by people and made before, Wang et al. 2022
TOKENS = 120  # of an instruction with its input, for the plan


@dataclass
class New:
    """An instruction of a teacher. parents: what it was written after. why: how, for the trail."""

    text: str
    parents: list[Record]
    language: str
    why: str
    meta: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    confidence: float | None = None


@dataclass
class Work:
    """What a maker keeps while it asks: counts, facts of the teacher, its failures."""

    by: str
    context: Context
    teacher: Any
    refused: Counter[str] = field(default_factory=Counter)
    asked: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    spent: bool = False

    def replies(self, questions: Sequence[Question], read: Any, what: str) -> Iterator[Any]:
        """Replies in order; what came to nothing is counted, an empty purse remembered."""
        if not questions:
            return
        name = f"{self.by}: {what}"
        answers = ask(self.teacher, questions, context=self.context, name=name, read=read, total=len(questions))
        for reply in answers:
            if reply.problem:
                self.refused[reply.problem.split(":")[0]] += 1
                self.spent |= reply.problem.startswith("budget")
            yield reply
        self.asked.append(answers.facts)
        self.rejects += list(answers.rejects())

    def facts(self) -> dict[str, Any]:
        """Of all asking together."""
        keys = ("questions", "asked_again", "tokens_in", "tokens_out", "cost", "failures")
        return {"model": self.teacher.model, **{key: sum(one[key] for one in self.asked) for key in keys}}


def _self_instruct_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    found = teacher_problems(settings["teacher"], needed_for="construct.self_instruct")
    found += prompt_problems(settings["prompt"], ("count", "examples"), needs=("examples",), task=task)
    return found + _answer_problems(settings, task)


def _answer_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    name = settings["answer_prompt"]
    return prompt_problems(name, ("instruction",), needs=("instruction",), task=task, setting="answer_prompt")


def _plan_new(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Any:
    """Half of what is written is taken to be refused, as in the paper's later rounds."""
    count, each = settings["count"], settings["each"]
    rounds = int(np.ceil(2 * count / each))
    requests = rounds + (count if settings["answers"] else 0)
    read = (rounds * TOKENS * (HUMAN + OWN) + count * TOKENS) / max(requests, 1)
    written = (rounds * TOKENS * each + count * 2 * TOKENS) / max(requests, 1)
    return estimate(TEACHERS.one(settings["teacher"]), requests=requests, tokens_in=read, tokens_out=written)


@stage("construct.self_instruct", check=_self_instruct_problems, estimate=_plan_new)
def self_instruct(
    records: Records,
    context: Context,
    *,
    teacher: Annotated[Any, TEACHERS] = None,
    count: Positive = 200,
    each: Positive = 8,
    alike: Threshold = 0.7,
    answers: bool = True,
    banned: list[str] | None = None,
    patience: Positive = 3,
    form: Literal["messages", "output"] = "messages",
    prompt: PromptFile = "self_instruct",
    answer_prompt: PromptFile = "instruction_answer",
) -> Records:
    """Let a teacher write new instructions after the example of the records, and answer them (Wang et al. 2022).

    teacher: who writes. count: how many instructions are wanted. each: how many it is asked for at a time.
    alike: ROUGE-L (Chinese: by characters) from which an instruction is not new, 0..1.
    answers: whether it answers them as well; else they stay without an answer.
    banned: words that no instruction may have. patience: rounds without anything new after which it stops.
    form: messages for chat, or output (text and output).
    prompt: what it is asked for instructions, with {count} and {examples}. answer_prompt: for an answer, with {instruction}.

    Each prompt shows six instructions of the records and two made before. Refused, with its reason: like a known one, too
    short or long, what a text cannot do, another language, words of the prompt; apologies and empty answers.
    """
    work = Work("construct.self_instruct", context, TEACHERS.one(teacher))
    rows = list(records)
    spoken = context.task.languages
    seeds = [(one, text) for one in rows if one.keep and (text := instruction_of(one))]
    need(len(seeds), "messages", where=work.by, hint="seeds are records with messages or text: some dozens are enough")
    known = Novelty((text for _, text in seeds), threshold=alike)
    new: list[New] = []
    idle = round_ = 0
    while len(new) < count and idle < patience and not work.spent:
        round_ += 1
        rng = np.random.default_rng([context.seed, round_])
        number = max(1, int(np.ceil((count - len(new)) / each)))
        drawn = [_examples(seeds, new, rng, spoken[at % len(spoken)], spoken) for at in range(min(number, 64))]
        questions = [
            Question(
                f"round {round_}.{at}", _shown(shown, prompt, each, language, context), sample=round_, language=language
            )
            for at, (shown, language) in enumerate(drawn)
        ]
        before = len(new)
        for reply, (shown, language) in zip(
            work.replies(questions, _read_list, f"round {round_}"), drawn, strict=False
        ):
            parents = list({id(one): one for _, group in shown for one in group}.values())
            for text in reply.value or ():
                why = f"written by {work.teacher.model} after {len(shown)} examples, round {round_}"
                _admit(New(text, parents, language, why), known, new, work, banned or ())
        idle = 0 if len(new) > before else idle + 1
    new = new[:count]
    if answers:
        new = _answered(new, work, answer_prompt)
    return _grown(records, rows, new, work, form)


def _examples(
    seeds: Sequence[tuple[Record, str]],
    new: Sequence[New],
    rng: np.random.Generator,
    language: str,
    spoken: Sequence[str],
) -> tuple[list[tuple[str, list[Record]]], str]:
    """Six of people and two made before, in one language where it has enough, shuffled; and the language."""
    own = [(one, text) for one, text in seeds if language_of(one, spoken) == language]
    language = language if own else language_of(seeds[0][0], spoken)
    own = own or list(seeds)
    made_before = [one for one in new if one.language == language]
    chosen = [own[at] for at in rng.choice(len(own), min(HUMAN, len(own)), replace=False)]
    picked: Any = rng.choice(len(made_before), min(OWN, len(made_before)), replace=False) if made_before else []
    shown = [(text, [one]) for one, text in chosen] + [(made_before[at].text, made_before[at].parents) for at in picked]
    return [shown[at] for at in rng.permutation(len(shown))], language


def _shown(
    shown: Sequence[tuple[str, list[Record]]], prompt: str, each: int, language: str, context: Context
) -> list[dict[str, str]]:
    lines = "\n".join(f"{at}. {' '.join(text.split())[:600]}" for at, (text, _) in enumerate(shown, start=1))
    return load_prompt(prompt, language=language, base=context.task.base).messages(count=each, examples=lines)


def _read_list(text: str, question: Question) -> list[str]:
    found = [with_input(one) for one in as_json(text, list) if isinstance(one, dict | str)]
    if not found:
        raise ValueError("a list of instructions is wanted")
    return found


def _admit(one: New, known: Novelty, new: list[New], work: Work, banned: Sequence[str]) -> None:
    problem = instruction_problem(one.text, language=one.language, banned=banned)
    if not problem and known.take(one.text) is not None:
        problem = "like a known instruction"
    if problem:
        work.refused[problem] += 1
    else:
        new.append(one)


def _answered(new: Sequence[New], work: Work, prompt: str) -> list[New]:
    """Those that got an answer to learn from."""
    base = work.context.task.base
    questions = [
        Question(
            f"answer {at}",
            load_prompt(prompt, language=one.language, base=base).messages(instruction=one.text),
            language=one.language,
        )
        for at, one in enumerate(new)
    ]
    kept = []
    for reply, one in zip(work.replies(questions, lambda text, _: text.strip(), "answers"), new, strict=True):
        if reply.problem:
            continue
        if problem := answer_problem(reply.value, one.text):
            work.refused[problem] += 1
            continue
        one.answer, one.confidence = reply.value, reply.confidence
        kept.append(one)
    return kept


def _plan_evolve(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Any:
    requests = records * settings["rounds"] * (2 if settings["answers"] else 1)
    return estimate(TEACHERS.one(settings["teacher"]), requests=requests, tokens_in=2 * TOKENS, tokens_out=2 * TOKENS)


def _evolve_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    return teacher_problems(settings["teacher"], needed_for="construct.evolve") + _answer_problems(settings, task)


@stage("construct.evolve", check=_evolve_problems, estimate=_plan_evolve)
def evolve(
    records: Records,
    context: Context,
    *,
    teacher: Annotated[Any, TEACHERS] = None,
    rounds: Positive = 1,
    ways: Annotated[list[Way] | None, _ByPrompts()] = None,
    changed: Threshold = 0.9,
    alike: Threshold = 0.7,
    answers: bool = True,
    form: Literal["messages", "output"] = "messages",
    answer_prompt: PromptFile = "instruction_answer",
) -> Records:
    """Let a teacher make instructions harder or rarer and answer them (Evol-Instruct, Xu et al. 2023).

    teacher: who rewrites. rounds: each evolves what the round before made; what failed is tried again the next round.
    ways: constraints, deepen, concretise, reasoning, material (harder) and breadth (rarer); all by default, drawn at random.
    changed: ROUGE-L with its parent from which an instruction did not evolve, 0..1.
    alike: ROUGE-L (Chinese: by characters) with any other from which it is not new.
    answers: whether the teacher answers them as well. form: messages for chat, or output (text and output).
    answer_prompt: what it is asked for an answer, with {instruction}.

    Refused, with its reason: hardly changed, like another, words of the prompt, apologies, empty answers.
    """
    work = Work("construct.evolve", context, TEACHERS.one(teacher))
    rows, spoken = list(records), context.task.languages
    pool = [
        New(text, [one], language_of(one, spoken), "", {"generation": 0})
        for one in rows
        if one.keep and (text := instruction_of(one))
    ]
    need(len(pool), "messages", where=work.by, hint="records with messages or text are evolved")
    known = Novelty((one.text for one in pool), threshold=alike)
    named = ways or list(WAYS)
    new: list[New] = []
    for round_ in range(1, rounds + 1):
        rng = np.random.default_rng([context.seed, round_])
        drawn = [named[at] for at in rng.integers(len(named), size=len(pool))]
        questions = [
            Question(
                f"round {round_}.{at}",
                load_prompt(f"evolve_{way}", language=one.language).messages(instruction=one.text),
                sample=round_,
                language=one.language,
            )
            for at, (one, way) in enumerate(zip(pool, drawn, strict=True))
        ]
        following = []
        replies = work.replies(questions, lambda text, _: text.strip(), f"round {round_}")
        for reply, parent, way in zip(replies, pool, drawn, strict=True):
            child = None if reply.problem else _evolved(reply.value, parent, way, round_, known, work, changed)
            if child:
                new.append(child)
            following.append(child or parent)
        pool = following
        if work.spent:
            break
    if answers:
        new = _answered(new, work, answer_prompt)
    return _grown(records, rows, new, work, form)


def _evolved(text: str, parent: New, way: str, round_: int, known: Novelty, work: Work, changed: float) -> New | None:
    problem = instruction_problem(text, language=parent.language)
    if not problem and Novelty([parent.text], threshold=changed).nearest(text)[1] is not None:
        problem = "hardly changed"
    if not problem and known.nearest(text)[1] not in (None, parent.text):
        problem = "like a known instruction"
    if problem:
        work.refused[problem] += 1
        return None
    known.add(text)
    meta = {"way": way, "generation": parent.meta["generation"] + 1, "before": parent.text}
    return New(text, parent.parents, parent.language, f"{way} by {work.teacher.model}, round {round_}", meta)


def _grown(records: Records, rows: Sequence[Record], new: Sequence[New], work: Work, form: str) -> Records:
    """The records, and behind them what was made; failures of the teacher in the quarantine."""
    born = [_record(one, work.by, form) for one in new]
    used = Counter(name for one in born for name in one.meta["made_from"])
    facts = dict(records.facts)
    counts = Counter(seen=len(rows), made=len(born), material=len(used))
    story(facts, counts, work.refused, by=work.by, what="instructions", context=work.context)
    figures = conversation_figures([as_turns(one.text, one.answer) for one in new])
    lengths = [size(one.text) for one in new]
    facts[work.by.split(".")[1]] = {
        **figures, "teacher": work.facts(), "instruction_words": float(np.mean(lengths)) if lengths else 0.0,
        "ways": dict(Counter(one.meta["way"] for one in new if "way" in one.meta)),
    }  # fmt: skip
    work.context.progress.tell(f"  {told(figures)}")

    def walk() -> Iterator[Any]:
        seen = SeenCounts()
        for batch in records.batches():
            yield assign_ids(batch, seen)
        if born:
            yield assign_ids(to_table(born), seen)
        yield from work.rejects

    grown = Records.stream(walk())
    grown.facts = facts
    return grown


def _record(one: New, by: str, form: str) -> Record:
    fields: dict[str, Any] = (
        {"messages": as_turns(one.text, one.answer)} if form == "messages" else {"text": one.text, "output": one.answer}
    )
    return made(
        one.parents, by=by, why=one.why, language=one.language, confidence=one.confidence, meta=one.meta, **fields
    )
