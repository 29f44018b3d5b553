"""Questions that are asked again and again become a FAQ: the question as it is asked best, and the answer that helped most."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from burnish.construct.chats.answers import Answers, Threshold, first_hand, like_questions, outcome_of, question_vectors
from burnish.construct.fields import field_problems, need
from burnish.construct.making import made, mark_material, story
from burnish.core.artifacts import Records
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Positive, Share, TaskSpec, stage
from burnish.measures.clusters import middle
from burnish.measures.conversations import conversation_figures, told
from burnish.nn.backbones import Backbone, embedding_seconds
from burnish.text.lengths import lengths
from burnish.text.normalise import normalise
from burnish.text.pii import PLACEHOLDER

BY = "construct.faq"
SHOWN_MEMBERS = 50  # wordings kept in meta; support counts them all


@dataclass
class Pair:
    """A question and the answer it got in one record."""

    question: str
    answer: str
    record: Record
    outcome: float | None


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    return field_problems("outcome", settings["outcome"])


@stage("construct.faq", check=_problems, cost=embedding_seconds)
def faq(
    records: Records,
    context: Context,
    *,
    questions: Literal["first", "every"] = "first",
    alike: Threshold = 0.3,
    support: Positive = 2,
    agree: Share = 0.0,
    outcome: str = "meta.outcome",
    best_outcome: Positive = 1,
    wordings: Literal["one", "all"] = "one",
    form: Literal["messages", "output"] = "messages",
    shortest: Positive = 2,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Gather like questions of many conversations, and make a question-answer pair of each group.

    questions: first takes the first exchange of a conversation, every all of them; of records without messages `text` is the
    question and `output` the answer.
    alike: mean cosine, centred, from which questions are the same one, 0..1; lower gathers more.
    support: how often a question must have been asked.
    agree: share of the group that must have got the chosen answer, 0..1; groups below are refused.
    outcome: the field that says what came of the answer, as construct.dialogue writes it. best_outcome: the highest there is;
    1 for 0..1, 5 for one to five stars.
    wordings: one makes a pair of each group, with its most typical question; all makes one of every wording, with the group's
    answer.
    form: messages for chat, or output (text and output).
    shortest: words (Chinese: characters) of a question; shorter ones ("hello") are not taken.
    backbone: whose vectors say what is alike.

    The answer is chosen by outcome and frequency (the lower end of Wilson's interval). `meta` has support, members, answers,
    and the chosen answer's share and outcome. Sees all questions at once: time grows with their square.
    """
    rows = list(records)
    pairs, short = _pairs(rows, questions, outcome, best_outcome, shortest)
    need(
        len(pairs) + short,
        "messages",
        where=BY,
        hint="put it behind construct.dialogue, or give records text and output",
    )
    asked = [one.question for one in pairs]
    cluster = like_questions(asked, threshold=alike, backbone=str(backbone), context=context)
    vectors = question_vectors(asked, str(backbone), context) if pairs else np.empty((0, 1), dtype=np.float32)
    given = Answers([one.answer for one in pairs], [one.outcome for one in pairs])
    groups: dict[int, list[int]] = defaultdict(list)
    for at, name in enumerate(cluster.tolist()):
        groups[name].append(at)
    refused = Counter({"question too short": short}) if short else Counter[str]()
    born: list[Record] = []
    for members in groups.values():
        whole = [pairs[at] for at in members]
        best = given.ranked(members)[0]
        if len(members) < support:
            refused[f"asked fewer than {support} times"] += 1
        elif len(best.rows) < agree * len(members):
            refused["no answer that enough agents gave"] += 1
        else:
            typical = _typical(members, asked, vectors)
            born += _entries(whole, pairs[typical].question, best, len(given.ranked(members)), wordings, form)
    facts = dict(records.facts)
    counts = Counter(
        seen=len(rows), made=len(born), material=len({name for one in born for name in one.meta["made_from"]})
    )
    story(facts, counts, refused, by=BY, what="question-answer pairs", context=context)
    sizes = np.array([one.meta["support"] for one in born]) if born else np.zeros(1)
    talks = [one.messages or _turns(str(one.text), str(one.output)) for one in born]
    facts["faq"] = {
        **conversation_figures(talks), "questions": len(pairs), "groups": len(groups),
        "covered": float(np.isin(cluster, [name for name, group in groups.items() if len(group) >= support]).mean()) if len(pairs) else 0.0,
        "support": {"mean": float(sizes.mean()), "median": float(np.median(sizes)), "most": int(sizes.max())},
    }  # fmt: skip
    context.progress.tell(
        f"  {len(pairs):,} questions in {len(groups):,} groups; {facts['faq']['covered']:.1%} lie in one of the pairs' groups"
    )
    context.progress.tell(f"  {told(facts['faq'])}")
    grown = Records.stream(_written(records, born))
    grown.facts = facts
    return grown


