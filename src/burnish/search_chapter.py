"""The chapter of a run's page that tells of a search: what was tried, what it was worth, what mattered."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import say
from burnish.core.figures import word

Facts = Mapping[str, Any]
CURVES = 8  # trials whose curves are drawn: the page has so many colours
STATES = {"complete": "ended", "pruned": "stopped early", "failed": "failed"}


def searched(model: Facts) -> p.Section:
    """Trials as lines through their settings, curves of the best, what mattered, all of them in a table."""
    told = model.get("search")
    if not told:
        return p.section(say("Search"))
    rows = sorted(told["trials"], key=lambda row: row["number"])
    states = [row["state"] for row in rows]
    figure = word(told["figure"])
    best = next(row for row in rows if row["number"] == told["best"])
    tiles = [
        p.Tile(
            say(f"validation {figure}, best trial"),
            best["score"],
            note=say(f"trial {best['number']}: {best['origin']}"),
        ),
        p.Tile(say("with the defaults"), rows[0]["score"], note=say("trial 0")),
        p.Tile(
            say("trials"),
            len(rows),
            note=say(f"{states.count('pruned')} stopped early, {states.count('failed')} failed"),
        ),
        p.Tile(
            say("seconds"),
            round(told["seconds"]),
            note=say(f"{told['workers']} at a time, {told['threads']} threads each"),
        ),
    ]
    return p.section(
        say("Search"),
        p.tiles(tiles),
        p.note(_honest(told, figure)),
        _coordinates(told, rows, figure),
        p.side_by_side(_curves(told, rows, figure), _importance(told)),
        p.fold(say(f"All {len(rows)} trials"), _table(told, rows, figure)),
        lead=say(f"{_sentence(told['why'].split(';')[0])} It ended after {told['stopped']}."),
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _honest(told: Facts, figure: str) -> str:
    """That the best score of many is not what the model is worth."""
    luck = told.get("optimism")
    said = [
        say(
            f"The validation {figure} of the best trial is optimistic: it is the largest of several on the same "
            f"{told['validation']:,} records."
        ),
        say(f"Were all trials equally good, the best of them would stand {luck:.3f} too high by luck.") if luck else "",
        say("The test side was not looked at; its score is in the evaluation."),
    ]
    return " ".join(filter(None, said))


def _coordinates(told: Facts, rows: Sequence[Facts], figure: str) -> p.Part:
    """A line for each trial with a score through its settings, from axis to axis."""
    scored = [row for row in rows if row.get("score") is not None]
    if not scored:
        return ""
    scores = [row["score"] for row in scored]
    low, high = min(scores), max(scores)
    axes = [_axis(key, dimension) for key, dimension in told["space"].items()]
    axes.append(p.Axis(figure, [(0.0, p.figure(low)), (1.0, p.figure(high))] if high > low else [(0.5, p.figure(low))]))
    lines = []
    for row in sorted(scored, key=lambda row: (row["number"] == told["best"], row["score"])):
        share = (row["score"] - low) / (high - low) if high > low else 0.5
        places = [_place(row["values"].get(key), dimension) for key, dimension in told["space"].items()]
        name = say(f"trial {row['number']}: {figure} {row['score']:.3f}, {STATES[row['state']]}")
        lines.append(
            p.Line([*places, share], share, name, loud=row["number"] == told["best"], broken=row["state"] != "complete")
        )
    return p.parallel(axes, lines, caption=say("Each line is a trial, the darker the better; the thick one is kept, broken ones were stopped early."))  # fmt: skip


def _axis(key: str, dimension: Any) -> p.Axis:
    if isinstance(dimension, list):
        return p.Axis(key, [(_place(value, dimension) or 0.0, _said(value)) for value in dimension])
    ends = [dimension["low"], dimension["high"]]
    middle = math.sqrt(ends[0] * ends[1]) if dimension.get("log") else (ends[0] + ends[1]) / 2
    return p.Axis(key, [(_place(value, dimension) or 0.0, f"{value:.2g}") for value in (ends[0], middle, ends[1])])


def _place(value: Any, dimension: Any) -> float | None:
    """Where a value stands on its axis, 0..1; None where a trial has none there (the defaults may lie outside)."""
    if isinstance(dimension, list):
        written = [json.dumps(one, sort_keys=True) for one in [*dimension, value]]
        return (written.index(written[-1]) + 0.5) / len(dimension) if written[-1] in written[:-1] else None
    if not isinstance(value, int | float) or not dimension["low"] <= value <= dimension["high"]:
        return None
    low, high, here = dimension["low"], dimension["high"], value
    if dimension.get("log"):
        low, high, here = math.log(low), math.log(high), math.log(here)
    return (here - low) / (high - low) if high > low else 0.5


def _curves(told: Facts, rows: Sequence[Facts], figure: str) -> p.Part:
    """The score after each epoch, of the best trials."""
    shown = sorted((row for row in rows if row["looks"]), key=lambda row: -row["score"])[:CURVES]
    series = {
        say(f"trial {row['number']}"): [(at + 1.0, score) for at, score in enumerate(row["looks"])] for row in shown
    }
    caption = say(f"The {len(shown)} best trials.") if len(rows) > len(shown) else ""
    return p.lines(series, x=say("epoch"), y=say(f"validation {figure}"), dots=True, caption=caption) if series else ""


def _importance(told: Facts) -> p.Part:
    importance = told.get("importance") or {}
    if not importance:
        return p.prose(say("Too few trials ended to say which setting mattered."))
    found = sorted(importance.items(), key=lambda item: -item[1])
    ended = sum(row["state"] == "complete" for row in told["trials"])
    return p.bars(found, maximum=1, show=p.share, caption=say(f"Share of the spread of scores that each setting explains (fANOVA on {ended} trials; a rough figure)"))  # fmt: skip


def _table(told: Facts, rows: Sequence[Facts], figure: str) -> p.Html:
    keys = list(told["space"])
    return p.table(
        [say("trial"), *keys, figure, say("epochs"), say("seconds"), say("how it ended"), say("where it came from")],
        [
            (
                row["number"], *(_cell(row["values"].get(key)) for key in keys), row.get("score"), len(row["looks"]),
                row.get("seconds"), say(row.get("reason") or STATES[row["state"]]), say(row["origin"]),
            )
            for row in rows
        ],
    )  # fmt: skip


def _cell(value: Any) -> Any:
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else _said(value)


def _said(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, Mapping):
        more = ", ".join(f"{key} {_said(one)}" for key, one in value.items() if key != "use")
        return f"{value.get('use', '')} ({more})" if more else str(value.get("use", ""))
    if isinstance(value, list):
        return " + ".join(map(_said, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
