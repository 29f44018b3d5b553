"""review.queue: who stands in it and why, and what people decided carried out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import WORLDS, finding, records, vote

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec
from burnish.review import worth
from burnish.review.queue import queue
from burnish.review.say import reasons
from burnish.review.signals import conflict
from burnish.review.verdicts import Verdict, append

TASK = TaskSpec("classification", ("negative", "positive"), {}, ("en", "zh"))


def context(folder: Path, task: TaskSpec = TASK) -> Context:
    return Context(task, 0, folder, folder / "scratch", folder / "cache", Silent(), name="reviews")


def run(folder: Path, rows: list[Record] | Records, task: TaskSpec = TASK, **settings: Any) -> Records:
    given = (
        rows
        if isinstance(rows, Records)
        else Records.from_rows(replace(one, id=str(at)) for at, one in enumerate(rows))
    )
    made = queue(given, context(folder, task), **settings)
    (folder / "out").mkdir(exist_ok=True)
    facts = made.facts
    made.save(folder / "out")
    opened = Records.open(folder / "out")
    assert opened.facts == json.loads(json.dumps(facts))
    return opened


def parts(facts: dict[str, Any]) -> dict[str, list[str]]:
    return {one["id"]: [part["part"] for part in one["why"]] for one in facts["queue"]}


def test_what_is_contradicted_unsure_or_suspected_stands_first_and_says_so(tmp_path: Path) -> None:
    calm = [
        Record(f"a quiet text about thing number {at} of many", label="positive", confidence=0.99) for at in range(20)
    ]
    doubt = Record("nobody knows", label="positive", probs=[0.49, 0.51], confidence=0.51)
    fought = Record(
        "they fight", label="positive", confidence=0.99, votes=[vote("a", "positive"), vote("b", "negative")]
    )
    suspect = Record(
        "wrong?",
        label="positive",
        confidence=0.99,
        findings=[finding("label_errors", 0.9, "looks negative", "relabel:negative")],
    )
    bare = Record("nothing says anything of it")
    facts = run(tmp_path, [*calm, doubt, fought, suspect, bare], budget=6).facts
    assert [one["id"] for one in facts["queue"]][:4] == ["22", "23", "20", "21"]
    assert [parts(facts)[one][0] for one in ("20", "21", "22", "23")] == [
        "uncertainty",
        "disagreement",
        "suspicion",
        "uncertainty",
    ]
    told = {one["id"]: reasons(one["why"])[0]["sentence"] for one in facts["queue"]}
    assert (
        "positive (a); negative (b)" in told["21"] and "looks negative" in told["22"] and "no target yet" in told["23"]
    )
    chinese = {one["id"]: reasons(one["why"], "zh")[0]["sentence"] for one in facts["queue"]}
    assert "互相矛盾" in chinese["21"] and "还没有标注" in chinese["23"]
    assert all(len(one["why"]) for one in facts["queue"]) and len(facts["queue"]) == 6


def test_twins_do_not_stand_behind_each_other(tmp_path: Path) -> None:
    twins = [
        Record(f"the same complaint about the kettle, copy {at}", label="negative", confidence=0.5) for at in range(5)
    ]
    other = Record("something else entirely, in praise of a lamp", label="positive", confidence=0.55)
    order = [one["id"] for one in run(tmp_path, [*twins, other], budget=3).facts["queue"]]
    assert order[1] == "5"


def test_copies_and_broken_records_are_not_asked_about(tmp_path: Path) -> None:
    copy = Record("x", label="positive", keep=False, findings=[finding("exact_duplicates", 1, "a copy", "drop")])
    doubtful = Record(
        "y", label="positive", keep=False, findings=[finding("label_errors", 0.95, "?", "relabel:negative")]
    )
    assert list(parts(run(tmp_path, [copy, doubtful]).facts)) == ["1"]


def test_labellers_of_different_stretches_do_not_contradict_each_other() -> None:
    first = vote("a", "PER", start=0, end=4)
    assert conflict([first, vote("b", "LOC", start=6, end=9)], exclusive=True)[0] == 0
    assert conflict([first, vote("b", "LOC", start=0, end=4)], exclusive=True)[0] == 1
    assert conflict([first, vote("b", "PER", start=0, end=2)], exclusive=True)[0] == 1
    assert conflict([first, vote("a", "LOC", start=0, end=4)], exclusive=True)[0] == 0
    assert conflict([vote("a", "price"), vote("b", "service")], exclusive=False)[0] == 0
    inside = [vote("a", "ORG", start=0, end=9), vote("b", "LOC", start=4, end=9)]
    assert conflict(inside, exclusive=True, nested=True)[0] == 0 and conflict(inside, exclusive=True)[0] == 1
    both = conflict([vote("a", "p"), vote("b", "n"), vote("c", "p")], exclusive=True)
    assert both[0] == pytest.approx(2 / 3) and both[1] == {"p": ["a", "c"], "n": ["b"]}


def test_decisions_are_carried_out(tmp_path: Path) -> None:
    rows = [
        Record(
            "a",
            label="negative",
            probs=[0.8, 0.2],
            confidence=0.8,
            label_from="aggregate:weighted",
            votes=[vote("rule", "negative")],
        ),
        Record("b", label="negative"),
        Record("c", label="negative"),
        Record("d", label="negative"),
        Record(
            "e", label="negative", keep=False, findings=[finding("label_errors", 0.97, "positive", "relabel:positive")]
        ),
        Record("f", label="negative", keep=False, findings=[finding("empty", 1, "nothing", "drop")]),
        Record("g", label="negative"),
    ]
    to = {"label": "positive"}
    append(
        tmp_path / "reviews.verdicts.jsonl",
        [
            Verdict("0", "ann", "change", to, {"label": "negative"}), Verdict("1", "ann", "accept", None, {"label": "negative"}),
            Verdict("2", "ann", "reject"), Verdict("3", "ann", "change", to), Verdict("3", "bob", "accept", {"label": "negative"}),
            Verdict("4", "ann", "change", to), Verdict("5", "ann", "change", to), Verdict("6", "ann", "change", {"label": "gone"}),
            Verdict("elsewhere", "ann", "accept", {"label": "positive"}),
        ],
    )  # fmt: skip
    made = run(tmp_path, rows)
    one, two, three, four, five, six, seven = list(made)
    assert (one.label, one.probs, one.label_from, one.confidence) == ("positive", None, "review", 1.0)
    assert [(v["labeller"], v["label"]) for v in one.votes] == [("rule", "negative"), ("review:ann", "positive")]
    assert one.trail[-1] == "review: positive by ann, was negative"
    assert (two.label, two.label_from, two.trail[-1]) == ("negative", "review", "review: negative by ann")
    assert (three.keep, three.findings[-1]["reason"], three.findings[-1]["action"]) == (
        False,
        "rejected by ann",
        "drop",
    )
    assert four.label == "negative" and four.keep and "ann: positive; bob: negative" in four.findings[-1]["reason"]
    assert {v["labeller"] for v in four.votes} == {"review:ann", "review:bob"}
    assert five.keep and five.label == "positive"
    assert not six.keep and six.label == "positive"  # its label is right now, and it is still broken
    assert seven.label == "negative" and "does not hold any more" in seven.findings[-1]["reason"]
    progress = made.facts["progress"]
    assert (progress["decided"], progress["disputed"], progress["without_record"]) == (6, 1, 1)
    assert made.facts["queue"][0]["id"] == "3" and made.facts["queue"][0]["why"][0]["part"] == "disputed"
    assert not {"0", "1", "2"} & set(parts(made.facts))
    assert made.facts["agreement"]["records"] == 1


@pytest.mark.parametrize("name", list(WORLDS))
def test_every_task_can_be_decided(tmp_path: Path, name: str) -> None:
    """The target of the second record, given to the first where that fits; else its own."""
    from burnish.core.tasktypes import open_task
    from burnish.review.targets import open_row, shown

    spec, _ = WORLDS[name]
    own = records(name)
    editors = open_task(spec).editors()
    assert editors
    rows = [open_row(row) for row in own.table().to_pylist()]
    target = shown(
        rows[1] if editors[0].kind in ("label", "labels", "value", "output", "messages") else rows[0], editors
    )
    append(
        tmp_path / "reviews.verdicts.jsonl", [Verdict(rows[0]["id"], "ann", "change", target, shown(rows[0], editors))]
    )
    made = list(run(tmp_path, own, spec))
    assert len(made) == len(rows) and made[0].label_from == "review"
    again = open_row(Records.open(tmp_path / "out").table().to_pylist()[0])
    assert shown(again, editors) == target
    assert made[0].text == rows[0]["text"] and made[1].label_from != "review"


def test_weights_are_learnt_from_decisions() -> None:
    rng = np.random.default_rng(0)
    shares = np.zeros((200, 4))
    shares[:, 1] = rng.random(200)  # uncertainty alone tells
    shares[:, 0] = rng.random(200)
    decided = {row: bool(shares[row, 1] > 0.6) for row in range(100)}
    model = worth.learn(shares, decided)
    chance, _ = model.chances(shares)
    assert model.about == "decisions" and worth.learn(shares, {0: True}).about == "defaults"
    assert np.corrcoef(chance[100:], shares[100:, 1])[0, 1] > 0.95


def test_a_slice_where_people_found_much_gives_more(tmp_path: Path) -> None:
    rows = [
        Record(
            f"text {at} {'forum' if at % 2 else 'shop'}",
            label="positive",
            confidence=0.9,
            source="forum" if at % 2 else "shop",
        )
        for at in range(60)
    ]
    append(
        tmp_path / "reviews.verdicts.jsonl",
        [
            Verdict(str(at), "ann", "change" if at % 2 else "accept", {"label": "negative" if at % 2 else "positive"})
            for at in range(24)
        ],
    )
    facts = run(tmp_path, rows, budget=10, slices=["source"]).facts
    assert sum(int(one["id"]) % 2 for one in facts["queue"]) >= 8
    table = {one["value"]: (one["looked"], one["changed"]) for one in facts["slices"]["source"]}
    assert table == {"forum": (12, 12), "shop": (12, 0)}
    assert "Of 12 looks at records with source forum, 12 changed" in json.dumps(
        [reasons(one["why"]) for one in facts["queue"]]
    )


SPEC = """\
burnish: 1
name: shop
task: {type: classification, labels: [negative, positive]}
sources: {use: jsonl, path: raw.jsonl, fields: {text: text, label: label}}
review: {use: queue, guidelines: %s}
"""


def test_a_new_verdict_makes_the_step_again_and_nothing_before_it(tmp_path: Path, burnish) -> None:
    rows = [{"id": str(at), "text": f"text {at}", "label": "positive"} for at in range(4)]
    (tmp_path / "raw.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (tmp_path / "rules.md").write_text("# Rules", "utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC % "rules.md", "utf-8")
    first = burnish("run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "no verdicts yet" in first.stderr
    append(tmp_path / "shop.verdicts.jsonl", [Verdict("2", "ann", "change", {"label": "negative"})])
    why = {
        one["step"]["stage"] if "step" in one else one["address"]: one["kept"]
        for one in json.loads(burnish("why", "--json", cwd=tmp_path).stdout)
    }
    assert (
        why == {"sources.jsonl": True, "sources.collect": True, "review.queue": False} or why["review.queue"] is False
    )
    assert burnish("run", cwd=tmp_path).returncode == 0
    made = {one.id: one for one in Records.from_parquet(tmp_path / "runs" / "shop" / "review" / "records.parquet")}
    assert made["2"].label == "negative" and made["1"].label == "positive"
    page = (tmp_path / "runs" / "shop" / "report.html").read_text("utf-8")
    assert "What people decided" in page and "ann" in page
    (tmp_path / "rules.md").write_text("# Other rules", "utf-8")  # words for people change no record
    assert all(one["kept"] for one in json.loads(burnish("why", "--json", cwd=tmp_path).stdout))


def test_guidelines_that_are_not_there_are_a_mistake_of_the_spec(tmp_path: Path) -> None:
    from burnish.core.errors import SpecError

    (tmp_path / "raw.jsonl").write_text('{"text": "a"}\n', "utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC % "nowhere.md", "utf-8")
    with pytest.raises(SpecError, match=r"review.queue.guidelines: no file nowhere.md"):
        load(tmp_path / "burnish.yaml")
