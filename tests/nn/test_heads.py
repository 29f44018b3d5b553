from __future__ import annotations

import pytest
import tiny_bert
import torch

from burnish.core.errors import WeightsError
from burnish.nn import heads
from burnish.nn.batches import encode
from burnish.nn.models import Head
from burnish.nn.predict import predict_logits


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(tmp_path_factory, request):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"), family=request.param)


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_plain_transformers_gives_the_logits_of_the_mean_head(folder, tmp_path):
    from transformers import AutoModelForSequenceClassification

    tokenizer = tokenizer_of(folder)
    model = heads.build(folder, Head("sequence", tuple(["bad", "good"]))).eval()
    with torch.no_grad():  # an untrained head would hide mistakes
        for parameter in model.head.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    heads.save(model, tmp_path / "model", tokenizer=tokenizer)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    texts = tiny_bert.sentences(12)[0]
    ours = predict_logits(model, encode(texts, tokenizer, max_length=32))
    for i, text in enumerate(texts):  # padded among longer ones or alone: the same
        with torch.no_grad():
            alone = stock(**tokenizer(text, return_tensors="pt")).logits[0].numpy()
        assert abs(alone - ours[i]).max() < 2e-4
    assert stock.config.id2label == {0: "bad", 1: "good"}
    assert stock.config.num_hidden_layers == 3


def test_what_was_saved_loads_without_the_extra_layer(folder, tmp_path):
    tokenizer = tokenizer_of(folder)
    model = heads.build(folder, Head("sequence", tuple(["bad", "good"])), seed=3).eval()
    heads.save(model, tmp_path / "model", tokenizer=tokenizer)
    again = heads.load(tmp_path / "model")
    assert isinstance(again, heads.EncoderClassifier)
    assert again.config.num_hidden_layers == 2
    assert again.labels == ("bad", "good")
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_mean_head_does_not_see_padding(folder):
    model = heads.build(folder, Head("sequence", tuple(["a", "b"]))).eval()
    ids = torch.tensor([[2, 10, 11, 3]])
    padded = torch.tensor([[2, 10, 11, 3, 0, 0]])
    with torch.no_grad():
        one = model.pooled(ids, torch.ones_like(ids))
        two = model.pooled(padded, torch.tensor([[1, 1, 1, 1, 0, 0]]))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_model_that_changes_on_its_way_to_disk_is_refused(folder, tmp_path, monkeypatch):
    whole = heads._mean_layer
    monkeypatch.setattr(heads, "_mean_layer", lambda name, value: whole(name, value) * 0.5)
    with pytest.raises(WeightsError, match="differs from the trained one"):
        heads.save(
            heads.build(folder, Head("sequence", tuple(["a", "b"]))), tmp_path / "model", tokenizer=tokenizer_of(folder)
        )


def test_centring_starts_the_head_at_the_deviation_from_the_mean(folder):
    model = heads.build(folder, Head("sequence", tuple(["a", "b"]))).eval()
    ids = torch.randint(5, 300, (6, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooled = model.pooled(ids, torch.ones_like(ids))
        model.centre(pooled.mean(0))
        assert float(model.head.dense(pooled).mean(0).abs().max()) < 1e-5
