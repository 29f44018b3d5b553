from __future__ import annotations

import pytest
import tiny_bert
import torch

from burnish.nn import heads, kernels, operators
from burnish.nn.kernels import Kernels
from burnish.nn.models import Head


def reference(q, k, v, mask, scaling, keep):
    p = torch.softmax(q @ k.transpose(2, 3) * scaling + mask, -1) * keep
    return (p @ v).transpose(1, 2)


def test_attention_and_its_gradients_equal_plain_autograd():
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(3, 2, 7, 8, generator=generator, requires_grad=True) for _ in range(3)]
    mask = torch.zeros(3, 1, 1, 7)
    mask[1, ..., 5:] = torch.finfo(torch.float32).min
    keep = (torch.rand(3, 2, 7, 7, generator=generator) > 0.2).float() / 0.8
    grad = torch.randn(3, 7, 2, 8, generator=generator)
    outs = []
    for function in (operators._Attention.apply, reference):
        out = function(*qkv, mask, 0.3, keep)
        outs.append([out, *torch.autograd.grad(out, qkv, grad)])
    for ours, theirs in zip(*outs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 4e-2)])
def test_onednn_linear_and_its_gradients_equal_torch(dtype, near):
    if not kernels.onednn_agrees(dtype):
        pytest.skip("this torch has no such operator")
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Linear(24, 40)
    x = torch.randn(1300, 24, generator=generator)
    grad = torch.randn(1300, 40, generator=generator)
    expected = torch.autograd.grad(module(x.requires_grad_()), [x, module.weight, module.bias], grad)
    low = module.to(dtype)
    x_low = x.detach().to(dtype).requires_grad_()
    found = torch.autograd.grad(operators.linear_by_onednn(low, x_low), [x_low, low.weight, low.bias], grad.to(dtype))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.float() - theirs).norm() / theirs.norm() < near


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_adapted_layer_and_its_gradients_equal_peft(dtype, near, bias):
    peft = pytest.importorskip("peft")
    generator = torch.Generator().manual_seed(0)
    settings = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["0"])
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(24, 40, bias=bias)), settings)
    layer = model.base_model.model[0]
    assert operators.is_lora(layer) and not operators.is_lora(layer.base_layer)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.nn.init.normal_(b, std=0.3, generator=generator)  # it begins at nought, where A has no gradient
    x, grad = torch.randn(3, 50, 24, generator=generator), torch.randn(3, 50, 40, generator=generator)
    out = layer(x.requires_grad_())
    expected = [out, *torch.autograd.grad(out, [x, a, b], grad)]
    layer.to(dtype)
    x_low = x.detach().to(dtype).requires_grad_()
    out = operators.lora_linear(layer, kernels.onednn_agrees(dtype), x_low)
    found = [out, *torch.autograd.grad(out, [x_low, a, b], grad.to(dtype))]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and (ours.float() - theirs).norm() / theirs.norm() < near


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_and_its_gradients_equal_transformers(dtype):
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    generator = torch.Generator().manual_seed(0)
    module = LlamaRMSNorm(24, eps=1e-5)
    torch.nn.init.normal_(module.weight, 1.0, 0.3, generator=generator)
    assert operators.is_rms_norm(module) and not operators.is_rms_norm(torch.nn.LayerNorm(24))
    module.to(dtype)
    x, grad = (torch.randn(3, 50, 24, generator=generator).to(dtype) for _ in range(2))
    sides = []
    for run in (module, lambda x: operators.rms_norm(module, x)):
        out = run(x.requires_grad_())
        sides.append([out, *torch.autograd.grad(out, [x, module.weight], grad)])
    for theirs, ours in zip(*sides, strict=True):
        assert (ours.float() - theirs.float()).norm() / theirs.float().norm() < (
            1e-5 if dtype == torch.float32 else 1e-2
        )


