"""What is set aside and what never is; what the gate refuses; what the page shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, GateError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.quality.audit import audit
from burnish.quality.curate import curate
from burnish.quality.gate import gate
from burnish.quality.report import report
from burnish.testing import check_stage

from .conftest import reviews, turned


@pytest.fixture
def audited(context: Context, bag_of_words: None) -> Records:
    """300 reviews of which 15 are wrong, 10 exact copies, one empty text, two unlabelled."""
    rows = reviews(300)
    rows = [replace(row, label=turned(row.label or "")) if at < 15 else row for at, row in enumerate(rows)]
    rows += [replace(rows[at], id=f"copy{at}") for at in range(100, 110)]
    rows += [
        Record(text="…", id="blank", label="positive"),
        Record(text="no label here yet", id="u1"),
        Record(text="nor here", id="u2"),
    ]
    return audit(Records.from_rows(rows), context, effect="none")


@pytest.mark.parametrize("name", ["curate", "gate", "report"])
def test_fits_the_house(name: str) -> None:
    assert check_stage(f"quality.{name}") == 7


def test_auto_sets_aside_copies_blanks_and_sure_errors_and_says_so(audited: Records, context: Context) -> None:
    made = curate(audited, context)
    aside = {record.id: record for record in made if not record.keep}
    assert {f"copy{at}" for at in range(100, 110)} | {"blank"} <= aside.keys()
    assert len(aside.keys() & {f"r{at}" for at in range(15)}) >= 10
    assert all(record.trail[-1].startswith("quality.curate: set aside, ") for record in aside.values())
    facts = made.facts["curate"]
    assert facts["set_aside"]["exact_duplicates"] == 10 and facts["set_aside"]["empty"] == 1
    assert facts["kept"] == len(made) - len(aside) and "audit" in made.facts
    assert all(record.keep for record in made if record.id in ("u1", "u2"))


def test_one_copy_always_stays(audited: Records, context: Context) -> None:
    kept = {record.text for record in curate(audited, context) if record.keep}
    lost = [r for r in curate(audited, context) if r.text not in kept and any("duplicates" in line for line in r.trail)]
    assert not lost


def test_report_changes_nothing(audited: Records, context: Context) -> None:
    made = curate(audited, context, actions="report")
    assert made.table().equals(audited.table())


def test_relabel_and_soften_change_the_label_in_the_open(audited: Records, context: Context) -> None:
    before = {record.id: record.label for record in audited}
    relabelled = [one for one in curate(audited, context, actions={"label_errors": "relabel"}) if one.trail]
    assert relabelled and all(one.label == turned(before[one.id] or "") and one.keep for one in relabelled)
    assert all(one.label_from == "quality.curate:relabel" and one.probs is None for one in relabelled)
    softened = [one for one in curate(audited, context, actions={"label_errors": "soften"}) if one.trail]
    assert softened and all(one.probs and abs(sum(one.probs) - 1) < 1e-5 and max(one.probs) < 1 for one in softened)


def test_a_class_that_is_doubted_as_a_whole_is_left_to_a_person(context: Context, bag_of_words: None) -> None:
    rows = reviews(200)
    positive = [at for at, row in enumerate(rows) if row.label == "positive"][:30]
    rows = [row for at, row in enumerate(rows) if row.label == "negative" or at in positive]
    wrong = set(np.random.default_rng(0).choice([r.id for r in rows if r.label == "positive"], 20, replace=False))
    negatives = iter(reviews(400, seed=9))
    rows = [
        replace(next(one for one in negatives if one.label == "negative"), id=r.id, label="positive")
        if r.id in wrong
        else r
        for r in rows
    ]
    made = curate(audit(Records.from_rows(rows), context, effect="none"), context, certain=0.5)
    assert made.facts["curate"]["left_to_a_person"] == ["positive"]
    assert all(record.keep for record in made if record.label == "positive")


def test_conflicts_without_a_majority_wait_for_a_person(context: Context) -> None:
    rows = [Record(text="so so", id="a", label="positive"), Record(text="so so", id="b", label="negative")]
    made = list(curate(audit(Records.from_rows(rows), context, effect="none"), context))
    assert [one.keep for one in made] == [False, False]


def test_an_unknown_check_names_the_nearest(audited: Records, context: Context) -> None:
    with pytest.raises(BurnishError, match="did you mean 'label_errors'"):
        curate(audited, context, actions={"label_error": "drop"})


def test_the_gate_names_what_was_measured_and_the_limit(audited: Records, context: Context) -> None:
    with pytest.raises(GateError, match=r"duplicates is 0\.03\d, the limit is 0\.010") as error:
        gate(audited, context, duplicates=0.01, min_records=10)
    assert error.value.exit_code == 3 and (context.scratch / "report.html").read_text("utf-8").startswith(
        "<!doctype html>"
    )
    curated = curate(audited, context)
    numbers = gate(curated, context, duplicates=0.01, label_noise=0.05, min_per_label=100).numbers
    assert all(one["holds"] for one in numbers["gate"].values())


def test_a_gate_without_an_audit_says_what_to_write(context: Context) -> None:
    with pytest.raises(BurnishError, match=r"no audit before it has measured(.|\n)*use: audit"):
        gate(Records.from_rows(reviews(5)), context, label_noise=0.1)


def test_the_page_says_it_first_and_escapes_everything(context: Context, bag_of_words: None) -> None:
    rows = [*reviews(120), Record(text="<script>alert(1)</script> and more of it", id="x<b>", label="positive")]
    rows += [replace(rows[-1], id="again"), replace(rows[0], id="near", text=rows[0].text + " indeed")]
    made = curate(audit(Records.from_rows(rows), context, effect="probe"), context)
    done = report(made, context)
    assert done.page and "<script>alert(1)" not in done.page and "&lt;script&gt;alert(1)" in done.page
    assert "<ins>" in done.page  # the near copy beside its other, the difference marked
    assert "http://" not in done.page.replace("http://www.w3.org", "") and "https://" not in done.page
    assert done.numbers["verdict"] in done.page
    assert done.numbers["headline"]["records"] == 123 and done.numbers["findings"]["exact_duplicates"] == 1


def test_without_an_audit_the_page_says_so(context: Context) -> None:
    assert report(Records.from_rows(reviews(5)), context).numbers["verdict"] == "No audit has looked at these records."
