"""An exported model that writes says what it said before, step by step through its cache, or it is refused."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from burnish.compress import written
from burnish.compress.onnx import compare, int8, onnx
from burnish.core.errors import BurnishError
from burnish.core.records import Record, to_table
from burnish.nn import graphs, writing_runtime
from burnish.nn.conversations import with_template
from burnish.nn.fresh import fresh
from burnish.nn.generators import GeneratorEngine, build, save
from burnish.nn.models import Head
from burnish.nn.writing_runtime import Kept
from burnish.tasks.predictor import load

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dogs",
    "ran",
    "今天",
    "天气",
    "很",
    "好",
    "我们",
    "去",
    "公园",
    "12",
]
TASKS = {"decoder": "summarization", "encoder-decoder": "translation"}
HEAD = Head("generator", (), {"generation": {"max_new_tokens": 10, "num_beams": 3, "temperature": 0.0}})


def texts(count: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]


def records(count: int) -> Any:
    return to_table(Record(text=text, output=text[::-1]) for text in texts(count))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder of each shape: random weights, so that every answer hangs on all of what was read."""
    made = {}
    for shape, task in TASKS.items():
        place = tmp_path_factory.mktemp(shape)
        layers = 2 if shape == "decoder" else 1
        fresh(place / "backbone", texts(30), architecture=shape, hidden=32, layers=layers, vocabulary=330)
        tokenizer = AutoTokenizer.from_pretrained(place / "backbone")
        tokenizer = with_template(tokenizer) if shape == "decoder" else tokenizer
        folder = made[shape] = place / "model"
        folder.mkdir()
        model = build(place / "backbone", HEAD, seed=0)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim == 2 and "layers" in name:
                    weight.mul_(4)  # else a token is followed by itself: the words are also what is multiplied last
        save(model, folder, tokenizer=tokenizer)
        said = {"type": task, "labels": [], "languages": ["en", "zh"]}
        card = {"burnish": 1, "task": said, "head": HEAD.plain(), "max_length": 48, "format": "torch"}
        (folder / "burnish.json").write_text(json.dumps(card), "utf-8")
    return made


@pytest.fixture(scope="module")
def exported(trained: dict[str, Path]) -> dict[str, tuple[Path, Any]]:
    made = {}
    for shape, folder in trained.items():
        deploy = folder.parent / "deploy"
        made[shape] = deploy, onnx(folder, records(24), deploy)
    return made


def tokens(engine: GeneratorEngine, asked: list[str], **settings: Any) -> list[list[int]]:
    from burnish.nn.conversations import gathered

    return [one.tolist() for one in engine.outputs(gathered([engine.read(text).tokens for text in asked]), **settings)]


@pytest.mark.parametrize("shape", TASKS)
@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 1, "temperature": 0.0},
        {"num_beams": 3},
        {"num_beams": 1, "temperature": 0.9, "top_p": 0.8, "seed": 3},
    ],
    ids=["greedy", "beams", "drawn"],
)
def test_every_way_of_writing_gives_the_same_tokens(
    shape: str, settings: dict[str, Any], trained: dict[str, Path], exported: Any
) -> None:
    asked = texts(12)
    before, after = (GeneratorEngine(one) for one in (trained[shape], exported[shape][0]))
    said = tokens(after, asked, **settings)
    assert said == tokens(before, asked, **settings) and len({tuple(one) for one in said}) > 3
    if "top_p" not in settings:  # padding changes nothing
        assert said == [tokens(after, [text], **settings)[0] for text in asked]
    assert not list(after.network.parameters())  # there is nothing that torch could multiply


@pytest.mark.parametrize("shape", TASKS)
def test_a_stream_and_a_stop_are_those_of_the_model(shape: str, trained: dict[str, Path], exported: Any) -> None:
    before, after = (GeneratorEngine(one) for one in (trained[shape], exported[shape][0]))
    whole = after.complete("我们 去 the cat", num_beams=1)
    assert whole == before.complete("我们 去 the cat", num_beams=1) and whole.completion_tokens > 1
    turns = [{"role": "user", "content": "我们 去 the cat"}]
    assert "".join(after.chat_stream(turns, num_beams=1)) == before.chat(turns, num_beams=1).text
    stop = whole.text[2:3]
    assert after.complete("我们 去 the cat", num_beams=1, stop=stop).text == whole.text.partition(stop)[0]


@pytest.mark.parametrize("shape", TASKS)
def test_the_gate_measured_both_searches_and_every_logit(shape: str, exported: Any) -> None:
    folder, comparison = exported[shape]
    assert comparison.accepted and comparison.agreement == 1 and comparison.searches == {"greedy": 1.0, "3 beams": 1.0}
    assert 0 < comparison.logit_difference < 1e-3 and comparison.max_difference is None
    assert json.loads((folder / "report.json").read_text("utf-8"))["searches"]["greedy"] == 1
    card = json.loads((folder / "burnish.json").read_text("utf-8"))
    for name, said in card["files"].items():
        content = (folder / name).read_bytes()
        assert said == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    graph_files = {"decoder.onnx"} | ({"encoder.onnx"} if shape == "encoder-decoder" else set())
    assert {name for name in card["files"] if name.endswith(".onnx")} == graph_files
    assert sorted(path.name for path in folder.parent.iterdir()) == ["backbone", "deploy", "model"]


