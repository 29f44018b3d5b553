"""Effects in planted worlds: where the true effect is known, the measured one agrees with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records, write_json
from burnish.core.errors import BurnishError, GateError
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.measures.resampled import corrected_t
from burnish.quality.audit import audit
from burnish.quality.bench import bench, why_not
from burnish.quality.checks import CHECKS as CHECKS_THERE
from burnish.quality.checks import COLUMNS, Found, Material
from burnish.quality.curate import curate
from burnish.quality.effect import measure, ordered, probe_effects
from burnish.quality.gate import gate
from burnish.quality.ledger import flat, ledger, version
from burnish.quality.plan import findings_in
from burnish.quality.remedies import Finding, Remedy, candidates, remedy, together
from burnish.quality.report import report
from burnish.report import runs_table

from .conftest import reviews, turned

pytestmark = pytest.mark.usefixtures("bag_of_words")
CHECKS = ["exact_duplicates", "near_duplicates", "conflicting_duplicates", "label_errors"]


def noisy(count: int, share: float, seed: int = 1) -> tuple[list[Record], set[int]]:
    draw = np.random.default_rng(seed)
    rows = reviews(count)
    wrong = set(draw.choice(count, int(share * count), replace=False).tolist())
    return [replace(row, label=turned(row.label or "")) if at in wrong else row for at, row in enumerate(rows)], wrong


def material_of(rows: list[Record], context: Context) -> Material:
    return Material(Records.from_rows(rows).table(COLUMNS), context, near=0.8, folds=5, backbone="auto")


def effect_of(rows: list[Record], one: Remedy, context: Context, told: Any = None) -> dict[str, Any]:
    material = material_of(rows, context)
    return measure(bench(material), material, {"it": lambda seen: one}, told or {})[0]["it"]


def test_corrected_t_by_hand() -> None:
    found = corrected_t([0.0, 0.02, 0.04], held_out=0.25)
    reach = 4.302653 * np.sqrt(0.0004 * (1 / 3 + 1 / 3))  # t of 2 degrees of freedom, s^2 = 0.0004, q / (1 - q) = 1/3
    assert found.value == pytest.approx(0.02) and found.high - found.value == pytest.approx(reach, rel=1e-5)
    with pytest.raises(ValueError, match="needs two differences"):
        corrected_t([0.1], held_out=0.25)


def test_splits_shared_by_all_never_make_an_interval_vanish() -> None:
    draw = np.random.default_rng(0)
    few, many = (corrected_t(draw.normal(size=count).tolist(), held_out=0.25) for count in (20, 2000))
    assert many.high - many.low > 0.5 * (few.high - few.low)


def test_true_labels_help_and_turning_right_ones_round_harms(context: Context) -> None:
    rows, wrong = noisy(400, 0.25)
    cured = Remedy(label={at: turned(rows[at].label or "") for at in wrong})
    oracle = {"oracle": {at: Finding("oracle", 0.95, f"relabel:{turned(rows[at].label or '')}") for at in wrong}}
    good = effect_of(rows, cured, context, oracle)
    assert good["log_loss"]["high"] < 0 and good["accuracy"]["value"] > 0
    blind = effect_of(rows, cured, context)  # judged by the wrong labels as they stand: who learnt better is punished
    assert (
        blind["log_loss"]["value"] > good["log_loss"]["value"]
        and blind["accuracy"]["value"] < good["accuracy"]["value"]
    )
    clean = reviews(400)
    broken = Remedy(label={at: turned(clean[at].label or "") for at in range(0, 400, 3)})
    bad = effect_of(clean, broken, context)
    assert bad["log_loss"]["low"] > 0 and bad["accuracy"]["value"] <= 0


def test_throwing_away_a_random_fifth_shows_no_gain(context: Context) -> None:
    rows, _ = noisy(400, 0.2)
    random = np.random.default_rng(3).choice(400, 80, replace=False)
    effect = effect_of(rows, Remedy(dropped=frozenset(int(at) for at in random)), context)
    assert effect["accuracy"]["low"] <= 0


def test_label_checks_do_not_read_the_judges_labels(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that mean nothing: no remedy can help, and a check that had read the judge would seem to."""

    def gullible(material: Material) -> Found:
        """Follow the five nearest records, whatever they say."""
        near = (material.vectors @ material.vectors.T - 2 * np.eye(len(material))).argsort(axis=1)[:, -5:]
        other = np.where(material.labels[near].mean(axis=1) > 0.5, 1, 0)
        doubted = other != material.labels
        return Found(np.full(len(material), 0.95), doubted, action=lambda row: f"relabel:{material.names[other[row]]}")

    monkeypatch.setitem(CHECKS_THERE, "label_errors", replace(CHECKS_THERE["label_errors"], judge=gullible))
    draw = np.random.default_rng(0)
    rows = [replace(row, label=str(draw.choice(["negative", "positive"]))) for row in reviews(240)]
    made = audit(Records.from_rows(rows), context, checks=["label_errors"], effect="probe")
    one = made.facts["audit"]["checks"]["label_errors"]
    assert one["count"] > 20
    assert one["effect"] is None or one["effect"]["as_labelled"]["low"] <= 0


