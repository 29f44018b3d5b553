"""The example of every data set: a spec that loads, a reader that writes its data, records that its task accepts."""

from __future__ import annotations

import importlib
import json
import re
import sys
from itertools import islice
from pathlib import Path

import pytest
import yaml

from burnish.core.records import Record
from burnish.core.spec import load
from burnish.core.tasktypes import known_types, open_task, task_class

from .doc_pages import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*/burnish.yaml"))
OF_READERS = {path.parent.name: path for path in EXAMPLES if "tasks.py prepare" in path.read_text("utf-8")}


@pytest.fixture(scope="module")
def bench():
    """Import a file of benchmarks/ as its own scripts do."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))


def loaded(path: Path):
    raw = yaml.safe_load(path.read_text("utf-8"))["task"]
    types = {raw["type"], *(one["type"] for one in raw.get("tasks", {}).values())}
    if missing := types - set(known_types()):
        pytest.skip(f"no task type {', '.join(sorted(missing))} here")
    if shapes := {"multi_label", "ordinal", "hierarchical"} & set(raw) - set(task_class(raw["type"]).options):
        pytest.skip(f"{raw['type']} has no {', '.join(shapes)} here")
    return load(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_a_sound_spec(path: Path) -> None:
    assert loaded(path).steps


def test_every_reader_has_an_example_and_every_example_a_reader(bench) -> None:
    readers = {**bench("sets_en").READERS, **bench("sets_zh").READERS}
    assert set(readers) == set(OF_READERS)
    for name, path in OF_READERS.items():
        assert re.search(rf"tasks.py prepare {re.escape(name)}$", path.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(OF_READERS))
def test_prepared_records_are_valid_for_the_task(name: str, bench) -> None:
    spec = loaded(OF_READERS[name])
    files = [OF_READERS[name].parent / "data" / f"{side}.jsonl" for side in ("train", "test")]
    if not all(map(Path.is_file, files)):
        pytest.skip(f"examples/{name}/data is not prepared")
    task, fields = open_task(spec.task), bench("races").FIELDS
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for row in map(json.loads, islice(lines, 200)):
                row |= {to: row.pop(said) for to, said in (("text", "source"), ("output", "target")) if said in row}
                row |= {"labels": row.pop("label")} if isinstance(row.get("label"), list) else {}
                known = {key: value for key, value in row.items() if key in (*fields, "labels")}
                meta = {key: value for key, value in row.items() if key not in known}
                assert task.problem(Record(**known, meta=meta)) is None, row


def test_near_duplicates_and_groups_stay_on_one_side(bench) -> None:
    sets = bench("sets")
    text = "the company said that its profit of the second quarter rose to {} million euros from a year before"
    rows = [{"text": text.format(i), "group": str(i % 7)} for i in range(40)]
    assert sorted(map(len, sets.drawn(rows, {"train": 0.5, "test": 0.5}))) == [0, 40]
    train, test = sets.drawn(rows, {"train": 0.5, "test": 0.5}, group=lambda row: row["group"])
    assert train and test and not {r["group"] for r in train} & {r["group"] for r in test}


def test_facts_count_leaks_and_contradictions(bench) -> None:
    sets = bench("sets")
    train = [{"text": "good film", "label": "a"}, {"text": "Good  film", "label": "b"}, {"text": "other", "label": "b"}]
    found = sets.facts(sets.Sides(train, [{"text": "other", "label": "a"}, {"text": "new", "label": "c"}]))
    assert found["train"] == {"repeats": 1, "repeats with another answer": 1}
    assert found["leaks"]["test inputs that train has too"] == 1
    assert found["leaks"]["test inputs that train has with another answer"] == 1
    assert found["labels only in test"] == {"c": 1}


def test_answers_with_a_wrong_offset_are_mended_and_counted(bench) -> None:
    from collections import Counter

    asked = {
        "question": "Who?",
        "id": "1",
        "answers": [{"text": "Ann", "answer_start": 9}, {"text": "Eve", "answer_start": 0}],
    }
    squad = {"data": [{"title": "t", "paragraphs": [{"context": "Ann met Bob. Ann left.", "qas": [asked]}]}]}
    dirt: Counter[str] = Counter()
    (row,) = bench("sets_en").squad_rows(squad, dirt)
    assert row["answer"] == {"text": "Ann", "start": 13} and row["answers"] == ["Ann"]
    assert dirt == {
        "answers with a wrong offset, mended to the nearest place": 1,
        "answers that do not stand in the text": 1,
    }


def test_a_run_that_fails_has_a_row_that_says_so(bench) -> None:
    tasks = bench("tasks")
    code, cost, story = tasks.timed(
        [sys.executable, "-c", "import sys; print('no data', file=sys.stderr); sys.exit(3)"]
    )
    assert code == 3 and "no data" in story and cost["peak_mb"] > 1
    row = {"set": "x", "command": "burnish run x", "error": f"exit code {code}: no data", **cost}
    assert "failed: exit code 3: no data" in tasks.table([row])


def test_words_between_blanks_carry_the_tags_of_the_spans(bench) -> None:
    made = bench("races")._words("in New York now", [{"start": 3, "end": 11, "label": "LOC"}])
    assert made == [("in", (0, 2), "O"), ("New", (3, 6), "B-LOC"), ("York", (7, 11), "I-LOC"), ("now", (12, 15), "O")]
