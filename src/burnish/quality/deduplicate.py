"""Near-duplicates of a whole corpus set aside, with memory that does not grow with its texts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import FINDING, Reject
from burnish.core.spread import spread
from burnish.core.stage import Context, Share, stage
from burnish.measures.duplicates_on_disk import near_duplicates_on_disk
from burnish.text.inputs import COLUMNS, said


def _cost(records: int, tokens: int, settings: dict[str, Any]) -> float:
    """Seconds on two cores."""
    return 1 + tokens * 4 / 20e6


@stage("quality.deduplicate", cost=_cost)
def deduplicate(records: Records, context: Context, *, threshold: Share = 0.7) -> Records:
    """Set aside every kept record but the first of each group of equal or nearly equal texts, whatever its target.

    threshold: Jaccard similarity of character sequences (5 characters, Chinese 3) from which texts are the same, 0.5..1.

    For corpora: `audit` looks at targets and says which copy is worth most, but holds all texts. Here texts, sketches and
    keys lie in the store's scratch folder (the texts once more, and 392 bytes a record); memory is about 60 bytes a
    record. Batches and comparisons are worked on wherever `engine` says; sorting the bands is done by this process.
    """
    if threshold < 0.5:
        raise BurnishError(
            f"quality.deduplicate: threshold is {threshold}, below 0.5 candidates are missed", hint="take 0.5 to 1"
        )
    folder = context.scratch / "duplicates"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept: list[np.ndarray[Any, Any]] = []

    def texts() -> Iterator[pa.Array]:
        for batch in records.batches([*COLUMNS, "keep"]):
            keep = np.array(batch["keep"].to_pylist(), dtype=bool)
            kept.append(keep)
            yield pa.array(said(batch.filter(pa.array(keep))), pa.string())

    def spreading(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return spread(function, items, context.engine)

    groups = near_duplicates_on_disk(texts(), folder, threshold=threshold, spread=spreading)
    shutil.rmtree(folder)
    rows = np.flatnonzero(np.concatenate([np.empty(0, dtype=bool), *kept]))
    copies = np.flatnonzero(groups.repeats)
    original = dict(zip(rows[copies].tolist(), rows[groups.label[copies]].tolist(), strict=True))
    likeness: dict[int, float] = {}
    for pair, similarity in zip(groups.pairs, groups.similarity, strict=True):
        for row in rows[pair].tolist():
            likeness[row] = max(likeness.get(row, 0.0), float(similarity))

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        names: dict[int, str] = {}
        wanted, start = set(original.values()), 0
        for batch in records.batches():
            ids = batch["id"].to_pylist()
            names.update({start + at: ids[at] for at in range(len(ids)) if start + at in wanted})
            batch = _aside(batch, start, original, likeness, names)
            start += batch.num_rows
            yield batch.select(list(columns)) if columns else batch

    made = Records(walk, len(records))
    facts = {
        "records": len(rows),
        "set_aside": len(original),
        "groups": len(set(original.values())),
        "threshold": threshold,
    }
    made.facts = {**records.facts, "deduplicate": facts}
    return made


def _aside(
    batch: pa.Table, start: int, original: dict[int, int], likeness: dict[int, float], names: dict[int, str]
) -> pa.Table:
    """A batch with its copies set aside; the original of a copy comes before it."""
    touched = [at for at in range(batch.num_rows) if start + at in original]
    if not touched:
        return batch
    keep, findings, trail = (batch[name].to_pylist() for name in ("keep", "findings", "trail"))
    for at in touched:
        row = start + at
        first = names[original[row]]
        like = f"{likeness[row]:.0%} of its character sequences are shared in the group of {first}"
        reason = f"the same text as {first}" if likeness[row] == 1 else like
        keep[at] = False
        finding = {"check": "deduplicate", "score": likeness[row], "reason": reason, "action": "drop"}
        findings[at] = [*(findings[at] or ()), finding]
        trail[at] = [*(trail[at] or ()), f"quality.deduplicate: set aside: {reason}"]
    for name, values in (
        ("keep", pa.array(keep, pa.bool_())), ("findings", pa.array(findings, pa.list_(FINDING))),
        ("trail", pa.array(trail, pa.list_(pa.string()))),
    ):  # fmt: skip
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), values)
    return batch
