"""Relations: which pairs are asked about, what they teach, what is said of them, and how that is scored."""

from __future__ import annotations

import itertools
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks.base import Answers
from burnish.tasks.relation_extraction import Task

LABELS = ("born_in", "works_for", "夫妻")
SPEC = TaskSpec("relation_extraction", LABELS, languages=("en", "zh"))
TEXT = "Ann was born in Rome and works for Acme."
SPANS = [(0, 3, "person"), (16, 20, "city"), (35, 39, "firm")]


def spans_of(text: str, *words: tuple[str, str]) -> list[dict]:
    return [{"start": (at := text.index(word)), "end": at + len(word), "label": kind} for word, kind in words]


def record(relations=None, *, text=TEXT, spans=None) -> Record:
    made = spans or [dict(zip(("start", "end", "label"), one, strict=True)) for one in SPANS]
    return Record(text=text, spans=made, relations=relations)


def relation(head: int, tail: int, label: str) -> dict:
    return {"head": head, "tail": tail, "label": label}


def with_options(**options) -> Task:
    return Task(TaskSpec("relation_extraction", LABELS, options=options))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tiny_bert import make
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(make(tmp_path_factory.mktemp("tiny")))


BOTH = [relation(0, 1, "born_in"), relation(0, 2, "works_for")]


def test_every_ordered_pair_is_a_window_and_what_no_relation_names_is_none(tokenizer) -> None:
    task = Task(SPEC)
    made = task.examples(to_table([record(BOTH), record([]), record()]), tokenizer, max_length=64)
    assert made.records.tolist() == [0] * 6 + [1] * 6, "a record without relations: null is not labelled"
    assert made.targets.tolist() == [1, 2, 0, 0, 0, 0] + [0] * 6


def test_once_reads_a_pair_once_and_answers_for_both_orders(tokenizer) -> None:
    task = with_options(pairs="once")
    table = to_table([record([relation(0, 1, "born_in"), relation(2, 0, "works_for")])])
    made = task.examples(table, tokenizer, max_length=64)
    assert made.targets.tolist() == [1, 2 + 3, 0]
    assert round_trip(task, table, made) == {(0, 1, "born_in"), (2, 0, "works_for")}


def test_undirected_relations_have_one_window_whatever_their_order(tokenizer) -> None:
    task = with_options(directed=False)
    table = to_table([record([relation(1, 0, "夫妻")])])
    made = task.examples(table, tokenizer, max_length=64)
    assert made.targets.tolist() == [3, 0, 0]
    assert round_trip(task, table, made) == {(0, 1, "夫妻")}
    answers = Answers([{"relations": [relation(0, 1, "夫妻")], "spans": table["spans"].to_pylist()[0]}])
    assert task.figures(task.tally(table, answers).sum(0))["micro_f1"] == 1.0


def test_named_pairs_alone_are_asked_about_and_their_labels_are_not_read(tokenizer) -> None:
    task = with_options(pairs="named")
    table = to_table([record([relation(2, 0, "no_relation"), relation(0, 1, "born_in")])])
    assert task.inputs(table)[0]["relations"] == [{"head": 2, "tail": 0}, {"head": 0, "tail": 1}]
    assert task.examples(table, tokenizer, max_length=64).targets.tolist() == [0, 1]


def round_trip(task: Task, table, made) -> set:
    """What is decoded when the network says of every window what it was taught."""
    outputs = np.full((len(made), len(task.outputs)), -9.0)
    outputs[np.arange(len(made)), made.targets] = 9.0
    answers = task.decode(task.inputs(table), made, outputs, {})
    return {(one["head"], one["tail"], one["label"]) for one in answers.items[0]["relations"]}


