"""The certificate from draw to verdict: through the command line, in a spec, and what odd verdicts do to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import DataError, GateError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.review import drawing
from burnish.review.certificate import certificate, certify, draw, judge
from burnish.review.certificate_page import page
from burnish.review.verdicts import Verdict, append, read

LABELS = TaskSpec(labels=("ham", "spam"), languages=("en",), run="mail")


def context(folder: Path, task: TaskSpec = LABELS) -> Context:
    return Context(task, 0, folder, folder, folder, Silent(), name="mail")


def mails(count: int = 400, wrong_every: int = 10) -> tuple[Records, dict[str, str]]:
    """Mails labelled ham and spam, one in `wrong_every` wrongly; the truth by id."""
    truth, made = {}, []
    for at in range(count):
        name, said = f"m{at}", ("ham", "spam")[at % 4 == 0]
        truth[name] = said if at % wrong_every else ("spam" if said == "ham" else "ham")
        sure = 0.6 if at % wrong_every == 0 else 0.6 + 0.35 * ((at * 7) % 10) / 10
        made.append(Record(id=name, text=f"mail number {at}", label=said, confidence=sure, label_from="aggregate"))
    return Records.from_rows(made), truth


def said(draws: list[drawing.Draw], truth: dict[str, str], records: Records, **more: Any) -> list[Verdict]:
    shown = dict(zip(records.column("id"), records.column("label"), strict=True))
    return [
        Verdict(
            one.id, "ann", "accept" if truth[one.id] == shown[one.id] else "change", target={"label": truth[one.id]},
            was={"label": shown[one.id]}, seconds=3.0, draw={"name": "certificate", "stratum": one.stratum, "weight": one.weight},
            **more,
        )
        for one in draws
    ]  # fmt: skip


def drawn(tmp_path: Path, records: Records, **settings: Any) -> list[drawing.Draw]:
    draw(records, context(tmp_path), width=settings.pop("width", 0.05), **settings)
    return drawing.read(tmp_path / "mail.draws.jsonl")


def judged(tmp_path: Path, records: Records, verdicts: list[Verdict], draws: list[drawing.Draw]) -> Any:
    append(tmp_path / "mail.verdicts.jsonl", verdicts)
    task = open_task(LABELS)
    file = read(tmp_path / "mail.verdicts.jsonl")
    rows = drawing.rows_of(records, {one.id for one in draws} | set(file.newest), task.editors())
    return judge(draws, file, rows, task)


def test_a_draw_speaks_for_all_records_and_grows_without_losing_any(tmp_path: Path) -> None:
    records, _ = mails()
    few = drawn(tmp_path, records, sample=40)
    assert len(few) == 40 and sum(one.weight for one in few) == pytest.approx(400)
    more = drawn(tmp_path, records, sample=90)
    assert [one.id for one in more[:40]] == [one.id for one in few] and len({one.id for one in more}) == 90
    assert sum(one.weight for one in more) == pytest.approx(400)


def test_records_that_changed_are_drawn_anew_and_most_stay(tmp_path: Path) -> None:
    before = {one.id for one in drawn(tmp_path, mails()[0], sample=60)}
    after = {one.id for one in drawn(tmp_path, mails(420)[0], sample=60)}
    assert 40 < len(before & after) < 60


def test_the_accuracy_is_found_with_the_weights_of_the_strata(tmp_path: Path) -> None:
    records, truth = mails()
    draws = drawn(tmp_path, records, sample=400)
    append(tmp_path / "mail.verdicts.jsonl", said(draws, truth, records))
    numbers = certify(records, None, context(tmp_path), width=0.05)
    assert numbers["accuracy"]["value"] == pytest.approx(0.9)
    assert numbers["accuracy"]["half_width"] == pytest.approx(0, abs=1e-6)  # all were checked
    assert numbers["narrow"] and numbers["more"] == 0
    ham = next(one for one in numbers["labels"] if one["label"] == "ham")
    right = sum(truth[f"m{at}"] == "ham" for at in range(400) if at % 4)
    assert ham["precision"]["value"] == pytest.approx(right / 300)


def test_a_few_checks_give_an_interval_that_holds_the_truth(tmp_path: Path) -> None:
    records, truth = mails(4000)
    draws = drawn(tmp_path, records)
    append(tmp_path / "mail.verdicts.jsonl", said(draws[: len(draws) // 2], truth, records))
    numbers = certify(records, None, context(tmp_path), width=0.02, min_accuracy=0.9)
    found = numbers["accuracy"]
    assert found["low"] < 0.9 < found["high"] and found["checked"] == len(draws) // 2
    assert not numbers["narrow"] and numbers["more"] > 20 and numbers["holds"] is False
    assert f"{numbers['more']:,}" in numbers["next"][0] and "minutes" in numbers["next"][0]


def test_the_newest_line_counts_a_majority_settles_and_a_tie_is_disputed(tmp_path: Path) -> None:
    records, truth = mails()
    draws = drawn(tmp_path, records, sample=20)
    one, two, three, four = draws[:4]
    base = {one.id: one for one in said(draws[:4], truth, records)}

    def other(of: drawing.Draw, name: str, verdict: str = "reject") -> Verdict:
        return Verdict(of.id, name, verdict, was=base[of.id].was)

    lines = [*base.values(), other(one, "ann"), base[one.id], other(two, "bob"), other(three, "bob"), other(three, "cy"), other(four, "ann", "skip")]  # fmt: skip
    found = judged(tmp_path, records, lines, draws)
    assert found.ids == [one.id, three.id]
    assert found.right == [truth[one.id] == base[one.id].was["label"], False]
    assert {name: held["ids"] for name, held in found.aside.items()} == {"disputed": [two.id], "skipped": [four.id]}


def test_verdicts_about_what_is_gone_or_was_chosen_or_changed_since_are_said(tmp_path: Path) -> None:
    records, truth = mails()
    draws = drawn(tmp_path, records, sample=20)
    shown = dict(zip(records.column("id"), records.column("label"), strict=True))
    gone, changed, stale = draws[0].id, draws[1].id, draws[2].id
    chosen = next(one for one in truth if one not in {draw.id for draw in draws})
    flip = {"ham": "spam", "spam": "ham"}
    rows = [one for one in records if one.id != gone]
    for one in rows:
        if one.id in (changed, stale):
            one.label = flip[one.label]
    now = Records.from_rows(rows)
    lines = [
        Verdict(gone, "ann", "accept", was={"label": shown[gone]}),
        Verdict(changed, "ann", "accept", was={"label": shown[changed]}),  # right as it was, so wrong as it is now
        Verdict(stale, "ann", "reject", was={"label": shown[stale]}),
        Verdict(chosen, "ann", "accept", was={"label": shown[chosen]}),
    ]
    found = judged(tmp_path, now, lines, draws)
    assert (found.ids, found.right, found.changed) == ([changed], [False], 1)
    assert {name: held["ids"] for name, held in found.aside.items()} == {"gone": [gone], "stale": [stale], "chosen": [chosen]}  # fmt: skip
    numbers = certify(now, None, context(tmp_path), width=0.05)
    text = " ".join(numbers["grounds"])
    assert all(
        part in text for part in ("1 drawn or checked records are gone", "1 were chosen", "1 checked targets changed")
    )
    assert "1 条抽取或检查过的记录已不存在" in " ".join(numbers["said"]["zh"]["grounds"])


def test_what_people_corrected_is_judged_as_it_was_shown(tmp_path: Path) -> None:
    """Else every checked record would be right, and the certificate would praise the review."""
    records, truth = mails()
    draws = drawn(tmp_path, records, sample=200)
    append(tmp_path / "mail.verdicts.jsonl", said(draws, truth, records))
    before = certify(records, None, context(tmp_path), width=0.05)
    checked, rows = {one.id for one in draws}, list(records)
    for one in rows:
        if one.id in checked:
            one.label, one.label_from = truth[one.id], "review"
    after = certify(Records.from_rows(rows), None, context(tmp_path), width=0.05)
    assert after["accuracy"]["value"] == before["accuracy"]["value"] < 0.95
    assert after["after_review"]["value"] > before["accuracy"]["value"]
    assert "after_review" not in before


def test_records_nobody_could_decide_are_shown_at_their_worst(tmp_path: Path) -> None:
    records, truth = mails()
    draws = drawn(tmp_path, records, sample=100)
    lines = said(draws, truth, records)
    lines[0] = Verdict(draws[0].id, "ann", "skip")
    append(tmp_path / "mail.verdicts.jsonl", lines)
    numbers = certify(records, None, context(tmp_path), width=0.05)
    assert numbers["at_worst"]["value"] < numbers["accuracy"]["value"] and numbers["at_worst"]["records"] == 1


def test_the_stage_refuses_with_the_figures_and_passes_when_it_holds(tmp_path: Path) -> None:
    records, truth = mails()
    with pytest.raises(GateError, match="nothing was checked"):
        certificate(records, None, context(tmp_path), min_accuracy=0.8)
    append(tmp_path / "mail.verdicts.jsonl", said(drawn(tmp_path, records, sample=400), truth, records))
    made = certificate(records, None, context(tmp_path), min_accuracy=0.88, width=0.05)
    assert made.numbers["holds"] and "holds with 95% confidence" in made.numbers["verdict"] and made.page
    with pytest.raises(GateError, match="even the high end of the interval is below it"):
        certificate(records, None, context(tmp_path), min_accuracy=0.95, width=0.05)


def test_spans_get_precision_recall_and_f1_of_mentions(tmp_path: Path) -> None:
    task = TaskSpec("tagging", labels=("PER", "LOC"), languages=("zh",), run="mail")
    here = context(tmp_path, task)
    first = {"start": 0, "end": 2, "label": "PER"}
    rows = [Record(id=f"t{at}", text="李雷在北京", spans=[first], confidence=0.9) for at in range(50)]
    records = Records.from_rows(rows)
    draw(records, here, width=0.1, sample=50)
    whole = {"spans": [first, {"start": 3, "end": 5, "label": "LOC"}]}
    lines = [
        Verdict(
            one.id, "ann", "change" if at % 2 else "accept", target=whole if at % 2 else None, was={"spans": [first]}
        )
        for at, one in enumerate(drawing.read(tmp_path / "mail.draws.jsonl"))
    ]
    append(tmp_path / "mail.verdicts.jsonl", lines)
    numbers = certify(records, None, here, width=0.1)
    found = numbers["mentions"]
    assert numbers["accuracy"]["value"] == pytest.approx(0.5)
    assert [found[name]["value"] for name in ("precision", "recall", "f1")] == pytest.approx([1.0, 50 / 75, 100 / 125])
    assert numbers["language"] == "zh" and numbers["verdict"].startswith("50 条构建的标注中有 50.0% 正确")
    assert (
        "质量证书" in page(numbers, title="<b>") and "<b>" not in page(numbers, title="<b>").split("<body", 1)[1][:400]
    )


def test_a_line_that_is_no_draw_is_named(tmp_path: Path) -> None:
    (tmp_path / "mail.draws.jsonl").write_text('{"id": "a", "stratum": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"mail\.draws\.jsonl:1"):
        drawing.read(tmp_path / "mail.draws.jsonl")


def test_votes_that_disagree_are_a_pattern_of_their_own() -> None:
    one, two, other = (
        {"labeller": name, "label": label, "confidence": 1.0} for name, label in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    assert [drawing.pattern(some) for some in ([], [one], [one, two], [one, two, other])] == ["none", "single", "agreed", "contested"]  # fmt: skip


def test_certify_through_the_command_line(burnish, project: Path) -> None:
    assert burnish("run", "--to", "construct", cwd=project).returncode == 0
    first = burnish("certify", "runs/reviews", "--width", "0.2", "--no-worth", cwd=project)
    assert first.returncode == 0, first.stderr
    assert "Nothing is certified yet" in first.stdout and "minutes" in first.stdout
    draws = [json.loads(line) for line in (project / "reviews.draws.jsonl").read_text("utf-8").splitlines()]
    assert set(draws[0]) >= {"id", "stratum", "weight"}
    wrong = draws[0]["id"]
    lines = [
        {"id": one["id"], "reviewer": "ann", "verdict": "reject" if one["id"] == wrong else "accept", "seconds": 2.0}
        for one in draws
    ]
    file = project / "said.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines) + "{torn", encoding="utf-8")
    arguments = ("certify", "runs/reviews", "--width", "0.2", "--no-worth", "--verdicts", "said.jsonl", "--json")
    done = burnish(*arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    weight = draws[0]["weight"] / sum(one["weight"] for one in draws)
    assert numbers["accuracy"]["value"] == pytest.approx(1 - weight) and len(numbers["unreadable"]) == 1
    assert (
        json.loads((project / "runs/reviews/certificate/report.json").read_text("utf-8"))["verdict"]
        == numbers["verdict"]
    )
    assert "constructed targets are right" in (project / "runs/reviews/report.html").read_text("utf-8")
    refused = burnish(*arguments, "--precision", "0.999", cwd=project)
    assert refused.returncode == 3 and "At least 99.9% was asked" in refused.stderr
    assert burnish("certify", "runs/reviews", "--width", "2", cwd=project).returncode == 2
    assert burnish("certify", "nowhere", cwd=project).returncode == 2


def test_the_stage_runs_in_a_spec_and_new_verdicts_make_it_again(burnish, project: Path) -> None:
    spec = project / "burnish.yaml"
    spec.write_text(spec.read_text("utf-8") + "review: {use: certificate, width: 0.2}\n", encoding="utf-8")
    assert burnish("run", "--to", "review", cwd=project).returncode == 0
    assert burnish("certify", "runs/reviews", "--width", "0.2", "--no-worth", cwd=project).returncode == 0
    draws = [json.loads(line) for line in (project / "reviews.draws.jsonl").read_text("utf-8").splitlines()]
    (project / "reviews.verdicts.jsonl").write_text(
        "".join(json.dumps({"id": one["id"], "reviewer": "ann", "verdict": "accept"}) + "\n" for one in draws), "utf-8"
    )
    again = burnish("run", "--to", "review", cwd=project)
    assert again.returncode == 0 and "100.0%" in again.stderr, again.stderr
    assert json.loads((project / "runs/reviews/review/certificate.json").read_text("utf-8"))["accuracy"]["value"] == 1.0


def test_probabilities_of_the_guess_never_reach_the_ends() -> None:
    from burnish.measures.certificate_design import guessed

    found = guessed([0.0, 1.0, np.nan])
    assert 0 < found.min() and found.max() < 1
