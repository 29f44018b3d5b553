"""`task.inputs`: what a task reads of a record, the same in training and in use."""

from __future__ import annotations

import pytest

from burnish.core.errors import DataError
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks.classification import Task

INPUTS = {"fields": ["title", "text"], "table": "row"}
SPEC = TaskSpec("classification", ("a", "b"), languages=("en",), options={"inputs": INPUTS})
RECORD = Record(text="It rained", label="a", id="r1", meta={"title": "A day", "row": {"mm": 3}})
TEXT = "title: A day | text: It rained || table: mm (number) is 3 ;"


def test_a_record_and_what_a_caller_sends_read_alike():
    task = Task(SPEC)
    assert Task.problems(SPEC) == []
    assert task.inputs(to_table([RECORD])) == [{"text": TEXT, "text_b": None}]
    assert task.input({"text": "It rained", "title": "A day", "row": {"mm": 3}}) == {"text": TEXT, "text_b": None}
    assert task.input("It rained")["text"] == "text: It rained"
    with pytest.raises(ValueError, match="there is nothing to read: title, text, row are missing or empty"):
        task.input({"other": 1})
    with pytest.raises(ValueError, match="row: must be a row, a list of rows"):
        task.input({"text": "x", "row": 3})


def test_a_second_text_that_is_a_field_is_not_read_twice():
    task = Task(
        TaskSpec("classification", ("a", "b"), options={"inputs": {"fields": {"q": "text", "answer": "text_b"}}})
    )
    assert task.inputs(to_table([Record(text="1", text_b="2")])) == [{"text": "q: 1 | answer: 2", "text_b": None}]


def test_a_record_that_cannot_be_read_is_named_with_its_field():
    with pytest.raises(DataError, match=r"record r2: row: must be a row, a list of rows"):
        Task(SPEC).inputs(to_table([RECORD, Record(text="x", id="r2", meta={"row": 3})]))


def test_baselines_read_what_the_model_reads():
    """The text is the same for all; only a field tells the classes apart."""
    made = [Record(text="the", label="ab"[i % 2], meta={"title": ["red", "blue"][i % 2]}) for i in range(40)]
    task, table = Task(SPEC), to_table(made)
    _, (name, answers, _) = task.baselines(table.slice(0, 20), table.slice(20, 10), table.slice(30), seed=0)
    assert name.startswith("TF-IDF")
    assert task.figures(task.tally(table.slice(30), answers).sum(0))["accuracy"] == 1


def test_the_section_is_checked():
    wrong = TaskSpec("classification", ("a", "b"), options={"inputs": {"field": ["title"], "table": "row"}})
    assert [(key, message) for key, message, _ in Task.problems(wrong)] == [("inputs", "inputs has no 'field'")]


def test_targets_at_characters_of_the_text_do_not_move():
    class Spans(Task):
        target = ("spans",)

    [(key, message, _)] = Spans.problems(SPEC)
    assert key == "inputs" and "classification has targets at characters of the text (spans)" in message