def test_labels_that_texts_say_nothing_of_are_not_doubted(context: Context) -> None:
    """A coin made them: none is likelier wrong than right. Confident learning doubted a sixth."""
    draw = np.random.default_rng(0)
    rows = [replace(row, label=str(draw.choice(["negative", "positive"]))) for row in reviews(240)]
    made = audit(Records.from_rows(rows), context, checks=["label_errors"], effect="none")
    assert made.facts["audit"]["checks"]["label_errors"]["count"] < 10


def test_every_remedy_of_a_doubted_label_is_tried_and_the_best_is_named(context: Context) -> None:
    rows, _ = noisy(400, 0.2)
    facts = audit(Records.from_rows(rows), context, checks=CHECKS, effect="probe").facts["audit"]
    effect = facts["checks"]["label_errors"]["effect"]
    assert {one["remedy"] for one in effect["remedies"]} >= {"drop", "soften"} or len(effect["remedies"]) > 1
    assert effect["remedy"] in {one["remedy"] for one in effect["remedies"]}
    assert {"accuracy", "log_loss", "ece", "worst_group", "robustness", "removed", "held_out", "by"} <= effect.keys()
    assert effect["by"] == "probe" and effect["log_loss"]["value"] < 0
    assert facts["by_effect"] == ["label_errors"]


def test_reweighing_a_group_that_is_few_helps_that_group(context: Context) -> None:
    """The few say the opposite of the many: only weight can teach their half of the world."""
    rows = []
    for at, row in enumerate(reviews(400)):
        few = at % 10 == 0
        text = f"{row.text} xenon quartz" if few else row.text
        rows.append(
            replace(row, text=text, group="few" if few else "many", label=turned(row.label or "") if few else row.label)
        )
    one = Remedy(weight={at: 4.0 for at in range(0, 400, 10)})
    effect = effect_of(rows, one, context)
    assert "few" in effect["group"] and effect["worst_group"]["value"] > 0.02
    assert effect["accuracy"]["value"] < effect["worst_group"]["value"]


def test_robustness_is_measured_where_texts_can_be_disturbed(context: Context) -> None:
    rows, wrong = noisy(300, 0.1)
    effect = effect_of(rows, Remedy(dropped=frozenset(wrong)), context)
    assert "robustness.typos" in effect and "robustness.case" in effect
    assert "robustness.counterfactual" not in effect  # nobody is he or she in these texts


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (TaskSpec(labels=("a", "b", "c"), languages=("en",), options={"multi_label": True}), lambda one: {"label": None, "labels": ["a"] if one.label == "positive" else ["b", "c"]}),
        (TaskSpec("regression", languages=("en",)), lambda one: {"label": None, "value": 1.0 if one.label == "positive" else 0.0}),
        (TaskSpec("tagging", ("GOOD", "BAD"), languages=("en",)), lambda one: {"label": None, "spans": [{"start": 0, "end": 3, "label": "GOOD" if one.label == "positive" else "BAD"}]}),
    ],
    ids=["several", "number", "spans"],
)  # fmt: skip
def test_other_targets_have_an_effect_too(context: Context, task: TaskSpec, row: Any) -> None:
    rows = [replace(one, **row(one)) for one in reviews(200)]
    other = [
        replace(
            one, **{key: row(replace(one, label=turned(one.label or "")))[key] for key in row(one)}, id=f"w{one.id}"
        )
        for one in reviews(120, seed=7)
    ]
    context = replace(context, task=task)
    material = material_of(rows + other, context)
    assert not why_not(material)
    board = bench(material)
    effect = measure(board, material, {"it": lambda seen: Remedy(dropped=frozenset(range(200, 320)))}, {})[0]["it"]
    assert effect[effect["figure"]]["value"] > 0.02, effect
    assert ("proxy" in effect) == (task.type == "tagging")


