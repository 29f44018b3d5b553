"""Pairs of a better and a worse answer to the same question, for training by preferences (DPO, Rafailov et al. 2023).

The better one is the last answer of `messages`, the worse one is `meta.rejected`.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from burnish.construct.chats.answers import Answer, Answers, Threshold, first_hand, like_questions, outcome_of
from burnish.construct.chats.instructions import answer_problem, as_turns, instruction_of, language_of
from burnish.construct.chats.judging import Duel, best_and_worst, judged, told_of
from burnish.construct.chats.self_instruct import Work
from burnish.construct.fields import field_problems, need, value_of
from burnish.construct.making import made, story
from burnish.construct.teachers import TEACHERS, Question, teacher_problems
from burnish.construct.teachers.costing import estimate
from burnish.construct.teachers.prompts import PromptFile, prompt_problems
from burnish.core.artifacts import Records
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.measures.conversations import conversation_figures, problem, told
from burnish.measures.generation import rouge_tokens
from burnish.measures.novelty import Novelty
from burnish.nn.backbones import Backbone
from burnish.text.lengths import lengths
from burnish.text.normalise import normalise

BY = "construct.preferences"
Source = Literal["outcomes", "edits", "teachers", "models"]


@dataclass
class Pair:
    """turns: what was asked. parents: what it is made of; confidence: that the chosen one is better, 0..1."""

    turns: list[dict[str, str]]
    chosen: str
    rejected: str
    parents: list[Record]
    why: str
    confidence: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    source = settings["source"]
    found = field_problems("draft", settings["draft"]) + field_problems("outcome", settings["outcome"])
    asks = source in ("teachers", "models")
    found += teacher_problems(settings["teacher"], needed_for=f"{BY} from {source}" if asks else "")
    found += teacher_problems(
        settings["weaker"], setting="weaker", needed_for=f"{BY} from models" * (source == "models")
    )
    found += teacher_problems(settings["judge"], setting="judge")
    found += prompt_problems(settings["prompt"], ("conversation", "a", "b"), needs=("a", "b"), task=task)
    for name in ("teacher", "weaker", "judge"):
        if settings[name] is not None and not asks:
            found.append((name, f"{source} ask nobody", "source: teachers or models"))
    if source == "teachers" and settings["teacher"] is not None and TEACHERS.one(settings["teacher"]).temperature == 0:
        found.append(("teacher", "at temperature 0 it says the same again", "temperature: 0.8, for example"))
    if source == "teachers" and settings["answers"] < 2:
        found.append(("answers", "one answer has nothing to be compared with", "answers: 2 or more"))
    return found


def _plan(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Any:
    """Answers, and two orders of every pair of them."""
    count = settings["answers"] if settings["source"] == "teachers" else 2
    pairs = count * (count - 1) // 2 if settings["source"] == "teachers" or settings["judge"] is not None else 0
    requests = records * (count + 2 * pairs * settings["votes"])
    each = tokens / max(records, 1)
    teacher = TEACHERS.one(settings["teacher"])
    return estimate(teacher, requests=requests, tokens_in=2 * each + 200, tokens_out=150)


@stage("construct.preferences", check=_problems, estimate=_plan)
def preferences(
    records: Records,
    context: Context,
    *,
    source: Source = "outcomes",
    alike: Threshold = 0.3,
    outcome: str = "meta.outcome",
    best_outcome: Positive = 1,
    margin: Share = 0.3,
    draft: str = "meta.draft",
    least_edit: Share = 0.05,
    teacher: Annotated[Any, TEACHERS] = None,
    weaker: Annotated[Any, TEACHERS] = None,
    judge: Annotated[Any, TEACHERS] = None,
    answers: Positive = 2,
    votes: Positive = 1,
    length_control: bool = True,
    prompt: PromptFile = "judge_pair",
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Make pairs of a better and a worse answer: from outcomes, edits, several answers or two models.

    source: outcomes pairs the answers to like questions that ended best and worst; edits pairs what an agent sent with the
    draft it was made of; teachers lets a teacher answer several times and a judge choose; models takes a strong model's answer
    over a weak one's.
    alike: mean cosine, centred, from which questions are like; outcome: the field of what came of an answer (ratings
    and resolutions become one in construct.dialogue). best_outcome: the highest there is; 1 for 0..1, 5 for stars. margin: least difference of the two outcomes, 0..1.
    draft: the field that holds what was there before the edit. least_edit: least share of words that changed, 0..1.
    teacher: who answers (the strong one of models). weaker: who answers worse. judge: who compares; of teachers the teacher
    itself where none is named, of models nobody then.
    answers: of the teacher to each question; its temperature must be above 0. votes: of the judge on each order of a pair.
    length_control: take out of the judge's verdicts what length alone explains.
    prompt: what a judge is asked, with {conversation}, {a} and {b}. backbone: whose vectors say what is alike.

    A judge sees every pair in both orders; what it says of one and not of the other is undecided. What is refused is counted
    with its reason. `meta` has rejected, source, and the outcomes or votes behind it.
    """
    rows = list(records)
    work = Work(BY, context, TEACHERS.one(teacher))
    kept = [one for one in rows if one.keep]
    facts = dict(records.facts)
    own: dict[str, Any] = {"source": source}
    if source == "outcomes":
        pairs = list(
            _from_outcomes(
                [one for one in kept if first_hand(one)], alike, (outcome, best_outcome), margin, str(backbone), work
            )
        )
    elif source == "edits":
        pairs = list(_from_edits(kept, draft, least_edit, work))
    else:
        asked = [(one, turns) for one in kept if (turns := _question(one))]
        need(len(asked), "messages", where=BY, hint="records with messages or text hold the questions")
        if source == "teachers":
            spoken = _several(asked, work, answers)
            chair = TEACHERS.one(judge) or work.teacher
        else:
            spoken = _two(asked, work, TEACHERS.one(weaker))
            chair = TEACHERS.one(judge)
        pairs = list(_chosen(asked, spoken, chair, work, votes, length_control, prompt, source, own))
    pairs = [one for one in pairs if not _refuse(one, work)]
    return _grown(records, rows, pairs, work, facts, own)


