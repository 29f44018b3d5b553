"""Charts beside those of `core.page`: differences with their intervals, places in a plane, columns over time, long lists.

Same rules: what comes back is `Html`, whatever else is put in is escaped, nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burnish.core.page import Html, Part, _clip, _lang, _render, _tick, _ticks

MAX_HOVER = 90  # characters of a text that a point shows
Sure = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Difference:
    """A change with its interval. value, low, high: in the unit of the chart. sure: whether the interval says better or
    worse. said: the numbers in words. note: a few more below the name."""

    name: Part
    value: float
    low: float
    high: float
    sure: Sure
    said: str
    note: Part = ""


@dataclass(frozen=True)
class Place:
    """A point of a map. x, y: 0..1, y upwards. colour: number of its kind. hover: what it says; target: a place on the page
    to go to. loud: a suspect, ringed."""

    x: float
    y: float
    colour: int
    hover: str
    target: str = ""
    loud: bool = False


def whiskers(rows: Sequence[Difference], *, unit: str = "", caption: str = "") -> Html:
    """Differences from zero, a row each: a dot at the value, a line as long as the interval, one axis for all."""
    low = min([0.0, *(row.low for row in rows)])
    high = max([0.0, *(row.high for row in rows)])
    margin = 0.04 * ((high - low) or 1.0)
    start, end, ticks = _ticks(low - margin, high + margin, exact=True)

    def place(value: float) -> float:
        return round(100 * (value - start) / (end - start), 2)

    drawn = [{"row": row, "low": place(row.low), "high": place(row.high), "at": place(row.value)} for row in rows]
    return _render(
        "whiskers", rows=drawn, zero=place(0.0), unit=unit, caption=caption,
        ticks=[(place(value), _tick(value)) for value in ticks],
    )  # fmt: skip


def places(
    points: Sequence[Place], names: Sequence[tuple[str, float, float]], kinds: Sequence[str], *, loud: str = "", caption: str = ""
) -> Html:  # fmt: skip
    """A map: points in the colour of their kind, names written over it at (name, x, y) in 0..1. loud: what a ring means."""
    drawn = [
        (round(100 * one.x, 1), round(100 - 100 * one.y, 1), one.colour % 8, _short(one.hover), one.target, one.loud)
        for one in sorted(points, key=lambda one: one.loud)
    ]
    written = [(name, round(100 * x, 1), round(100 - 100 * y, 1)) for name, x, y in _apart(names)]
    return _render("places", points=drawn, names=written, kinds=kinds, loud=loud, caption=caption)


def columns(
    bins: Sequence[tuple[str, Sequence[float]]], series: Sequence[str], *, caption: str = "", y: str = ""
) -> Html:
    """Upright stacked columns, one a bin, left to right: (what the bin is called, a value for each of the series)."""
    top = max((sum(values) for _, values in bins), default=0) or 1.0
    drawn = []
    for at, (name, values) in enumerate(bins):
        below, pieces = 0.0, []
        for number, value in enumerate(values):
            height = round(100 * value / top, 2)
            if height:
                pieces.append((round(100 - below - height, 2), height, number % 8))
            below += height
        counts = ", ".join(f"{who} {value:,.0f}" for who, value in zip(series, values, strict=True) if value)
        drawn.append((round(100 * at / len(bins), 3), round(100 / len(bins), 3), pieces, f"{name}: {counts or 0}"))
    ends = [bins[0][0], bins[len(bins) // 2][0], bins[-1][0]] if len(bins) > 2 else [name for name, _ in bins]
    return _render("columns", columns=drawn, ends=ends, series=series, top=_tick(top), y=y, caption=caption)


def rows_with_places(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[object]]], *, caption: str = "") -> Html:
    """A plain table whose rows are places that links lead to: (name of the place, cells); a cell that is text is quoted
    in its own language. Lighter than `table`: a thousand rows are no burden."""
    drawn = [(at, [(one, _lang(one)) if isinstance(one, str) else (one, "") for one in cells]) for at, cells in rows]
    return _render("rows_with_places", heads=heads, rows=drawn, caption=caption)


def anchor(name: str, body: Part) -> Html:
    """A part that links lead to, as `#name`."""
    return _render("anchor", name=name, body=body)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_HOVER else _clip(flat, MAX_HOVER).split(" … (")[0] + " …"


def _apart(names: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Names moved up or down, each just far enough not to lie on one before it; they stay inside the frame."""
    put: list[tuple[str, float, float]] = []
    for name, x, y in names:
        x = min(max(x, 0.12), 0.88)
        free = (y + step * 0.03 for turn in range(40) for step in (turn, -turn) if 0.02 <= y + step * 0.03 <= 0.98)
        chosen = next((at for at in free if all(abs(at - b) > 0.055 or abs(x - a) > 0.3 for _, a, b in put)), y)
        put.append((name, x, chosen))
    return put