def test_answers_in_words_say_why_no_probe_learns_them(context: Context) -> None:
    rows = [Record(text=f"text {at}", id=str(at), output="so") for at in range(80)]
    material = material_of(rows, replace(context, task=TaskSpec("summarization", languages=("en",))))
    assert "is a text" in why_not(material)
    assert probe_effects(material, {}) == {}


def test_remedies_read_findings_in_one_way() -> None:
    found = {
        0: Finding("label_errors", 0.95, "relabel:b"),
        1: Finding("label_errors", 0.7, "review"),
        2: Finding("label_errors", 0.99, "keep"),
    }
    given = ["a", "a", "a", "a", "a", "b"]
    assert remedy("drop", found, given).dropped == {0}
    assert remedy("drop", found, given, certain=0.0).dropped == {0, 1}
    assert remedy("relabel", found, given, certain=0.0).label == {0: "b"}
    assert remedy("soften", found, given).shares == {0: {"a": pytest.approx(0.05), "b": 0.95}}
    doubted = remedy("reweigh", found, given, certain=0.0).weight  # as much as the label is likely to be right
    assert doubted == {0: pytest.approx(0.05), 1: pytest.approx(0.3)}
    assert together([Remedy(weight={0: 0.05}), Remedy(weight={0: 2.0})]).weight == {0: pytest.approx(0.1)}
    assert remedy("drop", {1: Finding("near_duplicates", 0.9, "review")}, given).dropped == frozenset()
    assert remedy("reweigh", {3: Finding("mine", 0.5, "reweigh:2.5")}, given).weight == {3: 2.5}
    assert remedy("reweigh", {3: Finding("mine", 0.5, "reweigh")}, given).weight[3] == pytest.approx(5**0.5)
    assert remedy("redact", {3: Finding("pii", 0.5, "redact")}, given).redacted == {3}
    assert ("redact", 0.0) in candidates([Finding("pii", 0.5, "redact")]) and not candidates([Finding("x", 1, "keep")])
    both = together([Remedy(dropped=frozenset({1}), weight={2: 3.0}), Remedy(label={1: "b", 2: "b"}, weight={2: 3.0})])
    assert both == Remedy(frozenset({1}), {2: "b"}, {}, {2: 4.0}, frozenset())


@pytest.mark.parametrize(("check", "all_judge"), [("area_under_margin", True), ("length", False)])
def test_records_that_leave_for_a_doubted_label_judge_both_models(
    context: Context, check: str, all_judge: bool
) -> None:
    """Without them the rest would be the easy ones, and taking hard records away would look like a gain."""
    rows, wrong = noisy(300, 0.2)
    told = {check: {at: Finding(check, 0.7, "review") for at in wrong}}
    material = material_of(rows, context)
    plan = {"it": lambda seen: Remedy(dropped=frozenset(wrong))}
    effects, plain, figures = measure(bench(material), material, plan, told)
    before, after = figures["it"]
    assert after["accuracy"] - before["accuracy"] == pytest.approx(effects["it"]["accuracy"]["value"], abs=1e-4)
    assert (before == plain) is all_judge
    assert (before["accuracy"] > plain["accuracy"] + 0.05) is not all_judge


def test_auto_acts_on_what_helps_and_says_before_and_after(context: Context) -> None:
    rows, wrong = noisy(400, 0.2)
    rows += [replace(rows[at], id=f"copy{at}") for at in range(20)]
    audited = audit(Records.from_rows(rows), context, checks=CHECKS, effect="probe")
    made = curate(audited, context)
    facts = made.facts["curate"]
    assert "exact_duplicates" in facts["actions"] and "label_errors" in facts["actions"]
    held = facts["held_out"]
    assert held["after"]["log_loss"] < held["before"]["log_loss"]
    assert all(facts["why"].get(name) for name in facts["actions"])
    assert facts["actions"]["label_errors"] == "reweigh"
    weight = {one.id: one.meta.get("weight", 1.0) for one in made}
    assert np.mean([weight[f"r{at}"] for at in wrong]) < 0.3
    assert np.mean([weight[f"r{at}"] for at in range(400) if at not in wrong]) > 0.95
    assert all("reweigh" in one.trail[-1] for one in made if weight[one.id] < 1)


