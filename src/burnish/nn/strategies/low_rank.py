"""Small changes inside the layers, merged into the weights when training is over (peft; the extra `peft`).

All stand still but what is put in and the head. After merging the saved model is a stock one, as fast as before; what was
put in lies beside it in peft's layout (`adapter/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from burnish.core.stage import Positive, Share
from burnish.nn.strategies.base import Strategy, strategies

Targets = list[str] | Literal["all-linear"]
Scale = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Inside(Strategy):
    """What peft puts into layers."""

    adds: ClassVar[bool] = True
    start: ClassVar[str] = "adapters"

    def config(self, body: Any) -> Any:
        """peft's configuration for this body."""
        raise NotImplementedError

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import adapters, anatomy

        adapters.library(f"the strategy {self.name}")
        adapters.put_in(model, self.config(anatomy.body(model)), seed=seed)

    def keep(self, model: Any, folder: Path) -> None:
        from burnish.nn import adapters

        adapters.keep(model, folder)

    def fold(self, model: Any) -> None:
        from burnish.nn import adapters

        adapters.merge(model)


@strategies.part("lora")
@dataclass(frozen=True)
class Lora(Inside):
    """Low-rank updates B A beside frozen matrices (Hu et al. 2022, arXiv:2106.09685).

    rank: of the update (peft: r, lora_rank).
    alpha: the update counts alpha / rank (lora_alpha); null is twice the rank.
    dropout: share of the update's input dropped in training (lora_dropout).
    targets: the linear layers that get one (target_modules), by the last words of their names; all-linear takes all but
    the vocabulary's, which does better than queries and values alone (Dettmers et al. 2023).
    rank_stabilised: divide by the root of the rank instead (use_rslora; Kalajdzievski 2023), for high ranks.
    """

    rank: Positive = 8
    alpha: Scale | None = None
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    rank_stabilised: bool = False

    def config(self, body: Any) -> Any:
        return _lora(self, body, use_rslora=self.rank_stabilised)


@strategies.part("dora")
@dataclass(frozen=True)
class Dora(Inside):
    """LoRA on the direction of each matrix, with its length learnt apart (Liu et al. 2024, arXiv:2402.09353).

    rank: of the update (peft: r, lora_rank).
    alpha: the update counts alpha / rank (lora_alpha); null is twice the rank.
    dropout: share of the update's input dropped in training (lora_dropout).
    targets: the linear layers that get one (target_modules), by the last words of their names, or all-linear.
    """

    rank: Positive = 8
    alpha: Scale | None = None
    dropout: Share = 0.0
    targets: Targets = "all-linear"

    def config(self, body: Any) -> Any:
        return _lora(self, body, use_dora=True)


def _lora(part: Any, body: Any, **more: Any) -> Any:
    from burnish.nn import adapters

    return adapters.library(part.name).LoraConfig(
        task_type=adapters.task_type(body),
        r=part.rank,
        lora_alpha=part.alpha or 2 * part.rank,
        lora_dropout=part.dropout,
        target_modules=part.targets,
        **more,
    )


@strategies.part("qlora")
@dataclass(frozen=True)
class QLora(Inside):
    """LoRA on a decoder kept in four bits (Dettmers et al. 2023, arXiv:2305.14314), for large ones on one NVIDIA GPU; it
    needs the extra `qlora`. The saved model has plain weights: those of four bits with the updates added.

    rank: of the update (peft: r, lora_rank).
    alpha: the update counts alpha / rank (lora_alpha); null is twice the rank.
    dropout: share of the update's input dropped in training (lora_dropout).
    targets: the linear layers that get one (target_modules), by the last words of their names, or all-linear.
    double: quantise the scales of the four bits too (bnb_4bit_use_double_quant).
    """

    exact: ClassVar[bool] = False

    rank: Positive = 16
    alpha: Scale | None = None
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    double: bool = True

    def problem(self, shape: str) -> str:
        return "qlora is for models that write; lora is for every network" if shape == "encoder" else ""

    def config(self, body: Any) -> Any:
        return _lora(self, body)

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import adapters, four_bits

        adapters.library(f"the strategy {self.name}")
        four_bits.quantise(model, double=self.double)
        super().place(model, seed=seed)

    def fold(self, model: Any) -> None:
        from burnish.nn import four_bits

        four_bits.merge(model)


