"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.core.errors import MissingExtra
from burnish.core.stage import Positive
from burnish.train.trackers.base import Opened, Story, Tracker, trackers


class _Events(Opened):
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(f"training/{name}", value, step)

    def close(self) -> None:
        self.writer.close()


@trackers.part("tensorboard")
@dataclass(frozen=True)
class TensorBoard(Tracker):
    """Event files for `tensorboard --logdir`.

    folder: that holds one folder a run, from the spec's folder.
    every: steps between two points.
    """

    folder: str = "runs/tensorboard"
    every: Positive = 1

    def open(self, story: Story) -> Opened:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtra("track: tensorboard", "tensorboard") from error
        writer: Any = SummaryWriter
        return _Events(writer(log_dir=str(story.base / self.folder / story.name)))
