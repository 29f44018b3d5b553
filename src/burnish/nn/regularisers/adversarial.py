"""Training at the worst point near each text: the word embeddings are moved to where the loss is higher.

Shares of lengths are those of `nn.shifts`: 0.01 moves a text by a hundredth of the length of its embeddings. Ten times that,
and MiniLM learnt nothing from 300 or 400 sentences of SST-2 (docs/log.md, "How far an adversary may go"). All passes of a step have the same dropout masks, so what differs between them is the shift alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from burnish.core.stage import Positive
from burnish.nn.regularisers.base import Learn, Regulariser, Working, regularisers

if TYPE_CHECKING:
    from burnish.nn.shifts import Shift

Length = Annotated[float, Ge(0)]
Step = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]


@regularisers.part("fgm")
@dataclass(frozen=True)
class FastGradient(Regulariser):
    """Mean of the loss at a text and of that one step up its gradient (Miyato, Dai and Goodfellow 2017). Twice the time.

    epsilon: length of the step, as a share of the length of the text's embeddings; 0 is plain training.
    """

    epsilon: Length = 0.01

    teaches = "around"
    perturbs = True

    def begin(self, run: Any) -> Working:
        return _Climbing(run, self.name, most=self.epsilon, step=self.epsilon, steps=1)


@regularisers.part("pgd")
@dataclass(frozen=True)
class ProjectedGradient(Regulariser):
    """Mean of the loss at a text and of that after some steps up, never further than epsilon (Madry et al. 2018).

    Costs steps + 1 times the time.

    epsilon: furthest length, as a share of the length of the text's embeddings; 0 is plain training.
    step: length of one step, as a share of epsilon.
    steps: how many.
    """

    epsilon: Length = 0.01
    step: Step = 0.5
    steps: Positive = 3

    teaches = "around"
    perturbs = True

    def begin(self, run: Any) -> Working:
        return _Climbing(run, self.name, most=self.epsilon, step=self.step * self.epsilon, steps=self.steps)


@regularisers.part("freelb")
@dataclass(frozen=True)
class FreeLargeBatch(Regulariser):
    """Mean of the losses at all points of a climb that begins at random (FreeLB: Zhu et al. 2020). `steps` times the time.

    Every pass teaches, so no gradient is thrown away.

    epsilon: furthest length, as a share of the length of the text's embeddings; 0 is plain training.
    step: length of one step, as a share of epsilon.
    begin_at: length of the random beginning, as a share of epsilon.
    steps: how many points.
    """

    epsilon: Length = 0.01
    step: Step = 0.5
    begin_at: Length = 0.5
    steps: Positive = 3

    teaches = "around"
    perturbs = True

    def begin(self, run: Any) -> Working:
        return _FreeClimbing(run, self)


@regularisers.part("smart")
@dataclass(frozen=True)
class Smart(Regulariser):
    """What the network says of a text and of the worst point nearby must agree (SMART: Jiang et al. 2020).

    The loss, plus weight x the symmetric KL divergence where a climb of that divergence ends. proximal x the divergence
    from what a running mean of the weights says keeps each step near the last ones (the paper's Bregman term).
    Costs steps + 2 times the time, and one pass more with proximal.

    weight: what the divergence counts.
    epsilon: furthest length, as a share of the length of the text's embeddings.
    step: length of one step, as a share of epsilon; the climb begins at random, at a hundredth of epsilon.
    steps: of the climb.
    proximal: what the divergence from the running mean counts; 0 leaves it out.
    momentum: of the running mean.
    """

    weight: Weight = 1.0
    epsilon: Length = 0.01
    step: Step = 1.0
    steps: Positive = 1
    proximal: Weight = 0.0
    momentum: Annotated[float, Ge(0)] = 0.99

    teaches = "anew"
    perturbs = True

    def begin(self, run: Any) -> Working:
        from burnish.nn import divergence

        divergence.check(run.objective, self.name)
        return _Smooth(run, self)


def _embeddings(run: Any, name: str) -> Any:
    from burnish.nn.predict import pad_token_of
    from burnish.nn.shifts import Embeddings

    return Embeddings(run.model, pad=pad_token_of(run.model), wanted_by=name)


class _Climbing(Working):
    """Loss and gradient at the text, a climb from there, and loss and gradient at its end.

    shifts: those of the last batch's end, for who wants to look at them.
    """

    def __init__(self, run: Any, name: str, *, most: float, step: float, steps: int) -> None:
        self.run, self.most, self.step, self.steps = run, most, step, steps
        self.embeddings = _embeddings(run, name)
        self.shifts: list[Shift] = []

    def learn(self, batch: Any, inner: Learn) -> float:
        if self.most == 0.0:
            return inner(batch)
        from burnish.nn.shifts import nought

        run = self.run
        with run.counting(0.5), self.embeddings.begun(nought) as shifts:
            loss = inner(batch)
        shifts = self._climbed(shifts)
        for _ in range(self.steps - 1):
            run.again()
            with run.forgetting(), self.embeddings.moved(shifts) as shifts:
                inner(batch)
            shifts = self._climbed(shifts)
        run.again()
        with run.counting(0.5), self.embeddings.moved(shifts):
            inner(batch)
        self.shifts = shifts
        return loss

    def _climbed(self, shifts: list[Shift]) -> list[Shift]:
        return [one.climbed(step=self.step, most=self.most) for one in shifts]


class _FreeClimbing(Working):
    """shifts: those of the last batch's points, for who wants to look at them."""

    def __init__(self, run: Any, part: FreeLargeBatch) -> None:
        self.run, self.part = run, part
        self.embeddings = _embeddings(run, part.name)
        self.shifts: list[list[Shift]] = []

    def learn(self, batch: Any, inner: Learn) -> float:
        """The value is the loss at the first point."""
        run, part = self.run, self.part
        if part.epsilon == 0.0:
            return inner(batch)
        from burnish.nn.shifts import drawn

        begin = drawn(share=part.begin_at * part.epsilon, seed=run.step_seed)
        with run.counting(1.0 / part.steps), self.embeddings.begun(begin) as shifts:
            loss = inner(batch)
        self.shifts = [shifts]
        for _ in range(part.steps - 1):
            shifts = [one.climbed(step=part.step * part.epsilon, most=part.epsilon) for one in shifts]
            run.again()
            with run.counting(1.0 / part.steps), self.embeddings.moved(shifts) as shifts:
                inner(batch)
            self.shifts.append(shifts)
        return loss


class _Smooth(Working):
    """apart: mean divergence at the end of the last batch's climb; shifts: that end. mean: the running mean, or None."""

    def __init__(self, run: Any, part: Smart) -> None:
        from burnish.nn.shadow import Shadow

        self.run, self.part = run, part
        self.embeddings = _embeddings(run, part.name)
        self.shifts: list[Shift] = []
        self.apart = 0.0
        self.mean = Shadow(run, decay=part.momentum) if part.proximal else None

    def learn(self, batch: Any, inner: Learn) -> float:
        import torch

        from burnish.nn.divergence import detached

        run, part = self.run, self.part
        if part.weight == 0.0 and self.mean is None:
            return inner(batch)
        if self.mean is not None:  # first, for the weights that a graph hangs on must not change
            with self.mean.shown(), torch.no_grad():
                before = run.forward(batch)
            run.again()
        outputs = run.forward(batch)
        loss = run.loss(batch, outputs)
        total = loss
        if part.weight and part.epsilon:
            shifts = self._climb(batch, detached(outputs))
            with self.embeddings.moved(shifts):
                apart = self._apart(batch, outputs)
            self.shifts, self.apart = shifts, float(apart.detach())
            total = total + part.weight * apart
        if self.mean is not None:
            total = total + part.proximal * self._between(batch, outputs, before)
        run.backward(total)
        return float(loss.detach())

    def _climb(self, batch: Any, outputs: Any) -> list[Shift]:
        """From a random beginning to where the outputs differ most from these."""
        from burnish.nn.shifts import drawn

        run, part = self.run, self.part
        shifts: list[Shift]
        with run.forgetting():
            with self.embeddings.begun(drawn(share=0.01 * part.epsilon, seed=run.step_seed)) as shifts:
                run.backward(self._apart(batch, outputs))
            for at in range(part.steps):
                shifts = [one.climbed(step=part.step * part.epsilon, most=part.epsilon) for one in shifts]
                if at + 1 < part.steps:
                    with self.embeddings.moved(shifts) as shifts:
                        run.backward(self._apart(batch, outputs))
        return shifts

    def _apart(self, batch: Any, outputs: Any) -> Any:
        """Mean divergence of one more pass, with the masks of the first, from these outputs."""
        self.run.again()
        return self._between(batch, outputs, self.run.forward(batch))

    def _between(self, batch: Any, one: Any, two: Any) -> Any:
        from burnish.nn.divergence import divergence

        return self.run.mean(divergence(self.run.objective, one, two, batch), batch)

    def moved(self, *, rate: float) -> None:
        if self.mean is not None:
            self.mean.follow()

    def state(self) -> dict[str, Any]:
        return {} if self.mean is None else self.mean.state()

    def restore(self, state: Any) -> None:
        if self.mean is not None:
            self.mean.restore(state)
