"""Bottleneck adapters: a narrow network with a way around it, at the end of a sub-layer.

    adapter(h) = h + W2 act(W1 h + b1) + b2,      W2 = b2 = 0 at first, so the network begins as it was

It stands on the linear layer that ends attention or feed-forward (its output is what the skip connection is added to), as
a submodule with a hook, so the layer keeps its name, its weights and its fast operator.
B texts, L tokens, D hidden, R width of the bottleneck.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import BurnishError, WeightsError
from burnish.nn import adapters, anatomy

PART, HOOK = "burnish_adapter", "burnish_adapter_hook"
WEIGHTS, ABOUT = "bottleneck.safetensors", "bottleneck.json"
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
}


class Bottleneck(nn.Module):
    """(…, D) in and out."""

    def __init__(self, hidden: int, width: int, activation: str, *, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws first weights that nobody will see
            self.down, self.up = nn.Linear(hidden, width), nn.Linear(width, hidden)
        self.act = ACTIVATIONS[activation]
        with torch.no_grad():
            self.down.weight.normal_(0.0, hidden**-0.5, generator=generator)
            for weight in (self.down.bias, self.up.weight, self.up.bias):
                weight.zero_()

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = h + self.up(self.act(self.down(h)))
        return out


def _through(module: Any, args: Any, out: Tensor) -> Tensor:
    through: Tensor = module.get_submodule(PART)(out)
    return through


def put_in(
    model: Any, *, attention: bool, norms: bool, reduction: int, activation: str, seed: int, frozen: bool = True
) -> None:
    """Adapters behind every feed-forward, and behind every attention too where `attention` says so.

    norms: the norms of the layers learn too. reduction: hidden / width. frozen: all else in the body stands still.
    """
    body = anatomy.body(model)
    if any(hasattr(part, PART) for part in body.modules()):
        raise BurnishError("this network has adapters already", hint="name one of these strategies")
    after_attention, after_forward = adapters.sublayer_ends(model)
    generator = torch.Generator().manual_seed(seed)
    if frozen:
        for weight in body.parameters():
            weight.requires_grad_(False)
        for weight in [*(_norms(model).values() if norms else ()), *adapters.poolers(body)]:
            weight.requires_grad_(True)
    for name in sorted([*after_forward, *(after_attention if attention else [])]):
        layer = body.get_submodule(name)
        hidden = layer.out_features if isinstance(layer, nn.Linear) else layer.nf
        made = Bottleneck(hidden, max(1, hidden // reduction), activation, generator=generator)
        setattr(layer, PART, made.to(layer.weight.device).requires_grad_(frozen))
        layer.__dict__[HOOK] = layer.register_forward_hook(_through)


def take_out(model: Any) -> None:
    """The network as it was without them; norms keep what they have learnt."""
    for part in anatomy.body(model).modules():
        if HOOK in part.__dict__:
            part.__dict__.pop(HOOK).remove()
            delattr(part, PART)


def keep(model: Any, folder: Path, *, norms: bool, settings: dict[str, Any]) -> None:
    """Write them, the norms that learnt with them, and how they are made, names as in the body."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().contiguous() for name, value in _weights(model, norms).items()}, folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def take_up(model: Any, folder: Path, *, norms: bool, **settings: Any) -> None:
    """Put back what `keep` wrote."""
    from safetensors.torch import load_file

    put_in(model, norms=norms, seed=0, frozen=False, **settings)
    held, wanted = load_file(folder / WEIGHTS), _weights(model, norms)
    if {name: value.shape for name, value in held.items()} != {name: value.shape for name, value in wanted.items()}:
        raise WeightsError(f"{folder / WEIGHTS}: these are not the adapters of this network")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(held[name])


def _weights(model: Any, norms: bool) -> dict[str, nn.Parameter]:
    found = {name: value for name, value in anatomy.body(model).named_parameters() if f".{PART}." in name}
    return found | (_norms(model) if norms else {})


def _norms(model: Any) -> dict[str, nn.Parameter]:
    """Weights of the norms of the layers, by their names in the body."""
    layers: Sequence[nn.Module] = anatomy.layers(model)
    inside = {
        id(weight)
        for layer in layers
        for part in layer.modules()
        if "norm" in type(part).__name__.lower()
        for weight in part.parameters(recurse=False)
    }
    return {name: weight for name, weight in anatomy.body(model).named_parameters() if id(weight) in inside}
