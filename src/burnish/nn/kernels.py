"""Which number format and which operators are fastest on the processor at hand: a short probe, then a choice.

Nothing here is a matter of taste: a processor with AMX multiplies bf16 six times as fast as fp32, one without bf16
emulates it; one maker's processors want oneDNN where another's want MKL. The choice and its figures go to the report.
"""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.artifacts import write_json
from burnish.core.packages import home
from burnish.nn import operators, stack
from burnish.nn.devices import local

CLEARLY = 1.25  # how much faster the unusual way must be; a tie must not fall differently on two runs
BIG_TABLE = 4096  # rows from which an embedding is worth learning row by row


@dataclass(frozen=True)
class Kernels:
    """What was chosen, why, and the figures it rests on (`figures` in GFLOP/s or ms, for the report)."""

    number_format: str = "fp32"  # fp32 | bf16
    linear: str = "torch"  # torch | onednn
    attention: str = "sdpa"  # sdpa | matmul
    why: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    processor: str = ""
    layers: str = "stock"  # stock | stack: one operator for all layers (`stack.py`)
    modules: str = "own"  # own | stock: nothing of the network is replaced, bf16 comes by autocast (`devices.py`)

    @property
    def dtype(self) -> torch.dtype:
        """What weights are kept in for forward."""
        return torch.bfloat16 if self.number_format == "bf16" and self.modules == "own" else torch.float32

    @property
    def autocast(self) -> str | None:
        """The number format that `devices.formatted` is asked for."""
        return self.number_format if self.modules == "stock" else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def with_layers(kernels: Kernels, model: nn.Module) -> Kernels:
    """Take the hand-written layers where the format is bf16 and they give what this very model's own layers give."""
    if kernels.number_format != "bf16" or kernels.linear != "onednn":
        return kernels
    problem = stack.disagreement(model)
    layers = "stock" if problem else "stack"
    why = f"layers as modules: {problem}" if problem else "layers as one operator, compared with the model's own"
    return replace(kernels, layers=layers, why=(*kernels.why, why))


def stock(kernels: Kernels, why: str) -> Kernels:
    """The same number format with the network's own modules."""
    return replace(kernels, linear="torch", attention="sdpa", layers="stock", modules="stock", why=(*kernels.why, why))


def for_gpu(*, precision: str = "auto") -> Kernels:
    """What a GPU runs: stock modules, bf16 by autocast where it knows the format."""
    knows = torch.cuda.is_bf16_supported()
    number_format = ("bf16" if knows else "fp32") if precision == "auto" else precision
    why = f"{number_format}: {'asked for' if precision != 'auto' else 'the GPU ' + ('has' if knows else 'lacks') + ' bf16'}"
    return stock(Kernels(number_format, why=(why,), processor=torch.cuda.get_device_name()), "stock modules on a GPU")


def processor_name() -> str:
    """The model name the system gives, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def choose(*, precision: str = "auto", hidden: int = 384, head: int = 32) -> Kernels:
    """Choose by figures of this processor: probed once (under a second), then remembered in the user's cache.

    Remembered, because a tie that falls differently in the next process would end in other weights for the same seed.

    precision: "auto" takes bf16 where its matrix products are clearly faster than fp32's; "fp32" and "bf16" are obeyed.
    hidden, head: the model's width and the width of one attention head.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision is auto, fp32 or bf16, not {precision!r}")
    figures = _figures(hidden, head, torch.get_num_threads())
    why: list[str] = []
    bf16, fp32 = figures["bf16_gflops"], figures["fp32_gflops"]
    fastest_fp32 = max(fp32, figures.get("fp32_onednn_gflops", 0.0))
    if precision == "auto":
        number_format = "bf16" if bf16 > CLEARLY * fastest_fp32 else "fp32"
        why.append(f"{number_format}: matrix products run at {bf16:.0f} GFLOP/s in bf16, {fastest_fp32:.0f} in fp32")
    else:
        number_format = precision
        why.append(f"{number_format}: asked for")
        if precision == "bf16" and bf16 < fastest_fp32:
            why.append(f"warning: bf16 is slower here ({bf16:.0f} GFLOP/s) than fp32 ({fastest_fp32:.0f})")
    linear = "torch"
    if number_format == "fp32":
        if not onednn_agrees():
            why.append("linear layers by torch: this torch has no fp32 oneDNN operator that agrees with it")
        elif figures.get("fp32_onednn_gflops", 0.0) > CLEARLY * fp32:
            linear = "onednn"
            why.append(f"linear layers by oneDNN: {figures['fp32_onednn_gflops']:.0f} GFLOP/s, MKL {fp32:.0f}")
    elif onednn_agrees(torch.bfloat16):
        linear = "onednn"
        why.append("linear layers by oneDNN: bias inside the product")
    else:
        why.append("linear layers by torch: this torch has no bf16 oneDNN operator that agrees with it")
    matmul, sdpa = figures[f"{number_format}_matmul_ms"], figures[f"{number_format}_sdpa_ms"]
    attention = "matmul" if sdpa > CLEARLY * matmul else "sdpa"
    why.append(f"attention by {attention}: forward and backward {matmul:.2f} ms as products, {sdpa:.2f} by sdpa")
    return Kernels(number_format, linear, attention, tuple(why), figures, processor_name())


