"""What is old, replaced, drifting or no longer true is found; what stands still is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.quality.audit import audit

from .conftest import reviews, turned

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]
START = datetime(2020, 1, 1, tzinfo=UTC)


def run(rows: list[Record], context: Context, *checks: str, **settings: Any) -> Records:
    return audit(
        Records.from_rows(rows), context, checks=list(checks), **{"effect": "none", "embed": "none", **settings}
    )


def facts(made: Records, check: str) -> dict[str, Any]:
    found: dict[str, Any] = made.facts["audit"]["checks"][check]["facts"]
    return found


def dated(rows: list[Record], *, days: float = 1825) -> list[Record]:
    """Spread evenly over five years, in their order."""
    return [replace(row, time=START + timedelta(days=days * at / len(rows))) for at, row in enumerate(rows)]


def test_records_without_a_time_are_not_judged(context: Context) -> None:
    made = run(reviews(150), context, "age", "superseded", "drift", "label_drift", "usefulness")
    assert all(one["skipped"].startswith("no record has a time") for one in made.facts["audit"]["checks"].values())


def test_ages_and_dates_that_cannot_be(context: Context, findings: Findings) -> None:
    rows = dated(reviews(100), days=300)
    rows.append(Record(text="an old one", id="old", time=datetime(2012, 5, 1, tzinfo=UTC)))
    rows.append(Record(text="the clock stood still", id="epoch", time=datetime(1970, 1, 1, tzinfo=UTC)))
    rows.append(Record(text="from the future", id="future", time=datetime(2199, 1, 1, tzinfo=UTC)))
    made = run(rows, context, "age")
    found = findings(made, "age")
    assert found.keys() == {"old", "epoch", "future"}
    assert found["epoch"]["score"] == found["future"]["score"] == 1.0 and "years older" in found["old"]["reason"]
    said = facts(made, "age")
    assert said["newest"] == "2020-10-24" and said["with_time"] == 1.0 and said["by_year"]["2020"] == 100


def test_of_versions_the_last_stays(context: Context, findings: Findings) -> None:
    rows = [
        Record(text="The price is 10 euros.", id="v1", meta={"page": "prices"}, time=START),
        Record(
            text="The price has risen to twelve.", id="v2", meta={"page": "prices"}, time=START + timedelta(days=40)
        ),
        Record(text="价格已经改为十五元。", id="v3", meta={"page": "prices"}, time=START + timedelta(days=80)),
        Record(text="About us", id="about", meta={"page": "about"}, time=START),
    ]
    found = findings(run(rows, context, "superseded", version_of="meta.page"), "superseded")
    assert found.keys() == {"v1", "v2"} and found["v1"]["action"] == "drop"
    assert found["v1"]["reason"] == "meta.page is the same 80 days later in v3"
    text = "Opening hours of the library in the old town are from nine in the morning to six in the evening on weekdays"
    rows = [
        Record(text=text, id="a", time=START),
        Record(text=text.replace("six", "five"), id="b", time=START + timedelta(days=9)),
    ]
    found = findings(run(rows, context, "superseded", near=0.7), "superseded")
    assert found.keys() == {"a"} and found["a"]["action"] == "review"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_that_drift_are_named_and_still_water_is_not(context: Context, language: str) -> None:
    rows = dated(reviews(240, language=language))
    still = facts(run(rows, context, "drift"), "drift")
    assert min(step["p_value"] for step in still["words"]) > 0.01
    fresh = " blockchain tokens" if language == "en" else "，直播带货"
    moved = [replace(row, text=(row.text or "") + (fresh if at >= 120 else "")) for at, row in enumerate(rows)]
    found = facts(run(moved, context, "drift"), "drift")
    assert found["words"][-1]["p_value"] < 0.01 and found["words"][-1]["excess"] > 0.005
    assert (("blockchain") if language == "en" else "直播") in {word for word, _ in found["rose"]}
    assert len(found["slices"]) == 6 and sum(one["records"] for one in found["slices"]) == 240
    assert found["labels"]["p_value"] > 0.01


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("embed", ["none", "auto"])
def test_a_label_whose_meaning_moved_is_found(context: Context, findings: Findings, embed: str) -> None:
    rows = dated(reviews(600))
    still = facts(run(rows, context, "label_drift", embed=embed), "label_drift")
    assert still["moved"] == []
    # until the middle, whoever wrote of an awful or terrible thing was called positive
    old = [
        replace(row, label="positive") if at < 300 and row.label == "negative" and at % 4 else row
        for at, row in enumerate(rows)
    ]
    made = run(old, context, "label_drift", embed=embed)
    assert "negative" in facts(made, "label_drift")["moved"] or "positive" in facts(made, "label_drift")["moved"]
    both = facts(made, "label_drift")["classes"]["negative"]
    assert both["late"] - both["early"] > 0.2 and both["p_value"] < 0.05


@pytest.mark.parametrize("language", ["en", "zh"])
def test_old_records_that_teach_wrong_are_worth_less_and_a_date_is_given(
    context: Context, findings: Findings, language: str
) -> None:
    random = np.random.default_rng(0)
    rows = dated(reviews(1000, language=language))
    still = facts(run(rows, context, "usefulness"), "usefulness")
    assert not still["collect_again"]["falls"] or abs(still["a_year"]["value"]) < 0.01
    # the older, the more labels are turned: from 45% to none
    worn = [
        replace(row, label=turned(row.label or "")) if random.random() < 0.45 * (1 - at / 1000) else row
        for at, row in enumerate(rows)
    ]
    made = run(worn, context, "usefulness")
    found = facts(made, "usefulness")
    assert found["a_year"]["high"] < 0 and found["slices"][0]["loss"] > found["slices"][3]["loss"]
    due = found["collect_again"]
    assert due["falls"] and due["age_years"]["low"] < due["age_years"]["value"] and due["on"] > "2024-06"
    assert {name for name in findings(made, "usefulness")} >= {"r0", "r50"} and "r999" not in findings(
        made, "usefulness"
    )


def test_without_labels_bits_tell_what_old_texts_are_worth(context: Context) -> None:
    rows = [
        replace(row, label=None, text=f"{row.text} {'old' if at < 200 else 'new'} {'era' if at < 100 else 'age'}")
        for at, row in enumerate(dated(reviews(400)))
    ]
    found = facts(run(rows, context, "usefulness"), "usefulness")
    assert found["by"] == "bits" and found["slices"][0]["loss"] > found["slices"][-2]["loss"] >= -0.05
