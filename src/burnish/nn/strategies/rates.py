"""Strategies that say how fast weights learn, and from where they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Le

from burnish.core.errors import BurnishError
from burnish.core.stage import Positive
from burnish.nn.strategies.base import ADDING, Strategy, strategies


@strategies.part("layer_wise")
@dataclass(frozen=True)
class LayerWise(Strategy):
    """Each layer learns at a share of the rate of the one above, the embeddings slowest (discriminative rates: Howard &
    Ruder 2018; for BERT: Sun et al. 2019, whose best share is 0.95).

    decay: that share; 1 is the same rate for all.
    """

    decay: Annotated[float, Gt(0), Le(1)] = 0.9

    def factors(self, model: Any) -> dict[str, float]:
        """decay to the power of the layers above; the head has 1, as what stands on the last layer."""
        from burnish.nn.anatomy import depths

        return {name: self.decay**depth for name, depth in depths(model).items() if depth}


@strategies.part("reinit")
@dataclass(frozen=True)
class Reinit(Strategy):
    """The top layers start from random weights, as pre-training began: what they learnt last is the old task's (Zhang et
    al. 2021). All weights learn.

    layers: from the top.
    """

    refuses: ClassVar[tuple[str, ...]] = ("bitfit", "layer_norm", ADDING)
    why_alone: ClassVar[str] = "layers of random weights must learn whole"

    layers: Positive = 1

    def place(self, model: Any, *, seed: int) -> None:
        """Matrices from a normal distribution as wide as the family's own, biases 0, norms neutral."""
        import torch

        from burnish.nn import anatomy

        several = anatomy.layers(model)
        if self.layers > len(several):
            raise BurnishError(
                f"reinit: the network has {len(several)} layers, not {self.layers}", where="train.tune.strategy.layers"
            )
        spread = float(getattr(anatomy.body(model).config, "initializer_range", 0.02))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in several[-self.layers :]:
                for weight in layer.parameters():
                    weight.normal_(0.0, spread, generator=generator) if weight.ndim > 1 else weight.zero_()
                for norm in anatomy.norms(layer):
                    scale: Any = norm.weight
                    if not norm(torch.linspace(-1.0, 1.0, len(scale))).any():  # Gemma's is neutral at 0 already
                        scale.fill_(1.0)
