"""The same model asked again with its inputs changed a little: what fairness and robustness stand on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Model, Split
from burnish.core.stage import Context
from burnish.evaluate.judged import Judged, answered, ask
from burnish.evaluate.judges import Judge, judges

Change = Callable[[str, random.Random], str | None]


@dataclass(frozen=True)
class Again:
    """Answers to changed records. rows: (m,) which records changed; table: they, changed; inputs: their rows as dicts."""

    rows: np.ndarray
    table: pa.Table
    inputs: list[dict[str, Any]]
    answers: Any


def one_served(
    models: Sequence[Model], split: Split, gold: Gold | None, context: Context, *, data: Path | None,
    fields: Mapping[str, str] | None, label_names: Mapping[str, str] | None,
) -> tuple[Judge, Judged]:  # fmt: skip
    """Who judges first, and the answers of the model that serves."""
    judge = judges(split, gold, context, data=data, fields=fields, label_names=label_names)[0]
    return judge, answered(models, judge.table, context)[-1]


def ask_again(served: Judged, model: Model, change: Change, context: Context, *, name: str = "") -> Again:
    """Change the text of every record (of a conversation, the last thing said to the model) and ask the model again.

    change(text, dice) gives None where nothing changes; the dice of a text are the same in every run. An answer that
    stands in a changed text is read anew from its place, so change must keep lengths where targets have places.
    """
    rows, made = [], []
    for at, row in enumerate(served.table.to_pylist()):
        new = _changed(row, change, context.seed, name)
        if new is not None:
            rows.append(at)
            made.append(new)
    table = pa.Table.from_pylist(made, schema=served.table.schema)
    at_rows = np.array(rows, dtype=np.int64)
    answers = ask(model, table, context)[1] if rows else None
    return Again(at_rows, table, made, answers)


def _changed(row: Mapping[str, Any], change: Change, seed: int, name: str) -> dict[str, Any] | None:
    def of(text: str | None) -> str | None:
        return change(text, random.Random(f"{seed}\x00{name}\x00{text}")) if text else None

    new, found = dict(row), False
    for field in ("text", "text_b"):
        made = of(row[field])
        if made is not None and made != row[field]:
            new[field], found = made, True
    turns = row["messages"] or []
    last = max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=None)
    if last is not None and (made := of(turns[last]["content"])) is not None:
        new["messages"] = [{**turn, "content": made} if at == last else turn for at, turn in enumerate(turns)]
        found = True
    answer = row["answer"]
    if found and answer and answer.get("text") and answer.get("start") is not None and answer["start"] >= 0:
        text = new["text_b"] if row["text_b"] is not None else new["text"]
        new["answer"] = {**answer, "text": text[answer["start"] : answer["start"] + len(answer["text"])]}
    return new if found else None


def field_values(table: pa.Table, by: str) -> list[str]:
    """A field of each record as text, "" where it is absent; meta.NAME.NAME reaches into meta."""
    column, _, inner = by.partition(".")
    if column not in table.column_names:
        return [""] * len(table)
    made = []
    for value in table[column].to_pylist():
        if column == "meta":
            value = json.loads(value) if value else {}
            for part in inner.split(".") if inner else ():
                value = value.get(part) if isinstance(value, dict) else None
        made.append("" if value is None or isinstance(value, dict | list) else str(value))
    return made
