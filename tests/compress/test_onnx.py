"""An export says what PyTorch says, or it is refused."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_format
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, DistilBertConfig, PreTrainedTokenizerFast
from transformers import DistilBertForSequenceClassification as Distil

from burnish.compress.onnx import compare, int8, onnx
from burnish.core.errors import BurnishError
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.nn import quantise
from burnish.nn.examples import encode
from burnish.nn.export import export_onnx
from burnish.nn.heads import EncoderClassifier
from burnish.nn.runtime import OnnxRuntimeEngine, plan_batches
from burnish.tasks.classification import Task

WORDS = [
    "the",
    "film",
    "is",
    "good",
    "bad",
    "fine",
    "long",
    "short",
    "very",
    "很",
    "好",
    "坏",
    "电",
    "影",
    "长",
    "短",
    "a",
    ",",
    ".",
]
LABELS = ["negative", "neutral", "positive"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def small(cls: Any = BertConfig) -> Any:
    torch.manual_seed(0)
    common = {"vocab_size": 4 + len(WORDS), "max_position_embeddings": 40, "num_labels": 3, "initializer_range": 0.4}
    if cls is DistilBertConfig:
        return cls(dim=32, n_layers=2, n_heads=2, hidden_dim=64, **common)
    return cls(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, **common)


def texts(count: int, *, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 30))) for _ in range(count)]


def records(count: int, *, pairs: bool = False) -> Any:
    seconds = texts(count, seed=1) if pairs else [None] * count
    rows = zip(texts(count), seconds, strict=True)
    return to_table([Record(text=first, text_b=second, label="neutral") for first, second in rows])


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("model")
    BertForSequenceClassification(small()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = {"burnish": 1, "task": {"type": "classification", "labels": LABELS}, "max_length": 32, "format": "torch"}
    (folder / "burnish.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def exact(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The model in single precision, deployed once for the tests that only look at it; exporting takes seconds."""
    folder = tmp_path_factory.mktemp("exact") / "deploy"
    return folder, onnx(model_folder, records(30, pairs=True), folder)


def modules() -> dict[str, torch.nn.Module]:
    return {
        "mean head": EncoderClassifier(BertModel(small(), add_pooling_layer=False), labels=LABELS),
        "stock head": BertForSequenceClassification(small()),
        "no token types": Distil(small(DistilBertConfig)),
    }


@pytest.mark.parametrize("name", ["mean head", "stock head", "no token types"])
def test_an_exported_network_gives_the_logits_of_the_module(
    name: str, tmp_path: Path, tokenizer: Any, capfd: Any
) -> None:
    module = modules()[name].train()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        path = export_onnx(module, tokenizer, tmp_path, max_length=32)
    assert not heard and capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0 and module.training
    onnx_format.checker.check_model(str(path), full_check=True)
    (tmp_path / "burnish.json").write_text('{"task": {"type": "classification"}, "max_length": 32}', encoding="utf-8")
    given = texts(40)
    engine = OnnxRuntimeEngine(tmp_path)
    found = engine.outputs(encode(given, engine.tokenizer, max_length=32))
    module.eval()
    for text, row in zip(given, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=32)
        kept = {key: encoded[key] for key in ("input_ids", "attention_mask")}
        with torch.no_grad():
            out = module(**kept)
        expected = out if isinstance(out, torch.Tensor) else out.logits
        np.testing.assert_allclose(row, expected[0].numpy(), atol=1e-4, rtol=1e-4)


def test_pairs_and_long_texts_read_as_transformers_reads_them(exact: Any) -> None:
    folder, comparison = exact
    assert comparison.max_difference < 1e-4  # it was measured on pairs
    engine = OnnxRuntimeEngine(folder)
    pairs = encode(["good " * 90, "good " * 90], engine.tokenizer, pairs=[None, "bad " * 90], max_length=32)
    assert pairs.lengths.tolist() == [32, 32] and pairs.num_truncated == 2
    assert encode(["good"], engine.tokenizer, pairs=["bad"], max_length=32).types.tolist() == [0, 0, 0, 1, 1]


