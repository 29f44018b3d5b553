"""Records made of others: where they come from, that ids never clash, that nothing is lost in silence."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.construct.aggregate import aggregate
from burnish.construct.making import Refused, grow, made
from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

DAY = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec(labels=("a", "b"))
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def halves(record: Record) -> Iterator[Record | Refused]:
    for at, part in enumerate((record.text or "").split(";")):
        if not part.strip():
            yield Refused("empty half")
            continue
        yield made(
            record, by="construct.halves", why=f"half {at + 1}", text=part.strip(), label="ab"[at], confidence=0.5
        )


def saved(records: Records, folder: Path) -> list[Record]:
    folder.mkdir()
    records.save(folder)
    return list(Records.open(folder))


def test_made_records_know_their_parents_and_material_is_set_aside(context: Context, tmp_path: Path) -> None:
    rows = [
        Record(text="x;y", id="1", language="en", licence="CC0-1.0", time=DAY, source="s", group="doc"),
        Record(text="z;", id="2"),
        Record(text="kept as it is", id="3", label="a"),
        Record(text="q;q", id="4", keep=False),
    ]
    grown = grow(Records.from_rows(rows), halves, context, by="construct.halves", what="halves")
    folder = tmp_path / "grown"
    folder.mkdir()
    grown.save(folder)
    found = saved(aggregate(Records.open(folder), [], None, context), tmp_path / "end")
    assert [(one.text, one.label, one.keep) for one in found] == [
        ("x;y", None, False), ("z;", None, False), ("kept as it is", "a", True), ("q;q", None, False),
        ("x", "a", True), ("y", "b", True), ("z", "a", True),
    ]  # fmt: skip
    first, last = found[4], found[6]
    assert (first.group, first.language, first.licence, first.time, first.source) == ("doc", "en", "CC0-1.0", DAY, "s")
    assert first.meta == {"made_from": ["1"]} and last.group == "2" and last.meta == {"made_from": ["2"]}
    assert first.label_from == "construct.halves" and first.trail == ["construct.halves: half 1"]
    assert [one.findings[0]["reason"] for one in found[:2]] == [
        "construct.halves made 2 of it",
        "construct.halves made 1 of it",
    ]
    assert not found[3].findings
    facts = Records.open(folder).facts
    assert facts["makers"] == [
        {"maker": "construct.halves", "seen": 3, "material": 2, "made": 3, "refused": {"empty half": 1}}
    ]


def test_ids_of_what_is_made_never_clash(context: Context, tmp_path: Path) -> None:
    rows = [Record(text=f"same;text {at}") for at in range(3)]
    found = saved(grow(Records.from_rows(rows), halves, context, by="construct.halves"), tmp_path / "grown")
    assert len({one.id for one in found}) == len(found) == 9


def test_of_several_parents_the_group_is_one_that_says_them_all() -> None:
    one, two = Record(text="a", id="1", licence="MIT"), Record(text="b", id="2", licence="CC0-1.0", time=DAY)
    pair = made([one, two], by="construct.pairs", why="nearest", text="a", text_b="b")
    assert pair.meta["made_from"] == ["1", "2"] and pair.licence == "CC0-1.0 AND MIT" and pair.time == DAY
    assert pair.group == made([two, one], by="x", why="y").group != made([one], by="x", why="y").group
