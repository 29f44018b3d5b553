"""The columns of a file tell its task; what is written is a spec that checks and can be priced, in both languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.core.errors import UsageError
from burnish.core.files import read
from burnish.core.records import SCHEMA, Record, Reject
from burnish.core.spec import load
from burnish.core.tasktypes import open_task, targets_of
from burnish.costs import estimate
from burnish.start import ask_and_write

EN, ZH = "Ada works at Acme in Rome.", "张伟在中国银行上海分行工作。"
ENTITIES = {
    EN: [{"start": 0, "end": 3, "label": "PER"}, {"start": 13, "end": 17, "label": "ORG"}],
    ZH: [{"start": 0, "end": 2, "label": "PER"}, {"start": 3, "end": 7, "label": "ORG"}],
}
WORKS = [{"head": 0, "tail": 1, "label": "works_for"}]
TALK = {"en": ("Hello there, who are you?", "I am a machine."), "zh": ("你好，你是谁呀？", "我是一台机器。")}


def turns(language: str) -> list[dict[str, str]]:
    asked, said = TALK[language]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


ROWS: dict[str, Any] = {
    "tagging": [{"text": text, "spans": spans} for text, spans in ENTITIES.items()],
    "relation_extraction": [{"text": t, "spans": s, "relations": WORKS} for t, s in ENTITIES.items()],
    "question_answering": [
        {"question": "Where does Ada work?", "context": EN, "answer": {"text": "Acme", "start": 13}},
        {"question": "谁在中国银行工作？", "context": ZH, "answer": {"text": "张伟", "start": 0}},
    ],
    "regression": [{"sentence1": EN, "sentence2": EN, "value": 4.5}, {"sentence1": ZH, "sentence2": ZH, "value": 1.0}],
    "translation": [{"source": EN, "target": "艾达在罗马的公司工作。"}, {"source": "A big dog.", "target": "一只大狗。"}],
    "chat": [{"messages": turns("en")}, {"messages": turns("zh")}],
    "ranking": [
        {"query": "where is my order", "candidate": "Following an order", "value": 1},
        {"query": "我的订单在哪里", "candidate": "如何开户", "value": 0},
    ],
    "summarization": [{"document": EN * 3, "summary": "Ada works."}, {"document": ZH * 3, "summary": "张伟上班。"}],
    "multitask": [
        {"text": text, "label": label, "spans": spans}
        for (text, spans), label in zip(ENTITIES.items(), ("good", "bad"), strict=True)
    ],
    "classification": [
        {"text": EN, "labels": ["work", "travel"]}, {"text": ZH, "labels": ["work"]}, {"text": "Nothing.", "labels": []},
    ],
}  # fmt: skip


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def records_of(spec: Any) -> list[dict[str, Any]]:
    """The records that the spec's source reads."""
    step = spec.steps[0]
    tables = list(
        read(spec.base / step.settings["path"], fields=step.settings.get("fields"), targets=targets_of(spec.task))
    )
    assert not any(isinstance(one, Reject) for one in tables), tables
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("kind", ROWS)
def test_the_fields_tell_the_task(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "burnish.yaml"
    told = ask_and_write(jsonl(tmp_path / "data.jsonl", ROWS[kind]), out)
    spec = load(out)
    assert spec.task.type == kind and f"task       {kind}" in told
    assert set(spec.task.languages) == {"en", "zh"}
    rows = records_of(spec)
    assert len(rows) == len(ROWS[kind])
    table = SCHEMA.empty_table().from_pylist(rows, schema=SCHEMA)
    task = open_task(spec.task)
    assert task.labelled(table).all(), "the targets are not read"
    assert task.inputs(table)
    costs = estimate(spec)
    assert costs[0].records == len(rows) and any(cost.step == "train.tune" for cost in costs)


@pytest.mark.parametrize("kind", ["tagging", "relation_extraction", "multitask", "classification"])
def test_labels_are_those_of_the_data(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "burnish.yaml"
    ask_and_write(jsonl(tmp_path / "data.jsonl", ROWS[kind]), out)
    task = load(out).task
    wanted = {
        "tagging": ("ORG", "PER"), "relation_extraction": ("works_for",), "multitask": (),
        "classification": ("travel", "work"),
    }  # fmt: skip
    assert task.labels == wanted[kind]
    if kind == "multitask":
        names = {one["type"]: one["labels"] for one in task.options["tasks"].values()}
        assert names == {"tagging": ["ORG", "PER"], "classification": ["bad", "good"]}


@pytest.mark.parametrize(
    ("lines", "language"),
    [
        (["Ada B-PER", "works O", "at O", "Acme B-ORG", "", "Bob B-PER", "sleeps O"], "en"),
        (["张 B-PER", "伟 I-PER", "在 O", "银 B-ORG", "行 I-ORG", "上 O", "班 O"], "zh"),
    ],
)
@pytest.mark.parametrize("suffix", [".conll", ".txt", ".bio"])
def test_columns_of_tokens_are_for_tagging(tmp_path: Path, lines: list[str], language: str, suffix: str) -> None:
    data, out = tmp_path / f"names{suffix}", tmp_path / "burnish.yaml"
    data.write_text("\n".join(lines) + "\n", "utf-8")
    ask_and_write(data, out)
    spec = load(out)
    assert spec.task.type == "tagging" and spec.task.labels == ("ORG", "PER") and spec.task.languages == (language,)
    assert spec.steps[0].use == "conll" and estimate(spec)[0].records == 1 + lines.count("")


def test_other_names_of_columns_are_mapped(tmp_path: Path) -> None:
    out = tmp_path / "burnish.yaml"
    rows = [{"问题": "谁在银行工作？", "材料": ZH, "答案": "张伟"}, {"问题": "他在哪里？", "材料": ZH, "答案": "银行"}]
    ask_and_write(jsonl(tmp_path / "data.jsonl", rows), out)
    spec = load(out)
    assert spec.task.type == "question_answering" and spec.task.languages == ("zh",)
    assert [row["text_b"] for row in records_of(spec)] == [ZH, ZH]
    assert [row["answer"]["text"] for row in records_of(spec)] == ["张伟", "银行"]


def test_a_task_can_be_insisted_on(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "raw.jsonl", [{"text": EN}, {"text": ZH}])
    with pytest.raises(UsageError, match="unknown task type 'taging'") as caught:
        ask_and_write(data, tmp_path / "a.yaml", task="taging")
    assert "tagging" in caught.value.hint
    with pytest.raises(UsageError, match="tagging needs one or more") as caught:
        ask_and_write(data, tmp_path / "a.yaml", task="tagging")
    assert caught.value.hint == "--labels PER,ORG"
    ask_and_write(data, tmp_path / "a.yaml", task="tagging", labels=["PER"])
    assert load(tmp_path / "a.yaml").task.labels == ("PER",)
    several = jsonl(tmp_path / "both.jsonl", ROWS["multitask"])
    ask_and_write(several, tmp_path / "b.yaml", task="tagging")
    assert load(tmp_path / "b.yaml").task.type == "tagging"


def test_a_column_that_only_looks_like_a_number_stays_a_class(tmp_path: Path) -> None:
    rows = [{"text": text, "stars": at % 3} for at, text in enumerate([EN, ZH] * 6)]
    ask_and_write(jsonl(tmp_path / "data.jsonl", rows), tmp_path / "a.yaml")
    assert load(tmp_path / "a.yaml").task.type == "classification"


def test_the_two_lists_of_squad_need_no_mapping(tmp_path: Path) -> None:
    rows = [
        {"question": "Where?", "context": EN, "answers": {"text": ["Rome", "in Rome"], "answer_start": [21, 18]}},
        {"question": "谁？", "context": ZH, "answers": {"text": [], "answer_start": []}},
    ]
    ask_and_write(jsonl(tmp_path / "data.jsonl", rows), tmp_path / "a.yaml")
    spec = load(tmp_path / "a.yaml")
    task, table = open_task(spec.task), SCHEMA.empty_table().from_pylist(records_of(spec), schema=SCHEMA)
    assert spec.task.type == "question_answering" and task.labelled(table).all()
    assert task.problem(Record.from_row(table.to_pylist()[0])) is None