def _question(record: Record) -> list[dict[str, str]]:
    """A conversation up to what is to be answered."""
    turns = [dict(one) for one in record.messages or as_turns(record.text or "", None)]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns if turns and turns[-1]["role"] == "user" and turns[-1]["content"].strip() else []


# -- from logs


def _from_outcomes(
    rows: Sequence[Record], alike: float, outcome: tuple[str, float], margin: float, backbone: str, work: Work
) -> Iterator[Pair]:
    """Of each group of like questions the answer that stands highest, and the one that ended worst."""
    given = [(one, asked, said) for one in rows if (asked := instruction_of(one)) and (said := _first_answer(one))]
    need(len(given), "messages", where=BY, hint="conversations (construct.dialogue) or text and output")
    ended = [outcome_of(one, *outcome) for one, _, _ in given]
    need(
        sum(one is not None for one in ended),
        outcome[0],
        where=f"{BY}: outcome",
        hint="dialogue: {resolved: FIELD, rating: FIELD}",
    )
    cluster = like_questions([asked for _, asked, _ in given], threshold=alike, backbone=backbone, context=work.context)
    book = Answers([said for _, _, said in given], ended)
    groups: dict[int, list[int]] = defaultdict(list)
    for at, name in enumerate(cluster.tolist()):
        groups[name].append(at)
    for members in groups.values():
        ranked = [one for one in book.ranked(members) if one.outcome is not None]
        if len(ranked) < 2:
            work.refused["no second answer to a like question whose outcome is known"] += 1
            continue
        best, worst = ranked[0], min(ranked[1:], key=lambda one: (one.outcome, one.standing))
        apart = float(best.outcome or 0.0) - float(worst.outcome or 0.0)
        if apart < margin:
            work.refused["outcomes too near"] += 1
            continue
        yield _outcome_pair(given, best, worst, apart)


