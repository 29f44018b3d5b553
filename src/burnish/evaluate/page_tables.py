"""The tables of the evaluation's page: what others say of the same records, leaks, slices, every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say
from burnish.core.figures import between, title, word


def chiefs(numbers: Mapping[str, Any]) -> list[str]:
    """The two figures that tables show."""
    return list(dict.fromkeys((numbers["figure"], *numbers["figures"])))[:2]


def baseline_name(said: str) -> str:
    """A baseline, or those of several tasks joined by plus signs."""
    whole = say(said)
    return whole if whole != said else " + ".join(map(say, said.split(" + ")))


def aside(numbers: Mapping[str, Any]) -> p.Part:
    refused = numbers["judged_by"]["set_aside"]
    rows = [(say(reason), count) for reason, count in refused.items()]
    told = say(f"{sum(refused.values()):,} rows could not judge")
    return p.fold(told, p.table([say("reason"), say("rows")], rows)) if refused else ""


def also(numbers: Mapping[str, Any]) -> p.Part:
    if not numbers["also_judged"]:
        return ""
    chief, *other = chiefs(numbers)
    rows = [
        (say(one["about"]), one["checked"], one["n"], one[chief], _between(one["interval"]), *(one[name] for name in other))
        for one in numbers["also_judged"]
    ]  # fmt: skip
    heads = [
        *map(say, ("the same model on", "checked", "records")),
        word(chief),
        say("95% interval"),
        *map(word, other),
    ]
    return p.together(p.heading(say("Other labels")), p.table(heads, rows))


def baselines(numbers: Mapping[str, Any]) -> p.Html:
    chief, *other = chiefs(numbers)
    rows: list[tuple[Any, ...]] = [
        (say("this model"), numbers[chief], *(numbers[name] for name in other), None, None, None)
    ]
    for one in reversed(numbers["baselines"]):
        gain = one["gain"][chief]
        figures = (one[name] for name in (chief, *other))
        rows.append(
            (
                baseline_name(one["name"]),
                *figures,
                _points(numbers, gain["value"]),
                _points(numbers, *gain["interval"]),
                gain["p_value"],
            )
        )
    top = max([1.0, *(abs(row[1]) for row in rows)])
    bars = p.bars([(row[0], max(row[1], 0.0)) for row in rows], maximum=top, caption=title(chief))
    heads = ["", word(chief), *map(word, other), say("the model is better by"), say("95% interval"), "p"]
    return (
        p.together(bars, p.table(heads, rows, sort=False))
        if len(rows) > 1
        else p.prose(say("No baseline was trained."))
    )


def leaks_table(numbers: Mapping[str, Any]) -> p.Html:
    leaks = numbers["leaks"]
    if not leaks["count"]:
        return p.prose(say(f"None at a similarity of {leaks['similarity']:g} or more."))
    names = chiefs(numbers)
    rows = [(say("all records"), numbers["n"], *(numbers[name] for name in names))]
    for key, name in (("without", "without those also in training"), ("only", "only those")):
        if key in leaks:
            rows.append((say(name), leaks[key]["n"], *(leaks[key][figure] for figure in names)))
    pairs = [(one["test"], one["train"], one["similarity"]) for one in leaks["examples"]]
    return p.together(
        p.table([say("judged on"), say("records"), *map(word, names)], rows, sort=False),
        p.fold(
            say(f"The first {len(pairs)} pairs"),
            p.table([*map(say, ("test record", "training record", "similarity"))], pairs),
        ),
    )


def slices_table(numbers: Mapping[str, Any]) -> p.Html:
    chief, *other = chiefs(numbers)
    rows = [
        (say(one["by"]), _slice_name(one), one["n"], one[chief], _between(one["interval"]), *(one[name] for name in other), say("below the rest") if one["below"] else "")
        for one in numbers["slices"]
    ]  # fmt: skip
    heads = [*map(say, ("by", "slice", "records")), word(chief), say("95% interval"), *map(word, other), ""]
    same = say("The test records do not differ in language, source or length.")
    return p.table(heads, rows) if rows else p.prose(same)


def _slice_name(one: Mapping[str, Any]) -> str:
    """A language by its name, what burnish itself named by that, a source as the data has it."""
    value = str(one["value"])
    if one["by"] == "language":
        return say(value) if value.startswith("(") else named("language", value)
    return say(value) if one["by"] != "source" or value.startswith("(") else value


def models_table(numbers: Mapping[str, Any]) -> p.Html:
    names = chiefs(numbers)
    more = [name for name in ("ece", "log_loss") if name in numbers["models"][-1]]
    rows = [
        (
            one["name"], *(one[name] for name in (*names, *more)), p.share(one["agreement"]), one["parameters"],
            say("serves") if one["serves"] else _points(numbers, one["difference"][numbers["figure"]]),
        )
        for one in numbers["models"]
    ]  # fmt: skip
    heads = [say("model"), *map(word, (*names, *more)), *map(say, ("same answers", "parameters", "against it"))]
    return p.table(heads, rows, sort=False)


def _between(pair: Sequence[float]) -> str:
    low, high = (p.figure(float(end)) for end in pair)
    return between(low, high) if pair[0] < 0 else f"{low}–\u2060{high}"


def _points(numbers: Mapping[str, Any], *values: float) -> str:
    """Differences of the chief figure in points."""
    said = [f"{numbers.get('points', 100.0) * value:+.1f}" for value in values]
    return between(*said) if len(said) == 2 else said[0]
