"""Several tasks in one: who reads which target, on which windows, and what the scores say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_bert

from burnish.core import tasktypes
from burnish.core.errors import BurnishError, DataError
from burnish.core.progress import Silent
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn.examples import encode
from burnish.nn.models import Head
from burnish.tasks import base, multitask
from burnish.tasks.base import Answers

GOOD = {word for word in tiny_bert.WORDS["good"]}


class Marks(base.Task):
    """The least task whose head reads tokens: which characters belong to a marked span."""

    name = "marks"
    target = ("spans",)
    figure = "token_accuracy"
    options = {"stride": 2}  # noqa: RUF012

    def problem(self, record: Record) -> str | None:
        return None if record.text else "empty text"

    def encode(self, inputs, tokenizer, *, max_length):
        texts = [one["text"] for one in inputs]
        return encode(texts, tokenizer, max_length=max_length, stride=self.settings["stride"], characters=True)

    def examples(self, table, tokenizer, *, max_length, soft=True):
        from dataclasses import replace

        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        return replace(made, token_targets=self._tags(made, table["spans"].to_pylist()))

    def _tags(self, examples, spans):
        tags = np.where(examples.parts < 0, -100, 0).astype(np.int64)
        for i, record in enumerate(examples.of_records):
            window = examples.window(i)
            for span in spans[record]:
                inside = (examples.starts[window] >= span["start"]) & (examples.ends[window] <= span["end"])
                tags[window][inside & (examples.parts[window] >= 0)] = 1
        return tags

    def head(self):
        return Head("token", ("O", "X"))

    def objective(self, *, class_weights=None, label_smoothing=0.0):
        from burnish.nn.objectives import TokenCrossEntropy

        return TokenCrossEntropy(class_weights, label_smoothing)

    def decode(self, inputs: Sequence[Any], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]) -> Answers:
        found: list[set] = [set() for _ in inputs]
        for i, record in enumerate(examples.of_records):
            window = examples.window(i)
            hit = (outputs[i].argmax(1) == 1) & (examples.parts[window] >= 0)
            found[record] |= set(
                zip(examples.starts[window][hit].tolist(), examples.ends[window][hit].tolist(), strict=True)
            )
        return Answers([{"spans": [{"start": a, "end": b} for a, b in sorted(one)]} for one in found])

    def tally(self, table, answers):
        wanted = [{(s["start"], s["end"]) for s in spans} for spans in table["spans"].to_pylist()]
        said = [{(s["start"], s["end"]) for s in one["spans"]} for one in answers.items]
        rows = [[len(a & b), len(a), len(b)] for a, b in zip(said, wanted, strict=True)]
        return np.array(rows, dtype=float).reshape(-1, 3)

    def figures(self, sums):
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"token_accuracy": 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2])}

    def expected(self, row):
        spans = row.get("spans")
        return None if spans is None else {"spans": [{"start": s["start"], "end": s["end"]} for s in spans]}

    def pieces(self, given, answer):
        text, made, at = given["text"], [], 0
        for span in (answer or {}).get("spans", []):
            made += [base.Piece(text[at : span["start"]]), base.Piece(text[span["start"] : span["end"]], "X")]
            at = span["end"]
        return [piece for piece in (*made, base.Piece(text[at:])) if piece.text]

    def baselines(self, train, validation, test, *, seed):
        yield "nothing", Answers([{"spans": []} for _ in range(len(test))]), {}

    def prompt(self, text, *, language="en"):
        return f"{'标出' if language == 'zh' else 'mark'}: {text}"


@pytest.fixture(autouse=True)
def marks_is_known(monkeypatch):
    known = tasktypes.task_class
    monkeypatch.setattr(multitask, "task_class", lambda name: Marks if name == "marks" else known(name))
    monkeypatch.setattr(multitask, "known_types", lambda: [*tasktypes.known_types(), "marks"])


TASKS = {
    "tone": {"type": "classification", "labels": ["bad", "good"]},
    "slots": {"type": "marks", "labels": ["X"]},
    "end": {"type": "classification", "field": "meta.end", "labels": [{"short": "few words"}, "long"]},
}


def task_of(tasks=None, **more) -> Any:
    spec = TaskSpec("multitask", options={"tasks": tasks or TASKS, **more})
    assert multitask.Task.problems(spec) == []
    return multitask.Task(spec)


def records(count=48, *, seed=0) -> pa.Table:
    """A third carries the tone alone, a third the slots alone, a third all three targets."""
    texts, classes = tiny_bert.sentences(count, seed=seed)
    made = []
    for i, (text, target) in enumerate(zip(texts, classes, strict=True)):
        at, spans = 0, []
        for word in text.split(" "):
            if word in GOOD and word.isascii():
                spans.append({"start": at, "end": at + len(word), "label": "X"})
            at += len(word) + 1
        kind = i % 3
        long = "long" if len(text.split(" ")) > 12 else "short"
        made.append(
            Record(
                text=text,
                id=f"r{i}",
                label=["bad", "good"][target] if kind != 1 else None,
                spans=spans if kind != 0 else None,
                meta={"end": long} if kind == 2 else {},
            )
        )
    return to_table(made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def problems(**options):
    return [
        f"{key}: {message} ({hint})"
        for key, message, hint in multitask.Task.problems(TaskSpec("multitask", options=options))
    ]


def test_every_mistake_of_the_section_is_told_at_once():
    told = problems(
        tasks={
            "a": {"type": "classification", "labels": ["x", "y"]},
            "b": {"type": "classification", "labels": ["x", "y"]},
            "c": {"type": "clasification"},
            "d e": {"type": "classification", "labels": ["x", "y"]},
            "f": {"type": "classification", "labels": ["x"], "fields": 1},
            "g": {"type": "classification", "labels": [True, "y", "y"], "field": "sentiment"},
            "h": {"type": "multitask"},
        },
        weights={"aa": 1, "b": -1},
        sampling="square",
    )
    assert len(told) == 13, told
    for expected in (
        "tasks: b: reads its target from label, as a does (say where it is, as in field: meta.sentiment)",
        "tasks: c: unknown task type 'clasification' (did you mean 'classification'?)",
        "tasks: d e: a task's name is letters, figures, _ and - (intent)",
        "tasks: f: labels: classification needs at least two labels, got ['x'] (labels: [negative, positive])",
        "tasks: g: YAML reads this label as True, not as text (put it in quotes)",
        "tasks: g: field must be a place in meta, got 'sentiment' (field: meta.sentiment)",
        "weights: no task is named 'aa' (did you mean 'a'?)",
        "weights: the weight of b must be a number from 0 up, got -1 (b: 1)",
    ):
        assert expected in told, (expected, told)
    assert problems()[0].startswith("tasks: multitask needs at least two tasks")


def test_a_target_in_meta_is_checked_with_field_and_record():
    task = task_of()
    record = Record(text="a film", id="r7", meta={"end": ["x", 3]})
    assert task.problem(record) == 'end: meta.end must be a label, not ["x", 3]'
    assert (
        task.problem(Record(text="a", meta={"end": "shrt"}))
        == "end: label 'shrt' is not one of the task's (did you mean 'short'?)"
    )
    assert task.problem(Record(text="a", meta={"end": "short"})) is None
    assert task.problem(Record(text="")) == "empty text"
    with pytest.raises(DataError, match=r"record r7: meta\.end must be a label"):
        task.labelled(to_table([record]))


def test_a_record_carries_any_of_the_targets():
    task = task_of()
    table = records(6)
    assert task.labelled(table).all()
    assert task._labelled(table).tolist() == [[True, False, False], [False, True, False], [True, True, True]] * 2
    assert task.expected(table.to_pylist()[0]) == {"tone": {"label": "bad"}}
    assert set(task.expected(table.to_pylist()[5])) == {"tone", "slots", "end"}
    assert task.target == ("label", "spans", "meta")
    assert task.show(Record(text="a\nb", label="good")) == "[tone: good] a b"
    assert not task.labelled(to_table([Record(text="no target")])).any()


def test_windows_are_those_of_the_token_task_and_whole_texts_read_the_first(tokenizer):
    task = task_of()
    table = records(30)
    examples = task.examples(table, tokenizer, max_length=12)
    assert len(examples) > 30  # long texts have several windows
    tone, slots, end = (examples.several[name] for name in ("tone", "slots", "end"))
    firsts = np.diff(examples.of_records, prepend=-1) > 0
    assert not (tone.weights[~firsts]).any() and tone.weights[firsts].sum() == 20
    assert (slots.weights == np.isin(examples.of_records % 3, (1, 2))).all()
    alone = Marks(TaskSpec("marks")).examples(table, tokenizer, max_length=12)
    told = slots.token_targets[np.repeat(slots.weights > 0, slots.lengths)]
    assert (told == alone.token_targets).all() and (told == 1).any()
    assert end.targets[end.weights > 0].argmax(1).tolist() == [
        json.loads(meta)["end"] == "long" for meta in table["meta"].to_pylist() if meta
    ]


def test_tasks_that_cut_texts_differently_are_refused(tokenizer):
    other = {**TASKS, "more": {"type": "marks", "field": "meta.spans", "stride": 4}}
    table = to_table([Record(text="the film was and staff " * 5, spans=[], meta={"spans": []})])
    with pytest.raises(BurnishError, match=r"task\.tasks\.more cuts texts into other windows"):
        task_of(other).examples(table, tokenizer, max_length=12)


def test_sampling_makes_sets_of_records_count_as_if_drawn_that_often(tokenizer):
    texts = [Record(text="a film", label="bad")] * 9 + [Record(text="a room", spans=[])]
    table = to_table(texts)
    assert task_of().examples(table, tokenizer, max_length=12).weights is None
    equal = task_of(sampling="equal").examples(table, tokenizer, max_length=12).weights
    assert equal[:9].sum() == pytest.approx(equal[9]) and equal.mean() == pytest.approx(1)
    root = task_of(sampling="sqrt").examples(table, tokenizer, max_length=12).weights
    assert root[:9].sum() == pytest.approx(3 * root[9]) and root.mean() == pytest.approx(1)


def answered(task, table, tokenizer, right=True):
    """Answers made of the targets themselves, through decode."""
    examples = task.encode(task.inputs(table), tokenizer, max_length=12)
    rows = table.to_pylist()
    marks = Marks(TaskSpec("marks"))
    tags = marks._tags(examples, [row["spans"] or [] for row in rows])
    outputs = []
    for i, record in enumerate(examples.of_records):
        row = rows[record]
        meta = json.loads(row["meta"] or "{}")
        outputs.append(
            {
                "tone": np.eye(2)[int(row["label"] == "good")] * 9,
                "slots": np.eye(2)[(tags[examples.window(i)] == 1).astype(int)],
                "end": np.eye(2)[int((meta.get("end") == "long") ^ (not right))] * 9,
            }
        )
    return task.decode(task.inputs(table), examples, outputs, {"tasks": {"tone": {"temperature": 3.0}}})


def test_scores_are_those_of_the_tasks_their_mean_and_the_share_of_all_right(tokenizer):
    task, table = task_of(), records(48)
    answers = answered(task, table, tokenizer)
    assert set(answers.items[0]) == {"tone", "slots", "end"}
    assert answers.items[0]["tone"]["score"] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-4)  # its own temperature
    tally = task.tally(table, answers)
    figures = task.figures(tally.sum(0))
    assert next(iter(figures)) == task.figure == "mean"
    assert figures["tone.accuracy"] == figures["end.accuracy"] == figures["all_right"] == figures["mean"] == 1
    assert not task.losses(table, answers).any()
    wrong = answered(task, table, tokenizer, right=False)
    figures = task.figures(task.tally(table, wrong).sum(0))
    assert figures["end.accuracy"] == 0 and figures["tone.accuracy"] == 1
    assert figures["mean"] == pytest.approx(2 / 3) and figures["all_right"] == pytest.approx(2 / 3)  # 16 of 48 carry it
    assert (np.flatnonzero(task.losses(table, wrong)) == np.arange(2, 48, 3)).all()
    many = task.figures(
        np.stack([tally.sum(0), tally[:1].sum(0)])
    )  # as the bootstrap asks; the second has a tone alone
    assert many["mean"].tolist() == [1, 1] and np.isnan(many["end.accuracy"][1])
    told = task.details(table, answers)["tasks"]
    assert told["end"]["n"] == 16 and told["tone"]["accuracy"] == 1 and told["slots"]["n"] == 32
    part = answers.take([2, 5])
    assert part.items == [answers.items[2], answers.items[5]] and len(part.parts["tone"].probabilities) == 2


def judged(task, table, tokenizer, answer) -> dict[str, float]:
    """Figures of an epoch whose network gives `answer(row, window, examples)` for each window, as training judges it."""
    examples = task.examples(table, tokenizer, max_length=64)
    rows = table.to_pylist()
    outputs = [answer(rows[record], examples.window(i), examples) for i, record in enumerate(examples.of_records)]
    answers = task.decode(task.inputs(table), examples, outputs, task.judging(table, examples, outputs))
    return task.figures(task.tally(table, answers).sum(0))


def test_an_epoch_is_judged_with_the_thresholds_of_each_task(tokenizer):
    """The network tells all records apart, and is a little too shy: unfitted, labels it is 30% sure of are not said."""
    about = {"type": "classification", "multi_label": True, "labels": ["food", "rooms"]}
    task = task_of({"tone": TASKS["tone"], "about": about})
    table = to_table(
        Record(f"a day {i}", label=["bad", "good"][i % 2], labels=[["food"], ["rooms"], []][i % 3]) for i in range(24)
    )

    def answer(row, window, examples):
        sure = np.where(np.isin(["food", "rooms"], row["labels"]), 0.3, 0.1)
        return {"tone": np.eye(2)[int(row["label"] == "good")] * 9, "about": np.log(sure / (1 - sure))}

    figures = judged(task, table, tokenizer, answer)
    assert figures["about.micro_f1"] == figures["mean"] == 1.0


def test_an_epoch_of_questions_is_judged_with_their_threshold(tokenizer):
    """Without one, a network that doubts every place refuses all questions, those with an answer too."""
    tone = {"type": "classification", "labels": ["bad", "good"]}
    task = task_of({"asked": {"type": "question_answering"}, "tone": tone})
    asked = [{"text": "warm", "start": 2}, {"text": "", "start": None}]
    table = to_table(Record("a day", text_b="a warm day", label="good", answer=asked[i % 2]) for i in range(12))

    def answer(row, window, examples):
        borders = np.full((window.stop - window.start, 2), -9.0)
        starts, parts = examples.starts[window], examples.parts[window]
        borders[np.flatnonzero((parts == 1) & (starts == 2))] = 9.0
        borders[0] = 2.0 if row["answer"]["text"] else 4.0  # the log odds that there is none are the sum of the two
        return {"asked": borders, "tone": np.array([0.0, 9.0])}

    assert judged(task, table, tokenizer, answer)["asked.f1"] == 1.0


def test_baselines_go_from_the_weakest_of_all_to_the_strongest_of_each():
    task, table = task_of({name: TASKS[name] for name in ("tone", "slots")}), records(60)
    found = list(task.baselines(table.slice(0, 30), table.slice(30, 15), table.slice(45), seed=0))
    assert [name for name, _, _ in found] == ["majority class + nothing", "TF-IDF + logistic regression + nothing"]
    for _, answers, _ in found:
        assert len(answers) == 15
        assert 0 <= task.figures(task.tally(table.slice(45), answers).sum(0))["mean"] <= 1


def test_a_page_shows_the_text_once_with_its_marks():
    task = task_of()
    answer = {"tone": {"label": "good"}, "slots": {"spans": [{"start": 2, "end": 6}]}, "end": {"label": "short"}}
    pieces = task.pieces({"text": "a warm day"}, answer)
    assert [(piece.text, piece.mark) for piece in pieces][:3] == [("a ", None), ("warm", "X"), (" day", None)]
    assert "".join(piece.text for piece in pieces) == "a warm day\ntone → good\nend → short"
    assert [piece.text for piece in task.pieces({"text": "a warm day"}, None)] == ["a warm day"]
    for language, word in (("en", "JSON object"), ("zh", "JSON 对象")):
        prompt = task.prompt("一 a", language=language)
        assert word in prompt and prompt.count("一 a") == 3 and "few words" in prompt


@pytest.mark.parametrize("weights", [{"tone": 2}, "auto"])
def test_three_targets_are_learnt_together(folder, tokenizer, weights, tmp_path):
    from burnish.nn import models
    from burnish.nn.loop import fit
    from burnish.nn.predict import predict_outputs
    from burnish.nn.training import Training

    task, train, test = task_of(weights=weights), records(180), records(60, seed=7)
    examples = task.examples(train, tokenizer, max_length=24)
    model = models.build(folder, task.head(), seed=0)
    fit(
        model, examples, None, settings=Training(epochs=15, learning_rate=4e-3, batch_tokens=256, precision="fp32"),
        scratch=None, progress=Silent(), seed=0, objective=task.objective(label_smoothing=0.0),
    )  # fmt: skip
    told = task.examples(test, tokenizer, max_length=24)
    found = task.calibrate(test, told, predict_outputs(model, told, task.head()))
    assert set(found["tasks"]) == {"tone", "end"} and found["tasks"]["tone"]["temperature"] > 0
    models.save(model, tmp_path / "model", task.head(), tokenizer=tokenizer)
    inputs = task.inputs(test)
    seen = task.encode(inputs, tokenizer, max_length=24)
    answers = task.decode(inputs, seen, predict_outputs(model, seen, task.head()), {**found, **model.facts()})
    figures = task.figures(task.tally(test, answers).sum(0))
    assert figures["tone.accuracy"] > 0.85 and figures["slots.token_accuracy"] > 0.85, figures
    assert json.dumps(answers.items)


SPEC = """\
burnish: 1
name: joint
task:
  type: multitask
  inputs: {fields: [title, text]}
  tasks:
    tone: {type: classification, labels: [bad, {good: said in praise}]}
    colour: {type: classification, field: meta.colour, labels: [red, blue]}
  weights: auto
  sampling: sqrt
