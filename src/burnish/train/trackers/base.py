"""Where the figures of a training run go while it runs: a setting `track` names one or several.

Files of this folder declare trackers as parts (`core.parts`) and wake their libraries only in `open`. What is tracked does
not change what is learnt, so the setting is in no key; a run that was killed and goes on, goes on counting its steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.parts import Family

trackers = Family("tracker", "burnish.train.trackers", keyed=False)


@dataclass(frozen=True)
class Story:
    """What a tracker may tell of a run. base: the spec's folder, for what is written to disk."""

    name: str
    base: Path
    settings: Mapping[str, Any]


class Opened:
    """A tracker that writes: figures by the number of the optimiser's step; nothing is kept back for long."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """loss, rate, gradient, tokens_per_s, padding, memory_mb of a step; validation_loss and others of a look."""

    def close(self) -> None:
        """The run is over, or has failed."""


@dataclass(frozen=True)
class Tracker:
    """every: steps between two points of a curve."""

    name: ClassVar[str] = ""

    def open(self, story: Story) -> Opened:
        """Begin. MissingExtra where its library is not installed."""
        raise NotImplementedError


class Watch:
    """Several trackers as the loop sees them: it is called with (step, figures)."""

    def __init__(self, opened: Sequence[tuple[Opened, int]]) -> None:
        self.opened = opened

    def __call__(self, step: int, figures: Mapping[str, float], *, look: bool = False) -> None:
        for one, every in self.opened:
            if look or step % every == 0:
                one.write(step, figures)


@contextlib.contextmanager
def watching(value: Any, story: Story) -> Iterator[Watch]:
    """Open the trackers that a setting names for a run; all are closed, whatever happens inside."""
    with contextlib.ExitStack() as stack:
        opened = []
        for part in trackers.open(value):
            one = part.open(story)
            stack.callback(one.close)
            opened.append((one, int(getattr(part, "every", 1))))
        yield Watch(opened)
