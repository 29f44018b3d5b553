"""Records that hold a test record are set aside, with the proof; splits keep together what was made of one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec, find

NEWS = "The ministry said on Monday that the new bridge over the river would open in March after two years of delay."
REVIEW = "这家酒店的位置非常好，离地铁站只有五分钟，前台服务也很热情，下次来还会再住。"
OTHERS = [
    ("Shares of the carmaker fell after it recalled a hundred thousand vans for a fault in their brakes.", "en"),
    ("电池用了半年就不行了，客服一直推脱，非常失望，再也不会买这个牌子。", "zh"),
    ("The band announced a summer tour of eleven cities, beginning in Lisbon at the end of June.", "en"),
]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(
        TaskSpec(labels=("x", "y"), languages=("en", "zh")), 0, tmp_path, tmp_path / "s", tmp_path / "c", Silent()
    )


def cleaned(context: Context, records: list[Record], tests: list[dict[str, Any]], **settings: Any) -> Records:
    file = context.base / "test.jsonl"
    file.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in tests), encoding="utf-8")
    made = find("split", "decontaminate").run(Records.from_rows(records), context, path=file, **settings)
    folder = context.base / f"made{len(list(context.base.iterdir()))}"
    folder.mkdir()
    made.save(folder)
    return Records.open(folder)


PLANTED = {
    "exact": [NEWS.upper(), f" {REVIEW}\u3000"],
    "template": [
        'Transfer 250 euros to "Anna Berg" before 14 May please, she waits.',
        "请在15日之前把300元转到“张三”的账户里。",
    ],
    "runs": [
        f"Some words in front of it. {NEWS} And a long tail that goes on about other things, so that no whole text is near.",
        f"今天天气不错，我们出去走了走，晚上才回来。{REVIEW}另外，孩子们也都很喜欢，周末人会比较多。" * 1,
    ],
    "near": [
        NEWS.replace("Monday", "Friday").replace("March", "May"),
        REVIEW.replace("五", "六").replace("热情", "周到"),
    ],
}


@pytest.mark.parametrize("way", PLANTED)
def test_a_planted_leak_is_found_in_both_languages(way: str, context: Context) -> None:
    tests = [{"id": "news", "text": NEWS}, {"id": "review", "text": REVIEW},
             {"id": "t1", "text": "Transfer 90 euros to \"Bo Li\" before 2 May please, she waits."},
             {"id": "t2", "text": "请在3日之前把45元转到“李四”的账户里。"}]  # fmt: skip
    leaks = [Record(id=f"leak{at}", text=text, label="x") for at, text in enumerate(PLANTED[way])]
    good = [Record(id=f"good{at}", text=text, label="y", language=code) for at, (text, code) in enumerate(OTHERS)]
    made = cleaned(context, [*good, *leaks], tests, name="exam")
    aside = {record.id: record.findings[-1] for record in made if not record.keep}
    assert set(aside) == {"leak0", "leak1"}
    told = made.facts["decontaminated"][-1]
    assert told["by"] == ({way: 2} if way != "near" else told["by"]) and sum(told["by"].values()) == 2
    assert told["set_aside"] == 2 and told["test_records_met"] == 2 and told["leaks_after"] == 0
    assert all(one["check"] == "contamination" and "of exam" in one["reason"] for one in aside.values())
    shown = {pair["record"]: pair["test"] for pairs in told["pairs"].values() for pair in pairs}
    assert shown == ({"leak0": "t1", "leak1": "t2"} if way == "template" else {"leak0": "news", "leak1": "review"})
    assert all("split.decontaminate" in record.trail[-1] for record in made if not record.keep)


def test_every_field_of_input_and_target_is_looked_at(context: Context) -> None:
    """Where a test text stands does not matter: as context, as an answer of the assistant, as output."""
    turns = [
        {"role": "system", "content": NEWS},
        {"role": "user", "content": "Any news?"},
        {"role": "assistant", "content": NEWS},
    ]
    records = [
        Record(id="context", text="When does it open?", text_b=NEWS, answer={"text": "in March", "start": 75}),
        Record(id="output", text="Write about a bridge.", output=NEWS),
        Record(id="turn", messages=turns[1:]),
        Record(id="system", messages=[turns[0], turns[1], {"role": "assistant", "content": "None."}]),
    ]
    made = cleaned(context, records, [{"id": "q", "text": "What happened?", "text_b": NEWS}])
    assert {record.id for record in made if not record.keep} == {
        "context",
        "output",
        "turn",
    }  # a system turn is nobody's text
    assert made.facts["decontaminated"][0]["looked_at"] == {"text": 1, "text_b": 1}


def test_an_instruction_that_the_whole_test_set_shares_is_no_leak(context: Context) -> None:
    same = "Say whether the following review is positive or negative and answer with one word only please."
    tests = [{"text": f"{OTHERS[at % 3][0]} ({at}a)", "text_b": same} for at in range(40)]
    made = cleaned(context, [Record(id="r", text=NEWS, text_b=same)], tests)
    assert [record.findings for record in made] == [[]]
    assert made.facts["decontaminated"][0]["boilerplate"] == 1


def test_several_test_sets_leave_a_proof_each(context: Context) -> None:
    first = cleaned(context, [Record(id="a", text=NEWS), Record(id="b", text=REVIEW)], [{"text": NEWS}], name="one")
    file = context.base / "two.csv"
    file.write_text("sentence,label\n" + REVIEW + ",x\n", encoding="utf-8")
    made = find("split", "decontaminate").run(first, context, path=file, name="two", fields={"text": "sentence"})
    assert [record.keep for record in made] == [False, False]
    assert [(one["test_set"], one["set_aside"]) for one in made.facts["decontaminated"]] == [("one", 1), ("two", 1)]
    assert made.facts["decontaminated"][1]["records_looked_at"] == 1


def test_a_test_set_that_cannot_be_read_whole_is_an_error(context: Context) -> None:
    file = context.base / "x.jsonl"
    file.write_text('{"text": "fine"}\n{broken\n', encoding="utf-8")
    with pytest.raises(DataError, match="nothing could be said"):
        find("split", "decontaminate").run(Records.from_rows([Record(id="a", text="b")]), context, path=file)


@pytest.mark.weights
def test_a_paraphrase_is_found_by_meaning(context: Context) -> None:
    said = ["A man is riding a horse along the beach.", "Prices of oil rose sharply on Tuesday."]
    records = [
        Record(id="p", text="Along the beach, a man rides on horseback."),
        Record(id="o", text="Children are playing chess in a school."),
    ]
    tests = [{"id": str(at), "text": text} for at, text in enumerate(said)]
    assert all(record.keep for record in cleaned(context, records, tests))
    made = cleaned(context, records, tests, meaning=0.6)
    assert {record.id: record.keep for record in made} == {"p": False, "o": True}
    assert made.facts["decontaminated"][0]["by"] == {"meaning": 1}


# what a split keeps together


def sides(context: Context, records: list[Record]) -> dict[str, str]:
    split = find("split", "stratified").run(Records.from_rows(records), None, context, test=0.3, validation=0.2)
    return {one.id or "": side for side in ("train", "validation", "test") for one in getattr(split, side)}


def several(count: int) -> list[Record]:
    """Texts of which no two are alike."""
    rng = np.random.default_rng(1)
    words = ["".join(chr(97 + letter) for letter in rng.integers(26, size=7)) for _ in range(4000)]
    return [Record(id=f"r{at}", text=" ".join(rng.choice(words, 12)), label="xy"[at % 2]) for at in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_made_of_a_record_stays_with_it_and_its_siblings(seed: int, context: Context) -> None:
    records = several(60)
    for at in range(0, 30, 3):
        records[at + 1].meta = {"made_from": [records[at].id]}  # the parent takes part
        records[at + 2].meta = {"made_from": [f"gone{at}", records[at].id]}
    for at in range(30, 60, 2):
        records[at].meta = records[at + 1].meta = {"made_from": [f"material{at}"]}  # it does not
    found = sides(
        Context(context.task, seed, *(getattr(context, n) for n in ("base", "scratch", "cache", "progress"))), records
    )
    assert len(set(found.values())) == 3
    for at in range(0, 30, 3):
        assert len({found[f"r{at + more}"] for more in range(3)}) == 1
    for at in range(30, 60, 2):
        assert found[f"r{at}"] == found[f"r{at + 1}"]


def test_a_conversation_and_its_continuation_are_on_one_side(tmp_path: Path) -> None:
    context = Context(TaskSpec("chat", (), languages=("en",)), 0, tmp_path, tmp_path, tmp_path, Silent())
    texts = [record.text or "" for record in several(120)]
    records = []
    for at in range(30):
        asked, answer, more, last = texts[4 * at : 4 * at + 4]
        short = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        other = [
            {"role": "user", "content": asked.upper()},
            {"role": "assistant", "content": last},
        ]  # another answer to it
        whole = [*short, {"role": "user", "content": more}, {"role": "assistant", "content": last}]
        records += [
            Record(id=f"{name}{at}", messages=turns)
            for name, turns in (("short", short), ("other", other), ("whole", whole))
        ]
    found = sides(context, records)
    assert len(set(found.values())) == 3
    for at in range(30):
        assert len({found[f"{name}{at}"] for name in ("short", "other", "whole")}) == 1