sources: {use: jsonl, path: raw.jsonl, fields: {text: body}}
split: {use: stratified, test: 0.2, validation: 0.1}
train: {use: tune, backbone: ./tiny, epochs: 10, learning_rate: 0.004, precision: fp32}
compress: onnx
evaluate: report
"""


@pytest.mark.slow
def test_a_run_ends_with_a_served_model_that_answers_every_task(burnish, folder, tmp_path):
    (tmp_path / "tiny").symlink_to(folder)
    (tmp_path / "burnish.yaml").write_text(SPEC, "utf-8")
    texts, classes = tiny_bert.sentences(240)
    rows = []
    for i, (text, target) in enumerate(zip(texts, classes, strict=True)):
        title = ["red", "blue"][i % 4 // 2]  # the colour stands in another field than the text
        row = {"body": f"{text} {i}", "title": title}
        row |= {"label": ["bad", "good"][target]} if i % 3 != 1 else {}
        rows.append(row | ({"colour": title} if i % 3 != 0 else {}))
    (tmp_path / "raw.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    done = burnish("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs/joint/evaluation/report.json").read_text("utf-8"))
    assert report["model"] == "onnx fp32" and report["n"] > 30  # those that carry a colour alone are judged too
    assert report["mean"] > 0.8 and {"all_right", "tone.accuracy", "colour.macro_f1"} <= set(report["intervals"])
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "the room", "title": "blue"}) + "\n", "utf-8")
    done = burnish("predict", "runs/joint", "-i", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))["prediction"]
    assert set(answer) == {"tone", "colour"} and answer["colour"]["label"] == "blue"
