"""The page of evaluate.fairness: who is worse off, by how much, and is it more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say, sentence, spoken
from burnish.core.figures import between, word

TURNS = 0.05  # share of answers that turn with the person, from which the page says so


def verdict(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """tone, verdict and grounds, in the language being spoken."""
    grounds, tone = [say(f"Judged by {numbers['judged_by']}.")], "good"
    unfair = []
    for by in numbers["by"]:
        if "skipped" in by:
            grounds.append(say(f"{_by(by)}: not judged, {by['skipped']}."))
        for label, one in by["labels"].items():
            odds = one["figures"]["equalized_odds_difference"]
            if odds["by_chance"] is not None and odds["value"] > odds["by_chance"]:
                unfair.append((odds["value"], _by(by), label, odds))
    for value, by, label, odds in sorted(unfair, reverse=True, key=lambda one: one[0])[:3]:
        grounds.append(say(f"{by}, {label}: equalized odds differ by {value:.3f} ({odds['interval'][0]:.3f} to {odds['interval'][1]:.3f}); chance alone stays below {odds['by_chance']:.3f}."))  # fmt: skip
    swaps = numbers["swaps"] or {}
    if swaps.get("interval", [0])[0] > TURNS:
        grounds.append(say(f"{swaps['flip_rate']:.1%} of the answers turn when a person is swapped."))
    if unfair or swaps.get("interval", [0])[0] > TURNS:
        tone = "look"
    judged = [by for by in numbers["by"] if "worst_group" in by]
    if not judged and "flip_rate" not in swaps:
        return {
            "verdict": say("Nothing could be compared: no two groups are large enough."),
            "tone": "look",
            "grounds": grounds,
        }
    worst = min(judged, key=lambda by: by["worst_group"]["value"]) if judged else None
    said = say(f"Worst group: {_group_name(worst['worst_group']['name'])} of {_by(worst)}, {word(numbers['chief'])} {worst['worst_group']['value']:.3f}") if worst else ""  # fmt: skip
    turned = ""
    if "flip_rate" in swaps:
        turned = say(f"{swaps['flip_rate']:.1%} of {swaps['n']:,} answers turn with the person")
    return {"verdict": sentence(*filter(None, (said, turned))), "tone": tone, "grounds": grounds}


def _by(one: Mapping[str, Any]) -> str:
    """What groups the records: a field, or the axis of the people they speak of."""
    kind, colon, axis = one["by"].partition(":")
    return say(f"mentions of {named('axis', axis)}") if colon else named("field", kind)


def _group_name(name: str) -> str:
    """A group that comes with burnish by its name, another as the data has it."""
    return named("group", name)


def page(numbers: Mapping[str, Any]) -> str:
    """fairness.html, in the language being spoken."""
    told = numbers["said"][spoken()]
    sections = [p.section(say(f"By {_by(by)}"), *_group(by, numbers["chief"])) for by in numbers["by"]]
    if numbers["swaps"]:
        sections.append(p.section(say("Somebody else"), *_swaps(numbers["swaps"]), lead=say("The same text about another person: the answer should stay.")))  # fmt: skip
    return p.page(
        say("Fairness"), *(one for one in sections if one.body), verdict=p.verdict(told["tone"], told["verdict"], *told["grounds"]),
        facts=[(say("records"), numbers["n"]), (say("model"), numbers["model"])],
    )  # fmt: skip


def _group(by: Mapping[str, Any], chief: str) -> list[p.Part]:
    if "skipped" in by:
        return [p.note(say(f"Not judged: {by['skipped']}."))]
    scores = list(by["scores"].items())
    parts: list[p.Part] = [
        p.bars(
            [(_group_name(name), one["value"]) for name, one in scores], maximum=1, intervals=[tuple(one["interval"]) for _, one in scores],
            notes=[f"n = {one['n']:,}" for _, one in scores], caption=say(f"{word(chief)} by group, 95% intervals"),
        )
    ]  # fmt: skip
    if by["left_out"]:
        parts.append(p.note(say(f"Too few test records: {', '.join(map(_group_name, by['left_out']))}."), "plain"))
    for label, one in by["labels"].items():
        rows = [
            (name, _said(told["value"]), _pair(told["interval"]), _said(told["by_chance"]))
            for name, told in one["figures"].items()
        ]
        groups = [(_group_name(name), told["n"], _said(told["selection_rate"]), _pair(told["selection_rate_interval"]), _said(told["true_positive_rate"]), _said(told["false_positive_rate"])) for name, told in one["groups"].items()]  # fmt: skip
        parts += [
            p.heading(say(f"Answer {label}")),
            p.table(
                [*map(say, ("figure", "value", "95% interval", "by chance"))],
                [(word(name), *rest) for name, *rest in rows],
            ),
            p.table(
                [*map(say, ("group", "n", "selected", "95% interval", "true positives", "false positives"))], groups
            ),
        ]
    return parts


def _swaps(swaps: Mapping[str, Any]) -> list[p.Part]:
    if "skipped" in swaps:
        return [p.note(say(f"Not judged: {swaps['skipped']}."))]
    parts: list[p.Part] = [
        p.facts([(say("texts with such terms"), swaps["n"]), (say("answers that turn"), swaps["turned"]), (word("share"), f"{swaps['flip_rate']:.1%} ({_pair(swaps['interval'])})")]),
    ]  # fmt: skip
    if swaps["moves"]:
        parts.append(
            p.table(
                [*map(say, ("from", "to", "texts"))], [(one["from"], one["to"], one["count"]) for one in swaps["moves"]]
            )
        )
    for one in swaps["examples"][:5]:
        parts += [p.diff(one["before"] or "", one["after"] or ""), p.prose(f"{one['said']} → {one['then']}")]
    return parts


def _said(value: float | None) -> str:
    return say("not defined") if value is None else f"{value:.3f}"


def _pair(interval: list[float | None]) -> str:
    return between(*map(_said, interval))
