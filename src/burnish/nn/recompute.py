"""Activation checkpointing: keep the input of each layer alone, and compute the rest of it again on the way back.

Memory of activations falls from all numbers of a layer to its input, for a third more time (Chen et al. 2016,
arXiv:1604.06174). Dropout draws the same masks again, so gradients are those of the plain way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from burnish.core.errors import BurnishError
from burnish.nn.anatomy import layers
from burnish.nn.kernels import Installed
from burnish.nn.operators import DropoutPool


@contextmanager
def recomputed(model: nn.Module, operators: Installed, wanted: bool) -> Iterator[None]:
    """Inside the block every layer of `model` is computed again going backward, where that is wanted.

    Raises BurnishError where the network has no layers to find.
    """
    found = layers(model) if wanted and operators.layers is None else []
    if wanted and operators.layers is None and not found:
        raise BurnishError(
            f"activation_checkpointing: no layers are found in {type(model).__name__}", hint="leave the setting out"
        )
    if operators.layers is not None:
        operators.layers.recomputes = wanted
    found = [layer for layer in found if "forward" not in layer.__dict__]  # others hand kept states on (`nn.frozen`)
    for layer in found:
        layer.__dict__["forward"] = functools.partial(_again, layer, operators.pool)
    try:
        yield
    finally:
        for layer in found:
            del layer.__dict__["forward"]


def _again(layer: nn.Module, pool: DropoutPool, *inputs: Any, **more: Any) -> Any:
    plain = functools.partial(type(layer).forward, layer)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), pool.as_it_was(pool.state())

    if not layer.training:
        return plain(*inputs, **more)
    more = {name: value for name, value in more.items() if name != "past_key_values"}  # it would be filled twice
    return checkpoint(plain, *inputs, use_reentrant=False, context_fn=contexts, **more)
