"""A learning rate that is tried and not looked up: the run in small at a few rates, each on a copy of the weights.

After Smith 2017 (arXiv:1506.01186), who lets one short run climb through all rates and looks where its loss falls. Here
each rate has its own short run, with the warm-up and decay of the long one, and is judged on training examples held out
from all of them: the loss of the climbing run says how far it had come when it reached a rate, not how good the rate is.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from burnish.core.progress import Progress, Silent
from burnish.nn.batches import batches_of, reading_order
from burnish.nn.examples import Examples
from burnish.nn.predict import READ_TOKENS, outputs_of, pad_token_of, read_lengths

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the rate that the rules give
COST = 0.25  # share of the steps of the run that all tries together may take
LEAST_STEPS, MOST_STEPS = 4, 24  # of one try
HELD_OUT = 256  # examples, at most a fifth of all


@dataclass(frozen=True)
class Tried:
    """What a test of rates saw. losses: of the held-out examples after the tries, in the order of the rates; steps: of a try."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int

    @property
    def best(self) -> float:
        """The rate of the least loss."""
        return min(zip(self.losses, self.rates, strict=True))[1]

    @property
    def why(self) -> str:
        seen = ", ".join(f"{rate:.2g}: {loss:.3f}" for rate, loss in zip(self.rates, self.losses, strict=True))
        return f"tried for {self.steps} steps each, loss of held-out training examples {seen}"


def rates_tried(
    model: nn.Module,
    train: Examples,
    settings: Any,
    *,
    objective: Any,
    seed: int,
    strategies: Sequence[Any] = (),
    regularisers: Sequence[Any] = (),
    factors: Sequence[float] = FACTORS,
    cost: float = COST,
    progress: Progress | None = None,
) -> Tried:
    """Try rates around `settings.learning_rate` on copies of `model`; nothing of the model itself changes.

    settings: of `nn.loop`, settled. Costs `cost` of the run's steps, and at least LEAST_STEPS for each rate.
    """
    from burnish.nn.loop import fit

    draw = np.random.default_rng(seed).permutation(len(train))
    apart = min(HELD_OUT, len(train) // 5)
    held_out, rest = train.take(np.sort(draw[:apart])), train.take(np.sort(draw[apart:]))
    whole = settings.steps or int(settings.epochs) * math.ceil(int(train.offsets[-1]) / int(settings.batch_tokens))
    steps = int(np.clip(round(cost * whole / len(factors)), LEAST_STEPS, MOST_STEPS))
    rates = tuple(float(settings.learning_rate) * factor for factor in factors)
    losses = []
    for rate in rates:
        trial = copy.deepcopy(model)
        short = replace(settings, learning_rate=rate, steps=steps, patience=0, judge_every=None)
        common = {"progress": Silent(), "seed": seed, "objective": objective}
        fit(trial, rest, None, settings=short, scratch=None, strategies=strategies, regularisers=regularisers, **common)
        losses.append(mean_loss(trial, held_out, objective))
        if progress:
            progress.tell(f"  learning rate {rate:.2g}: loss {losses[-1]:.3f} after {steps} steps")
    return Tried(rates, tuple(losses), steps)


def mean_loss(model: nn.Module, examples: Examples, objective: Any) -> float:
    """Mean loss of examples, without dropout; infinite where it is not a number."""
    forward = getattr(objective, "forward", None) or functools.partial(outputs_of)
    order = reading_order(read_lengths(model, examples), batch_tokens=READ_TOKENS, groups=examples.groups)
    total = 0.0
    model.eval()
    with torch.inference_mode():
        for batch in batches_of(examples, order, pad_token=pad_token_of(model)):
            total += float(objective.loss(forward(model, batch), batch, model).double().sum())
    return total / len(examples) if math.isfinite(total) else math.inf
