"""All layers of a BERT-family encoder as one operator, forward and backward written by hand, for training on a CPU.

Why: as modules under autograd a step spends half its time beside the products: every new batch shape makes oneDNN
compile its kernels anew (10 ms each, some 20 of them), padding is multiplied like text, and each small operator reads
and writes memory again. Here the texts of a batch lie one after the other without padding in a number of rows that is
always rounded up alike, so kernels are compiled once; only attention sees one text a row. What is computed is what
transformers computes (post-norm: Vaswani 2017, Devlin 2019), one layer being, for tokens x and dropout masks m:

    q, k, v = x Wq' + bq, ...;   p = softmax(q k' / sqrt(d));   c = (p m) v
    y   = norm(x + (c Wo' + bo) m)
    out = norm(y + (gelu(y W1' + b1) W2' + b2) m)

`disagreement` compares it, outputs and gradients, with the very model at hand before it is used.

Weights that are frozen get no gradient, and nothing goes backward below the lowest that learns: what a weight, a layer
or the input does not ask for is not computed. Where the lower layers are frozen and their states known (`nn.frozen`),
the walk begins above them, at states that are flat already.

Shapes: B texts, L tokens of the longest, A >= L places a text has in attention, H heads, E numbers a head, D = H E hidden, F inner; N rows of flat tokens, of
which the first are real; the gradient of the others is nought.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.nn.operators import DropoutPool, onednn_linear, softmax_backward

ROWS = 256  # N is a multiple of it: few shapes, so that oneDNN's compiled kernels are met again
SHORTEST = 16  # places a text has in attention, for softmax goes number by number in rows of fewer (4.7 against 0.4 ms)


@dataclass
class Layer:
    """The parameters of one layer as its products want them; q, k and v lie in one matrix."""

    parameters: dict[str, nn.Parameter]
    qkv_weight: Tensor
    qkv_bias: Tensor
    attention_rate: float
    hidden_rate: float
    eps: float

    def __getitem__(self, name: str) -> Tensor:
        return self.parameters[name].data

    def learns(self, *names: str) -> bool:
        """Whether any of these parts ("q", "norm1") has a weight that moves now; without names, whether any part has."""
        parts = names or tuple(NAMES)
        return any(self.parameters[f"{name}.{kind}"].requires_grad for name in parts for kind in ("weight", "bias"))


NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "w1": "intermediate.dense",
    "w2": "output.dense",
    "norm2": "output.LayerNorm",
}


def layers_of(model: nn.Module) -> tuple[nn.Module, nn.ModuleList] | None:
    """The module that walks the layers, and its layers, where they are built as BERT's are; else None."""
    for part in model.modules():
        layers = getattr(part, "layer", None)
        if not isinstance(layers, nn.ModuleList) or not len(layers) or not all(_is_bert_layer(one) for one in layers):
            continue
        if sum(p.numel() for p in part.parameters()) == sum(p.numel() for p in layers.parameters()):
            return part, layers
    return None


def _is_bert_layer(layer: nn.Module) -> bool:
    try:
        parts = {name: layer.get_submodule(path) for name, path in NAMES.items()}
        activation: Any = layer.get_submodule("intermediate").intermediate_act_fn
        dropouts = [layer.get_submodule(f"{part}.dropout") for part in ("attention.self", "attention.output", "output")]
    except AttributeError:
        return False
    wanted = {name: nn.LayerNorm if name.startswith("norm") else nn.Linear for name in NAMES}
    known = sum(p.numel() for part in parts.values() for p in part.parameters())
    return (
        all(type(part) is wanted[name] and part.bias is not None for name, part in parts.items())
        and known == sum(p.numel() for p in layer.parameters())
        and all(type(part) is nn.Dropout for part in dropouts)
        and bool(activation(torch.tensor([-0.7])) == functional.gelu(torch.tensor([-0.7])))
        and not getattr(layer, "is_decoder", False)
        and getattr(layer, "chunk_size_feed_forward", 0) == 0
    )


@dataclass
class Plan:
    """Where the tokens of one batch lie, flat and by heads: made once, used by every layer.

    flat_N: for each row which of the B x L places of the model it is; rows_BL: for each place its row, any for padding.
    to_heads_3: (3 B H A) rows of E numbers of the flat q, k, v; from_heads_1: (N H) rows of the context by heads;
    to_heads_1 and from_heads_3: the same ways for the gradients, where what is no token reads noughts put behind the
    last row. mask_B11A is None where no place is empty.
    """

    B: int
    A: int
    H: int
    N: int
    flat_N: Tensor
    rows_BL: Tensor
    to_heads_3: Tensor
    to_heads_1: Tensor
    from_heads_3: Tensor
    from_heads_1: Tensor
    mask_B11A: Tensor | None


