"""From a torch network to one ONNX file that agrees with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn import graphs
from burnish.nn.quantise import quiet
from burnish.nn.runtime import GRAPH

PIXELS = "pixel_values"
INPUTS = ("input_ids", "attention_mask", "token_type_ids", PIXELS)


class _Logits(nn.Module):
    """A module as the exporter wants it: tensors by position in and out, the logits and nothing else.

    heads: names of the outputs of a module that gives a dict of them, in the order in which they come out.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], heads: Sequence[str] | None = None) -> None:
        super().__init__()
        self.module, self.names, self.heads = module, tuple(names), heads

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        out = self.module(**dict(zip(self.names, tensors, strict=True)))
        if self.heads is not None:
            return tuple(out[name] for name in self.heads)
        return (out if isinstance(out, Tensor) else out.logits,)


def export_onnx(module: nn.Module, tokenizer: Any, folder: Path, *, max_length: int) -> Path:
    """Write `model.onnx` and `tokenizer.json` into a folder; batch and sequence stay free.

    module: forward(input_ids, attention_mask[, token_type_ids][, pixel_values]) -> logits (B, C), or an output of
    transformers that holds them, or {name: Tensor} of several heads: the file has one output each, in the order of their
    names; all ids (B, S) int64, pixels (B, 3, size, size) float32.
    tokenizer: a fast transformers tokenizer. max_length: the longest sequence that will be asked for, in tokens.
    The module comes back as it was: same mode, same attention, same device.
    Raises BurnishError when the network cannot be exported or the file disagrees with the module on a small example.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / GRAPH
    names = [name for name in INPUTS if name in _parameters(module)]
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", max=max_length)
    encoded = _example(tokenizer, module, max_length)
    # input_names are handed out by position, and tokenizers differ in the order of theirs
    example = {name: encoded[name] for name in names}
    with ready_for_tracing(module), quiet(), torch.no_grad():
        heads = _heads(module, example)
        program = graphs.program_of(
            _Logits(module, names, heads),
            tuple(example.values()),
            inputs=names,
            outputs=heads or ["logits"],
            free={"tensors": tuple({0: batch} if name == PIXELS else {0: batch, 1: sequence} for name in names)},
        )
        graphs.write(program, path)
        _check(path, _Logits(module, names, heads), example)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return path


def _heads(module: nn.Module, example: dict[str, Tensor]) -> list[str] | None:
    """Names of several outputs, sorted; None where there is one. What transformers gives is one: its logits."""
    out = module(**example)
    return sorted(out) if type(out) is dict else None


def _check(path: Path, logits: _Logits, example: dict[str, Tensor]) -> None:
    """Run the file beside the network, on another batch size and another length than it was traced with."""
    import numpy as np

    session = graphs.session_of(path)
    for rows, columns in ((slice(None), slice(None)), (slice(1, 2), slice(None)), ([0, 1, 1], slice(0, 5))):
        feed = {
            name: (value[rows] if name == PIXELS else value[rows][:, columns]).contiguous()
            for name, value in example.items()
        }
        outputs = session.run(None, {name: value.cpu().numpy() for name, value in feed.items()})
        for found, expected in zip(outputs, (one.float().cpu().numpy() for one in logits(*feed.values())), strict=True):
            if np.allclose(found, expected, rtol=1e-3, atol=1e-3 * (1 + np.abs(expected).max())):
                continue
            graphs.forget(path)
            raise BurnishError(
                f"the exported network disagrees with PyTorch by {np.abs(found - expected).max():.3g} on its own example",
                hint="serve it with PyTorch (compress: []), or choose another backbone",
            )


def _example(tokenizer: Any, module: nn.Module, max_length: int) -> dict[str, Tensor]:
    """Two rows of different length, so that neither axis looks constant and the mask is not all ones."""
    encoded = tokenizer(["a short one", "a text that is somewhat longer, 比较长"], padding=True, return_tensors="pt")
    device = next(module.parameters()).device
    rows = {name: value[:, :max_length].to(device) for name, value in encoded.items()}
    rows.setdefault("token_type_ids", torch.zeros_like(rows["input_ids"]))
    if PIXELS in _parameters(module):
        draw, size = torch.Generator().manual_seed(0), int(module.size)  # type: ignore[arg-type]
        rows[PIXELS] = torch.randn(2, 3, size, size, generator=draw).to(device)
    return rows


def _parameters(module: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(module.forward).parameters)


@contextlib.contextmanager
def ready_for_tracing(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and plain attention, which exports to a third fewer nodes than the fused kernel."""
    training = module.training
    changed = []
    part: Any
    for part in module.modules():
        config = getattr(part, "config", None)
        attention = getattr(config, "_attn_implementation", None)
        if hasattr(part, "set_attn_implementation") and attention != "eager":
            # None is what a configuration read from disk says: transformers then leaves padding unmasked
            changed.append((part, attention))
            part.set_attn_implementation("eager")
    module.eval()
    try:
        yield
    finally:
        for part, attention in changed:
            part.set_attn_implementation(attention or "sdpa")
        module.train(training)