@pytest.mark.parametrize("shape", TASKS)
def test_nothing_is_read_twice(shape: str, exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int]] = []
    run = writing_runtime._Session.run

    def watched(self: Any, feed: Any) -> Any:
        name = "decoder_input_ids" if "decoder_input_ids" in feed else "input_ids"
        if "past.0" in feed:
            steps.append((feed[name].shape[1], feed["past.0"].shape[2]))
        return run(self, feed)

    engine = GeneratorEngine(exported[shape][0])
    monkeypatch.setattr(writing_runtime._Session, "run", watched)
    read = engine.read("the cat 今天 天气")
    engine.outputs(read, num_beams=1)
    first = int(read.lengths[0]) if shape == "decoder" else 1
    assert len(steps) > 2 and steps == [(first, 0), *((1, first + at) for at in range(len(steps) - 1))]


@pytest.mark.parametrize("shape", TASKS)
def test_a_cache_that_forgets_is_noticed(
    shape: str, trained: dict[str, Path], exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = load(trained[shape]), load(exported[shape][0])
    inputs = ours.task.inputs(records(12))
    assert written.compare(ours, theirs, inputs).changed == ""
    taken = Kept.taken
    monkeypatch.setattr(Kept, "taken", lambda self: [np.zeros_like(part) for part in taken(self)])
    said = written.compare(ours, theirs, inputs)
    assert said.searches["greedy"] < 1 and said.logit_difference > 0.05
    judged = compare(
        said.before, said.after, task=ours.task, records=records(12), max_drop=100, min_agreement=0.999, format="fp32",
        bytes_before=1, bytes_after=1, speedup=1.0, said=said,
    )  # fmt: skip
    assert not judged.accepted and judged.agreement == min(said.searches.values())
    assert "of answers stay (greedy); min_agreement asks for 99.90%" in judged.reasons[0]
    assert (
        "the first to change (greedy) is number" in judged.reasons[-1]
        and "logits differ by up to" in judged.reasons[-1]
    )


def test_eight_bits_are_smaller_and_are_judged_by_what_they_write(trained: dict[str, Path], exported: Any) -> None:
    folder = trained["decoder"].parent / "small"
    comparison = int8(trained["decoder"], records(12), folder, min_agreement=1.01, max_drop=100)
    # the words are stored whole, where they are looked up, and in eight bits, where they are multiplied
    assert comparison.bytes_after < 0.75 * exported["decoder"][1].bytes_after
    assert comparison.logit_difference > 1e-2 and not comparison.accepted
    assert "min_agreement asks for 101.00%" in comparison.reasons[0]
    asked, engine = texts(12), GeneratorEngine(folder)
    assert tokens(engine, asked) == [
        tokens(engine, [text])[0] for text in asked
    ]  # whoever shares a batch changes nothing


def test_weights_that_protobuf_cannot_hold_lie_beside_the_graph(
    trained: dict[str, Path], exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MOST_INSIDE", 10_000)
    comparison = onnx(trained["decoder"], records(3), tmp_path / "deploy")
    graph, weights = (tmp_path / "deploy" / name for name in ("decoder.onnx", "decoder.onnx.data"))
    assert comparison.accepted and comparison.bytes_after == graph.stat().st_size + weights.stat().st_size
    assert weights.stat().st_size > 50_000 and not list(tmp_path.glob("deploy/*.tmp*"))
    asked = texts(4)
    assert load(tmp_path / "deploy").predict(asked) == load(exported["decoder"][0]).predict(asked)
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(BurnishError, match=r"decoder\.onnx\.data has .* bytes, and burnish\.json says"):
        load(tmp_path / "deploy")
    weights.unlink()
    with pytest.raises(BurnishError, match=r"decoder\.onnx\.data is missing"):
        load(tmp_path / "deploy")


@pytest.mark.slow
def test_virtual_tokens_stay_before_every_text(trained: dict[str, Path]) -> None:
    pytest.importorskip("peft")
    from burnish.nn import models
    from burnish.nn.strategies.base import placed, strategies

    place = trained["decoder"].parent
    model = build(place / "backbone", HEAD, seed=0)
    parts = placed(strategies.open("prefix"), model, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    folder = place / "prefixed"
    folder.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(trained["decoder"])
    models.save(model, folder, HEAD, tokenizer=tokenizer, strategies=parts)
    card = json.loads((trained["decoder"] / "burnish.json").read_text("utf-8"))
    card |= {"strategy": strategies.written(parts)}
    (folder / "burnish.json").write_text(json.dumps(card), "utf-8")
    comparison = onnx(folder, records(12), place / "prefixed-deploy")
    assert comparison.accepted and comparison.logit_difference < 1e-3
    engine = GeneratorEngine(place / "prefixed-deploy")
    said = tokens(engine, texts(6))
    for part in engine.network.begin:
        part[:] = 0
    assert tokens(engine, texts(6)) != said  # they were looked at


def test_a_server_writes_with_the_export(exported: Any, trained: dict[str, Path]) -> None:
    from burnish.serve.metrics import Metrics
    from burnish.serve.models import ServedModel

    limits = {"sessions": 2, "max_batch_tokens": 256, "max_queue": 8, "max_wait_s": 0.0}
    served = ServedModel(exported["encoder-decoder"][0], metrics=Metrics(), **limits)
    try:
        assert (
            served.format == "onnx" and served.writer is not None and "/v1/chat/completions" in str(served.describe())
        )
        asked = texts(5)
        found = {at: one for rows, some in served.compute([{"text": text} for text in asked])
                 for at, one in zip(rows, some, strict=True)}  # fmt: skip
        assert [found[at] for at in range(5)] == load(trained["encoder-decoder"]).predict(asked)
    finally:
        served.stop()
