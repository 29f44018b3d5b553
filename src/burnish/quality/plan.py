"""Which findings are acted on: what helps, and what is cheap and harms nobody; the whole of it measured before it is done."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.stage import Context
from burnish.quality.again import Told
from burnish.quality.checks import CHECKS, COLUMNS, Material
from burnish.quality.effect import act, harms, helps, ordered
from burnish.quality.remedies import CERTAIN, DOUBTED, Finding, Remedy, together

# What weighing doubted labels did to accuracy on six other sets with 0 to 20% of the labels wrong evenly: +0.9 in the mean,
# deviation 1.3 (benchmarks/results/doubt.md), rounded to less and to wider. A few hundred doubtful judges cannot tell one
# point from none; this much is known before they are asked.
USUAL, SPREAD = 0.008, 0.015
T_95 = 2.36  # half a 95% interval of eight splits in standard errors


@dataclass
class Plan:
    """actions: check -> remedy. certain: check -> score from which it acts. why: check -> the reason for what is done, or
    for leaving it. joint: what the whole does."""

    actions: dict[str, str] = field(default_factory=dict)
    certain: dict[str, float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    joint: dict[str, Any] = field(default_factory=dict)


def by_rule() -> Plan:
    """What is done where no effect was measured: what each check does by itself."""
    actions = {name: "drop" for name, one in CHECKS.items() if one.auto == "drop"}
    return Plan(actions, why={name: "cheap, and right whatever the model" for name in actions})


def by_effect(audit: Mapping[str, Any]) -> Plan:
    """Act on a check whose remedy helps (interval above nothing), or that acts by itself and does no harm; on doubted labels
    where a gain is to be `expected`.

    Checks without a measured effect follow their own rule: it concerns records that no probe can learn from.
    """
    plan = Plan()
    effects = {name: one["effect"] for name, one in audit["checks"].items() if one["count"]}
    for name in ordered(effects):
        effect, auto = effects[name], name in CHECKS and CHECKS[name].auto == "drop"
        if effect is None:
            if auto:
                plan.actions[name], plan.why[name] = "drop", "cheap; its effect was not measured"
            elif name in CHECKS:
                plan.why[name] = "left: its effect was not measured"
        elif helps(effect):
            plan.actions[name], plan.certain[name] = effect["remedy"], effect["certain"]
            plan.why[name] = f"helps: {_told(effect)}"
        elif name == DOUBTED and effect["remedy"] == "reweigh" and not harms(effect) and expected(effect) > 0:
            plan.actions[name], plan.certain[name] = effect["remedy"], effect["certain"]
            plan.why[name] = (
                f"likely to help: {100 * expected(effect):+.2f} points expected, {_told(effect)} measured here"
            )
        elif name != DOUBTED and auto and _harmless(effect):
            gains = effect[effect["figure"]]["value"] > 0
            plan.actions[name] = effect["remedy"] if gains else "drop"
            plan.certain[name] = effect["certain"] if gains else CERTAIN
            plan.why[name] = f"cheap, and no harm: {_told(effect)}"
        else:
            plan.why[name] = f"left: {'it harms' if harms(effect) else 'no gain shown'}, {_told(effect)}"
    return plan


def expected(effect: Mapping[str, Any]) -> float:
    """The gain to expect of weighing doubted labels: what it did on other sets and what was measured here, each as much as it
    is sure (the mean of a normal posterior). The less the records can tell, the more experience decides."""
    chief = effect[effect["figure"]]
    doubt = ((chief["high"] - chief["low"]) / 2 / T_95) ** 2
    return float((USUAL * doubt + chief["value"] * SPREAD**2) / (doubt + SPREAD**2))


def checked(plan: Plan, records: Records, context: Context) -> Plan:
    """Measure the plan as a whole on held-out records; while it is worse than nothing, take back its weakest part.

    The records must have been audited with an effect. What is measured: mean figures before and after (of the last plan)
    over the same splits as the audit's and the same records, and the interval of the difference.
    """
    from burnish.quality.bench import bench, why_not
    from burnish.quality.effect import measure

    audit = records.facts["audit"]
    about = audit.get("bench") or {}
    material = Material(
        records.table(COLUMNS), context, near=about.get("near", 0.8), folds=5, backbone=about.get("backbone", "auto")
    )
    if why_not(material) or not plan.actions:
        return plan
    told = findings_in(records, material)
    given = material.column("label")
    made = bench(material)
    merit = ordered({name: audit["checks"].get(name, {}).get("effect") for name in plan.actions})
    while merit:
        whole = functools.partial(_together, plan, sorted(merit, key=_rank), given=given)
        if not whole(told).touched:
            break
        effects, _, figures = measure(made, material, {"all": whole}, told)
        if "all" not in effects:
            break
        before, after = figures["all"]
        plan.joint = {"effect": effects["all"], "before": before, "after": after}
        if not harms(effects["all"]) and not _worse(effects["all"]):
            break
        weakest = merit.pop()
        plan.why[weakest] = f"taken back: with it the whole is worse ({_told(effects['all'])})"
        plan.actions.pop(weakest)
        plan.joint = {}
    return plan


def _together(plan: Plan, names: Sequence[str], told: Told, *, given: Sequence[str | None]) -> Remedy:
    """The remedies of these checks as one."""
    return together(
        [act(name, (plan.actions[name], plan.certain.get(name, CERTAIN)), told, given=given) for name in names]
    )


def findings_in(records: Records, material: Material) -> dict[str, dict[int, Finding]]:
    """Check -> row of the material (kept records) -> what the audit wrote beside it."""
    found: dict[str, dict[int, Finding]] = {}
    every = records.column("findings")
    for at, row in enumerate(material.rows.tolist()):
        for one in every[row] or ():
            found.setdefault(one["check"], {})[at] = Finding(one["check"], float(one["score"]), one["action"])
    return found


def _harmless(effect: Mapping[str, Any]) -> bool:
    """No worse in the mean, or surely no more than a point worse; what may cost three points is not cheap."""
    chief = effect[effect["figure"]]
    return bool(not harms(effect) and (chief["value"] >= 0 or chief["low"] > -0.01))


def _rank(name: str) -> int:
    return list(CHECKS).index(name) if name in CHECKS else len(CHECKS)


def _worse(effect: Mapping[str, Any]) -> bool:
    """Worse in the mean by the chief figure and by the log loss as well, where there is one."""
    loss = effect.get("log_loss", {"value": 1.0})["value"]
    return bool(effect[effect["figure"]]["value"] < 0 and loss > 0)


def _told(effect: Mapping[str, Any]) -> str:
    gain = effect[effect["figure"]]
    return (
        f"{effect['figure']} {100 * gain['value']:+.2f} points ({100 * gain['low']:+.2f} to {100 * gain['high']:+.2f})"
    )
