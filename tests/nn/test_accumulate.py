"""Batches added up are one large batch; layers computed twice give the gradients of layers computed once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.progress import Silent
from burnish.nn import heads, loop
from burnish.nn.batches import encode, make_batch
from burnish.nn.kernels import Kernels, installed, stock
from burnish.nn.models import Head
from burnish.nn.objectives import CrossEntropy
from burnish.nn.optimise import AdamW
from burnish.nn.predict import outputs_of
from burnish.nn.recompute import recomputed

KERNELS = {
    "own": Kernels("fp32", "torch", "matmul"),
    "stack": Kernels("fp32", "torch", "matmul", layers="stack"),
    "stock": stock(Kernels("fp32"), "as on a GPU"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(folder):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(48)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)


def build(folder):
    return heads.build(folder, Head("sequence", ("bad", "good")), seed=0)


class Caught(Exception):
    """Training is ended before the weights move."""


def gradients(folder, data, monkeypatch, *, kernels=None, **settings):
    """What the first step would move the weights by, by name; rows of tables laid into whole tables."""
    found = {}

    def step(self, **_):
        tables = {name: torch.zeros_like(value) for name, value in self.installed.tables.items()}
        for name, table in self.installed.rows.items():
            for rows, leaf in table.touched:
                tables[name].index_add_(0, rows, leaf.grad.float())
        found.update(tables | {n: p.grad.clone() for n, p in self.installed.working.items() if p.grad is not None})
        raise Caught

    monkeypatch.setattr(AdamW, "step", step)
    if kernels:
        monkeypatch.setattr(loop, "choose", lambda **_: kernels)
        monkeypatch.setattr(loop, "with_layers", lambda chosen, _: chosen)
    chosen = loop.Training(**{"epochs": 1, "learning_rate": 1e-3, "precision": "fp32", **settings})
    with pytest.raises(Caught):
        loop.fit(build(folder), data, None, settings=chosen, scratch=None, progress=Silent(), seed=0)
    return found


@pytest.mark.parametrize("name", KERNELS)
def test_batches_added_up_give_the_gradients_of_one_large_batch(folder, data, monkeypatch, name):
    common = {"kernels": KERNELS[name], "dropout": 0.0}
    large = gradients(folder, data, monkeypatch, batch_tokens=10_000, **common)
    small = gradients(folder, data, monkeypatch, batch_tokens=100, accumulate=100, **common)
    assert large.keys() == small.keys()
    assert max(float((large[one] - small[one]).abs().max()) for one in large) < 1e-6
    other = gradients(folder, data, monkeypatch, batch_tokens=100, accumulate=3, **common)
    assert max(float((large[one] - other[one]).abs().max()) for one in large) > 1e-4


def test_batches_added_up_give_the_loss_curve_of_one_large_batch(folder, data):
    curves = []
    for settings in ({"batch_tokens": 10_000}, {"batch_tokens": 100, "accumulate": 100}):
        chosen = loop.Training(epochs=12, learning_rate=3e-3, precision="fp32", dropout=0.0, **settings)
        curves.append(
            loop.fit(build(folder), data, data, settings=chosen, scratch=None, progress=Silent(), seed=0).losses
        )
    assert len(curves[0]) == len(curves[1]) == 12
    assert max(abs(one - two) for one, two in zip(*curves, strict=True)) < 1e-5
    assert curves[0][-1] < 0.9 * curves[0][0]


@pytest.mark.parametrize("name", KERNELS)
def test_layers_computed_twice_give_the_same_gradients(folder, data, monkeypatch, name):
    """With dropout: the second time the same masks are drawn."""
    once, twice = (
        gradients(
            folder, data, monkeypatch, kernels=KERNELS[name], dropout=0.3, batch_tokens=300, accumulate=2,
            activation_checkpointing=wanted,
        )
        for wanted in (False, True)
    )  # fmt: skip
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[one], twice[one]) for one in once)


def test_a_decoder_is_computed_twice_too(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        attention_dropout=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).train()
    ids = torch.arange(40).view(2, 20)
    found = []
    for wanted in (False, True):
        with installed(model, KERNELS["own"], seed=0) as operators, recomputed(model, operators, wanted):
            operators.pool.begin(1)
            torch.manual_seed(1)
            torch.autograd.backward(model(input_ids=ids, labels=ids).loss)
            found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def saved_bytes(folder, data, kernels, wanted):
    """What autograd and the stack keep of a forward pass."""
    model, kept = build(folder).train(), {}

    def pack(value):
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with installed(model, kernels, seed=0) as operators, recomputed(model, operators, wanted):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            out = outputs_of(model, make_batch(data, np.arange(len(data)), pad_token=0))
        own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *operators.pool._pools.values()]}
        assert out.requires_grad
    return sum(size for place, size in kept.items() if place not in own)


@pytest.mark.parametrize("name", ["own", "stock"])
def test_layers_computed_twice_keep_less(folder, data, name):
    plain, again = (saved_bytes(folder, data, KERNELS[name], wanted) for wanted in (False, True))
    assert again < 0.4 * plain


def test_many_weights_at_once_move_as_one_by_one(folder, data):
    """The optimiser of a GPU gives what that of a CPU gives, clipped and decayed; also where a table is dense."""
    ends = []
    for at_once in (False, True):
        model = build(folder).eval()
        with installed(model, KERNELS["stock"], seed=0) as operators:
            optimiser = AdamW(replace(operators, at_once=at_once), weight_decay=0.1)
            for at in range(3):
                batch = make_batch(data, np.arange(at * 8, at * 8 + 8), pad_token=0)
                torch.autograd.backward(CrossEntropy().loss(outputs_of(model, batch), batch, model).mean())
                optimiser.step(learning_rate=1e-2, max_grad_norm=0.1)
            ends.append({name: value.clone() for name, value in model.state_dict().items()})
    worst = max(float((value - ends[1][name]).abs().max()) for name, value in ends[0].items())
    assert worst < 1e-6
    first = build(folder).state_dict()
    assert all(not torch.equal(value, first[name]) for name, value in ends[0].items() if value.ndim == 2)


def test_what_a_gpu_runs_learns_on_a_cpu_as_the_own_operators_do(folder, data, monkeypatch):
    curves = []
    for kernels in (KERNELS["own"], KERNELS["stock"], stock(Kernels("bf16"), "as on a GPU")):
        monkeypatch.setattr(loop, "choose", lambda kernels=kernels, **_: kernels)
        monkeypatch.setattr(loop, "with_layers", lambda chosen, _: chosen)
        chosen = loop.Training(epochs=4, learning_rate=3e-3, batch_tokens=300, dropout=0.0)
        curves.append(
            loop.fit(build(folder), data, data, settings=chosen, scratch=None, progress=Silent(), seed=0).losses
        )
    assert max(abs(one - two) for one, two in zip(curves[0], curves[1], strict=True)) < 1e-4
    assert max(abs(one - two) for one, two in zip(curves[0], curves[2], strict=True)) < 0.05