@functools.lru_cache(maxsize=16)
def _figures(hidden: int, head: int, threads: int) -> dict[str, float]:
    """The figures remembered for this processor, torch, width and number of threads; measured where there are none."""
    path = home() / "kernels.json"
    key = f"{processor_name()} | torch {torch.__version__} | {threads} threads | {hidden}/{head}"
    known = _remembered(path)
    if key not in known:
        measured = dict(_probe(hidden, head))
        known = {key: measured} | _remembered(path)  # of two processes at once, the first one's figures hold for both
        with contextlib.suppress(OSError):  # a cache that cannot be written costs a second in the next run
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, known)
    return known[key]


def _remembered(path: Path) -> dict[str, dict[str, float]]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _probe(hidden: int, head: int) -> tuple[tuple[str, float], ...]:
    """Times of the candidates at a batch of 1,024 tokens; best of several, for others may use the machine too."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(rows, hidden, generator=generator) for rows in (1024, 4 * hidden))
    flops = 2.0 * x.shape[0] * weight.numel()
    figures = {"fp32_gflops": flops / _best(lambda: functional.linear(x, weight)) / 1e9}
    if onednn_agrees():
        figures["fp32_onednn_gflops"] = flops / _best(lambda: operators.onednn_linear(x, weight, None)) / 1e9
    x16, weight16 = x.bfloat16(), weight.bfloat16()
    figures["bf16_gflops"] = flops / _best(lambda: functional.linear(x16, weight16)) / 1e9
    heads = max(1, hidden // head)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        qkv = [torch.randn(32, heads, 32, head, generator=generator).to(dtype).requires_grad_() for _ in range(3)]
        keep = torch.ones(32, heads, 32, 32, dtype=dtype)

        def matmul(qkv: list[Tensor] = qkv, keep: Tensor = keep) -> None:
            torch.autograd.backward(operators._attend(*qkv, None, 0.2, keep).sum())

        def sdpa(qkv: list[Tensor] = qkv) -> None:
            out = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], dropout_p=0.1)
            torch.autograd.backward(out.transpose(1, 2).contiguous().sum())

        with torch.random.fork_rng(devices=[]):
            figures[f"{name}_matmul_ms"] = 1e3 * _best(matmul)
            figures[f"{name}_sdpa_ms"] = 1e3 * _best(sdpa)
    return tuple(figures.items())


def _best(run: Callable[[], Any], *, times: int = 5) -> float:
    run()
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


@functools.cache
def onednn_agrees(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the private oneDNN operator exists for this format and gives what torch gives."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((5, 32), (16, 32), (16,)))
    try:
        made = operators.onednn_linear(x, weight, bias)
    except (AttributeError, RuntimeError, TypeError):
        return False
    near = 1e-4 if dtype == torch.float32 else 3e-2
    return bool(torch.allclose(made.float(), functional.linear(x, weight, bias).float(), rtol=near, atol=near))


@contextmanager
def installed(model: nn.Module, kernels: Kernels, *, seed: int) -> Iterator[Installed]:
    """Run `model` on the chosen operators inside the block, and leave it as it was after.

    Modules keep their names and parameters: only the `forward` of single instances is replaced, and the attention is
    set through transformers' registry. Parameters that are not row embeddings take the number format; `masters` hold
    their fp32 values, and the block's end writes those back.
    """
    pool = operators.DropoutPool(seed=seed)
    if kernels.modules == "stock":
        try:
            there = _as_it_is(model, pool)
            yield there
        finally:
            for parameter in there.working.values():
                parameter.grad = None
                parameter.requires_grad_()  # a strategy may have closed it for a while
        return
    patched: list[nn.Module] = []
    rows: dict[str, operators.RowEmbedding] = {}
    previous = _set_attention(model, kernels)
    found = stack.layers_of(model) if kernels.layers == "stack" else None
    exact = _exact_modules(model, found)
    try:
        for name, module in model.named_modules():
            module.__dict__["burnish_pool"] = pool
            if type(module) is nn.Dropout:
                _patch(module, functools.partial(operators.pooled_dropout, module), patched)
            elif name in exact:
                continue
            elif operators.is_lora(module):
                _patch(module, functools.partial(operators.lora_linear, module, kernels.linear == "onednn"), patched)
            elif operators.is_adalora(module):
                _patch(module, functools.partial(operators.adalora_linear, module, kernels.linear == "onednn"), patched)
            elif operators.is_rms_norm(module):
                _patch(module, functools.partial(operators.rms_norm, module), patched)
            elif type(module) is nn.Linear and kernels.linear == "onednn" and module.weight.device.type == "cpu":
                _patch(module, functools.partial(operators.linear_by_onednn, module), patched)
            elif _is_big_table(module, model):
                rows[f"{name}.weight"] = operators.RowEmbedding(module, dtype=kernels.dtype)
                _patch(module, rows[f"{name}.weight"], patched)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad and name not in rows}
        masters = {name: p.detach().float() for name, p in trained.items()}
        tables = {name: table.module.weight.detach() for name, table in rows.items()}
        others = {name: p for name, p in model.named_parameters() if not p.requires_grad and p.is_floating_point()}
        frozen = [(p, p.data) for name, p in others.items() if name not in rows]
        if kernels.dtype != torch.float32:
            for name, parameter in trained.items():
                if name.rpartition(".")[0] not in exact:
                    parameter.data = parameter.data.to(kernels.dtype)
            for name, parameter in others.items():
                if name.rpartition(".")[0] not in exact:
                    parameter.data = parameter.data.to(kernels.dtype)
        one = stack.Stack(*found, pool) if found else None
        if found and one:
            _patch(found[0], one, patched)
        try:
            with operators.dropout_from(pool), _bias_formatted(model, kernels.dtype):
                yield Installed(pool=pool, rows=rows, working=trained, masters=masters, tables=tables, layers=one)
        finally:
            for name, parameter in trained.items():
                parameter.data = masters[name]
                parameter.grad = None
                parameter.requires_grad_()  # a strategy may have closed it for a while
            for parameter, data in frozen:
                parameter.data = data
    finally:
        for module in patched:
            del module.__dict__["forward"]
        for module in model.modules():
            module.__dict__.pop("burnish_pool", None)
        for part, name in previous:
            part.set_attn_implementation(name)


def _as_it_is(model: nn.Module, pool: operators.DropoutPool) -> Installed:
    """A network that runs on its own modules, its weights fp32; big tables still learn row by row."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    big = {f"{name}.weight" for name, part in model.named_modules() if _is_big_table(part, model)}
    held = {name: local(p.detach()) for name, p in trained.items()}
    on_gpu = any(value.is_cuda for value in held.values())
    return Installed(
        pool=pool,
        rows={},
        working=trained,
        masters={name: value for name, value in held.items() if name not in big},
        tables={name: held[name] for name in held if name in big},
        at_once=on_gpu,
    )


