"""Whose labels judge: an outside test set, else gold that nobody trained on, else the split's own test side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from burnish.core.artifacts import Gold, Split
from burnish.core.errors import BurnishError
from burnish.core.records import SCHEMA, Reject
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.text import inputs

Kind = Literal["data", "gold", "test"]


@dataclass(frozen=True)
class Judge:
    """Labelled records that decide how good a model is.

    checked: a person vouches for the labels. about: what they are, in one sentence. notes: what a reader must know
    before believing a score. set_aside: reason -> how many rows could not judge.
    """

    kind: Kind
    table: pa.Table
    checked: bool
    about: str
    notes: list[str]
    set_aside: dict[str, int]


def judges(
    split: Split, gold: Gold | None, context: Context, *, data: Path | None, fields: Mapping[str, str] | None,
    label_names: Mapping[str, str] | None,
) -> list[Judge]:  # fmt: skip
    """Everybody who can judge, the most trustworthy first. Memory: the test records.

    Raises BurnishError when nobody can, or when the outside test set holds no record with a label of the task.
    """
    found = []
    if data is not None:
        judge = _outside(data, fields, label_names, context)
        if not len(judge.table):
            reasons = (
                ", ".join(f"{count} × {reason}" for reason, count in judge.set_aside.items()) or "the file is empty"
            )
            raise BurnishError(
                f"no record of the test set can judge: {reasons}",
                where=str(data),
                hint=(f"labels must be {', '.join(context.task.labels)}; " if context.task.labels else "")
                + "map fields with `fields` and labels with `label_names`",
            )
        found.append(judge)
    if gold is not None and not gold.facts.get("train", False):
        found.append(_gold(gold, split, context))
    found.append(_test_side(split, context))
    able = [judge for judge in found if len(judge.table)]
    if not able:
        raise BurnishError(
            "there is no record to judge a model by",
            hint="give evaluate.report `data`, a gold file, or split.test above 0",
        )
    return able


def _outside(
    data: Path, fields: Mapping[str, str] | None, label_names: Mapping[str, str] | None, context: Context
) -> Judge:
    from burnish.core.files import read

    aside: Counter[str] = Counter()
    task = open_task(context.task)

    def tables() -> Iterator[pa.Table]:
        for item in read(data, fields=fields, label_names=label_names, base=context.base, targets=task.target):
            if isinstance(item, Reject):
                aside[item.reason.split(":")[0]] += 1
            else:
                yield item

    table = pa.concat_tables([SCHEMA.empty_table(), *tables()])
    table, reasons = _able(table, context)
    shown = data.relative_to(context.base) if data.is_relative_to(context.base) else Path(data.name)
    about = f"an outside test set, {shown.as_posix()}: labels come from there, not from this run"
    return Judge("data", table, True, about, [], dict((aside + reasons).most_common()))


def _gold(gold: Gold, split: Split, context: Context) -> Judge:
    table, reasons = _able(gold.table(), context)
    notes = []
    if any(step and step.startswith(("aggregate", "self_training")) for step in split.train.column("label_from")):
        notes.append(
            "The same gold records weighed the labellers and chose how votes are put together, so the score can be "
            "a little too good; no model was trained on them."
        )
    return Judge("gold", table, True, "gold records that no model was trained on", notes, dict(reasons.most_common()))


def _test_side(split: Split, context: Context) -> Judge:
    table, reasons = _able(split.test.table(), context)
    made = [step for step in table["label_from"].to_pylist() if step not in (None, "given", "gold")]
    if not made:
        about = "the test side of the split, with the labels that came with the data"
        return Judge("test", table, True, about, [], dict(reasons.most_common()))
    share = len(made) / max(len(table), 1)
    about = f"the test side of the split: {share:.0%} of its labels were made by this run and checked by nobody"
    note = (
        "These labels were constructed, not checked. The figures say how well a model repeats what the labellers say, "
        "errors included; they do not say how often it is right. Add a gold file or an outside test set."
    )
    return Judge("test", table, False, about, [note], dict(reasons.most_common()))


def _able(table: pa.Table, context: Context) -> tuple[pa.Table, Counter[str]]:
    """Records with a valid target, and why the others cannot judge."""
    import numpy as np

    from burnish.core.records import Record

    task = open_task(context.task)
    reasons: Counter[str] = Counter()
    mask = np.zeros(len(table), dtype=bool)
    labelled = task.labelled(table)
    for at, row in enumerate(table.select([*task.reads, *task.target, "meta", "keep"]).to_pylist()):
        there = any(row[name] is not None for name in task.target)
        problem = task.problem(Record.from_row(row)) if there else None
        if not there:
            reasons["no label" if "label" in task.target else f"no {task.target[0]}"] += 1
        elif problem:
            reasons[problem.split(" (")[0]] += 1
        elif not row["keep"]:
            reasons["set aside by curation"] += 1
        elif labelled[at]:
            mask[at] = True
        else:
            reasons["no target"] += 1
    return table.filter(pa.array(mask)), reasons


def taught(split: Split, context: Context) -> pa.Table:
    """The training side: every labelled record that a model could learn from."""
    table, _ = _able(split.train.table(), context)
    return table


def said(table: pa.Table) -> list[str]:
    """What a model reads of each record, as one text."""
    return inputs.said(table)
