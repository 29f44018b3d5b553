"""Checks asked again about the training side alone.

A check of labels learns from all labels. Asked once about everything, it has read the labels of the records that judge,
and a training side cured by it agrees with them before anything is learnt: measured so, dropping suspects from 600 film
reviews with 30 wrong labels looked 5 points better, and was worth nothing on clean ones (benchmarks/planted.py).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.progress import Silent
from burnish.measures.duplicates import Groups
from burnish.quality.checks import CHECKS, Found, Material
from burnish.quality.material import Array
from burnish.quality.remedies import Finding

Told = Mapping[str, Mapping[int, Finding]]
BY_TEXT = ("conflicting_duplicates",)  # of labels, but copies are on one side of a split anyway


def part(material: Material, rows: Array) -> Material:
    """The material of some of its records; vectors and groups that are there already are not made again."""
    kind = type(material)
    late = {name for one in kind.__mro__ for name, it in vars(one).items() if isinstance(it, functools.cached_property)}
    made = copy.copy(material)
    made.__dict__ = {name: value for name, value in vars(material).items() if name not in late}
    made._table = material.select(material._table.column_names).take(pa.array(rows))
    made.context = replace(material.context, progress=Silent(), engine={})  # small, and asked for often
    made.rows, made.labels = material.rows[rows], material.labels[rows]
    made.ids, made.texts = material.ids.take(rows), material.texts.take(rows)
    made._traits = {trait: column.take(pa.array(rows)) for trait, column in material._traits.items()}
    nothing = np.zeros((0, 2), dtype=np.int64)
    for name in ("alike", "same"):
        if name in vars(material):
            vars(made)[name] = Groups(vars(material)[name].label[rows], nothing, np.zeros(0))
    if "vectors" in vars(material):
        at = np.full(len(material), -1)
        at[material.labelled] = np.arange(len(material.labelled))
        vars(made)["vectors"] = material.vectors[at[rows[material.labels[rows] >= 0]]]
    return made


def findings_of(material: Material, found: Mapping[str, Found]) -> dict[str, dict[int, Finding]]:
    """Check -> row of the material -> what it says."""
    return {
        name: {
            int(row): Finding(name, float(one.score[row]), one.action(int(row))) for row in np.flatnonzero(one.flagged)
        }
        for name, one in found.items()
    }


def asked_again(material: Material, names: Iterable[str], told: Told) -> Callable[[Array], dict[str, Any]]:
    """A function from training rows of the material (m,) to all findings, those of label checks made on these rows alone."""
    anew = [name for name in names if name in CHECKS and CHECKS[name].of_labels and name not in BY_TEXT]

    def ask(rows: Array) -> dict[str, Any]:
        if not anew:
            return dict(told)
        some = part(material, rows)
        fresh = findings_of(some, {name: CHECKS[name].run(some) for name in anew})
        return {**told, **{name: {int(rows[at]): one for at, one in found.items()} for name, found in fresh.items()}}

    return ask
