"""Tests of learning rates that lost to the rule of `nn.loop.settle`: what they choose, and what they cost.

    python benchmarks/rates.py trec --steps 4 16

tries: the run in small, with its warm-up and decay, at five rates on copies of the weights, each judged by its loss on
training examples held out from all of them. sweep: one run in which the rate climbs from 1e-5 to 1e-2 (Smith 2017,
arXiv:1506.01186), by its loss at every step. docs/log.md says what came of it.
"""

from __future__ import annotations

import argparse
import copy
import functools
import math
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from burnish.core.progress import Silent
from burnish.nn.batches import batches_of, reading_order
from burnish.nn.examples import Examples
from burnish.nn.predict import READ_TOKENS, outputs_of, pad_token_of, read_lengths

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the rate that the rules give
SWEPT = (1e-5, 1e-2)
SWEEP_STEPS = 24
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


def tries(model: nn.Module, train: Examples, settings: Any, *, objective: Any, steps: int, seed: int = 0) -> Tried:
    """Try rates around `settings.learning_rate` on copies of `model`; nothing of the model itself changes."""
    from burnish.nn.loop import fit

    draw = np.random.default_rng(seed).permutation(len(train))
    apart = min(HELD_OUT, len(train) // 5)
    held_out, rest = train.take(np.sort(draw[:apart])), train.take(np.sort(draw[apart:]))
    rates = tuple(float(settings.learning_rate) * factor for factor in FACTORS)
    losses = []
    for rate in rates:
        trial = copy.deepcopy(model)
        short = replace(settings, learning_rate=rate, steps=steps, patience=0, judge_every=None)
        fit(trial, rest, None, settings=short, scratch=None, progress=Silent(), seed=seed, objective=objective)
        losses.append(mean_loss(trial, held_out, objective))
    return Tried(rates, tuple(losses), steps)


def sweep(
    model: nn.Module, train: Examples, settings: Any, *, objective: Any, seed: int = 0
) -> list[tuple[float, float]]:
    """(rate, training loss) of each step of a run whose rate climbs through SWEPT."""
    from burnish.nn import loop

    low, high = SWEPT
    before, loop.rate_at = loop.rate_at, lambda progress, *, settings: low * (high / low) ** progress
    try:
        short = replace(settings, steps=SWEEP_STEPS, patience=0)
        history = loop.fit(copy.deepcopy(model), train, None, settings=short, scratch=None, progress=Silent(), seed=seed, objective=objective)  # fmt: skip
    finally:
        loop.rate_at = before
    return [(low * (high / low) ** (at / SWEEP_STEPS), loss) for at, loss in enumerate(history.losses)]


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


def main() -> int:
    import search

    from burnish.core.artifacts import Records, Split
    from burnish.core.records import Record, to_table
    from burnish.core.stage import TaskSpec
    from burnish.core.tasktypes import open_task
    from burnish.nn import loop, models
    from burnish.train.sides import Sides

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", choices=list(search.SETS))
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--shared", type=Path, default=search.ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    backbone, language, count = search.SETS[given.set]
    rows = random.Random(0).sample(search.rows_of(given.set, given.shared)[0], count)
    task = open_task(TaskSpec("classification", tuple(sorted({row["label"] for row in rows})), languages=(language,)))
    records = Records.from_table(to_table(Record(text=row["text"], label=row["label"]) for row in rows))
    folder = task.backbone(backbone, records.table(), folder=Path(), seed=0, progress=Silent())
    sides = Sides(task, folder, Split(records, records, records), max_length="auto", soft=True)
    model: Any = models.build(folder, sides.task.head(), seed=0)
    sides.prepare(model)
    train, objective = sides.train(), sides.task.objective()
    sizes = {"hidden": model.config.hidden_size, "layers": model.config.num_hidden_layers}
    settings, _ = loop.settle(loop.Training(), train=train, **sizes)
    whole = int(settings.epochs) * math.ceil(int(train.offsets[-1]) / int(settings.batch_tokens))
    print(f"{given.set}: a run of about {whole} steps, rule {settings.learning_rate:g}")
    for steps in given.steps:
        began = time.process_time()
        tried = tries(model, train, settings, objective=objective, steps=steps)
        print(f"tries choose {tried.best:.2g} in {time.process_time() - began:.0f} CPU-s: {tried.why}", flush=True)
    began = time.process_time()
    found = sweep(model, train, settings, objective=objective)
    print(
        f"sweep in {time.process_time() - began:.0f} CPU-s: "
        + ", ".join(f"{rate:.2g}: {loss:.2f}" for rate, loss in found)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
