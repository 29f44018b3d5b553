"""A strategy in a spec, through the command line: what learnt, what did not, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_bert

SPEC = """\
burnish: 1
name: x
task: {{type: classification, labels: [bad, good], languages: [en, zh]}}
sources: [{{use: jsonl, path: all.jsonl}}]
split: {{use: stratified, test: 0.2, validation: 0.2}}
train:
  - {{use: tune, backbone: {backbone}, epochs: 3, learning_rate: 0.01, strategy: {strategy}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_bert.make(tmp_path / "tiny")
    texts, targets = tiny_bert.sentences(200)
    rows = [{"text": text, "label": ("bad", "good")[target]} for text, target in zip(texts, targets, strict=True)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "all.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def write(folder: Path, strategy: str) -> None:
    (folder / "burnish.yaml").write_text(SPEC.format(backbone=folder / "tiny", strategy=strategy), "utf-8")


def test_a_spec_that_freezes_the_lower_half_gives_a_whole_model_whose_lower_half_is_the_backbones(folder, burnish):
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    write(folder, "[{use: frozen, layers: 1}, {use: layer_wise, decay: 0.5}]")
    done = burnish("run", "--to", "train", cwd=folder, OMP_NUM_THREADS="1", BURNISH_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    assert "frozen: computed once (1 of 2 layers" in done.stderr and "not foreseen" not in done.stderr
    card = json.loads((folder / "runs/x/model/burnish.json").read_text("utf-8"))
    assert card["strategy"] == [{"use": "frozen", "layers": 1}, {"use": "layer_wise", "decay": 0.5}]
    assert "computed once" in card["history"]["tune"]["reasons"]["frozen"]
    assert 0 < card["parameters_learnt"] < card["parameters"]
    model = AutoModelForSequenceClassification.from_pretrained(folder / "runs/x/model")
    saved, first = model.state_dict(), load_file(folder / "tiny" / "model.safetensors")
    kept = [name for name in first if name.startswith("embeddings.") or ".layer.0." in name]
    moved = [name for name in first if ".layer.1." in name and not name.endswith("key.bias")]
    assert len(kept) > 15 and all((saved[f"bert.{name}"] == first[name]).all() for name in kept)
    assert len(moved) == 15 and not any((saved[f"bert.{name}"] == first[name]).all() for name in moved)


def test_strategies_that_make_no_sense_together_are_told_with_their_line(folder, burnish):
    write(folder, "[head, gradual]")
    done = burnish("check", cwd=folder)
    assert done.returncode == 2
    assert "burnish.yaml:7" in done.stderr and "head and gradual do not go together" in done.stderr


def learnt(folder, *, label_from="given", settings):
    """A model tuned on 200 sentences."""
    from burnish.core.artifacts import Records, Split
    from burnish.core.records import Record, to_table
    from burnish.core.stage import TaskSpec
    from burnish.testing import sample_context
    from burnish.train.tune import tune

    texts, targets = tiny_bert.sentences(200)
    labels = ("bad", "good")
    rows = [
        Record(text=text, id=f"{at}", label=labels[target], label_from=label_from)
        for at, (text, target) in enumerate(zip(texts, targets, strict=True))
    ]
    split = Split(*(Records.from_table(to_table(side)) for side in (rows, rows[:20], [])))
    context = sample_context(folder, TaskSpec("classification", labels, {}, ("en",)))
    backbone = str(tiny_bert.make(folder / "tiny"))
    return tune(split, None, context, backbone=backbone, precision="fp32", **settings)


@pytest.mark.parametrize("strategy", ["head", "probe_first", ["probe_first", "layer_wise"]])
def test_it_starts_at_a_logistic_regression(tmp_path, strategy):
    """At a rate that moves nothing the answers are those of the start."""
    from burnish.tasks import predictor

    model = learnt(tmp_path, settings={"epochs": 1, "learning_rate": 1e-9, "strategy": strategy})
    model.save(model.folder)
    texts, targets = tiny_bert.sentences(200)
    answers = predictor.load(model.folder).predict(texts)
    said = [("bad", "good").index(answer["label"]) for answer in answers]
    assert sum(one == two for one, two in zip(said, targets, strict=True)) > 160


@pytest.mark.parametrize("label_from", ["given", "labellers"])
def test_a_head_alone_is_solved_and_not_stepped(tmp_path, label_from):
    """The logistic regression is the result, its penalty doubts labels that labellers made, and a rate asks for passes."""
    from burnish.tasks import predictor

    solved = learnt(tmp_path / "one", label_from=label_from, settings={"strategy": "head"})
    story = solved.info["history"]["tune"]
    assert story["losses"] == [] and story["epochs"][0]["validation_score"] > 0.8 and story["best_epoch"] == 0
    assert solved.info["loss"] == "cross_entropy" and "logistic" in story["reasons"]["epochs"]
    stepped = learnt(tmp_path / "two", label_from=label_from, settings={"strategy": "head", "learning_rate": 1e-9})
    assert stepped.info["history"]["tune"]["losses"]
    texts, _ = tiny_bert.sentences(50)
    scores = []
    for model in (solved, stepped):
        model.save(model.folder)
        scores.append([answer["score"] for answer in predictor.load(model.folder).predict(texts)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize(
    ("label_from", "settings", "loss"),
    [
        ("labellers", {}, "elr"),
        ("given", {}, "cross_entropy"),
        ("review", {}, "cross_entropy"),
        ("labellers", {"loss": "gce"}, "gce"),
        ("labellers", {"regularise": "co_teaching"}, "cross_entropy"),  # doubts in its own way
    ],
)
def test_loss_and_start_doubt_labels_that_labellers_made(tmp_path, label_from, settings, loss):
    model = learnt(tmp_path, label_from=label_from, settings=settings | {"epochs": 1})
    assert model.info["loss"] == loss
    assert (model.info["strategy"] == "probe_first") == (label_from == "labellers")
    assert model.info["history"]["tune"]["reasons"]["loss"]
