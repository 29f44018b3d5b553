"""Where a labeller is not for the targets of a task, `burnish check` says so, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_samples import SAMPLES

from burnish.construct.forms import form_name
from burnish.core.errors import SpecError
from burnish.core.spec import dump, load

LABELLERS = {
    "keywords": {"label": "PER", "words": ["good"]},
    "regex": {"label": "PER", "pattern": "好"},
    "dictionary": {"path": "terms.tsv"},
    "functions": {"path": "rules.py"},
    "existing": {},
    "model": {"path": "runs/old"},
    "examples": {"path": "seeds.jsonl"},
    "descriptions": {},
    "self_training": {},
}


ANY_FORM = ("functions", "existing", "model")  # they vote wherever votes have a form


def problems(path: Path) -> list[str]:
    try:
        load(path)
    except SpecError as error:
        return [one.message for one in error.problems]
    return []


def written(folder: Path, kind: str, use: str) -> Path:
    task = SAMPLES[kind][0]
    section = {"type": kind, "labels": list(task.labels), "languages": ["en", "zh"], **task.options}
    steps = [{"use": use, **LABELLERS[use]}]
    path = folder / "burnish.yaml"
    path.write_text(
        dump({"task": section, "sources": {"use": "jsonl", "path": "a.jsonl"}, "construct": steps}), "utf-8"
    )
    return path


NOWHERE = [(kind, use) for kind in sorted(set(SAMPLES) - {"classification", "tagging"}) for use in LABELLERS] + [
    ("tagging", "examples"),
    ("tagging", "descriptions"),
]


@pytest.mark.parametrize(("kind", "use"), NOWHERE)
def test_a_labeller_says_which_task_it_is_not_for(tmp_path: Path, kind: str, use: str) -> None:
    if use in ANY_FORM and form_name(SAMPLES[kind][0]) is not None:
        assert not [one for one in problems(written(tmp_path, kind, use)) if f"construct.{use}" in one]
        return
    with pytest.raises(SpecError) as caught:
        load(written(tmp_path, kind, use))
    told = [one for one in caught.value.problems if f"construct.{use}" in one.message]
    assert len(told) == 1 and told[0].line
    if use == "self_training" and form_name(SAMPLES[kind][0]) is not None:
        assert "self-training is not for" in told[0].message
        return
    assert f"a target of {kind}" in told[0].message and "labelled records as a source" in told[0].hint


def test_self_training_is_refused_before_a_run_where_it_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "burnish.yaml"
    path.write_text(
        "task: {type: classification, labels: [a, b], multi_label: true}\n"
        "sources: {use: jsonl, path: a.jsonl}\nconstruct:\n  - {use: self_training}\n"
    )
    with pytest.raises(SpecError, match=r"burnish\.yaml:4: .*self-training is not for any number of labels a text"):
        load(path)


def test_several_labels_a_text_are_no_one_label(tmp_path: Path) -> None:
    path = tmp_path / "burnish.yaml"
    path.write_text(
        "task: {type: classification, labels: [a, b], multi_label: true}\n"
        "sources: {use: jsonl, path: a.jsonl}\nconstruct:\n  - {use: descriptions}\n"
    )
    with pytest.raises(
        SpecError, match=r"burnish\.yaml:4: construct\.descriptions: it votes on label, and a target of .* is labels"
    ):
        load(path)
    path.write_text(path.read_text().replace("multi_label", "ordinal"))
    assert load(path).steps
