"""Instructions of a teacher: new, whole and answerable in English and Chinese, or refused with a reason."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from taught import teacher

from burnish.construct.chats.instructions import answer_problem, instruction_problem, size, with_input
from burnish.construct.chats.self_instruct import WAYS, evolve, self_instruct
from burnish.core.artifacts import Records
from burnish.core.errors import SpecError
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec, find
from burnish.tasks.chat import Task

SEEDS = [
    "解释什么是光合作用",
    "把下面的句子翻译成英文：我饿了",
    "写一首关于春天的短诗",
    "列出三种减少浪费的办法",
    "用一句话介绍北京",
    "比较茶和咖啡的好处",
    "为一家面馆起三个名字",
]


@pytest.fixture
def chat(context: Context) -> Context:
    return replace(context, task=TaskSpec("chat", languages=("zh",)))


def seeds(*texts: str, language: str = "zh") -> Records:
    return Records.from_rows(
        Record(text=one, id=f"s{at}", language=language, licence="CC0") for at, one in enumerate(texts or SEEDS)
    )


def of(records: list[Record], by: str) -> list[Record]:
    return [one for one in records if one.label_from == by]


TASKS = [
    "说明台风是怎样形成的",
    "给朋友写一封道歉信，说明迟到的原因",
    "从文中找出所有日期",
    "判断这条评论是好评还是差评",
    "设计一个周末的骑行路线",
    "把这段话改得更正式",
    "推荐五本适合孩子的书",
    "计算一个圆的面积并写出步骤",
]


def test_new_instructions_are_asked_for_filtered_and_answered(chat: Context) -> None:
    number = itertools.count()

    def answer(asked: list[dict[str, str]]) -> str:
        text = asked[-1]["content"]
        if "再想出" not in text:
            return "很抱歉，我无法回答。" if "道歉信" in text else f"回答如下：{text[:6]}就是这样的。"
        at = next(number)
        items: list[object] = [{"instruction": TASKS[(at * 2 + one) % len(TASKS)], "input": "无"} for one in (0, 1)]
        items += [
            {"instruction": SEEDS[0] + "呢"},
            "画一张春天的图片",
            "翻译",
            "Describe the sea in two sentences",
            {"instruction": "改写后的指令：写一首诗吧"},
        ]
        return "```json\n" + json.dumps(items, ensure_ascii=False) + "\n```"

    with teacher(answer) as (setting, seen):
        records = self_instruct(seeds(), chat, teacher=setting, count=6, each=4)
        rows = list(records)
    made = of(rows, "construct.self_instruct")
    assert 4 <= len(made) <= 6 and len({one.messages[0]["content"] for one in made if one.messages}) == len(made)
    assert all(Task(chat.task).problem(one) is None and one.language == "zh" and one.licence == "CC0" for one in made)
    assert all(set(one.meta["made_from"]) <= {f"s{at}" for at in range(7)} for one in made)
    asked = [one for one in (turns[-1]["content"] for turns in seen) if "再想出" in one]
    assert all(sum(seed in one for seed in SEEDS) >= 6 for one in asked), "six examples are people's"
    reasons = records.facts["makers"][-1]["refused"]
    assert {
        "like a known instruction",
        "asks for what a text cannot do",
        "instruction too short",
        "instruction in another language",
        "holds words of the prompt",
    } <= set(reasons)
    assert reasons["the teacher apologises"] == 1
    assert records.facts["self_instruct"]["teacher"]["questions"] == len(seen)
    assert "written by stub after" in made[0].trail[0]
    assert len(rows) == 7 + len(made)


def test_it_stops_where_nothing_new_comes(chat: Context) -> None:
    with teacher(lambda _: json.dumps(SEEDS, ensure_ascii=False)) as (setting, seen):
        records = self_instruct(seeds(), chat, teacher=setting, count=5, each=5, patience=2)
        assert len(list(records)) == 7 and len(seen) == 2
    assert records.facts["makers"][-1]["refused"] == {"like a known instruction": 14}


def test_a_second_run_asks_nothing_again(chat: Context) -> None:
    with teacher(
        lambda turns: (
            json.dumps(TASKS, ensure_ascii=False) if "再想出" in turns[-1]["content"] else "好的，就这样做吧。"
        )
    ) as (setting, seen):
        first = list(self_instruct(seeds(), chat, teacher=setting, count=4))
        times = len(seen)
        again = list(self_instruct(seeds(), chat, teacher=setting, count=4))
    assert len(seen) == times and [one.row() for one in first] == [one.row() for one in again]


def test_what_is_broken_lands_in_the_quarantine(chat: Context, tmp_path: Path) -> None:
    with teacher(lambda _: "I would rather not.") as (setting, _):
        records = self_instruct(seeds(), chat, teacher=setting, count=3, patience=1)
        (tmp_path / "out").mkdir()
        counts = records.save(tmp_path / "out")
    assert counts["quarantined"] == 1 and records.facts["makers"][-1]["refused"] == {"no usable answer": 1}


def test_instructions_evolve_round_after_round(chat: Context) -> None:
    more = itertools.count()

    def answer(asked: list[dict[str, str]]) -> str:
        text = asked[-1]["content"]
        if "指令：" not in text:
            return "这里是一个足够长的回答。"
        given = text.split("指令：\n")[1].split("\n\n")[0]
        if "北京" in given:
            return given  # hardly changed
        if "启发" in text:
            return [
                "说说大熊猫为什么爱吃竹子",
                "讲讲古人怎样测量一天的时间",
                "鲸鱼睡觉时怎么呼吸",
                "为什么海水是咸的而河水不是",
            ][next(more) % 4]
        return given + "，并且逐条说明理由，再举两个生活中的例子，最后总结成一张清单"

    with teacher(answer) as (setting, _seen):
        records = evolve(seeds(*SEEDS[:5]), chat, teacher=setting, rounds=2)
        rows = list(records)
    made = of(rows, "construct.evolve")
    assert made and {one.meta["generation"] for one in made} <= {1, 2}
    assert all(one.meta["way"] in WAYS and one.meta["before"] and len(one.meta["made_from"]) == 1 for one in made)
    assert records.facts["makers"][-1]["refused"]["hardly changed"] >= 1
    assert Counter(one.meta["way"] for one in made) == Counter(records.facts["evolve"]["ways"])
    assert all(Task(chat.task).problem(one) is None for one in made)
    assert {one.group for one in made} <= {f"s{at}" for at in range(5)}, "a child stays with its parent in a split"


@pytest.mark.parametrize(
    ("text", "language", "says"),
    [
        ("解释什么是光合作用", "zh", None), ("Explain photosynthesis to a child", "en", None), ("“守株待兔”是什么意思？", "zh", None),
        ("翻译", "zh", "instruction too short"), ("Do it", "en", "instruction too short"), ("", "zh", "empty instruction"),
        ("解" * 300, "zh", "instruction too long"), ("，然后写一首诗吧", "zh", "instruction begins with a mark"),
        ("请画一幅山水画给我", "zh", "asks for what a text cannot do"), ("Draw a map of Paris now", "en", "asks for what a text cannot do"),
        ("Drawbacks of nuclear power, please", "en", None), ("Describe the sea in two sentences", "zh", "instruction in another language"),
        ("用 Python 写一个排序函数", "zh", None), ("Rewritten prompt: tell me a joke", "en", "holds words of the prompt"),
    ],
)  # fmt: skip
def test_what_is_no_instruction(text: str, language: str, says: str | None) -> None:
    assert instruction_problem(text, language=language) == says


def test_what_is_no_answer() -> None:
    assert answer_problem("光合作用把光变成糖。", "解释光合作用") is None
    assert answer_problem("抱歉，我无法提供。", "问") == "the teacher apologises"
    assert answer_problem("I'm sorry, but I can't do that.", "x") == "the teacher apologises"
    assert answer_problem("He said sorry to her and left.", "x") is None
    assert (
        answer_problem("……！", "x") == "empty answer"
        and answer_problem("你好吗", "你好吗 ") == "answer repeats the instruction"
    )
    assert answer_problem("we go on " * 40, "x") == "answer goes round in circles"


def test_a_chinese_character_is_part_of_a_word() -> None:
    assert size("写一首关于春天的诗") == pytest.approx(9 / 1.6) and size("Write a poem") == 3
    assert with_input({"instruction": "翻译", "input": "<noinput>"}) == "翻译"
    assert with_input({"指令": "翻译", "输入": "我饿了"}) == "翻译\n\n我饿了"
    with pytest.raises(ValueError, match='needs an "instruction"'):
        with_input({"output": "x"})


def test_what_the_prompts_say_is_part_of_the_key() -> None:
    ways = find("construct", "evolve").settings["ways"]
    task = TaskSpec("chat", languages=("en", "zh"))
    said = ways.identity(["deepen"], task)
    assert [one["name"] for one in said] == ["evolve_deepen"] and {"en", "zh"} <= set(said[0])
    assert len(ways.identity(None, task)) == len(WAYS)


@pytest.mark.parametrize("use", ["self_instruct", "evolve"])
def test_without_a_teacher_it_says_how_to_name_one(tmp_path: Path, use: str) -> None:
    path = tmp_path / "burnish.yaml"
    path.write_text(f"task: {{type: chat}}\nsources: {{use: jsonl, path: a.jsonl}}\nconstruct:\n  - {{use: {use}}}\n")
    with pytest.raises(SpecError, match=rf"construct\.{use} needs a teacher"):
        load(path)