def _outcome_pair(given: Sequence[tuple[Record, str, str]], best: Answer, worst: Answer, apart: float) -> Pair:
    # the question as it was put where the better answer was given, so that they belong together
    first = next(row for row in best.rows if given[row][2] == best.text)
    parents = [given[row][0] for row in (first, *(row for row in (*best.rows, *worst.rows) if row != first))]
    why = f"outcome {best.outcome:.2f} ({len(best.rows)} times) over {worst.outcome:.2f} ({len(worst.rows)} times)"
    meta = {"margin": round(apart, 4), "outcomes": [round(best.outcome or 0.0, 4), round(worst.outcome or 0.0, 4)]}
    sure = 0.5 + apart / 2
    return Pair(as_turns(given[first][1], None), best.text, worst.text, parents, why, sure, meta)


def _first_answer(record: Record) -> str | None:
    if record.messages:
        said = [one for one in record.messages if one["role"] != "system"]
        pairs = itertools.pairwise(said)
        return next((b["content"] for a, b in pairs if a["role"] == "user" and b["role"] == "assistant"), None)
    return record.output


def _from_edits(rows: Sequence[Record], draft: str, least: float, work: Work) -> Iterator[Pair]:
    """What was sent over what was suggested, where the edit is more than a comma."""
    found = 0
    for row in rows:
        before, turns = value_of(row, draft), _question(row)
        if before is None:
            continue
        found += 1
        after = row.messages[-1]["content"] if row.messages and row.messages[-1]["role"] == "assistant" else row.output
        if not isinstance(before, str) or not turns or not after:
            work.refused["no question, draft and answer together"] += 1
            continue
        same = Novelty([before], threshold=1e-9).nearest(after)[0]
        if 1 - same < least:
            work.refused["edit too small"] += 1
            continue
        yield Pair(
            turns,
            after,
            before,
            [row],
            f"an agent changed {1 - same:.0%} of the draft",
            None,
            {"edit": round(1 - same, 4)},
        )
    need(found, draft, where=f"{BY}: draft", hint="draft: the field of the answer before it was edited")


# -- from models