@st.composite
def cases(draw):
    text = draw(st.text(st.sampled_from(list("ab 北京👩‍🔬é。")), min_size=3, max_size=30).filter(str.strip))
    edge = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 6))
    kinds = st.sampled_from(["person", "city", None])
    found = {
        (a, min(len(text), a + size)): kind
        for (a, size), kind in draw(st.lists(st.tuples(edge, kinds), min_size=2, max_size=4))
    }
    spans = [{"start": a, "end": b, "label": kind} for (a, b), kind in found.items()]
    pairs = list(itertools.combinations(range(len(spans)), 2))
    relations = [
        relation(*(pair if draw(st.booleans()) else pair[::-1]), draw(st.sampled_from(LABELS)))
        for pair in pairs
        if draw(st.booleans())
    ]
    return Record(text=text, spans=spans, relations=relations)


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from(["all", "once"]))
def test_relations_in_are_relations_out(tokenizer, one: Record, pairs: str) -> None:
    task = with_options(pairs=pairs)
    assert task.problem(one) is None
    table = to_table([one])
    made = task.examples(table, tokenizer, max_length=64)
    assert round_trip(task, table, made) == {(r["head"], r["tail"], r["label"]) for r in one.relations}
    assert len(task.encode(task.inputs(table), tokenizer, max_length=64)) == len(made)


def test_types_seen_in_training_are_the_only_candidates(tokenizer) -> None:
    task = Task(Task(SPEC).settle(to_table([record(BOTH), record([])])))
    assert task.settings["type_pairs"] == [["person", "city"], ["person", "firm"]]
    made = task.examples(to_table([record(BOTH)]), tokenizer, max_length=64)
    assert made.targets.tolist() == [1, 2]
    again = Task(TaskSpec(**{**vars(SPEC), "options": {"type_pairs": "all"}}))
    assert again.settle(to_table([record(BOTH)])) is again.spec, "what the spec says stays"


