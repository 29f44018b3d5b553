"""The operators that eat the time of encoder training on a CPU, written to cost less and mean the same.

Shapes: B texts, H heads, L tokens, D numbers a head, U different tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ATTENTION = "burnish_matmul"  # the name under which transformers finds `matmul_attention`


class _Attention(torch.autograd.Function):
    """softmax(QK' + mask) V as batched matrix products, with a backward that is batched matrix products too.

    Why by hand: on a CPU scaled_dot_product_attention in bf16 goes backward 5 to 15 times slower than this, and a
    bf16 softmax over rows of 20 numbers is scalar code; so products are in the model's format and the softmax is fp32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_BHLD: Tensor,
        k_BHLD: Tensor,
        v_BHLD: Tensor,
        mask: Tensor | None,
        scaling: float,
        keep: Tensor | None,
    ) -> Tensor:
        (B, H, L, D), K = q_BHLD.shape, k_BHLD.shape[2]  # more keys than queries where a prefix stands before them
        q, k, v = ((q_BHLD * scaling).reshape(-1, L, D), k_BHLD.reshape(-1, K, D), v_BHLD.reshape(-1, K, D))
        scores_BHLK = torch.bmm(q, k.transpose(1, 2)).view(B, H, L, K).float()
        if mask is not None:
            scores_BHLK += mask
        p = torch.softmax(scores_BHLK, -1).view(-1, L, K)
        dropped = p.to(q.dtype)
        if keep is not None:
            dropped = dropped * keep.view_as(dropped)  # not in place: in fp32 it is p itself
        ctx.save_for_backward(q, k, v, p, dropped, *([] if keep is None else [keep]))
        ctx.scaling, ctx.shape = scaling, (B, H, L, D)
        return torch.bmm(dropped, v).view(B, H, L, D).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, grad_BLHD: Tensor) -> tuple[Any, ...]:
        q, k, v, p, dropped, *keep = ctx.saved_tensors
        (B, H, L, D), K = ctx.shape, k.shape[1]
        grad = grad_BLHD.transpose(1, 2).reshape(-1, L, D)
        grad_v = torch.bmm(dropped.transpose(1, 2), grad)
        grad_p = torch.bmm(grad, v.transpose(1, 2))
        if keep:
            grad_p *= keep[0].view_as(grad_p)
        grad_s = softmax_backward(grad_p.float(), p).to(q.dtype)
        grad_q = torch.bmm(grad_s, k).mul_(ctx.scaling)
        grad_k = torch.bmm(grad_s.transpose(1, 2), q)
        return grad_q.view(B, H, L, D), grad_k.view(B, H, K, D), grad_v.view(B, H, K, D), None, None, None


_attend: Callable[..., Tensor] = _Attention.apply


def softmax_backward(grad: Tensor, p: Tensor) -> Tensor:
    return p * (grad - (grad * p).sum(-1, keepdim=True))


