"""Gold of every task is read, its labels are the task's wherever they stand, and what cannot judge is refused by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_samples import SAMPLES

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.progress import Silent
from burnish.core.records import TARGETS
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.gold import file

NAMES = TaskSpec("tagging", ("PER", "ORG"), {}, ("en", "zh"))
LINKS = TaskSpec("relation_extraction", ("met",), {}, ("en",))


def here(task: TaskSpec, folder: Path) -> Context:
    return Context(task, 0, folder, folder, folder, Silent())


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_of_every_task_are_gold(kind: str, tmp_path: Path) -> None:
    spec, table = SAMPLES[kind]
    task = open_task(spec)
    labelled = table.filter(task.labelled(table))
    names = ["text", "text_b", "messages", "group", "meta", *TARGETS]
    rows = [{name: row[name] for name in names if row[name] is not None} for row in labelled.select(names).to_pylist()]
    gold = file(Records.from_rows([]), here(spec, tmp_path), path=written(tmp_path, rows))
    assert gold.facts["records"] == len(rows) and {one.label_from for one in gold} == {"gold"}


def test_labels_inside_spans_and_relations_are_the_tasks(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 11, "label": "PRE"}]
    with pytest.raises(DataError) as caught:
        file(
            Records.from_rows([]),
            here(NAMES, tmp_path),
            path=written(tmp_path, [{"text": "Ada met Bob", "spans": spans}]),
        )
    assert "gold.jsonl:1: no label 'PRE' in the task (did you mean 'PER'?)" in str(caught.value)
    linked = {"text": "Ada met Bob", "spans": spans, "relations": [{"head": 0, "tail": 1, "label": "meet"}]}
    with pytest.raises(DataError, match="no label 'meet' in the task"):
        file(Records.from_rows([]), here(LINKS, tmp_path), path=written(tmp_path, [linked]))


def test_a_record_without_the_tasks_target_is_told(tmp_path: Path) -> None:
    rows = [
        {"text": "张伟在家", "spans": [{"start": 0, "end": 2, "label": "PER"}]},
        {"text": "no spans", "label": "PER"},
    ]
    with pytest.raises(DataError, match=r"gold.jsonl:2: no spans, and gold is what others are judged by"):
        file(Records.from_rows([]), here(NAMES, tmp_path), path=written(tmp_path, rows))


def test_classes_are_counted_by_records(tmp_path: Path) -> None:
    two = [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 11, "label": "PER"}]
    path = written(tmp_path, [{"text": "Ada met Bob", "spans": two}, {"text": "nobody", "spans": []}])
    assert file(Records.from_rows([]), here(NAMES, tmp_path), path=path).facts["per_class"] == {"PER": 1, "ORG": 0}
