"""Where the parts of a network lie: body and head, layers from bottom to top, embeddings."""

from __future__ import annotations

from typing import Any

from torch import nn


def body(model: nn.Module) -> Any:
    """The pretrained network under the head: of transformers, or what peft put around it."""
    for name in ("encoder", "plain", "base_model"):
        found = getattr(model, name, None)
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
    """Names of the weights that are not of the body: the head's."""
    return {name for name, _ in model.named_parameters()} - weights_of(model, [body(model)])
