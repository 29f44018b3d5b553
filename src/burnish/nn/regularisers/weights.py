"""What is kept of the steps: a running mean of the weights, a mean of the best epochs, a pull back to the start."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Lt

from burnish.core.errors import BurnishError
from burnish.core.stage import Positive
from burnish.nn.regularisers.base import Regulariser, Working, regularisers


@regularisers.part("ema")
@dataclass(frozen=True)
class RunningMean(Regulariser):
    """Judge and keep a running mean of the weights, which a single step does not shake (Polyak and Juditsky 1992).

    It begins fast, at (1 + t) / (10 + t) after t steps, so that a short run is not half its start.

    decay: what the mean keeps of itself in a step, once t is large; 0 is the weights themselves.
    """

    decay: Annotated[float, Ge(0), Lt(1)] = 0.99

    def begin(self, run: Any) -> Working:
        from burnish.nn.shadow import Shadow

        return _Following(run, Shadow(run, decay=self.decay))


class _Following(Working):
    def __init__(self, run: Any, shadow: Any) -> None:
        self.run, self.shadow = run, shadow

    def moved(self, *, rate: float) -> None:
        self.shadow.follow()

    def looking(self) -> contextlib.AbstractContextManager[None]:
        shown: contextlib.AbstractContextManager[None] = self.shadow.shown()
        return shown

    def state(self) -> dict[str, Any]:
        kept: dict[str, Any] = self.shadow.state()
        return kept

    def restore(self, state: Mapping[str, Any]) -> None:
        self.shadow.restore(state)

    def finish(self) -> None:
        """Without a judge nobody has chosen: the mean is what stays."""
        if self.run.judge is None:
            self.shadow.put()


@regularisers.part("average")
@dataclass(frozen=True)
class BestEpochs(Regulariser):
    """The mean of the best epochs' weights, where it is better on the validation side than the best of them alone.

    Checkpoints are averaged as by Vaswani et al. 2017, and judged as the "soups" of Wortsman et al. 2022 are. Memory: the weights
    `best` times.

    best: how many epochs.
    """

    best: Positive = 3

    def begin(self, run: Any) -> Working:
        return _Averaging(run, self.best)


class _Averaging(Working):
    """kept: (score, minus loss) and weights of the best epochs, the best first."""

    def __init__(self, run: Any, best: int) -> None:
        self.run, self.best = run, best
        self.kept: list[tuple[tuple[float, float], dict[str, Any]]] = []

    def judged(self, found: tuple[float, float]) -> None:
        if len(self.kept) == self.best and found <= self.kept[-1][0]:
            return
        weights = {name: value.clone() for name, value in self.run.weights.items()}
        self.kept = sorted([*self.kept, (found, weights)], key=lambda one: one[0], reverse=True)[: self.best]

    def finish(self) -> None:
        """Judge the mean; the best weights stand in `run.weights` before, and after where the mean is not better."""
        run = self.run
        if run.judge is None:
            run.progress.tell("  average: nothing to choose the best epochs by, the last weights stay")
        if len(self.kept) < 2:
            return
        for name, value in run.weights.items():
            value.copy_(sum(weights[name] for _, weights in self.kept) / len(self.kept))
        run.operators.refresh()
        score, loss = run.judge.score(run.model)
        better = (score, -loss) > run.best_score
        told = (
            f"mean of {len(self.kept)} epochs: {run.judge.figure} {score:.4f}, the best alone {run.best_score[0]:.4f}"
        )
        run.history.reasons["average"] = f"{told}; {'kept' if better else 'not kept'}"
        run.history.resolved["average"] = f"mean of {len(self.kept)} epochs" if better else "best epoch alone"
        run.progress.tell(f"  {run.history.reasons['average']}")
        if not better:
            for name, value in run.weights.items():
                value.copy_(run.best[name])

    def state(self) -> dict[str, Any]:
        import torch

        found = {f"{at}/{name}": value for at, (_, one) in enumerate(self.kept) for name, value in one.items()}
        scores = torch.tensor([one for one, _ in self.kept], dtype=torch.float64)
        return {"scores": scores, **found} if self.kept else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        scores = state["scores"].tolist() if state else []
        for at, (score, loss) in enumerate(scores):
            weights = {name: state[f"{at}/{name}"] for name in self.run.weights}
            self.kept.append(((score, loss), weights))


@regularisers.part("l2_sp")
@dataclass(frozen=True)
class PullToStart(Regulariser):
    """After each step the body's weights go a little back to where they started (Li, Grandvalet and Davoine 2018).

    Decoupled from the gradient as AdamW's decay is (Loshchilov and Hutter 2019): each goes rate x strength of the way.
    Adam moves a weight by about the rate, so one that is always pushed the same way ends 1 / strength from its start.
    The head has no start worth keeping. Memory: the weights once more.

    strength: 10 to 100 is felt; 0 is plain training.
    """

    strength: Annotated[float, Ge(0)] = 10.0

    def begin(self, run: Any) -> Working:
        return _Pulling(run, self.strength)


class _Pulling(Working):
    def __init__(self, run: Any, strength: float) -> None:
        from burnish.nn.anatomy import head_weights
        from burnish.nn.shadow import Reached

        self.run, self.strength, self.reached = run, strength, Reached(run)
        own = head_weights(run.model)
        self.start = {name: value.clone() for name, value in run.weights.items() if name not in own}
        if not self.start:
            raise BurnishError(
                "l2_sp pulls weights of the body back to their start, and none of those learns",
                where="train.tune.regularise",
                hint="leave it out, or take a strategy that moves them",
            )

    def moved(self, *, rate: float) -> None:
        self.reached.follow()
        if self.strength == 0.0:
            return
        for name, start in self.start.items():
            value, rows = self.run.weights[name], self.reached.rows(name)
            pull = min(1.0, rate * self.run.optimiser.factors[name] * self.strength)
            if rows is None:
                value.lerp_(start, pull)
            else:
                value[rows] = value[rows].lerp_(start[rows], pull)
        self.run.operators.refresh()

    def restore(self, state: Mapping[str, Any]) -> None:
        """The start is that of the run, which begins with the same weights each time."""
        self.reached.restore()
