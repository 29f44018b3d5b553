"""Votes for nodes of a tree: an inner node decides the way to it, and nothing below."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.construct.aggregate import aggregate
from burnish.construct.labellers.words import keywords
from burnish.construct.labels.tree_of_labels import forks_of
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec

LABELS = ("sport/ball", "sport/water", "politics", "art/music/song")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = TaskSpec(labels=LABELS, languages=("en", "zh"), options={"hierarchical": True})
    return Context(task, 0, tmp_path, tmp_path / "scratch", tmp_path / "cache", Silent())


def test_forks_come_from_the_top_down() -> None:
    assert forks_of(LABELS) == {
        "": ["sport", "politics", "art"],
        "sport": ["sport/ball", "sport/water"],
        "art": ["art/music"],
        "art/music": ["art/music/song"],
    }


def test_votes_lead_to_the_deepest_node_they_name(context: Context, tmp_path: Path) -> None:
    texts = ["match of football", "the match", "election", "swim match", "a tune", "nothing", "足球 match"]
    records = Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(texts))
    votes = [
        keywords(records, None, context, label=label, words=words)
        for label, words in (
            ("sport", ["match"]), ("sport/ball", ["football", "足球"]), ("sport/water", ["swim"]),
            ("politics", ["election"]), ("art", ["tune"]),
        )
    ]  # fmt: skip
    made = aggregate(records, votes, None, context)
    (tmp_path / "made").mkdir()
    made.save(tmp_path / "made")
    found = Records.open(tmp_path / "made")
    # art has one child alone, and so on down: naming art names the song
    assert found.column("label") == [
        "sport/ball", "sport", "politics", "sport/water", "art/music/song", None, "sport/ball",
    ]  # fmt: skip
    assert found.facts["coverage"] == pytest.approx(6 / 7)
    assert len(found.column("votes")[0]) == 2


def test_a_label_that_is_no_node_is_named(context: Context) -> None:
    records = Records.from_rows([Record(text="a", id="a")])
    with pytest.raises(BurnishError, match=r"'sports' is not a label") as caught:
        keywords(records, None, context, label="sports", words=["a"])
    assert "sport" in (caught.value.hint or "")
