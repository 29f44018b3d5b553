from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import checkpoints, heads, kernels, loop, one_class
from burnish.nn.batches import encode
from burnish.nn.models import Head
from burnish.nn.objectives import balanced_weights, cross_entropy
from burnish.nn.predict import predict_logits, stream_logits

SETTINGS = {"epochs": 4, "learning_rate": 3e-3, "batch_tokens": 256}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


pytestmark = pytest.mark.usefixtures("own_home")


def examples(folder, count, *, seed=0):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(count, seed=seed)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)


def train(folder, data, *, validation=None, scratch=None, seed=0, **settings):
    model = heads.build(folder, Head("sequence", tuple(["bad", "good"])), seed=0)
    history = loop.fit(
        model,
        data,
        validation,
        settings=loop.Training(**{**SETTINGS, **settings}),
        scratch=scratch,
        progress=Silent(),
        seed=seed,
    )
    return model, history


def same(one, two):
    theirs = two.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns(folder, precision):
    model, history = train(folder, examples(folder, 200), precision=precision)
    assert one_class.score(model, examples(folder, 100, seed=1))[1] > 0.95
    assert history.epochs[-1].loss < 0.3 < history.epochs[0].loss
    assert history.resolved["precision"] == precision
    assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())


def test_bf16_follows_the_loss_of_fp32(folder):
    data = examples(folder, 200)
    curves = [train(folder, data, precision=name, dropout=0.0)[1].losses for name in ("fp32", "bf16")]
    assert len(curves[0]) == len(curves[1])
    assert max(abs(one - two) for one, two in zip(*curves, strict=True)) < 0.05


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(folder, precision):
    data = examples(folder, 60)
    runs = [train(folder, data, seed=seed, precision=precision, epochs=2)[0] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_global_random_state_is_left_alone(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(folder, examples(folder, 20), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_in_every_step_changes_nothing(folder, tmp_path):
    data = examples(folder, 60)
    kept = train(folder, data, validation=data, scratch=tmp_path, checkpoint_every_s=0)[0]
    assert same(kept, train(folder, data, validation=data)[0])
    again, history = train(folder, data, validation=data, scratch=tmp_path)
    assert history.resumed and same(kept, again)


CHILD = """
import sys, torch
sys.path[:0] = [{tests!r}]
torch.set_num_threads(1)
from pathlib import Path
from test_loop import examples, train
folder, scratch, out = map(Path, sys.argv[1:])
data = examples(folder, 120)
print("ready", flush=True)
model, history = train(folder, data, validation=examples(folder, 40, seed=1), scratch=scratch, checkpoint_every_s=0.02)
torch.save(model.state_dict(), out)
print("resumed" if history.resumed else "fresh", len(history.losses), flush=True)
"""


def start(folder, scratch, out):
    code = CHILD.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-W", "ignore", "-c", code, str(folder), str(scratch), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)


@pytest.mark.slow
def test_killed_at_several_moments_it_ends_with_the_same_bits(folder, tmp_path):
    whole = start(folder, tmp_path / "whole", tmp_path / "whole.pt")
    told = whole.communicate(timeout=120)[0].split()
    assert told[1] == "fresh"
    assert len(checkpoints.names(tmp_path / "whole", "checkpoint-")) == 2
    kills = 0
    for number in (2, 5, 9):  # kill once so many checkpoints have been finished
        process = start(folder, tmp_path / "killed", tmp_path / "killed.pt")
        seen: set[str] = set()
        while len(seen) < number and process.poll() is None:
            seen |= set(checkpoints.names(tmp_path / "killed", "checkpoint-"))
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    told_after = start(folder, tmp_path / "killed", tmp_path / "killed.pt").communicate(timeout=120)[0].split()
    assert told_after[1:] == ["resumed", told[2]]
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(folder, tmp_path):
    data = examples(folder, 60)
    expected = train(folder, data, scratch=tmp_path, checkpoint_every_s=0)[0]
    newest = tmp_path / checkpoints.names(tmp_path, "checkpoint-")[0] / "weights.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    model, history = train(folder, data, scratch=tmp_path)
    assert history.resumed and same(model, expected)


def test_a_checkpoint_of_other_data_is_not_used(folder, tmp_path):
    train(folder, examples(folder, 60), scratch=tmp_path, epochs=1)
    other = examples(folder, 60, seed=9)
    model, history = train(folder, other, scratch=tmp_path, epochs=1)
    assert not history.resumed and same(model, train(folder, other, epochs=1)[0])


def test_early_stopping_keeps_the_best_weights(folder):
    data, held_out = examples(folder, 40), examples(folder, 60, seed=1)
    model, history = train(folder, data, validation=held_out, epochs=40, patience=2)
    assert history.stopped_early and len(history.epochs) == history.best_epoch + 3
    loss, accuracy = one_class.score(model, held_out)
    best = history.epochs[history.best_epoch]
    assert accuracy == pytest.approx(best.validation_score, abs=0.02)
    assert accuracy == pytest.approx(max(epoch.validation_score for epoch in history.epochs), abs=0.02)
    assert loss == pytest.approx(best.validation_loss, abs=0.05)


def test_weight_nought_silences_an_example(folder):
    clean = examples(folder, 120)
    wrong = clean.with_targets(np.where(np.arange(120) % 3 == 0, 1 - clean.targets, clean.targets))
    weighed = wrong.with_targets(wrong.targets, weights=(np.arange(120) % 3 != 0).astype(float))
    held_out = examples(folder, 100, seed=1)
    losses = [one_class.score(train(folder, data)[0], held_out)[0] for data in (weighed, wrong)]
    assert losses[0] < losses[1]


def test_soft_targets_teach_doubt(folder):
    data = examples(folder, 120)
    soft = data.with_targets(np.eye(2)[data.targets] * 0.5 + 0.25)
    model, _ = train(folder, soft)
    p = torch.softmax(torch.from_numpy(predict_logits(model, examples(folder, 50, seed=1))), -1).max(-1).values
    assert float(p.mean()) == pytest.approx(0.75, abs=0.06)


def test_class_weights_help_the_rare_class(folder):
    data = examples(folder, 300)
    rare = data.take([i for i in range(300) if data.targets[i] == 0 or i % 20 == 1])
    held_out = examples(folder, 100, seed=1)
    said = [
        int(predict_logits(train(folder, rare, epochs=3, class_weights=way)[0], held_out).argmax(1).sum())
        for way in ("none", "balanced")
    ]
    assert said[1] > said[0]


def test_cross_entropy_is_torchs_with_weights_and_smoothing():
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(6, 3, generator=generator), torch.tensor([0, 1, 2, 2, 1, 0])
    ours = cross_entropy(logits, targets, label_smoothing=0.1)
    theirs = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(ours, theirs)
    weights = torch.tensor([0.5, 1.0, 2.0])
    theirs = torch.nn.functional.cross_entropy(logits, targets, weight=weights, reduction="none")
    torch.testing.assert_close(cross_entropy(logits, targets, class_weights_C=weights), theirs)


def test_balanced_weights_have_mean_one_over_the_examples():
    targets = np.array([0, 0, 0, 2])
    weights = balanced_weights(targets, num_classes=3)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights[targets].mean() == pytest.approx(1)
    assert balanced_weights(np.eye(3)[targets], num_classes=3).tolist() == pytest.approx(weights.tolist())


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_warms_up_and_ends_at_nought(schedule):
    settings = loop.Training(learning_rate=1.0, warmup=0.2, schedule=schedule)
    rates = [loop.rate_at(x / 100, settings=settings) for x in range(101)]
    assert rates[0] == 0 and rates[10] == pytest.approx(0.5) and rates[20] == pytest.approx(1)
    assert rates[60] == pytest.approx(0.5) and rates[100] == pytest.approx(0)


@pytest.mark.parametrize("count", [20, 500, 20_000])
def test_autos_are_settled_with_a_reason(folder, count):
    data = examples(folder, 20).take(np.arange(count) % 20)
    settled, reasons = loop.settle(loop.Training(), train=data, hidden=384, layers=6)
    assert set(reasons) == {"epochs", "learning_rate", "batch_tokens"}
    steps = data.offsets[-1] * settled.epochs / settled.batch_tokens
    assert settled.learning_rate == 3e-4 and 256 <= settled.batch_tokens <= 2048
    assert steps > (20 if count == 20 else 40)


def test_tags_are_learnt_in_more_steps_and_faster(folder):
    data = examples(folder, 20).take(np.arange(1500) % 20)
    texts, tags = (loop.settle(loop.Training(), train=data, hidden=384, layers=6, tags=one)[0] for one in (False, True))
    assert tags.batch_tokens < 0.75 * texts.batch_tokens and tags.learning_rate > texts.learning_rate
    assert tags.epochs == texts.epochs


def test_a_narrow_network_learns_faster_and_longer(folder):
    """What pre-training from scratch made in minutes; the rate goes with 1 / width."""
    data = examples(folder, 20).take(np.arange(1500) % 20)
    wide, mini, tiny = (
        loop.settle(loop.Training(), train=data, hidden=hidden, layers=layers)[0]
        for hidden, layers in ((384, 6), (256, 4), (128, 2))
    )
    assert wide.learning_rate < mini.learning_rate < tiny.learning_rate <= 1e-3
    assert tiny.epochs == mini.epochs > 2 * wide.epochs and tiny.batch_tokens <= wide.batch_tokens


def test_places_are_learnt_in_batches_of_many_windows(folder):
    data = examples(folder, 20).take(np.arange(60_000) % 20)
    data = dataclasses.replace(data, token_targets=np.zeros(len(data.tokens), dtype=np.int64))
    tokens, places = (
        loop.settle(loop.Training(), train=data, hidden=384, layers=6, places=one)[0] for one in (False, True)
    )
    assert (tokens.batch_tokens, places.batch_tokens) == (1024, 4096)
    assert (tokens.epochs, tokens.learning_rate) == (places.epochs, places.learning_rate)


def test_more_data_means_fewer_epochs(folder):
    data = examples(folder, 20)
    epochs = [
        loop.settle(loop.Training(), train=data.take(np.arange(n) % 20), hidden=384, layers=6)[0].epochs
        for n in (50, 1000, 100_000)
    ]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] >= 10 and epochs[-1] <= 3


def test_a_loss_that_is_no_number_is_said(folder):
    with pytest.raises(BurnishError, match="training loss is"):
        train(folder, examples(folder, 60), learning_rate=1e25, warmup=0.0, precision="fp32", max_grad_norm=0)


def test_nothing_to_learn_from_is_said(folder):
    with pytest.raises(BurnishError, match="no training examples"):
        train(folder, examples(folder, 20).take([]))


def test_logits_come_in_the_order_of_the_texts(folder):
    model = heads.build(folder, Head("sequence", tuple(["a", "b"]))).eval()
    data = examples(folder, 50)
    together = predict_logits(model, data, batch_tokens=128)
    alone = np.concatenate(list(stream_logits(model, [data.take([i]) for i in range(50)])))
    assert np.abs(together - alone).max() < 1e-4
    assert np.ptp(together[:, 0]) > 0


def test_the_history_counts_real_tokens(folder):
    data = examples(folder, 60)
    _, history = train(folder, data, epochs=2)
    assert history.tokens == 2 * data.offsets[-1] and history.examples == 120
    assert history.to_json()["kernels"]["why"] and 0 <= history.padding_rate < 0.3


def test_every_kernel_learns_the_same(folder, monkeypatch):
    data = examples(folder, 100)
    curves = []
    for chosen in (
        kernels.Kernels("fp32", "torch", "sdpa"),
        kernels.Kernels("fp32", "torch", "matmul"),
        kernels.Kernels("fp32", "onednn", "matmul"),
    ):
        if chosen.linear == "onednn" and not kernels.onednn_agrees():
            continue
        monkeypatch.setattr(loop, "choose", lambda chosen=chosen, **_: chosen)
        curves.append(train(folder, data, dropout=0.0, epochs=2)[1].losses)
    for curve in curves[1:]:
        assert max(abs(one - two) for one, two in zip(curve, curves[0], strict=True)) < 1e-3
