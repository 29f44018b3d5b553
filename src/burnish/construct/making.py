"""What every maker shares: records made of other records, that know of which, by whom and why.

A maker lets every record that came in pass, and writes behind it what was made of it. The text it was made of is
*material*: it is marked by a finding, and the end of the room sets it aside when it has no target of its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.records import FINDING, Record, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task

MATERIAL = "material"  # the check of the finding on a record that others were made of
SHOWN = 8  # reasons of refusal that the story names


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not made, or was made and not good enough. reason: a few words that many share."""

    reason: str


Maker = Callable[[Record], Iterable["Record | Refused"]]


def made(parents: Record | Sequence[Record], *, by: str, why: str, **fields: Any) -> Record:
    """A record made of others: it has their group (of several, one made of all), language, licence, time and source.

    by: the stage, "construct.headings". why: how it came about, a sentence for its trail. fields: input, target,
    confidence, meta (to which `made_from` is added), or what is to be unlike the first parent.
    """
    many = [parents] if isinstance(parents, Record) else list(parents)
    first = many[0]
    meta = {**(fields.pop("meta", None) or {}), "made_from": [one.id for one in many]}
    common = {
        "group": _group(many),
        "language": first.language,
        "licence": " AND ".join(sorted({one.licence for one in many if one.licence})) or None,
        "time": max((one.time for one in many if one.time is not None), default=None),
        "source": first.source,
        "file": first.file,
        "line": first.line,
    }
    return Record(**{**common, **fields}, meta=meta, label_from=by, trail=[f"{by}: {why}"])


def _group(many: Sequence[Record]) -> str | None:
    """The parents' group, or id where there is none; of several different ones a name that says all of them."""
    own = sorted({str(one.group if one.group is not None else one.id) for one in many})
    if len(own) < 2:
        return own[0] if own else None
    return "of:" + hashlib.sha256("\0".join(own).encode()).hexdigest()[:20]


def grow(records: Records, make: Maker, context: Context, *, by: str, what: str = "records") -> Records:
    """All records, and behind each batch what `make` makes of its kept records without a target.

    make: from one record to new ones and refusals. what: what is made, for the story ("questions"). Streams.
    """
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    facts = dict(records.facts)

    def walk() -> Iterator[pa.Table]:
        seen, task = SeenCounts(), open_task(context.task)
        with context.progress.bar(by, len(records)) as bar:
            for batch in records.batches():
                open_rows = ~np.asarray(task.labelled(batch), dtype=bool)
                born: list[Record] = []
                children = np.zeros(len(batch), dtype=np.int64)
                for at, record in enumerate(iterate([batch])):
                    if open_rows[at] and record.keep:
                        for one in make(record):
                            if isinstance(one, Refused):
                                refused[one.reason] += 1
                            else:
                                born.append(one)
                                children[at] += 1
                    bar.advance(1)
                counts.update(material=int((children > 0).sum()), made=len(born), seen=int(open_rows.sum()))
                yield assign_ids(mark_material(batch, children, by), seen)
                if born:
                    yield assign_ids(to_table(born), seen)
        story(facts, counts, refused, by=by, what=what, context=context)

    grown = Records.stream(walk())
    grown.facts = facts
    return grown


def story(
    facts: dict[str, Any], counts: Counter[str], refused: Counter[str], *, by: str, what: str, context: Context
) -> None:
    """Write what a maker did into the facts, and say it. counts: seen, material, made."""
    row = {"maker": by, **{name: counts[name] for name in ("seen", "material", "made")}, "refused": dict(refused)}
    facts["makers"] = [*facts.get("makers", []), row]
    lines = [f"{by} made {counts['made']:,} {what} of {counts['material']:,} of {counts['seen']:,} records"]
    if refused:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in refused.most_common(SHOWN))
        lines.append(f"{by} refused {refused.total():,}: {reasons}")
    for line in lines:
        context.progress.tell(f"  {line}")


def was_made(label_from: str | None) -> bool:
    """Whether a maker gave the record its target: it stands where nobody votes."""
    return label_from is not None and label_from.startswith("construct.")


def mark_material(batch: pa.Table, children: np.ndarray, by: str) -> pa.Table:
    """Findings on the records that others were made of; children: (n,) how many."""
    if not children.any():
        return batch
    findings = [
        [
            *(old or []),
            {"check": MATERIAL, "score": 1.0, "reason": f"{by} made {count} of it", "action": "set aside"},
        ]
        if count
        else old
        for old, count in zip(batch["findings"].to_pylist(), children.tolist(), strict=True)
    ]
    place = batch.schema.get_field_index("findings")
    return batch.set_column(place, "findings", pa.array(findings, pa.list_(FINDING)))


def set_material_aside(batch: pa.Table, task: Any) -> tuple[pa.Table, int]:
    """Material without a target of its own is no record to learn from: keep becomes False. Also how many."""
    used = np.array([any(one["check"] == MATERIAL for one in found or ()) for found in batch["findings"].to_pylist()])
    if not used.any():
        return batch, 0
    aside = used & ~np.asarray(task.labelled(batch), dtype=bool)
    keep = np.array(batch["keep"].to_pylist(), dtype=bool) & ~aside
    return batch.set_column(batch.schema.get_field_index("keep"), "keep", pa.array(keep)), int(aside.sum())
