"""Votes where a text may have several labels: for and against, each label a question of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.functions import functions
from burnish.construct.labellers.known import existing
from burnish.construct.labellers.words import keywords
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

TEXTS = ["refund for late parcel", "late parcel again", "please refund", "hello", "退款，快递太慢", "快递太慢"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec(labels=("refund", "late"), languages=("en", "zh"), options={"multi_label": True})
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


@pytest.fixture
def records() -> Records:
    return Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(TEXTS))


def labels_of(made: Records, folder: Path) -> list[list[str] | None]:
    folder.mkdir()
    made.save(folder)
    return Records.open(folder).column("labels")


def test_words_for_two_labels_give_texts_both(records: Records, context: Context, tmp_path: Path) -> None:
    votes = [
        keywords(records, None, context, label="refund", words=["refund", "退款"]),
        keywords(records, None, context, label="late", words=["late", "太慢"]),
    ]
    made = aggregate(records, votes, None, context)
    assert labels_of(made, tmp_path / "made") == [
        ["refund", "late"], ["late"], ["refund"], None, ["refund", "late"], ["late"],
    ]  # fmt: skip
    assert made.facts["coverage"] == pytest.approx(5 / 6)


def test_a_vote_under_a_half_is_against(records: Records, context: Context, tmp_path: Path) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text(
        "def both(record):\n    return ['refund', 'late'] if 'refund' in record.text else None\n\n\n"
        "def no(record):\n    return {'late': 0.1} if 'please' in record.text else None\n\n\n"
        "def never(record):\n    return {'late': 0.0} if 'please' in record.text else None\n"
    )
    made = aggregate(records, [functions(records, None, context, path=rules)], None, context)
    found = labels_of(made, tmp_path / "made")
    assert found[0] == ["refund", "late"] and found[2] == ["refund"]


def test_gold_of_several_labels_weighs_labellers_label_by_label(context: Context, tmp_path: Path) -> None:
    """A labeller that is right about one label and wrong about the other is believed about the one alone."""
    rules = tmp_path / "rules.py"
    rules.write_text(
        "def good(record):\n    return {'refund': float('r' in record.text), 'late': float('l' in record.text)}\n\n\n"
        "def half(record):\n    return {'refund': float('r' in record.text), 'late': float('l' not in record.text)}\n\n\n"
        "def other(record):\n    return {'late': float('l' in record.text)}\n"
    )
    texts = ["r l", "r", "l", "x"] * 30
    records = Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(texts))
    gold = Gold.from_rows(
        Record(text=f"{text} g", id=f"g{at}", labels=[{"r": "refund", "l": "late"}[c] for c in text if c in "rl"])
        for at, text in enumerate(texts[:40])
    )
    assert isinstance(gold, Gold)
    made = aggregate(records, [functions(records, gold, context, path=rules)], gold, context)
    found = labels_of(made, tmp_path / "made")
    assert [found[at] for at in range(4)] == [["refund", "late"], ["refund"], ["late"], []]
    of_half = {row["name"]: row["accuracy"] for row in made.facts["labellers"] if "half" in row["name"]}
    assert of_half["functions:half → refund"] > 0.9 > 0.2 > of_half["functions:half → late"]


def test_labels_that_came_vote_and_strange_ones_are_told(context: Context, tmp_path: Path) -> None:
    rows = [Record(text="a", id="a", labels=["late"]), Record(text="b", id="b", labels=[]), Record(text="c", id="c")]
    records = Records.from_rows(rows)
    made = aggregate(records, [existing(records, None, context)], None, context)
    assert labels_of(made, tmp_path / "made") == [["late"], [], None]
    rules = tmp_path / "rules.py"
    rules.write_text("def odd(record):\n    return ['lost']\n")
    with pytest.raises(BurnishError, match=r"odd returned .*lost.*record a"):
        functions(records, None, context, path=rules)