@strategies.part("adalora")
@dataclass(frozen=True)
class AdaLora(Inside):
    """LoRA as P E Q with a budget of rank that goes where it matters (Zhang et al. 2023, arXiv:2303.10512).

    All matrices begin with `initial` directions; those of least importance (weight times gradient, smoothed) are
    switched off, on a cubic curve, until `rank` are left on average.
    initial: directions of each matrix at first (peft: init_r).
    rank: left on average in the end (target_r); below `initial`.
    alpha: the update counts alpha / initial (lora_alpha); null is twice `initial`.
    dropout: share of the update's input dropped in training (lora_dropout).
    targets: the linear layers that get one (target_modules), by the last words of their names, or all-linear.
    warm: share of all steps before the budget falls (tinit).
    last: share of all steps at the end with the budget as it is then (tfinal).
    every: steps between two allocations (deltaT).
    orthogonal: weight of the penalty that keeps P and Q orthogonal (orth_reg_weight).
    """

    initial: Positive = 12
    rank: Positive = 8
    alpha: Scale | None = None
    dropout: Share = 0.0
    targets: Targets = "all-linear"
    warm: Annotated[float, Ge(0), Lt(1)] = 0.1
    last: Annotated[float, Ge(0), Lt(1)] = 0.4
    every: Positive = 1
    orthogonal: Annotated[float, Ge(0)] = 0.1

    def problem(self, shape: str) -> str:
        if self.rank >= self.initial:
            return f"adalora.rank: {self.rank} is not below adalora.initial: {self.initial}"
        if self.warm + self.last >= 1:
            return "adalora.warm and adalora.last leave no steps for the budget to fall"
        return ""

    def config(self, body: Any) -> Any:
        from burnish.nn import adapters

        return adapters.library(self.name).AdaLoraConfig(
            task_type=adapters.task_type(body),
            init_r=self.initial,
            target_r=self.rank,
            lora_alpha=self.alpha or 2 * self.initial,
            lora_dropout=self.dropout,
            target_modules=self.targets,
            deltaT=self.every,
            orth_reg_weight=self.orthogonal,
            total_step=1 << 40,  # `begin` knows how many there are
        )

    def begin(self, run: Any) -> Any:
        from burnish.nn.rank_allocation import Allocation

        return Allocation(self, run)

    def keep(self, model: Any, folder: Path) -> None:
        from burnish.nn import adapters
        from burnish.nn.rank_allocation import whole

        with whole(model):
            adapters.keep(model, folder)


@strategies.part("ia3")
@dataclass(frozen=True)
class Ia3(Inside):
    """Learnt factors on keys, values and the inside of each feed-forward (Liu et al. 2022, arXiv:2205.05638).

    keys_values: factors on keys and values.
    feed_forward: factors on what the second layer of a feed-forward reads.
    """

    keys_values: bool = True
    feed_forward: bool = True

    def problem(self, shape: str) -> str:
        return (
            "" if self.keys_values or self.feed_forward else "ia3 without keys_values and feed_forward learns nothing"
        )

    def config(self, body: Any) -> Any:
        from burnish.nn import adapters

        within: list[str] = []
        scaled: list[str] = []
        if self.feed_forward:
            not_those = (*adapters.ATTENTION_ENDS, "crossattention.output.dense")
            within = adapters.layers_named(body, adapters.FEED_FORWARD_ENDS, not_those=not_those)
        if self.keys_values:
            scaled = adapters.layers_named(body, (*adapters.KEYS, *adapters.VALUES))
        return adapters.library(self.name).IA3Config(
            task_type=adapters.task_type(body), target_modules=[*scaled, *within], feedforward_modules=within
        )

    def factors(self, model: Any) -> dict[str, float]:
        return {name: FACTOR_IA3 for name, _ in model.named_parameters() if ".ia3_l." in name}


FACTOR_IA3 = 5.0  # the paper's rate is 3e-3, where LoRA's is 2e-4 to 5e-4: a factor near 1 has a long way to go