def _several(asked: Sequence[tuple[Record, list[dict[str, str]]]], work: Work, answers: int) -> list[list[str]]:
    """Different answers of the teacher to each question."""
    questions = [
        Question(str(one.id), turns, sample=draw, language=language_of(one, work.context.task.languages))
        for one, turns in asked
        for draw in range(answers)
    ]
    said: list[list[str]] = [[] for _ in asked]
    for at, reply in enumerate(work.replies(questions, lambda text, _: text.strip(), "answers")):
        text, own = reply.value, said[at // answers]
        if text is None:
            continue
        if normalise(text) in {normalise(one) for one in own}:
            work.refused["the teacher said the same twice"] += 1
        elif wrong := answer_problem(text, asked[at // answers][1][-1]["content"]):
            work.refused[wrong] += 1
        else:
            own.append(text)
    return said


def _two(asked: Sequence[tuple[Record, list[dict[str, str]]]], work: Work, weaker: Any) -> list[list[str]]:
    """[strong, weak] for each question; the weak answer may be a poor one, but it is one."""
    other = Work(BY, work.context, weaker, refused=work.refused, asked=work.asked, rejects=work.rejects)
    said: list[list[str]] = [[] for _ in asked]
    for who, what in ((work, "strong"), (other, "weak")):
        questions = [
            Question(str(one.id), turns, language=language_of(one, work.context.task.languages)) for one, turns in asked
        ]
        for own, reply, (_, turns) in zip(
            said, who.replies(questions, lambda text, _: text.strip(), what), asked, strict=True
        ):
            if reply.problem:
                continue
            if who is work and (wrong := answer_problem(reply.value, turns[-1]["content"])):
                work.refused[f"strong: {wrong}"] += 1
            elif what == "strong" or own:
                own.append(reply.value)
    return said


def _chosen(
    asked: Sequence[tuple[Record, list[dict[str, str]]]],
    spoken: Sequence[Sequence[str]],
    chair: Any,
    work: Work,
    votes: int,
    length_control: bool,
    prompt: str,
    source: str,
    own: dict[str, Any],
) -> Iterator[Pair]:
    """The best answer over the worst, as the judge says; without one the strong model's over the weak one's."""
    duels = [
        Duel(at, a, b, turns, language_of(one, work.context.task.languages))
        for at, ((one, turns), said) in enumerate(zip(asked, spoken, strict=True))
        for a, b in itertools.combinations(said, 2)
    ]
    work.refused["fewer than two answers"] += sum(len(said) < 2 for said in spoken)
    if chair is None:
        own["judge"] = None
        for duel in duels:
            row = asked[duel.row][0]
            yield Pair(duel.turns, duel.a, duel.b, [row], f"{work.teacher.model} over a weaker model, unjudged")
        return
    bench = Work(BY, work.context, chair, refused=work.refused, asked=work.asked, rejects=work.rejects)
    verdicts = judged(duels, bench, votes=votes, length_control=length_control, prompt=prompt)
    own["judge"] = verdicts.facts
    for line in told_of(verdicts.facts):
        work.context.progress.tell(f"  {line}")
    scored = zip(duels, verdicts.scores.tolist(), verdicts.sure.tolist(), strict=True)
    for at, group in itertools.groupby(scored, key=lambda one: one[0].row):
        fought = list(group)
        if (found := best_and_worst(fought)) is None:
            work.refused["the judge does not decide"] += 1
            continue
        best, worst, won, sure = found
        if source == "models" and best != spoken[at][0]:
            work.refused["the judge prefers the weaker model"] += 1
            continue
        why = f"{chair.model} prefers it in both orders, score {won:.2f}"
        row, turns = asked[at]
        yield Pair(turns, best, worst, [row], why, sure, {"margin": round(won, 4)})


def _refuse(pair: Pair, work: Work) -> bool:
    """Whether a pair teaches nothing."""
    reason = None
    if not rouge_tokens(pair.chosen) or not rouge_tokens(pair.rejected):
        reason = "an answer is empty"
    elif normalise(pair.chosen) == normalise(pair.rejected):
        reason = "both answers are the same"
    elif wrong := problem([*pair.turns, {"role": "assistant", "content": pair.chosen}]):
        reason = f"no conversation to learn from: {wrong}"
    if reason:
        work.refused[reason] += 1
    return reason is not None


def _grown(
    records: Records,
    rows: Sequence[Record],
    pairs: Sequence[Pair],
    work: Work,
    facts: dict[str, Any],
    own: dict[str, Any],
) -> Records:
    """The records, and behind them the pairs; failures of teachers in the quarantine."""
    born = [_record(one, str(own["source"])) for one in pairs]
    counts = Counter(
        seen=len(rows), made=len(born), material=len({name for one in born for name in one.meta["made_from"]})
    )
    story(facts, counts, +work.refused, by=BY, what="preference pairs", context=work.context)
    better, worse = (lengths([getattr(one, name) for one in pairs]).words for name in ("chosen", "rejected"))
    figures = conversation_figures([one.messages or [] for one in born])
    facts["preferences"] = {
        **figures, **own, "teacher": work.facts() if work.teacher else None,
        "longer_chosen": float((better > worse).mean()) if pairs else 0.0,
        "chosen_words": float(better.mean()) if pairs else 0.0,
        "rejected_words": float(worse.mean()) if pairs else 0.0,
    }  # fmt: skip
    if pairs:
        said = facts["preferences"]
        work.context.progress.tell(
            f"  {told(figures)}; the chosen answer is the longer one in {said['longer_chosen']:.0%}"
            f" ({said['chosen_words']:.0f} words against {said['rejected_words']:.0f})"
        )

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


def _record(pair: Pair, source: str) -> Record:
    meta = {"rejected": pair.rejected, "source": source, **pair.meta}
    turns = [*pair.turns, {"role": "assistant", "content": pair.chosen}]
    return made(pair.parents, by=BY, why=pair.why, messages=turns, confidence=pair.confidence, meta=meta)
