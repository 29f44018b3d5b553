"""Where the parts of a network lie: body and head, layers from bottom to top, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn


def body(model: nn.Module) -> Any:
    """The pretrained network under the head: of transformers, or what peft put around it. Of a network with a text and
    a vision encoder the text encoder."""
    stock = getattr(model, "stock", None)  # a stock model of transformers for a task, body and head
    for name in ("encoder", "plain", "base_model"):
        found = getattr(stock if isinstance(stock, nn.Module) else model, name, None)
        if isinstance(found, nn.Module):
            return found
    return model


def layers(model: nn.Module) -> list[nn.Module]:
    """The layers of the body from bottom to top; of an encoder-decoder the encoder's, then the decoder's."""
    found: list[nn.Module] = []
    for part in body(model).modules():
        for name in ("layer", "layers", "h", "block"):
            several = getattr(part, name, None)
            if isinstance(several, nn.ModuleList) and len(several) and not any(one in found for one in several):
                found += list(several)
    return _outermost(found)


def _outermost(found: list[nn.Module]) -> list[nn.Module]:
    """Without those inside another of them (T5 keeps a list of sub-layers in each block)."""
    inside = {id(part) for one in found for part in one.modules() if part is not one}
    return [one for one in found if id(one) not in inside]


def weights_of(model: nn.Module, parts: list[nn.Module]) -> set[str]:
    """Names, as `model.named_parameters()` gives them, of the weights of some of its modules."""
    wanted = {id(weight) for part in parts for weight in part.parameters()}
    return {name for name, weight in model.named_parameters() if id(weight) in wanted}


def head_weights(model: nn.Module) -> set[str]:
    """Names of the weights that are neither of the body nor of a vision encoder beside it: the head's."""
    vision = getattr(model, "vision", None)
    bodies = [body(model), *([vision] if isinstance(vision, nn.Module) else [])]
    return {name for name, _ in model.named_parameters()} - weights_of(model, bodies)


def below(model: nn.Module) -> set[str]:
    """Names of the body's weights under its first layer: embeddings, their norm and projection, positions."""
    told, in_layers = weights_of(model, [body(model)]), weights_of(model, layers(model))
    found: set[str] = set()
    first_met = not in_layers
    for name, _ in model.named_parameters():
        first_met |= name in in_layers
        # some families register tables of positions behind their layers
        if name in told and name not in in_layers and (not first_met or "embed" in name):
            found.add(name)
    return found - _own_output(model)


def _own_output(model: nn.Module) -> set[str]:
    """The vocabulary's layer on top of a decoder, where it is not the table of the bottom as well."""
    network = body(model)
    output = network.get_output_embeddings() if hasattr(network, "get_output_embeddings") else None
    if output is None:
        return set()
    return weights_of(model, [output]) - weights_of(model, [network.get_input_embeddings()])


def depths(model: nn.Module) -> dict[str, int]:
    """How many steps below the top each weight lies: 0 the head and what stands on the last layer, 1 the last layer, and
    one more than there are layers what lies under the first."""
    found = {name: 0 for name, _ in model.named_parameters()}
    several = layers(model)
    for name in below(model):
        found[name] = len(several) + 1
    for at, layer in enumerate(several):
        for name in weights_of(model, [layer]):
            found[name] = len(several) - at
    return found


def norms(model: nn.Module) -> Iterator[nn.Module]:
    """Every norm of the network: LayerNorm, and what its family calls one (RMSNorm)."""
    for part in model.modules():
        own = list(part.parameters(recurse=False))
        if own and all(one.ndim == 1 for one in own) and "norm" in type(part).__name__.lower():
            yield part
