"""Refuse a model that is not good enough: the build stops here, on purpose."""

from __future__ import annotations

from typing import Any

from burnish.core.artifacts import Report
from burnish.core.errors import BurnishError, GateError
from burnish.core.stage import Count, Share, nearest, stage


@stage("evaluate.gate")
def gate(
    reports: list[Report],
    *,
    accuracy: Share | None = None,
    macro_f1: Share | None = None,
    micro_f1: Share | None = None,
    worst_class_f1: Share | None = None,
    entity_f1: Share | None = None,
    at_least: dict[str, float] | None = None,
    ece_max: Share | None = None,
    demographic_parity_difference: Share | None = None,
    equalized_odds_difference: Share | None = None,
    worst_group: Share | None = None,
    flip_rate: Share | None = None,
    robustness_drop: Share | None = None,
    failed_tests: Share | None = None,
    exposure: float | None = None,
    n_min: Count | None = None,
    sure: bool = False,
    checked: bool = False,
) -> Report:
    """Stop the run, with exit code 3, when the evaluation misses a limit.

    accuracy: the least that will do, 0..1.
    macro_f1: the least mean F1 over classes.
    micro_f1: the least micro F1.
    worst_class_f1: the least F1 of any class that is in the test set.
    entity_f1: the least F1 over entities, of a tagger.
    at_least: figure of the task -> the least that will do, as {"exact_match": 0.7, "ndcg@10": 0.4}.
    ece_max: the largest calibration error that will do, 0..1.
    demographic_parity_difference: the most that groups may differ in how often a label is given (evaluate.fairness).
    equalized_odds_difference: the most that groups may differ in true or false positive rates (evaluate.fairness).
    worst_group: the least score of any group (evaluate.fairness).
    flip_rate: the largest share of answers that turn when a person is swapped (evaluate.fairness).
    robustness_drop: the most that any variant may cost of the chief figure (evaluate.robustness).
    failed_tests: the largest share of failures in any capability (evaluate.robustness).
    exposure: the most bits of a planted canary that a model may give away (evaluate.exposure).
    n_min: the fewest test records to believe.
    sure: not the value alone but the near end of its 95% interval must hold.
    checked: refuse a test set whose labels nobody checked.
    """
    wanted = {
        "demographic_parity_difference": demographic_parity_difference, "worst_group": worst_group, "flip_rate": flip_rate,
        "equalized_odds_difference": equalized_odds_difference, "robustness_drop": robustness_drop, "failed_tests": failed_tests,
        "exposure": exposure,
    }  # fmt: skip
    limits = {name: limit for name, limit in wanted.items() if limit is not None}
    further = _further(reports, limits, sure)
    judged = [one.numbers for one in reports if "figure" in one.numbers and "judged_by" in one.numbers]
    others = (accuracy, macro_f1, micro_f1, worst_class_f1, entity_f1, at_least, ece_max, n_min)
    if not judged and further and not checked and all(one is None for one in others):
        return _verdict(further, 0, [])
    if not judged:
        raise BurnishError("evaluate.gate finds no evaluation", hint="put `report` before `gate` in `evaluate`")
    numbers = judged[-1]
    least = {"accuracy": accuracy, "macro_f1": macro_f1, "micro_f1": micro_f1, "worst_class_f1": worst_class_f1}
    least |= {"entity_f1": entity_f1, **(at_least or {})}
    for name in (name for name, limit in least.items() if limit is not None and name != "worst_class_f1"):
        if name not in numbers:
            there = numbers.get("figures", list(numbers))
            raise BurnishError(
                f"the evaluation has no figure {name!r}", where="evaluate.gate", hint=nearest(name, there, "it has")
            )
    rows = [_at_least(name, limit, numbers, sure) for name, limit in least.items() if limit is not None]
    if ece_max is not None:
        rows.append(_row("ece", numbers["ece"], numbers["intervals"].get("ece"), ece_max, sure=sure, most=True))
    if n_min is not None:
        rows.append(_row("n", numbers["n"], None, n_min, sure=False, most=False))
    rows += further
    if not rows and not checked:
        raise BurnishError("evaluate.gate has no limit to hold", hint="say at least one, for example macro_f1: 0.85")
    unchecked = []
    if checked and not numbers["judged_by"]["checked"]:
        unchecked.append(f"the labels that judge were checked by nobody: {numbers['judged_by']['about']}")
    return _verdict(rows, int(checked), unchecked)


def _verdict(rows: list[dict[str, Any]], more: int, broken: list[str]) -> Report:
    """Hold or refuse, naming everything that does not hold at once. more: limits that hold beside the rows."""
    broken = [*(_sentence(row) for row in rows if not row["holds"]), *broken]
    if broken:
        raise GateError(
            "; ".join(broken),
            where="evaluate.gate",
            hint="evaluation/report.html shows the worst errors and the data that pulled them there",
        )
    verdict = f"All {len(rows) + more} limits hold."
    return Report({"gate": rows, "verdict": verdict, "tone": "good", "headline": {"held": len(rows) + more}})


def _further(reports: list[Report], limits: dict[str, float], sure: bool) -> list[dict[str, Any]]:
    """The limits on fairness, robustness and memory; BurnishError where the stage that measures one was not asked."""
    known = {name: one for report in reports for name, one in report.numbers.get("gates", {}).items()}
    made = []
    for name, limit in limits.items():
        if name not in known:
            by = {"robustness_drop": "robustness", "failed_tests": "robustness with tests", "exposure": "exposure"}.get(
                name, "fairness"
            )
            raise BurnishError(
                f"no evaluation measured {name}", where="evaluate.gate", hint=f"put {by} before gate in evaluate"
            )
        one = known[name]
        made.append(_row(name, one["value"], one["interval"], limit, sure=sure, most=one["most"]))
    return made


def _at_least(name: str, limit: float, numbers: dict[str, Any], sure: bool) -> dict[str, Any]:
    if name == "worst_class_f1":
        present = {label: row for label, row in numbers["per_class"].items() if row["support"]}
        label, row = min(present.items(), key=lambda pair: pair[1]["f1"])
        return _row(f"F1 of {label!r}", row["f1"], row.get("f1_interval"), limit, sure=sure, most=False)
    return _row(name, numbers[name], numbers["intervals"].get(name), limit, sure=sure, most=False)


def _row(
    name: str, value: float, interval: list[float] | None, limit: float, *, sure: bool, most: bool
) -> dict[str, Any]:
    """most: the limit is an upper one. sure: the far end of the interval counts."""
    counted = (interval[1] if most else interval[0]) if sure and interval else value
    holds = counted <= limit if most else counted >= limit
    return {"figure": name, "value": value, "interval": interval, "limit": limit, "most": most, "sure": sure, "holds": holds}  # fmt: skip


def _sentence(row: dict[str, Any]) -> str:
    """macro_f1 is 0.812 (95% interval 0.790 to 0.833): it must be at least 0.850."""
    value, limit = (f"{one:.3f}" if isinstance(one, float) else f"{one:,}" for one in (row["value"], row["limit"]))
    around = f" (95% interval {row['interval'][0]:.3f} to {row['interval'][1]:.3f})" if row["interval"] else ""
    whole = ", interval included" if row["sure"] and row["interval"] else ""
    return f"{row['figure']} is {value}{around}: it must be at {'most' if row['most'] else 'least'} {limit}{whole}"
