"""Questions made of texts: what is asked, that answers stand where they are said to, what is set aside, what has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream import answering

from burnish.construct.aggregate import aggregate
from burnish.construct.questions.asking import Candidate, asking_heading, candidates, cloze, definition, faq_pairs
from burnish.construct.questions.checks import round_trip, unanswerable
from burnish.construct.questions.makers import cloze_questions, definition_questions, faq_questions, heading_questions
from burnish.construct.questions.teacher_questions import teacher_questions
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task

EN = (
    "The tower was built in 1889 by Gustave Eiffel. It stands in Paris near the river Seine. In 1944 the engineers of "
    "Lyon repaired the broken lift of the tower. More than 6 million people visit the Champ de Mars each year."
)
ZH = "鲁迅于1881年出生在浙江绍兴。他著有小说集《呐喊》。人工智能是研究如何让机器模拟人类智能的一门学科。该校共有3200名学生。"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("question_answering", languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def saved(records: Records, folder: Path) -> Records:
    folder.mkdir(parents=True)
    records.save(folder)
    return Records.open(folder)


def question(text: str, context: str, answer: str, **more: object) -> Record:
    start = context.index(answer)
    return Record(
        text=text,
        text_b=context,
        answer={"text": answer, "start": start},
        label_from="construct.cloze_questions",
        **more,
    )  # type: ignore[arg-type]


def asks(text: str, answer: str, kind: str) -> str | None:
    start = text.index(answer)
    return cloze(text, Candidate(start, start + len(answer), kind), (0, len(text)))


def test_the_word_that_asks_stands_where_english_and_chinese_have_it() -> None:
    assert (
        asks("The tower was built in 1889 by an engineer.", "1889", "year")
        == "When was the tower built by an engineer?"
    )
    assert (
        asks("Gustave Eiffel built the tower for the fair.", "Gustave Eiffel", "name")
        == "What built the tower for the fair?"
    )
    assert (
        asks("The fair of the year was held in Paris", "Paris", "name")
        == "The fair of the year was held in which place?"
    )
    assert asks("鲁迅于1881年出生在绍兴。", "1881年", "date") == "鲁迅于哪一年出生在绍兴？"
    assert asks("鲁迅出生在绍兴这座城。", "绍兴", "place") == "鲁迅出生在哪里这座城？"
    assert asks("清华大学共有学生3200名。", "3200名", "number") == "清华大学共有学生多少名？"
    assert asks("他在1881年出生在绍兴。", "1881年", "date") is None  # nobody knows who he is
    assert asks("It was built in 1889 by an engineer.", "1889", "year") is None


def test_answers_are_dates_numbers_names_and_titles() -> None:
    assert [(EN[one.start : one.end], one.kind) for one in candidates(EN)] == [
        ("1889", "year"), ("Gustave Eiffel", "name"), ("Paris", "name"), ("Seine", "name"), ("1944", "year"),
        ("Lyon", "name"), ("6 million", "number"), ("Champ de Mars", "name"),
    ]  # fmt: skip
    found = {ZH[one.start : one.end]: one.kind for one in candidates(ZH)}
    assert found["1881年"] == "date" and found["《呐喊》"] == "title" and found["3200名"] == "number"
    assert found["鲁迅"] == "person" and found["浙江绍兴"] == "place"


def test_what_a_list_names_and_parts_of_names_are_not_asked_for() -> None:
    text = "展览在北京、上海、广州举行，由东京府主办。"
    assert not [one for one in candidates(text) if one.kind == "place"]
    assert not candidates("We met the British lace industry in winter")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*EN.split(". "), *ZH.split("。"), "Dr. No said: 3.14 (1999)", "《》1年", "…", "Q: x?"]),
        max_size=6,
    )
)
def test_every_answer_stands_where_it_is_said_to(parts: list[str]) -> None:
    text = ". ".join(parts)
    last = 0
    for one in candidates(text):
        assert last <= one.start < one.end <= len(text)
        last = one.end


def test_clozes_know_their_text_and_repeat_themselves(context: Context, tmp_path: Path) -> None:
    rows = [
        Record(text=EN, id="en", group="doc", language="en"),
        Record(text=ZH, id="zh", language="zh"),
        Record(text="Too short.", id="x"),
    ]
    made = saved(cloze_questions(Records.from_rows(rows), context, most=3), tmp_path / "a")
    born = [one for one in made if one.text_b is not None]
    task = open_task(context.task)
    assert len(born) == 6 and all(task.problem(one) is None for one in born)
    for one in born:
        assert one.answer and one.text_b and one.text
        assert one.text_b[one.answer["start"] :].startswith(one.answer["text"]) and one.answer["text"] not in one.text
        assert one.meta["made_from"] in (["en"], ["zh"]) and one.group in ("doc", "zh")
        assert one.label_from == "construct.cloze_questions" and "as answer" in one.trail[0]
    assert len({one.meta["kind"] for one in born if one.group == "doc"}) == 3  # kinds differ as far as it goes
    again = saved(cloze_questions(Records.from_rows(rows[::-1]), context, most=3), tmp_path / "b")
    assert {one.text for one in again} == {one.text for one in made}
    assert made.facts["makers"][0]["refused"] == {"no text, or a short one": 1}
    end = saved(aggregate(made, [], None, context), tmp_path / "end")
    assert {one.id for one in end if not one.keep} == {"en", "zh"}  # material is no record to learn from


def test_definitions_ask_what_something_is(context: Context, tmp_path: Path) -> None:
    def found(text: str) -> tuple[str, str] | None:
        made = definition(text, (0, len(text)))
        return None if made is None else (made[0], text[made[1] : made[2]])

    assert found("A heat pump is a device that moves heat from one place to another.") == (
        "What is a heat pump?",
        "a device that moves heat from one place to another",
    )
    assert found("人工智能（AI）是研究如何让机器模拟人类智能的一门学科。") == (
        "人工智能是什么？",
        "研究如何让机器模拟人类智能的一门学科",
    )
    assert found("This is a very good idea for the whole of the town.") is None
    assert found("由于它是一个大国，所以人口很多。") is None
    made = saved(definition_questions(Records.from_rows([Record(text=ZH)]), context), tmp_path / "a")
    assert [one.text for one in made if one.text_b] == ["人工智能是什么？"]


def test_headings_that_ask_are_questions(context: Context, tmp_path: Path) -> None:
    assert asking_heading("3.1 How do I return an item") == "How do I return an item?"
    assert asking_heading("二、如何退货") == "如何退货？" and asking_heading("Q1: Is it free?") == "Is it free?"
    assert asking_heading("Returns") is None
    text = "Go to your orders and press return. It is free.\n\nOther things follow in this second part."
    rows = [
        Record(text=text, meta={"headings": ["Shop", "How do I return an item?"]}),
        Record(text=text, meta={"headings": ["Shop", "Returns"]}),
    ]
    made = [one for one in saved(heading_questions(Records.from_rows(rows), context), tmp_path / "a") if one.text_b]
    assert [(one.text, (one.answer or {})["text"]) for one in made] == [
        ("How do I return an item?", text.split("\n\n")[0])
    ]
    plain = saved(heading_questions(Records.from_rows(rows), context, plain=True, max_answer=40), tmp_path / "b")
    assert [(one.text, (one.answer or {})["text"]) for one in plain if one.text_b][1] == (
        "Shop: Returns",
        "Go to your orders and press return.",
    )


def test_written_questions_are_mined_with_their_answers(context: Context, tmp_path: Path) -> None:
    text = "Q: Is delivery free?\nA: Yes, above 20 euros.\n\nQ: Can I pay cash?\nA: No, only by card."
    assert faq_pairs(text) == [("Is delivery free?", "Yes, above 20 euros."), ("Can I pay cash?", "No, only by card.")]
    assert faq_pairs("问：可以退货吗？\n答：七天之内可以。\n问题2：运费谁出？\n答案：买家。") == [
        ("可以退货吗？", "七天之内可以。"),
        ("运费谁出？", "买家。"),
    ]
    made = [
        one
        for one in saved(faq_questions(Records.from_rows([Record(text=text)]), context), tmp_path / "a")
        if one.text_b
    ]
    assert [(one.text, (one.answer or {})["text"]) for one in made] == faq_pairs(text)
    assert made[0].text_b == "Yes, above 20 euros.\n\nNo, only by card."  # the questions would mark the place


def test_round_trip_sets_aside_what_is_not_found_again(context: Context, tmp_path: Path) -> None:
    tower, bridge = (
        "The red tower was built in 1889. It is high.",
        "The old bridge was built in 1700. It is long. Ann saw it in 1701.",
    )
    rows = [
        question("When was the red tower built?", tower, "1889", id="good"),
        question("When was the old bridge built?", bridge, "1701", id="other sentence"),
        question("When was the red tower high and built?", bridge, "1700", id="other context"),
        Record(text="What is it?", text_b=tower, answer={"text": "high", "start": tower.index("high")}, id="given"),
    ]
    made = saved(round_trip(Records.from_rows(rows), context, top=1), tmp_path / "a")
    assert {one.id: one.keep for one in made} == {
        "good": True,
        "other sentence": False,
        "other context": False,
        "given": True,
    }
    by_id = {one.id: one for one in made}
    assert by_id["other sentence"].findings[0]["reason"] == "another sentence answers it as well"
    assert made.facts["makers"][0]["refused"] == {
        "another sentence answers it as well": 1,
        "its context is not among the first 1 for it": 1,
    }


def test_round_trip_asks_a_model(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from burnish.tasks import predictor

    class Reader:
        def predict(self, inputs: list[dict[str, str]]) -> list[dict[str, str]]:
            return [{"text": "in 1889" if "tower" in one["text"] else ""} for one in inputs]

    monkeypatch.setattr(predictor, "load", lambda path: Reader())
    rows = [
        question("When was the tower built?", "It was built in 1889.", "1889", id="a"),
        question("When was it?", "It was in 1700.", "1700", id="b"),
    ]
    made = saved(round_trip(Records.from_rows(rows), context, model=tmp_path, threshold=0.5), tmp_path / "a")
    assert {one.id: one.keep for one in made} == {"a": True, "b": False}  # F1 of "in 1889" with "1889" is 2/3


def test_questions_without_an_answer_look_as_if_they_had_one(context: Context, tmp_path: Path) -> None:
    one = "The red tower of Lyon was built in 1889 by Gustave Eiffel for the town."
    two = "The red bridge of Lyon was repaired in 1901 by Marie Curie for the town."
    rows = [
        question(
            "When was the red tower of Lyon built for the town?",
            one,
            "1889",
            id="1",
            group="doc",
            meta={"kind": "year"},
        ),
        question(
            "The red bridge of Lyon was repaired in what year by Marie Curie?",
            two,
            "1901",
            id="2",
            group="doc",
            meta={"kind": "year"},
        ),
    ]
    near = saved(unanswerable(Records.from_rows(rows), context, how=["near"], ratio=1.0), tmp_path / "near")
    found = {one.text: one for one in near if one.meta.get("is_impossible")}
    assert found[rows[0].text or ""].text_b == two and found[rows[0].text or ""].answer == {"text": "", "start": None}
    assert all(open_task(context.task).problem(one) is None for one in found.values())
    assert {one.group for one in found.values()} == {"doc"}
    swap = saved(unanswerable(Records.from_rows(rows), context, how=["swap"], ratio=1.0), tmp_path / "swap")
    changed = [one for one in swap if one.meta.get("is_impossible")]
    assert changed and all(one.text not in (rows[0].text, rows[1].text) for one in changed)
    assert "Gustave Eiffel" in (changed[-1].text or "") or "Gustave Eiffel" in (changed[0].text or "")


def test_an_answer_that_stands_in_the_near_text_makes_no_unanswerable_question(
    context: Context, tmp_path: Path
) -> None:
    one, two = "The tower was built in 1889 there.", "The tower was painted in 1889 there."
    rows = [
        question("When was the tower built?", one, "1889", group="d", meta={"kind": "year"}),
        question("x tower painted?", two, "1889", group="d"),
    ]
    made = saved(unanswerable(Records.from_rows(rows), context, how=["near"], ratio=1.0), tmp_path / "a")
    assert not [one for one in made if one.meta.get("is_impossible")]


# ---- answers by votes


def answer_votes(name: str, said: dict[int, tuple[str, int | None]], trust: float | None = None) -> Votes:
    rows = [
        {
            "row": row,
            "labeller": name,
            "confidence": 1.0,
            "text": text,
            "start": start,
            "end": None if start is None else start + len(text),
        }
        for row, (text, start) in said.items()
    ]
    return Votes([Labeller(name, "functions", trust=trust)], Votes.tabled(rows))


def test_answers_that_overlap_support_each_other(context: Context, tmp_path: Path) -> None:
    text = "It was in the spring of 1889 in Paris."
    rows = [Record(text="When?", text_b=text, id="1"), Record(text="Who?", text_b=text, id="2")]
    votes = [
        answer_votes("a", {0: ("the spring of 1889", 10)}), answer_votes("b", {0: ("spring of 1889", 14), 1: ("", None)}),
        answer_votes("c", {0: ("Paris", 32)}), answer_votes("d", {0: ("Paris", 32)}),
    ]  # fmt: skip
    plain = saved(aggregate(Records.from_rows(rows), votes, None, context, method="majority"), tmp_path / "a")
    made = saved(
        aggregate(
            Records.from_rows(rows), [*votes, answer_votes("e", {0: ("1889", 24)})], None, context, method="consensus"
        ),
        tmp_path / "b",
    )
    assert next(iter(plain)).answer == {"text": "Paris", "start": 32}
    found = list(made)
    assert found[0].answer == {"text": "the spring of 1889", "start": 10} and found[1].answer == {
        "text": "",
        "start": None,
    }
    assert found[0].confidence is not None and 0.3 < found[0].confidence < 0.8
    assert found[0].votes[0]["text"] == "the spring of 1889"


def test_gold_says_whose_answers_count(context: Context, tmp_path: Path) -> None:
    text = "It was in 1889 in Paris."
    gold = Gold.from_rows(
        Record(text=f"When {i}?", text_b=text, answer={"text": "1889", "start": 10}) for i in range(12)
    )
    assert isinstance(gold, Gold)
    good = answer_votes("good", {**{-1 - i: ("1889", 10) for i in range(12)}, 0: ("1889", 10)})
    bad = [answer_votes(f"bad{k}", {**{-1 - i: ("Paris", 18) for i in range(12)}, 0: ("Paris", 18)}) for k in range(2)]
    made = saved(
        aggregate(Records.from_rows([Record(text="When?", text_b=text)]), [good, *bad], gold, context), tmp_path / "a"
    )
    assert next(iter(made)).answer == {"text": "1889", "start": 10}
    assert made.facts["best_single"]["name"] == "good" and made.facts["gold"] == 12


# ---- a teacher's questions


def test_a_teacher_writes_questions_whose_answers_stand_in_the_text(context: Context, tmp_path: Path) -> None:
    def said(body: dict[str, Any], number: int) -> str:
        text = body["messages"][-1]["content"]
        if "Nothing" in text:
            return "no idea"
        if "绍兴" in text:
            return json.dumps({"questions": [{"question": "鲁迅在哪里出生？", "answer": "绍兴"}]}, ensure_ascii=False)
        return json.dumps(
            {
                "questions": [
                    {"question": "When was it built?", "answer": "1889"},
                    {"question": "By whom?", "answer": "Napoleon"},
                ]
            }
        )

    rows = [
        Record(text="The tower was built in 1889 by an engineer.", id="en", group="doc"),
        Record(text="鲁迅于一八八一年出生在浙江绍兴的一个没落的士大夫家庭，原名周樟寿，后改名周树人。", id="zh"),
        Record(text="Nothing of use stands in this text at all.", id="bad"),
    ]
    with answering(said) as server:
        made = saved(
            teacher_questions(
                saved(Records.from_rows(rows), tmp_path / "in"), context, teacher={"base_url": server.url, "model": "m"}
            ),
            tmp_path / "out",
        )
    born = [one for one in made if one.text_b is not None]
    assert [(one.text, (one.answer or {})["text"], one.group) for one in born] == [
        ("When was it built?", "1889", "doc"),
        ("鲁迅在哪里出生？", "绍兴", "zh"),
    ]
    row = made.facts["makers"][0]
    assert row["refused"]["an answer that does not stand in the text"] == 1 and row["made"] == 2
    assert made.facts["teacher"][0]["failures"] == 1 and made.quarantine() is not None  # asked twice, then set aside
