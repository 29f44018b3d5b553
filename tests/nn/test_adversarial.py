"""Adversarial training: the worst point nearby is worse, as far away as was asked, and the weights are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
import torch
from inside import HEAD, Inside, examples, look, opened, same, train
from torch import nn

from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.nn import divergence, heads, loop, models
from burnish.nn.batches import make_batch
from burnish.nn.examples import IGNORED, Examples
from burnish.nn.generation_objectives import NextToken
from burnish.nn.generators import Generator
from burnish.nn.models import Head
from burnish.nn.objectives import TokenCrossEntropy
from burnish.nn.shifts import Embeddings, drawn, nought, tables_of

PARTS = {
    "fgm": {"use": "fgm", "epsilon": 0.3},
    "pgd": {"use": "pgd", "epsilon": 0.3, "step": 0.5, "steps": 3},
    "freelb": {"use": "freelb", "epsilon": 0.3, "steps": 3},
    "smart": {"use": "smart", "epsilon": 0.3, "steps": 2},
}
TABLE = "encoder.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(folder):
    return examples(folder, 48)


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def learnt(folder, data):
    """A model that has learnt something, so that there is a way up."""
    return train(folder, data, epochs=8)[0]


def spied(run, batch, inner, part):
    """(working regulariser, losses that its passes had, gradients of the weights it left)."""
    working, told = opened(part)[0].begin(run), []

    def spying(given):
        told.append(inner(given))
        return told[-1]

    run.again()
    working.learn(batch, spying)
    grads = {name: weight.grad.clone() for name, weight in run.operators.working.items() if weight.grad is not None}
    return working, told, grads


# -- one step of each


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["fgm", "pgd"])
def test_the_loss_is_higher_where_they_go_and_no_further_than_asked(folder, data, learnt, name, precision):
    def climb(run, batch, inner):
        weights = {one: value.clone() for one, value in run.weights.items()}
        working, told, _ = spied(run, batch, inner, PARTS[name])
        assert len(told) == {"fgm": 2, "pgd": 4}[name] and told[-1] > told[0] + 0.01
        sizes = working.shifts[0].sizes()
        assert float(sizes.max()) <= 0.3 + 1e-4
        if name == "fgm":
            torch.testing.assert_close(sizes, torch.full_like(sizes, 0.3))
        delta = working.shifts[0].delta_BLD
        assert delta.shape == (*batch.ids_BL.shape, 32)
        assert float(delta[batch.mask_BL == 0].abs().sum()) == 0.0  # padding has no way up
        assert all(torch.equal(value, weights[one]) for one, value in run.weights.items())
        assert all(not part._forward_hooks for part in run.model.modules())
        return told

    look(folder, data, climb, precision=precision, model=copied(folder, learnt))


def copied(folder, model):
    fresh = heads.build(folder, HEAD, seed=0)
    fresh.load_state_dict(model.state_dict())
    return fresh


def test_lengths_are_shares_of_each_texts_own_embeddings(folder, data, learnt):
    def lengths(run, batch, inner):
        working, _, _ = spied(run, batch, inner, PARTS["fgm"])
        embedded = run.weights[TABLE][batch.ids_BL] * batch.mask_BL.unsqueeze(-1)
        own_B = embedded.flatten(1).norm(dim=1)
        made_B = working.shifts[0].delta_BLD.detach().flatten(1).norm(dim=1)
        torch.testing.assert_close(made_B, 0.3 * own_B)
        return True

    assert look(folder, data, lengths, model=copied(folder, learnt))


def test_the_step_is_along_the_gradient_of_the_loss_at_the_text(folder, data, learnt):
    """By finite differences: the directional derivative along the step is the length of the gradient."""

    def slope(run, batch, inner):
        embeddings = Embeddings(run.model, pad=0, wanted_by="test")
        with embeddings.begun(nought) as shifts:
            run.backward(run.loss(batch))
        grad = shifts[0].delta_BLD.grad
        (step,) = (one.towards(share=1e-3) for one in shifts)
        run.again()
        start = float(run.loss(batch).detach())
        with embeddings.moved([step]):
            run.again()
            there = float(run.loss(batch).detach())
        expected = float((grad * step.delta_BLD).sum())
        assert there - start == pytest.approx(expected, rel=0.1) and expected > 0
        return True

    assert look(folder, data, slope, model=copied(folder, learnt), dropout=0.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_are_the_mean_of_both_points_and_the_way_there_leaves_none(folder, data, learnt, precision):
    """fgm and pgd teach at the text and at the end of the climb: by hand, from two plain passes."""

    def means(run, batch, inner):
        for name in ("fgm", "pgd"):
            for weight in run.operators.working.values():
                weight.grad = None
            for rows in run.operators.rows.values():
                rows.touched.clear()
            working, _, grads = spied(run, batch, inner, PARTS[name])
            touched = {one: list(rows.touched) for one, rows in run.operators.rows.items()}
            assert [len(one) for one in touched.values()] == [2]
            table = sum(leaf.grad.float().sum(0) for _, leaf in touched[TABLE])
            for weight in run.operators.working.values():
                weight.grad = None
            for rows in run.operators.rows.values():
                rows.touched.clear()
            run.again()
            with run.counting(0.5):
                inner(batch)
            run.again()
            with run.counting(0.5), working.embeddings.moved(working.shifts):
                inner(batch)
            for one, grad in grads.items():
                torch.testing.assert_close(run.operators.working[one].grad, grad, rtol=1e-4, atol=1e-6)
            by_hand = sum(leaf.grad.float().sum(0) for _, leaf in run.operators.rows[TABLE].touched)
            torch.testing.assert_close(by_hand, table, rtol=1e-4, atol=1e-6)
        return True

    assert look(folder, data, means, precision=precision, model=copied(folder, learnt))


def test_all_passes_of_a_step_have_the_same_dropout_masks(folder, data, learnt):
    def masks(run, batch, inner):
        pool, drawn_now, seen = run.operators.pool, [], []
        keep = pool.keep

        def kept(*given, **named):
            mask = keep(*given, **named)
            drawn_now.append(mask.data_ptr())
            return mask

        def spying(given):
            drawn_now.clear()
            value = inner(given)
            seen.append(list(drawn_now))
            return value

        pool.keep = kept
        run.again()
        opened(PARTS["pgd"])[0].begin(run).learn(batch, spying)
        del pool.keep
        assert len(seen) == 4 and len(seen[0]) > 4 and all(one == seen[0] for one in seen)
        return True

    assert look(folder, data, masks, model=copied(folder, learnt))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_freelb_begins_at_random_inside_and_climbs(folder, data, learnt, precision):
    def climb(run, batch, inner):
        working, told, grads = spied(run, batch, inner, PARTS["freelb"])
        assert len(told) == 3 and told[2] > told[0]
        sizes = [shifts[0].sizes() for shifts in working.shifts]
        torch.testing.assert_close(sizes[0], torch.full_like(sizes[0], 0.15))
        assert all(float(one.max()) <= 0.3 + 1e-4 for one in sizes)
        first = working.shifts[0][0].delta_BLD.detach()
        assert float(first[batch.mask_BL == 0].abs().sum()) == 0.0
        run.again()
        again, _, _ = spied(run, batch, inner, PARTS["freelb"])
        assert torch.equal(again.shifts[0][0].delta_BLD, first)  # of the step's seed alone
        assert len(grads) > 20
        return True

    assert look(folder, data, climb, precision=precision, model=copied(folder, learnt))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_smart_goes_where_the_answer_differs_most_and_adds_that_by_hand(folder, data, learnt, precision):
    def climb(run, batch, inner):
        near, _, _ = spied(run, batch, inner, {"use": "smart", "epsilon": 0.003})
        given, backward = [], run.backward
        run.backward = lambda loss: (given.append(loss.detach()), backward(loss))
        run.again()
        far, _, _ = spied(run, batch, inner, {**PARTS["smart"], "weight": 2.0})
        run.backward = backward
        assert far.apart > near.apart >= 0 and float(far.shifts[0].sizes().max()) <= 0.3 + 1e-4
        run.again()
        outputs = run.forward(batch)
        run.again()
        with far.embeddings.moved(far.shifts):
            moved = run.forward(batch)
        apart = divergence.divergence(run.objective, outputs, moved, batch).mean().detach()
        assert far.apart == pytest.approx(float(apart), rel=1e-3)
        random = drawn(share=0.3, seed=5)
        run.again()
        with far.embeddings.begun(random):
            by_chance = divergence.divergence(run.objective, outputs, run.forward(batch), batch).mean().detach()
        assert far.apart > 2 * float(by_chance)
        loss = run.loss(batch, outputs).detach()
        torch.testing.assert_close(given[-1], loss + 2.0 * apart, rtol=1e-3, atol=1e-4)
        return True

    assert look(folder, data, climb, precision=precision, model=copied(folder, learnt))


def test_smarts_running_mean_holds_a_step_near_the_last_ones(folder, data):
    start = heads.build(folder, HEAD, seed=0).state_dict()

    def away(proximal):
        part = {"use": "smart", "proximal": proximal, "momentum": 0.999, "epsilon": 0.0}
        model = train(folder, data, [part], epochs=6, dropout=0.0)[0]
        logits = [_logits(one, data) for one in (model, with_state(folder, start))]
        return float((logits[0] - logits[1]).abs().mean())

    assert away(20.0) < 0.8 * away(0.0)


def with_state(folder, state):
    model = heads.build(folder, HEAD, seed=0)
    model.load_state_dict(state)
    return model


def _logits(model, data):
    from burnish.nn.predict import predict_logits

    return torch.from_numpy(predict_logits(model, data))


def test_it_makes_a_model_that_small_shifts_move_less(folder, data):
    held_out = examples(folder, 40, seed=1)

    def harm(model):
        """How much a step up adds to the loss of texts it has not seen."""

        def measured(run, batch, inner):
            _, told, _ = spied(run, batch, inner, {"use": "fgm", "epsilon": 0.4})
            return told[1] - told[0]

        return look(folder, held_out, measured, model=copied(folder, model), dropout=0.0)

    plain, robust = (train(folder, data, parts, epochs=12)[0] for parts in ([], [{"use": "fgm", "epsilon": 0.4}]))
    assert harm(robust) < harm(plain)


# -- together, and in other networks


def test_outermost_first_fgm_goes_around_r_drop(folder, data):
    forwards = []
    forward = loop.Run.forward

    def counted(self, batch, model=None):
        forwards.append(1)
        return forward(self, batch, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "forward", counted)
        _, history = train(folder, data, ["fgm", "r_drop"], epochs=1)
    assert len(forwards) == 4 * len(history.losses)
    assert not same(train(folder, data, ["fgm", "r_drop"])[0], train(folder, data, ["r_drop"])[0])


def test_fgm_under_a_running_mean_learns_what_fgm_learns(folder, data):
    """ema keeps other weights, and moves none of those that learn."""
    losses = [train(folder, data, parts)[1].losses for parts in (["fgm"], ["fgm", "ema"], ["ema", "fgm"])]
    assert losses[0] == losses[1] == losses[2]
    models_kept = [train(folder, data, parts)[0] for parts in (["fgm"], ["fgm", "ema"], ["ema", "fgm"])]
    assert same(models_kept[1], models_kept[2]) and not same(models_kept[0], models_kept[1])


@pytest.mark.parametrize("name", PARTS)
def test_taggers_learn_with_it(folder, name):
    data = tagged(folder)
    model = models.build(folder, Head("token", ("o", "x", "y")), seed=0)
    before = model.state_dict()["stock.classifier.weight"].clone()
    working = []

    def watch(run, *_):
        working.append(run.helpers[-1])

    train(folder, data, [Inside(watch), PARTS[name]], model=model, objective=TokenCrossEntropy(), epochs=1)
    shifts = working[0].shifts
    assert (shifts[0] if name != "freelb" else shifts[0][0]).sizes().max() > 0
    assert not torch.equal(before, model.state_dict()["stock.classifier.weight"])


def tagged(folder):
    data = examples(folder, 24)
    tags = data.tokens % 3
    tags = np.where(data.tokens < 5, IGNORED, tags)
    return Examples(data.tokens, data.offsets, token_targets=tags.astype(np.int64))


@pytest.fixture(scope="module")
def writers():
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    decoder = LlamaConfig(
        vocab_size=5000, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        pad_token_id=0, attention_dropout=0.1, tie_word_embeddings=False,
    )  # fmt: skip
    both = T5Config(
        vocab_size=300, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=0,
        decoder_start_token_id=0, dropout_rate=0.1,
    )  # fmt: skip
    return {"decoder": LlamaForCausalLM(decoder), "both": T5ForConditionalGeneration(both)}


@pytest.mark.parametrize("kind", ["decoder", "both"])
@pytest.mark.parametrize("name", PARTS)
def test_generators_learn_with_it(folder, writers, kind, name):
    model = Generator(writers[kind], start="nothing")
    draw = np.random.default_rng(0)
    tokens, offsets = draw.integers(3, 300, 120).astype(np.int32), np.arange(0, 121, 10)
    if kind == "decoder":
        data = Examples(tokens, offsets, token_targets=np.where(np.arange(120) % 10 < 4, IGNORED, tokens))
    else:
        data = Examples(tokens, offsets, output=Examples(tokens[::-1].copy(), offsets))

    def climb(run, batch, inner):
        working, told, _ = spied(run, batch, inner, PARTS[name])
        shifts = working.shifts[-1] if name == "freelb" else working.shifts
        assert len(shifts) == (1 if kind == "decoder" else 2)  # the source, and what is written
        assert all(0 < float(one.sizes().max()) <= 0.3 + 1e-4 for one in shifts)
        assert name == "smart" or told[-1] > told[0]
        return True

    assert look(folder, data, climb, model=model, objective=NextToken(), dropout=0.0)


def test_a_network_without_word_embeddings_refuses():
    with pytest.raises(BurnishError, match="fgm moves word embeddings"):
        Embeddings(nn.Linear(2, 2), pad=0, wanted_by="fgm")


def test_a_network_that_is_not_asked_for_its_embeddings_refuses(folder):
    embeddings = Embeddings(heads.build(folder, HEAD, seed=0), pad=0, wanted_by="fgm")
    with pytest.raises(BurnishError, match="was not asked for any"), embeddings.begun(nought):
        pass


@pytest.mark.parametrize("name", ["fgm", "smart"])
def test_frozen_layers_are_not_skipped_where_embeddings_are_moved(folder, data, name):
    from burnish.nn.strategies.base import strategies

    model = heads.build(folder, HEAD, seed=0)
    strategy = strategies.open("head")[0]
    strategy.place(model, seed=0)
    start = {one: value.clone() for one, value in model.state_dict().items()}
    working = []
    made = [Inside(lambda run, *_: working.append(run.helpers[-1])), opened(PARTS[name])[0]]
    history = loop.fit(
        model, data, None, settings=loop.Training(epochs=1, learning_rate=3e-3, batch_tokens=256, precision="fp32"),
        scratch=None, progress=Silent(), seed=0, strategies=[strategy], regularisers=made,
    )  # fmt: skip
    assert working[0].shifts[0].sizes().max() > 0 and history.losses
    moved = {one for one, value in model.state_dict().items() if not torch.equal(value, start[one])}
    assert moved and all(one.startswith("head.") for one in moved)


def test_tables_are_those_of_tokens_alone(folder, writers):
    model = heads.build(folder, HEAD, seed=0)
    assert tables_of(model) == [model.encoder.embeddings.word_embeddings]
    assert {id(one) for one in tables_of(writers["both"])} >= {id(writers["both"].shared)}
    assert tables_of(writers["decoder"]) == [writers["decoder"].model.embed_tokens]


def test_a_shift_where_there_is_no_gradient_is_none(folder):
    data = examples(folder, 4)
    model = heads.build(folder, HEAD, seed=0).eval()
    batch = make_batch(data, np.arange(4), pad_token=0)
    embeddings = Embeddings(model, pad=0, wanted_by="test")
    with embeddings.begun(nought) as shifts:
        model(batch.ids_BL, batch.mask_BL)
    moved = shifts[0].towards(share=0.5)
    assert float(moved.sizes().sum()) == 0.0
    with torch.no_grad(), embeddings.begun(nought) as shifts:  # a look, such as a validation
        model(batch.ids_BL, batch.mask_BL)
    assert shifts == []
