"""The page of evaluate.robustness: clean beside changed, and what did not stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say, sentence, spoken
from burnish.core.figures import between, word


def verdict(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """tone, verdict and grounds, in the language being spoken."""
    chief = numbers["chief"]
    grounds = [say(f"Judged by {numbers['judged_by']}.")]
    rows = [(one["difference"][chief], one) for one in numbers["variants"] if chief in one["difference"]]
    for name, why in numbers["skipped"].items():
        grounds.append(say(f"{named('variant', name)}: not asked, {why}."))
    if numbers["tests"]:
        worst = max(numbers["tests"], key=lambda one: one["failed"])
        grounds.append(say(f"Tests: {worst['capability']} fails {worst['failed']:.0%} of {worst['n']:,}."))
    told = numbers["negation"] or {}
    if "failed" in told:
        kept = f"Denied texts: {told['failed']:.0%} of {told['n']:,} keep their answer as sure as before."
        grounds.append(say(kept))
    if not rows:
        return {
            "verdict": say("No variant changed enough test records to say anything."),
            "tone": "look",
            "grounds": grounds,
        }
    gap, worst = min(rows, key=lambda one: one[0]["value"])
    sure = gap["interval"][1] < 0
    said = f"{named('variant', worst['name'])} costs most: {word(chief)} {worst['clean'][chief]:.3f} becomes {worst['changed'][chief]:.3f} ({gap['value']:+.3f}, {gap['interval'][0]:+.3f} to {gap['interval'][1]:+.3f})"  # fmt: skip
    return {"verdict": sentence(say(said)), "tone": "look" if sure else "good", "grounds": grounds}


def page(numbers: Mapping[str, Any]) -> str:
    """robustness.html, in the language being spoken."""
    chief, said = numbers["chief"], numbers["said"][spoken()]
    rows = [
        (named("variant", one["name"]), one["n"], f"{one['clean'][chief]:.3f}", f"{one['changed'][chief]:.3f}", f"{one['difference'][chief]['value']:+.3f}",
         between(*(f"{edge:+.3f}" for edge in one["difference"][chief]["interval"])), f"{one['answers_that_stay']:.1%}")
        for one in numbers["variants"]
    ]  # fmt: skip
    heads = (
        "variant",
        "records",
        f"clean {word(chief)}",
        "rewritten",
        "difference",
        "95% interval",
        "answers that stay",
    )
    table = p.table([*map(say, heads)], rows)
    sections = [
        p.section(
            say("Written otherwise"),
            table if rows else "",
            lead=say("The same records, clean and changed; intervals are paired."),
        )
    ]
    for one in numbers["variants"]:
        parts: list[p.Part] = []
        for shown in one["examples"]:
            parts += [p.diff(shown["before"], shown["after"]), p.prose(f"{shown['said']} → {shown['then']}")]
        if parts:
            sections.append(p.section(say(f"What {named('variant', one['name'])} turned"), *parts))
    told = numbers["negation"]
    if told and "failed" in told:
        facts = [(say("denied texts"), told["n"]), (say("answers that turn"), f"{told['turned']:.1%}"), (say("failed"), f"{told['failed']:.1%}"), (say("mean fall of the probability"), f"{told['mean_drop']:.3f}")]  # fmt: skip
        sections.append(
            p.section(say("Denial"), p.facts(facts), *(p.diff(one["before"], one["after"]) for one in told["examples"]))
        )
    elif told:
        sections.append(p.section(say("Denial"), p.note(say(f"Not asked: {told['skipped']}."))))
    if numbers["tests"]:
        body = p.table([*map(say, ("capability", "tests", "failed", "95% interval"))], [(one["capability"], one["n"], f"{one['failed']:.1%}", between(*(f"{edge:.3f}" for edge in one["interval"]))) for one in numbers["tests"]])  # fmt: skip
        sections.append(p.section(say("Tests"), body))
    return p.page(
        say("Robustness"), *(one for one in sections if one.body), verdict=p.verdict(said["tone"], said["verdict"], *said["grounds"]),
        facts=[(say("records"), numbers["n"]), (say("model"), numbers["model"])],
    )  # fmt: skip
