"""Acting on findings: records are set aside (keep: false) with their reason, never deleted; labels change in the open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa

import burnish.quality.audit  # noqa: F401  (it registers the checks)
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, nearest, stage
from burnish.core.tasktypes import targets_of
from burnish.quality.changed import CHANGED, change
from burnish.quality.checks import CHECKS, rewritten
from burnish.quality.plan import Plan, by_effect, by_rule, checked
from burnish.quality.remedies import (
    CERTAIN,
    KINDS,
    Finding,
    Remedy,
    remedies_for,
    remedy,
    together,
    what,
    whole_classes,
)

Action = Literal["drop", "relabel", "soften", "reweigh", "redact", "review", "keep"]


@stage("quality.curate", version=4)
def curate(
    records: Records,
    context: Context,
    *,
    actions: Literal["auto", "report"] | dict[str, Action] = "auto",
    certain: Share | Literal["auto"] = "auto",
) -> Records:
    """Act on what the audit found, where that helps the model: copies, conflicts, empty texts, wrong labels.

    actions: auto does what was measured to help (the whole interval of its effect is above nothing), and what is cheap
    and harms nobody, such as copies; doubted labels count as much as they are likely to be right where a gain is to be
    expected, by what was measured here and on other sets. Then it measures all of it together and takes back what makes
    the whole worse. Without a measured effect it acts on copies, conflicts, empty texts and very probably wrong labels.
    report changes nothing. Or a check with one of drop, relabel (to the suggested label), soften (share the label between the given and
    the suggested one), reweigh, redact, review or keep (both leave the record); checks that are not named are left alone.
    certain: score from which a suspected label is acted on, 0..1; below it the record stays and waits for review. auto is
    what was measured to help most, and 0.9 where nothing was (0 of reweigh: a weight says how certain it is).

    A record that is set aside stays in the file with keep: false and its findings; `trail` says what was done. Of copies
    one is always kept. When over half of a class is suspected, its labels are left to a person. facts["curate"] says why
    each check was acted on or left, and the figures on held-out records before and after.
    """
    if isinstance(actions, dict):
        unknown = [name for name in actions if name not in CHECKS]
        if unknown:
            raise BurnishError(
                f"quality.curate has no check {unknown[0]!r}", hint=nearest(unknown[0], CHECKS, "checks are")
            )
        cannot = sorted(set(actions.values()) & (set(KINDS) - set(remedies_for(targets_of(context.task)))))
        if cannot:
            raise BurnishError(
                f"quality.curate cannot {cannot[0]}: targets of {context.task.type} lie at characters that would move",
                hint="{use: redact} takes them along",
            )
    plan = _planned(actions, records, context, certain)
    done, checks, facts = _decide(records, plan)
    made = rewritten(records, lambda: _curated(records, done, checks, context.task.labels))
    facts |= {"actions": plan.actions, "certain": plan.certain, "why": plan.why}
    made.facts = {**records.facts, "curate": {**facts, **({"held_out": plan.joint} if plan.joint else {})}}
    for reason, count in facts["set_aside"].items():
        context.progress.tell(f"  set aside for {reason}: {count:,}")
    for kind, count in facts["changed"].items():
        context.progress.tell(f"  {kind}: {count:,}")
    if plan.joint:
        name = plan.joint["effect"]["figure"]
        context.progress.tell(
            f"  held out, by a probe: {name.replace('_', ' ')} {plan.joint['before'][name]:.3f} before, {plan.joint['after'][name]:.3f} after"
        )
    return made


def _planned(actions: Any, records: Records, context: Context, certain: float | str) -> Plan:
    if actions == "report":
        return Plan()
    audit = records.facts.get("audit") or {"checks": {}}
    measured = any(one.get("effect") for one in audit["checks"].values())
    if actions != "auto":
        plan = Plan({name: str(action) for name, action in actions.items()})
    else:
        plan = by_effect(audit) if measured else by_rule()
    known = {} if certain != "auto" else plan.certain
    usual = {name: 0.0 if action == "reweigh" else CERTAIN for name, action in plan.actions.items()}
    plan.certain = {
        name: known.get(name, usual[name] if certain == "auto" else float(certain)) for name in plan.actions
    }
    return checked(plan, records, context) if actions == "auto" and measured else plan


def _decide(records: Records, plan: Plan) -> tuple[Remedy, dict[int, str], dict[str, Any]]:
    """The remedies of all checks as one, the check that each touched row is touched for, and the counts.

    Of several findings the first in the order of the registry that leads to a drop counts; else the first that changes a label.
    """
    actions = plan.actions
    table = records.table(["label", "findings", "keep"])
    given, findings, keep = (table[name].to_pylist() for name in ("label", "findings", "keep"))
    kept = [label if stays else None for label, stays in zip(given, keep, strict=True)]
    before = Counter(label for label in kept if label is not None)
    told: dict[str, dict[int, Finding]] = {}
    for row, found in enumerate(findings):
        for one in (found or ()) if keep[row] else ():
            told.setdefault(one["check"], {})[row] = Finding(one["check"], float(one["score"]), one["action"])
    order = [name for name in CHECKS if name in actions and name in told]
    parts = {name: remedy(actions[name], told[name], kept, certain=plan.certain[name]) for name in order}
    done = together(list(parts.values()))
    checks: dict[int, str] = {}
    for name in reversed(order):
        checks |= {row: name for row in parts[name].touched if row not in done.dropped}
    for name in reversed(order):
        checks |= {row: name for row in parts[name].dropped}
    suspects = told.get("label_errors", {})
    wanted = [
        row
        for row, one in suspects.items()
        if what(actions.get("label_errors", "keep"), one, plan.certain.get("label_errors", CERTAIN))
    ]
    aside = Counter(checks[row] for row in done.dropped)
    changed = Counter(
        {
            "relabel": len(done.label),
            "soften": len(done.shares),
            "reweigh": len(done.weight),
            "redact": len(done.redacted),
        }
    )
    after = before - Counter(given[row] for row in done.dropped if given[row] is not None)
    facts = {
        "records": sum(keep), "kept": sum(keep) - aside.total(), "set_aside": dict(aside.most_common()),
        "changed": {kind: count for kind, count in changed.most_common() if count},
        "labels_before": dict(before.most_common()), "labels_after": dict(after.most_common()),
        "left_to_a_person": whole_classes(suspects, wanted, kept),
    }  # fmt: skip
    return done, checks, facts


def _curated(records: Records, done: Remedy, checks: dict[int, str], labels: tuple[str, ...]) -> Iterator[pa.Table]:
    start = 0
    for batch in records.batches():
        touched = [at for at in range(batch.num_rows) if start + at in checks]
        if touched:
            columns = {name: batch[name].to_pylist() for name in (*CHANGED, "keep", "trail", "findings")}
            for at in touched:
                _apply(columns, at, start + at, done, checks[start + at], labels)
            for name, values in columns.items():
                field = batch.schema.get_field_index(name)
                batch = batch.set_column(
                    field, batch.schema.field(name), pa.array(values, batch.schema.field(name).type)
                )
        start += batch.num_rows
        yield batch


def _apply(columns: dict[str, list[Any]], at: int, row: int, done: Remedy, check: str, labels: tuple[str, ...]) -> None:
    """Change one row of the columns of a batch."""
    reason = next((one["reason"] for one in columns["findings"][at] if one["check"] == check), "")
    if row in done.dropped:
        columns["keep"][at] = False
        lines = [f"quality.curate: set aside, {check}: {reason}"]
    else:
        lines = [f"quality.curate: {line}, {check}: {reason}" for line in change(columns, at, row, done, labels)]
    columns["trail"][at] = [*(columns["trail"][at] or ()), *lines]
