"""Pairs of a better and a worse answer: from outcomes, edits, several answers, two models; judged in both orders."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taught import backbone, teacher

from burnish.construct.chats.judging import Duel, best_and_worst, length_slope, read_verdict
from burnish.construct.chats.preferences import preferences
from burnish.construct.teachers import Question
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, SpecError
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec
from burnish.measures.conversations import problem

ASKED = ["How do I return the shoes?", "怎么开发票？", "Where is my parcel now?", "Can I pay by card?"]


@pytest.fixture
def chat(context: Context) -> Context:
    return replace(context, task=TaskSpec("chat", languages=("en", "zh")))


def questions() -> Records:
    return Records.from_rows(
        Record(text=one, id=f"q{at}", language="zh" if at == 1 else "en") for at, one in enumerate(ASKED)
    )


def pairs(records: Records) -> list[Record]:
    made = [one for one in records if one.label_from == "construct.preferences"]
    for one in made:
        rejected = [*(one.messages or [])[:-1], {"role": "assistant", "content": one.meta["rejected"]}]
        assert problem(one.messages) is None and problem(rejected) is None
    return made


def talk(name: str, question: str, answer: str, **meta: Any) -> Record:
    return Record(
        id=name, messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}], meta=meta
    )


def test_outcomes_make_pairs_of_like_questions(chat: Context, tmp_path: Path) -> None:
    rows = [talk(f"a{at}", ASKED[0], "Bring them to any shop.", outcome=1.0) for at in range(3)]
    rows += [
        talk("b", "How do I return the shoes", "That is not my job.", outcome=0.0),
        talk("c", ASKED[0], "Nobody rated this one."),
    ]
    rows += [
        talk("d", ASKED[2], "On its way.", outcome=0.6),
        talk("e", ASKED[2], "It left the house at noon.", outcome=0.5),
    ]
    rows += [talk("f", ASKED[3], "Yes.", outcome=1.0)]
    bert = str(backbone(tmp_path / "bert", ASKED))
    records = preferences(Records.from_rows(rows), chat, alike=0.8, backbone=bert)  # type: ignore[arg-type]
    (made,) = pairs(records)
    assert made.messages == [
        {"role": "user", "content": ASKED[0]},
        {"role": "assistant", "content": "Bring them to any shop."},
    ]
    assert (
        made.meta["rejected"] == "That is not my job."
        and made.meta["outcomes"] == [1.0, 0.0]
        and made.confidence == 1.0
    )
    assert set(made.meta["made_from"]) == {"a0", "a1", "a2", "b"}
    assert records.facts["makers"][-1]["refused"] == {
        "outcomes too near": 1,
        "no second answer to a like question whose outcome is known": 1,
    }


def test_stars_are_outcomes(chat: Context, tmp_path: Path) -> None:
    rows = [
        Record(id=f"s{at}", text=ASKED[0], output=said, meta={"stars": stars})
        for at, (said, stars) in enumerate([("Bring them to any shop.", 5), ("That is not my job.", 1)])
    ]
    bert = str(backbone(tmp_path / "bert", ASKED))
    records = preferences(Records.from_rows(rows), chat, outcome="meta.stars", best_outcome=5, backbone=bert)  # type: ignore[arg-type]
    (made,) = pairs(records)
    assert made.meta["outcomes"] == [1.0, 0.0] and made.meta["rejected"] == "That is not my job."


def test_edits_of_a_draft_are_preferences(chat: Context) -> None:
    rows = [
        talk("a", ASKED[0], "You can bring them back within 30 days.", draft="No idea, look it up yourself."),
        talk("b", ASKED[1], "在订单页点“开票”就可以了。", draft="在订单页点“开票”就可以了"),
        talk("c", ASKED[2], "Tomorrow.", draft=5),
        talk("d", ASKED[3], "Yes."),
    ]
    records = preferences(Records.from_rows(rows), chat, source="edits")
    (made,) = pairs(records)
    assert made.meta["rejected"] == "No idea, look it up yourself." and "changed" in made.trail[0]
    assert records.facts["makers"][-1]["refused"] == {"edit too small": 1, "no question, draft and answer together": 1}
    with pytest.raises(BurnishError, match=r"no record has 'meta\.suggestion'"):
        preferences(Records.from_rows(rows), chat, source="edits", draft="meta.suggestion")


def writer(asked: list[dict[str, str]]) -> str:
    """Good and bad answers by turns."""
    return next(writer.turn)  # type: ignore[attr-defined]


def judge_of(prefers: str, *, always_first: bool = False) -> Any:
    def judge(asked: list[dict[str, str]]) -> str:
        text = asked[-1]["content"]
        a = text.split("Answer A:\n" if "Answer A:" in text else "回答 A：\n")[1].split("\n\n")[0]
        return '{"better": "A"}' if always_first or prefers in a else '{"better": "B"}'

    return judge


def several(chat: Context, judge: Any) -> tuple[list[Record], Records, list[Any]]:
    kinds = itertools.cycle(["A GOOD answer, all said.", "A poor answer, so far."])
    with teacher(lambda _: next(kinds)) as (asked, _), teacher(judge) as (chair, seen):
        asked = {**asked, "temperature": 0.8, "concurrency": 1}
        records = preferences(questions(), chat, source="teachers", teacher=asked, judge=chair)
        return pairs(records), records, seen


def test_several_answers_are_judged_in_both_orders(chat: Context) -> None:
    made, records, seen = several(chat, judge_of("GOOD"))
    assert [one.messages[-1]["content"] for one in made if one.messages] == ["A GOOD answer, all said."] * 4
    assert all(one.meta["rejected"].startswith("A poor") and one.meta["margin"] == 1.0 for one in made)
    assert len(seen) == 8, "each pair once in each order"
    facts = records.facts["preferences"]["judge"]
    assert facts["decided"] == 4 and facts["first_wins"] == 0.5
    assert any("回答 A" in turns[-1]["content"] for turns in seen), "a Chinese question is judged in Chinese"


def test_a_judge_that_likes_what_stands_first_decides_nothing(chat: Context) -> None:
    made, records, _ = several(chat, judge_of("", always_first=True))
    assert made == [] and records.facts["makers"][-1]["refused"] == {"the judge does not decide": 4}
    assert records.facts["preferences"]["judge"]["first_wins"] == 1.0


def test_the_strong_model_over_the_weak_one(chat: Context) -> None:
    with (
        teacher(lambda turns: f"In full: {turns[-1]['content']} is answered here.") as (strong, _),
        teacher(lambda _: "dunno") as (weak, _),
    ):
        records = preferences(questions(), chat, source="models", teacher=strong, weaker=weak)
        made = pairs(records)
        assert len(made) == 4 and {one.meta["rejected"] for one in made} == {"dunno"} and made[0].confidence is None
        with teacher(judge_of("dunno")) as (chair, _):
            judged = preferences(questions(), chat, source="models", teacher=strong, weaker=weak, judge=chair)
            assert pairs(judged) == []
    assert judged.facts["makers"][-1]["refused"] == {"the judge prefers the weaker model": 4}


def test_length_alone_is_worth_what_a_regression_says() -> None:
    draw = np.random.default_rng(0)
    words = draw.uniform(-1, 1, 4000)
    scores = np.where(draw.random(4000) < 1 / (1 + np.exp(-2.0 * words)), 1.0, -1.0)
    assert length_slope(scores, words) == pytest.approx(2.0, abs=0.15), "the log odds it was made with"
    assert length_slope(np.where(draw.random(4000) < 0.5, 1.0, -1.0), words) == pytest.approx(0.0, abs=0.15)
    assert length_slope(scores[:19], words[:19]) == 0.0, "too few to say"


@given(st.permutations(["best", "middle", "worst"]))
def test_the_best_of_several_over_the_worst(order: list[str]) -> None:
    rank = {"best": 2, "middle": 1, "worst": 0}
    fought = [
        (Duel(0, a, b, [], "en"), float(np.sign(rank[a] - rank[b])), 0.9) for a, b in itertools.combinations(order, 2)
    ]
    assert best_and_worst(fought) == ("best", "worst", 1.0, 0.9)
    undecided = [(duel, 0.0 if {duel.a, duel.b} == {"best", "worst"} else score, sure) for duel, score, sure in fought]
    assert best_and_worst(undecided) is None


def test_verdicts_are_read() -> None:
    ask = Question("q", [])
    assert read_verdict('{"better": "A"}', ask) == 1.0 and read_verdict('```json\n{"better": "b"}\n```', ask) == -1.0
    assert read_verdict('{"better": "平局"}', ask) == 0.0 and read_verdict("B", ask) == -1.0
    for text in ("", "I like C more", '{"score": 3}'):
        with pytest.raises(ValueError):
            read_verdict(text, ask)


def test_mistakes_of_the_spec_are_told(tmp_path: Path) -> None:
    path = tmp_path / "burnish.yaml"
    head = "task: {type: chat}\nsources: {use: jsonl, path: a.jsonl}\nconstruct:\n"
    local = '{base_url: "http://127.0.0.1:1/v1", model: m}'
    for step, says in (
        ("{use: preferences, source: teachers}", "construct.preferences from teachers needs a teacher"),
        (
            f"{{use: preferences, source: models, teacher: {local}}}",
            "construct.preferences from models needs a teacher",
        ),
        (
            f"{{use: preferences, source: teachers, teacher: {local}, answers: 1}}",
            "one answer has nothing to be compared with",
        ),
        (f"{{use: preferences, source: teachers, teacher: {local}}}", "at temperature 0 it says the same again"),
        (f"{{use: preferences, source: edits, teacher: {local}}}", "edits ask nobody"),
    ):
        path.write_text(head + f"  - {step}\n")
        with pytest.raises(SpecError) as caught:
            load(path)
        assert says in str(caught.value)
