"""Sentence pairs: aligned out of documents, mined out of loose texts, filtered, written by a model."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taught
from hypothesis import given
from hypothesis import strategies as st

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.teacher import teacher
from burnish.construct.texts import back_translation as back
from burnish.construct.texts.align import align
from burnish.construct.texts.pair_filter import pair_filter
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec, find
from burnish.measures.sentence_alignment import by_length, by_vectors, cheapest, mine
from burnish.measures.translation_pairs import length_ratio, problem, usual_ratio
from burnish.text.numerals import figures, han_value, said, unsaid


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("translation", languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def saved(records: Records, folder: Path) -> tuple[list[Record], dict[str, Any]]:
    folder.mkdir()
    records.save(folder)
    found = Records.open(folder)
    return list(found), found.facts


# -- numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25,000", 25000), ("2.5万", 25000), ("twenty-five thousand", 25000), ("1.3亿人", 130_000_000), ("130 million", 130_000_000),
        ("两万五千", 25000), ("二〇二四年", 2024), ("一百零三", 103), ("October", 10), ("十月", 10), ("the third", 3), ("３", 3),
    ],
)  # fmt: skip
def test_a_number_is_the_same_in_figures_words_and_chinese(text: str, value: int) -> None:
    assert Fraction(value) in said(text)


def test_what_one_text_counts_the_other_must_say() -> None:
    assert unsaid("I have 3 cats", "我有三只猫") == []
    assert unsaid("I have 3 cats", "我有四只猫") == ["3"]
    assert unsaid("see you at 14", "see you at 2 p.m.") == []
    assert unsaid("He is 25.", "他二十五岁。") == [] and unsaid("A4 paper", "A4纸") == []


@given(st.integers(0, 99_999_999))
def test_chinese_numerals_are_read_back(number: int) -> None:
    assert han_value(_in_han(number)) == number


def _in_han(number: int) -> str:
    digits, steps = "零一二三四五六七八九", ("", "十", "百", "千")

    def section(part: int) -> str:
        out, zero = "", False
        for at in range(3, -1, -1):
            digit = part // 10**at % 10
            if digit:
                out += ("零" if zero and out else "") + digits[digit] + steps[at]
                zero = False
            else:
                zero = True
        return out

    high, low = divmod(number, 10_000)
    text = (section(high) + "万" if high else "") + (
        ("零" if high and low < 1000 else "") + section(low) if low else ""
    )
    return text or "零"


@given(st.text())
def test_reading_numbers_takes_any_text(text: str) -> None:
    assert unsaid(text, text) == [] and all(one >= 0 for one in figures(text))


# -- alignment


def test_the_cheapest_chain_by_hand() -> None:
    costs = {(1, 1): np.array([[0.0, 9], [9, 9]]), (1, 0): np.full((2, 3), 2.0), (0, 1): np.full((3, 2), 2.0)}
    assert cheapest(costs, 2, 2) == [((0, 1), (0, 1), 0.0), ((1, 1), (1, 2), 2.0), ((1, 2), (2, 2), 2.0)] or cheapest(
        costs, 2, 2
    ) == [((0, 1), (0, 1), 0.0), ((1, 2), (1, 1), 2.0), ((1, 2), (1, 2), 2.0)]
    assert sum(cost for *_, cost in cheapest(costs, 2, 2)) == 4.0


def test_lengths_alone_find_a_merged_sentence() -> None:
    beads = by_length([40, 20, 22, 60], [41, 43, 59], ratio=1.0)
    assert [bead.kind for bead in beads] == ["1-1", "2-1", "1-1"]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_beads_cover_every_sentence_once_in_order(n: int, m: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    sides = []
    for count in (n, m):
        own = {size: draw.normal(size=(max(count - size + 1, 0), 4)) for size in (1, 2)}
        sides.append({size: one / np.linalg.norm(one, axis=1, keepdims=True) for size, one in own.items()})
    for beads in (
        by_vectors(*sides, [9] * n, [7] * m),
        by_length(draw.integers(1, 80, n).tolist(), draw.integers(1, 80, m).tolist()),
    ):
        assert [at for bead in beads for at in range(*bead.source)] == list(range(n))
        assert [at for bead in beads for at in range(*bead.target)] == list(range(m))


def test_mined_pairs_are_each_others_best_and_strangers_have_no_margin() -> None:
    own = np.eye(6)
    source, target = own[:4], own[[2, 0, 4, 5]]
    pairs = mine(source + 0.1, target + 0.1, neighbours=2)
    assert {(a, b) for a, b, margin in pairs if margin > 1.2} == {(0, 1), (2, 0)}


MEANING = {"the cat sleeps": "猫在睡觉", "it rains today": "今天下雨", "i read a book": "我读一本书", "she sings": "她唱歌",
           "we walk home": "我们走回家", "trains are late": "火车晚点了"}  # fmt: skip


def embedded(texts: Sequence[str], *_: Any, **__: Any) -> np.ndarray:
    """A vector a text: the sum of the directions of the sentences in it, English and Chinese alike."""
    rows = []
    for text in texts:
        vector = np.full(64, 0.05)
        for english, chinese in MEANING.items():
            if english in text.lower() or chinese in text:
                vector += np.random.default_rng(zlib.crc32(english.encode())).normal(size=64)
        rows.append(vector / np.linalg.norm(vector))
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.nn.embeddings.embed", embedded)
    monkeypatch.setattr("burnish.nn.backbones.resolve", lambda *_, **__: Path("."))


EN = "The cat sleeps. It rains today. I read a book. She sings. We walk home."
ZH = "猫在睡觉。今天下雨，我读一本书。我们走回家。火车晚点了。"


def test_documents_of_a_group_become_pairs_that_know_where_from(
    context: Context, tmp_path: Path, vectors: None
) -> None:
    rows = [
        Record(EN, id="e", group="doc", language="en", licence="MIT"), Record(ZH, id="z", group="doc", language="zh-CN"),
        Record("Alone.", id="a", group="other", language="en"), Record("Bonjour.", id="f", group="doc", language="fr"),
        Record("Hi.", id="h", output="嗨。", group="doc"),
    ]  # fmt: skip
    found, facts = saved(align(Records.from_rows(rows), context), tmp_path / "out")
    pairs = [(one.text, one.output) for one in found[5:]]
    assert pairs == [
        ("The cat sleeps.", "猫在睡觉。"), ("It rains today. I read a book.", "今天下雨，我读一本书。"), ("We walk home.", "我们走回家。"),
    ]  # fmt: skip
    first = found[5]
    assert first.group == "doc" and first.meta["made_from"] == ["e", "z"] and first.licence == "MIT"
    assert first.label_from == "construct.align" and found[6].meta["bead"] == "2-1" and 0 < first.confidence <= 1
    assert [bool(one.findings) for one in found[:5]] == [True, True, False, False, False]
    refused = facts["makers"][0]["refused"]
    assert refused == {
        "one language alone": 1,
        "another language": 1,
        "no translation of it (en)": 1,
        "no translation of it (zh)": 1,
    }
    assert facts["made"]["construct.align"]["beads"]["2-1"] == 1


def test_a_record_with_both_sides_and_a_file_beside_the_records(
    context: Context, tmp_path: Path, vectors: None
) -> None:
    both = align(Records.from_rows([Record(EN, text_b=ZH, id="b")]), context)
    (tmp_path / "zh.txt").write_text(ZH.replace("。", "。\n"), "utf-8")
    beside = align(
        Records.from_rows([Record(line + ".", id=str(at)) for at, line in enumerate(EN.split(". "))]),
        context, path=tmp_path / "zh.txt",
    )  # fmt: skip
    one, two = (
        [(r.text, r.output) for r in saved(made, tmp_path / name)[0] if r.output]
        for made, name in ((both, "1"), (beside, "2"))
    )
    assert len(one) == 3 and one[0] == two[0] == ("The cat sleeps.", "猫在睡觉。") and one[1] == two[1]


def test_loose_texts_are_mined(context: Context, tmp_path: Path, vectors: None) -> None:
    rows = [
        Record("She sings. The cat sleeps.", id="e", language="en"),
        Record("火车晚点了。猫在睡觉。", id="z", language="zh"),
    ]
    found, facts = saved(align(Records.from_rows(rows), context, method="mine", margin=1.3), tmp_path / "out")
    assert [(one.text, one.output) for one in found[2:]] == [("The cat sleeps.", "猫在睡觉。")]
    assert sum(facts["makers"][0]["refused"].values()) == 1


def test_only_translation_is_aligned(context: Context) -> None:
    stage = find("construct", "align")
    assert stage.check is not None and stage.check({}, context.task) == []
    assert stage.check({}, TaskSpec(labels=("a", "b")))[0][0] == "use"
    with pytest.raises(BurnishError, match="no field"):
        align(Records.from_rows([Record("x", language="en")]), context, by="topic")


# -- filters

GOOD = [
    ("The cat sleeps on the sofa.", "猫睡在沙发上。"), ("I have 3 dogs at home.", "我家里有三只狗。"),
    ("Open {name} in GitHub.", "在GitHub中打开{name}。"), ("It costs 25,000 dollars.", "它要花2.5万美元。"),
    ("We meet on October 3.", "我们十月三日见面。"), ("Python is a language.", "Python是一种语言。"),
]  # fmt: skip
BAD = [
    ("The cat sleeps on the sofa.", "The cat sleeps on the sofa.", "copy"), ("I like tea.", "Я люблю чай.", "not in its script"),
    ("I live here.", "我住한국에在这里呢。", "mixed scripts"), ("Yes.", "这是一句非常非常长的句子，长得不可能是前面那一句话的翻译，怎么也不可能。", "length ratio"),
    ("See https://a.org/x now.", "现在看https://b.org/x吧。", "addresses and placeholders"), ("I have 3 dogs at home.", "我家里有四只狗。", "numbers"),
    ("I like snakes a lot.", "我很喜欢Python。", "entities"), ("", "空", "empty side"),
    ("Das ist ein ganz gewöhnlicher deutscher Satz.", "这是一个普通的德语句子。", "language"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target"), GOOD)
def test_translations_pass(source: str, target: str) -> None:
    assert problem(source, target, spoken=("en", "zh"), ratio=0.35, most=2.5) is None


@pytest.mark.parametrize(("source", "target", "reason"), BAD)
def test_what_is_no_translation_has_a_reason(source: str, target: str, reason: str) -> None:
    found = problem(source, target, spoken=("en", "zh"), ratio=0.35, most=2.5)
    assert found is not None and found.split(":")[0] == reason


def test_length_ratio_by_hand() -> None:
    assert usual_ratio(["ab", "abcd", "a"], ["a", "ab", "a"]) == 0.5
    assert length_ratio("a" * 8, "b" * 8, 1.0) == pytest.approx(1.0)
    assert length_ratio("a" * 8, "b" * 40, 1.0) == pytest.approx(3.0)


def test_refused_pairs_are_set_aside_with_their_reason_and_counted(context: Context, tmp_path: Path) -> None:
    rows = [Record(a, id=str(at), output=b) for at, (a, b) in enumerate(GOOD)]
    rows += [Record(a, id=f"b{at}", output=b) for at, (a, b, _) in enumerate(BAD[1:7])]
    rows += [
        Record(GOOD[0][0], id="again", output="猫在沙发上睡觉。"),
        Record("no pair", id="n"),
        Record("x", output="y", keep=False),
    ]
    found, facts = saved(pair_filter(Records.from_rows(rows), context), tmp_path / "out")
    assert [one.id for one in found if one.keep] == [*map(str, range(6)), "n"]
    again = next(one for one in found if one.id == "again")
    assert again.findings[0]["check"] == "construct.pair_filter" and again.findings[0]["reason"] == "duplicate source"
    refused = facts["filters"][0]["refused"]
    assert refused["duplicate source"] == 1 and refused["numbers"] == 1 and sum(refused.values()) == 7
    assert facts["filters"][0]["seen"] == 13
    kept, _ = saved(pair_filter(Records.from_rows(rows), context, duplicates="pair"), tmp_path / "pair")
    assert next(one for one in kept if one.id == "again").keep


def test_a_target_that_others_are_nearer_than_is_unlike(context: Context, tmp_path: Path, vectors: None) -> None:
    pairs = list(MEANING.items())
    targets = [b for _, b in pairs]
    targets[0], targets[1] = targets[1], targets[0]
    rows = [Record(a, id=str(at), output=b) for at, ((a, _), b) in enumerate(zip(pairs, targets, strict=True))]
    found, _ = saved(pair_filter(Records.from_rows(rows), context, unlike=0.1), tmp_path / "out")
    assert [one.keep for one in found] == [False, False, True, True, True, True]


# -- back-translation


class Model:
    """Translates Chinese by a list, and copies what is not in it."""

    def __call__(self, texts: Sequence[str], **_: Any) -> list[str]:
        known = {chinese + "。": english.capitalize() + "." for english, chinese in MEANING.items()}
        return [known.get(text, "" if "空" in text else text) for text in texts]


def test_texts_of_the_target_language_become_tagged_pairs(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.nn.backbones.resolve", lambda *_, **__: Path("."))
    monkeypatch.setattr("burnish.nn.translating.Translating", lambda *_, **__: Model())
    rows = [
        Record("猫在睡觉。", id="1", language="zh"), Record("没有人会翻译这一句。", id="2"), Record("空的。", id="3", language="zh"),
        Record("English already.", id="4", language="en"),
    ]  # fmt: skip
    found, facts = saved(back.back_translation(Records.from_rows(rows), context, hub="some/model"), tmp_path / "out")
    assert [(one.text, one.output) for one in found[4:]] == [("<BT> The cat sleeps.", "猫在睡觉。")]
    assert found[4].meta["back_translated"] and found[4].language == "en" and found[4].meta["made_from"] == ["1"]
    assert facts["makers"][0]["refused"] == {"another language": 1, "copy": 1, "nothing was written": 1}


def test_a_teacher_is_asked_the_other_way_round(context: Context, tmp_path: Path) -> None:
    rows = [Record("猫在睡觉。", id="1", language="zh"), Record("今天下雨。", id="2", language="zh")]
    known = {"猫在睡觉。": "“The cat sleeps.”", "今天下雨。": ""}
    with taught.teacher(lambda asked: next(said for text, said in known.items() if text in asked[0]["content"])) as (
        at,
        seen,
    ):
        made = back.back_translation(Records.from_rows(rows), context, teacher=at, tag="")
        found, facts = saved(made, tmp_path / "out")
    assert found[2].text == "The cat sleeps." and found[2].output == "猫在睡觉。"
    assert all(one[0]["content"].startswith("把下面的中文文本翻译成英语") for one in seen)
    refused = facts["makers"][0]["refused"]
    assert len(refused) == 1 and next(iter(refused)).startswith("teacher: ")
    assert (tmp_path / "out" / "quarantine.jsonl").exists() and facts["made"]["construct.back_translation"]["teacher"]


def test_a_teacher_proposes_translations(context: Context, tmp_path: Path) -> None:
    rows = [Record("The cat sleeps.", id="1"), Record("It rains today.", id="2")]
    known = {english.capitalize() + ".": chinese + "。" for english, chinese in MEANING.items()}
    with taught.teacher(lambda asked: next(b for a, b in known.items() if a in asked[-1]["content"])) as (at, _):
        votes = teacher(Records.from_rows(rows), None, context, **at)
    found, facts = saved(aggregate(Records.from_rows(rows), [votes], None, context), tmp_path / "out")
    assert [one.output for one in found] == ["猫在睡觉。", "今天下雨。"] and facts["method"] == "weighted"


@pytest.mark.parametrize("given", [{}, {"hub": "a", "teacher": {"model": "m"}}])
def test_one_model_translates_back(context: Context, given: dict[str, Any]) -> None:
    stage = find("construct", "back_translation")
    assert stage.check is not None
    settings = stage.filled(given)
    assert "one of path, hub and teacher" in stage.check(settings, context.task)[0][1]
    one_language = replace(context.task, languages=("en",))
    assert stage.check(settings, one_language)[0][0] == "use"
