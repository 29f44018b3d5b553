"""Meanings said twice, the map, a target population, and the part that stands for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.quality.audit import audit
from burnish.quality.select import choose, select
from burnish.testing import check_stage

from .conftest import reviews, turned

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]


def run(rows: list[Record], context: Context, *checks: str, **settings: Any) -> Records:
    return audit(Records.from_rows(rows), context, checks=list(checks), **{"effect": "none", **settings})


def facts(made: Records, check: str) -> dict[str, Any]:
    found: dict[str, Any] = made.facts["audit"]["checks"][check]["facts"]
    return found


@pytest.mark.usefixtures("bag_of_words")
def test_the_same_in_another_order_is_a_copy_in_meaning(context: Context, findings: Findings) -> None:
    rows = reviews(120)
    said = "the heating never worked and nobody at the desk cared about it during our whole stay in march"
    other = "during our whole stay in march nobody cared about it at the desk and the heating never worked"
    rows += [
        Record(text=said, id="one", label="negative"),
        Record(text=other, id="two"),
        Record(text=other + " !", id="copy", label="positive"),
    ]
    made = run(rows, context, "semantic_duplicates", embed="all")
    found = findings(made, "semantic_duplicates")
    assert found.keys() == {"two", "copy"}
    assert found["two"]["action"] == "drop" and found["copy"]["action"] == "review"  # another label
    assert facts(made, "semantic_duplicates")["groups"] == 1
    # with `auto` the unlabelled one has no vector and is not judged
    assert findings(run(rows, context, "semantic_duplicates"), "semantic_duplicates").keys() == {"copy"}


@pytest.mark.usefixtures("bag_of_words")
def test_the_map_names_topics_and_what_is_missing(context: Context, findings: Findings) -> None:
    random = np.random.default_rng(0)
    rows = []
    for at in range(120):
        words = (
            ["soup", "spoon", "plate", "salad", "cheese"] if at < 60 else ["engine", "wheel", "brake", "clutch", "gear"]
        )
        text = " ".join(random.choice(words, 8))
        rows.append(Record(text=f"{text} {at}", id=str(at), label="positive" if at < 60 or at % 2 else "negative"))
    rows.append(Record(text="quantum lattice spinors entangle chromodynamics", id="alone", label="positive"))
    made = run(rows, context, "coverage", "variety")
    found = facts(made, "coverage")
    said = {word for one in found["topics"] for word in one["words"]}
    assert said & {"soup", "spoon", "plate", "salad", "cheese"} and said & {
        "engine",
        "wheel",
        "brake",
        "clutch",
        "gear",
    }
    assert any(one.startswith("no negative about") and "where" in one for one in found["gaps"])
    assert len(found["map"]) == 121 and {"x", "y", "topic", "label", "id"} == found["map"][0].keys()
    assert "alone" in findings(made, "coverage")
    varied = facts(made, "variety")
    assert 1 < varied["vendi"] < 121 and 0 < varied["distinct_1"] < varied["distinct_2"] <= 1
    same = facts(run([replace(row, text="soup and salad") for row in rows], context, "variety"), "variety")
    assert same["vendi"] == pytest.approx(1, abs=0.5) and same["word_entropy"] < varied["word_entropy"]


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("embed", ["none", "all"])
def test_what_the_population_has_and_the_data_lack_is_named(context: Context, tmp_path: Path, embed: str) -> None:
    rows = reviews(200)
    wanted = [row.text for row in reviews(60, seed=9)]
    lacking = [
        f"the parcel was lost by the courier and customs wrote letter {at} about the parcel again" for at in range(40)
    ]
    path = tmp_path / "users.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in wanted + lacking), "utf-8")
    found = facts(run(rows, context, "target_population", embed=embed, reference=path), "target_population")
    assert found["reference"] == 100 and 0.45 <= found["covered"] <= 0.68
    assert {"parcel", "courier", "customs"} & {*found["missing_words"], *found["unknown_words"]}
    assert all("parcel" in text for text in found["missing"][:5])
    assert found["by"] == ("words" if embed == "none" else "vectors")


@pytest.mark.usefixtures("bag_of_words")
def test_selection_fits_the_house() -> None:
    assert check_stage("quality.select") > 5


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("by", ["diversity", "facility_location", "k_center", "quality", "random"])
def test_a_part_is_kept_of_every_label_and_the_rest_set_aside(context: Context, by: Any) -> None:
    rows = [
        *reviews(120),
        Record(text="unlabelled", id="u1"),
        Record(text="also without a label", id="u2"),
        Record(text="gone", id="gone", keep=False),
    ]
    made = select(Records.from_rows(rows), context, share=0.25, by=by)
    kept = [row for row in made if row.keep]
    counts = {label: sum(row.label == label for row in rows) for label in ("positive", "negative")}
    assert {label: sum(row.label == label for row in kept) for label in counts} == {
        label: round(0.25 * count) for label, count in counts.items()
    }
    assert sum(row.label is None for row in kept) == 1
    aside = next(row for row in made if not row.keep and row.id != "gone")
    assert aside.trail == [f"quality.select: left out, by {by}"]
    assert [row.keep for row in select(Records.from_rows(rows), context, share=0.25, by=by)] == [
        row.keep for row in made
    ]
    said = made.facts["select"]["measured"]
    assert (
        0 < said["random"] <= 1
        and said["over_random"]["low"] <= said["over_random"]["value"] <= said["over_random"]["high"]
    )


@pytest.mark.usefixtures("bag_of_words")
def test_doubted_records_are_not_chosen(context: Context) -> None:
    rows = reviews(300)
    wrong = {f"r{at}" for at in range(60)}
    rows = [replace(row, label=turned(row.label or "")) if row.id in wrong else row for row in rows]
    audited = run(rows, context, "label_errors")
    for by in ("diversity", "quality"):
        kept = {row.id for row in select(audited, context, share=0.3, by=by) if row.keep}
        assert len(kept & wrong) / len(kept) < 0.08, by
    assert select(audited, context, share=0.3, by="quality").facts["select"]["measured"]["over_random"]["value"] > 0


def test_a_choice_of_one_in_ten_reaches_every_cluster() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(10, 16))
    vectors = np.repeat(centres, 10, axis=0) + 0.05 * random.normal(size=(100, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for by in ("facility_location", "k_center", "diversity"):
        kept = choose(vectors, np.zeros(100, dtype=np.int64), np.zeros(100), share=0.1, by=by, seed=0)  # type: ignore[arg-type]
        assert len(set((np.flatnonzero(kept) // 10).tolist())) == 10, by


def test_a_share_of_nothing_is_refused(context: Context) -> None:
    with pytest.raises(BurnishError, match="share is 0"):
        select(Records.from_rows([Record(text="a", id="a")]), context, share=0)
