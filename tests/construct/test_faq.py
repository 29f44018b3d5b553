"""Like questions of many conversations become one, with the answer that helped most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from taught import backbone

from burnish.construct.chats.faq import faq
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.tasks.chat import Task

RETURNS = [
    "How do I return the shoes?",
    "how do I return shoes",
    "How can I return the shoes?",
    "return the shoes how?",
]
HOURS = ["Until when is the office open on sunday?", "Is the office open on sunday?", "when is the office open sunday"]
CHINESE = ["怎么开发票", "怎么开发票？", "请问怎么开发票呢"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(backbone(tmp_path_factory.mktemp("bert"), [*RETURNS, *HOURS, *CHINESE]))


@pytest.fixture
def chat(context: Context) -> Context:
    return replace(context, task=TaskSpec("chat", languages=("en", "zh")))


def talk(name: str, question: str, answer: str, **fields: object) -> Record:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Record(id=name, group=name, messages=turns, **fields)  # type: ignore[arg-type]


def log() -> Records:
    rows = [
        talk(f"r{at}", one, "Bring them to any shop." if at else "Throw them away!") for at, one in enumerate(RETURNS)
    ]
    rows += [talk(f"h{at}", one, "From noon to six.", meta={"outcome": 1.0}) for at, one in enumerate(HOURS)]
    rows += [talk(f"z{at}", one, "在订单页点“开票”。", language="zh") for at, one in enumerate(CHINESE)]
    return Records.from_rows(
        [*rows, talk("x", "Something else altogether, unheard of", "Oh."), talk("y", "hi", "Hello.")]
    )


Faq = Callable[..., tuple[list[Record], Records]]


@pytest.fixture
def run(chat: Context, bert: str) -> Faq:
    def made(records: Records, **settings: object) -> tuple[list[Record], Records]:
        found = faq(records, chat, backbone=bert, **{"alike": 0.75, **settings})  # type: ignore[arg-type]
        rows = list(found)
        return [one for one in rows if one.label_from == "construct.faq"], found

    return made


def test_each_group_gives_one_pair_that_knows_what_it_is_made_of(run: Faq, chat: Context) -> None:
    made, records = run(log())
    by_answer = {one.messages[1]["content"]: one for one in made if one.messages}
    assert set(by_answer) == {"Bring them to any shop.", "From noon to six.", "在订单页点“开票”。"}
    shoes = by_answer["Bring them to any shop."]
    assert shoes.messages[0]["content"] in RETURNS and shoes.meta["members"] == RETURNS
    assert shoes.meta["support"] == 4 and shoes.meta["answer_support"] == 3 and shoes.meta["answers"] == 2
    assert shoes.meta["made_from"] == ["r0", "r1", "r2", "r3"] and "outcome" not in shoes.meta
    assert by_answer["From noon to six."].meta["outcome"] == 1.0
    assert by_answer["在订单页点“开票”。"].language == "zh" and by_answer["在订单页点“开票”。"].meta["wordings"] == 3
    assert all(Task(chat.task).problem(one) is None for one in made)
    assert records.facts["makers"][-1]["refused"] == {"question too short": 1, "asked fewer than 2 times": 1}
    assert records.facts["faq"]["groups"] == 4 and records.facts["faq"]["covered"] == pytest.approx(10 / 11)


def test_what_came_of_an_answer_goes_before_how_often_it_was_given(run: Faq) -> None:
    rows = [talk(f"r{at}", one, "Bring them to any shop." if at else "Throw them away!", meta={"outcome": 0.0 if at else 1.0}) for at, one in enumerate(RETURNS)]  # fmt: skip
    made, _ = run(Records.from_rows(rows))
    assert [one.messages[1]["content"] for one in made if one.messages] == ["Throw them away!"]


def test_every_wording_can_have_a_pair_and_pairs_can_be_text_and_output(run: Faq) -> None:
    made, _ = run(log(), wordings="all", form="output")
    shoes = [one for one in made if one.output == "Bring them to any shop."]
    assert [one.text for one in shoes] == RETURNS and len({one.group for one in shoes}) == 1


def test_agents_may_have_to_agree(run: Faq) -> None:
    made, records = run(log(), agree=0.8)
    assert len(made) == 2
    assert records.facts["makers"][-1]["refused"]["no answer that enough agents gave"] == 1


def test_every_exchange_counts_when_asked(run: Faq) -> None:
    turns = [*(talk("a", RETURNS[0], "One way.").messages or []), *(talk("b", HOURS[0], "Noon.").messages or [])]
    two = Records.from_rows([Record(id="a", messages=turns), Record(id="b", messages=turns)])
    assert len(run(two)[0]) == 1 and len(run(two, questions="every")[0]) == 2


def test_without_a_question_and_answer_it_says_what_to_do(run: Faq) -> None:
    with pytest.raises(BurnishError, match="no record has 'messages'") as caught:
        run(Records.from_rows([Record(text="only a text", id="t")]))
    assert "behind construct.dialogue" in caught.value.hint


def test_the_same_records_give_the_same_bytes(run: Faq, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        run(log())[1]
        faq_again = run(log())[0]
        Records.from_rows(faq_again).save(folder)
    assert (folders[0] / "records.parquet").read_bytes() == (folders[1] / "records.parquet").read_bytes()
