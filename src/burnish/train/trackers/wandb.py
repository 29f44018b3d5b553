"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from burnish.core.errors import MissingExtra
from burnish.core.stage import Positive
from burnish.train.trackers.base import Opened, Story, Tracker, trackers


class _Run(Opened):
    def __init__(self, run: Any) -> None:
        self.run = run

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.run.log(dict(figures), step=step)

    def close(self) -> None:
        self.run.finish()


@trackers.part("wandb")
@dataclass(frozen=True)
class WeightsAndBiases(Tracker):
    """A run of a Weights & Biases project; the key is read from WANDB_API_KEY.

    project: its name.
    mode: online sends, offline writes below runs/wandb for `wandb sync`.
    every: steps between two points.
    """

    project: str = "burnish"
    mode: Literal["online", "offline"] = "online"
    every: Positive = 10

    def open(self, story: Story) -> Opened:
        try:
            import wandb
        except ImportError as error:
            raise MissingExtra("track: wandb", "wandb") from error
        folder = story.base / "runs"
        folder.mkdir(exist_ok=True)
        started: Any = wandb.init(
            project=self.project, name=story.name, mode=self.mode, dir=str(folder), config=dict(story.settings)
        )
        return _Run(started)
