"""Muon: what orthogonal means, which weights it moves so, a step by hand, and exact resume. Schedules by hand."""

from __future__ import annotations

import math

import pytest
import tiny_bert
import torch
from test_loop import examples, same, train

from burnish.nn import heads, kernels, loop, muon
from burnish.nn.models import Head


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("shape", [(48, 48), (32, 96), (96, 32)])
def test_the_direction_is_nearly_the_orthogonal_matrix_nearest_to_the_momentum(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    made = muon.orthogonal(matrix)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    spread = torch.linalg.svdvals(made)
    assert made.shape == matrix.shape and 0.6 < float(spread.min()) and float(spread.max()) < 1.3
    nearest = left @ right
    assert float((made * nearest).sum() / (made.norm() * nearest.norm())) > 0.98
    rough = muon.orthogonal(matrix, dtype=torch.bfloat16)
    assert float((rough - made).norm() / made.norm()) < 0.1


def optimiser_of(folder, **settings):
    model = heads.build(folder, Head("sequence", ("bad", "good")), seed=0)
    chosen = kernels.choose(precision="fp32", hidden=32, head=16)
    return model, kernels.installed(model, chosen, seed=0), settings


def test_matrices_between_hidden_states_move_so_and_nothing_else(folder):
    _, installed, _ = optimiser_of(folder)
    with installed as inside:
        moves = muon.Muon(inside, weight_decay=0.0)
    layer = "encoder.encoder.layer.0."
    matrices = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    wanted = {f"{layer}{part}.weight" for part in (*matrices, "intermediate.dense", "output.dense")}
    assert {name for name in moves.matrices if name.startswith(layer)} == wanted
    assert all(".layer." in name for name in moves.matrices)


def test_one_step_is_the_formula(folder):
    _, installed, _ = optimiser_of(folder)
    name = "encoder.encoder.layer.1.intermediate.dense.weight"
    with installed as inside:
        moves = muon.Muon(inside, weight_decay=0.1)
        before = inside.masters[name].clone()
        grads = [torch.randn(*before.shape, generator=torch.Generator().manual_seed(at)) for at in range(2)]
        bias = inside.masters["encoder.encoder.layer.1.intermediate.dense.bias"].clone()
        momentum, expected = torch.zeros_like(before), before.clone()
        for grad in grads:
            inside.working[name].grad = grad.clone()
            moves.step(learning_rate=0.02, max_grad_norm=0.0)
            momentum = 0.95 * momentum + grad
            turned = muon.orthogonal(grad + 0.95 * momentum)
            expected = expected * (1 - 0.02 * 0.1) - 0.02 * 0.2 * math.sqrt(max(before.shape)) * turned
        torch.testing.assert_close(inside.masters[name], expected)
        assert torch.equal(inside.masters["encoder.encoder.layer.1.intermediate.dense.bias"], bias)
        moved = (expected - before).square().mean().sqrt()
        assert 0.1 < float(moved) / (2 * 0.02) < 0.4  # about 0.2 an entry a step, as AdamW's


def test_it_learns_and_a_resumed_run_ends_with_the_same_bits(folder, tmp_path):
    data = examples(folder, 80)
    settings = {"optimiser": "muon", "epochs": 4, "learning_rate": 3e-3, "batch_tokens": 256}
    whole, history = train(folder, data, **settings)
    assert history.losses[-1] < 0.7 * history.losses[0]
    kept = train(folder, data, scratch=tmp_path, checkpoint_every_s=0, **settings)[0]
    import shutil

    newest, _ = sorted(tmp_path.glob("checkpoint-*"), reverse=True)
    shutil.rmtree(newest)  # killed after the one before
    again, history = train(folder, data, scratch=tmp_path, **settings)
    assert history.resumed and len(history.losses) == len(train(folder, data, **settings)[1].losses)
    assert same(whole, kept) and same(whole, again)


def rates(**settings):
    training = loop.Training(learning_rate=1.0, warmup=0.1, **settings)
    return [loop.rate_at(at, settings=training) for at in (0.0, 0.05, 0.1, 0.5, 0.8, 0.85, 0.95, 1.0)]


def test_schedules_by_hand():
    assert rates(schedule="constant") == [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    straight = rates(schedule="wsd", decay=0.2, decay_shape="linear")
    assert straight == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.25, 0.0])
    rooted = rates(schedule="wsd", decay=0.2, decay_shape="sqrt")
    assert rooted == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1 - math.sqrt(0.25), 1 - math.sqrt(0.75), 0.0], abs=1e-6)
    assert rates(schedule="cosine")[3] == pytest.approx(0.5 * (1 - math.cos(math.pi * 0.5 / 0.9)))


def test_betas_and_eps_reach_every_way_of_adamw(folder):
    from burnish.nn import optimise

    def moved(**settings):
        _, installed, _ = optimiser_of(folder)
        with installed as inside:
            moves = optimise.AdamW(inside, weight_decay=0.0, **settings)
            name = "encoder.encoder.layer.0.output.dense.weight"
            first = inside.masters[name].clone()
            reference = torch.nn.Parameter(first.clone())
            theirs = torch.optim.AdamW([reference], lr=0.01, weight_decay=0.0, betas=moves.betas, eps=moves.eps)
            for at in range(3):
                grad = torch.randn(*first.shape, generator=torch.Generator().manual_seed(at))
                inside.working[name].grad, reference.grad = grad.clone(), grad.clone()
                moves.step(learning_rate=0.01, max_grad_norm=0.0)
                theirs.step()
            torch.testing.assert_close(inside.masters[name], reference.data, rtol=1e-4, atol=1e-6)
            return inside.masters[name]

    assert not torch.allclose(moved(), moved(betas=(0.9, 0.95), eps=1e-3))
