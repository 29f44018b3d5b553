"""Each strategy moves exactly the weights that it says it moves."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.stage import find
from burnish.nn import anatomy, frozen, heads, kernels, loop, models
from burnish.nn.batches import encode
from burnish.nn.kernels import Kernels, installed
from burnish.nn.models import Head
from burnish.nn.optimise import AdamW
from burnish.nn.predict import predict_logits
from burnish.nn.strategies.base import check, combined, placed, strategies

HEAD = r"head\."
LOWER = r"encoder\.embeddings\.|encoder\.encoder\.layer\.0\."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


pytestmark = pytest.mark.usefixtures("own_home")


def examples(folder, count):
    from transformers import AutoTokenizer

    texts, targets = tiny_bert.sentences(count)
    return encode(texts, AutoTokenizer.from_pretrained(folder), max_length=32).with_targets(targets)


def built(folder):
    return heads.build(folder, Head("sequence", ("bad", "good")), seed=0)


def moved(model, before):
    """Names of the weights that are no longer what they were; a table of positions is touched in some rows only."""
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def trained(folder, strategy, *, scratch=None, **settings):
    """(model, its weights after placing, history)."""
    model = built(folder)
    parts = placed(strategies.open(strategy), model, seed=0)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    plan = loop.Training(**{"epochs": 2, "learning_rate": 1e-2, "batch_tokens": 256, "warmup": 0.0, **settings})
    history = loop.fit(
        model, examples(folder, 40), None, settings=plan, scratch=scratch, progress=Silent(), seed=0, strategies=parts
    )
    return model, before, history


@pytest.mark.parametrize(
    ("strategy", "moves"),
    [
        ("full", ".*"),
        ([], ".*"),
        ("head", HEAD),
        ("frozen", rf"(?!{LOWER})"),
        ({"use": "frozen", "layers": 1, "cache": False}, rf"(?!{LOWER})"),
        ("bitfit", rf".*bias$|{HEAD}"),
        ("layer_norm", rf".*LayerNorm|{HEAD}"),
        (["frozen", "bitfit"], rf"(?!{LOWER}).*bias$|{HEAD}"),
        (["bitfit", "gradual", {"use": "layer_wise", "decay": 0.9}], rf".*bias$|{HEAD}"),
        ([{"use": "gradual", "until": 0.5}, "reinit"], ".*"),
        ({"use": "gradual", "until": 0.9}, r"(?!encoder\.embeddings)"),
        ("layer_wise", ".*"),
    ],
)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_exactly_these_weights_move(folder, strategy, moves, precision):
    model, before, _ = trained(folder, strategy, precision=precision)
    expected = {name for name in before if re.match(moves, name)}
    got = moved(model, before)
    # softmax does not see a number added to all scores of a row, so the bias of keys has a gradient of nought
    unseen = {name for name in before if name.endswith("key.bias")}
    assert got - unseen == expected - unseen
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_what_is_frozen_is_not_counted_and_what_gradual_closed_is_open_again(folder):
    model, _, _ = trained(folder, {"use": "gradual", "until": 0.9})
    assert all(weight.requires_grad for weight in model.parameters())
    model, before, _ = trained(folder, "frozen")
    learnt = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learnt == {name for name in before if not re.match(LOWER, name)}


def test_gradual_opens_from_the_top_and_all_in_the_end(folder):
    model = built(folder)
    (one,) = strategies.open({"use": "gradual", "until": 0.6})
    top = {name for name in dict(model.named_parameters()) if ".layer.1." in name or name.startswith("head.")}
    layers = {name for name in dict(model.named_parameters()) if "embeddings." not in name}
    assert one.opens(model, share=0.0) == one.opens(model, share=0.29) == top
    assert one.opens(model, share=0.3) == one.opens(model, share=0.59) == layers
    assert one.opens(model, share=0.6) is None
    (both,) = strategies.open({"use": "gradual", "layers": 3, "until": 0.6})
    assert both.opens(model, share=0.0) == layers  # embeddings wait for `until` however many layers join at once


def test_gradual_trains_each_layer_from_the_epoch_in_which_it_opens(folder, monkeypatch):
    """Watched at every step of four epochs: head and top layer, the lower one, the embeddings."""
    seen = []
    own = AdamW.step

    def step(self, **more):
        rows = {name for name, table in self.installed.rows.items() if table.touched}
        seen.append({name for name, p in self.installed.working.items() if p.grad is not None} | rows)
        return own(self, **more)

    monkeypatch.setattr(AdamW, "step", step)
    _, before, history = trained(folder, {"use": "gradual", "until": 0.5}, epochs=4)
    each = len(history.losses) // 4
    top = {name for name in before if ".layer.1." in name or name.startswith("head.")}
    assert all(names == top for names in seen[:each])
    assert all(names == {n for n in before if "embeddings." not in n} for names in seen[each : 2 * each])
    assert all(names == set(before) for names in seen[2 * each :])


def test_a_weight_that_begins_late_moves_no_further_at_first_than_one_that_began_early():
    """Adam's first step is as long as the rate, whenever it is taken; counted with the run's steps it would be three times that."""
    from burnish.nn import operators

    values = {name: torch.zeros(50) for name in ("early", "late")}
    weights = {name: torch.nn.Parameter(value) for name, value in values.items()}
    inside = kernels.Installed(
        pool=operators.DropoutPool(seed=0, size=2), rows={}, working=weights, masters=values, tables={}
    )
    ours = AdamW(inside, weight_decay=0.0)
    for count in range(20):
        weights["early"].grad = torch.ones(50)
        if count == 19:
            weights["late"].grad = torch.full((50,), 3.0)
        ours.step(learning_rate=0.01, max_grad_norm=0)
    torch.testing.assert_close(values["late"], torch.full((50,), -0.01), rtol=1e-4, atol=0)
    again = AdamW(inside, weight_decay=0.0)
    again.restore({key: value.clone() for key, value in ours.state().items()}, steps=20)
    assert int(again.moves["late"]) == 1 and int(again.moves["early"]) == 20


def test_layer_wise_rates_fall_from_the_head_to_the_embeddings(folder):
    model = built(folder)
    got = combined(strategies.open([{"use": "layer_wise", "decay": 0.5}]), model)
    for name in dict(model.named_parameters()):
        depth = 3 if "embeddings." in name else 2 if ".layer.0." in name else 1 if ".layer.1." in name else 0
        assert got.get(name, 1.0) == 0.5**depth, name
    with installed(model, Kernels(), seed=0) as inside:
        optimiser = AdamW(inside, weight_decay=0.0)
        optimiser.scale(got)
        for weight in inside.working.values():
            weight.grad = torch.ones_like(weight)
        before = {name: value.clone() for name, value in inside.masters.items()}
        optimiser.step(learning_rate=0.01, max_grad_norm=0)
        for name, value in inside.masters.items():
            step = float((before[name] - value).abs().mean())
            assert step == pytest.approx(0.01 * got.get(name, 1.0), rel=1e-3), name


def test_reinit_draws_the_top_layers_anew_and_nothing_else(folder):
    model, other, plain = built(folder), built(folder), built(folder)
    for seed, one in ((0, model), (0, other)):
        placed(strategies.open("reinit"), one, seed=seed)
    placed(strategies.open("reinit"), third := built(folder), seed=1)
    before = dict(plain.named_parameters())
    for name, value in model.named_parameters():
        if ".layer.1." not in name:
            assert torch.equal(value, before[name])
        elif value.ndim > 1:
            assert not torch.equal(value, before[name]) and float(value.detach().std()) == pytest.approx(0.02, rel=0.1)
            assert not torch.equal(value, dict(third.named_parameters())[name])
        else:
            assert torch.equal(value, torch.full_like(value, float("LayerNorm.weight" in name)))
        assert torch.equal(value, dict(other.named_parameters())[name])
    with pytest.raises(BurnishError, match="2 layers, not 3"):
        placed(strategies.open({"use": "reinit", "layers": 3}), built(folder), seed=0)


@pytest.mark.parametrize("made", [torch.nn.LayerNorm(8), torch.nn.RMSNorm(8)])
def test_a_norm_drawn_anew_leaves_what_it_normalises(made):
    class Layered(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Sequential(made)])
            self.config = None

    torch.nn.init.constant_(made.weight, 7.0)
    placed(strategies.open("reinit"), Layered(), seed=0)
    assert torch.equal(made.weight, torch.ones(8))


def encoder_decoder():
    from transformers import T5Config, T5ForConditionalGeneration

    from burnish.nn.generators import Generator

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2}
    return Generator(T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0, pad_token_id=0)))


def test_one_half_of_an_encoder_decoder_learns_and_what_both_read_does_not():
    halves = {}
    for name in ("encoder_only", "decoder_only"):
        model = encoder_decoder()
        placed(strategies.open(name), model, seed=0)
        halves[name] = {n for n, weight in model.named_parameters() if weight.requires_grad}
        ids = torch.randint(1, 50, (2, 5))
        torch.autograd.backward(model.plain(input_ids=ids, labels=ids).loss)
        assert {n for n, weight in model.named_parameters() if weight.grad is not None} == halves[name]
    names = {n for n, _ in model.named_parameters()}
    assert all("encoder.block" in n or "encoder.final" in n for n in halves["encoder_only"])
    assert all("decoder." in n or "lm_head" in n for n in halves["decoder_only"])
    assert names - halves["encoder_only"] - halves["decoder_only"] == {"network.shared.weight"}


def decoder():
    from transformers import LlamaConfig, LlamaForCausalLM

    from burnish.nn.generators import Generator

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4}
    return Generator(LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, tie_word_embeddings=False)))


def test_a_decoder_freezes_from_its_bottom(folder):
    model = decoder()
    placed(strategies.open("frozen"), model, seed=0)
    still = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert still == {n for n, _ in model.named_parameters() if re.search(r"embed_tokens|layers\.[01]\.", n)}
    assert frozen.cut_of(model) == "the network is no encoder"  # its loss reads past the body's own forward
    depths = anatomy.depths(decoder())
    assert {depths[n] for n in depths if "lm_head" in n or "model.norm" in n} == {0}
    assert {depths[n] for n in depths if "embed_tokens" in n} == {5}


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("encoder_only", "no encoder-decoder"),
        ("decoder_only", "no encoder-decoder"),
        ({"use": "frozen", "layers": 2}, "leave none to learn"),
    ],
)
def test_what_a_network_cannot_do_is_said_with_a_hint(folder, strategy, said):
    with pytest.raises(BurnishError, match=said) as caught:
        placed(strategies.open(strategy), built(folder), seed=0)
    assert caught.value.hint


def test_a_network_without_the_parts_a_strategy_moves_is_refused(folder):
    with pytest.raises(BurnishError, match="no head of its own"):
        placed(strategies.open("head"), models.build(folder, Head("embedding"), seed=0), seed=0)
    with pytest.raises(BurnishError, match="no biases"):
        placed(strategies.open("bitfit"), decoder(), seed=0)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        (["head", "gradual"], "head and gradual do not go together"),
        (["layer_wise", "head"], "do not go together"),
        (["bitfit", "layer_norm"], "do not go together"),
        (["reinit", "bitfit"], "layers of random weights must learn whole"),
        (["encoder_only", "decoder_only"], "do not go together"),
        (["frozen", "frozen"], "frozen is named twice"),
        (["gradual", {"use": "layer_wise", "decay": 0.9}], ""),
        (["frozen", "bitfit"], ""),
        (["reinit", "layer_wise", "gradual"], ""),
        (["frozen", "reinit"], ""),
        (["encoder_only", "layer_norm"], ""),
    ],
)
def test_strategies_that_make_no_sense_together_are_refused_before_anything_runs(written, wrong):
    problem = check(strategies.open(written))
    assert problem == wrong == "" or (wrong and wrong in problem)


def test_a_setting_that_has_gone_says_what_says_it_now(tmp_path):
    from burnish.core.errors import SpecError
    from burnish.core.spec import load

    file = tmp_path / "burnish.yaml"
    file.write_text(
        "burnish: 1\nname: x\ntask: {type: classification, labels: [a, b]}\nsources: [{use: jsonl, path: a.jsonl}]\n"
        "train:\n  - {use: tune, layer_decay: 0.9}\n",
        "utf-8",
    )
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "a"}\n', "utf-8")
    with pytest.raises(SpecError, match="layer_wise"):
        load(file)
    assert "layer_decay" not in find("train", "tune").settings


@pytest.mark.parametrize("strategy", ["gradual", ["frozen", "bitfit"], "head"])
def test_a_run_that_was_broken_off_ends_with_the_same_bits(folder, tmp_path, strategy, monkeypatch):
    """Broken off at the fourth step, with a checkpoint in every step."""
    whole, _, history = trained(folder, strategy, epochs=4)
    steps = 0
    own = loop.Run._step

    def step(self, *args, **more):
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return own(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            trained(folder, strategy, epochs=4, scratch=tmp_path, checkpoint_every_s=0)
    again, _, resumed = trained(folder, strategy, epochs=4, scratch=tmp_path)
    assert resumed.resumed and resumed.losses == history.losses
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("strategy", ["head", "frozen", "bitfit"])
def test_saved_and_loaded_it_is_a_whole_model_that_says_the_same(folder, tmp_path, strategy):
    from transformers import AutoTokenizer

    model, _, _ = trained(folder, strategy)
    parts = strategies.open(strategy)
    head = Head("sequence", ("bad", "good"))
    models.save(model, tmp_path / "model", head, tokenizer=AutoTokenizer.from_pretrained(folder), strategies=parts)
    again = heads.load(tmp_path / "model")
    data = examples(folder, 10)
    one, two = (predict_logits(each, data) for each in (model, again))
    assert np.abs(one - two).max() < 1e-4 and not (tmp_path / "model" / models.ADAPTER).exists()