def test_an_adapter_with_dropout_stays_as_it_is():
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=4, lora_dropout=0.1, target_modules=["0"])
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(24, 40)), settings)
    assert not any(operators.is_lora(part) for part in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooled_masks_have_mean_one_and_the_asked_rate(dtype):
    pool = operators.DropoutPool(seed=0)
    mask = pool.keep((1000, 1000), rate=0.1, dtype=dtype)
    assert abs(float(mask.float().mean()) - 1.0) < 2e-3
    assert abs(float((mask == 0).float().mean()) - 0.1) < 3e-3


def test_a_step_draws_the_same_masks_again_and_other_steps_others():
    pool = operators.DropoutPool(seed=0)
    drawn = []
    for step in (5, 6, 5):
        pool.begin(step)
        drawn.append([pool.keep((40, 40), rate=0.1, dtype=torch.float32) for _ in range(2)])
    assert torch.equal(drawn[0][0], drawn[2][0]) and torch.equal(drawn[0][1], drawn[2][1])
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_a_mask_may_be_larger_than_the_pool():
    assert operators.DropoutPool(seed=0, size=1000).keep((50, 50), rate=0.5, dtype=torch.float32).shape == (50, 50)


def test_an_installed_model_gives_its_own_logits_and_is_left_as_it_was(tmp_path):
    model = heads.build(tiny_bert.make(tmp_path / "tiny"), Head("sequence", tuple(["a", "b"]))).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.randint(0, 300, (5, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9)[None] < torch.tensor([9, 3, 5, 9, 1])[:, None]).long()
    with torch.no_grad():
        expected = model(ids, mask)
    for chosen, near in ((Kernels("fp32", "onednn", "matmul"), 1e-4), (Kernels("bf16", "torch", "matmul"), 3e-2)):
        if chosen.linear == "onednn" and not kernels.onednn_agrees():
            continue
        with kernels.installed(model, chosen, seed=0) as inside, torch.no_grad():
            assert inside.rows, "the word table should learn by rows"
            torch.testing.assert_close(model(ids, mask).float(), expected, rtol=near, atol=near)
        with torch.no_grad():
            assert torch.equal(model(ids, mask), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.encoder.config._attn_implementation == "sdpa"


def test_rows_learn_as_the_whole_table_would():
    table = torch.nn.Embedding(5000, 4)
    ids = torch.tensor([[1, 7, 1], [4999, 7, 7]])
    weight = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    (table(ids) * weight).sum().backward()
    rows = operators.RowEmbedding(table, dtype=torch.float32)
    (rows(ids) * weight).sum().backward()
    ((touched, leaf),) = rows.touched
    assert touched.tolist() == [1, 7, 4999]
    torch.testing.assert_close(leaf.grad, table.weight.grad[touched])


def test_the_choice_is_explained_and_obeys():
    assert kernels.choose(precision="fp32", hidden=32, head=16).number_format == "fp32"
    chosen = kernels.choose(precision="bf16", hidden=32, head=16)
    assert chosen.number_format == "bf16"
    assert any("attention by" in line for line in chosen.why)
    assert chosen.figures["fp32_gflops"] > 0
    with pytest.raises(ValueError, match="auto, fp32 or bf16"):
        kernels.choose(precision="fp16")


def test_without_the_private_operator_torch_does_the_work(monkeypatch):
    def missing(*_):
        raise AttributeError("gone")

    monkeypatch.setattr(operators, "onednn_linear", missing)
    kernels.onednn_agrees.cache_clear()
    try:
        chosen = kernels.choose(precision="bf16", hidden=32, head=16)
        assert chosen.linear == "torch"
        assert any("no bf16 oneDNN operator" in line for line in chosen.why)
    finally:
        monkeypatch.undo()
        kernels.onednn_agrees.cache_clear()


def test_figures_are_remembered_so_that_the_choice_repeats(tmp_path, monkeypatch):
    monkeypatch.setenv("BURNISH_HOME", str(tmp_path))
    measured = []
    whole = kernels._probe
    monkeypatch.setattr(kernels, "_probe", lambda *sizes: measured.append(sizes) or whole(*sizes))
    choices = []
    for _ in range(2):
        kernels._figures.cache_clear()
        choices.append(kernels.choose(hidden=32, head=16))
    kernels._figures.cache_clear()
    assert choices[0] == choices[1]
    assert len(measured) == 1
    assert (tmp_path / "kernels.json").is_file()


def test_products_of_any_number_of_rows_are_products_of_few_shapes(monkeypatch):
    """oneDNN compiles for each shape anew: rows are filled up, and what comes out is that of the rows alone."""
    if not kernels.onednn_agrees(torch.bfloat16):
        pytest.skip("this torch has no such operator")
    seen, plain = set(), operators.onednn_linear
    monkeypatch.setattr(operators, "onednn_linear", lambda x, *more: (seen.add(len(x)), plain(x, *more))[1])
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Linear(24, 40).to(torch.bfloat16)
    for rows in (65, 70, 100, 127):
        x = torch.randn(rows, 1, 24, generator=generator).to(torch.bfloat16).requires_grad_()
        out = operators.linear_by_onednn(module, x)
        expected = torch.nn.functional.linear(x.float(), module.weight.float(), module.bias.float())
        assert out.shape == (rows, 1, 40) and (out.float() - expected).norm() / expected.norm() < 2e-2
        ours = torch.autograd.grad(out.sum(), [x, module.weight, module.bias])
        theirs = torch.autograd.grad(expected.sum(), [x, module.weight, module.bias])
        assert all((a.float() - b.float()).norm() / b.float().norm() < 4e-2 for a, b in zip(ours, theirs, strict=True))
    assert seen == {128}


def test_functional_dropout_draws_from_the_pool_while_a_model_is_installed():
    x = torch.ones(64, 64)

    def draw(*given, **more):
        return torch.nn.functional.dropout(*given, **more)

    pool = operators.DropoutPool(seed=1)
    with operators.dropout_from(pool):
        pool.begin(5)
        first = draw(x, p=0.25, training=True)
        pool.begin(5)
        assert torch.equal(draw(x, p=0.25, training=True), first)  # a step means the same in a resumed run
        assert first.unique().tolist() == pytest.approx([0.0, 4 / 3]) and abs(float(first.mean()) - 1) < 0.05
        assert torch.equal(draw(x, p=0.25, training=False), x)
    with torch.random.fork_rng():
        assert not torch.equal(draw(x, p=0.25, training=True), first)


def test_the_bias_of_logits_takes_their_format_and_comes_back(tmp_path):
    from burnish.nn import generators

    folder = generators.fresh(tmp_path / "x", ["a b c d"] * 30, hidden=64, layers=1, vocabulary=300)
    model = generators.build(folder, Head("generator"), seed=0)
    ids = torch.ones(2, 5, dtype=torch.long)
    with kernels.installed(model, Kernels("bf16", "torch", "sdpa"), seed=0):
        assert model(ids, torch.ones_like(ids)).dtype == torch.bfloat16
    assert model.plain.final_logits_bias.dtype == torch.float32
