from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import WeightsError
from burnish.nn import models, token_heads
from burnish.nn.kernels import Kernels, installed, with_layers
from burnish.nn.models import Head

TAGS = ("O", "B-PER", "I-PER")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def family(name, folder, shared):
    """A tiny backbone of another family, with the tokenizer of `shared`."""
    from transformers import AutoConfig, AutoModel

    sizes = SIZES
    if name == "distilbert":
        sizes = {"vocab_size": 300, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    if name == "electra":
        sizes = SIZES | {"embedding_size": 32}
    if name == "modernbert":
        sizes = SIZES | {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    config = AutoConfig.for_model(name, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    tokenizer_of(shared).save_pretrained(folder)
    return folder


FAMILIES = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "electra", "deberta-v2", "modernbert"]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("labels", [TAGS, token_heads.BORDERS])
def test_every_family_gives_fp32_scores_a_token_and_comes_back_from_disk(name, labels, folder, tmp_path):
    base = family(name, tmp_path / "base", folder)
    head = Head("token", labels)
    model = models.build(base, head, seed=1)
    twin = models.build(base, head, seed=1)
    assert all(torch.equal(value, twin.state_dict()[key]) for key, value in model.state_dict().items())
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 3, 0, 0]])
    mask = (ids != 0).long()
    scores = model.eval()(ids, mask, torch.zeros_like(ids))
    assert scores.shape == (2, 5, len(labels)) and scores.dtype == torch.float32
    models.save(model, tmp_path / "model", head, tokenizer=tokenizer_of(folder))
    again = token_heads.load(tmp_path / "model", head)
    torch.testing.assert_close(again(ids, mask)[mask.bool()], model(ids, mask)[mask.bool()])


def test_plain_transformers_loads_it_with_its_labels(folder, tmp_path):
    from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

    for labels, kind in ((TAGS, AutoModelForTokenClassification), (token_heads.BORDERS, AutoModelForQuestionAnswering)):
        model = token_heads.build(folder, Head("token", labels), seed=0).eval()
        token_heads.save(model, tmp_path / labels[0], tokenizer=tokenizer_of(folder))
        stock = kind.from_pretrained(tmp_path / labels[0]).eval()
        ids = torch.tensor([[2, 10, 11, 3]])
        out = stock(input_ids=ids, attention_mask=torch.ones_like(ids))
        torch.testing.assert_close(token_heads._scores(out), model(ids, torch.ones_like(ids)), rtol=1e-4, atol=1e-5)
        assert stock.config.id2label == dict(enumerate(labels))


def test_a_crf_is_saved_beside_and_told_to_the_decoder(folder, tmp_path):
    head = Head("token", TAGS, {"crf": True})
    model = token_heads.build(folder, head, seed=0)
    with torch.no_grad():
        model.crf.transitions.normal_(generator=torch.Generator().manual_seed(0))
    token_heads.save(model, tmp_path / "model", tokenizer=tokenizer_of(folder))
    again = token_heads.load(tmp_path / "model", head)
    expected = token_heads.CRF_SPEED * model.crf.transitions.detach()
    torch.testing.assert_close(again.crf.values()["transitions"], expected)
    np.testing.assert_allclose(model.facts()["crf"]["transitions"], expected.numpy(), rtol=1e-6)
    assert (tmp_path / "model" / "crf.safetensors").is_file()
    assert token_heads.build(folder, Head("token", TAGS), seed=0).facts() == {}


def test_a_model_that_changes_on_its_way_to_disk_is_refused(folder, tmp_path, monkeypatch):
    model = token_heads.build(folder, Head("token", TAGS), seed=0)
    whole = token_heads.load

    def changed(*given):
        made = whole(*given)
        with torch.no_grad():
            made.stock.classifier.bias.add_(1.0)
        return made

    monkeypatch.setattr(token_heads, "load", changed)
    with pytest.raises(WeightsError, match="differs from the trained one"):
        token_heads.save(model, tmp_path / "model", tokenizer=tokenizer_of(folder))


def test_a_family_without_such_a_model_is_named(tmp_path):
    from transformers import ViTConfig

    ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no model of vit"):
        token_heads.build(tmp_path, Head("token", TAGS), seed=0)


@pytest.mark.parametrize("linear", ["torch", "onednn"])
def test_in_bf16_the_head_stays_exact_and_everything_learns(folder, linear):
    model = token_heads.build(folder, Head("token", TAGS, {"crf": True}), seed=0).train()
    kernels = with_layers(Kernels("bf16", linear, "matmul"), model)
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 3, 0, 0]])
    with installed(model, kernels, seed=0):
        scores = model(ids, (ids != 0).long())
        assert scores.dtype == torch.float32
        if kernels.layers == "stack":
            assert model.stock.classifier.weight.dtype == torch.float32
            assert model.crf.transitions.dtype == torch.float32
        (scores.sum() + sum(value.sum() for value in model.crf.values().values())).backward()
        assert all(p.grad is not None for p in (model.stock.classifier.weight, *model.crf.parameters()))
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_it_exports_with_free_batch_and_length(name, folder, tmp_path):
    from burnish.nn.export import export_onnx

    base = family(name, tmp_path / "base", folder)
    model = token_heads.build(base, Head("token", TAGS), seed=0)
    path = export_onnx(model, tokenizer_of(folder), tmp_path / "deploy", max_length=32)
    assert path.is_file()  # the export itself compares three shapes with the module
