"""End the room: all votes become one target a record, by the method that the evidence is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute

from burnish.construct.forms import form_name, form_of
from burnish.construct.making import set_material_aside
from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, TaskSpec, nearest, stage
from burnish.core.tasktypes import open_task


def _method_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: the method must be one for the task's targets."""
    method = settings["method"]
    if method == "auto" or form_name(task) is None:
        return []
    form = form_of(task)
    if method in form.methods:
        return []
    return [("method", f"{method} is not for {form.about}", nearest(method, form.methods, "there are"))]


@stage("construct.aggregate", version=3, closing=True, check=_method_problems)
def aggregate(
    records: Records,
    votes: list[Votes],
    gold: Gold | None,
    context: Context,
    *,
    method: Literal["auto", "majority", "weighted", "dawid_skene", "label_model", "hmm", "consensus"] = "auto",
    min_confidence: Share = 0.0,
) -> Records:
    """Make one target a record out of all votes; records nobody votes on stay without one.

    method: how votes become a belief; auto compares all that there are for the task's targets on gold records
    (cross-validated), else by agreement, and never takes one that gives up a label the votes hold.
    min_confidence: a target, or a span or relation of it, that is believed less than this is not set, 0..1.

    `facts` say what every labeller and every method is worth, what was chosen and why. Without a labeller, targets that
    came with the records or were made stand; what records were made of is set aside. With labellers, a given target counts
    only as a vote (`existing`). Memory: votes and one row of beliefs a record.
    """
    if not any(len(one.table) or one.labellers for one in votes):
        return _as_given(records, context)
    form = form_of(context.task)
    made = form.aggregate(records, votes, gold, context, method=method, min_confidence=min_confidence)
    for line in made.facts.get("story", ()):
        context.progress.tell(f"  {line}")
    task = open_task(context.task)
    whole = Records.stream(set_material_aside(batch, task)[0] for batch in made.batches())
    whole.facts = {**records.facts, **made.facts}
    return whole


def _as_given(records: Records, context: Context) -> Records:
    """Nobody votes: targets that came with the records, or were made, stand; none at all is a mistake of the spec."""
    task = open_task(context.task)
    facts: dict[str, Any] = {**records.facts, "method": "given", "labellers": []}
    counted = {"labelled": 0, "material": 0}

    def walk() -> Iterator[pa.Table]:
        for batch in records.batches():
            has = pa.compute.is_valid(batch["label"]) if task.one_label else pa.array(task.labelled(batch))
            counted["labelled"] += pa.compute.sum(has).as_py() or 0
            given = pa.compute.if_else(has, pa.scalar("given"), pa.scalar(None, pa.string()))
            origin = pa.compute.coalesce(batch["label_from"], given)
            batch = batch.set_column(batch.schema.get_field_index("label_from"), "label_from", origin)
            batch, aside = set_material_aside(batch, task)
            counted["material"] += aside
            yield batch
        if not counted["labelled"]:
            raise BurnishError(
                "no record has a label and no labeller is named",
                where="construct",
                hint="name labellers under `construct` (keywords, examples, descriptions …) or map a label field in sources",
            )
        facts["material"] = counted["material"]

    made = Records.stream(walk())
    facts["why"] = "no labeller is named: labels that came with the records stand"
    made.facts = facts
    return made