@pytest.mark.parametrize(("reach", "acts"), [(0.04, True), (0.012, False), (0.009, False)])
def test_the_less_a_measurement_is_sure_the_more_experience_decides(reach: float, acts: bool) -> None:
    """One point lost, by judges who are 4 points unsure: other sets say more. 1.2 points unsure: they say less. 0.9: it harms.

    By hand, in points: se = 4 / 2.36 = 1.695, (0.8 * 2.873 - 1 * 2.25) / (2.873 + 2.25) = 0.0095; and with
    se = 0.508, (0.8 * 0.2585 - 2.25) / (0.2585 + 2.25) = -0.8145.
    """
    from burnish.quality.plan import by_effect, expected

    lost = {"value": -0.01, "low": -0.01 - reach, "high": -0.01 + reach}
    effect = {"remedy": "reweigh", "certain": 0.0, "figure": "accuracy", "accuracy": lost}
    plan = by_effect({"checks": {"label_errors": {"count": 9, "effect": effect}}})
    assert plan.actions == ({"label_errors": "reweigh"} if acts else {})
    assert plan.why["label_errors"].startswith("likely to help" if acts else "left")
    if reach > 0.01:
        assert 100 * expected(effect) == pytest.approx(0.0095 if acts else -0.8145, abs=2e-3)