@dataclass
class Installed:
    """What a training loop needs to know of the operators: names are those of `model.named_parameters()`.

    working: what forward reads; masters: fp32, what the optimiser moves (the same storage when the format is fp32);
    tables, rows: embedding tables that learn row by row; those of stock modules are in `working` and not in `rows`.
    layers: what runs them all, where they run as one operator. at_once: the optimiser moves many weights in one launch.
    """

    pool: operators.DropoutPool
    rows: dict[str, operators.RowEmbedding]
    working: dict[str, nn.Parameter]
    masters: dict[str, Tensor]
    tables: dict[str, Tensor]
    layers: stack.Stack | None = None
    at_once: bool = False

    def matrix(self, name: str) -> bool:
        """Whether a weight is one, so that it decays."""
        return self.masters[name].ndim > 1

    def open(self, names: set[str]) -> None:
        """From here on these weights move, and no others."""
        for name, weight in self.working.items():
            weight.requires_grad_(name in names)
        for name, table in self.rows.items():
            table.learns = name in names

    def refresh(self) -> None:
        """Copy the masters into what forward reads."""
        for name, parameter in self.working.items():
            if name in self.masters and local(parameter.data).data_ptr() != self.masters[name].data_ptr():
                local(parameter.data).copy_(self.masters[name])


