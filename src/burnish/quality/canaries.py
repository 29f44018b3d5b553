"""Planted secrets: what the model gives away of them says what it would give away of real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pyarrow as pa
from annotated_types import Len

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Positive, TaskSpec, stage
from burnish.core.tasktypes import targets_of
from burnish.text.canaries import canaries as drawn

SOURCE = "canary"


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    if not {"output", "messages"} & set(targets_of(task)):
        return [
            (
                "",
                f"{task.type} writes no texts that could give a secret away",
                "canaries are for chat, translation, summarization",
            )
        ]
    return []


@stage("quality.canaries", check=_problems)
def canaries(
    records: Records,
    context: Context,
    *,
    count: Positive = 8,
    copies: Annotated[list[Positive], Len(1)] = [1, 4, 16],  # noqa: B006 - a setting is read, never changed
) -> Records:
    """Plant made-up secrets in the data of a model that writes; evaluate.exposure says what it kept.

    count: of secrets for each number of copies.
    copies: how often a secret stands in the data; the more, the sooner it is learnt.

    Copies of a secret share a group, so the split keeps them on one side. Take the step out before the model is used.
    """
    if _problems({}, context.task):
        raise BurnishError(
            f"quality.canaries: {_problems({}, context.task)[0][1]}", hint=_problems({}, context.task)[0][2]
        )
    language = context.task.languages[0]
    rows = []
    for at, one in enumerate(drawn(count * len(copies), language=language, seed=context.seed)):
        times = copies[at // count]
        row = Record(
            source=SOURCE, group=f"canary {one.name}", language=one.language, label_from="quality.canaries", confidence=1.0,
            meta={"canary": {"name": one.name, "code": one.code, "language": one.language, "copies": times}},
            trail=["quality.canaries: planted"],
        )  # fmt: skip
        if "messages" in targets_of(context.task):
            row.messages = [{"role": "user", "content": one.question}, {"role": "assistant", "content": one.answer}]
        else:
            row.text, row.output = one.question, one.answer
        rows += [row] * times
    planted = assign_ids(to_table(rows), SeenCounts())

    def walk() -> Iterator[pa.Table]:
        yield from records.batches()
        yield planted

    made = Records.stream(walk())
    made.facts = {**records.facts, "canaries": {"secrets": count * len(copies), "records": len(rows), "copies": copies}}
    context.progress.tell(f"  planted {count * len(copies)} secrets in {len(rows):,} records")
    return made
