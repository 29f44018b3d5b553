"""Gold is read whole or refused whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.core.artifacts import Gold, Records
from burnish.core.errors import DataError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.gold import file

SOURCES = Records.from_rows([Record(text="很好", id="1"), Record(text="other", id="2")])


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def test_gold_knows_its_classes_and_whether_it_may_teach(context: Context, tmp_path: Path) -> None:
    path = write(tmp_path, [{"text": "很好", "label": "positive"}, {"text": "bad", "label": 0}])
    gold = file(SOURCES, context, path=path, label_names={"0": "negative", "positive": "positive"}, train=True)
    assert isinstance(gold, Gold)
    assert gold.facts == {
        "train": True,
        "records": 2,
        "per_class": {"negative": 1, "positive": 1},
        "distinct": 2,
        "also_in_sources": 1,
    }
    assert [(one.label, one.label_from, one.confidence, one.line) for one in gold] == [
        ("positive", "gold", 1.0, 1),
        ("negative", "gold", 1.0, 2),
    ]
    (tmp_path / "out").mkdir()
    gold.save(tmp_path / "out")
    assert Gold.open(tmp_path / "out").facts["train"] is True


def test_all_mistakes_of_a_gold_file_are_told_at_once(context: Context, tmp_path: Path) -> None:
    rows = [
        {"text": "a", "label": "positve"},
        {"text": "b"},
        {"text": "c", "label": "negative"},
        {"text": "c", "label": "positive"},
        {"text": "d", "label": "positive"},
    ]
    with pytest.raises(DataError) as raised:
        file(SOURCES, context, path=write(tmp_path, rows))
    said = str(raised.value)
    assert "3 rows cannot be used" in said
    assert "gold.jsonl:1: no label 'positve' in the task (did you mean 'positive'?)" in said
    assert "gold.jsonl:2: no label, and gold is what others are judged by" in said
    assert "gold.jsonl:4: the same text has another target than at gold.jsonl:3" in said
    assert "hint: " in said


def test_broken_rows_and_empty_files_are_refused(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"text": "a", "label": "positive"}\n{oops\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"gold.jsonl:2: broken JSON"):
        file(SOURCES, context, path=path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="there is no gold record"):
        file(SOURCES, context, path=path)
