"""What a task may be sent, found out by offering it one input of every form."""

from __future__ import annotations

import pytest
from fakes import Chat, Names, Questions, Ranks, Relations

from burnish.core.stage import TaskSpec
from burnish.serve.inputs import Inputs, estimated_tokens, placed
from burnish.tasks.classification import Task as Classification

SPEC = TaskSpec("classification", ("a", "b"), {}, ("en",), {})


@pytest.mark.parametrize(
    ("task", "forms"),
    [
        (Classification, ["text", "pair"]),
        (Names, ["text"]),
        (Questions, ["question"]),
        (Ranks, ["ranking"]),
        (Relations, ["entities"]),
        (Chat, ["chat"]),
    ],
)
def test_forms_are_those_that_a_task_takes_whole(task: type, forms: list[str]) -> None:
    assert [form.name for form in Inputs(task(SPEC)).forms] == forms


def test_names_of_files_are_understood_where_the_task_has_others() -> None:
    read = Inputs(Classification(SPEC)).read
    assert read({"text_a": "x", "text_b": "y"}) == read({"text": "x", "text_b": "y"})
    with pytest.raises(ValueError, match='unknown field "texte"'):
        read({"texte": "x"})
    with pytest.raises(ValueError, match="unknown field"):  # which of the two would it be?
        read({"text": "x", "text_a": "y"})
    with pytest.raises(ValueError, match="text_b is empty"):
        read({"text": "x", "text_b": " "})


def test_a_row_gives_its_input_and_keeps_the_rest_to_itself() -> None:
    questions, ranks = Inputs(Questions(SPEC)), Inputs(Ranks(SPEC))
    made = questions.of_row({"question": "when?", "context": "in 1889", "label": 3, "id": "a"}, text="text")
    assert made == {"text": "when?", "text_b": "in 1889"}
    made = ranks.of_row({"query": "q", "candidates": '["x", "y"]', "candidate": ""}, text="text")
    assert made["candidates"] == ["x", "y"]
    plain = Inputs(Classification(SPEC))
    assert plain.of_row({"review": "x", "text": "y", "text_b": ""}, text="review")["text"] == "x"
    for row, says in (
        ({"label": 1}, "no field text"),
        ({"text": " "}, "text is empty"),
        ({"text": "\ud800"}, "surrogate"),
    ):
        with pytest.raises(ValueError, match=says):
            plain.of_row(row, text="text")
    with pytest.raises(ValueError, match="no field 'review'"):
        plain.of_row({"text": "y"}, text="review")


def test_all_strings_of_an_input_count_for_its_length_and_must_be_unicode() -> None:
    long = {"query": "x" * 40, "candidates": ["y" * 40, "甲" * 20], "k": 3}
    assert estimated_tokens("inputs[0]", long) == 3 + (40 + 40 + 60) // 4
    with pytest.raises(ValueError, match=r"inputs\[0\]\.candidates\[1\] has half of a surrogate pair at character 1"):
        estimated_tokens("inputs[0]", {"candidates": ["a", "b\ud800"]})


def test_the_place_of_a_mistake_is_named_once() -> None:
    assert placed("inputs[1]", {"text_b": 1}, "text_b must be a string") == "inputs[1].text_b must be a string"
    assert placed("inputs[1]", "x", "no context") == "inputs[1]: no context"
    assert placed("inputs[1]", 3, "must be a string") == "inputs[1] must be a string"
