"""Pairs of texts: made of single ones, and voted on by how like they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_bert

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.likeness import pairs, similarity
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, SpecError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert.make(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec(labels=("same", "other"), languages=("en", "zh"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


PAIRS = [
    ("how do I reset my password", "how do I reset my password now"),
    ("怎么修改密码呢请问", "请问怎么修改密码呢"),
    ("how do I reset my password", "the weather is lovely today here"),
    ("怎么修改密码呢请问", "今天天气真好我们出去玩"),
]


def test_the_most_and_the_least_alike_are_told_apart_in_both_languages(context: Context) -> None:
    records = Records.from_rows(Record(text=a, text_b=b, id=str(at)) for at, (a, b) in enumerate(PAIRS))
    same = similarity(records, None, context, label="same", above=0.5, by="characters")
    other = similarity(records, None, context, label="other", below=0.5, by="characters")
    assert same.table["row"].to_pylist() == [0, 1] and other.table["row"].to_pylist() == [2, 3]
    sure = dict(zip(same.table["row"].to_pylist(), same.table["confidence"].to_pylist(), strict=True))
    assert sorted(sure) == [0, 1] and max(sure.values()) == 1.0 and 0.5 <= min(sure.values()) < 1.0


def test_meaning_is_compared_by_vectors(tiny: str, context: Context) -> None:
    rows = [("lovely film", "lovely film n1"), ("lovely film", "awful staff n2")] * 3
    records = Records.from_rows(Record(text=a, text_b=b, id=str(at)) for at, (a, b) in enumerate(rows))
    votes = similarity(records, None, context, label="same", above=0.6, backbone=tiny)  # type: ignore[arg-type]
    assert set(votes.table["row"].to_pylist()) <= {0, 2, 4} and len(votes.table)


def test_records_without_a_second_text(context: Context) -> None:
    with pytest.raises(BurnishError, match="no record has two texts"):
        similarity(Records.from_rows([Record(text="a", id="a")]), None, context, label="same", above=0.5)


def test_one_border_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "burnish.yaml"
    path.write_text(
        "task: {type: classification, labels: [same, other]}\nsources: {use: jsonl, path: a.jsonl}\n"
        "construct:\n  - {use: similarity, label: same}\n"
    )
    with pytest.raises(SpecError, match="give one of above and below"):
        load(path)


def test_pairs_of_single_texts_know_both_and_copies_make_none(tiny: str, context: Context, tmp_path: Path) -> None:
    texts = ["lovely film", "lovely film day", "awful staff", "awful staff room", "lovely film"]
    rows = [Record(text=text, id=str(at)) for at, text in enumerate(texts)]
    rows.append(Record(text="a", text_b="b", id="pair"))
    grown = pairs(Records.from_rows(rows), context, near=1, random=1, most_alike=0.999, backbone=tiny)  # type: ignore[arg-type]
    folder = tmp_path / "grown"
    folder.mkdir()
    grown.save(folder)
    found = list(Records.open(folder))
    born = [one for one in found if "made_from" in one.meta]
    assert [one.id for one in found[:6]] == ["0", "1", "2", "3", "4", "pair"] and born
    asked = [tuple(one.meta["made_from"]) for one in born]
    assert len(set(asked)) == len(asked) and ("0", "4") not in asked
    assert all(one.text and one.text_b and one.label is None for one in born)
    assert {"0", "1"} in [set(pair) for pair in asked]
    facts = Records.open(folder).facts["makers"][0]
    assert facts["made"] == len(born) and facts["refused"] == {"copies of each other": 1}
    votes = similarity(Records.open(folder), None, context, label="same", above=0.5, by="characters")
    ended = aggregate(Records.open(folder), [votes], None, context)
    (tmp_path / "end").mkdir()
    ended.save(tmp_path / "end")
    kept = [one for one in Records.open(tmp_path / "end") if one.keep]
    assert {one.id for one in kept} == {"pair", *(one.id for one in born)}
    assert np.isin(["same"], [one.label for one in kept]).all()
