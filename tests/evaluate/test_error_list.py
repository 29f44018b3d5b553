"""The errors of a report, as each kind of answer is shown: what was asked for beside what was said."""

import html
import re
from typing import Any

import pyarrow as pa
import pytest

from burnish.core.figures import title, word
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.evaluate.page import classes
from burnish.evaluate.page_errors import error_list
from burnish.tasks.base import Answers


def task_of(kind: str, labels: Any = (), **options: Any) -> Any:
    return open_task(TaskSpec(kind, tuple(labels), {}, ("en",), options))


def item(task: Any, record: Record, answer: dict[str, Any]) -> dict[str, Any]:
    """One error as `evaluate.worst` tells it, beside itself as its only neighbour."""
    table = to_table([record])
    return drawn(task, table, Answers([answer]), 0)


def drawn(task: Any, table: pa.Table, answers: Answers, row: int) -> dict[str, Any]:
    full = table.slice(row, 1).to_pylist()[0]
    wanted, answer = task.expected(full), answers.items[row]

    def pieces(said: Any) -> list[list[str | None]]:
        return [[one.text, one.mark] for one in task.pieces(full, said)]

    asked, said = task.sides(table, answers, row)
    near = {"text": full["text"], "text_b": full["text_b"], "label": task.brief(wanted), "pieces": pieces(wanted)}
    near |= {"label_from": "given", "confidence": None, "similarity": 1.0, "id": "near"}
    return {
        "id": "e", "text": full["text"], "text_b": full["text_b"], "source": None, "score": None, "doubtful": False,
        "target": task.brief(wanted), "prediction": task.brief(answer), "neighbours": [near], "neighbours_that_agree": 0,
        "input": pieces(None), "expected": pieces(asked), "answered": pieces(said),
        "written": isinstance(answer.get("text"), str) and "start" not in answer,
    }  # fmt: skip


def shown(*items: dict[str, Any]) -> str:
    return error_list({"items": list(items)}, shown=5)


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).replace("\u2060", "").split())


def test_a_mark_that_only_one_side_has_stands_out_and_no_facts_repeat_it():
    task = task_of("tagging", ["PER", "LOC"])
    text = "Ann met Bob in Rome"
    spans = [{"start": 0, "end": 3, "label": "PER"}, {"start": 15, "end": 19, "label": "LOC"}]
    said = [{**spans[0], "text": "Ann"}, {"start": 8, "end": 11, "label": "PER", "text": "Bob"}]
    page = shown(item(task, Record(text, spans=spans), {"spans": said}))
    assert re.findall(r'<mark class="(\w+)"[^>]*>(\w+)', page) == [
        ("faint", "Ann"),
        ("loud", "Rome"),
        ("faint", "Ann"),
        ("loud", "Bob"),
    ]
    assert "0-3" not in page and "<summary>1 nearest training texts</summary>" in page


def test_a_text_in_which_nothing_was_marked_says_so():
    task = task_of("tagging", ["PER"])
    page = shown(item(task, Record("Ann left", spans=[{"start": 0, "end": 3, "label": "PER"}]), {"spans": []}))
    assert "predicted nothing" in plain(page)


def test_the_question_stands_once_above_its_answers():
    record = Record("Who won?", text_b="Ann won and Bob lost.", answer={"text": "Ann", "start": 0})
    task = task_of("question_answering")
    wrong = {"text": "Bob", "start": 12, "end": 15, "score": 0.5}
    page = shown(item(task, record, wrong)).split("<details")[0]
    assert page.count("Who won?") == 1 and "loud" in page
    none = shown(item(task, record, {"text": None, "start": None, "end": None, "score": 0.5}))
    assert "predicted no answer" in plain(none)


def test_a_relation_is_shown_with_its_head_and_tail_below_the_text():
    task = task_of("relation_extraction", ["causes", "owns"])
    spans = [{"start": 0, "end": 4, "label": "X"}, {"start": 10, "end": 14, "label": "X"}]
    record = Record("Fire from heat", spans=spans, relations=[{"head": 1, "tail": 0, "label": "causes"}])
    said = {"relations": [{"head": 0, "tail": 1, "label": "owns", "score": 0.9}], "spans": spans}
    told = plain(shown(item(task, record, said)))
    assert "expected heat → causes relation → Fire" in told and "predicted Fire → owns relation → heat" in told


def test_a_ranking_is_shown_as_the_whole_list_with_the_right_one_marked():
    task = task_of("ranking")
    rows = [("tea", 0.0, 0.9), ("milk", 1.0, 0.2), ("beer", 0.0, 0.5)]
    table = to_table(Record("what to drink", text_b=text, value=value) for text, value, _ in rows)
    answers = Answers([{"score": score} for *_, score in rows])
    told = plain(shown(drawn(task, table, answers, 1)))
    assert "expected 1. milk relevant predicted 1. tea 2. beer 3. milk relevant" in told


def test_what_was_written_stands_beside_its_reference_with_the_differences_marked():
    task = task_of("translation")
    record = Record("Ein Hund läuft schnell", output="a dog runs fast")
    page = shown(item(task, record, {"text": "a cat runs fast"}))
    assert "<del>dog</del>" in page and "<ins>cat</ins>" in page
    assert "reference a dog runs fast answer a cat runs fast" in plain(page)
    assert "answer nothing" in plain(shown(item(task, record, {"text": ""})))
    far = shown(item(task, record, {"text": "totally other words here now"}))
    assert "<del>" not in far and "<ins>" not in far


def test_several_tasks_are_shown_each():
    tasks = {"kind": {"type": "classification", "labels": ["a", "b"]}, "names": {"type": "tagging", "labels": ["PER"]}}
    task = task_of("multitask", tasks=tasks)
    record = Record("Ann left", label="a", spans=[{"start": 0, "end": 3, "label": "PER"}])
    said = {"kind": {"label": "b", "score": 0.8}, "names": {"spans": []}}
    assert task.brief(said) == "kind: b"
    told = plain(shown(item(task, record, said)))
    assert "expected Ann PER left kind → a" in told and "kind: b" in told


def test_short_answers_stay_in_a_line_and_neighbours_are_counted():
    task = task_of("classification", ["sport", "arts"])
    one = item(task, Record("the match", label="sport"), {"label": "arts", "score": 0.9})
    told = plain(shown(one))
    assert "expected sport predicted arts" in told and "1 nearest training texts: 1 × sport" in told


def test_hostile_texts_and_labels_are_escaped_among_marks():
    task = task_of("tagging", ["<b>"])
    record = Record("<script>x</script> y", spans=[{"start": 0, "end": 8, "label": "<b>"}])
    page = shown(item(task, record, {"spans": []}))
    assert "<script>" not in page and "<b>" not in page.replace("<b>id</b>", "")


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("macro_f1", "macro F1"),
        ("ndcg@10", "nDCG@10"),
        ("rougeL", "ROUGE-L"),
        ("slots.entity_f1", "slots: entity F1"),
        ("n", "records"),
    ],
)
def test_figures_have_names(figure, said):
    assert word(figure) == said
    assert title(figure)[1:] == said[1:]


def test_of_many_classes_the_frequent_ones_come_first_and_absent_ones_are_counted():
    told = {f"c{at}": {"f1": 0.5, "support": at} for at in range(30)}
    page = classes({"per_class": told})
    assert page.index("c29") < page.index("c10<") and "9 rarer classes" in page and "1 classes do not occur" in page
