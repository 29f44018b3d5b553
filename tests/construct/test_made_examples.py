"""The two examples without a label, from the spec to records: the handbook's questions, the relatives' relations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import burnish
from burnish.core.progress import Silent
from burnish.core.records import Record

EXAMPLES = Path(__file__).parents[2] / "examples"


def constructed(name: str, folder: Path) -> list[Record]:
    shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("runs"))
    made = burnish.run(burnish.load_spec(folder / name / "burnish.yaml"), to="construct", progress=Silent())
    rows = pq.read_table(made / "construct/records.parquet").to_pylist()
    return [Record.from_row(row) for row in rows]


def test_a_handbook_becomes_questions(tmp_path: Path) -> None:
    pytest.importorskip("markitdown")
    records = constructed("handbook", tmp_path)
    questions = [one for one in records if one.text_b is not None and one.keep]
    asked = {one.text: one for one in questions if (one.answer or {})["text"]}
    assert (asked["How do I return an item?"].answer or {})["text"].startswith("Open your orders")
    assert (asked["周末可以入库吗？"].answer or {})["text"] == "可以，但要提前三天申请。"
    assert (asked["冷库是指什么？"].answer or {})["text"].startswith("温度")
    assert {one.group for one in asked.values()} == {"docs/returns.md", "docs/warehouse.html"}
    assert any(one.answer == {"text": "", "start": None} for one in questions)
    assert all(not one.keep for one in records if one.text_b is None)  # the sections themselves are material


def test_relatives_are_found_beyond_the_knowledge_base(tmp_path: Path) -> None:
    records = constructed("relatives", tmp_path)
    by_kb = {one.id for one in records if any(vote["labeller"].startswith("knowledge_base") for vote in one.votes)}
    told = [one for one in records if any(relation["label"] != "no_relation" for relation in one.relations or ())]
    assert len(by_kb) == 36 and len(told) > 40
    wife = next(one for one in told if "的妻子" in (one.text or "") and one.id not in by_kb)
    assert {relation["label"] for relation in wife.relations or ()} == {"夫妻"}
    assert wife.label_from == "aggregate:weighted"
