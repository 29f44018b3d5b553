"""One walk over the records for the page of the quality room: counts, slices, times, and the worst of each check."""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.records import TARGETS, labels_of
from burnish.text.inputs import said

SLICES = ("source", "language", "licence")
COLUMNS = [
    "id", "text", "text_b", "messages", *TARGETS, "meta", "source", "file", "line", "time", "language", "licence", "findings",
    "keep", "trail",
]  # fmt: skip
MOST_SLICES = 200  # values of one column that are counted; the rest counts as one


@dataclass
class Walked:
    """slices: column -> value -> kept records; joint: column -> value -> label -> kept records. times: (microseconds since
    1970, first label) of kept records that say when. worst: check -> its worst records, the worst first; others: id -> text
    of the records that these are like."""

    records: int = 0
    kept: int = 0
    labelled: int = 0
    flagged: int = 0
    doubted: int = 0  # kept, with a label that is doubted
    labels: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    aside: dict[str, int] = field(default_factory=dict)
    slices: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in SLICES})
    joint: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: {name: defaultdict(Counter) for name in SLICES}
    )
    times: list[tuple[int, str]] = field(default_factory=list)
    worst: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def walk(records: Records, most: int, task: Any) -> Walked:
    """Walk the records once, and once more for the texts of copies. Holds the shown records and the times alone."""
    made = Walked()
    aside: Counter[str] = Counter()
    worst: dict[str, list[tuple[float, int, dict[str, Any]]]] = defaultdict(list)
    for batch in records.batches(COLUMNS):
        taught = batch["label"].is_valid() if task.one_label else task.labelled(batch)
        has = [bool(one.as_py() if hasattr(one, "as_py") else one) for one in taught]
        for one, text, has_target in zip(batch.to_pylist(), said(batch), has, strict=True):
            made.records += 1
            made.kept += int(one["keep"])
            made.labelled += int(has_target)
            made.flagged += int(bool(one["findings"]))
            if one["keep"]:
                _count(made, one, labels_of(one, task.target) if task.labels else [])
            else:
                aside[_cause(one["trail"])] += 1
            for finding in one["findings"] or ():
                made.findings[finding["check"]] += 1
                made.doubted += int(one["keep"] and finding["check"] == "label_errors")
                target = one["label"] if task.one_label else task.brief(task.expected(one)) if has_target else None
                shown = {**one, **finding, "text": text, "label": target, "trail": None, "findings": None}
                heap = worst[finding["check"]]
                heapq.heappush(heap, (finding["score"], -made.records, shown))
                if len(heap) > most:
                    heapq.heappop(heap)
    made.aside = dict(aside.most_common())
    made.worst = {
        name: [shown for *_, shown in sorted(heap, key=lambda at: (-at[0], -at[1]))] for name, heap in worst.items()
    }
    made.others = _others(records, made.worst)
    return made


def _count(made: Walked, row: Mapping[str, Any], labels: list[str]) -> None:
    named = list(dict.fromkeys(labels))
    made.labels.update(named)
    for name in SLICES:
        value, counts = row[name] or "", made.slices[name]
        value = value if value in counts or len(counts) < MOST_SLICES else "…"
        counts[value] += 1
        made.joint[name][value].update(named)
    if row["time"] is not None:
        made.times.append((int(row["time"].timestamp() * 1e6), named[0] if named else ""))


def _others(records: Records, worst: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Texts of the records that findings refer to: their id ends the reason."""
    wanted = {other_in(shown["reason"]) for rows in worst.values() for shown in rows} - {""}
    texts: dict[str, str] = {}
    for batch in records.batches(["id", "text", "text_b", "messages"]) if wanted else ():
        if wanted.isdisjoint(batch["id"].to_pylist()):
            continue
        for name, text in zip(batch["id"].to_pylist(), said(batch), strict=True):
            if name in wanted:
                texts[name] = text
    return texts


def other_in(reason: str) -> str:
    """The id of another record, where one ends the reason."""
    return reason.rsplit(" ", 1)[-1].rstrip(".") if " " in reason else ""


def _cause(trail: list[str] | None) -> str:
    for line in reversed(trail or ()):
        if line.startswith("quality.curate: set aside, "):
            return line.removeprefix("quality.curate: set aside, ").split(":")[0]
    return "earlier"


def list_findings(records: Records, path: Path) -> Path:
    """Write every finding of every record, a line of JSON each: check, score, reason, action, id, where from, whether kept."""
    with path.open("w", encoding="utf-8") as out:
        for batch in records.batches(["id", "source", "file", "line", "keep", "findings"]):
            for row in batch.to_pylist():
                for one in row.pop("findings") or ():
                    line = {**row, **one, "score": round(float(one["score"]), 4)}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    return path
