from __future__ import annotations

import pytest
import tiny_bert
import torch

from burnish.nn import heads, kernels, operators, optimise, stack
from burnish.nn.kernels import Kernels
from burnish.nn.models import Head

STACK = Kernels("bf16", "onednn", "matmul", layers="stack")
STOCK = Kernels("bf16", "onednn", "matmul")


@pytest.fixture(params=["bert", "xlm-roberta"])
def model(tmp_path, request):
    return heads.build(tiny_bert.make(tmp_path / "tiny", family=request.param), Head("sequence", tuple(["a", "b"])))


def batch(*, lengths=(21, 3, 17, 21, 1)):
    longest = max(lengths)
    ids = torch.randint(5, 300, (len(lengths), longest), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long()
    return ids, mask


def gradients(model, chosen, ids, mask):
    with kernels.installed(model, chosen, seed=0) as inside:
        loss = torch.nn.functional.cross_entropy(model(ids, mask).float(), torch.arange(len(ids)) % 2)
        torch.autograd.backward(loss)
        found = {name: p.grad.float().clone() for name, p in inside.working.items()}
        rows = [leaf.grad.float().clone() for table in inside.rows.values() for _, leaf in table.touched]
    return float(loss.detach()), found, rows


@pytest.mark.parametrize("lengths", [(21, 3, 17, 21, 1), (9, 9, 9), (1, 1), (40,) * 8])
def test_gradients_are_those_of_the_models_own_layers(model, lengths):
    if not kernels.onednn_agrees(torch.bfloat16):
        pytest.skip("this torch has no such operator")
    model.eval()  # without dropout
    (loss, ours, rows), (expected_loss, theirs, expected_rows) = (
        gradients(model, chosen, *batch(lengths=lengths)) for chosen in (STACK, STOCK)
    )
    assert loss == pytest.approx(expected_loss, abs=0.02)
    whole = torch.cat([grad.flatten() for grad in theirs.values()]).norm()
    for name, grad in theirs.items():
        assert (ours[name] - grad).norm() < 0.05 * grad.norm() + 0.01 * whole, name
    for one, two in zip(rows, expected_rows, strict=True):
        assert (one - two).norm() < 0.08 * two.norm()


def test_layers_built_like_berts_agree_in_fp32(model):
    assert stack.disagreement(model) is None
    assert all(p.grad is None for p in model.parameters())


def test_a_layer_that_does_something_else_is_found_out(model):
    layer = stack.layers_of(model)[1][0]
    own = layer.attention.forward
    layer.attention.forward = lambda *args, **more: tuple(
        2 * part if part is not None else None for part in own(*args, **more)
    )
    assert "differ" in stack.disagreement(model)


STILL = {
    "lower": lambda name: "embeddings." in name or ".layer.0." in name,
    "bitfit": lambda name: not name.endswith("bias") and not name.startswith("head."),
    "norms": lambda name: "LayerNorm" not in name and not name.startswith("head."),
    "upper norm alone": lambda name: not name.endswith("layer.1.output.LayerNorm.weight"),
    "w2 alone": lambda name: not name.endswith("layer.0.output.dense.weight"),
    "w1 alone": lambda name: not name.endswith("layer.0.intermediate.dense.bias"),
    "norm1 alone": lambda name: not name.endswith("layer.1.attention.output.LayerNorm.bias"),
    "o alone": lambda name: not name.endswith("layer.1.attention.output.dense.weight"),
    "k alone": lambda name: not name.endswith("layer.1.attention.self.key.weight"),
    "all but the head": lambda name: not name.startswith("head."),
    "embeddings alone": lambda name: "embeddings." not in name,
}


@pytest.mark.parametrize("still", STILL)
def test_what_learns_beside_frozen_weights_gets_autograds_gradients_and_nothing_else_any(model, still):
    if not kernels.onednn_agrees(torch.bfloat16):
        pytest.skip("this torch has no such operator")
    for name, weight in model.named_parameters():
        weight.requires_grad_(not STILL[still](name))
    model.eval()
    assert kernels.with_layers(STOCK, model).layers == "stack"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (_, ours, rows), (_, theirs, expected_rows) = (gradients(model, chosen, *batch()) for chosen in (STACK, STOCK))
    assert set(ours) == set(theirs) and not any(STILL[still](name) for name in ours)
    assert all(weight.grad is None for weight in model.parameters())
    whole = torch.cat([grad.flatten() for grad in theirs.values()] or [torch.zeros(1)]).norm()
    for name, grad in theirs.items():
        assert grad.norm() > 0 or "key.bias" in name, name
        assert (ours[name] - grad).norm() < 0.05 * grad.norm() + 0.01 * whole, name
    assert len(rows) == len(expected_rows)
    for one, two in zip(rows, expected_rows, strict=True):
        assert (one - two).norm() < 0.08 * two.norm()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nothing_is_remembered_or_computed_below_the_lowest_that_learns(model, monkeypatch):
    went = []
    own = stack.Stack.backward_layer

    def counted(self, layer, grad, plan, saved, *, onward):
        out = own(self, layer, grad, plan, saved, onward=onward)
        went.append((next(at for at, one in enumerate(self.layers) if one is layer), onward, out is not None))
        return out

    monkeypatch.setattr(stack.Stack, "backward_layer", counted)
    for name, weight in model.named_parameters():
        weight.requires_grad_(".layer.1." in name or name.startswith("head."))
    model.eval()
    gradients(model, STACK, *batch())
    assert went == [(1, False, False)]


def test_every_token_finds_its_way_to_its_head_and_back():
    _, mask = batch()
    plan = stack.plan_of(mask.bool(), heads=2)
    assert plan.N % stack.ROWS == 0 and plan.A == 21
    flat = torch.arange(plan.N * 3 * 2 * 4).view(plan.N, -1)
    heads_ = flat.view(-1, 4).index_select(0, plan.to_heads_3)
    back = torch.cat([heads_, torch.full((1, 4), -1)]).index_select(0, plan.from_heads_3).view(plan.N, -1)
    real = int(mask.sum())
    assert torch.equal(back[:real], flat[:real]) and bool((back[real:] == -1).all())


@pytest.mark.parametrize("shape", [(7,), (300, 700)])
def test_adamw_is_torchs_with_clipping(shape):
    generator = torch.Generator().manual_seed(0)
    value, expected = (torch.zeros(shape).add_(1.0) for _ in range(2))
    parameter = torch.nn.Parameter(value)
    inside = kernels.Installed(
        pool=operators.DropoutPool(seed=0, size=2), rows={}, working={"w": parameter}, masters={"w": value}, tables={}
    )
    ours = optimise.AdamW(inside, weight_decay=0.1)
    reference = torch.nn.Parameter(expected)
    theirs = torch.optim.AdamW([reference], lr=0.01, weight_decay=0.1 if len(shape) > 1 else 0.0)
    for _ in range(3):
        grad = torch.randn(shape, generator=generator)
        parameter.grad, reference.grad = grad.clone(), grad.clone()
        norm = torch.nn.utils.clip_grad_norm_([reference], 1.0)
        assert ours.step(learning_rate=0.01, max_grad_norm=1.0) == pytest.approx(float(norm), rel=1e-5)
        theirs.step()
    torch.testing.assert_close(value, reference.detach(), rtol=1e-5, atol=1e-6)
