"""Classification by a pattern: what is asked stands in the text whole, and a language model's words are the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bert
import torch
import yaml
from transformers import AutoTokenizer

from burnish.core.errors import BurnishError, WeightsError
from burnish.core.spec import load as load_spec
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.nn import models
from burnish.nn.predict import predict_outputs

PATTERN = {"text": "{text} the day was {word}", "words": {"bad": ["awful", "dull"], "good": ["lovely"]}}


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with its language head, of random weights."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    folder = tiny_bert.make(tmp_path_factory.mktemp("masked") / "bert", big_table=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from burnish.nn.generators import fresh

    texts = tiny_bert.sentences(300)[0]
    return fresh(
        tmp_path_factory.mktemp("decoder") / "llama", texts, architecture="decoder", hidden=32, layers=2, vocabulary=600
    )


def opened(**more: Any) -> Any:
    return open_task(TaskSpec("classification", ("bad", "good"), options={"pattern": {**PATTERN, **more}}))


def ready(folder: Path, **more: Any) -> tuple[Any, Any, Any]:
    """(task, tokenizer, model)"""
    task = opened(**more)
    tokenizer = task.tokenizer(AutoTokenizer.from_pretrained(folder))
    return task, tokenizer, models.build(folder, task.head(), seed=0).eval()


@pytest.mark.parametrize("kind", ["masked", "decoder"])
def test_a_class_scores_what_its_words_score_at_the_hole(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    task, tokenizer, model = ready(folder, calibrate=False)
    texts = [{"text": "a warm room"}, {"text": "这 本 书 and the film"}]
    examples = task.encode(texts, tokenizer, max_length=64)
    found = predict_outputs(model, examples, task.head())
    for row in range(2):
        ids_1L = torch.tensor(examples.tokens[examples.window(row)].astype(np.int64))[None]
        with torch.no_grad():
            logits_LV = model.network(input_ids=ids_1L).logits[0]
        at = -1 if kind == "decoder" else int((ids_1L[0] == tokenizer.mask_token_id).nonzero()[0])
        lead = " " if kind == "decoder" else ""
        first = [
            tokenizer(lead + word, add_special_tokens=False)["input_ids"][0] for word in ("awful", "dull", "lovely")
        ]
        bad = torch.logsumexp(logits_LV[at, first[:2]], 0) - np.log(2)
        assert found[row] == pytest.approx([float(bad), float(logits_LV[at, first[2]])], abs=1e-4)


def test_without_a_text_no_class_is_preferred(masked: Path) -> None:
    task, _, model = ready(masked)
    scores = []
    for tokens in task.head().more["neutral"]:
        ids = torch.tensor([tokens])
        scores.append(torch.log_softmax(model.scores(ids, torch.ones_like(ids)), -1)[0] - model.offset_C)
    assert torch.stack(scores).mean(0).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    assert model.offset_C.abs().max() > 0


@pytest.mark.parametrize("kind", ["masked", "decoder"])
@pytest.mark.parametrize("text", ["room " * 200, "房间" * 100, "😀" * 50])
def test_a_long_text_loses_its_end_and_never_the_hole(kind: str, text: str, request: pytest.FixtureRequest) -> None:
    task, tokenizer, _ = ready(request.getfixturevalue(kind))
    examples = task.encode([{"text": text}], tokenizer, max_length=32)
    said = tokenizer.decode(examples.tokens, skip_special_tokens=False)
    assert len(examples.tokens) <= 32 and "the day was" in said.replace("  ", " ")
    assert (tokenizer.mask_token in said) if kind == "masked" else said.rstrip().endswith("was")


@pytest.mark.parametrize("kind", ["masked", "decoder"])
def test_saved_and_loaded_it_answers_alike(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    task, tokenizer, model = ready(request.getfixturevalue(kind))
    head = task.head()
    models.save(model, tmp_path, head, tokenizer=tokenizer)
    card = {"task": task.spec.plain(), "head": head.plain(), **models.facts(model)}
    (tmp_path / "burnish.json").write_text(json.dumps(card), "utf-8")
    examples = task.encode([{"text": "a warm day"}, {"text": "退货"}], tokenizer, max_length=64)
    ours, theirs = (predict_outputs(one, examples, head) for one in (model, models.load(tmp_path)))
    assert np.allclose(ours, theirs, atol=1e-4)


def test_words_that_begin_alike_are_refused(decoder: Path) -> None:
    task = opened(words={"bad": "awful", "good": ["lovely", "awful"]})
    with pytest.raises(BurnishError, match="begin with the same piece"):
        task.tokenizer(AutoTokenizer.from_pretrained(decoder))


def test_a_decoder_writes_at_the_end(decoder: Path) -> None:
    task = opened(text="{word}: {text}")
    with pytest.raises(BurnishError, match=r"ends with \{word\}"):
        task.tokenizer(AutoTokenizer.from_pretrained(decoder))


def test_an_encoder_without_a_language_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert.make(tmp_path / "bert")
    task = opened()
    task.tokenizer(AutoTokenizer.from_pretrained(folder))
    with pytest.raises(WeightsError, match="no language head"):
        models.build(folder, task.head(), seed=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("great", "pattern is a section"),
        ({"text": "no hole {text}"}, "with {text} and {word} in it"),
        ({**PATTERN, "words": {"goood": "x"}}, "no label 'goood'"),
        ({**PATTERN, "shots": 3}, "pattern has no setting 'shots'"),
        ({**PATTERN, "demonstrations": 99}, "a number from 0 to 32"),
        ({**PATTERN, "words": {"good": [3]}}, "is a word or a list of words"),
    ],
)
def test_mistakes_in_the_section(given: Any, said: str) -> None:
    task = type(opened())
    found = task.problems(TaskSpec("classification", ("bad", "good"), options={"pattern": given}))
    assert any(said in message for _, message, _ in found), found


def test_from_the_spec_to_a_prediction_with_demonstrations(tmp_path: Path, masked: Path) -> None:
    """It learns through the one loop, keeps what it shows, and shows the nearest records when it answers."""
    import burnish
    from burnish.core.pipeline import run
    from burnish.core.progress import Silent

    texts, targets = tiny_bert.sentences(160)
    rows = [{"text": text, "label": ("bad", "good")[target]} for text, target in zip(texts, targets, strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    spec = {
        "burnish": 1,
        "name": "pattern",
        "task": {
            "type": "classification",
            "labels": ["bad", "good"],
            "languages": ["en", "zh"],
            "pattern": {**PATTERN, "demonstrations": 2},
        },
        "sources": [{"use": "jsonl", "path": "rows.jsonl"}],
        "split": {"use": "stratified", "test": 0.2, "validation": 0.2},
        "train": [{"use": "tune", "backbone": str(masked), "epochs": 12, "learning_rate": 0.003, "precision": "fp32"}],
        "evaluate": [{"use": "report"}],
    }
    path = tmp_path / "burnish.yaml"
    path.write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
    run(load_spec(path), progress=Silent())
    folder = tmp_path / "runs" / "pattern"
    report = json.loads((folder / "evaluation" / "report.json").read_text("utf-8"))
    assert report["accuracy"] > 0.8
    predictor = burnish.load(folder)
    task = predictor.task
    assert task.demonstrations is not None and len(task.demonstrations) > 50
    shown = task._fitting({"text": "lovely bright room"}, predictor.engine.tokenizer, "[MASK]", 64)
    first, _, last = shown.rpartition("\n\n")
    assert last == "lovely bright room the day was [MASK]" and "lovely" in first
    assert predictor.predict(["lovely bright lovely film"])[0]["label"] == "good"