def _pairs(rows: Sequence[Record], questions: str, outcome: str, best: int, shortest: int) -> tuple[list[Pair], int]:
    found: list[Pair] = []
    for row in rows:
        if not first_hand(row):
            continue
        came = outcome_of(row, outcome, best)
        exchanges = list(_exchanges(row))
        for question, answer in exchanges[:1] if questions == "first" else exchanges:
            found.append(Pair(question, answer, row, came))
    words: Any = lengths([one.question for one in found]).words if found else []
    long = [one for one, size in zip(found, words, strict=True) if size >= shortest]
    return long, len(found) - len(long)


def _exchanges(row: Record) -> Iterator[tuple[str, str]]:
    """(question, answer) one after another."""
    if row.messages:
        said = [one for one in row.messages if one["role"] != "system"]
        for before, after in itertools.pairwise(said):
            if before["role"] == "user" and after["role"] == "assistant":
                yield before["content"], after["content"]
    elif row.text and row.output:
        yield row.text, row.output


def _typical(members: Sequence[int], asked: Sequence[str], vectors: np.ndarray) -> int:
    """The wording nearest to all others, among those of middling length (neither two words nor a story) that name nobody."""
    members = [at for at in members if not PLACEHOLDER.search(asked[at])] or members
    words = lengths([asked[at] for at in members]).words
    low, high = np.quantile(words, (0.1, 0.9))
    usual = [at for at, size in zip(members, words, strict=True) if low <= size <= high] or list(members)
    times = Counter(normalise(asked[at]) for at in members)
    weights = [times[normalise(asked[at])] for at in usual]
    return usual[middle(vectors[usual], weights)]


def _entries(
    whole: Sequence[Pair], typical: str, best: Any, different: int, wordings: str, form: str
) -> Iterator[Record]:
    """The pair of one group, or one of each of its wordings."""
    said: dict[str, str] = {}
    for one in whole:
        said.setdefault(normalise(one.question), one.question)
    parents = list({id(one.record): one.record for one in whole}.values())
    share = len(best.rows) / len(whole)
    meta: dict[str, Any] = {
        "support": len(whole), "members": list(said.values())[:SHOWN_MEMBERS], "wordings": len(said), "answers": different,
        "answer_support": len(best.rows), "answer_share": round(share, 4), "canonical": typical,
    } | ({} if best.outcome is None else {"outcome": round(best.outcome, 4)})  # fmt: skip
    why = (
        f"asked {len(whole)} times in {len(said)} wordings; of {different} answers the one given {len(best.rows)} times"
        + ("" if best.outcome is None else f", outcome {best.outcome:.2f}")
    )
    for question in [typical] if wordings == "one" else list(said.values()):
        fields: dict[str, Any] = (
            {"messages": _turns(question, best.text)} if form == "messages" else {"text": question, "output": best.text}
        )
        yield made(parents, by=BY, why=why, confidence=best.standing, meta=dict(meta), **fields)


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _written(records: Records, born: Sequence[Record]) -> Iterator[Any]:
    """The records, those that a pair was made of marked; behind them the pairs."""
    used = Counter(name for one in born for name in one.meta["made_from"])
    seen = SeenCounts()
    for batch in records.batches():
        children = np.array([used[name] for name in batch["id"].to_pylist()], dtype=np.int64)
        yield assign_ids(mark_material(batch, children, BY), seen)
    if born:
        yield assign_ids(to_table(born), seen)
