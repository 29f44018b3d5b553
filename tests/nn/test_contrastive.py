"""Few labels: the pair losses by hand, a last layer that is the probe, and an encoder that moved while the rest did not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_bert
import torch
from transformers import AutoTokenizer

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import contrastive, models
from burnish.nn.batches import make_batch
from burnish.nn.examples import Examples, encode
from burnish.nn.models import Head
from burnish.nn.predict import predict_logits
from burnish.nn.probe import Probe
from burnish.nn.training import Training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("few") / "bert")


def examples(folder: Path, count: int = 24, *, seed: int = 0) -> Examples:
    texts, targets = tiny_bert.sentences(count, seed=seed)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(np.array(targets))


def taught(folder: Path, train: Examples, *, steps: int = 20, scratch: Path | None = None, kind: str = "supervised"):  # type: ignore[no-untyped-def]
    model = models.build(folder, Head("sequence", ("bad", "good")), seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    history = contrastive.teach(
        model,
        train,
        pairs=contrastive.Pairs(kind, 0.1),  # type: ignore[arg-type]
        steps=steps,
        learning_rate=3e-3,
        settings=Training(precision="fp32"),
        seed=0,
        scratch=scratch,
        progress=Silent(),
    )
    return model, before, history


def test_the_losses_by_hand(folder: Path) -> None:
    batch = make_batch(examples(folder, 4), np.arange(4), pad_token=0)
    batch = replace(batch, targets=torch.tensor([0, 0, 1, 2]))
    v = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.2]]), dim=1)
    c = (v @ v.T).tolist()
    cosine = contrastive.Pairs("cosine", 1.0).loss(v, batch, None).tolist()
    assert cosine[0] == pytest.approx(0.5 * ((1 - c[0][1]) ** 2 + (c[0][2] ** 2 + c[0][3] ** 2) / 2), rel=1e-5)
    assert cosine[2] == pytest.approx(0.5 * (c[2][0] ** 2 + c[2][1] ** 2 + c[2][3] ** 2) / 3, rel=1e-5)
    found = contrastive.Pairs("supervised", 0.5).loss(v, batch, None).tolist()
    others = [np.exp(c[0][j] / 0.5) for j in (1, 2, 3)]
    assert found[0] == pytest.approx(-np.log(others[0] / sum(others)), rel=1e-5)
    assert found[2] == 0.0, "nobody of its class"


def test_the_last_layer_is_the_probe(folder: Path) -> None:
    train = examples(folder)
    model = models.build(folder, Head("sequence", ("bad", "good")), seed=0).eval()
    contrastive.settle_head(model, train, seed=0)
    features = torch.tanh(model.head.dense(model.pooled(*_read(train)))).detach().numpy()
    probe = Probe(2, seed=0).fit(features, train.targets)
    assert np.allclose(predict_logits(model, train), probe.logits(features), atol=1e-3)


def _read(train: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    batch = make_batch(train, np.arange(len(train)), pad_token=0)
    return batch.ids_BL, batch.mask_BL


@pytest.mark.parametrize("kind", ["cosine", "supervised"])
def test_the_encoder_learns_who_belongs_together(folder: Path, kind: str) -> None:
    train, test = examples(folder), examples(folder, 200, seed=1)
    model, before, history = taught(folder, train, steps=40, kind=kind)
    assert history.losses[-1] < history.losses[0]
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in moved if name.startswith("head.")} == {"head.out.weight", "head.out.bias"}
    assert any(name.startswith("encoder.encoder.layer.1") for name in moved)
    frozen = models.build(folder, Head("sequence", ("bad", "good")), seed=0).eval()
    contrastive.settle_head(frozen, train, seed=0)
    right = [float((predict_logits(one, test).argmax(1) == test.targets).mean()) for one in (model, frozen)]
    assert right[0] > right[1] + 0.05


def test_a_few_texts_a_class_learn_the_cosine_and_more_of_them_their_partners() -> None:
    assert contrastive.loss_for(np.repeat([0, 1, 2], 16)) == "cosine"
    assert contrastive.loss_for(np.repeat([0, 1, 2], 17)) == "supervised"
    assert contrastive.loss_for(np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], 17)]) == "supervised"


def test_a_class_without_an_example_is_never_said(folder: Path) -> None:
    model = models.build(folder, Head("sequence", ("bad", "good", "never")), seed=0).eval()
    contrastive.settle_head(model, examples(folder), seed=0)
    assert predict_logits(model, examples(folder, 50, seed=2)).argmax(1).max() == 1


def test_killed_and_resumed_it_ends_the_same(folder: Path, tmp_path: Path) -> None:
    train = examples(folder)
    whole, _, _ = taught(folder, train, steps=12, scratch=tmp_path / "whole")
    again, _, history = taught(folder, train, steps=12, scratch=tmp_path / "whole")
    assert history.resumed
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_heads_without_one_label_a_text_are_refused(folder: Path) -> None:
    model = models.build(folder, Head("token", ("O", "B-X", "I-X")), seed=0)
    with pytest.raises(BurnishError, match="contrastive learns one class a text"):
        contrastive.teach(
            model,
            examples(folder),
            pairs=contrastive.Pairs("cosine", 1.0),
            steps=1,
            learning_rate=1e-3,
            settings=Training(),
            seed=0,
            scratch=None,
            progress=Silent(),
        )
