"""Made records: where they come from, whom they resemble, which tasks they can be made for, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import task_samples

from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec, find
from burnish.core.tasktypes import open_task
from burnish.testing import TASK
from burnish.train.augment.base import augmentations
from burnish.train.making import Made, columns_of, made, problem

TEXTS = [
    ("I love this phone, it is a very good one.", "positive"),
    ("Broken after two days, he wants a refund.", "negative"),
    ("这家酒店非常好，他推荐大家来住。", "positive"),
    ("质量太差了，第二天就坏了，要求退款。", "negative"),
]


def table(*rows: Record) -> pa.Table:
    return to_table(rows or [Record(text=text, id=f"r{at}", label=label) for at, (text, label) in enumerate(TEXTS)])


def make(part, rows: pa.Table, spec: TaskSpec = TASK, *, judging=(), seed: int = 0, name: str = "eda") -> Made:
    (one,) = augmentations.open(part)
    return made(one, name, rows, open_task(spec), judging=judging, base=Path(), seed=seed, progress=Silent())


def test_a_made_record_says_what_it_was_made_of() -> None:
    rows = table(
        Record(text="a good phone that I love", id="r0", label="positive", group="g1", votes=[{"labeller": "x", "label": "positive", "confidence": 1.0}],
               trail=["given"], licence="CC0", meta={"stars": 5}, label_from="gold", confidence=0.5, source="s"),
        Record(text="broken after two days", id="r1", label="negative"),
    )  # fmt: skip
    first, second = make({"use": "eda", "rate": 0.3}, rows).table.to_pylist()
    assert (first["id"], first["group"], second["group"]) == ("r0+eda.0", "g1", "r1")
    assert first["trail"] == ["given", "train.augment: eda, copy 0, made of r0"]
    assert first["meta"] == '{"augmented": "eda", "parent": "r0", "stars": 5}'
    assert (first["label"], first["licence"], first["label_from"], first["source"]) == ("positive", "CC0", "gold", "s")
    assert first["confidence"] == 0.5 and first["votes"] == [] and first["keep"]


def test_the_seed_decides_and_nothing_else() -> None:
    part = {"use": "eda", "rate": 0.3, "copies": 3}
    one, same, other = (make(part, table(), seed=seed).table for seed in (0, 0, 1))
    assert one.equals(same) and not one.equals(other)
    alone = make(part, table().slice(1, 1)).table
    assert alone.equals(
        pa.concat_tables(
            [row for row in (one.slice(i, 1) for i in range(len(one))) if row["id"][0].as_py().startswith("r1")]
        )
    )


def test_share_and_copies() -> None:
    many = table(*(Record(text=f"number {at} of many good things", id=str(at), label="positive") for at in range(400)))
    found = make({"use": "aeda", "share": 0.25, "copies": 2}, many)
    assert 70 <= found.parents <= 130 and found.parents < len(found.table) <= 2 * found.parents
    fewer = make({"use": "aeda", "share": 0.25}, many.slice(0, 200)).table
    whole = set(found.table["id"].to_pylist())
    assert set(fewer["id"].to_pylist()) <= whole, "who is chosen does not hang on who else is there"


def test_no_made_record_says_what_is_there_already() -> None:
    rows = table(
        Record(text="he is good", id="a", label="positive"),
        Record(text="She  is GOOD", id="b", label="negative"),
        Record(text="a man spoke", id="c", label="positive"),
        Record(text="A man spoke", id="d", label="positive"),
    )
    found = make("counterfactual", rows)
    assert found.table["text"].to_pylist() == ["a woman spoke"]
    assert found.dropped == {"there already": 3}


def test_nothing_like_a_judging_record_is_made() -> None:
    judge = table(Record(text="She was the best teacher whom I ever had at school", id="j", label="positive"))
    rows = table(
        Record(text="He was the best teacher whom I ever had at school", id="a", label="positive"),
        Record(text="His car broke down on the way to the seaside", id="b", label="negative"),
    )
    found = make("counterfactual", rows, judging=[judge.slice(0, 0), judge])
    assert found.table["id"].to_pylist() == ["b+eda.0"] and found.dropped == {"like a record that judges": 1}
    assert len(make("counterfactual", rows).table) == 2


def test_a_query_changes_alike_for_all_its_candidates() -> None:
    task, rows = task_samples.SAMPLES["ranking"]
    rows = rows.set_column(0, "id", pa.array([f"r{at}" for at in range(len(rows))]))
    found = make({"use": "characters", "rate": 0.2}, rows, task).table.to_pylist()
    assert len(found) == 4
    for one, other in (found[:2], found[2:]):
        assert one["text"] == other["text"] and one["group"] == other["group"]
    assert [one["text_b"] for one in found] == rows["text_b"].to_pylist(), "candidates stay: they are others' negatives"
    assert [(one["value"], one["label"]) for one in found] == list(
        zip(rows["value"].to_pylist(), rows["label"].to_pylist(), strict=True)
    )
    half = make({"use": "characters", "share": 0.5}, rows, task, seed=3).table
    assert len(half) in (0, 2, 4), "a list is made whole or not at all"


def test_what_a_model_is_to_write_is_never_changed() -> None:
    for kind in ("translation", "summarization"):
        task, rows = task_samples.SAMPLES[kind]
        rows = rows.set_column(0, "id", pa.array([f"r{at}" for at in range(len(rows))]))
        found = make({"use": "eda", "rate": 0.5}, rows, task).table.to_pylist()
        outputs = dict(zip(rows["id"].to_pylist(), rows["output"].to_pylist(), strict=True))
        assert found and all(one["output"] == outputs[one["id"].split("+")[0]] for one in found)
    task, rows = task_samples.SAMPLES["chat"]
    talk = [
        {"role": "system", "content": "Be brief, he said."},
        {"role": "user", "content": "Is he a good man?"},
        {"role": "assistant", "content": "He is a good man."},
    ]
    (one,) = make("counterfactual", to_table([Record(messages=talk, id="t")]), task).table.to_pylist()
    assert [turn["content"] for turn in one["messages"]] == [
        talk[0]["content"],
        "Is she a good woman?",
        talk[2]["content"],
    ]


def test_pairs_numbers_and_sets_keep_their_targets() -> None:
    pairs = table(Record(text="he is a man", text_b="他是爸爸", id="a", value=2.5))
    (one,) = make("counterfactual", pairs, TaskSpec("regression", (), {}, ("en", "zh"))).table.to_pylist()
    assert (one["text"], one["text_b"], one["value"]) == ("she is a woman", "她是妈妈", 2.5)
    many = table(Record(text="he is a man", id="a", labels=["x", "y"], probs=[0.9, 0.8]))
    spec = TaskSpec("classification", ("x", "y"), {}, ("en",), {"multi_label": True})
    (one,) = make("counterfactual", many, spec).table.to_pylist()
    assert one["labels"] == ["x", "y"] and one["probs"] == pytest.approx([0.9, 0.8])


def test_text_made_of_fields_changes_where_the_fields_are_texts() -> None:
    both = TaskSpec("classification", ("x", "y"), {}, ("en",), {"inputs": {"fields": ["meta.title", "text"]}})
    (one,) = make(
        "counterfactual", table(Record(text="he is in", id="a", label="x", meta={"title": "he"})), both
    ).table.to_pylist()
    assert one["text"] == "she is in" and '"title": "he"' in one["meta"]
    none = TaskSpec("classification", ("x", "y"), {}, ("en",), {"inputs": {"fields": ["meta.title", "meta.body"]}})
    task = open_task(none)
    assert columns_of(task) == ("text_b",), "the text itself is made of other fields"


def test_impossible_questions_stay_impossible_and_other_answers_are_left_out() -> None:
    task = TaskSpec("question_answering", (), {}, ("en", "zh"))
    context = "Ada met Bob 🙂 in the old house by the sea, and Bob met Ada again."
    rows = table(
        Record(text="Who met Bob there?", text_b=context, id="a", answer={"text": "Ada", "start": 0}, meta={"answers": [{"text": "Ada", "start": 58}]}),
        Record(text="Where is Rome now?", text_b=context, id="b", answer={"text": "", "start": None}),
        Record(text="谁在海边的房子里？", text_b=context, id="c", meta={"answers": {"text": ["Bob 🙂"], "answer_start": [8]}}),
        Record(text="Is it there at all?", text_b=context, id="d", meta={"is_impossible": True}),
    )  # fmt: skip
    from burnish.tasks.question_answering import gold_answers

    for row in make({"use": "eda", "rate": 0.3, "copies": 4}, rows, task).table.to_pylist():
        golds = gold_answers(row)
        if row["id"][0] in "bd":
            assert golds == []
        else:
            (gold,) = golds
            assert gold["text"] == {"a": "Ada", "c": "Bob 🙂"}[row["id"][0]]
            assert row["text_b"][gold["start"] : gold["start"] + len(gold["text"])] == gold["text"]


SPECS = {name: spec for name, (spec, _) in task_samples.SAMPLES.items()}


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_every_task_takes_what_fits_it_and_refuses_the_rest(kind: str) -> None:
    task, spans = open_task(SPECS[kind]), ("tagging", "multitask", "relation_extraction")
    for part, fits in (
        ("eda", True),
        ("aeda", True),
        ("characters", True),
        ("homophones", True),
        ("counterfactual", True),
        ("entities", kind in spans),
        (
            {"use": "back_translation", "there": "a", "back": "b"},
            kind not in spans,
        ),
        ({"use": "invert", "flip": {"positive": "negative"}}, kind == "classification"),
    ):
        (one,) = augmentations.open(part)
        said = problem(one, task)
        assert (not said) == fits, f"{kind}: {one.name}: {said}"


def test_what_does_not_fit_is_said() -> None:
    (part,) = augmentations.open("entities")
    assert "entities needs spans" in problem(part, open_task(SPECS["classification"]))
    (part,) = augmentations.open({"use": "back_translation", "there": "a", "back": "b"})
    assert "spans of tagging could not be found again" in problem(part, open_task(SPECS["tagging"]))


def test_a_target_with_places_in_meta_cannot_follow() -> None:
    tasks = {
        "names": {"type": "tagging", "labels": ["X"], "field": "meta.names"},
        "tone": {"type": "classification", "labels": ["a", "b"]},
    }
    (part,) = augmentations.open("eda")
    assert "would not be found again" in problem(
        part, open_task(TaskSpec("multitask", (), {}, ("en",), {"tasks": tasks}))
    )


def test_the_spec_is_checked_before_anything_runs() -> None:
    check = find("train", "tune").check
    assert check is not None
    wrong = check({"augment": ["eda", "entities", {"use": "invert", "flip": {"positiv": "negative"}}]}, TASK)
    assert [key for key, *_ in wrong] == ["augment", "augment"]
    assert "entities needs spans" in wrong[0][1] and "did you mean 'positive'" in wrong[1][1]
    assert check({"augment": ["eda", "aeda"]}, TASK) == []
    assert "homophones are Chinese" in check({"augment": "homophones"}, TaskSpec("regression", languages=("en",)))[0][1]
