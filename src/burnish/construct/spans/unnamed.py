"""Votes that name no label: that a place holds no name (NOTHING), or one of a type nobody knows yet (SOMETHING).

Letters as in `votes`; d denials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from burnish.construct.spans.models import Found, Problem
from burnish.construct.spans.votes import Mentions, Span, mentions_in
from burnish.construct.voting import walk
from burnish.core.artifacts import Gold, Labeller, Records

TRIED = 10  # checked places from which a labeller that denies names is judged


def votes_of(
    sign: str, table: pa.Table, labellers: Sequence[Labeller], num_records: int, num_gold: int, labels: Sequence[str]
) -> Mentions:
    """Votes of NOTHING or SOMETHING in the same form; their label is 0 and means nothing."""
    chosen = table.filter(pa.compute.equal(table["label"], sign)) if sign not in labels else table.slice(0, 0)
    chosen = chosen.set_column(
        chosen.column_names.index("label"), "label", pa.array([labels[0]] * len(chosen), pa.string())
    )
    return mentions_in(chosen, labellers, num_records, num_gold, labels)


@dataclass(frozen=True)
class Denials:
    """Places that labellers say hold no name. A name that lies wholly on them is set aside, whoever votes for it, and denied
    words at its edges are cut off.

    Not one vote among others: who denies looks just where the others are wrong together, and would be outvoted.
    """

    places: Mentions

    def kept(self, mentions: Mentions, text_of: Callable[[int], str], *, num_records: int) -> tuple[Mentions, int]:
        """Votes less what is denied of them, and how many votes on records lost something. text_of: of a row."""
        held = self._runs(text_of)
        start, end = mentions.start.copy(), mentions.end.copy()
        for at in np.flatnonzero(np.isin(mentions.row, np.fromiter(held, np.int64, len(held)))).tolist():
            row = int(mentions.row[at])
            start[at], end[at] = _less(text_of(row), int(start[at]), int(end[at]), held[row])
        lost = ((start != mentions.start) | (end != mentions.end)) & (mentions.row < num_records)
        return replace(mentions, start=start, end=end).take(end > start), int(lost.sum())

    def _runs(self, text_of: Callable[[int], str]) -> dict[int, list[tuple[int, int]]]:
        """Denied stretches of each row, in order; blanks between two are denied with them."""
        held: dict[int, list[tuple[int, int]]] = {}
        order = np.lexsort((self.places.start, self.places.row))
        columns = (self.places.row[order], self.places.start[order], self.places.end[order])
        for row, start, end in zip(*(column.tolist() for column in columns), strict=True):
            runs = held.setdefault(row, [])
            if runs and (start <= runs[-1][1] or text_of(row)[runs[-1][1] : start].isspace()):
                runs[-1] = (runs[-1][0], max(runs[-1][1], end))
            else:
                runs.append((start, end))
        return held

    def right(self, truth: Mapping[int, frozenset[Span]]) -> NDArray[np.int8]:
        """(d,) 1 where no checked span touches the place, 0 where one does, -1 where nobody looked."""
        columns = (self.places.row, self.places.start, self.places.end)
        return np.array(
            [
                -1 if (spans := truth.get(row)) is None else all(end <= one[0] or one[1] <= start for one in spans)
                for row, start, end in zip(*(column.tolist() for column in columns), strict=True)
            ],
            np.int8,
        )

    def heeded(self, truth: Mapping[int, frozenset[Span]]) -> Denials:
        """Without labellers that are right on no more than half of at least TRIED checked places."""
        right, who = self.right(truth), self.places.labeller
        tries = np.bincount(who[right >= 0], minlength=self.places.num_labellers)
        hits = np.bincount(who[right == 1], minlength=self.places.num_labellers)
        return Denials(self.places.take(((tries < TRIED) | (hits > tries / 2))[who]))


def _less(text: str, start: int, end: int, runs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """A span without what is denied at its edges; end <= start where nothing is left."""
    for first, last in runs:
        if first <= start < last:
            start = last
    for first, last in reversed(runs):
        if first < end <= last:
            end = first
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def texts_of(denied: Denials, records: Records, gold: Gold | None) -> Callable[[int], str]:
    """Texts of the rows in which something is denied."""
    wanted, found = set(denied.places.row.tolist()), dict[int, str]()
    for rows, batch in walk(records, gold, ["text"]) if wanted else ():
        numbers = np.where(rows < 0, len(records) - 1 - rows, rows).tolist()
        found |= {
            row: text or "" for row, text in zip(numbers, batch["text"].to_pylist(), strict=True) if row in wanted
        }
    return found.__getitem__


def open_places(problem: Problem, found: Found) -> list[list[tuple[int, int]]]:
    """Of each row the places that are said to hold some name, less what holds a span that is said."""
    units = problem.units
    free = np.zeros(len(units.starts), bool)
    chosen = (found.row[found.chosen], found.start[found.chosen], found.end[found.chosen])
    assert problem.hints is not None
    hints = (problem.hints.row, problem.hints.start, problem.hints.end)
    for columns, is_open in ((hints, True), (chosen, False)):
        for begin, end in zip(*units.touched(*columns), strict=True):
            free[begin : end + 1] = is_open
    places: list[list[tuple[int, int]]] = [[] for _ in range(problem.mentions.num_rows)]
    at, row = np.flatnonzero(free), units.row
    for run in np.split(at, np.flatnonzero((np.diff(at) > 1) | (np.diff(row[at]) > 0)) + 1) if len(at) else ():
        places[row[run[0]]].append((int(units.starts[run[0]]), int(units.ends[run[-1]])))
    return places


def facts_of(
    asked: Denials,
    denied: Denials,
    hints: Mentions,
    lost: int,
    truth: Mapping[int, frozenset[tuple[int, int, int]]],
    labellers: Sequence[Labeller],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """What votes without a label did: places of names denied and supposed, and the labellers' table with them."""
    m, right = len(labellers), asked.right(truth)
    denials = np.bincount(asked.places.labeller, minlength=m)
    tries = np.bincount(asked.places.labeller[right >= 0], minlength=m)
    hits = np.bincount(asked.places.labeller[right == 1], minlength=m)
    supposed = np.bincount(hints.labeller, minlength=m)
    heeded = np.bincount(denied.places.labeller, minlength=m)
    rows = [
        {
            **row,
            **({"denied": int(denials[at]), "denied_right": hits[at] / tries[at] if tries[at] else None} if denials[at] else {}),
            **({"supposed": int(supposed[at])} if supposed[at] else {}),
        }
        for at, row in enumerate(facts["labellers"])
    ]  # fmt: skip
    unheeded = [one.name for at, one in enumerate(labellers) if denials[at] and not heeded[at]]
    return {"labellers": rows, "set_aside": lost, "unheeded": unheeded}


def story_of(facts: Mapping[str, Any]) -> list[str]:
    """What `facts_of` tells, in words."""
    lines = []
    deny = [
        f"{one['name']} ({one['denied_right']:.0%} right on gold)" if one["denied_right"] is not None else one["name"]
        for one in facts["labellers"]
        if one.get("denied")
    ]
    if deny:
        lines.append(
            f"{facts['set_aside']:,} votes are set aside or cut, for no name is there in the words of {', '.join(deny)}"
        )
    if facts["unheeded"]:
        lines.append(f"not heeded, being wrong on half of the gold or more: {', '.join(facts['unheeded'])}")
    return lines
