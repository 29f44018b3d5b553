"""What a split keeps even between its sides: labels, types of entities, relations, sizes of numbers, answers that are there.

A record has one or more traits: the labels its target names, the bin its number falls in, whether it has an answer. It is
drawn with the records of its rarest trait, so that what is rare is not left to chance (Sechidis et al. 2011 go the same
way for several labels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.records import labels_of

Array = np.ndarray[Any, np.dtype[Any]]
Traits = list[list[str]]  # of each record
MOST_BINS = 10
BIN_RECORDS = 10  # in a bin of numbers, at least
ABOUT = {
    "label": "label", "labels": "rarest label", "spans": "rarest entity type", "relations": "rarest relation",
    "value": "quantile of the value", "answer": "with an answer or without",
}  # fmt: skip


def traits(table: pa.Table, targets: Sequence[str]) -> tuple[Traits, str]:
    """The traits of n records by the columns of the task's target, and what they are called in words.

    Where there is more than one such column, a trait carries its column's name (one label and several are alike). A record without any has none.
    """
    there = [name for name in targets if name in ABOUT and table[name].null_count < len(table)]
    found: Traits = [[] for _ in range(len(table))]
    for name in there:
        before = f"{name}: " if len(there) > 1 and not {"label", "labels"}.issuperset(there) else ""
        for own, more in zip(found, _of(name, table[name].to_pylist()), strict=True):
            own += [before + one for one in more]
    return found, " and ".join(ABOUT[name] for name in there) or "nothing"


def _of(name: str, values: list[Any]) -> Traits:
    if name == "value":
        return _binned(values)
    if name == "answer":
        return [[] if one is None else ["answered" if one["text"] else "no answer"] for one in values]
    nothing = ["none"] if name != "label" else []  # looked at, and nothing there
    return [
        [] if one is None else list(dict.fromkeys(labels_of({name: one}, (name,)))) or list(nothing) for one in values
    ]


def _binned(values: Sequence[float | None]) -> Traits:
    """Each number by its bin of equally many records; numbers of few values by themselves."""
    known = np.array([one for one in values if one is not None], dtype=float)
    distinct = np.unique(known)
    if len(distinct) <= MOST_BINS:
        return [[] if one is None else [f"{one:g}"] for one in values]
    count = max(2, min(MOST_BINS, len(known) // BIN_RECORDS))
    edges = np.unique(np.quantile(known, np.arange(1, count) / count))
    bounds = [known.min(), *edges, known.max()]
    width = len(str(len(bounds)))
    names = [f"{at + 1:0{width}} ({bounds[at]:.4g} to {bounds[at + 1]:.4g})" for at in range(len(bounds) - 1)]
    return [[] if one is None else [names[int(np.searchsorted(edges, one, side="right"))]] for one in values]


def strata(found: Traits) -> Array:
    """The number of each record's rarest trait (n,); those without one are a stratum of their own."""
    counts = Counter(trait for own in found for trait in own)
    names = [min(own, key=lambda trait: (counts[trait], trait)) if own else "" for own in found]
    number = {name: at for at, name in enumerate(sorted(set(names)))}
    return np.array([number[name] for name in names], dtype=np.int64)


def shares(found: Traits, sides: dict[str, Array]) -> dict[str, dict[str, float]]:
    """Trait -> the share of each side's records that have it, "all" before them. sides: name -> rows."""
    whole = {"all": np.arange(len(found)), **{name: rows for name, rows in sides.items() if len(rows)}}
    counts = {name: Counter(trait for at in rows for trait in found[at]) for name, rows in whole.items()}
    return {
        trait: {name: round(counts[name][trait] / max(len(rows), 1), 4) for name, rows in whole.items()}
        for trait in sorted(counts["all"])
    }
