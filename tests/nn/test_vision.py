"""A text encoder that is shown an image: what it gives, how it learns, what is on disk."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pictures_made as made
import pytest
import tiny_bert
import torch

from burnish.core.errors import WeightsError
from burnish.core.progress import Silent
from burnish.nn import models, vision
from burnish.nn.batches import encode
from burnish.nn.export import export_onnx
from burnish.nn.loop import fit
from burnish.nn.models import Head
from burnish.nn.pictures import Picture, column
from burnish.nn.predict import predict_logits
from burnish.nn.runtime import OnnxRuntimeEngine
from burnish.nn.training import Training

pytest.importorskip("PIL")
HEAD = Head("vision", ("red", "green", "blue"), {"encoder": "small", "size": 32})


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


def seen(tokenizer, count: int, *, seed: int):
    """Texts that say nothing, each with an image of a colour; and which."""
    colours = [HEAD.labels[i % 3] for i in range(count)]
    pictures = [Picture(made.encoded(made.square(one, seed=seed + i))) for i, one in enumerate(colours)]
    examples = encode(tiny_bert.sentences(count, seed=seed)[0], tokenizer, max_length=32)
    return dataclasses.replace(examples, images=column(pictures)).with_targets(np.arange(count) % 3)


def test_learns_the_colour_where_the_text_says_nothing_and_comes_back_from_disk(backbone, tmp_path) -> None:
    from transformers import AutoModel, AutoTokenizer, ViTModel

    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = models.build(backbone, HEAD, seed=0)
    train, test = seen(tokenizer, 150, seed=0), seen(tokenizer, 60, seed=1000)
    settings = Training(epochs=4, learning_rate=1e-3, batch_tokens=1600, precision="fp32", patience=0)
    fit(model, train, None, settings=settings, scratch=None, progress=Silent(), seed=0)
    logits = predict_logits(model, test)
    assert (logits.argmax(1) == test.targets).mean() > 0.95
    assert np.allclose(predict_logits(model, test, batch_tokens=150), logits, atol=1e-4)  # padding changes nothing
    folder = tmp_path / "model"
    models.save(model, folder, HEAD, tokenizer=tokenizer)
    (folder / "burnish.json").write_text(json.dumps({"head": HEAD.plain(), "task": {}}))
    assert np.allclose(predict_logits(models.load(folder), test), logits, atol=1e-5)
    text, sight = (
        AutoModel.from_pretrained(folder),
        ViTModel.from_pretrained(folder / "vision", add_pooling_layer=False),
    )
    for ours, theirs in ((model.encoder, text), (model.vision, sight)):
        wanted = theirs.state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())
    deployed = tmp_path / "onnx"
    export_onnx(model, tokenizer, deployed, max_length=32)
    card = {
        "head": HEAD.plain(),
        "task": {},
        "max_length": 32,
        "format": "onnx",
        "sight": dataclasses.asdict(model.sight),
    }
    (deployed / "burnish.json").write_text(json.dumps(card))
    engine = OnnxRuntimeEngine(deployed, batch_tokens=600)
    assert np.allclose(engine.outputs(test), logits, atol=1e-4)
    turned = dataclasses.replace(test, images=test.images[::-1])  # other images beside the same words are other answers
    assert np.abs(engine.outputs(turned) - logits).max() > 0.1
    with pytest.raises(ValueError, match="an image is wanted for every text"):
        engine.outputs(dataclasses.replace(test, images=None))


def test_the_text_is_read_too_and_words_keep_their_positions(backbone) -> None:
    """With the image held, other words give another answer, in another order another one still."""
    model = models.build(backbone, HEAD, seed=0).eval()
    pixels = model.pixels(column([Picture(made.encoded(made.square("red", seed=0)))]))
    with torch.no_grad():
        one, other, turned = (
            model(torch.tensor([ids]), torch.ones(1, 4, dtype=torch.long), None, pixels)
            for ids in ([2, 40, 60, 3], [2, 41, 60, 3], [2, 60, 40, 3])
        )
        padded = model(torch.tensor([[2, 40, 60, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]]), None, pixels)
    assert not torch.allclose(one, other, atol=1e-5) and not torch.allclose(one, turned, atol=1e-5)
    assert torch.allclose(one, padded, atol=1e-5)
    with pytest.raises(ValueError, match="an image is wanted"):
        model(torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.long))


def test_the_same_seed_is_the_same_model_and_the_callers_generator_is_left_alone(backbone) -> None:
    before = torch.random.get_rng_state()
    one, again, other = (models.build(backbone, HEAD, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["projector.0.weight"], other["projector.0.weight"])
    name = "vision.embeddings.cls_token"
    assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize("family", ["vit", "clip", "dinov2"])
def test_vision_encoders_of_a_folder_are_taken_with_their_pixels(family: str, backbone, tmp_path) -> None:
    import transformers as tf

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    if family == "clip":
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
        whole = tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=sizes | {"intermediate_size": 64}))
    elif family == "dinov2":
        whole = tf.Dinov2Model(tf.Dinov2Config(**sizes))
    else:
        whole = tf.ViTModel(tf.ViTConfig(**sizes, intermediate_size=64))
    whole.save_pretrained(tmp_path / family)
    scale = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (tmp_path / family / "preprocessor_config.json").write_text(json.dumps(scale))
    head = Head("vision", ("a", "b"), {"encoder": str(tmp_path / family)})
    model = models.build(backbone, head, seed=0).eval()
    assert model.size == 16
    pixels = model.pixels(column([Picture(made.encoded(made.square("red", seed=0)))]))
    raw = Picture(made.encoded(made.square("red", seed=0))).pixels(16) / 255
    assert np.allclose(pixels[0].permute(1, 2, 0), (raw - scale["image_mean"]) / scale["image_std"], atol=1e-5)
    state = whole.state_dict()
    inside = {k.removeprefix("vision_model."): v for k, v in state.items()}
    ours = {k.removeprefix("vision_model."): v for k, v in model.vision.state_dict().items()}
    assert ours and all(torch.equal(value, inside[name]) for name, value in ours.items())
    tokenizer = tf.AutoTokenizer.from_pretrained(backbone)
    models.save(model, tmp_path / "model", head, tokenizer=tokenizer)  # compares what it reads back


def test_what_cannot_be_joined_is_refused(backbone, tmp_path) -> None:
    with pytest.raises(WeightsError, match="no vision encoder of square patches"):
        vision.build(backbone, Head("vision", ("a", "b"), {"encoder": str(backbone)}), seed=0)


def test_texts_of_the_roberta_family_start_behind_the_padding(tmp_path) -> None:
    folder = tiny_bert.make(tmp_path / "xlm", family="xlm-roberta")
    model = models.build(folder, HEAD, seed=0).eval()
    assert model.first_position == 1
    asked = []
    model.encoder.embeddings.position_embeddings.register_forward_hook(lambda _, given, __: asked.append(given[0]))
    pixels = model.pixels(column([Picture(made.encoded(made.square("red", seed=0)))]))
    with torch.no_grad():
        model(torch.tensor([[2, 40, 3]]), torch.ones(1, 3, dtype=torch.long), None, pixels)
        joint = asked[0][0].tolist()
        model.encoder(torch.tensor([[2, 40, 3]]))
    assert joint[:3] == asked[1][0].tolist() == [1, 2, 3] and set(joint[3:]) == {1}
