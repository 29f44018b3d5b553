"""Strategies that hold weights still: which of the network learn is all they say.

Head and frozen keep the bottom of the network still, so what it gives is computed once (`nn.frozen`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Lt

from burnish.core.errors import BurnishError
from burnish.core.stage import Positive
from burnish.nn.strategies.base import ADDING, OTHERS, Strategy, strategies

WHERE = "train.tune.strategy"


@strategies.part("head")
@dataclass(frozen=True)
class Head(Strategy):
    """The head alone learns, on features of the network below that are computed once: a linear probe with the head that
    the task uses (Alain & Bengio 2016; as feature extraction in Peters et al. 2019). Where a text has one class, the logistic
    regression on what lies below its last layer is the result, and the first weights where passes, a rate, another loss, a
    regulariser or a teacher are asked for.
    """

    start: ClassVar[str] = "head"
    solves: ClassVar[bool] = True
    refuses: ClassVar[tuple[str, ...]] = (OTHERS,)
    why_alone: ClassVar[str] = "nothing but the head moves, so there is nothing for the other to do"

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn.anatomy import head_weights

        learnt = head_weights(model)
        if not learnt:
            raise BurnishError(
                "head: this network has no head of its own to learn",
                where=WHERE,
                hint="frozen keeps lower layers still; lora and bitfit move little",
            )
        _only(model, learnt)

    def ready(self, model: Any, train: Any, objective: Any, *, seed: int) -> bool:
        return _probed(model, train, objective, seed=seed) and _plain(objective)

    @property
    def caches(self) -> bool:
        return True


@strategies.part("probe_first")
@dataclass(frozen=True)
class ProbeFirst(Strategy):
    """The last layer starts at the logistic regression on what the untouched network gives, then all learns: the first
    steps of a head that knows nothing would bend what is below it (LP-FT: Kumar et al. 2022, arXiv:2202.10054). For one
    class a text and an encoder pooled by its mean.
    """

    def ready(self, model: Any, train: Any, objective: Any, *, seed: int) -> bool:
        if not _probed(model, train, objective, seed=seed):
            raise BurnishError(
                "probe_first is for one class a text and an encoder that is pooled by its mean",
                where=WHERE,
                hint="leave it out: the other strategies begin with the head as it is",
            )
        return False


def _probed(model: Any, train: Any, objective: Any, *, seed: int) -> bool:
    """Set the last layer to a probe of what lies below it, where a text has one class; whether it has."""
    from burnish.nn.contrastive import settle_head
    from burnish.nn.heads import EncoderClassifier
    from burnish.nn.objectives import CrossEntropy

    fits = type(objective) is CrossEntropy and isinstance(model, EncoderClassifier)
    if fits:
        settle_head(model, train, seed=seed)
    return fits


def _plain(objective: Any) -> bool:
    """Whether it is the cross entropy that logistic regression makes small."""
    return objective.cost is None and objective.class_weights is None and not objective.label_smoothing


@strategies.part("frozen")
@dataclass(frozen=True)
class Frozen(Strategy):
    """Embeddings and lower layers stay as they are, and what they give for each text is computed once, without dropout
    (freezing: Lee, Tang & Lin 2019, arXiv:1911.03090; caching: as in AutoFreeze, Liu, Agarwal & Venkataraman 2021).

    layers: how many from the bottom; unset says by share.
    share: of all layers, rounded; at least one layer learns.
    cache: false computes the frozen layers anew in each step, which is slower and takes no disk.
    """

    layers: Positive | None = None
    share: Annotated[float, Gt(0), Lt(1)] = 0.5
    cache: bool = True

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import anatomy

        several = anatomy.layers(model)
        count = self.layers or max(1, round(self.share * len(several)))
        if count >= len(several):
            raise BurnishError(
                f"frozen: {count} layers of {len(several)} would leave none to learn",
                where=f"{WHERE}.layers",
                hint="head trains the head alone",
            )
        _freeze(model, anatomy.below(model) | anatomy.weights_of(model, several[:count]))

    @property
    def caches(self) -> bool:
        return self.cache


@strategies.part("encoder_only")
@dataclass(frozen=True)
class EncoderOnly(Strategy):
    """Of an encoder-decoder the encoder learns; the decoder, and what both share, stay as they are (Rothe, Narayan &
    Severyn 2020 start both halves from trained ones; here one of them is kept).
    """

    refuses: ClassVar[tuple[str, ...]] = ("decoder_only", ADDING)

    def place(self, model: Any, *, seed: int) -> None:
        encoder, decoder = _halves(model, self.name)
        _freeze(model, _named(model) - (encoder - decoder))


@strategies.part("decoder_only")
@dataclass(frozen=True)
class DecoderOnly(Strategy):
    """Of an encoder-decoder the decoder and its vocabulary's layer learn; the encoder, and what both share, stay as
    they are.
    """

    refuses: ClassVar[tuple[str, ...]] = ("encoder_only", ADDING)

    def place(self, model: Any, *, seed: int) -> None:
        encoder, _ = _halves(model, self.name)
        _freeze(model, encoder)


@strategies.part("bitfit")
@dataclass(frozen=True)
class BitFit(Strategy):
    """The biases of the network and its head learn: under a thousandth of the weights (Ben Zaken, Ravfogel & Goldberg
    2022).
    """

    start: ClassVar[str] = "adapters"
    refuses: ClassVar[tuple[str, ...]] = ("layer_norm", "reinit", ADDING)

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn.anatomy import head_weights

        biases = {name for name in _named(model) if name.endswith("bias")} - head_weights(model)
        if not biases:
            raise BurnishError("bitfit: this network has no biases", where=WHERE, hint="layer_norm, or lora")
        _only(model, biases | head_weights(model))


@strategies.part("layer_norm")
@dataclass(frozen=True)
class LayerNorm(Strategy):
    """The norms of the network and its head learn (Qi et al. 2022, arXiv:2211.08682)."""

    start: ClassVar[str] = "adapters"
    refuses: ClassVar[tuple[str, ...]] = ("bitfit", "reinit", ADDING)

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import anatomy

        _only(model, anatomy.weights_of(model, list(anatomy.norms(model))) | anatomy.head_weights(model))


@strategies.part("gradual")
@dataclass(frozen=True)
class Gradual(Strategy):
    """The head learns from the first epoch with the top layers, and lower ones join them, the embeddings last (Howard &
    Ruder 2018, who add one layer an epoch).

    layers: that join at once.
    until: share of all epochs after which everything learns; with fewer epochs than layers several join at an epoch.
    """

    layers: Positive = 1
    until: Annotated[float, Ge(0), Lt(1)] = 0.5

    def opens(self, model: Any, *, share: float) -> set[str] | None:
        """A group of layers for each equal part of `until`, and from there on all."""
        from burnish.nn import anatomy

        if share >= self.until:
            return None
        several = len(anatomy.layers(model))
        groups = -(-several // self.layers)
        opened = min(several, self.layers * (1 + int(share / self.until * groups + 1e-9)))  # embeddings join at `until`
        return {name for name, depth in anatomy.depths(model).items() if depth <= opened}


def _named(model: Any) -> set[str]:
    return {name for name, _ in model.named_parameters()}


def _freeze(model: Any, names: Iterable[str]) -> None:
    still = set(names)
    for name, weight in model.named_parameters():
        if name in still:
            weight.requires_grad_(False)


def _only(model: Any, names: set[str]) -> None:
    _freeze(model, _named(model) - names)


def _halves(model: Any, strategy: str) -> tuple[set[str], set[str]]:
    """Names of the weights of the encoder and of the decoder; those both share are in both."""
    from burnish.nn.anatomy import body, weights_of

    network = body(model)
    if not getattr(getattr(network, "config", None), "is_encoder_decoder", False):
        raise BurnishError(
            f"{strategy}: this network is no encoder-decoder",
            where=WHERE,
            hint="for an encoder with a head: head, frozen or full",
        )
    halves = weights_of(model, [network.get_encoder()]), weights_of(model, [network.get_decoder()])
    return halves
