"""A network that says the same of a text twice, and something in between of what lies between two texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge

from burnish.core.errors import BurnishError
from burnish.nn.regularisers.base import Learn, Regulariser, Working, regularisers

Weight = Annotated[float, Ge(0)]


@regularisers.part("r_drop")
@dataclass(frozen=True)
class RDrop(Regulariser):
    """Two passes with different dropout must agree: mean loss + alpha / 2 x (KL one way + KL the other) (Liang et al. 2021).

    Costs twice the time. Needs dropout: without it both passes are the same.

    alpha: what the disagreement counts; 0 is plain training, in one pass.
    """

    alpha: Weight = 1.0

    teaches = "anew"

    def begin(self, run: Any) -> Working:
        from burnish.nn import divergence

        divergence.check(run.objective, self.name)
        return _Twice(run, self.alpha)


class _Twice(Working):
    def __init__(self, run: Any, alpha: float) -> None:
        self.run, self.alpha = run, alpha

    def learn(self, batch: Any, inner: Learn) -> float:
        """Both passes go on drawing from the same pool, so their masks differ."""
        if self.alpha == 0.0:
            return inner(batch)
        from burnish.nn.divergence import divergence

        run = self.run
        one, two = run.forward(batch), run.forward(batch)
        told = 0.5 * (run.loss(batch, one) + run.loss(batch, two))
        apart = run.mean(divergence(run.objective, one, two, batch), batch)
        run.backward(told + 0.5 * self.alpha * apart)
        return float(told.detach())


@regularisers.part("manifold_mixup")
@dataclass(frozen=True)
class ManifoldMixup(Regulariser):
    """Inside the network each text becomes a mixture with another, and its target too (Verma et al. 2019).

    In each step a layer is drawn, from the first to behind the last; the states that enter it are mixed token by token
    with those of another text of the batch, where that one has a token. The larger share stays with the text itself,
    whose padding and length hold. For one or several labels a text, and for numbers.

    alpha: the share is drawn from Beta(alpha, alpha): small mixes little, 1 draws all shares alike; 0 is plain training.
    """

    alpha: Weight = 0.4

    modules = True
    teaches = "anew"

    def begin(self, run: Any) -> Working:
        from burnish.nn.objectives import BinaryCrossEntropy, CrossEntropy, SquaredError

        known = type(run.objective) in (CrossEntropy, BinaryCrossEntropy, SquaredError)
        placed = hasattr(run.model, "head_id") or run.train.images is not None  # answers depend on places in the text
        if not known or placed:
            raise BurnishError(
                "manifold_mixup mixes whole texts: it needs one target a text, not of tokens, spans, images or orders",
                where="train.tune.regularise",
                hint="leave it out; r_drop and the adversarial ones know more tasks",
            )
        return _Mixup(run, self.alpha)


class _Mixup(Working):
    def __init__(self, run: Any, alpha: float) -> None:
        from burnish.nn import anatomy

        self.run, self.alpha = run, alpha
        self.layers = anatomy.layers(run.model)
        if not self.layers:
            raise BurnishError("manifold_mixup finds no layers in this network", where="train.tune.regularise")

    def learn(self, batch: Any, inner: Learn) -> float:
        if self.alpha == 0.0:
            return inner(batch)
        import numpy as np
        import torch

        draw = np.random.Generator(np.random.PCG64([self.run.step_seed, 1]))
        share = float(draw.beta(self.alpha, self.alpha))
        share = max(share, 1.0 - share)
        partner = torch.from_numpy(draw.permutation(len(batch.rows)))
        depth = int(draw.integers(len(self.layers) + 1))
        outputs = self.mixed(batch, depth, share, partner)
        targets = batch.targets
        if targets.ndim == 1:
            targets = torch.nn.functional.one_hot(targets, outputs.shape[1]).float()
        told = replace(batch, targets=share * targets + (1.0 - share) * targets[partner])
        loss = self.run.loss(told, outputs)
        self.run.backward(loss)
        return float(loss.detach())

    def mixed(self, batch: Any, depth: int, share: float, partner: Any) -> Any:
        """Outputs with the states before layer `depth` (behind the last one, where it is their number) mixed."""
        there_BL1 = (batch.mask_BL & batch.mask_BL[partner]).unsqueeze(-1).bool()

        def blend(states_BLD: Any) -> Any:
            mixture = states_BLD.lerp(states_BLD[partner], 1.0 - share)
            return mixture.where(there_BL1, states_BLD)

        if depth < len(self.layers):
            hook = self.layers[depth].register_forward_pre_hook(_entering(blend), with_kwargs=True)
        else:
            hook = self.layers[-1].register_forward_hook(_leaving(blend))
        try:
            return self.run.forward(batch)
        finally:
            hook.remove()


def _entering(blend: Any) -> Any:
    def hook(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if given:
            return (blend(given[0]), *given[1:]), named
        return given, {**named, "hidden_states": blend(named["hidden_states"])}

    return hook


def _leaving(blend: Any) -> Any:
    def hook(module: Any, given: Any, out: Any) -> Any:
        return (blend(out[0]), *out[1:]) if isinstance(out, tuple) else blend(out)

    return hook
