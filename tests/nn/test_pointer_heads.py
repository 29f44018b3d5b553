from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import WeightsError
from burnish.nn import models, pointer_heads
from burnish.nn.batches import Batch
from burnish.nn.kernels import Kernels, installed, with_layers
from burnish.nn.models import Head
from burnish.nn.pointer_heads import MASKED, PairLoss

HEAD = Head("pointer", ("PER", "ORG"))
IDS = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 3, 0, 0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_every_pair_has_a_score_but_padding_and_those_that_end_before_they_begin(folder):
    model = models.build(folder, HEAD, seed=0).eval()
    with torch.no_grad():
        scores = model(IDS, (IDS != 0).long())
    assert scores.shape == (2, 2, 5, 5) and scores.dtype == torch.float32
    lengths, places = (5, 3), range(5)
    for b, i, j in ((b, i, j) for b in range(2) for i in places for j in places):
        assert bool((scores[b, :, i, j] == MASKED).all()) == (j < i or j >= lengths[b])


def test_padding_changes_no_score(folder):
    model = models.build(folder, HEAD, seed=0).eval()
    with torch.no_grad():
        both, alone = model(IDS, (IDS != 0).long()), model(IDS[1:, :3], torch.ones(1, 3).long())
    torch.testing.assert_close(both[1:, :, :3, :3], alone, rtol=1e-4, atol=1e-5)


def test_rotated_products_see_distances_only():
    x = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0)).expand(1, 9, 64)
    turned = pointer_heads._rotated(x)[0]
    products = turned @ turned.T
    for shift in range(5):
        torch.testing.assert_close(products.diagonal(shift), products[0, shift].expand(9 - shift), rtol=1e-4, atol=1e-4)


def test_the_loss_is_that_of_its_formula():
    random = np.random.Generator(np.random.PCG64(0))
    scores = random.normal(size=(2, 2, 3, 3))
    spans = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 1], [1, 1, 1, 0]])
    batch = Batch(np.arange(2), IDS, IDS, None, False, spans=spans)
    expected = np.zeros(2)
    for b, c in ((b, c) for b in range(2) for c in range(2)):
        true = {(i, j) for w, i, j, label in spans.tolist() if w == b and label == c}
        pairs = [(i, j) for i in range(3) for j in range(3)]
        false_sum = sum(np.exp(scores[b, c, i, j]) for i, j in pairs if (i, j) not in true)
        true_sum = sum(np.exp(-scores[b, c, i, j]) for i, j in true)
        expected[b] += (np.log1p(false_sum) + np.log1p(true_sum)) / 2
    found = PairLoss().loss(torch.tensor(scores, requires_grad=True), batch, None)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)
    found.sum().backward()  # no true pair of a type must not end in a gradient that is no number


@pytest.mark.parametrize("no_spans", [True, False])
def test_gradients_are_numbers_where_a_type_has_no_span(folder, no_spans):
    model = models.build(folder, HEAD, seed=0).train()
    spans = torch.zeros((0, 4), dtype=torch.int64) if no_spans else torch.tensor([[0, 1, 2, 1]])
    batch = Batch(np.arange(2), IDS, (IDS != 0).long(), None, False, spans=spans)
    PairLoss().loss(model(IDS, (IDS != 0).long()), batch, model).sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)


def test_it_comes_back_from_disk_and_exports(folder, tmp_path):
    from burnish.nn.export import export_onnx

    model = models.build(folder, HEAD, seed=3).eval()
    models.save(model, tmp_path / "model", HEAD, tokenizer=tokenizer_of(folder))
    again = pointer_heads.load(tmp_path / "model", HEAD)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert export_onnx(again, tokenizer_of(folder), tmp_path / "deploy", max_length=32).is_file()


def test_a_model_that_changes_on_its_way_to_disk_is_refused(folder, tmp_path, monkeypatch):
    whole = pointer_heads._weights
    monkeypatch.setattr(pointer_heads, "_weights", lambda model: {n: v * 0.5 for n, v in whole(model).items()})
    with pytest.raises(WeightsError, match="differs from the trained one"):
        pointer_heads.save(models.build(folder, HEAD, seed=0), tmp_path / "model", tokenizer=tokenizer_of(folder))


def test_in_bf16_the_head_stays_exact(folder):
    model = models.build(folder, HEAD, seed=0).train()
    kernels = with_layers(Kernels("bf16", "onednn", "matmul"), model)
    with installed(model, kernels, seed=0):
        scores = model(IDS, (IDS != 0).long())
        assert scores.dtype == torch.float32
        scores[scores > MASKED].sum().backward()
        assert model.pairs.weight.grad is not None
