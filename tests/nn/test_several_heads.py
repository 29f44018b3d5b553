"""Several heads on one backbone: trained together, saved, exported, and alone the same as together."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import WeightsError
from burnish.core.progress import Silent
from burnish.nn import models, several_heads
from burnish.nn.batches import encode, make_batch
from burnish.nn.examples import IGNORED, joined
from burnish.nn.models import Head
from burnish.nn.objectives import CrossEntropy, Several, TokenCrossEntropy

HEAD = Head(
    "several",
    (),
    {
        "heads": {
            "意图": Head("sequence", ("bad", "good")).plain(),
            "type": Head("token", ("O", "X")).plain(),  # a word that nn.Module uses itself
        }
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def told(tokenizer, *, count=60):
    """Examples with a class for two texts of three, and a class a token (is it an even id?) for two texts of three."""
    texts, classes = tiny_bert.sentences(count)
    shared = encode(texts, tokenizer, max_length=32)
    tags = (shared.tokens % 2).astype(np.int64)
    rows = np.arange(count)
    with_class, with_tags = (rows % 3 != 0).astype(np.float32), (rows % 3 != 1).astype(np.float32)
    tags[np.repeat(with_tags, shared.lengths) == 0] = IGNORED
    from dataclasses import replace

    return replace(
        shared,
        several={
            "意图": replace(shared, targets=np.array(classes), weights=with_class),
            "type": replace(shared, token_targets=tags, weights=with_tags),
        },
    )


def disturbed(model):
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return model.eval()


def test_what_was_saved_gives_the_same_and_its_backbone_is_stock(folder, tokenizer, tmp_path):
    from transformers import AutoModel

    model = disturbed(models.build(folder, HEAD, seed=0))
    models.save(model, tmp_path / "model", HEAD, tokenizer=tokenizer)
    again = several_heads.load(tmp_path / "model", HEAD)
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    ids = torch.tensor([[2, 10, 11, 3]])
    stock = AutoModel.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        hidden = stock(ids, torch.ones_like(ids)).last_hidden_state
        torch.testing.assert_close(
            again.part("type")(hidden, torch.ones_like(ids)), again(ids, torch.ones_like(ids))["type"]
        )


def test_heads_of_another_plan_are_refused(folder, tokenizer, tmp_path):
    models.save(models.build(folder, HEAD, seed=0), tmp_path / "model", HEAD, tokenizer=tokenizer)
    other = Head("several", (), {"heads": {"type": Head("token", ("O", "X", "Y")).plain()}})
    with pytest.raises(WeightsError, match=r"heads\.safetensors holds other tensors than the heads type need"):
        several_heads.load(tmp_path / "model", other)


def test_a_head_that_cannot_share_is_refused(folder):
    head = Head("several", (), {"heads": {"one": Head("embedding").plain()}})
    with pytest.raises(ValueError, match="'embedding' cannot share a backbone; these can: sequence, token"):
        models.build(folder, head, seed=0)


def test_targets_of_each_head_follow_their_windows(tokenizer):
    examples = told(tokenizer)
    rows = np.array([7, 3, 4, 4, 58])
    taken = examples.take(rows)
    one, tags = taken.several["意图"], taken.several["type"]
    assert one.tokens is taken.tokens and tags.offsets is taken.offsets  # shared, not copied
    assert one.targets.tolist() == examples.several["意图"].targets[rows].tolist()
    assert one.weights.tolist() == [1, 0, 1, 1, 1] and tags.weights.tolist() == [0, 1, 0, 0, 0]
    for at, row in enumerate(rows):
        expected = examples.several["type"].token_targets[examples.window(row)]
        assert (tags.token_targets[tags.window(at)] == expected).all()
    assert taken.digest() != examples.digest() == told(tokenizer).digest()
    changed = told(tokenizer)
    changed.several["意图"].targets[5] = 1 - changed.several["意图"].targets[5]
    assert changed.digest() != examples.digest()
    both = joined([examples, taken])
    assert len(both.several["type"].token_targets) == len(both.tokens) and len(both.several["意图"].targets) == 65


def test_a_part_of_a_batch_has_the_rows_with_targets(tokenizer):
    examples = told(tokenizer)
    batch = make_batch(examples, np.array([4, 3, 5, 6]), pad_token=0)
    assert batch.several["意图"].rows.tolist() == [4, 5]
    assert batch.several["type"].rows.tolist() == [3, 5, 6]
    assert batch.several["type"].token_targets_BL.shape == (3, batch.ids_BL.shape[1])
    assert "type" not in make_batch(examples, np.array([4, 7]), pad_token=0).several


def test_the_loss_is_the_weighed_sum_over_heads_with_targets(folder, tokenizer):
    examples, model = told(tokenizer), disturbed(models.build(folder, HEAD, seed=0))
    parts = {"意图": CrossEntropy(), "type": TokenCrossEntropy()}
    batch = make_batch(examples, np.array([4, 3, 5]), pad_token=0)  # a class, tags, both
    with torch.no_grad():
        outputs = model(batch.ids_BL, batch.mask_BL)
        loss = Several(parts, {"意图": 2.0, "type": 0.5}).loss(outputs, batch, model)
        whole = torch.nn.functional.cross_entropy(
            outputs["意图"], torch.from_numpy(examples.several["意图"].targets[[4, 3, 5]]), reduction="none"
        )
        alone = [TokenCrossEntropy().loss(model(one.ids_BL, one.mask_BL)["type"], one.several["type"], model)
                 for one in (make_batch(examples, np.array([row]), pad_token=0) for row in (3, 5))]  # fmt: skip
    torch.testing.assert_close(loss, torch.stack([2 * whole[0], 0.5 * alone[0][0], 2 * whole[2] + 0.5 * alone[1][0]]))


@pytest.mark.parametrize("balanced", [False, True])
def test_all_heads_learn_in_one_loop(folder, tokenizer, balanced, tmp_path):
    from burnish.nn.loop import fit
    from burnish.nn.training import Training

    examples = told(tokenizer, count=120)
    head = Head("several", (), {**HEAD.more, "balanced": balanced})
    model = models.build(folder, head, seed=0)
    parts = {"意图": CrossEntropy(), "type": TokenCrossEntropy()}
    history = fit(
        model, examples, None, settings=Training(epochs=12, learning_rate=5e-3, batch_tokens=256, precision="fp32"),
        scratch=None, progress=Silent(), seed=0, objective=Several(parts, None if balanced else {"意图": 1.0, "type": 1.0}),
    )  # fmt: skip
    assert history.losses[-1] < 0.6 * history.losses[0]
    fresh = told(tokenizer, count=60)
    from burnish.nn.predict import predict_outputs

    outputs = predict_outputs(model, fresh, head)
    tags = fresh.tokens % 2
    right = np.concatenate([one["type"].argmax(1) == tags[fresh.window(i)] for i, one in enumerate(outputs)])
    assert right.mean() > 0.9
    assert np.mean([one["意图"].argmax() == i % 2 for i, one in enumerate(outputs)]) > 0.8
    learnt = model.facts().get("learnt", {})
    assert bool(learnt) == balanced
    if balanced:  # the task that ends with the smaller loss counts more
        assert all(abs(one["loss"]["log_variance"]) > 0.1 for one in learnt.values())
        models.save(model, tmp_path / "model", head, tokenizer=tokenizer)
        assert several_heads.load(tmp_path / "model", head).facts() == model.facts()


def test_the_exported_file_gives_every_head_by_name(folder, tokenizer, tmp_path):
    import json

    from burnish.nn.export import export_onnx
    from burnish.nn.predict import predict_outputs
    from burnish.nn.runtime import OnnxRuntimeEngine

    model = disturbed(models.build(folder, HEAD, seed=0))
    export_onnx(model, tokenizer, tmp_path, max_length=32)
    card = {"task": {"type": "multitask"}, "head": HEAD.plain(), "max_length": 32, "format": "onnx"}
    (tmp_path / "burnish.json").write_text(json.dumps(card), "utf-8")
    engine = OnnxRuntimeEngine(tmp_path)
    assert [node.name for node in engine.session.get_outputs()] == ["type", "意图"]
    examples = encode(tiny_bert.sentences(9)[0], tokenizer, max_length=32)
    ours, theirs = predict_outputs(model, examples, HEAD), engine.outputs(examples)
    for one, other, length in zip(ours, theirs, examples.lengths, strict=True):
        assert one["意图"].shape == (2,) and one["type"].shape == (length, 2)
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=1e-3)


def test_class_weights_are_those_of_each_head_on_its_own_targets(tokenizer):
    from burnish.nn.objectives import class_weights

    examples = told(tokenizer)
    examples.several["意图"].targets[:] = 0  # where there is no target the filler says nothing
    examples.several["意图"].targets[[1, 4]] = 1
    found = class_weights(examples, HEAD)
    assert found["意图"] == pytest.approx([40 / (2 * 38), 40 / (2 * 2)])
    tags = examples.several["type"].token_targets
    counts = np.bincount(tags[tags != IGNORED])
    assert found["type"] == pytest.approx(counts.sum() / (2 * counts))
