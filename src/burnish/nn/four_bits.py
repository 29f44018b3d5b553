"""Linear layers in four bits (NF4, by bitsandbytes) under adapters, and back: what QLoRA stands on.

Weights are kept as sixteen levels of a normal distribution with a scale for every 64 of them (Dettmers et al. 2023); a
product makes them bf16 again on its way. Folding makes them plain weights with the updates added, in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from burnish.core.errors import BurnishError, MissingExtra
from burnish.nn import adapters, anatomy

WHERE = "train.tune.strategy"


def library() -> Any:
    """The library bitsandbytes; MissingExtra where it is not installed."""
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingExtra("the strategy qlora", "qlora") from error
    return bitsandbytes


def device() -> torch.device:
    """Where networks in four bits learn. BurnishError on a machine without an NVIDIA GPU."""
    if not torch.cuda.is_available():
        raise BurnishError("qlora needs an NVIDIA GPU, and this machine has none", where=WHERE, hint="lora")
    return torch.device("cuda")


def quantise(model: Any, *, double: bool) -> None:
    """Every linear layer of a model that writes, but the vocabulary's, in four bits, and all of it on the GPU.

    double: the scales are quantised too. Raises BurnishError for other models and machines.
    """
    body, place = anatomy.body(model), device()
    bits = library()
    if adapters.task_type(body) == "FEATURE_EXTRACTION":
        raise BurnishError("qlora is for models that write", where=WHERE, hint="lora, which every network takes")
    for name, layer in list(body.named_modules()):
        if type(layer) is not nn.Linear or layer is body.get_output_embeddings():
            continue
        made = bits.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=double,
            quant_type="nf4",
        )
        made.weight = bits.nn.Params4bit(
            layer.weight.data, requires_grad=False, compress_statistics=double, quant_type="nf4"
        )
        made.bias = layer.bias
        body.set_submodule(name, made.to(place))
    body.to(place)
    body.is_loaded_in_4bit = True  # by this peft knows


@torch.no_grad()
def merge(model: Any) -> None:
    """Plain weights again, with the updates added, where the model came from: in fp32 in main memory."""
    body = anatomy.body(model)
    bits = library()
    for name, layer in list(body.named_modules()):
        base = getattr(layer, "base_layer", layer)
        if not isinstance(base, bits.nn.Linear4bit):
            continue
        weight = bits.functional.dequantize_4bit(base.weight.data, base.weight.quant_state).float()
        if base is not layer:
            weight += layer.get_delta_weight("default").float()
        made = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        made.weight = nn.Parameter(weight.cpu(), requires_grad=False)
        if base.bias is not None:
            made.bias = nn.Parameter(base.bias.data.float().cpu(), requires_grad=False)
        if not name.endswith("base_layer"):
            body.set_submodule(name, made)
    del body.is_loaded_in_4bit
    body.to("cpu")
    adapters.forget(body)