def test_auto_leaves_what_harms(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    audited = audit(Records.from_rows(noisy(300, 0.2)[0]), context, checks=CHECKS, effect="probe")
    effect = audited.facts["audit"]["checks"]["label_errors"]["effect"]
    effect["accuracy"] = {"value": -0.05, "low": -0.08, "high": -0.02}
    made = curate(audited, context)
    assert "label_errors" not in made.facts["curate"]["actions"]
    assert made.facts["curate"]["why"]["label_errors"].startswith("left: it harms")


def test_a_plan_that_is_worse_as_a_whole_is_taken_back(context: Context) -> None:
    """The audit's figures were told wrong; the check of the whole finds out."""
    rows = reviews(300)
    audited = audit(Records.from_rows(rows), context, checks=CHECKS, effect="probe")
    table = audited.table()
    findings = [[{"check": "label_errors", "score": 1.0, "reason": "r", "action": f"relabel:{turned(row.label or '')}"}] if at % 3 == 0 else [] for at, row in enumerate(rows)]  # fmt: skip
    column = table.schema.get_field_index("findings")
    import pyarrow as pa

    from burnish.core.records import FINDING

    lied = Records.from_table(table.set_column(column, "findings", pa.array(findings, pa.list_(FINDING))))
    gain = {"value": 0.1, "low": 0.05, "high": 0.15}
    lied.facts = audited.facts
    lied.facts["audit"]["checks"]["label_errors"] |= {"count": 100, "effect": {"accuracy": gain, "figure": "accuracy", "remedy": "relabel", "certain": 0.0, "by": "probe"}}  # fmt: skip
    material = Material(lied.table(COLUMNS), context, near=0.8, folds=5, backbone="auto")
    assert len(findings_in(lied, material)["label_errors"]) == 100
    from burnish.quality import plan as plans

    once = plans.by_effect(lied.facts["audit"])
    assert once.actions == {"label_errors": "relabel"}
    monkey = pytest.MonkeyPatch()
    monkey.setattr("burnish.quality.effect.asked_again", lambda material, names, told: lambda rows: dict(told))
    try:
        done = plans.checked(once, lied, context)
    finally:
        monkey.undo()
    assert done.actions == {} and done.why["label_errors"].startswith("taken back")


def test_order_is_by_effect() -> None:
    def gain(value: float) -> dict[str, Any]:
        return {"accuracy": {"value": value, "low": value - 0.01, "high": value + 0.01}, "figure": "accuracy"}

    assert ordered({"a": gain(-0.1), "b": None, "c": gain(0.2), "d": gain(0.0)}) == ["c", "d", "a", "b"]


def test_the_ledger_names_the_content_and_not_the_order(context: Context) -> None:
    rows = [replace(row, group="x" if at % 2 else "y") for at, row in enumerate(reviews(200))]
    audited = audit(Records.from_rows(rows), context, checks=[*CHECKS, "pii"], effect="probe")
    table = ledger(audited, context)
    assert table["version"] == version(Records.from_rows(rows[::-1])) != version(Records.from_rows(rows[1:]))
    assert table["performance"]["accuracy"] > 0.8 and table["safety"]["pii"] == 0
    assert 0 <= table["fairness"]["demographic_parity_difference"] < 0.3 and "robustness" in table["reliability"]
    assert "safety.toxicity" in table["not_measured"]
    done = report(audited, context)
    assert (
        done.numbers["ledger"] == table
        and "ledger of this data version" in (done.page or "")
        and "ledger.json" in done.files
    )
    assert flat(table)["performance.accuracy"] == table["performance"]["accuracy"]


def test_fairness_sees_a_group_that_is_judged_by_another_rule(context: Context) -> None:
    rows = [replace(row, text=f"{row.text} quartz" if at % 2 else row.text, label="positive" if at % 2 else row.label, group="x" if at % 2 else "y") for at, row in enumerate(reviews(300))]  # fmt: skip
    table = ledger(audit(Records.from_rows(rows), context, checks=CHECKS, effect="probe"), context)
    assert table["fairness"]["demographic_parity_difference"] > 0.3
    assert table["fairness"]["demographic_parity_difference.where"].startswith("group")


def test_gates_take_findings_effects_and_ledger_figures(context: Context) -> None:
    rows, _ = noisy(300, 0.2)
    audited = audit(Records.from_rows(rows), context, checks=CHECKS, effect="probe")
    with pytest.raises(GateError, match=r"findings\.label_errors is 0\.\d+, the limit is 0\.010") as error:
        gate(audited, context, findings={"label_errors": 0.01})
    assert error.value.exit_code == 3
    with pytest.raises(GateError, match=r"performance\.accuracy is 0\.\d+, the limit is 0\.999"):
        gate(audited, context, least={"performance.accuracy": 0.999})
    made = gate(audited, context, most={"effect.label_errors.log_loss": 0.5, "reliability.ece": 1.0}).numbers["gate"]
    assert all(one["holds"] for one in made.values()) and len(made) == 2
    with pytest.raises(BurnishError, match="which was not measured"):
        gate(audited, context, least={"performance.acuracy": 0.5})


def test_redaction_is_done_where_asked_and_refused_where_targets_have_places(context: Context) -> None:
    rows = [
        *reviews(80),
        Record(text="lovely stay, call me on +1 415 555 0199, mail ann@example.com", id="p", label="positive"),
    ]
    audited = audit(Records.from_rows(rows), context, checks=["pii"], effect="none")
    made = {one.id: one for one in curate(audited, context, actions={"pii": "redact"})}
    assert "ann@example.com" not in (made["p"].text or "") and made["p"].trail[-1].startswith(
        "quality.curate: redact, pii"
    )
    tagging = replace(context, task=TaskSpec("tagging", ("A",), languages=("en",)))
    with pytest.raises(BurnishError, match="characters that would move"):
        curate(audited, tagging, actions={"pii": "redact"})


def test_runs_are_laid_beside_each_other_by_their_data(tmp_path: Path, context: Context) -> None:
    audited = audit(Records.from_rows(reviews(80)), context, checks=CHECKS, effect="probe")
    for name in ("one", "two"):
        folder = tmp_path / name / "quality"
        folder.mkdir(parents=True)
        write_json(folder.parent / "run.json", {"status": "done", "started": 1.0, "seconds": 3, "steps": []})
        write_json(folder / "report.json", report(audited, context).numbers)
    rows = runs_table(tmp_path, as_json=True)
    assert {row["data"] for row in rows} == {version(audited)}
    assert rows[0]["ledger"]["performance"]["accuracy"] > 0.5
    assert version(audited) in runs_table(tmp_path) and "data" in runs_table(tmp_path).splitlines()[0]
