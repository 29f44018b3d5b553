"""The gate of the quality room: a build that must not go on with data that is worse than agreed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.core.artifacts import Records, Report
from burnish.core.errors import BurnishError, GateError
from burnish.core.records import TARGETS, labels_of
from burnish.core.stage import Context, Count, Share, TaskSpec, nearest, stage
from burnish.core.tasktypes import one_label, option_problems, targets_of
from burnish.quality.checks import NOT_HERE
from burnish.quality.ledger import flat, ledger
from burnish.quality.page import draw

COPIES = ("exact_duplicates", "near_duplicates")


def _measurable(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: limits on class labels, where a target is something else."""
    found = []
    if settings["label_noise"] is not None and not one_label(task):
        found.append(("label_noise", f"{NOT_HERE}: {task.type} has no class labels to doubt", "leave it out"))
    if settings["min_per_label"] and not task.labels and not option_problems(task):
        found.append(("min_per_label", f"{NOT_HERE}: {task.type} names no labels", "min_records counts all"))
    return found


@stage("quality.gate", version=3, check=_measurable)
def gate(
    records: Records,
    context: Context,
    *,
    label_noise: Share | None = None,
    duplicates: Share | None = None,
    other_language: Share | None = None,
    min_records: Count = 0,
    min_per_label: Count = 0,
    findings: dict[str, float] | None = None,
    least: dict[str, float] | None = None,
    most: dict[str, float] | None = None,
) -> Report:
    """Stop the build (exit code 3) when the kept records are worse than agreed.

    label_noise: largest estimated share of wrong labels among kept labelled records. duplicates: largest share of kept
    records that are copies of another. other_language: largest share in a language that the task does not name.
    min_records: fewest kept records. min_per_label: fewest kept records of every label of the task.

    findings: check -> largest share of kept records with its finding.
    least: figure -> what it must reach; most: figure -> what it must not pass. Figures are those of the ledger
    (performance.accuracy, fairness.equalized_odds_difference, safety.pii, reliability.ece, ...), and effect.CHECK.FIGURE:
    what the remedy of a check would still gain.

    Measured on what curation kept. Label noise: (rate estimated by the audit x records judged - suspects set aside) /
    labelled records kept, not below 0. Raises GateError that names every measured value and its limit.
    """
    figures = measured(records, context.task.labels, targets_of(context.task))
    limits = {
        "label_noise": label_noise, "duplicates": duplicates, "other_language": other_language,
        "min_records": min_records or None, "min_per_label": min_per_label or None,
    }  # fmt: skip
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    upper = {f"findings.{name}": limit for name, limit in (findings or {}).items()} | (most or {})
    lower = dict(least or {})
    table = (
        ledger(records, context)
        if any(not one.startswith(("effect.", "findings.")) for one in (*upper, *lower))
        else None
    )
    figures |= _named(records, table, [*upper, *lower])
    asked |= upper | {f"{name} (least)" if name in upper else name: limit for name, limit in lower.items()}
    figures |= {f"{name} (least)": figures[name] for name in lower if name in upper}
    floors = {f"{name} (least)" if name in upper else name for name in lower}
    unmeasured = [name for name in asked if figures[name] is None]
    if unmeasured and unmeasured[0] not in limits:
        known = sorted(name for name, value in figures.items() if value is not None and "." in name)
        raise BurnishError(
            f"quality.gate asks for {unmeasured[0]}, which was not measured",
            hint=nearest(unmeasured[0], known, "measured are")
            if known
            else "write {use: audit, effect: probe} before the gate",
        )
    if unmeasured:
        raise BurnishError(
            f"quality.gate asks for {unmeasured[0]}, which no audit before it has measured",
            hint="write {use: audit} before the gate, with checks: all; labels need 30 labelled records",
        )
    held = {
        name: figures[name] >= limit if name.startswith("min_") or name in floors else figures[name] <= limit
        for name, limit in asked.items()
    }
    outcome = {name: {"measured": figures[name], "limit": limit, "holds": held[name]} for name, limit in asked.items()}
    failed = [
        f"{name} is {_shown(name, figures[name])}, the limit is {_shown(name, asked[name])}"
        for name in asked
        if not held[name]
    ]
    page = draw(records, context, gate=outcome, ledger=table)
    if failed:
        shown = context.scratch / "report.html"
        shown.write_text(page[1], encoding="utf-8")
        raise GateError("quality.gate does not hold: " + "; ".join(failed), hint=f"the findings are in {shown}")
    return Report({**page[0], "gate": outcome}, page[1])


def _named(records: Records, table: dict[str, Any] | None, names: Sequence[str]) -> dict[str, Any]:
    """Every figure that `findings`, `least` and `most` can name -> its value, None for those asked for and not measured."""
    checks = records.facts.get("audit", {}).get("checks", {})
    found: Counter[str] = Counter()
    kept = 0
    for batch in records.batches(["findings", "keep"]):
        for row in batch.to_pylist():
            if row["keep"]:
                kept += 1
                found.update({one["check"] for one in row["findings"] or ()})
    made: dict[str, Any] = dict.fromkeys(names)
    made |= {f"findings.{name}": found[name] / max(kept, 1) for name, one in checks.items() if not one["skipped"]}
    made |= flat(table) if table else {}
    made |= {
        f"effect.{name}.{figure}": gain["value"]
        for name, one in checks.items()
        for figure, gain in (one.get("effect") or {}).items()
        if isinstance(gain, dict) and "value" in gain
    }
    return made


def measured(records: Records, labels: tuple[str, ...], targets: Sequence[str] = ("label",)) -> dict[str, Any]:
    """The figures a gate can ask for, on kept records; None for what no audit has measured.

    targets: record columns of the task's target, whose labels are counted.
    """
    audit = records.facts.get("audit", {}).get("checks", {})
    kept = labelled = 0
    found: Counter[str] = Counter()
    aside = 0
    counts: Counter[str] = Counter()
    for batch in records.batches([*TARGETS, "findings", "keep"]):
        for row in batch.to_pylist():
            label, findings, keep = row["label"], row["findings"], row["keep"]
            names = {one["check"] for one in findings or ()}
            if not keep:
                aside += label is not None and "label_errors" in names
                continue
            kept += 1
            labelled += label is not None
            counts.update(set(labels_of(row, targets)))
            found.update({"copy"} if names & set(COPIES) else (), **{})
            found["language"] += "language" in names
    noise = None
    errors = audit.get("label_errors", {})
    if errors and not errors["skipped"]:
        noise = max(0.0, errors["facts"]["rate"]["value"] * errors["facts"]["judged"] - aside) / max(labelled, 1)
    return {
        "label_noise": noise,
        "duplicates": found["copy"] / max(kept, 1) if set(COPIES) & set(audit) else None,
        "other_language": found["language"] / max(kept, 1) if "language" in audit else None,
        "min_records": kept,
        "min_per_label": min((counts[label] for label in labels), default=0),
    }


def _shown(name: str, value: float) -> str:
    return f"{value:,}" if name.startswith("min_") else f"{value:.3f}"
