"""Votes on spans as numbers: mentions, the candidates they name, and the units of text that no vote cuts.

Letters: v votes, c candidates (a span with a label that somebody voted for), m labellers, k labels, U units.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from burnish.core.artifacts import Gold, Labeller
from burnish.core.errors import BurnishError
from burnish.core.stage import nearest
from burnish.tasks._gazetteer import pieces_of
from burnish.tasks.tagging import NOTHING, SOMETHING

Span = tuple[int, int, int]  # start, end, number of the label


_COLUMNS = ("row", "start", "end", "label", "labeller", "strength")


@dataclass(frozen=True)
class Mentions:
    """v votes sorted by row: row 0.. are the records, behind them the gold records. strength: mean 1 a labeller."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]
    labeller: NDArray[np.int64]
    strength: NDArray[np.float64]
    num_rows: int
    num_labellers: int
    num_labels: int

    def take(self, chosen: NDArray[Any]) -> Mentions:
        """Some of the votes, by place or by a mask."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _COLUMNS})

    def of_rows(self, rows: NDArray[np.int64]) -> Mentions:
        """The votes on some rows, which are numbered anew in this order (ascending)."""
        place = np.full(self.num_rows, -1)
        place[rows] = np.arange(len(rows))
        part = self.take(place[self.row] >= 0)
        return replace(part, row=place[part.row], num_rows=len(rows))

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(n,) bool: at least one vote."""
        some: NDArray[np.bool_] = np.bincount(self.row, minlength=self.num_rows) > 0
        return some


def mentions_of(
    table: pa.Table, labellers: Sequence[Labeller], num_records: int, num_gold: int, labels: Sequence[str]
) -> Mentions:
    """From votes under `Votes.SCHEMA`; those that name no label are left out (`unnamed_of`).

    BurnishError for a label that the task does not have, or a vote without a place.
    """
    named = table
    for sign in {NOTHING, SOMETHING} - set(labels):
        named = named.filter(pa.compute.fill_null(pa.compute.not_equal(named["label"], sign), True))
    return mentions_in(named, labellers, num_records, num_gold, labels)


def mentions_in(
    table: pa.Table, labellers: Sequence[Labeller], num_records: int, num_gold: int, labels: Sequence[str]
) -> Mentions:
    """From votes all of which name a label of `labels`; errors as in `mentions_of`."""
    of = {label: at for at, label in enumerate(labels)}
    unknown = sorted({label for label in table["label"].unique().to_pylist() if label not in of}, key=str)
    if unknown:
        raise BurnishError(
            f"a labeller votes {unknown[0]!r}, which is no label of the task",
            where="construct",
            hint=nearest(str(unknown[0]), labels, "the task has"),
        )
    if table["start"].null_count or table["end"].null_count:
        raise BurnishError(
            "a labeller votes on whole records, and here a vote is on a span", where="construct", hint="take it out"
        )
    row = table["row"].to_numpy()
    row = np.where(row < 0, num_records - 1 - row, row)
    order = np.argsort(row, kind="stable")
    place = {one.name: at for at, one in enumerate(labellers)}
    labeller = np.array([place[name] for name in table["labeller"].to_pylist()], np.int64)
    sure = np.maximum(table["confidence"].to_numpy().astype(np.float64), 1e-3)
    m = len(labellers)
    mean = np.bincount(labeller, sure, minlength=m) / np.maximum(np.bincount(labeller, minlength=m), 1)
    columns: dict[str, NDArray[Any]] = {
        "row": row,
        "start": table["start"].to_numpy().astype(np.int64),
        "end": table["end"].to_numpy().astype(np.int64),
        "label": np.array([of[label] for label in table["label"].to_pylist()], np.int64),
        "labeller": labeller,
        "strength": sure / mean[labeller] if len(sure) else sure,
    }
    ordered = {name: column[order] for name, column in columns.items()}
    return Mentions(**ordered, num_rows=num_records + num_gold, num_labellers=m, num_labels=len(labels))


def truth_of(gold: Gold | None, num_records: int, labels: Sequence[str]) -> dict[int, frozenset[Span]]:
    """The checked spans of each row of gold that has any said about it."""
    of = {label: at for at, label in enumerate(labels)}
    known: dict[int, frozenset[Span]] = {}
    for at, spans in enumerate(gold.column("spans") if gold is not None else []):
        strange = [one["label"] for one in spans or () if one["label"] not in of]
        if strange:
            raise BurnishError(
                f"gold records have a span labelled {strange[0]!r}, which the task does not know",
                where="gold",
                hint=nearest(strange[0], labels, "the task has"),
            )
        if spans is not None:
            known[num_records + at] = frozenset((one["start"], one["end"], of[one["label"]]) for one in spans)
    return known


