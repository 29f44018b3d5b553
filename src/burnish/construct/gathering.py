"""Makers that must see many records at once: documents in two languages, a whole log.

They gather the open records, make what they make, and let every record pass with the marks of what it was used for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.making import mark_material, story
from burnish.core.artifacts import Records
from burnish.core.records import FINDING, Record, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task


def gathered(records: Records, context: Context) -> list[Record]:
    """Kept records without a target, in their order. Memory: all of them."""
    task = open_task(context.task)
    found: list[Record] = []
    for batch in records.batches():
        is_open = ~np.asarray(task.labelled(batch), dtype=bool) & np.array(batch["keep"].to_pylist(), dtype=bool)
        found += iterate([batch.filter(pa.array(is_open))])
    return found


def grown(
    records: Records,
    born: Sequence[Record],
    refused: Counter[str],
    context: Context,
    *,
    by: str,
    what: str,
    seen: int,
    told: Mapping[str, Any] | None = None,
) -> Records:
    """All records, marked where they are parents of one that was born, and behind them those that were.

    refused: reason -> count. seen: records that were looked at. told: figures that the facts keep under `by`.
    """
    children: Counter[str] = Counter(parent for one in born for parent in one.meta["made_from"])
    refused = Counter({reason: count for reason, count in refused.items() if count})
    facts = dict(records.facts)
    if told:
        facts["made"] = {**facts.get("made", {}), by: dict(told)}
    counts = Counter(seen=seen, material=len(children), made=len(born))

    def walk() -> Iterator[pa.Table]:
        ids = SeenCounts()
        for batch in records.batches():
            of = np.array([children.get(one, 0) for one in batch["id"].to_pylist()], dtype=np.int64)
            yield assign_ids(mark_material(batch, of, by), ids)
        for at in range(0, len(born), 8192):
            yield assign_ids(to_table(born[at : at + 8192]), ids)
        story(facts, counts, refused, by=by, what=what, context=context)

    made = Records.stream(walk())
    made.facts = facts
    return made


def aside(batch: pa.Table, reasons: Mapping[int, tuple[str, float]], *, check: str) -> pa.Table:
    """A batch where the records of `reasons` (row -> reason, score) are not kept, with a finding that says why."""
    if not reasons:
        return batch
    findings, keep = batch["findings"].to_pylist(), batch["keep"].to_pylist()
    for row, (reason, score) in reasons.items():
        finding = {"check": check, "score": score, "reason": reason, "action": "set aside"}
        findings[row], keep[row] = [*(findings[row] or []), finding], False
    for name, values in (("findings", pa.array(findings, pa.list_(FINDING))), ("keep", pa.array(keep))):
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)
    return batch


def filtered(
    records: Records,
    judged: Iterable[tuple[pa.Table, Mapping[int, tuple[str, float]]]],
    context: Context,
    *,
    by: str,
    told: Mapping[str, Any],
) -> Records:
    """Records with those set aside that a filter refuses. judged: batches with (row -> reason, score) of the refused.

    told: what the facts say beside the counts; it may fill while the batches are walked. A reason is counted up to its
    first colon.
    """
    facts = dict(records.facts)

    def walk() -> Iterator[pa.Table]:
        refused: Counter[str] = Counter()
        for batch, reasons in judged:
            refused.update(reason.split(":")[0] for reason, _ in reasons.values())
            yield aside(batch, reasons, check=by)
        facts["filters"] = [*facts.get("filters", []), {"filter": by, "refused": dict(refused), **told}]
        said = ", ".join(f"{reason} ({count:,})" for reason, count in refused.most_common())
        context.progress.tell(
            f"  {by} set {refused.total():,} of {told.get('seen', 0):,} aside" + (f": {said}" if said else "")
        )

    made = Records.stream(walk())
    made.facts = facts
    return made
