"""The quality room reads records of every task: texts are judged, checks of class labels say that they are not for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from task_samples import SAMPLES

from burnish.core.artifacts import Records
from burnish.core.errors import SpecError
from burnish.core.progress import Silent
from burnish.core.records import Record, iterate
from burnish.core.spec import load
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.quality.audit import audit
from burnish.quality.curate import curate
from burnish.quality.gate import gate, measured
from burnish.quality.report import report

OF_LABELS = ("joint_balance", "label_errors", "conflicting_duplicates")
WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "lagoon",
    "meadow",
    "nectar",
    "orchid",
]


def many(kind: str, count: int = 40) -> tuple[TaskSpec, list[Record]]:
    """The samples again and again, each with words of its own behind its last text; then one copy and one empty record."""
    spec, table = SAMPLES[kind]
    rows = list(iterate([table]))
    made = []
    for at in range(count):
        row = rows[at % len(rows)]
        more = f" {WORDS[at % 15]} {WORDS[at // 15]} {WORDS[(at * 7 + at // 15) % 15]}"
        if row.messages:
            turns = [dict(turn) for turn in row.messages]
            turns[-1]["content"] += more
            row = replace(row, messages=turns)
        elif row.text_b and kind != "ranking":
            row = replace(row, text_b=row.text_b + more, text=(row.text or "") + more)
        else:
            row = replace(row, text=(row.text or "") + more)
        made.append(replace(row, id=f"r{at}", findings=[], trail=[], votes=[]))
    blank = [{"role": "user", "content": "…"}] if made[0].messages else None
    empty = Record(text=None if blank else "!!", messages=blank, id="blank")
    return spec, [*made, replace(made[0], id="copy"), empty]


def here(task: TaskSpec, folder: Path) -> Context:
    return Context(task, 0, folder, folder, folder, Silent())


@pytest.mark.usefixtures("bag_of_words")
@pytest.mark.parametrize("kind", SAMPLES)
def test_records_of_every_task_are_audited_and_curated(kind: str, tmp_path: Path) -> None:
    spec, rows = many(kind)
    context, task = here(spec, tmp_path), open_task(spec)
    made = curate(audit(Records.from_rows(rows), context), context)
    checks = made.facts["audit"]["checks"]
    for name in OF_LABELS:
        assert checks[name]["skipped"].startswith("not for this task") != task.one_label, name
    assert checks["exact_duplicates"]["count"] == 1
    aside = {record.id for record in made if not record.keep}
    assert {"copy", "blank"} <= aside
    assert made.facts["audit"]["labelled"] > 0
    drawn = report(made, context)
    numbers, html = drawn.numbers, drawn.page
    assert numbers["labelled"] > 0
    if not task.one_label:
        assert "Not for this task" in html
        assert "Not measured: " in html and made.facts["audit"]["no_probe"] in html.replace("&#x27;", "'")
        assert not any(one["effect"] for one in checks.values())
    assert gate(made, context, duplicates=0.5, min_records=1).numbers["gate"]["min_records"]["holds"]


def test_questions_of_one_context_are_no_copies(tmp_path: Path) -> None:
    context = "The notes were written by Ada Lovelace in 1843 and printed in London by Richard Taylor. " * 4
    asked = ["Who wrote the notes?", "Where were they printed?", "谁印了这些笔记？", "In which year was that?"]
    rows = [Record(id=str(at), text=one, text_b=context) for at, one in enumerate(asked)]
    rows.append(Record(id="copy", text="Who wrote the  notes?", text_b=context.replace("Richard", "R.")))
    spec = TaskSpec("question_answering", (), {}, ("en", "zh"))
    made = audit(Records.from_rows(rows), here(spec, tmp_path), effect="none", near=0.6)
    found = {one.id for one in made for finding in one.findings if finding["check"] == "near_duplicates"}
    assert found == {"copy"}


def test_talks_with_one_system_turn_are_no_copies(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You are a patient librarian who answers in one short sentence. " * 5}
    asked = [("Hi", "Hello!"), ("你好", "你好呀！"), ("Where is the atlas?", "On the second shelf.")]
    rows = [
        Record(messages=[system, {"role": "user", "content": one}, {"role": "assistant", "content": other}])
        for one, other in asked
    ]
    made = audit(Records.from_rows(rows), here(TaskSpec("chat", (), {}, ("en", "zh")), tmp_path), effect="none")
    assert not any(one["check"].endswith("duplicates") for record in made for one in record.findings)


def test_another_translation_of_the_same_text_is_left_to_a_person(tmp_path: Path) -> None:
    rows = [
        Record(id=out, text="A dog sleeps in the sun.", output=out) for out in ("一只狗在晒太阳。", "狗在阳光下睡觉。")
    ]
    context = here(TaskSpec("translation", (), {}, ("en", "zh")), tmp_path)
    made = curate(audit(Records.from_rows(rows), context, effect="none"), context)
    assert all(record.keep for record in made)
    assert [one["action"] for record in made for one in record.findings if one["check"] == "exact_duplicates"] == [
        "review"
    ]


def test_a_gate_on_class_labels_is_refused_before_anything_runs(tmp_path: Path) -> None:
    spec = """
burnish: 1
task: {type: TASK, languages: [en]}
sources: {use: jsonl, path: raw.jsonl}
quality: [audit, {use: gate, label_noise: 0.1, min_per_label: 3}]
"""
    path = tmp_path / "burnish.yaml"
    path.write_text(spec.replace("TASK", "chat"), "utf-8")
    with pytest.raises(SpecError) as caught:
        load(path)
    said = [one.message for one in caught.value.problems]
    assert len(said) == 2 and all("not for this task" in one for one in said)
    path.write_text(spec.replace("TASK", "tagging, labels: [PER]").replace("label_noise: 0.1, ", ""), "utf-8")
    assert load(path).task.type == "tagging"


def test_labels_of_spans_are_counted_by_the_gate() -> None:
    rows = [Record(text="Ada", spans=[{"start": 0, "end": 3, "label": "PER"}]), Record(text="none", spans=[])]
    assert measured(Records.from_rows(rows), ("PER", "ORG"), ("spans",))["min_per_label"] == 0
    assert measured(Records.from_rows(rows), ("PER",), ("spans",))["min_per_label"] == 1