@dataclass(frozen=True)
class Candidates:
    """c spans with labels, sorted by row; of: (v) the candidate of each vote; rivals: (p, 2) those that cannot both be.

    touching: (p, 2) all pairs that share a character, for counting who contradicts whom.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]
    of: NDArray[np.int64]
    rivals: NDArray[np.int64]
    touching: NDArray[np.int64]

    def right(self, truth: Mapping[int, frozenset[Span]]) -> NDArray[np.int8]:
        """(c,) 1 where the truth has it, 0 where not, -1 where nobody looked."""
        made = np.full(len(self.row), -1, np.int8)
        for at in np.flatnonzero(np.isin(self.row, np.fromiter(truth, np.int64, len(truth)))):
            one = (int(self.start[at]), int(self.end[at]), int(self.label[at]))
            made[at] = one in truth[int(self.row[at])]
        return made


def candidates_of(mentions: Mentions, *, nested: bool) -> Candidates:
    """What the votes name. nested: spans inside one another can both be; else no two that share a character."""
    keys = np.stack([mentions.row, mentions.start, mentions.end, mentions.label], 1)
    distinct, of = np.unique(keys, axis=0, return_inverse=True)
    row, start, end, label = distinct.reshape(-1, 4).T
    touching = np.array(list(_touching(row, start, end)), np.int64).reshape(-1, 2)
    rivals = touching
    if nested and len(touching):
        one, other = touching.T
        inside = (start[one] <= start[other]) & (end[other] <= end[one]) | (start[other] <= start[one]) & (
            end[one] <= end[other]
        )
        same = (start[one] == start[other]) & (end[one] == end[other])
        rivals = touching[~inside | same]
    return Candidates(row, start, end, label, of.reshape(-1), rivals, touching)


def _touching(row: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Pairs (a < b) of the same row that share a character; sorted by row and start, so each looks only ahead."""
    rows, starts, ends = row.tolist(), start.tolist(), end.tolist()
    for a in range(len(rows)):
        b = a + 1
        while b < len(rows) and rows[b] == rows[a] and starts[b] < ends[a]:
            yield a, b
            b += 1


@dataclass(frozen=True)
class Units:
    """Stretches of text that no vote cuts: words, signs, Chinese characters, or parts of them. Of r rows.

    offsets: (r + 1), units of row i are offsets[i]:offsets[i + 1]. starts, ends: (U) characters.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def row(self) -> NDArray[np.int64]:
        """(U,) the row of each."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def touched(
        self, row: NDArray[Any], start: NDArray[Any], end: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last unit (inclusive) that spans touch; last < first where they touch none."""
        width = int(max(self.ends.max(initial=0), np.max(end, initial=0))) + 1
        base = self.row * width
        first = np.searchsorted(self.ends + base, start + row * width, side="right")
        last = np.searchsorted(self.starts + base, end + row * width, side="left") - 1
        return first, last


def units_of(texts: Sequence[str], mentions: Mentions) -> Units:
    """Units of texts (row i is texts[i]), cut wherever a vote begins or ends, even inside a word or at a blank."""
    edges = np.searchsorted(mentions.row, np.arange(len(texts) + 1))
    starts, ends, offsets = [], [], [0]
    for row, text in enumerate(texts):
        here = slice(edges[row], edges[row + 1])
        votes = set(zip(mentions.start[here].tolist(), mentions.end[here].tolist(), strict=True))
        for start, end in _cut(pieces_of(text), votes):
            starts.append(start)
            ends.append(end)
        offsets.append(len(starts))
    return Units(np.array(starts, np.int64), np.array(ends, np.int64), np.array(offsets, np.int64))


def _cut(pieces: list[tuple[int, int]], votes: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces, parted at the votes' borders; what a vote begins or ends with and no piece holds is a unit too."""
    begun, ended = {start for start, _ in pieces}, {end for _, end in pieces}
    if all(start in begun and end in ended for start, end in votes):
        return pieces
    cuts = sorted(begun | ended | {at for pair in votes for at in pair})
    inside: set[int] = set()
    for start, end in pieces:
        inside.update(range(start, end))
    begins, closes = {start for start, _ in votes}, {end for _, end in votes}
    return [
        (a, b)
        for a, b in itertools.pairwise(cuts)
        if a in inside or any(start <= a and b <= end for start, end in votes if a in begins or b in closes)
    ]