def test_an_export_that_agrees_is_accepted_and_says_so(exact: Any) -> None:
    folder, comparison = exact
    card = json.loads((folder / "burnish.json").read_text("utf-8"))
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert comparison.accepted and card["accepted"] and card["format"] == "onnx" and report["agreement"] == 1.0
    assert comparison.before == comparison.after and comparison.drop == 0
    assert [path.name for path in folder.parent.iterdir()] == ["deploy"]  # no half-made folder is left


def test_int8_is_smaller_and_is_refused_past_the_threshold(model_folder: Path, exact: Any, tmp_path: Path) -> None:
    comparison = int8(model_folder, records(60), tmp_path / "deploy", min_agreement=1.01)
    assert 0 < comparison.max_difference < 0.5 and comparison.agreement > 0.5
    assert comparison.bytes_after < exact[1].bytes_after
    assert not comparison.accepted and "min_agreement asks for 101.00%" in comparison.reasons[0]
    assert json.loads((tmp_path / "deploy" / "burnish.json").read_text("utf-8"))["accepted"] is False
    # the deployed file has one scale for each output channel: six matrices in each of two layers
    graph = onnx_format.load(str(tmp_path / "deploy" / "model.onnx")).graph
    scales = [list(each.dims) for each in graph.initializer if each.name.endswith("_scale")]
    assert sum(dims in ([32], [64]) for dims in scales) >= 12


def test_a_drop_in_accuracy_refuses_and_a_rise_does_not() -> None:
    before = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    after = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    task = Task(TaskSpec("classification", tuple(LABELS)))
    true = to_table([Record(text="a", label=label) for label in ("negative", "neutral", "positive", "negative")])
    common: dict[str, Any] = {
        "task": task,
        "records": true,
        "max_drop": 0.5,
        "min_agreement": 0.5,
        "format": "int8",
        "bytes_before": 1,
        "bytes_after": 1,
        "speedup": 1.0,
    }
    broken_ones = task.answers(after * np.nan)
    before, after = task.answers(before), task.answers(after)
    fell = compare(before, after, **common)
    assert not fell.accepted and fell.drop == pytest.approx(25.0) and fell.agreement == 0.75
    assert "from 100.00% to 75.00%" in fell.reasons[0]
    rose = compare(after, before, **common)
    assert rose.accepted and rose.drop == pytest.approx(-25.0)
    unlabelled = common | {"records": to_table([Record(text="a")] * 4)}
    assert compare(before, after, **unlabelled).drop is None
    broken = compare(before, broken_ones, **unlabelled)
    assert not broken.accepted


def test_nothing_to_measure_on_is_an_error(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BurnishError, match="no validation texts"):
        int8(model_folder, [], tmp_path / "deploy")


def test_a_network_that_cannot_be_exported_says_so(tmp_path: Path, tokenizer: Any) -> None:
    class Fickle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.weight * int(input_ids.sum().item()) if input_ids.sum() > 5 else self.weight

    with pytest.raises(BurnishError, match="cannot be exported to ONNX"):
        export_onnx(Fickle(), tokenizer, tmp_path, max_length=32)
    assert not (tmp_path / "model.onnx").exists()


def test_quantising_leaves_no_temporary_file(exact: Any, tmp_path: Path) -> None:
    quantise.int8(exact[0] / "model.onnx", tmp_path / "small.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["small.onnx"]


def test_batches_hold_like_lengths_within_their_budget() -> None:
    lengths = [40, 3, 41, 4, 3, 100, 700, 40]
    batches = plan_batches(lengths, batch_tokens=128)
    assert sorted(index for rows in batches for index in rows) == list(range(8))
    for rows in batches:
        longest = max(lengths[row] for row in rows)
        assert len(rows) == 1 or len(rows) * longest <= 128
        assert lengths[rows[-1]] == longest
    assert [1, 4, 3] in batches and [5] in batches and [6] in batches
    assert plan_batches([], batch_tokens=128) == []
