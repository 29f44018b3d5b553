"""Labellers that vote on places: words, patterns, gazetteers, forms that check themselves, cues, names found again."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.construct.labellers.known import existing
from burnish.construct.labellers.words import dictionary, keywords, regex
from burnish.construct.spans.gazetteer import Gazetteer, plain
from burnish.construct.spans.neighbours import beside, neighbours, repeated
from burnish.construct.spans.patterns import patterns
from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.text import patterned


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec("tagging", ("PER", "LOC", "ORG", "PHONE"), languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def records(*texts: str) -> Records:
    return Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(texts))


def said(votes: Votes, *texts: str) -> list[tuple[int, str, str]]:
    return [(one["row"], texts[one["row"]][one["start"] : one["end"]], one["label"]) for one in votes.table.to_pylist()]


# -- gazetteers


def found(terms: list[str], text: str, **more: str) -> list[str]:
    return [text[hits[0].start : hits[0].end] for hits in Gazetteer(terms, **more).find(text)]  # type: ignore[arg-type]


def test_the_longest_name_is_taken_on_word_borders_in_english_and_anywhere_in_chinese() -> None:
    assert found(["New York", "New York Times", "York"], "the New York Times of York") == ["New York Times", "York"]
    assert found(["New", "New York"], "New Yorkers") == ["New"]
    assert found(["北京", "北京大学", "大学"], "在北京大学的大学生，在北京") == ["北京大学", "大学", "北京"]
    assert found(["art"], "party ART 北京art展") == ["ART", "art"][1:]  # three capitals are too often something else


def test_capitals_count_as_the_policy_says() -> None:
    text = "Apple apple APPLE"
    assert found(["Apple"], text) == ["Apple", "APPLE"]
    assert found(["apple"], text) == ["Apple", "apple", "APPLE"]
    assert found(["Apple"], text, case="exact") == ["Apple"]
    assert found(["Apple"], text, case="ignore") == ["Apple", "apple", "APPLE"]


def test_places_are_right_behind_emoji_accents_and_wide_letters() -> None:
    text = "👨\u200d👩😀 İstanbul ＡＢＣ cafe\u0301 北京"
    assert found(["北京", "ABC", "İstanbul"], text) == ["İstanbul", "ＡＢＣ", "北京"]
    assert found(["cafe"], text) == []  # the accent is part of the last letter
    assert found(["北京", "istanbul"], text, case="ignore")[-1] == "北京"


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40),
    st.lists(st.text(min_size=1, max_size=4), max_size=6),
    st.sampled_from(["smart", "ignore", "exact"]),
)
def test_hits_are_the_terms_at_their_places(text: str, terms: list[str], case: str) -> None:
    hits = [one for group in Gazetteer(terms, case=case).find(text) for one in group]  # type: ignore[arg-type]
    for hit in hits:
        seen = plain(text[hit.start : hit.end], case=case == "exact").lower()
        assert seen == plain(terms[hit.term].strip(), case=case == "exact").lower()
    ends = [(hit.start, hit.end) for hit in hits]
    assert all(b[0] >= a[1] or a == b for a, b in itertools.pairwise(ends))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.booleans())
def test_what_is_compared_has_as_many_characters(text: str, case: bool) -> None:
    assert len(plain(text, case=case)) == len(text)


def test_a_dictionary_is_a_gazetteer_in_tagging_and_ambiguous_names_abstain(context: Context) -> None:
    (context.base / "names.tsv").write_text(
        "Paris\tLOC\t3\nParis\tPER\t1\nJordan\tLOC\nJordan\tPER\n北京\tLOC\n", "utf-8"
    )
    texts = ("Paris and Jordan", "在北京")
    path = context.base / "names.tsv"
    votes = dictionary(records(*texts), None, context, path=path)
    assert said(votes, *texts) == [(0, "Paris", "LOC"), (1, "北京", "LOC")]
    assert votes.table["confidence"].to_pylist() == [0.75, 1.0]
    votes = dictionary(records(*texts), None, context, path=path, margin=0.6)
    assert said(votes, *texts) == [(1, "北京", "LOC")]


# -- words and patterns


def test_keywords_and_patterns_vote_where_they_stand_gold_included(context: Context) -> None:
    texts = ("Rome, ROME and roman", "在罗马")
    gold = Gold.from_rows([Record(text="to Rome", id="g")])
    votes = keywords(records(*texts), gold, context, label="LOC", words=["Rome", "罗马", "roma*"])
    assert said(votes, *texts, "to Rome") == [
        (0, "Rome", "LOC"), (0, "ROME", "LOC"), (0, "roman", "LOC"), (1, "罗马", "LOC"), (-1, "Rome", "LOC"),
    ]  # fmt: skip
    texts = ("Mr. Smith met Mrs. Jones 😀", "no one")
    votes = regex(records(*texts), None, context, label="PER", pattern=r"Mrs?\. (\w+)", group=1)
    assert said(votes, *texts) == [(0, "Smith", "PER"), (0, "Jones", "PER")]
    votes = regex(records(*texts), None, context, label="PER", pattern=r"Mrs?\. (?P<who>\w+)", group="who")
    assert said(votes, *texts) == [(0, "Smith", "PER"), (0, "Jones", "PER")]
    with pytest.raises(BurnishError, match="no group 2"):
        regex(records(*texts), None, context, label="PER", pattern=r"Mrs?\. (\w+)", group=2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["Ann", "安娜", "😀", " ", "e\u0301", "x1", "﷐", "."]), max_size=12).map("".join))
def test_a_pattern_gives_the_places_python_gives(text: str) -> None:
    import re

    from burnish.construct.spans.words import of_pattern

    wanted = [(one.start(), one.end()) for one in re.finditer("Ann|安娜|[a-z]\\d", text)]
    (places,) = of_pattern("Ann|安娜|[a-z][0-9]", "PER", group=0)([text])
    assert [place[:2] for place in places] == wanted


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("phone_zh", "请拨打 13812345678 或 010-62345678，编号 1381234567", ["13812345678", "010-62345678"]),
        ("phone_en", "Call (212) 555-0123 or +44 20 7946 0958.", ["(212) 555-0123", "+44 20 7946 0958"]),
        ("email", "写信到 li.lei@example.cn。", ["li.lei@example.cn"]),
        ("url", "见 https://a.cn/b?x=1。", ["https://a.cn/b?x=1"]),
        ("money", "It cost $5.3 million，花了3万元", ["$5.3 million", "3万元"]),
        ("date", "on 3 May 1999, 2001-02-03，2008年8月8日", ["3 May 1999", "2001-02-03", "2008年8月8日"]),
        ("time", "at 5:30 pm，下午三点半", ["5:30 pm", "下午三点半"]),
        ("percent", "5.5%，百分之三十", ["5.5%", "百分之三十"]),
        ("id_number", "11010519491231002X 和 110105194912310021", ["11010519491231002X"]),
        ("bank_card", "4111 1111 1111 1111, 4111 1111 1111 1112", ["4111 1111 1111 1111"]),
        ("iban", "GB82 WEST 1234 5698 7654 32", ["GB82 WEST 1234 5698 7654 32"]),
        ("isbn", "978-3-16-148410-0, 978-3-16-148410-1", ["978-3-16-148410-0"]),
        ("credit_code", "91350100M000100Y43 91350100M000100Y44", ["91350100M000100Y43"]),
        ("ean", "4006381333931 4006381333932", ["4006381333931"]),
        ("plate", "车牌京A12345", ["京A12345"]),
        ("title", "《三国演义》", ["《三国演义》"]),
        ("phone_zh", "😀１３８１２３４５６７８", ["１３８１２３４５６７８"]),
    ],
)
def test_forms_that_check_themselves(kind: str, text: str, wanted: list[str]) -> None:
    assert [text[start:end] for start, end in patterned.find(text, kind)] == wanted


def test_every_kind_of_the_setting_is_known() -> None:
    from typing import get_args

    from burnish.construct.spans.patterns import Kind

    assert sorted(get_args(Kind)) == list(patterned.KINDS)
    with pytest.raises(ValueError, match="no kind 'fax'"):
        patterned.find("x", "fax")


def test_patterns_vote(context: Context) -> None:
    text = "电话13812345678"
    votes = patterns(records(text), None, context, label="PHONE", kind="phone_zh")
    assert said(votes, text) == [(0, "13812345678", "PHONE")]
    assert votes.labellers[0].name == "patterns:phone_zh"


# -- cues and repeats


def test_cue_words_name_what_stands_beside_them() -> None:
    def names(text: str, **more: object) -> list[str]:
        given = {"before": [], "after": [], "include": False, "most": 5, **more}
        find = beside(given["before"], given["after"], "PER", include=given["include"], most=given["most"])  # type: ignore[arg-type]
        return [text[start:end] for start, end, _, _ in find(text)]

    assert names("He met Mr. John F. Smith yesterday", before=["Mr."]) == ["John F. Smith"]
    assert names("the Acme Foo Inc. in", after=["Inc."], include=True) == ["Acme Foo Inc."]
    assert names("The Red River flows", after=["River"], include=True) == ["Red River"]
    assert names("昨天，腾讯科技公司宣布", after=["公司"], include=True, most=8) == ["腾讯科技公司"]
    assert names("会议在北京举行", before=["在"], after=["举行"]) == ["北京"]
    assert names("昨天，王小明先生说", after=["先生"], most=3) == ["王小明"]
    assert names("这是一个很长很长很长的名先生", after=["先生"], most=3) == [
        "名"
    ]  # 的 parts it from what stands before


def test_neighbours_need_a_cue(context: Context) -> None:
    with pytest.raises(BurnishError, match="no cue word"):
        neighbours(records("x"), None, context, label="PER")
    votes = neighbours(records("Dr. Who came"), None, context, label="PER", before=["Dr."])
    assert said(votes, "Dr. Who came") == [(0, "Who", "PER")]


def test_a_name_found_once_is_found_again_in_its_document(context: Context) -> None:
    texts = ("Angela Merkel spoke", "and Angela Merkel left", "Angela Merkel elsewhere")
    rows = [
        Record(text=text, id=str(at), group=group, spans=[{"start": 0, "end": 13, "label": "PER"}] if at == 0 else None)
        for at, (text, group) in enumerate(zip(texts, ("one", "one", "two"), strict=True))
    ]
    whole = Records.from_rows(rows)
    first = existing(whole, None, context)
    assert said(repeated(whole, [first], None, context), *texts) == [(1, "Angela Merkel", "PER")]
    everywhere = repeated(whole, [first], None, context, within="all")
    assert said(everywhere, *texts) == [(1, "Angela Merkel", "PER"), (2, "Angela Merkel", "PER")]
    assert not said(repeated(whole, [first], None, context, within="all", least=2), *texts)
