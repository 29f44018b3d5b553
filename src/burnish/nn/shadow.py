"""Weights beside the weights of a run: a running mean of them, and which rows of big tables have left their start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Reached:
    """Rows of each embedding table that learns row by row (`operators.RowEmbedding`) which some step has moved.

    Fine-tuning touches a few thousand of 250,000 rows; the others are what they were, so nobody need look at them.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self.moved = {name: torch.zeros(len(table), dtype=torch.bool) for name, table in run.operators.tables.items()}

    def follow(self) -> None:
        """The optimiser has made a step."""
        for name, rows_U in self.run.optimiser.rows_moved.items():
            self.moved[name][rows_U] = True

    def rows(self, name: str) -> Tensor | None:
        """(U) numbers of the rows that were moved; None for weights that are no such table."""
        return self.moved[name].nonzero().squeeze(1) if name in self.moved else None

    def restore(self) -> None:
        """Find the rows again in what the optimiser remembers of them."""
        for name in self.moved:
            self.moved[name] = (self.run.optimiser.moments[name][1] != 0).any(1)


class Shadow:
    """A running mean of the weights of a run: mean = d x mean + (1 - d) x weights, with d = min(decay, (1 + t) / (10 + t)).

    t counts steps: a mean that held on to its first weights for 1 / (1 - decay) steps would end a short run half untrained.
    Memory: the weights once more.
    """

    def __init__(self, run: Any, *, decay: float) -> None:
        self.run, self.decay = run, decay
        self.values = {name: value.clone() for name, value in run.weights.items()}
        self.reached = Reached(run)

    @torch.no_grad()
    def follow(self) -> None:
        """The optimiser has made a step."""
        self.reached.follow()
        steps = self.run.optimiser.steps
        pull = 1.0 - min(self.decay, (1 + steps) / (10 + steps))
        for name, value in self.run.weights.items():
            rows = self.reached.rows(name)
            if rows is None:
                self.values[name].lerp_(value, pull)
            else:
                self.values[name][rows] = self.values[name][rows].lerp_(value[rows], pull)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the run's weights are the mean; after, they are to the bit what they were."""
        weights = self.run.weights
        held = {name: value.clone() for name, value in weights.items()}
        self.put()
        try:
            yield
        finally:
            for name, value in held.items():
                weights[name].copy_(value)
            self.run.operators.refresh()

    @torch.no_grad()
    def put(self) -> None:
        """The run's weights become the mean."""
        for name, value in self.run.weights.items():
            value.copy_(self.values[name])
        self.run.operators.refresh()

    def state(self) -> dict[str, Tensor]:
        """The mean, by name; shared, not copied."""
        return dict(self.values)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave; the run's optimiser has been restored before."""
        for name, value in self.values.items():
            value.copy_(state[name])
        self.reached.restore()