def test_a_record_without_pairs_gets_an_empty_answer(tokenizer) -> None:
    task = Task(SPEC)
    inputs = [task.input({"text": "Ann", "spans": []}), task.input({"text": TEXT, "spans": record().spans[:1]})]
    examples = task.encode(inputs, tokenizer, max_length=64)
    assert len(examples) == 0
    assert [one["relations"] for one in task.decode(inputs, examples, [], {}).items] == [[], []]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("only text", "spans are missing"),
        ({"text": "", "spans": []}, "text is missing"),
        ({"text": "ab", "spans": [{"start": 1, "end": 3}]}, "span 0 goes from 1 to 3 in a text of 2 characters"),
        ({"text": "ab", "spans": [{"start": 1}]}, "span 0"),
        ({"text": "ab", "spans": {"start": 1}}, "spans must be a list"),
    ],
)
def test_bad_inputs_are_told_what_is_wrong(given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Task(SPEC).input(given)


def test_records_are_judged() -> None:
    task = Task(SPEC)
    assert task.problem(record([relation(0, 9, "born_in")])) == "relation between spans 0 and 9 of 3"
    assert "itself" in task.problem(record([relation(1, 1, "born_in")]))
    assert "born_in" in task.problem(record([relation(0, 1, "born")]))
    assert task.problem(Record(text=TEXT)) is None
    assert task.problem(Record(text=TEXT, relations=[])) == "relations without spans"


def test_section_mistakes_are_named() -> None:
    wrong = {"pairs": "some", "directed": "yes", "type_pairs": [["a"]], "no_relations": 1}
    found = {key for key, _, _ in Task.problems(TaskSpec("relation_extraction", LABELS, options=wrong))}
    assert found == set(wrong)
    assert Task.problems(SPEC) == []
    assert Task.problems(TaskSpec("relation_extraction", ("no_relation",)))[0][0] == "labels"


def answer(*relations: dict, spans=None) -> dict:
    return {"relations": [{**one, "score": 0.9} for one in relations], "spans": spans or record().spans}


def test_figures_by_hand() -> None:
    task = Task(SPEC)
    table = to_table([record(BOTH), record([]), record([relation(0, 1, "born_in")])])
    other = [{**one, "label": "person"} for one in record().spans]  # a tagger found the spans, with wrong types
    answers = Answers(
        [
            answer(relation(0, 1, "born_in"), relation(2, 0, "works_for")),  # one right, one the wrong way round
            answer(relation(0, 1, "夫妻")),
            answer(relation(0, 1, "born_in"), spans=other),
        ]
    )
    scores = task.figures(task.tally(table, answers).sum(0))
    assert scores["precision"] == 2 / 4 and scores["recall"] == 2 / 3
    assert scores["micro_f1"] == pytest.approx(4 / 7)
    assert scores["triple_f1"] == pytest.approx(2 / 7), "types of both spans must be right too"
    assert scores["macro_f1"] == pytest.approx((1.0 + 0.0 + 0.0) / 3)
    details = task.details(table, answers)
    wrong = {(one["target"], one["prediction"]): one["count"] for one in details["confused"]}
    assert wrong == {("works_for", "no_relation"): 1, ("no_relation", "works_for"): 1, ("no_relation", "夫妻"): 1}
    assert task.agreement(answers, answers).tolist() == [1, 1, 1]
    assert details["per_class"]["born_in"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2}
    assert task.losses(table, answers).tolist() == pytest.approx([1.9, 0.9, 0.0])
    assert np.isnan(task.figures(np.zeros(10))["micro_f1"])


NINE = [f"R{i}" for i in range(9)]


def semeval(labels: list[str]) -> list[Record]:
    made = []
    for label in labels:
        spans = [{"start": 0, "end": 1, "label": None}, {"start": 2, "end": 3, "label": None}]
        name, _, ends = label.partition("(")
        ends = (0, 1) if ends == "e1,e2)" else (1, 0)
        made.append(Record(text="a b", spans=spans, relations=[] if label == "Other" else [relation(*ends, name)]))
    return made


def macro(gold: list[str], said: list[str], names: list[str]) -> float:
    task = Task(TaskSpec("relation_extraction", tuple(names), options={"no_relation": "Other"}))
    answers = Answers([{"relations": one.relations, "spans": one.spans} for one in semeval(said)])
    return float(task.figures(task.tally(to_table(semeval(gold)), answers).sum(0))["macro_f1"])


def test_macro_f1_is_the_one_of_semevals_scorer(shared: Path, tmp_path: Path) -> None:
    """Its own examples: proposed answers, keys, and the figure that its authors' run printed."""
    archive = shared / "semeval2010-t8-en" / "SemEval2010_task8_all_data.tar.gz"
    with tarfile.open(archive) as files:
        inside = "SemEval2010_task8_all_data/SemEval2010_task8_scorer-v1.2/"

        def read(name: str) -> str:
            return files.extractfile(inside + name).read().decode()

        compared = 0
        for number in (1, 2, 3, 5):
            key = dict(line.split("\t") for line in read(f"answer_key{number}.txt").splitlines() if line.strip())
            said = dict(line.split("\t") for line in read(f"proposed_answer{number}.txt").splitlines() if line.strip())
            names = sorted({label.partition("(")[0] for label in key.values()} - {"Other"})
            printed = re.search(r"official score .* F1 = ([\d.]+)%", read(f"result_scores{number}.txt"))
            if set(said) - set(key) or {one.partition("(")[0] for one in said.values()} - {*names, "Other"}:
                continue  # it also accepts what nobody asked about
            ours = macro(list(key.values()), [said.get(one, "Other") for one in key], names)
            assert f"{100 * ours:.2f}" == printed[1], number
            compared += 1
        assert compared


def test_words_and_types_beat_the_majority() -> None:
    made = []
    for i in range(60):
        name, city = f"Ann{i}", f"Rome{i}"
        text = f"{name} was born in {city}" if i % 2 else f"{name} never saw {city}"
        spans = spans_of(text, (name, "person"), (city, "city"))
        made.append(Record(text=text, spans=spans, relations=[relation(0, 1, "born_in")] if i % 2 else []))
    task, table = Task(SPEC), to_table(made)
    scores = {
        name: float(task.figures(task.tally(table.slice(40), answers).sum(0))["recall"])
        for name, answers, _ in task.baselines(table.slice(0, 40), table.slice(0, 0), table.slice(40), seed=0)
    }
    assert list(scores.values()) == [0.0, 1.0]


def test_calibration_keeps_the_threshold_that_scores_best() -> None:
    task = Task(TaskSpec("relation_extraction", ("born_in",), options={"pairs": "once", "directed": False}))
    made = [record([relation(0, 1, "born_in")] if i % 2 else [], spans=record().spans[:2]) for i in range(200)]
    table = to_table(made)
    outputs = np.array([[1.0, 0.5 if i % 2 else -3.0] for i in range(200)])  # never the likeliest, but told apart
    card = task.calibrate(table, None, outputs)
    assert task.figures(task.tally(table, task.decode(task.inputs(table), None, outputs, {})).sum(0))["recall"] == 0
    answers = task.decode(task.inputs(table), None, outputs, card)
    assert task.figures(task.tally(table, answers).sum(0))["micro_f1"] == 1.0


def test_shows_and_pieces_hold_the_text() -> None:
    task = Task(SPEC)
    pieces = task.pieces(vars_of(record()), answer(relation(0, 1, "born_in")))
    assert "".join(piece.text for piece in pieces).startswith(TEXT)
    assert [piece.text for piece in pieces if piece.mark] == ["Ann", "Rome", "Acme", "born_in"]
    assert task.show(record(BOTH)).startswith("[Ann -born_in-> Rome; Ann -works_for-> Acme]")
    assert task.prompt("一 a", language="zh") != task.prompt("一 a") and "夫妻" in task.prompt("一 a")


def vars_of(one: Record) -> dict:
    return {"text": one.text, "spans": one.spans}


class Tagger:
    """Finds capitalised words; the last of them gets a wrong type."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, inputs: list[dict]) -> list[dict]:
        self.asked += [one["text"] for one in inputs]
        found = [[(m.start(), m.end()) for m in re.finditer("[A-Z][a-z]+", one["text"])] for one in inputs]
        kinds = ["person", "city", "person"]
        return [
            {"spans": [{"start": a, "end": b, "label": kind} for (a, b), kind in zip(row, kinds, strict=False)]}
            for row in found
        ]


def test_a_tagger_finds_the_spans_and_triples_are_judged_by_their_characters(tokenizer) -> None:
    task = with_options(tagger="runs/ner", type_pairs="all")
    task.__dict__["_tagger"] = Tagger()
    table = to_table(
        [
            Record(
                text=TEXT,
                spans=record().spans[::-1],
                relations=[relation(2, 1, "born_in"), relation(2, 0, "works_for")],
            )
        ]
    )
    inputs = task.inputs(table)
    assert inputs == [{"text": TEXT, "spans": None}], "no checked span reaches the model"
    examples = task.encode(inputs, tokenizer, max_length=64)
    outputs = np.zeros((6, 4))
    outputs[0, 1] = outputs[1, 2] = 5.0  # Ann -> Rome, Ann -> Acme
    answers = task.decode(inputs, examples, outputs, {})
    assert task._tagger.asked == [TEXT], "asked once, for encoding and decoding"
    assert [(one["head_text"], one["label"], one["tail_text"]) for one in answers.items[0]["relations"]] == [
        ("Ann", "born_in", "Rome"),
        ("Ann", "works_for", "Acme"),
    ]
    scores = task.figures(task.tally(table, answers).sum(0))
    assert scores["micro_f1"] == 1.0 and scores["triple_f1"] == 0.5, "Acme is no person"
    taught = task.examples(table, tokenizer, max_length=64)
    assert len(taught) == 6 and sorted(taught.targets.tolist()) == [0, 0, 0, 0, 1, 2], (
        "training reads the checked spans"
    )
