"""On a GPU the same loop learns the same. What it runs there, stock modules under autocast and the optimiser that moves
many weights at once, runs on a CPU in test_accumulate.py."""

from __future__ import annotations

import pytest
import tiny_bert
import torch

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import heads, loop
from burnish.nn.batches import encode
from burnish.nn.devices import device_of
from burnish.nn.models import Head
from burnish.nn.predict import predict_logits

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]


def run(folder, device, **settings):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(200)
    data = encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)
    model = heads.build(folder, Head("sequence", ("bad", "good")), seed=0)
    chosen = loop.Training(**{"epochs": 4, "learning_rate": 3e-3, "batch_tokens": 256, "device": device, **settings})
    history = loop.fit(model, data, data, settings=chosen, scratch=None, progress=Silent(), seed=0)
    return model, data, history


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said():
    with pytest.raises(BurnishError, match="no GPU"):
        device_of("cuda")
    assert device_of("auto").type == "cpu"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
def test_it_learns_in_bf16(folder, device):
    model, _, history = run(folder, device, precision="bf16")
    assert history.epochs[-1].validation_score > 0.95
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=gpu)])
@pytest.mark.parametrize("again", [False, True])
def test_the_loss_curve_is_that_of_a_cpu(folder, device, again):
    common = {"precision": "fp32", "dropout": 0.0, "accumulate": 2}
    here, there = (run(folder, at, **common)[2].losses for at in ("cpu", device))
    if again:
        there = run(folder, device, activation_checkpointing=True, **common)[2].losses
    assert max(abs(one - two) for one, two in zip(here, there, strict=True)) < 1e-2


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=gpu)])
def test_answers_are_those_of_a_cpu(folder, device):
    model, data, _ = run(folder, "cpu")
    here = predict_logits(model, data)
    assert abs(here - predict_logits(model.to(device), data)).max() < 1e-2
