"""What a person sees while work goes on: bars with an ETA on a terminal, sparse lines elsewhere.

All of it goes to stderr; stdout belongs to results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    def advance(self, amount: float = 1, **shown: object) -> None:
        """Move on by `amount`; `shown` replaces the figures beside the bar (loss=0.31)."""


class Progress(Protocol):
    def tell(self, message: str) -> None:
        """Say one line of the story."""

    def bar(self, what: str, total: float | None, unit: str = "records") -> Any:
        """A context manager that gives a `Bar`. total: None when nobody knows."""


class _Still:
    def advance(self, amount: float = 1, **shown: object) -> None:
        pass


class Silent:
    """Says nothing: for tests and for library use."""

    def tell(self, message: str) -> None:
        pass

    @contextmanager
    def bar(self, what: str, total: float | None, unit: str = "records") -> Iterator[Bar]:
        yield _Still()


class _Lines:
    """A bar for logs: one line every `every_s` seconds."""

    def __init__(self, what: str, total: float | None, unit: str, every_s: float) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.done, self.began, self.said = 0.0, time.monotonic(), time.monotonic()

    def advance(self, amount: float = 1, **shown: object) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.said < self.every_s:
            return
        self.said = now
        rate = self.done / max(now - self.began, 1e-9)
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        of = f"/{self.total:,.0f}" if self.total else ""
        facts = "".join(f", {key} {_figure(value)}" for key, value in shown.items())
        print(
            f"  {self.what}: {self.done:,.0f}{of} {self.unit}, {rate:,.0f}/s{left}{facts}", file=sys.stderr, flush=True
        )


class Plain:
    """Lines on stderr: for logs and pipes."""

    def __init__(self, every_s: float = 10.0) -> None:
        self.every_s = every_s

    def tell(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, what: str, total: float | None, unit: str = "records") -> Iterator[Bar]:
        yield _Lines(what, total, unit, self.every_s)


class _RichBar:
    def __init__(self, progress: Any, task: Any) -> None:
        self.progress, self.task = progress, task

    def advance(self, amount: float = 1, **shown: object) -> None:
        facts = "  ".join(f"{key} {_figure(value)}" for key, value in shown.items())
        if shown:
            self.progress.update(self.task, advance=amount, facts=facts)
        else:
            self.progress.update(self.task, advance=amount)


class Terminal:
    """Rich bars on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    def tell(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False)

    @contextmanager
    def bar(self, what: str, total: float | None, unit: str = "records") -> Iterator[Bar]:
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("  {task.description}"),
            rich_progress.BarColumn(bar_width=28),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn(unit),
            rich_progress.TimeRemainingColumn(compact=True),
            rich_progress.TextColumn("{task.fields[facts]}"),
        )
        with rich_progress.Progress(*columns, console=self.console, transient=True) as progress:
            yield _RichBar(progress, progress.add_task(what, total=total, facts=""))


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def for_stderr() -> Progress:
    """Bars where a person watches, lines where a log is written."""
    return Terminal() if sys.stderr.isatty() else Plain()


def peak_mb() -> float:
    """Most memory this process has held so far, resident, in MiB; 0 where the system does not count it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
