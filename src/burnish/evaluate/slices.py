"""Scores by part of the test set: by language, source, length and where the label came from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.evaluate.judged import Judged
from burnish.evaluate.judges import said
from burnish.measures.intervals import bootstrap_sums

MOST = 12  # values of one column; the rest is put together
DRAWS = 300  # of the bootstrap of one slice
REST = "(all others)"


def by_slice(served: Judged) -> list[dict[str, Any]]:
    """One row a slice: by, value, n, the task's figures, the interval of the chief one; only columns with two values or more.

    below: the whole interval lies under the figure of everything, so this is more than chance.
    """
    chief = served.task.figure
    overall = served.figures()[chief]
    rows = []
    for by, values in _columns(served.table).items():
        if len(set(values)) < 2:
            continue
        for value in _in_order(by, values):
            inside = np.array([one == value for one in values])
            around = bootstrap_sums(served.tally[inside], served.task.figures, seed=0, draws=DRAWS)[chief]
            rows.append(
                {"by": by, "value": value, "n": int(inside.sum()), **served.figures(inside)}
                | {"interval": [around.low, around.high], "below": around.high < overall}
            )
    return rows


def _columns(test: pa.Table) -> dict[str, list[str]]:
    named = {"language": "language", "source": "source", "label from": "label_from"}
    columns = {by: [value or "(unknown)" for value in test[name].to_pylist()] for by, name in named.items()}
    columns = {by: _few(values) for by, values in columns.items()}
    return columns | {"length": _quartiles(said(test))}


def _few(values: list[str]) -> list[str]:
    """The MOST commonest values; the rest under one name."""
    counts = Counter(values)
    if len(counts) <= MOST:
        return values
    kept = {value for value, _ in counts.most_common(MOST - 1)}
    return [value if value in kept else REST for value in values]


def _quartiles(texts: list[str]) -> list[str]:
    """Each text's quarter by length; a word or a character of a script without blanks counts one."""
    from burnish.text.lengths import lengths

    size = lengths(texts).words
    edges = np.quantile(size, [0.25, 0.5, 0.75]).round().astype(int)
    edges = np.unique(edges)
    place = np.searchsorted(edges, size, side="left")
    names = [f"up to {edge} words" for edge in edges] + [f"over {edges[-1]} words"]
    return [names[at] for at in place]


def _in_order(by: str, values: list[str]) -> list[str]:
    if by == "length":  # as they are long; "over" is last
        return sorted(set(values), key=lambda name: (name.startswith("over"), int(name.split()[-2])))
    return [value for value, _ in sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))]
