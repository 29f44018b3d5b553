"""The strategy that a network and its data ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from burnish.nn.strategies.base import Full, Strategy, strategies
from burnish.nn.strategies.low_rank import Lora

LIGHT = 20_000_000  # weights up to which all of a decoder move


@strategies.part("auto")
@dataclass(frozen=True)
class Auto(Strategy):
    """What suits the network: lora for a pretrained decoder of more than 20 million weights, else full."""


def choose(model: Any) -> tuple[list[Strategy], str]:
    """The strategies for a network as it was built, and why.

    A large decoder learns by LoRA: 1% of the weights have gradients and moments, and nothing of what it knows is lost.
    """
    count = sum(weight.numel() for weight in model.parameters())
    decoder = hasattr(model, "reads_first") and not model.reads_first
    if decoder and getattr(model, "start", "pretrained") == "pretrained" and count > LIGHT:
        return [Lora()], f"a pretrained decoder of {count / 1e6:,.0f} million weights"
    kind = "a decoder" if decoder else "an encoder-decoder" if hasattr(model, "reads_first") else "an encoder"
    fresh = "from nothing" if getattr(model, "start", "pretrained") == "nothing" else "pretrained"
    return [Full()], f"{kind}, {fresh}, of {count / 1e6:,.1f} million weights"


def settled(parts: list[Any], model: Any) -> tuple[list[Any], str]:
    """The strategies that a setting opened to, "auto" by what `choose` says; and why, or "asked for"."""
    return choose(model) if [type(one) for one in parts] == [Auto] else (parts, "asked for")
