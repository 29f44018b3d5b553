"""Acting on findings: records are set aside (keep: false) with their reason, never deleted; labels change in the open."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa

import burnish.quality.audit  # noqa: F401  (it registers the checks)
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, nearest, stage
from burnish.quality.checks import CHECKS, rewritten

Action = Literal["drop", "relabel", "soften", "review", "keep"]
MOST_OF_A_CLASS = 0.5  # label suspects that are more of a class than this say more about the probe than about the class


@stage("quality.curate")
def curate(
    records: Records,
    context: Context,
    *,
    actions: Literal["auto", "report"] | dict[str, Action] = "auto",
    certain: Share = 0.9,
) -> Records:
    """Set aside what the audit found: copies, conflicts, empty texts, labels that are very probably wrong.

    actions: auto does the above; report changes nothing; or a check with one of drop, relabel (to the suggested label),
    soften (share the label between the given and the suggested one), review or keep (both leave the record); checks that
    are not named are left alone.
    certain: score from which a suspected label is acted on, 0..1; below it the record stays and waits for review.

    A record that is set aside stays in the file with keep: false and its findings; `trail` says what was done. Of copies
    one is always kept. When over half of a class is suspected, its labels are left to a person.
    """
    if isinstance(actions, dict):
        unknown = [name for name in actions if name not in CHECKS]
        if unknown:
            raise BurnishError(
                f"quality.curate has no check {unknown[0]!r}", hint=nearest(unknown[0], CHECKS, "checks are")
            )
    if actions == "report":
        plan: dict[str, str] = {}
    elif actions == "auto":
        plan = {name: "drop" for name, one in CHECKS.items() if one.auto == "drop"}
    else:
        plan = {name: str(action) for name, action in actions.items()}
    decided, facts = _decide(records, plan, certain)
    made = rewritten(records, lambda: _curated(records, decided, context.task.labels))
    made.facts = {**records.facts, "curate": {**facts, "actions": plan, "certain": certain}}
    for reason, count in facts["set_aside"].items():
        context.progress.tell(f"  set aside for {reason}: {count:,}")
    return made


def _decide(
    records: Records, plan: dict[str, str], certain: float
) -> tuple[dict[int, tuple[str, str]], dict[str, Any]]:
    """Row -> (check, what is done: drop, relabel:LABEL or soften:LABEL), and the counts.

    Of several findings the first in the order of the registry that leads to a drop counts; else the first that changes a label.
    """
    table = records.table(["label", "findings", "keep"])
    given, findings, keep = (table[name].to_pylist() for name in ("label", "findings", "keep"))
    before = Counter(label for label, kept in zip(given, keep, strict=True) if kept and label is not None)
    wanted: dict[int, list[tuple[str, str]]] = {}
    suspects: dict[str, list[int]] = defaultdict(list)
    for row, found in enumerate(findings):
        if not keep[row]:
            continue
        for one in sorted(
            found or (), key=lambda one: list(CHECKS).index(one["check"]) if one["check"] in CHECKS else 99
        ):
            done = _remedy(one, plan.get(one["check"], "keep"), certain)
            if done:
                wanted.setdefault(row, []).append((one["check"], done))
                if one["check"] == "label_errors":
                    suspects[given[row]].append(row)
    trusted = {label for label, rows in suspects.items() if len(rows) > MOST_OF_A_CLASS * before[label]}
    decided = {}
    for row, remedies in wanted.items():
        left = [(check, what) for check, what in remedies if check != "label_errors" or given[row] not in trusted]
        if left:
            decided[row] = next(((check, what) for check, what in left if what == "drop"), left[0])
    aside = Counter(check for check, what in decided.values() if what == "drop")
    changed = Counter(what.split(":")[0] for _, what in decided.values() if what != "drop")
    after = before - Counter(
        given[row] for row, (_, what) in decided.items() if what == "drop" and given[row] is not None
    )
    facts = {
        "records": sum(keep), "kept": sum(keep) - aside.total(), "set_aside": dict(aside.most_common()),
        "changed": dict(changed.most_common()), "labels_before": dict(before.most_common()),
        "labels_after": dict(after.most_common()), "left_to_a_person": sorted(trusted),
    }  # fmt: skip
    return decided, facts


def _remedy(finding: dict[str, Any], action: str, certain: float) -> str:
    """What is done for one finding under the action chosen for its check; "" for nothing."""
    suggested = finding["action"]
    if action in ("review", "keep") or suggested == "keep":
        return ""
    if finding["check"] == "label_errors" and finding["score"] < certain:
        return ""
    if finding["check"] in ("exact_duplicates", "near_duplicates") and suggested == "review":
        return ""  # the targets differ: a small edit may have turned the meaning
    if action == "drop":
        return "drop"
    better = suggested.removeprefix("relabel:")
    return f"{action}:{better}" if suggested.startswith("relabel:") else ""


def _curated(records: Records, decided: dict[int, tuple[str, str]], labels: tuple[str, ...]) -> Iterator[pa.Table]:
    start = 0
    for batch in records.batches():
        touched = [at for at in range(batch.num_rows) if start + at in decided]
        if touched:
            columns = {
                name: batch[name].to_pylist() for name in ("label", "probs", "label_from", "keep", "trail", "findings")
            }
            for at in touched:
                _apply(columns, at, *decided[start + at], labels=labels)
            for name, values in columns.items():
                field = batch.schema.get_field_index(name)
                batch = batch.set_column(
                    field, batch.schema.field(name), pa.array(values, batch.schema.field(name).type)
                )
        start += batch.num_rows
        yield batch


def _apply(columns: dict[str, list[Any]], at: int, check: str, what: str, *, labels: tuple[str, ...]) -> None:
    """Change one row of the columns of a batch."""
    old = columns["label"][at]
    reason = next((one["reason"] for one in columns["findings"][at] if one["check"] == check), "")
    if what == "drop":
        columns["keep"][at] = False
        line = f"quality.curate: set aside, {check}: {reason}"
    else:
        kind, better = what.split(":", 1)
        finding = next(one for one in columns["findings"][at] if one["check"] == check)
        if kind == "relabel":
            columns["label"][at], columns["probs"][at] = better, None
        else:
            # score = (1 - p[label] + p[better]) / 2: with all mass on the two, that is p[better]
            shares = {old: 1 - finding["score"], better: finding["score"]}
            columns["probs"][at] = [shares.get(label, 0.0) for label in labels]
            columns["label"][at] = better if shares[better] > 0.5 else old
        columns["label_from"][at] = f"quality.curate:{kind}"
        line = f"quality.curate: {kind} {old} to {better}, {check}: {reason}"
    columns["trail"][at] = [*(columns["trail"][at] or ()), line]