def _exact_modules(model: nn.Module, found: tuple[nn.Module, nn.ModuleList] | None) -> set[str]:
    """Names of the modules whose parameters stay fp32 beside a stack: its norms, and a head that says it can.

    They are small, so nothing is lost; a head's product in bf16 would be compiled anew for each number of texts.
    """
    if found is None:
        return set()
    norms = {id(part) for part in found[0].modules() if isinstance(part, nn.LayerNorm)}
    return {name for name, part in model.named_modules() if id(part) in norms} | set(getattr(model, "exact", ()))


def _patch(module: nn.Module, forward: Callable[..., Any], patched: list[nn.Module]) -> None:
    module.__dict__["forward"] = forward
    patched.append(module)


@contextmanager
def _bias_formatted(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """BART's family adds a buffer to its logits; in fp32 it would make every logit fp32, a tenth of a training step."""
    holders = [part for part in model.modules() if isinstance(part._buffers.get("final_logits_bias"), Tensor)]
    before = [part._buffers["final_logits_bias"] for part in holders]
    for part, bias in zip(holders, before, strict=True):
        part._buffers["final_logits_bias"] = None if bias is None else bias.to(dtype)
    try:
        yield
    finally:
        for part, bias in zip(holders, before, strict=True):
            part._buffers["final_logits_bias"] = bias


def _is_big_table(module: nn.Module, model: nn.Module) -> bool:
    if type(module) is not nn.Embedding or module.num_embeddings < BIG_TABLE or not module.weight.requires_grad:
        return False
    if module.max_norm is not None or module.scale_grad_by_freq or module.sparse:
        return False
    return sum(module.weight is p for part in model.modules() for p in part.parameters(recurse=False)) == 1  # not tied


def _looks_back(model: nn.Module) -> bool:
    """Whether there is causal attention in it: a decoder."""
    config: Any = model.config
    decodes = getattr(config, "is_decoder", False) or getattr(config, "is_encoder_decoder", False)
    return bool(decodes) or any(getattr(part, "is_causal", False) for part in model.modules())


def _set_attention(model: nn.Module, kernels: Kernels) -> list[tuple[Any, str]]:
    """Set the attention of every transformers model inside; return what was, to be set back.

    One that looks at what came before only gets transformers' own products: sdpa's backward is as slow for it.
    """
    if kernels.attention != "matmul":
        return []
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(operators.ATTENTION, operators.matmul_attention)
    AttentionMaskInterface.register(operators.ATTENTION, eager_mask)
    previous = []
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            before, name = part.config._attn_implementation, "eager" if _looks_back(part) else operators.ATTENTION
            if before in ("sdpa", "eager"):
                part.set_attn_implementation(name)
                previous.append((part, before))
            break  # sub-models share the outermost one's implementation
    return previous
