"""Narrow networks between the layers of one that stands still.

They cannot be folded: they lie beside the saved model (`adapter/`) and are taken up when it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.stage import Positive
from burnish.nn.strategies.base import Strategy, strategies


@dataclass(frozen=True)
class Narrow(Strategy):
    """Bottleneck adapters. attention: behind attention too, and not only behind each feed-forward."""

    adds: ClassVar[bool] = True
    start: ClassVar[str] = "adapters"
    modules: ClassVar[bool] = True
    attention: ClassVar[bool] = True

    reduction: Positive = 16
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    norms: bool = False

    def _settings(self) -> dict[str, Any]:
        return {"attention": self.attention, "reduction": self.reduction, "activation": self.activation}

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import bottlenecks

        bottlenecks.put_in(model, **self._settings(), norms=self.norms, seed=seed)

    def keep(self, model: Any, folder: Path) -> None:
        from burnish.nn import bottlenecks

        settings = {"use": self.name, **self._settings(), "norms": self.norms}
        bottlenecks.keep(model, folder, norms=self.norms, settings=settings)

    def fold(self, model: Any) -> None:
        from burnish.nn import bottlenecks

        bottlenecks.take_out(model)

    def take_up(self, model: Any, folder: Path) -> None:
        from burnish.nn import bottlenecks

        bottlenecks.take_up(model, folder, norms=self.norms, **self._settings())

    @property
    def folds(self) -> bool:
        return False


@strategies.part("houlsby")
@dataclass(frozen=True)
class Houlsby(Narrow):
    """A bottleneck behind every attention and every feed-forward (Houlsby et al. 2019, arXiv:1902.00751).

    reduction: hidden numbers for one of the bottleneck (reduction_factor).
    activation: inside it.
    norms: the layers' norms learn too, as in the paper.
    """

    reduction: Positive = 16
    activation: Literal["relu", "gelu", "tanh"] = "gelu"
    norms: bool = True


@strategies.part("pfeiffer")
@dataclass(frozen=True)
class Pfeiffer(Narrow):
    """A bottleneck behind every feed-forward alone (Pfeiffer et al. 2021, arXiv:2005.00247), half of Houlsby's; it stands
    before the skip connection as Houlsby's does.

    reduction: hidden numbers for one of the bottleneck (reduction_factor).
    activation: inside it.
    norms: the layers' norms learn too.
    """

    attention: ClassVar[bool] = False

    reduction: Positive = 16
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    norms: bool = False
