"""Figures as lines of JSON: for people who draw their own curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from burnish.core.stage import Positive
from burnish.train.trackers.base import Opened, Story, Tracker, trackers


class _Lines(Opened):
    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


@trackers.part("jsonl")
@dataclass(frozen=True)
class Lines(Tracker):
    """A line of JSON for each step, appended to a file.

    path: of the file, from the spec's folder; {name} is the run's.
    every: steps between two lines.
    """

    path: str = "runs/{name}-training.jsonl"
    every: Positive = 1

    def open(self, story: Story) -> Opened:
        path = story.base / self.path.format(name=story.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Lines(path.open("a", encoding="utf-8"))
