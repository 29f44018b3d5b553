"""Gold: a few records that people checked. They weigh labellers, choose between methods and certify the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.core.artifacts import Gold, Records
from burnish.core.errors import DataError
from burnish.core.files import at, problems, read_table
from burnish.core.formats import Format
from burnish.core.records import SCHEMA, TARGETS, Record, content_hashes, labels_of
from burnish.core.stage import Context, TaskSpec, nearest, stage
from burnish.core.tasktypes import open_task, targets_of


@stage("gold.file")
def file(
    records: Records,
    context: Context,
    *,
    path: Path,
    format: Format = "auto",
    fields: dict[str, str] | None = None,
    label_names: dict[str, str] | None = None,
    licence: str = "",
    train: bool = False,
) -> Gold:
    """Read gold records whole, and refuse the file when one of them cannot be used.

    Also counts how many of them stand among the sources' records too: those would judge what they taught.
    Memory: the gold file, and one batch of the sources' records.

    path: a file, folder or glob of a source's formats.
    format: of the file; "auto" goes by its suffix.
    fields: record field -> column or key, as for a source.
    label_names: label as it stands in the file -> label of the task.
    licence: of the records that do not carry their own.
    train: whether a model may learn from them too. When false they only judge.
    """
    settings: dict[str, Any] = {"format": format, "fields": fields, "label_names": label_names, "licence": licence}
    table = read_table(path, source="gold", base=context.base, targets=targets_of(context.task), **settings)
    if not len(table):
        raise DataError(
            "there is no gold record in it", where=str(path), hint='a line each: {"text": ..., "label": ...}'
        )
    _check(table, context.task)
    table = _as_gold(table)
    gold = Gold.from_table(table)
    assert isinstance(gold, Gold)
    inputs = set(content_hashes(table))
    among = {
        one
        for batch in records.batches(["text", "text_b", "messages"])
        for one in content_hashes(batch)
        if one in inputs
    }
    gold.facts = {
        "train": train,
        "records": len(table),
        "per_class": class_counts(table, context.task),
        "distinct": len(inputs),
        "also_in_sources": len(among),
    }
    context.progress.tell(_story(gold.facts))
    return gold


def _check(table: pa.Table, task: TaskSpec) -> None:
    """Every record has a target, every label is one of the task's, nobody is gold twice with two labels."""
    wrong: list[str] = []
    asked = open_task(task)
    taught = np.asarray(asked.labelled(table), dtype=bool)
    met: dict[str, tuple[str, Any]] = {}
    for row, content, has_target in zip(table.to_pylist(), content_hashes(table), taught, strict=True):
        place = at(row["file"], row["line"])
        target = {name: row[name] for name in TARGETS if row[name] is not None}
        given = bool(has_target) or any(name in target for name in asked.target)
        if not given:
            wrong.append(f"{place}: no {_what(asked)}, and gold is what others are judged by")
        if given and (problem := asked.problem(Record.from_row(row))):
            foreign = [one for one in labels_of(row, asked.target) if task.labels and one not in task.labels]
            wrong += [
                f"{place}: no label {label!r} in the task ({nearest(label, task.labels, 'labels')})"
                for label in dict.fromkeys(foreign)
            ] or [f"{place}: {problem}"]
        before, other = met.setdefault(content, (place, target))
        if other != target and "output" not in target:
            wrong.append(f"{place}: the same text has another target than at {before}")
    if wrong:
        hint = "mend these rows, add the labels to task.labels, or say label_names: {found: label}"
        raise DataError(problems(wrong), hint=hint)


def _what(task: Any) -> str:
    """What a record without a target lacks."""
    return " or ".join(task.target) or "target"


def class_counts(table: pa.Table, task: TaskSpec) -> dict[str, int]:
    """How many records say each label of the task, in its order; a class without one is there with 0."""
    targets = [name for name in targets_of(task) if name in TARGETS]
    rows = table.select(targets).to_pylist() if targets else []
    counts = Counter(label for row in rows for label in dict.fromkeys(labels_of(row, targets)))
    return {label: counts.pop(label, 0) for label in task.labels} | dict(sorted(counts.items()))


def _as_gold(table: pa.Table) -> pa.Table:
    """label_from: gold, and certain."""
    columns: dict[str, Any] = {
        "label_from": pa.repeat(pa.scalar("gold"), len(table)),
        "confidence": pc.cast(pa.repeat(pa.scalar(1.0), len(table)), pa.float32()),
    }
    for name, values in columns.items():
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), values)
    return table


def _story(facts: Mapping[str, Any]) -> str:
    per_class = ", ".join(f"{label} {count}" for label, count in facts["per_class"].items())
    lines = [f"gold: {facts['records']} records" + (f" ({per_class})" if per_class else "")]
    if empty := [label for label, count in facts["per_class"].items() if not count]:
        lines.append(f"gold: none for {', '.join(empty)}: what is said about it will be a guess")
    if facts["also_in_sources"]:
        lines.append(f"gold: {facts['also_in_sources']} of them stand in the sources too")
    return "\n".join(lines)