def _mask_of(hidden_BLD: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(B, L), True where there is a token. attention_mask: (B, 1, L or 1, L), the same for every query: added, or boolean."""
    B, L, _ = hidden_BLD.shape
    if attention_mask is None:
        return torch.ones(B, L, dtype=torch.bool)
    mask_BL = attention_mask[:, 0, 0, :]
    return (mask_BL if mask_BL.dtype == torch.bool else mask_BL == 0).expand(B, L)


def plan_of(mask_BL: Tensor, *, heads: int) -> Plan:
    """mask_BL: True where there is a token."""
    mask_BA = functional.pad(mask_BL, (0, max(0, SHORTEST - mask_BL.shape[1])))
    (B, A), H, L = mask_BA.shape, heads, mask_BL.shape[1]
    flat = mask_BA.reshape(-1).nonzero().squeeze(1)
    real = len(flat)
    N = -(-real // ROWS) * ROWS
    row_BA = flat.new_full((B * A,), N)
    row_BA[flat] = torch.arange(real)
    head_H1, three = torch.arange(H)[:, None], torch.arange(3)
    to_heads_1 = row_BA.view(B, 1, A) * H + head_H1
    row_BA = row_BA.clamp_(max=N - 1)
    to_heads_3 = (row_BA.view(B, 1, A) * 3 + three.view(3, 1, 1, 1)) * H + head_H1
    # text b, head h, place a lies at (b H + h) A + a; rows that are no token read the nought behind the last
    text_N, place_N = (functional.pad(part, (0, N - real)) for part in (flat // A, flat % A))
    from_heads_1 = (text_N * H * A + place_N)[:, None] + head_H1.view(H) * A
    from_heads_3 = from_heads_1[:, None] + three[:, None] * (B * H * A)
    from_heads_1[real:], from_heads_3[real:] = B * H * A, 3 * B * H * A
    mask = None
    if real < B * A:
        mask = torch.zeros(B, 1, 1, A).masked_fill_(~mask_BA.view(B, 1, 1, A), torch.finfo(torch.float32).min)
    return Plan(
        *(B, A, H, N, text_N * L + place_N, row_BA.view(B, A)[:, :L].reshape(-1)),
        to_heads_3=to_heads_3.reshape(-1),
        to_heads_1=to_heads_1.reshape(-1),
        from_heads_3=from_heads_3.reshape(-1),
        from_heads_1=from_heads_1.reshape(-1),
        mask_B11A=mask,
    )


class _Stack(torch.autograd.Function):
    """(N, D) in, (N, D) out. Gradients of weights go straight to `grad`, for each layer runs once a step.

    anchor: any weight that learns, so that autograd comes here at all. layers: from the lowest that goes backward up.
    """

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, anchor: Tensor, stack: Stack, layers: list[Layer], plan: Plan) -> Tensor:
        ctx.stack, ctx.plan, ctx.layers, ctx.saved = stack, plan, layers, []
        for layer in layers:
            before = x_ND, stack.pool.state() if stack.recomputes else None
            x_ND, saved = stack.forward_layer(layer, x_ND, plan)
            ctx.saved.append(before if stack.recomputes else saved)
        return x_ND

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Any, ...]:
        grad: Tensor | None = grad_ND.contiguous()
        for at, layer in reversed(list(enumerate(ctx.layers))):
            assert grad is not None
            onward, saved = at > 0 or ctx.needs_input_grad[0], ctx.saved.pop()
            if ctx.stack.recomputes:
                x_ND, state = saved
                with ctx.stack.pool.as_it_was(state):
                    saved = ctx.stack.forward_layer(layer, x_ND, ctx.plan)[1]
            grad = ctx.stack.backward_layer(layer, grad, ctx.plan, saved, onward=onward)
        return grad, None, None, None, None


_run: Callable[..., Tensor] = _Stack.apply


class Stack:
    """What stands in for the `forward` of an encoder's layers; parameters stay where they are.

    below: None, or what knows the states under layer `first` of the batch at hand (`nn.frozen`): then only the layers
    from `first` up run, and what the model hands over is not read.
    """

    def __init__(self, walker: nn.Module, layers: nn.ModuleList, pool: DropoutPool) -> None:
        self.walker, self.pool = walker, pool
        self.recomputes = False  # keep a layer's input alone, and compute the rest again going back
        self.heads = int(layers[0].get_submodule("attention.self").num_attention_heads)  # type: ignore[arg-type]
        self.layers = [_adopt(layer) for layer in layers]
        self.below: Callable[[Plan], Tensor] | None = None
        self.first = 0

    def __call__(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        B, L, D = hidden_states.shape
        plan = plan_of(_mask_of(hidden_states, attention_mask), heads=self.heads)
        if self.below is not None:
            x_ND = self.below(plan)
        else:
            x_ND = hidden_states.reshape(B * L, D).index_select(0, plan.flat_N)
        out_ND = self.run(x_ND, plan, self.layers[self.first :])
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=out_ND.index_select(0, plan.rows_BL).view(B, L, D)
        )

    def run(self, x_ND: Tensor, plan: Plan, layers: list[Layer]) -> Tensor:
        """Through these layers, remembering no more than going backward will ask for."""
        lowest = len(layers)
        if torch.is_grad_enabled():
            asked = (at for at, layer in enumerate(layers) if x_ND.requires_grad or layer.learns())
            lowest = next(asked, lowest)
        for layer in layers[:lowest]:
            x_ND = self.forward_layer(layer, x_ND, plan)[0]
        if lowest == len(layers):
            return x_ND
        learning = (p for p in layers[lowest].parameters.values() if p.requires_grad)
        return _run(x_ND, next(learning, None), self, layers[lowest:], plan)

    def _keep(self, shape: tuple[int, ...], rate: float, like: Tensor) -> Tensor | None:
        return self.pool.keep(shape, rate=rate, dtype=like.dtype) if rate and self.walker.training else None

    def forward_layer(self, layer: Layer, x_ND: Tensor, plan: Plan) -> tuple[Tensor, tuple[Any, ...]]:
        keep1, keep2 = (self._keep(tuple(x_ND.shape), layer.hidden_rate, x_ND) for _ in range(2))
        qkv = linear(x_ND, layer.qkv_weight, layer.qkv_bias)
        c_ND, attention = self._attend(layer, qkv, plan)
        sum1_ND = _residual(x_ND, linear(c_ND, layer["o.weight"], layer["o.bias"]), keep1)
        y_ND, *moments1 = torch.native_layer_norm(
            sum1_ND, x_ND.shape[-1:], layer["norm1.weight"], layer["norm1.bias"], layer.eps
        )
        u_NF = linear(y_ND, layer["w1.weight"], layer["w1.bias"])
        a_NF = functional.gelu(u_NF)
        sum2_ND = _residual(y_ND, linear(a_NF, layer["w2.weight"], layer["w2.bias"]), keep2)
        out_ND, *moments2 = torch.native_layer_norm(
            sum2_ND, x_ND.shape[-1:], layer["norm2.weight"], layer["norm2.bias"], layer.eps
        )
        return out_ND, (x_ND, attention, c_ND, keep1, sum1_ND, moments1, y_ND, u_NF, a_NF, keep2, sum2_ND, moments2)

    def backward_layer(
        self, layer: Layer, grad_ND: Tensor, plan: Plan, saved: tuple[Any, ...], *, onward: bool
    ) -> Tensor | None:
        """Gradients of the weights that learn, down to the last of them. onward: the input's gradient is wanted too."""
        x_ND, attention, c_ND, keep1, sum1_ND, moments1, y_ND, u_NF, a_NF, keep2, sum2_ND, moments2 = saved
        grad_sum2 = _norm_backward(layer, "norm2", grad_ND, sum2_ND, moments2)
        if not onward and not layer.learns("q", "k", "v", "o", "norm1", "w1", "w2"):
            return None
        grad_z = grad_sum2 if keep2 is None else grad_sum2 * keep2
        _learn(layer, "w2", grad_z, lambda: _transposed(grad_z) @ a_NF)
        if not onward and not layer.learns("q", "k", "v", "o", "norm1", "w1"):
            return None
        grad_a = grad_z @ layer["w2.weight"]
        grad_u = torch.ops.aten.gelu_backward(grad_a, u_NF)
        _learn(layer, "w1", grad_u, lambda: (_transposed(y_ND) @ grad_u).t())
        if not onward and not layer.learns("q", "k", "v", "o", "norm1"):
            return None
        grad_y = (grad_u @ layer["w1.weight"]).add_(grad_sum2)
        grad_sum1 = _norm_backward(layer, "norm1", grad_y, sum1_ND, moments1)
        if not onward and not layer.learns("q", "k", "v", "o"):
            return None
        grad_o = grad_sum1 if keep1 is None else grad_sum1 * keep1
        _learn(layer, "o", grad_o, lambda: _transposed(grad_o) @ c_ND)
        if not onward and not layer.learns("q", "k", "v"):
            return None
        grad_c = grad_o.new_empty(plan.N + 1, c_ND.shape[1])
        grad_c[-1] = 0
        torch.mm(grad_o, layer["o.weight"], out=grad_c[:-1])
        grad_qkv = self._attend_backward(layer, grad_c, plan, attention)
        _learn_qkv(layer, grad_qkv, x_ND)
        return (grad_qkv @ layer.qkv_weight).add_(grad_sum1) if onward else None

    def _attend(self, layer: Layer, qkv: Tensor, plan: Plan) -> tuple[Tensor, tuple[Any, ...]]:
        """(N, D) context of the flat (N, 3 D) queries, keys and values; softmax in fp32."""
        B, A, H = plan.B, plan.A, plan.H
        E = qkv.shape[1] // (3 * H)
        q, k, v = qkv.view(-1, E).index_select(0, plan.to_heads_3).view(3, B * H, A, E)
        scores = torch.bmm(q, k.transpose(1, 2)).float().mul_(E**-0.5)
        if plan.mask_B11A is not None:
            scores.view(B, H, A, A).add_(plan.mask_B11A)
        p = torch.softmax(scores, -1)
        keep = self._keep(tuple(p.shape), layer.attention_rate, qkv)
        dropped = p.to(qkv.dtype, copy=True) if keep is None else p.to(qkv.dtype, copy=True).mul_(keep)
        c = qkv.new_empty(B * H * A + 1, E)
        torch.bmm(dropped, v, out=c[:-1].view(B * H, A, E))
        c[-1] = 0
        return c.index_select(0, plan.from_heads_1).view(plan.N, H * E), (q, k, v, p, dropped, keep)

    def _attend_backward(self, layer: Layer, grad_c_ND: Tensor, plan: Plan, saved: tuple[Any, ...]) -> Tensor:
        q, k, v, p, dropped, keep = saved
        S, A, E = q.shape
        grad_c = grad_c_ND.view(-1, E).index_select(0, plan.to_heads_1).view(S, A, E)
        grads = grad_c.new_empty(3 * S * A + 1, E)
        grads[-1] = 0
        grad_q, grad_k, grad_v = grads[:-1].view(3, S, A, E)
        torch.bmm(dropped.transpose(1, 2), grad_c, out=grad_v)
        grad_p = torch.bmm(grad_c, v.transpose(1, 2))
        grad_p = (grad_p if keep is None else grad_p.mul_(keep)).float()
        grad_s = softmax_backward(grad_p, p).mul_(E**-0.5).to(q.dtype)
        torch.bmm(grad_s, k, out=grad_q)
        torch.bmm(grad_s.transpose(1, 2), q, out=grad_k)
        return grads.index_select(0, plan.from_heads_3).view(plan.N, -1)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """oneDNN adds the bias inside a bf16 product."""
    return onednn_linear(x, weight, bias) if x.dtype == torch.bfloat16 else functional.linear(x, weight, bias)


def _residual(x: Tensor, update: Tensor, keep: Tensor | None) -> Tensor:
    return update.add_(x) if keep is None else torch.addcmul(x, update, keep, out=update)


def _norm_backward(layer: Layer, name: str, grad: Tensor, x: Tensor, moments: list[Tensor]) -> Tensor:
    weight, bias = layer[f"{name}.weight"], layer[f"{name}.bias"]
    asked = [layer.parameters[f"{name}.{kind}"].requires_grad for kind in ("weight", "bias")]
    made: tuple[Tensor, ...] = torch.ops.aten.native_layer_norm_backward(
        grad, x, x.shape[-1:], moments[0], moments[1], weight, bias, [True, *asked]
    )
    for kind, value, wanted in zip(("weight", "bias"), made[1:], asked, strict=True):
        if wanted:
            _give(layer, f"{name}.{kind}", value)
    return made[0]


def _learn(layer: Layer, name: str, grad: Tensor, weight: Callable[[], Tensor]) -> None:
    """The gradients of one product, as far as its weights learn. weight: makes that of the matrix."""
    if layer.parameters[f"{name}.weight"].requires_grad:
        _give(layer, f"{name}.weight", weight())
    if layer.parameters[f"{name}.bias"].requires_grad:
        _give(layer, f"{name}.bias", grad.sum(0))


def _learn_qkv(layer: Layer, grad_qkv: Tensor, x_ND: Tensor) -> None:
    D = x_ND.shape[1]
    matrices, biases = (
        [name for name in "qkv" if layer.parameters[f"{name}.{kind}"].requires_grad] for kind in ("weight", "bias")
    )
    if matrices:
        weight_D3D = _transposed(x_ND) @ grad_qkv
        for name in matrices:
            at = "qkv".index(name) * D
            _give(layer, f"{name}.weight", weight_D3D[:, at : at + D].t())
    if biases:
        bias = grad_qkv.sum(0)
        for name in biases:
            at = "qkv".index(name) * D
            _give(layer, f"{name}.bias", bias[at : at + D])


def _give(layer: Layer, name: str, grad: Tensor) -> None:
    parameter = layer.parameters[name]
    parameter.grad = grad if parameter.grad is None else parameter.grad + grad


def _transposed(x: Tensor) -> Tensor:
    """x' laid out anew; as a product with one, which is exact, it takes half the time of a copy."""
    if x.dtype != torch.bfloat16:
        return x.t().contiguous()
    return onednn_linear(_one(x.shape[1]), x, None)


@functools.cache
def _one(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.bfloat16)


def _adopt(layer: nn.Module) -> Layer:
    """Lay q, k and v into one matrix, of which their parameters become parts."""
    parts = {name: layer.get_submodule(path) for name, path in NAMES.items()}
    parameters = {f"{name}.{kind}": getattr(part, kind) for name, part in parts.items() for kind in ("weight", "bias")}
    joined = {}
    for kind in ("weight", "bias"):
        three = [parameters[f"{name}.{kind}"] for name in "qkv"]
        joined[kind] = torch.cat([p.data for p in three])
        for parameter, data in zip(three, joined[kind].chunk(3), strict=True):
            parameter.data = data
    more: list[Any] = [
        layer.get_submodule("attention.self.dropout"),
        layer.get_submodule("output.dropout"),
        parts["norm1"],
    ]
    return Layer(parameters, joined["weight"], joined["bias"], more[0].p, more[1].p, more[2].eps)


def disagreement(model: nn.Module) -> str | None:
    """Why these layers cannot stand in for the model's own; None where outputs and all gradients are the same.

    One layer is copied and run both ways on two short texts, in fp32 and without dropout (under a tenth of a second).
    """
    found = layers_of(model)
    if found is None:
        return "they are not built as BERT's"
    walker, layers = found
    if getattr(getattr(walker, "config", None), "is_decoder", False):
        return "it is a decoder"
    generator = torch.Generator().manual_seed(0)
    hidden = int(layers[0].get_parameter("output.LayerNorm.weight").shape[0])
    x_BLD, grad_BLD = (torch.randn(2, 7, hidden, generator=generator) for _ in range(2))
    mask_BL = torch.arange(7) < torch.tensor([[7], [4]])
    added = torch.zeros(2, 1, 1, 7).masked_fill_(~mask_BL.view(2, 1, 1, 7), torch.finfo(torch.float32).min)
    sides = [_tried(layers[0], x_BLD, added, grad_BLD * mask_BL.unsqueeze(-1), ours=ours) for ours in (False, True)]
    for theirs, here in zip(*sides, strict=True):
        if theirs is None or here is None or (theirs - here).norm() > 1e-4 * (1.0 + theirs.norm()):
            return "outputs or gradients differ from the model's own"
    return None


def _tried(layer: nn.Module, x_BLD: Tensor, added: Tensor, grad_BLD: Tensor, *, ours: bool) -> list[Tensor | None]:
    """Output at the tokens, gradient of the input, gradients of all parameters."""
    config: Any = layer.get_submodule("attention.self").config
    asked = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        one = nn.ModuleList([copy.deepcopy(layer).float().eval()]).eval().requires_grad_()
        x_BLD = x_BLD.clone().requires_grad_()
        run: Callable[..., Any] = (
            (lambda *inputs: Stack(one, one, DropoutPool(seed=0, size=1))(*inputs)[0]) if ours else one[0]
        )
        with torch.enable_grad():
            out = run(x_BLD, added)
            out_BLD: Tensor = out if isinstance(out, Tensor) else out[0]
            torch.autograd.backward(out_BLD, grad_BLD)
    finally:
        config._attn_implementation = asked
    return [out_BLD.detach() * (grad_BLD != 0), x_BLD.grad, *(p.grad for p in one.parameters())]
