"""Scores by part of the test set: by language, source, length and where the label came from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.evaluate.judges import said

MOST = 12  # values of one column; the rest is put together
REST = "(all others)"


def by_slice(test: pa.Table, targets: np.ndarray, predictions: np.ndarray, num_classes: int) -> list[dict[str, Any]]:
    """One row a slice: by, value, n, accuracy with interval (Wilson), macro_f1; only columns with two values or more.

    below: the whole interval lies under the accuracy of everything, so this is more than chance.
    """
    from burnish.measures.intervals import wilson
    from burnish.measures.scores import confusion, macro_f1

    overall = float((targets == predictions).mean())
    rows = []
    for by, values in _columns(test).items():
        if len(set(values)) < 2:
            continue
        for value in _in_order(by, values):
            inside = np.array([one == value for one in values])
            right = int((targets == predictions)[inside].sum())
            share = wilson(right, int(inside.sum()))
            rows.append(
                {
                    "by": by,
                    "value": value,
                    "n": int(inside.sum()),
                    "accuracy": share.value,
                    "interval": [share.low, share.high],
                    "macro_f1": float(macro_f1(confusion(targets[inside], predictions[inside], num_classes))),
                    "below": share.high < overall,
                }
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
