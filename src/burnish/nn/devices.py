"""Where tensors lie: the processor, or a GPU.

On a GPU networks run as they are (stock modules, bf16 by autocast, torch's own attention); the operators of this
package are for a CPU. What a GPU runs can be run on a CPU too (`Kernels.modules = "stock"`), and tests do.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from burnish.core.errors import BurnishError

DEVICES = ("auto", "cpu", "cuda")


def device_of(name: str = "auto") -> torch.device:
    """The device a setting names; "auto" is the GPU where there is one. Of several GPUs each local process has its own.

    Raises BurnishError where a GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise BurnishError("device: cuda, and torch sees no GPU here", hint="device: auto, or a torch built for CUDA")
    if name == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def memory(device: torch.device | None = None) -> int:
    """Bytes that this process may fill: of its GPU, or its share of the machine's memory."""
    device = device or device_of()
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def device_in(model: torch.nn.Module) -> torch.device:
    """Where a network's weights lie."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def moved(value: Any, device: torch.device) -> Any:
    """A batch with all its tensors on a device; itself where they are there already."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if device.type == "cpu":
        return value
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: moved(getattr(value, one.name), device) for one in fields(value)})
    return value


def local(value: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds; itself where it is not shared out."""
    held = getattr(value, "to_local", None)
    return held() if held else value


def formatted(device: torch.device, number_format: str | None) -> contextlib.AbstractContextManager[Any]:
    """Matrix products in this number format inside the block; None leaves them as they are."""
    if number_format != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
