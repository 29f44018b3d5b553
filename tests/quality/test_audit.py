"""What the audit finds when it is planted, what it leaves in peace, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.quality.audit import audit
from burnish.quality.checks import CHECKS
from burnish.testing import check_stage

from .conftest import reviews, turned

Findings = Callable[[Records, str], dict[str, dict[str, Any]]]
REDUNDANCY = ["exact_duplicates", "near_duplicates", "conflicting_duplicates"]
FORM = ["empty", "encoding", "language", "length", "gibberish"]


def run(rows: list[Record], context: Context, checks: Any = "all", **settings: Any) -> Records:
    return audit(Records.from_rows(rows), context, checks=checks, **{"effect": "none", **settings})


@pytest.mark.usefixtures("bag_of_words")
def test_fits_the_house() -> None:
    assert check_stage("quality.audit") == 7


def test_every_check_says_what_it_measures_and_where_it_comes_from() -> None:
    assert {one.dimension for one in CHECKS.values()} >= {"distribution", "noise", "diversity", "timeliness"}
    assert {"pii", "memorisation", "licences", "toxicity", "groups"} < CHECKS.keys()
    assert all(one.about.endswith(".") and len(one.doc) > len(one.about) + 40 for one in CHECKS.values())


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_label_errors_are_found_with_a_suggestion(context: Context, findings: Findings, language: str) -> None:
    rows = reviews(600, language=language)
    wrong = {f"r{at}" for at in np.random.default_rng(5).choice(600, 60, replace=False)}
    rows = [replace(row, label=turned(row.label or "")) if row.id in wrong else row for row in rows]
    made = run(rows, context)
    found = findings(made, "label_errors")
    hits = len(wrong & found.keys())
    assert hits / len(found) > 0.9 and hits / len(wrong) > 0.9
    given = {row.id: row.label for row in rows}
    assert all(
        one["action"] == f"relabel:{turned(given[name] or '')}" for name, one in found.items() if one["score"] > 0.9
    )
    assert all("likely" in one["reason"] and 0 <= one["score"] <= 1 for one in found.values())
    assert 0.06 < made.facts["audit"]["checks"]["label_errors"]["facts"]["rate"]["value"] < 0.16


@pytest.mark.usefixtures("bag_of_words")
def test_twins_with_the_same_wrong_label_do_not_vouch_for_each_other(context: Context, findings: Findings) -> None:
    rows = reviews(300)
    copies = [
        replace(rows[at], id=f"copy{at}-{number}", label=turned(rows[at].label or ""))
        for at in range(10)
        for number in range(4)
    ]
    rows = [replace(row, label=turned(row.label or "")) if at < 10 else row for at, row in enumerate(rows)] + copies
    found = findings(run(rows, context), "label_errors")
    assert len(found.keys() & {f"r{at}" for at in range(10)}) >= 9


@pytest.mark.usefixtures("bag_of_words")
def test_unlabelled_records_are_not_judged_for_labels(context: Context, findings: Findings) -> None:
    rows = [replace(row, label=None) if at % 2 else row for at, row in enumerate(reviews(200))]
    made = run(rows, context)
    assert not {f"r{at}" for at in range(1, 200, 2)} & findings(made, "label_errors").keys()
    assert made.facts["audit"]["checks"]["label_errors"]["facts"]["judged"] == 100


def test_too_few_labels_are_said_and_not_judged(context: Context) -> None:
    facts = run(reviews(20), context).facts["audit"]["checks"]["label_errors"]
    assert facts["count"] == 0 and facts["skipped"].startswith("needs 30 labelled records")


def test_copies_name_the_record_that_is_kept(context: Context, findings: Findings) -> None:
    rows = [
        Record(text="This hotel was lovely, thank you!", id="unlabelled"),
        Record(text="THIS hotel was  lovely, thank you！", id="labelled", label="positive", confidence=0.6),
        Record(text="this hotel was lovely, thank you!", id="surer", label="positive", confidence=0.9),
        Record(text="这家酒店非常好，推荐大家来住。", id="zh", label="positive"),
        Record(text="这家酒店非常好,推荐大家来住。", id="zh-half-width", label="positive"),
        Record(text="", id="empty1"),
        Record(text=" ", id="empty2"),
    ]
    found = findings(run(rows, context, REDUNDANCY), "exact_duplicates")
    assert found.keys() == {"unlabelled", "labelled", "zh-half-width"}
    assert found["labelled"] == {
        "check": "exact_duplicates",
        "score": 1.0,
        "reason": "same text as surer",
        "action": "drop",
    }


def test_near_copies_are_found_in_both_languages_and_a_turned_meaning_is_for_a_person(
    context: Context, findings: Findings
) -> None:
    english = (
        "The delivery took three weeks and nobody at the hotline could tell me where the parcel had been all that time"
    )
    chinese = (
        "这家酒店的位置非常方便，离地铁站只有两分钟，房间干净整洁，前台服务人员也很热情，下次来北京还会选择这里入住。"
    )
    rows = [
        Record(text=english, id="a", label="negative"),
        Record(text=english + "!!", id="b", label="negative"),
        Record(text=chinese, id="c", label="positive"),
        Record(text=chinese.replace("热情", "冷淡"), id="d", label="negative"),
        Record(text="Something else altogether, about a garden and its gate", id="e", label="positive"),
    ]
    found = findings(run(rows, context, REDUNDANCY, near=0.7), "near_duplicates")
    assert found.keys() == {"b", "d"}
    assert found["b"]["action"] == "drop" and found["b"]["reason"].endswith("a")
    assert found["d"]["action"] == "review" and 0.7 <= found["d"]["score"] < 1


def test_the_same_text_with_two_labels_is_settled_by_majority_or_left_to_a_person(
    context: Context, findings: Findings
) -> None:
    rows = [
        Record(text="fine for the price", id=f"m{at}", label=label)
        for at, label in enumerate(["positive", "positive", "negative"])
    ]
    rows += [
        Record(text="一般般吧，凑合", id=f"t{at}", label=label) for at, label in enumerate(["positive", "negative"])
    ]
    found = findings(run(rows, context, REDUNDANCY), "conflicting_duplicates")
    assert {name: one["action"] for name, one in found.items()} == {
        "m0": "keep", "m1": "keep", "m2": "drop", "t0": "review", "t1": "review",
    }  # fmt: skip
    assert found["m2"]["reason"] == "the same text is labelled positive in m0"


def test_form_is_judged_for_english_and_chinese(context: Context, findings: Findings) -> None:
    rows = reviews(150) + [replace(row, id=f"zh{row.id}") for row in reviews(150, language="zh")]
    rows += [
        Record(text="!!! ... ???", id="blank"),
        Record(text="", id="nothing"),
        Record(text="le café était très agréable".encode().decode("cp1252"), id="moji-western"),
        Record(text="这家酒店非常好".encode().decode("gbk", "ignore"), id="moji-gbk"),
        Record(text="中文评论内容".encode("gbk").decode("latin-1"), id="moji-latin"),
        Record(text="lost \ufffd\ufffd characters", id="moji-lost"),
        Record(text="Das Zimmer war leider sehr schmutzig und das Frühstück kalt, nie wieder", id="german"),
        Record(text="この部屋はとてもきれいでした。また泊まりたいです", id="japanese"),
        Record(text="buy " * 400, id="repeats"),
        Record(text="好" * 300, id="repeats-zh"),
    ]
    made = run(rows, context, FORM)
    assert findings(made, "empty").keys() == {"blank", "nothing"}
    damaged = findings(made, "encoding")
    assert damaged.keys() == {"moji-western", "moji-gbk", "moji-latin", "moji-lost"}
    assert "“Ã©” is UTF-8 for “é”" in damaged["moji-western"]["reason"]
    assert findings(made, "language").keys() >= {"german", "japanese"}
    assert findings(made, "gibberish").keys() >= {"repeats", "repeats-zh"}
    assert findings(made, "length").keys() >= {"repeats", "repeats-zh"}
    innocent = {one.id for one in rows[:300]}
    for check in ("empty", "encoding", "language", "gibberish"):
        assert len(innocent & findings(made, check).keys()) <= 3, check


@pytest.mark.parametrize(
    "text",
    ["Łódź, Kraków — “naïve” café", "Ça coûte 30 €, c’est très bien", "他说：“联通的信号很好……”", "한국어 리뷰입니다", "ÀÉÎÕÜ çà et là", "Größe Äpfel über", "naïve—ça", "5½ °C ± ¼"],
)  # fmt: skip
def test_well_encoded_text_is_left_in_peace(context: Context, findings: Findings, text: str) -> None:
    assert not findings(run([Record(text=text, id="a")], context, ["encoding"]), "encoding")


def test_letters_in_no_usual_order_stand_out(context: Context, findings: Findings) -> None:
    rows = [*reviews(400), Record(text="xqzv kjwq pfxz bqtk vvwx zkqj", id="mash")]
    found = findings(
        run(rows, replace(context, task=replace(context.task, languages=("en",))), ["gibberish"]), "gibberish"
    )
    assert "mash" in found and len(found) <= 4


@pytest.mark.usefixtures("bag_of_words")
def test_effect_shows_that_taking_out_wrong_labels_helps(context: Context) -> None:
    random = np.random.default_rng(1)
    rows = [replace(row, label=turned(row.label or "")) if random.random() < 0.25 else row for row in reviews(500)]
    effect = run(rows, context, effect="probe").facts["audit"]["checks"]["label_errors"]["effect"]
    assert effect["accuracy"]["value"] >= 0 and effect["log_loss"]["high"] < 0
    assert effect["accuracy"]["low"] <= effect["accuracy"]["value"] <= effect["accuracy"]["high"]


def test_records_set_aside_before_are_not_looked_at_again(context: Context, findings: Findings) -> None:
    rows = [Record(text="the very same text", id="a", keep=False), Record(text="the very same text", id="b")]
    assert not findings(run(rows, context, REDUNDANCY), "exact_duplicates")


def test_a_second_audit_replaces_the_first(context: Context) -> None:
    rows = [
        Record(
            text="the very same text",
            id=name,
            findings=[{"check": "mine", "score": 0.5, "reason": "r", "action": "keep"}],
        )
        for name in "ab"
    ]
    once = run(rows, context, REDUNDANCY)
    twice = audit(once, context, checks=REDUNDANCY, effect="none")
    assert [record.findings for record in twice] == [record.findings for record in once]
    assert [len(record.findings) for record in once] == [1, 2]


def test_an_unknown_check_names_the_nearest(context: Context) -> None:
    with pytest.raises(BurnishError, match=r"no check 'lenght'(.|\n)*did you mean 'length'"):
        run([Record(text="a", id="a")], context, ["lenght"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=60), st.sampled_from(["negative", "positive", "other", None])), max_size=12))
def test_any_text_gets_through_unchanged(context: Context, rows: list[tuple[str, str | None]]) -> None:
    records = [
        Record(text=text.encode("utf-8", "ignore").decode(), id=str(at), label=label)
        for at, (text, label) in enumerate(rows)
    ]
    made = list(run(records, context))
    assert [(one.text, one.label) for one in made] == [(one.text, one.label) for one in records]
    assert all(0 <= finding["score"] <= 1 and finding["reason"] for one in made for finding in one.findings)
    assert all(record.keep for record in made)
