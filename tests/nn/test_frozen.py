"""Frozen lower layers whose states are computed once: the same training, without the frozen layers in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.progress import Silent
from burnish.nn import batches, checkpoints, frozen, heads, kernels, loop, models, one_class, stack
from burnish.nn.batches import encode
from burnish.nn.kernels import Kernels
from burnish.nn.models import Head
from burnish.nn.predict import outputs_of, predict_outputs
from burnish.nn.strategies.base import placed, strategies

FORMATS = {
    "stack": Kernels("bf16", "onednn", "matmul", layers="stack"),
    "modules": Kernels("fp32", "torch", "sdpa"),
    "modules in bf16": Kernels("bf16", "torch", "matmul"),
}
SETTINGS = {"epochs": 3, "learning_rate": 1e-2, "batch_tokens": 256}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def chosen(monkeypatch):
    """Take these kernels, whatever is fastest here."""

    def choose(name):
        if name == "stack" and not kernels.onednn_agrees(torch.bfloat16):
            pytest.skip("this torch has no such operator")
        monkeypatch.setattr(loop, "choose", lambda **_: FORMATS[name])

    return choose


def examples(folder, count, *, seed=0, pairs=False):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(count, seed=seed)
    second = [text if at % 3 else None for at, text in enumerate(reversed(texts))] if pairs else None
    return encode(texts, AutoTokenizer.from_pretrained(folder), pairs=second, max_length=32).with_targets(targets)


def train(folder, data, *, strategy="frozen", validation=None, scratch=None, progress=None, **settings):
    model = heads.build(folder, Head("sequence", ("bad", "good")), seed=0)
    parts = placed(strategies.open(strategy), model, seed=0)
    history = loop.fit(
        model,
        data,
        validation,
        settings=loop.Training(**{**SETTINGS, **settings}),
        scratch=scratch,
        progress=progress or Silent(),
        seed=0,
        strategies=parts,
    )
    return model, history


class Told(Silent):
    def __init__(self):
        self.lines = []

    def tell(self, message):
        self.lines.append(message)


@pytest.mark.parametrize("name", FORMATS)
def test_it_learns_as_it_would_without_the_cache_and_the_frozen_weights_keep_every_bit(folder, chosen, name):
    chosen(name)
    data, held_out = examples(folder, 120), examples(folder, 60, seed=1)
    first = heads.build(folder, Head("sequence", ("bad", "good")), seed=0).state_dict()
    settings = {"validation": held_out, "dropout": 0.0, "epochs": 6}
    kept, history = train(folder, data, **settings)
    _, expected = train(folder, data, strategy={"use": "frozen", "cache": False}, **settings)
    assert "computed once (1 of 2 layers" in history.reasons["frozen"] and "frozen" not in expected.reasons
    worst = max(abs(one - two) for one, two in zip(history.losses, expected.losses, strict=True))
    assert worst < (0.02 if name == "modules" else 0.06)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    for name_, value in kept.state_dict().items():
        still = "embeddings." in name_ or ".layer.0." in name_
        assert torch.equal(value, first[name_]) == still, name_
        assert value.dtype == torch.float32
    assert all("forward" not in part.__dict__ for part in kept.modules())


@pytest.mark.parametrize("name", ["stack", "modules"])
def test_no_frozen_layer_runs_in_a_step_or_a_look(folder, chosen, monkeypatch, name):
    """What the frozen part computes is counted in texts: each distinct one once, however many epochs there are."""
    chosen(name)
    texts = []
    own = frozen.Bottom.compute
    monkeypatch.setattr(
        frozen.Bottom, "compute", lambda self, batch: texts.append(len(batch.ids_BL)) or own(self, batch)
    )
    ran = []
    forward = stack.Stack.forward_layer
    monkeypatch.setattr(
        stack.Stack,
        "forward_layer",
        lambda self, layer, *more: (
            ran.append((len(self.layers), layer is self.layers[0])) or forward(self, layer, *more)
        ),
    )
    data = examples(folder, 60)
    told = Told()
    train(folder, data.take([*range(60), 0, 0, 5]), validation=examples(folder, 30, seed=1), progress=told, epochs=4)
    distinct = len({data.tokens[data.window(i)].tobytes() for i in range(60)})
    beside = examples(folder, 30, seed=1)
    assert sum(texts) == distinct + len({beside.tokens[beside.window(i)].tobytes() for i in range(30)})
    assert not any("not foreseen" in line for line in told.lines)
    assert (2, True) not in ran and ((2, False) in ran) == (name == "stack")  # of two layers only the upper one


def test_texts_nobody_foresaw_are_computed_and_said(folder, chosen):
    chosen("modules")
    data, held_out = examples(folder, 60), examples(folder, 30, seed=1)
    told = Told()
    models_ = []
    for reads in ((), (held_out,)):
        model = heads.build(folder, Head("sequence", ("bad", "good")), seed=0)
        judge = loop.Judge("accuracy", lambda m: one_class.score(m, held_out)[::-1], reads)
        parts = placed(strategies.open("frozen"), model, seed=0)
        loop.fit(
            model, data, None, settings=loop.Training(**SETTINGS), scratch=None, progress=told, seed=0, judge=judge,
            strategies=parts,
        )  # fmt: skip
        models_.append(model.state_dict())
    assert sum("not foreseen" in line for line in told.lines) == 1
    assert all(torch.equal(value, models_[1][name]) for name, value in models_[0].items())


@pytest.mark.parametrize("name", ["stack", "modules"])
def test_the_second_text_of_a_pair_tells_windows_apart(folder, chosen, name):
    chosen(name)
    data = examples(folder, 40, pairs=True)
    settings = {"dropout": 0.0, "epochs": 1}
    told = Told()
    kept, _ = train(folder, data, progress=told, **settings)
    plain, _ = train(folder, data, strategy={"use": "frozen", "cache": False}, **settings)
    worst = max(float((plain.state_dict()[n] - v).abs().max()) for n, v in kept.state_dict().items())
    assert worst < 2e-3 and not any("not foreseen" in line for line in told.lines)
    bare = frozen.Windows.of([data], typed=False)
    one = data.take([0])
    other = type(one)(tokens=one.tokens, offsets=one.offsets, types=1 - one.types)
    assert len(frozen.Windows.of([one, other], typed=True)) == 2
    assert len(frozen.Windows.of([one, other], typed=False)) == 1 and bare.tokens <= len(data.tokens)


@pytest.mark.parametrize("name", ["stack", "modules"])
def test_a_full_disk_means_computing_in_every_step(folder, chosen, monkeypatch, name):
    chosen(name)
    data = examples(folder, 60)
    kept, _ = train(folder, data, dropout=0.0)
    told = Told()
    with monkeypatch.context() as patch:
        patch.setattr(frozen, "ROOM", 1e-15)
        short, history = train(folder, data, dropout=0.0, progress=told)
    assert "of disk are free" in history.reasons["frozen"] and any("of disk are free" in line for line in told.lines)
    with monkeypatch.context() as patch:
        patch.setattr(frozen, "_reserve", lambda path, size: (_ for _ in ()).throw(OSError(28, "No space left")))
        full, _ = train(folder, data, dropout=0.0, progress=told)
    assert any("the disk is full" in line for line in told.lines)
    near = 0.05 if name == "stack" else 1e-3
    for other in (short, full):
        worst = max(float((kept.state_dict()[n] - v).abs().max()) for n, v in other.state_dict().items())
        assert worst < near


def test_the_file_is_as_large_as_said_and_goes_when_training_ends(folder, chosen, tmp_path, monkeypatch):
    chosen("modules")
    data = examples(folder, 60)
    sizes = []
    own = frozen._checksum
    monkeypatch.setattr(frozen, "_checksum", lambda file: sizes.append(file.stat().st_size) or own(file))
    _, history = train(folder, data, scratch=tmp_path, epochs=1)
    tokens = sum(len(one) // 4 for one in {data.tokens[data.window(i)].tobytes() for i in range(60)})
    assert sizes == [2 * 32 * tokens] and f"for {tokens:,} tokens" in history.reasons["frozen"]
    assert not (tmp_path / "frozen").exists()


def test_kept_states_are_believed_only_whole_and_for_the_same_weights(folder, chosen, tmp_path, monkeypatch):
    chosen("modules")
    data = examples(folder, 60)
    filled = []
    own = frozen._fill
    monkeypatch.setattr(frozen, "_fill", lambda *args: filled.append(1) or own(*args))
    kept = SimpleNamespace(disk_usage=shutil.disk_usage, rmtree=lambda *args, **more: None)
    monkeypatch.setattr(frozen, "shutil", kept)
    expected, _ = train(folder, data, scratch=tmp_path, epochs=1)
    for folder_ in tmp_path.glob("checkpoint-*"):
        folder_.rename(tmp_path / f"gone-{folder_.name}")
    again, _ = train(folder, data, scratch=tmp_path, epochs=1, learning_rate=1e-3)
    assert len(filled) == 1
    file = tmp_path / "frozen" / frozen.STATES
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    again, _ = train(folder, data, scratch=tmp_path, epochs=1)
    assert len(filled) == 2
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in expected.state_dict().items())
    train(folder, data.take(range(59)), scratch=tmp_path, epochs=1)
    assert len(filled) == 3


def test_what_cannot_be_kept_says_why(folder):
    model = heads.build(folder, Head("sequence", ("a", "b")), seed=0)
    assert "learns" in frozen.cut_of(model)
    placed(strategies.open("frozen"), model, seed=0)
    assert frozen.cut_of(model).count == 1
    model.encoder.embeddings.LayerNorm.weight.requires_grad_()
    assert frozen.cut_of(model) == "what lies under the first layer learns"
    placed(strategies.open("frozen"), model, seed=0)
    outside = torch.nn.Parameter(torch.zeros(32))  # something that learns and is nobody's weight
    own = model.encoder.encoder.layer[0].output.forward
    model.encoder.encoder.layer[0].output.forward = lambda *args: own(*args) + outside
    handle = model.encoder.encoder.layer[0].register_forward_hook(lambda module, given, out: out + outside)
    assert frozen.cut_of(model) == "something inside its frozen layers learns"
    handle.remove()


@pytest.mark.parametrize("kind", ["token", "pointer", "markers", "embedding", "several"])
@pytest.mark.parametrize("name", ["stack", "modules"])
def test_every_kind_of_head_reads_the_kept_states(folder, chosen, kind, name):
    chosen(name)
    parts = {"said": Head("sequence", ("a", "b")).plain(), "tags": Head("token", ("O", "X")).plain()}
    head = Head(kind, () if kind == "embedding" else ("O", "X"), {"heads": parts} if kind == "several" else {})
    model = models.build(folder, head, seed=0)
    placed(strategies.open("frozen"), model, seed=0)
    data = examples(folder, 24)
    if kind == "markers":
        rows = np.full((24, 3), 7, np.int32)
        rows[:, 0], rows[:, 1] = model.head_id, model.tail_id
        data = data.take(range(24))
        data = type(data)(tokens=rows.reshape(-1), offsets=np.arange(25) * 3, targets=data.targets)
    inside = FORMATS[name]
    with kernels.installed(model, inside, seed=0) as operators:
        expected = flat(predict_outputs(model, data, head))
        with frozen.known(model, operators, inside, [data], scratch=None, progress=Silent()) as said:
            got = flat(predict_outputs(model, data, head))
    assert "computed once" in said
    assert np.abs(expected).mean() > 0.01 and len(expected) >= 24
    assert np.abs(got - expected).max() < 0.1 * np.abs(expected).mean() + 0.01


def flat(outputs):
    """Numbers of all windows one after the other."""
    rows = [list(row.values()) if isinstance(row, dict) else [row] for row in outputs]
    numbers = np.concatenate([np.ravel(part) for row in rows for part in row])
    return numbers[numbers > -29]  # of a pointer's scores, without those of what is no span


@pytest.mark.parametrize("family", ["distilbert", "modernbert", "deberta-v2", "albert"])
def test_other_families_hand_the_kept_states_on_or_say_why_not(tmp_path, family):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 64, "pad_token_id": 0}
    if family == "distilbert":
        sizes = {"vocab_size": 100, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    if family == "modernbert":
        sizes |= {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
    if family == "deberta-v2":
        sizes |= {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **sizes)).eval()
    if family == "albert":  # all its layers are one
        from burnish.core.errors import BurnishError

        with pytest.raises(BurnishError):
            placed(strategies.open("frozen"), model, seed=0)
        return
    placed(strategies.open("frozen"), model, seed=0)
    random = np.random.default_rng(0)
    lengths = random.integers(3, 12, 10)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    data = frozen.Examples(tokens=random.integers(3, 100, offsets[-1]).astype(np.int32), offsets=offsets)
    batch = next(iter(batches.batches_of(data, [np.arange(10)], pad_token=0)))
    with kernels.installed(model, FORMATS["modules"], seed=0) as operators:
        expected = outputs_of(model, batch).detach()
        with frozen.known(model, operators, FORMATS["modules"], [data], scratch=None, progress=Silent()) as said:
            got = outputs_of(model, batch)
    assert "computed once" in said
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0.02)


CHILD = """
import sys, torch
sys.path[:0] = [{tests!r}]
torch.set_num_threads(1)
from pathlib import Path
from test_frozen import examples, train
folder, scratch, out = map(Path, sys.argv[1:])
data = examples(folder, 120)
print("ready", flush=True)
model, history = train(
    folder, data, validation=examples(folder, 40, seed=1), scratch=scratch, checkpoint_every_s=0.02, epochs=6
)
torch.save(model.state_dict(), out)
print("resumed" if history.resumed else "fresh", len(history.losses), flush=True)
"""


def start(folder, scratch, out):
    code = CHILD.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-W", "ignore", "-c", code, str(folder), str(scratch), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)


@pytest.mark.slow
def test_killed_while_filling_and_while_training_it_ends_with_the_same_bits(folder, tmp_path):
    whole = start(folder, tmp_path / "whole", tmp_path / "whole.pt")
    told = whole.communicate(timeout=120)[0].split()
    assert told[1] == "fresh"
    moments = [
        lambda: (tmp_path / "killed" / "frozen" / f".making-{frozen.STATES}").exists(),
        lambda: (tmp_path / "killed" / "frozen" / frozen.STATES).exists(),
        lambda: len(checkpoints.names(tmp_path / "killed", "checkpoint-")) >= 2,
    ]
    kills = 0
    for moment in moments:
        process = start(folder, tmp_path / "killed", tmp_path / "killed.pt")
        while not moment() and process.poll() is None:
            time.sleep(0.0005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills == 3
    after = start(folder, tmp_path / "killed", tmp_path / "killed.pt").communicate(timeout=120)[0].split()
    assert after[1:] == ["resumed", told[2]]
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