def _softmax_backward_aten(grad: Tensor, p: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten._softmax_backward_data(grad, p, -1, torch.float32)
    return out


if hasattr(torch.ops.aten, "_softmax_backward_data"):  # one pass instead of three; private, so only where it is
    softmax_backward = _softmax_backward_aten


def matmul_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention for transformers' registry: (B, H, L, D) in, (B, L, H, D) out. Encoders only: no cache, no causality."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if kwargs.get("softcap") is not None or key.shape[1] != query.shape[1] or getattr(module, "is_causal", False):
        raise ValueError("this attention is for encoders with as many key heads as query heads, without soft cap")
    if (bias := kwargs.get("position_bias")) is not None:  # learnt, so it needs a gradient: plain operators
        attention_mask = bias if attention_mask is None else attention_mask + bias
        p = torch.softmax((torch.matmul(query, key.transpose(2, 3)) * scaling).float() + attention_mask, -1)
        p = functional.dropout(p.to(query.dtype), dropout, training=module.training)
        return torch.matmul(p, value).transpose(1, 2).contiguous(), None
    keep = None
    if dropout and module.training:
        B, H, L, _ = query.shape
        keep = pool_of(module).keep((B, H, L, key.shape[2]), rate=dropout, dtype=query.dtype)
    return _attend(query, key, value, attention_mask, scaling, keep), None


class DropoutPool:
    """Dropout masks as random windows into random numbers drawn once.

    Drawing a mask costs 6 ns an element on a CPU, more than the matrix product before it; reading one 0.3. A window
    into millions of draws, at an offset drawn for each use, is as good to the model. Offsets depend on `begin(seed)`
    alone, so that a step means the same in a resumed run.
    """

    def __init__(self, *, seed: int, size: int = 1 << 22) -> None:
        self.seed, self.size = seed, size
        self._random = random.Random(seed)
        self._pools: dict[tuple[float, torch.dtype], Tensor] = {}

    def begin(self, seed: int) -> None:
        """Start a step."""
        self._random.seed(seed)

    def state(self) -> Any:
        """What decides the next masks."""
        return self._random.getstate()

    @contextmanager
    def as_it_was(self, state: Any) -> Iterator[None]:
        """Draw inside the block the masks that were drawn after `state()`; then go on as if nothing had been drawn."""
        now = self._random.getstate()
        self._random.setstate(state)
        try:
            yield
        finally:
            self._random.setstate(now)

    def keep(self, shape: tuple[int, ...], *, rate: float, dtype: torch.dtype) -> Tensor:
        """0 where an element is dropped, 1/(1 - rate) elsewhere; mean 1."""
        pool = self._pools.get((rate, dtype))
        if pool is None:
            pool = self._pools[(rate, dtype)] = self._draw(rate, dtype)
        count = 1
        for side in shape:
            count *= side
        parts = []
        while count > 0:
            piece = min(count, self.size // 2)
            start = self._random.randrange(self.size - piece + 1)
            parts.append(pool[start : start + piece])
            count -= piece
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(shape)

    def _draw(self, rate: float, dtype: torch.dtype) -> Tensor:
        scale = torch.tensor(1.0 / (1.0 - rate), dtype=dtype)  # rounded to the format ...
        share = 1.0 / float(scale)  # ... so the share kept is matched to it: the mean stays 1
        generator = torch.Generator().manual_seed(self.seed)
        return (torch.rand(self.size, generator=generator) < share).to(dtype) * scale


def pool_of(module: nn.Module) -> DropoutPool:
    """The pool given to this module by `kernels.installed`."""
    pool: DropoutPool | None = module.__dict__.get("burnish_pool")
    if pool is None:
        raise ValueError(f"{type(module).__name__} has no dropout pool: train inside kernels.installed(...)")
    return pool


def pooled_dropout(module: nn.Dropout, hidden: Tensor) -> Tensor:
    """nn.Dropout.forward with a mask out of the pool."""
    if not module.training or module.p == 0.0:
        return hidden
    return hidden * pool_of(module).keep(tuple(hidden.shape), rate=module.p, dtype=hidden.dtype)


@contextmanager
def dropout_from(pool: DropoutPool) -> Iterator[None]:
    """Inside the block functional.dropout draws from the pool: transformers' decoders have no modules for it.

    A function of torch is replaced for the time: a TorchFunctionMode does not reach what is computed again going backward.
    """
    plain = functional.dropout

    def drawn(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0.0:
            return input
        if input.device.type != "cpu":
            return plain(input, p, training, inplace)
        return input * pool.keep(tuple(input.shape), rate=p, dtype=input.dtype)

    functional.dropout = drawn
    try:
        yield
    finally:
        functional.dropout = plain


# rows of a bf16 product are a multiple of it: oneDNN compiles for each number of rows anew, at twice the cost
SAME_ROWS = 64
ROWS_AT_ONCE = 1024  # of a weight gradient's product: at 2,048 it runs at half the speed (Xeon with AMX, L2 of 2 MB)


class _OneDnnLinear(torch.autograd.Function):
    """x W' + b through oneDNN with the bias inside the product.

    In fp32 it has twice MKL's speed on processors MKL takes a slow path for; in bf16 torch's own linear first writes
    the bias into the result and then adds the product to it, and forms the weight's gradient in one slow piece.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        flat = _even(x.reshape(-1, x.shape[-1]))
        ctx.save_for_backward(flat, weight)
        ctx.has_bias, ctx.shape = bias is not None, x.shape
        rows = x.shape[:-1].numel()
        return onednn_linear(flat, weight, bias)[:rows].view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x_flat, weight = ctx.saved_tensors
        flat = _even(grad.reshape(-1, grad.shape[-1]))
        grad_x = None
        if ctx.needs_input_grad[0]:
            by_onednn = weight.dtype == torch.float32  # bf16 products reach oneDNN anyway
            grad_x = onednn_linear(flat, weight.t().contiguous(), None) if by_onednn else flat @ weight
            grad_x = grad_x[: ctx.shape[:-1].numel()].view(ctx.shape)
        grad_weight = _weight_gradient(flat, x_flat) if ctx.needs_input_grad[1] else None  # frozen under adapters
        return grad_x, grad_weight, flat.sum(0) if ctx.has_bias and ctx.needs_input_grad[2] else None


_linear: Callable[..., Tensor] = _OneDnnLinear.apply


def _even(x: Tensor) -> Tensor:
    """Rows of noughts behind those of a bf16 matrix, up to a multiple of SAME_ROWS."""
    left = -len(x) % SAME_ROWS
    if not left or x.dtype != torch.bfloat16 or len(x) < SAME_ROWS:
        return x
    return functional.pad(x, (0, 0, 0, left))


def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """grad' x, in pieces of ROWS_AT_ONCE."""
    if x.dtype == torch.float32:
        return onednn_linear(grad.t().contiguous(), x.t().contiguous(), None)
    out = _product(grad[:ROWS_AT_ONCE], x[:ROWS_AT_ONCE])
    for start in range(ROWS_AT_ONCE, len(x), ROWS_AT_ONCE):
        out += _product(grad[start : start + ROWS_AT_ONCE], x[start : start + ROWS_AT_ONCE])
    return out


def _product(grad: Tensor, x: Tensor) -> Tensor:
    """grad' x; the narrower side is the one laid out anew."""
    return grad.t().contiguous() @ x if x.shape[1] > grad.shape[1] else grad.t() @ x


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """One call of the private operator; `kernels.choose` only takes it where it exists and is right."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def linear_by_onednn(module: nn.Linear, x: Tensor) -> Tensor:
    """nn.Linear.forward through oneDNN."""
    return _linear(x, module.weight, module.bias)


class _LoraLinear(torch.autograd.Function):
    """x W' + b + s (x A') B' with W frozen, in products that add to what is there.

    As modules (peft) an adapter costs more than the layer it adapts: its output, the scaled output and the sum are
    written one after the other, and so are their gradients (1,024 tokens, 576 to 1,536: 1.5 ms against 0.3).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float, onednn: bool
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        out = onednn_linear(flat, weight, bias) if onednn else functional.linear(flat, weight, bias)
        low = flat @ a.t()
        out.addmm_(low, b.t(), alpha=scaling)
        ctx.save_for_backward(flat, low, weight, a, b)
        ctx.scaling = scaling
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
        x, low, weight, a, b = ctx.saved_tensors
        grad = grad_out.reshape(-1, grad_out.shape[-1])
        grad_low = (grad @ b).mul_(ctx.scaling)
        grad_b = (low.t() @ grad).t().mul_(ctx.scaling)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(grad_low, a).view(*grad_out.shape[:-1], -1)
        return grad_x, None, None, grad_low.t() @ x, grad_b, None, None


_lora: Callable[..., Tensor] = _LoraLinear.apply


def is_lora(module: nn.Module) -> bool:
    """Whether this is a frozen linear layer of peft under one plain adapter without dropout."""
    base: Any = getattr(module, "base_layer", None)
    if type(base) is not nn.Linear or base.weight.requires_grad or not hasattr(module, "lora_A"):
        return False
    layer: Any = module
    names = list(layer.active_adapters)
    if len(names) != 1 or list(layer.lora_A) != names or layer.merged or layer.disable_adapters:
        return False
    parts = [pair[names[0]] for pair in (layer.lora_A, layer.lora_B)]
    plain = all(type(part) is nn.Linear and part.bias is None for part in parts)
    return bool(plain and not getattr(layer, "lora_variant", {}) and type(layer.lora_dropout[names[0]]) is nn.Identity)


def lora_linear(module: Any, onednn: bool, x: Tensor) -> Tensor:
    """What a module that `is_lora` gives, at once."""
    base, (name,) = module.base_layer, module.active_adapters
    a, b = module.lora_A[name].weight, module.lora_B[name].weight
    return _lora(x, base.weight, base.bias, a, b, float(module.scaling[name]), onednn)


def is_adalora(module: nn.Module) -> bool:
    """Whether this is a frozen linear layer of peft under one AdaLoRA.

    As a module it adds to its layer's output in place, which autograd refuses of an operator written by hand.
    """
    base: Any = getattr(module, "base_layer", None)
    if type(base) is not nn.Linear or base.weight.requires_grad or not hasattr(module, "lora_E"):
        return False
    layer: Any = module
    names = list(layer.active_adapters)
    return len(names) == 1 and list(layer.lora_E) == names and not layer.merged and not layer.disable_adapters


def adalora_linear(module: Any, onednn: bool, x: Tensor) -> Tensor:
    """What a module that `is_adalora` gives, at once: P E Q is a B A with A = E Q."""
    base, (name,) = module.base_layer, module.active_adapters
    a, b = module.lora_A[name] * module.lora_E[name], module.lora_B[name]
    scaling = float(module.scaling[name]) / (float(module.ranknum[name]) + 1e-5)
    dropout = module.lora_dropout[name]
    if type(dropout) is not nn.Identity:
        added: Tensor = base(x) + scaling * functional.linear(functional.linear(dropout(x), a), b)
        return added
    return _lora(x, base.weight, base.bias, a, b, scaling, onednn)


class _RmsNorm(torch.autograd.Function):
    """x / rms(x) w in fp32 with half the passes over memory that autograd's own chain of operators takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        exact = x.float()
        square = torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_()
        scale = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = exact * scale
        ctx.save_for_backward(normed, scale, weight)
        out: Tensor = weight * normed.to(x.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        normed, scale, weight = ctx.saved_tensors
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (grad.float() * normed).flatten(0, -2).sum(0).to(weight.dtype)
        exact = (grad * weight).float()
        along = (exact * normed).mean(-1, keepdim=True)
        return exact.addcmul(normed, along, value=-1).mul_(scale).to(grad.dtype), grad_weight, None


_rms: Callable[..., Tensor] = _RmsNorm.apply


def is_rms_norm(module: nn.Module) -> bool:
    """Whether this is Llama's norm (Zhang & Sennrich 2019) by its parts and by what it gives."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim != 1 or not isinstance(eps, float):
        return False
    if sum(1 for _ in module.parameters()) != 1 or any(True for _ in module.children()):
        return False
    x = torch.linspace(-2.0, 3.0, 2 * len(weight)).view(2, -1).to(weight)
    with torch.no_grad():
        return bool(torch.allclose(module(x), _rms(x, weight, eps), rtol=1e-5, atol=1e-6))


def rms_norm(module: Any, x: Tensor) -> Tensor:
    """What a module that `is_rms_norm` gives."""
    return _rms(x, module.weight, module.variance_epsilon)


class RowEmbedding:
    """An embedding table that learns only in the rows a batch has touched.

    A dense gradient of a 30,000-word table costs more than a layer of the model: it is filled with zeros, measured,
    and every row of it is updated. Here a step gathers its U rows as a leaf, and `touched` hands (rows, leaf) to the
    optimiser. The table itself stays fp32.
    """

    def __init__(self, module: nn.Embedding, *, dtype: torch.dtype) -> None:
        self.module, self.dtype = module, dtype
        self.learns = True  # a strategy may close it for a while
        self.touched: list[tuple[Tensor, Tensor]] = []

    def __call__(self, ids: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and self.learns):
            return functional.embedding(ids, self.module.weight.detach()).to(self.dtype)
        rows_U, inverse = torch.unique(ids, return_inverse=True)
        leaf_UD = self.module.weight.detach()[rows_U].to(self.dtype).requires_grad_()
        self.touched.append((rows_U, leaf_UD))
        return functional.embedding(inverse, leaf_UD)
