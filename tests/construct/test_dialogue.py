"""Logs of customer service become conversations: who speaks, what nobody said, what is personal, how it ended."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taught import backbone

from burnish.construct.chats.answers import Answers, rated, resolved, standing
from burnish.construct.chats.dialogue import dialogue
from burnish.construct.chats.speakers import Silence, canned_answers, name_of, role_of
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, SpecError
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec
from burnish.measures.conversations import problem
from burnish.tasks.chat import Task

SHARED = Path(__file__).parents[3] / "shared" / "data"
Line = tuple[str, str, str]


@pytest.fixture
def chat(context: Context) -> Context:
    return replace(context, task=TaskSpec("chat", languages=("en", "zh")))


def log(*lines: Line, **meta: Any) -> Records:
    """(conversation, speaker, text), a minute apart."""
    began = datetime(2024, 1, 1, tzinfo=UTC)
    return Records.from_rows(
        Record(
            text=text, id=f"m{at}", group=talk, time=began + timedelta(minutes=at), language="zh", licence="L",
            source="log", meta={"speaker": who, **meta},
        )
        for at, (talk, who, text) in enumerate(lines)
    )  # fmt: skip


def made_of(records: Iterable[Record]) -> list[Record]:
    return [one for one in records if one.label_from == "construct.dialogue"]


def said(record: Record) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in record.messages or ()]


def refused(records: Records) -> dict[str, int]:
    found: dict[str, int] = records.facts["makers"][-1]["refused"]
    return found


def test_a_conversation_is_cleaned_merged_masked_and_traced(chat: Context) -> None:
    records = dialogue(
        log(
            ("c1", "系统", "会话开始"),
            ("c1", "客服小李", "您好，欢迎光临小店"),
            ("c1", "王芳(客户)", "在吗"),
            ("c1", "王芳(客户)", "订单没到，打我13812345678"),
            ("c1", "客服小李", "请稍等"),
            ("c1", "客服小李", "王芳您好，已寄到北京市海淀区中关村大街27号"),
            ("c1", "客服小李", "明天到"),
            ("c1", "王芳(客户)", "好"),
            ("c1", "系统", "会话已结束"),
        ),
        chat,
    )
    rows = list(records)
    made = rows[-1]
    assert said(made) == [
        ("user", "在吗\n订单没到，打我[PHONE]"),
        ("assistant", "[NAME]您好，已寄到[ADDRESS]\n明天到"),
    ]
    assert made.group == "c1" and made.language == "zh" and made.licence == "L" and made.source == "log"
    assert made.meta["made_from"] == [f"m{at}" for at in range(9)]
    assert made.trail == [
        "construct.dialogue: 9 messages of 'c1' became 2 turns; left out system notice 2, automatic reply 2, "
        "question without an answer at the end 1; masked phone 1, name 1, address 1"
    ]
    assert Task(chat.task).problem(made) is None
    log_rows = rows[:-1]
    assert not any(one.keep for one in log_rows) and all(one.findings[0]["check"] == "material" for one in log_rows)
    assert (
        log_rows[3].trail == ["construct.dialogue: personal data masked"]
        and log_rows[6].trail != []
        and not log_rows[0].trail
    )
    assert "13812345678" not in json.dumps([one.row() for one in rows], default=str), "the log passes masked as well"
    assert "王芳" not in json.dumps([one.row() for one in rows], default=str, ensure_ascii=False)


def test_what_is_no_conversation_is_refused_with_its_reason(chat: Context) -> None:
    records = dialogue(
        log(
            ("good", "Customer", "Where is my parcel?"),
            ("good", "Agent", "On its way."),
            ("ask", "Customer", "Hello? Is anybody there?"),
            ("tell", "Agent", "We have news for you all."),
            ("quiet", "Customer", "  "),
            ("who", "X", "Blah blah blah"),
            ("who", "Y", "Blah blah"),
        ),
        chat,
    )
    rows = list(records)
    assert [said(one) for one in made_of(rows)] == [[("user", "Where is my parcel?"), ("assistant", "On its way.")]]
    assert refused(records) == {
        "one-sided: nobody answers": 1,
        "one-sided: nobody asks": 1,
        "empty conversation": 1,
        "speaker of unknown role": 1,
    }
    reasons = {one.id: one.findings[0]["reason"] for one in rows if one.findings}
    assert reasons["m2"] == "refused: one-sided: nobody answers" and reasons["m0"].endswith("made 1 of it")


def test_who_is_not_known_takes_the_role_nobody_else_has(chat: Context) -> None:
    records = dialogue(log(("c", "tb_4711", "有货吗"), ("c", "卖家", "有的，亲")), chat)
    assert said(made_of(records)[0]) == [("user", "有货吗"), ("assistant", "有的，亲")]


def test_roles_of_the_spec_come_first(chat: Context) -> None:
    lines: Sequence[Line] = (("c", "A", "How long?"), ("c", "B", "Two days."), ("c", "robot", "I am a robot."))
    with pytest.raises(
        BurnishError, match="no conversation has speakers whose roles are known; the commonest are 'A', 'B'"
    ) as caught:
        dialogue(log(*lines[:2]), chat)
    assert "roles: {A: user, ...}" in caught.value.hint
    records = dialogue(log(*lines), chat, roles={"a": "user", "B": "assistant", "robot": "skip"})
    assert said(made_of(records)[0]) == [("user", "How long?"), ("assistant", "Two days.")]
    assert records.facts["conversations"]["left_out"] == {"skipped speaker": 1}


def test_messages_of_any_roles_are_a_log_too(chat: Context) -> None:
    talk = [
        {"role": "system", "content": "Be short."}, {"role": "usr", "content": "Where?"}, {"role": "sys", "content": "Here."},
    ]  # fmt: skip
    records = dialogue(Records.from_rows([Record(id="r", messages=talk)]), chat)
    assert said(made_of(records)[0]) == [("system", "Be short."), ("user", "Where?"), ("assistant", "Here.")]


def test_time_orders_and_a_long_pause_parts(chat: Context) -> None:
    rows = list(log(("c", "user", "One?"), ("c", "agent", "Yes."), ("c", "user", "Two?"), ("c", "agent", "No.")))
    rows[2].time += timedelta(days=1)
    rows[3].time += timedelta(days=1)
    shuffled = Records.from_rows([rows[3], rows[0], rows[2], rows[1]])
    whole = made_of(dialogue(shuffled, chat))
    parted = made_of(dialogue(shuffled, chat, pause=12))
    assert [len(one.messages or ()) for one in whole] == [4] and [len(one.messages or ()) for one in parted] == [2, 2]
    assert parted[0].messages[0]["content"] == "One?" and {one.group for one in parted} == {"c"}


def test_a_sentence_said_word_for_word_everywhere_is_sent_by_itself(chat: Context) -> None:
    lines = [
        line
        for at in range(8)
        for line in (
            (f"c{at}", "user", f"Question {at}?"),
            (f"c{at}", "agent", "This is the desk of the grand hotel speaking."),
            (f"c{at}", "agent", f"Answer {at}."),
        )
    ]
    made = made_of(dialogue(log(*lines), chat))
    assert [one.messages[-1]["content"] for one in made] == [f"Answer {at}." for at in range(8)]
    kept = made_of(dialogue(log(*lines), chat, canned=1.0))
    assert kept[0].messages[-1]["content"].startswith("This is the desk")
    assert canned_answers([["不客气"]] * 10, share=0.1) == frozenset(), "courtesies are typed that often"


def test_outcome_is_what_the_log_says_of_it(chat: Context) -> None:
    records = dialogue(
        log(("c", "user", "How long?"), ("c", "agent", "Two days."), solved="已解决", stars=3),
        chat, resolved="meta.solved", rating="meta.stars",
    )  # fmt: skip
    made = made_of(records)[0]
    assert made.meta["outcome"] == 0.75 and made.confidence == 0.75, "solved is 1, three of five stars 0.5"
    assert (
        resolved("no") == 0.0
        and resolved("maybe") is None
        and rated("满意", best=5) == 1.0
        and rated(7, best=5) is None
    )


def test_how_high_an_answer_stands() -> None:
    assert standing([1.0]) == pytest.approx(0.2065, abs=1e-4), "Wilson's lower end of 1 of 1"
    assert standing([1.0] * 8 + [0.0] * 2) == pytest.approx(0.4902, abs=1e-4)
    assert standing([]) == 0.0
    texts = ["Take the red bus to town."] * 6 + ["Walk along the river for an hour."] * 2
    nobody_knows = Answers(texts, [None] * 8).ranked(range(8))
    assert [len(one.rows) for one in nobody_knows] == [6, 2], "where nobody knows it is frequency that decides"
    known = Answers(texts, [0.0] * 6 + [1.0] * 2).ranked(range(8))
    assert known[0].text.startswith("Walk") and known[0].outcome == 1.0


def test_best_keeps_the_conversation_with_the_best_answer(chat: Context, tmp_path: Path) -> None:
    lines, solved = [], []
    for at in range(6):
        lines += [(f"c{at}", "user", "How do I return the shoes?"), (f"c{at}", "agent", "Bring them back to any shop." if at < 4 else "Ask somebody else about that.")]  # fmt: skip
        solved += [at < 4] * 2
    lines += [("d", "user", "When do you open on Sunday?"), ("d", "agent", "At noon.")]
    rows = list(log(*lines))
    for row, fine in zip(rows, solved, strict=False):
        row.meta["solved"] = fine
    folder = backbone(tmp_path / "bert", [text for _, _, text in lines])
    records = dialogue(
        Records.from_rows(rows), chat, resolved="meta.solved", answers="best", alike=0.9, backbone=str(folder)
    )  # type: ignore[arg-type]
    assert sorted(one.messages[-1]["content"] for one in made_of(records)) == [
        "At noon.",
        "Bring them back to any shop.",
    ]
    assert refused(records) == {"a like question has a better answer": 5}


@pytest.mark.parametrize(
    ("speaker", "role", "name"),
    [
        ("客服", "assistant", None), ("客服小王", "assistant", "小王"), ("用户_12", "user", None), ("李娜(客户)", "user", "李娜"),
        ("客户服务", "assistant", None), ("客户经理", "assistant", None), ("Agent 007", "assistant", None),
        ("Ann Lee (support)", "assistant", "Ann Lee"), ("System", "system", None), ("VISITOR-3", "user", None),
        ("user agent", None, None), ("Zoe", None, "Zoe"),
    ],
)  # fmt: skip
def test_role_words(speaker: str, role: str | None, name: str | None) -> None:
    assert role_of(speaker, {}) == role and name_of(speaker) == name


@pytest.mark.parametrize(
    ("text", "role", "why"),
    [
        ("Anna has joined the chat", "user", "system notice"), ("[图片]", "user", "system notice"),
        ("正在为您转接人工客服", "assistant", "system notice"), ("请对本次服务进行评价", "assistant", "system notice"),
        ("Thank you for contacting ACME support!", "assistant", "automatic reply"),
        ("当前人工客服繁忙，请稍后再试", "assistant", "automatic reply"), ("稍等", "assistant", "automatic reply"),
        ("One moment please", "assistant", "automatic reply"), ("稍等", "user", None),
        ("请稍等三天再试，因为系统在升级", "assistant", None), ("The image is broken", "user", None),
        ("Thank you for your help", "user", None), ("您好，您的退款已经到账", "assistant", None),
    ],
)  # fmt: skip
def test_what_nobody_says(text: str, role: str, why: str | None) -> None:
    assert Silence().why(text, role) == why


def test_mistakes_of_the_spec_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "burnish.yaml"
    path.write_text(
        "task: {type: chat, languages: [zh]}\nsources: {use: jsonl, path: a.jsonl}\nconstruct:\n"
        "  - use: dialogue\n    speaker: who\n    mask: [phones]\n"
    )
    with pytest.raises(SpecError) as caught:
        load(path)
    told = str(caught.value)
    assert (
        "records have no field 'who'" in told
        and "no kind of personal data 'phones'" in told
        and "did you mean 'phone'?" in told
    )


SPEAKERS = st.sampled_from(["客户", "Agent", "系统", "bot", "X9", "小王"])
WORDS = st.sampled_from(
    [
        "在吗",
        "One moment please",
        "[图片]",
        " ",
        "",
        "我叫王小明",
        "13812345678",
        "It is on its way.",
        "谢谢\n",
        "\u200b",
    ]
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), SPEAKERS, WORDS), max_size=14))
def test_any_log_gives_sound_conversations_and_loses_nothing(chat: Context, lines: list[Line]) -> None:
    lines = [("sound", "客户", "几点开门？"), ("sound", "客服", "九点。"), *lines]
    records = dialogue(log(*lines), chat)
    rows = list(records)
    made = made_of(rows)
    assert all(problem(one.messages) is None for one in made)
    assert len(rows) == len(lines) + len(made) and len({one.id for one in rows}) == len(rows)
    assert len(made) + sum(refused(records).values()) == len({name for name, _, _ in lines})
    assert "13812345678" not in str([one.row() for one in rows])


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "crosswoz-zh").exists(), reason="needs ../shared/data/crosswoz-zh")
def test_real_dialogues_stay_whole(chat: Context) -> None:
    with zipfile.ZipFile(SHARED / "crosswoz-zh" / "val.json.zip") as archive:
        found = json.loads(archive.read("val.json"))
    rows = [
        Record(id=name, messages=[{"role": one["role"], "content": one["content"]} for one in talk["messages"]])
        for name, talk in list(found.items())[:100]
    ]
    records = dialogue(Records.from_rows(rows), chat)
    made = made_of(records)
    assert len(made) == 100 and all(problem(one.messages) is None for one in made)
    before, after = sum(len(one.messages or ()) for one in rows), sum(len(one.messages or ()) for one in made)
    assert after >= 0.95 * before, "turns of people are not taken for notices"
    assert records.facts["conversations"]["masked_values"]["phone"] > 30
