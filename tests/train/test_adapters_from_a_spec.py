"""Adapters and virtual tokens from the spec to the answer: tuned, saved, served by torch and by ONNX Runtime."""

from __future__ import annotations

import json

import pytest
import tiny_bert
import yaml
from typer.testing import CliRunner

from burnish.cli import app
from burnish.core.artifacts import Records, Split
from burnish.core.errors import SpecError
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn.fresh import fresh
from burnish.tasks import predictor
from burnish.testing import sample_context
from burnish.train.tune import tune

pytest.importorskip("peft")


def classes(count: int, *, longest: int = 1):
    texts, targets = tiny_bert.sentences(count)
    return to_table(
        Record(text=" ".join([text] * longest), label=("bad", "good")[target])
        for text, target in zip(texts, targets, strict=True)
    )


def sides(table, *, train: int, validation: int):
    return Split(
        Records.from_table(table.slice(0, train)),
        Records.from_table(table.slice(train, validation)),
        Records.from_table(table.slice(train + validation)),
    )


def test_bottlenecks_are_served_with_the_model_they_lie_beside(tmp_path) -> None:
    from burnish.compress.stages import onnx

    table = classes(280)
    split = sides(table, train=200, validation=40)
    context = sample_context(tmp_path, TaskSpec("classification", ("bad", "good"), languages=("en", "zh")))
    model = tune(
        split,
        None,
        context,
        backbone=str(tiny_bert.make(tmp_path / "tiny", big_table=False)),
        strategy={"use": "houlsby", "reduction": 2},
        epochs=10,
        learning_rate=1e-2,
        batch_tokens=512,
        precision="fp32",
        patience=0,
    )
    model.save(model.folder)
    assert model.info["strategy"] == {"use": "houlsby", "reduction": 2}
    assert 0 < model.info["parameters_learnt"] < model.info["parameters"] / 2
    assert model.info["history"]["tune"]["reasons"]["strategy"] == "asked for"
    served, test = predictor.load(model.folder), table.slice(240)
    answers = served.answers(served.task.inputs(test))
    score = float(served.task.figures(served.task.tally(test, answers).sum(0))[served.task.figure])
    assert score > 0.7  # half of them are right by chance
    deployed = predictor.load(onnx(model, split, context).folder)
    assert served.task.agreement(answers, deployed.answers(served.task.inputs(test))).min() == 1


def test_virtual_tokens_leave_their_room_in_a_window(tmp_path) -> None:
    """The backbone has 64 positions; texts of more are cut to what 20 virtual tokens leave."""
    table = classes(60, longest=12)
    context = sample_context(tmp_path, TaskSpec("classification", ("bad", "good"), languages=("en", "zh")))
    model = tune(
        sides(table, train=40, validation=10),
        None,
        context,
        backbone=str(tiny_bert.make(tmp_path / "tiny", big_table=False)),
        strategy="prompt",
        epochs=1,
        precision="fp32",
    )
    model.save(model.folder)
    assert model.info["max_length"] == 44
    served = predictor.load(model.folder)
    assert len(served.answers(served.task.inputs(table.slice(50)))) == 10


@pytest.mark.parametrize("strategy", ["auto", {"use": "lora", "rank": 2}, {"use": "prefix", "tokens": 4}])
def test_a_decoder_answers_with_what_it_learnt(tmp_path, strategy) -> None:
    talks = to_table(
        Record(messages=[{"role": "user", "content": "film"}, {"role": "assistant", "content": "warm day"}])
        for _ in range(24)
    )
    backbone = fresh(tmp_path / "b", ["film warm day"] * 4, architecture="decoder", hidden=32, layers=1, vocabulary=300)
    context = sample_context(tmp_path, TaskSpec("chat", (), languages=("en",), options={"max_new_tokens": 6}))
    model = tune(
        sides(talks, train=16, validation=4),
        None,
        context,
        backbone=str(backbone),
        strategy=strategy,
        epochs=2,
        learning_rate=1e-2,
        precision="fp32",
    )
    model.save(model.folder)
    assert model.info["strategy"] == ("full" if strategy == "auto" else strategy)
    served = predictor.load(model.folder)
    (answer,) = served.predict(["film"])
    assert isinstance(answer["text"], str)
    why = model.info["history"]["tune"]["reasons"]["strategy"]
    assert why == ("a decoder, from nothing, of 0.0 million weights" if strategy == "auto" else "asked for")
    assert (model.folder / "adapter").is_dir() is (strategy != "auto")


@pytest.mark.parametrize(
    ("task", "tune_settings", "said"),
    [
        ({"type": "chat", "strategy": "lora", "rank": 4}, {}, "strategy is a setting of train.tune now"),
        ({"type": "chat", "rank": 4}, {}, "{use: lora, rank: 8}"),
        ({"type": "chat"}, {"strategy": ["lora", "prompt"]}, "both put weights into the network"),
        ({"type": "chat"}, {"strategy": {"use": "adalora", "rank": 12}}, "is not below adalora.initial"),
        ({"type": "chat"}, {"strategy": {"use": "lora", "r": 4}}, "lora has no setting 'r'"),
        ({"type": "chat"}, {"strategy": {"use": "lora", "targets": ["q_proj", "v_proj"], "alpha": 16}}, ""),
        ({"type": "translation"}, {"strategy": "prefix", "backbone": "fresh"}, "prefix is for encoders and decoders"),
    ],
)
def test_the_spec_is_checked(tmp_path, monkeypatch, task, tune_settings, said) -> None:
    (tmp_path / "raw.jsonl").write_text(json.dumps({"messages": [], "text": "a", "output": "b"}) + "\n")
    spec = {
        "burnish": 1,
        "name": "s",
        "task": task,
        "sources": [{"use": "jsonl", "path": "raw.jsonl"}],
        "split": {"use": "stratified"},
        "train": [{"use": "tune", **tune_settings}],
    }
    (tmp_path / "burnish.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["check"])
    text = " ".join((done.output + str(done.exception or "")).split())
    assert isinstance(done.exception, SpecError) if said else done.exit_code == 0, text
    assert said in text
