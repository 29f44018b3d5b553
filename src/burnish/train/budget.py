"""How long pre-training goes, in steps, before the first of them: from steps, tokens, minutes or passes."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from burnish.core.artifacts import write_json
from burnish.core.progress import Silent
from burnish.core.stage import Context

AUTO_TOKENS = 5_000_000  # what `epochs: auto` reads: half an hour of a small network on two cores
MOST_EPOCHS = 20
MEASURED = (4, 12)  # steps that warm the machine up, and steps that are timed
LOOKS = 10
MEASUREMENT = "speed.json"


@dataclass(frozen=True)
class Budget:
    """At most one of steps, tokens, minutes and a number of epochs."""

    steps: int | None
    tokens: int | None
    minutes: float | None
    epochs: int | str


def settled(
    settings: Any,
    train: Any,
    budget: Budget,
    *,
    model: Any,
    objective: Any,
    look_every: int | str,
    fresh_rate: float,
    context: Context,
) -> tuple[Any, dict[str, str]]:
    """Every "auto" decided, and why; `minutes` become steps by the speed of this machine, measured once.

    The measured speed lies in the step's scratch folder: a run that was killed goes on with the same number of steps.
    """
    reasons: dict[str, str] = {}
    held = int(train.offsets[-1])
    hidden = int(model.config.hidden_size)
    rate = settings.learning_rate
    if not rate:
        rate, reasons["learning_rate"] = _rate(model, hidden, fresh_rate)
    wanted = _tokens(budget, held)
    size = settings.batch_tokens
    if size == "auto":
        total = wanted or 60.0 * float(budget.minutes or 0) * 2000
        size = int(np.clip(round(total / 1500 / 1024) * 1024, 1024, 8192)) // settings.accumulate
        size = max(size, int(train.lengths.max()), 256)
        reasons["batch_tokens"] = f"some 1,500 steps of about {total:,.0f} tokens, 1,024 to 8,192 a step"
    settings = replace(settings, batch_tokens=int(size), learning_rate=float(rate), epochs=1)
    a_step = int(size) * settings.accumulate
    if budget.steps:
        steps, reasons["steps"] = budget.steps, "asked for"
    elif budget.minutes:
        seconds = _seconds(settings, train, model, objective, context)
        steps = max(2, int(60.0 * budget.minutes / seconds))
        reasons["steps"] = f"{budget.minutes:g} minutes at {seconds:.3f} s a step, measured before the first"
    else:
        steps = max(1, math.ceil(wanted / a_step))
        reasons["steps"] = f"{wanted:,.0f} tokens, {wanted / held:.1f} passes over {held:,}"
    every = max(1, math.ceil(steps / LOOKS)) if look_every == "auto" else int(look_every)
    return replace(settings, steps=steps, judge_every=every), reasons


def _tokens(budget: Budget, held: int) -> float:
    """Tokens to be read in all; 0 where only a clock says."""
    if budget.tokens or budget.steps or budget.minutes:
        return float(budget.tokens or 0) or float(budget.steps or 0) * 2048
    epochs = budget.epochs
    return float(held * int(epochs if epochs != "auto" else np.clip(round(AUTO_TOKENS / held), 1, MOST_EPOCHS)))


def _rate(model: Any, hidden: int, fresh_rate: float) -> tuple[float, str]:
    if model.start == "nothing":
        rate = fresh_rate * (2.0 if hidden <= 128 else 1.0 if hidden <= 512 else 0.5)
        return rate, f"random weights, {hidden} wide"
    return (2e-4 if hidden <= 512 else 5e-5), f"goes on with weights, {hidden} wide"


def _seconds(settings: Any, train: Any, model: Any, objective: Any, context: Context) -> float:
    """Seconds of a step on this machine, of steps on a copy of the network."""
    from burnish.nn.loop import fit

    path = context.scratch / MEASUREMENT
    if not path.is_file():
        tried = copy.deepcopy(model)
        for steps in MEASURED:
            history = fit(
                tried,
                train,
                None,
                settings=replace(settings, steps=steps, judge_every=None),
                scratch=None,
                progress=Silent(),
                seed=context.seed,
                objective=objective,
            )
        write_json(path, {"seconds_a_step": history.seconds / len(history.losses)})
    return float(json.loads(path.read_text("utf-8"))["seconds_a_step"])
