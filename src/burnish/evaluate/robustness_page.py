"""The page of evaluate.robustness: clean beside changed, and what did not stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core.figures import word


def verdict(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """tone, verdict and grounds."""
    chief = numbers["chief"]
    grounds = [f"Judged by {numbers['judged_by']}."]
    rows = [(one["difference"][chief], one) for one in numbers["variants"] if chief in one["difference"]]
    for name, why in numbers["skipped"].items():
        grounds.append(f"{name}: not asked, {why}.")
    if numbers["tests"]:
        worst = max(numbers["tests"], key=lambda one: one["failed"])
        grounds.append(f"Tests: {worst['capability']} fails {worst['failed']:.0%} of {worst['n']:,}.")
    told = numbers["negation"] or {}
    if "failed" in told:
        grounds.append(f"Denied texts: {told['failed']:.0%} of {told['n']:,} keep their answer as sure as before.")
    if not rows:
        return {
            "verdict": "No variant changed enough test records to say anything.",
            "tone": "look",
            "grounds": grounds,
        }
    gap, worst = min(rows, key=lambda one: one[0]["value"])
    sure = gap["interval"][1] < 0
    said = f"{worst['name']} costs most: {word(chief)} {worst['clean'][chief]:.3f} becomes {worst['changed'][chief]:.3f} ({gap['value']:+.3f}, {gap['interval'][0]:+.3f} to {gap['interval'][1]:+.3f})"  # fmt: skip
    return {"verdict": said + ".", "tone": "look" if sure else "good", "grounds": grounds}


def page(numbers: Mapping[str, Any]) -> str:
    """report.html."""
    chief = numbers["chief"]
    rows = [
        (one["name"], one["n"], f"{one['clean'][chief]:.3f}", f"{one['changed'][chief]:.3f}", f"{one['difference'][chief]['value']:+.3f}",
         " to ".join(f"{edge:+.3f}" for edge in one["difference"][chief]["interval"]), f"{one['answers_that_stay']:.1%}")
        for one in numbers["variants"]
    ]  # fmt: skip
    table = p.table(
        ["variant", "records", f"clean {word(chief)}", "changed", "difference", "95% interval", "answers that stay"],
        rows,
    )
    sections = [
        p.section(
            "Written otherwise",
            table if rows else "",
            lead="The same records, clean and changed; intervals are paired.",
        )
    ]
    for one in numbers["variants"]:
        parts: list[p.Part] = []
        for shown in one["examples"]:
            parts += [p.diff(shown["before"], shown["after"]), p.prose(f"{shown['said']} → {shown['then']}")]
        if parts:
            sections.append(p.section(f"What {one['name']} turned", *parts))
    told = numbers["negation"]
    if told and "failed" in told:
        facts = [("denied texts", told["n"]), ("answers that turn", f"{told['turned']:.1%}"), ("failed", f"{told['failed']:.1%}"), ("mean fall of the probability", f"{told['mean_drop']:.3f}")]  # fmt: skip
        sections.append(
            p.section("Denial", p.facts(facts), *(p.diff(one["before"], one["after"]) for one in told["examples"]))
        )
    elif told:
        sections.append(p.section("Denial", p.note(f"Not asked: {told['skipped']}.")))
    if numbers["tests"]:
        body = p.table(["capability", "tests", "failed", "95% interval"], [(one["capability"], one["n"], f"{one['failed']:.1%}", " to ".join(f"{edge:.3f}" for edge in one["interval"])) for one in numbers["tests"]])  # fmt: skip
        sections.append(p.section("Tests", body))
    return p.page(
        "Robustness", *(one for one in sections if one.body), verdict=p.verdict(numbers["tone"], numbers["verdict"], *numbers["grounds"]),
        subtitle=f"{numbers['n']:,} records, model: {numbers['model']}",
    )  # fmt: skip
