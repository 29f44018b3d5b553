"""The chapter of a run's page on construction: who voted, what was asked of a teacher, what was made, for every form of target."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import say

Facts = Mapping[str, Any]
MOST = 25  # bars of one chart
GATHERED = ("makers", "filters", "teacher", "made", "rounds")
TOLD = ("refused", "never", "records without a vote")  # lines of the story that a person must not miss


def labelled(facts: Facts, folder: Path | None = None) -> p.Section:
    """Who voted and how votes became targets, label by label or fork by fork where that is how; makers; teachers.

    facts: of the step that aggregated, {} without one. folder: of the room, whose other steps may have made records.
    """
    found = {**_gathered(folder), **facts}
    labellers = found.get("labellers") or []
    parts = [*(_voted(found, labellers) if labellers else [say(str(found.get("why", "")).capitalize())])]
    parts += [_rounds(found), _makers(found), _filters(found), _teachers(found)]
    if story := found.get("story"):
        parts.append(p.fold(say("The story, as it was told while it ran"), *(say(str(one)) for one in story)))
    return p.section(say("How it was labelled"), *parts)


def _gathered(folder: Path | None) -> dict[str, Any]:
    """What the steps of the room wrote beside the aggregation: of each list the longest, for steps pass on what they got."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.json")) if folder and folder.is_dir() else ():
        held = json.loads(file.read_text("utf-8"))
        if not isinstance(held, dict):
            continue
        for name in GATHERED:
            if isinstance(held.get(name), list | dict) and len(held[name]) >= len(found.get(name, ())):
                found[name] = held[name]
        asked = [*found.get("asked", []), *_asked(held)]
        found["asked"] = [one for at, one in enumerate(asked) if one not in asked[:at]]
    return found


def _voted(facts: Facts, labellers: Sequence[Facts]) -> list[p.Part]:
    why = str(facts.get("why", ""))
    tiles = [
        p.Tile(say("labellers"), len({_alone(one["name"], facts) for one in labellers})),
        p.Tile(say("records with a vote"), p.share(facts.get("coverage"))),
        *([p.Tile(say("with more than one"), p.share(facts["overlap"]))] if facts.get("overlap") is not None else []),
        *([p.Tile(say("pairs voted on"), facts["pairs"])] if facts.get("pairs") else []),
        p.Tile(say("aggregation"), say(str(facts.get("method", "–")).replace("_", " ")), note=say(f"chosen: {why}") if len(why) < 60 else ""),
        *([p.Tile(say("gold records"), facts["gold"], note=say("weighed the labellers"))] if facts.get("gold") else []),
    ]  # fmt: skip
    story = [line for line in facts.get("story", []) if line.startswith(TOLD)]
    collapse = (
        [p.note(say(f"The votes say little but one label: {facts['collapse']}."))] if facts.get("collapse") else []
    )
    return [
        p.tiles(tiles), say(f"Chosen: {why}.") if len(why) >= 60 else "", *collapse, *map(say, story),
        p.side_by_side(_methods(facts), _labels(facts)), _questions(facts), _labellers(labellers, facts),
    ]  # fmt: skip


def _alone(name: str, facts: Facts) -> str:
    """A labeller's own name: in lists by label or by fork, where it votes stands behind it."""
    mark = " → " if facts.get("by_label") else " at " if facts.get("forks") else ""
    return name.rsplit(mark, 1)[0] if mark else name


def _score(one: Facts) -> float | None:
    """Accuracy on gold; of answers the F1, of mentions the entity F1."""
    value = one.get("accuracy", one.get("f1"))
    return None if value is None else float(value)


def _figure(facts: Facts) -> str:
    if facts.get("figure"):
        return say(str(facts["figure"]))
    if any("f1" in one for one in facts.get("methods") or ()):
        return say("F1 of the answer")
    return say("Likeness to the gold output" if facts.get("measure") else "Accuracy")


def _methods(facts: Facts) -> p.Part:
    """On gold: each aggregation, and the best single labeller."""
    rows = [(one["method"], one) for one in facts.get("methods") or [] if _score(one) is not None]
    single = facts.get("best_single")
    rows += [(say(f"best labeller: {single['name']}"), single)] if single and _score(single) is not None else []
    if not rows:
        return ""
    rows.sort(key=lambda row: -(_score(row[1]) or 0.0))
    named = [(say(f"{name} (chosen)") if name == facts["method"] else name, _score(one) or 0.0) for name, one in rows]
    intervals = [tuple(one["interval"]) if one.get("interval") else None for _, one in rows]
    return p.bars(named, maximum=1, intervals=intervals, caption=say(f"{_figure(facts)} on covered gold"))


def _labels(facts: Facts) -> p.Part:
    ordered = sorted((facts.get("labels") or {}).items(), key=lambda item: -item[1])
    shown = [(name, float(count)) for name, count in ordered[:MOST]]
    if left := sum(count for _, count in ordered[MOST:]):
        shown.append((say(f"{len(ordered) - MOST} more"), float(left)))
    what = "Mentions" if facts.get("silence") else "Pairs" if facts.get("pairs") else "Records"
    return (
        p.bars(shown, caption=say(f"{what} by constructed label"), show=lambda value: f"{value:,.0f}") if shown else ""
    )


def _questions(facts: Facts) -> p.Part:
    """Several labels, a question each; or a tree, a question at each fork."""
    if by_label := facts.get("by_label"):
        rows = [(one["label"], one["method"], p.share(one.get("coverage")), one.get("said"), _best(one), say(one.get("why", ""))) for one in by_label]  # fmt: skip
        heads = [*map(say, ("label", "aggregation", "records with a vote", "said of", "right on gold", "because"))]
        return p.together(p.heading(say("Label by label")), p.table(heads, rows))
    if forks := facts.get("forks"):
        at_forks = [
            (one["fork"], ", ".join(one["children"]), one["method"], _best(one), say(one.get("why", "")))
            for one in forks
        ]
        return p.together(
            p.heading(say("Fork by fork")),
            p.table([*map(say, ("fork", "leads to", "aggregation", "right on gold", "because"))], at_forks),
        )
    return ""


def _best(one: Facts) -> str | None:
    """What the chosen aggregation is right in, with its interval."""
    chosen = next((row for row in one.get("methods") or () if row["method"] == one["method"]), None)
    if chosen is None or _score(chosen) is None:
        return None
    interval = chosen.get("interval")
    return p.share(_score(chosen)) + (f" ({p.share(interval[0])}–\u2060{p.share(interval[1])})" if interval else "")


def _labellers(rows: Sequence[Facts], facts: Facts) -> p.Html:
    figure = _figure(facts)
    heads = [
        say("labeller"),
        say("kind"),
        say("says"),
        say("votes"),
        say("coverage"),
        say("conflict"),
        figure if figure.startswith("F1") else figure[:1].lower() + figure[1:],
        "95%",
        say("about"),
    ]
    return p.table(
        heads,
        [
            (
                one["name"], say(one.get("kind", "")), ", ".join(one.get("says") or []), one.get("votes"),
                one.get("coverage"), one.get("conflict"), _score(one),
                f"{one['interval'][0]:.2f}–\u2060{one['interval'][1]:.2f}" if one.get("interval") else None,
                say(one.get("about") or "")[:160],
            )
            for one in rows
        ],
        caption=say(f"Labellers. Conflict: share of its votes that another labeller contradicts. {figure}: estimated."),
    )  # fmt: skip


def _rounds(facts: Facts) -> p.Part:
    """Self-training, round by round: records with a label, and what gold says of it."""
    rounds = [one for one in facts.get("rounds") or [] if isinstance(one, Mapping)]
    if len(rounds) < 2:
        return ""
    heads = [
        name
        for name in dict.fromkeys(key for one in rounds for key in one)
        if isinstance(rounds[-1].get(name), int | float)
    ]
    rows = [(at, *(one.get(name) for name in heads)) for at, one in enumerate(rounds)]
    return p.together(
        p.heading(say("Self-training")),
        p.table([say("round"), *(say(name.replace("_", " ")) for name in heads)], rows, sort=False),
    )


def _makers(facts: Facts) -> p.Part:
    """What each maker looked at, used, made and refused."""
    makers = facts.get("makers") or []
    if not makers:
        return ""
    rows = [
        (one["maker"], one.get("seen"), one.get("material"), one.get("made"), sum((one.get("refused") or {}).values()))
        for one in makers
    ]
    refused = [
        p.bars(
            _sorted(one["refused"]),
            caption=say(f"{one['maker']}: refused, by reason"),
            show=lambda value: f"{value:,.0f}",
        )
        for one in makers
        if one.get("refused")
    ]
    more = [
        p.fold(
            say(f"{name}: what it counted"),
            p.facts([(say(key.replace("_", " ")), _plain(value)) for key, value in told.items()]),
        )
        for name, told in (facts.get("made") or {}).items()
    ]
    table = p.table([*map(say, ("maker", "looked at", "used as material", "made", "refused"))], rows)
    return p.together(
        p.heading(say("Records that were made")), table, p.side_by_side(*refused) if refused else "", *more
    )


def _filters(facts: Facts) -> p.Part:
    filters = facts.get("filters") or []
    if not filters:
        return ""
    rows = [
        (
            one["filter"],
            one.get("seen"),
            sum(one["refused"].values()),
            _plain({say(reason): count for reason, count in one["refused"].items()}),
        )
        for one in filters
    ]
    return p.together(
        p.heading(say("What filters set aside")),
        p.table([*map(say, ("filter", "looked at", "set aside", "by reason"))], rows),
    )


def _teachers(facts: Facts) -> p.Part:
    """What language models were asked, what came of it, what it cost."""
    told = [*(facts.get("asked") or []), *_asked(dict(facts))]
    told = [one for at, one in enumerate(told) if one not in told[:at]]
    if not told:
        return ""
    rows = [
        (
            one["teacher"], one["questions"], one["questions"] - one.get("failures", 0), one.get("asked_again", 0), one.get("failures", 0),
            one.get("tokens_in"), one.get("tokens_out"), one.get("cost"),
        )
        for one in told
    ]  # fmt: skip
    heads = [
        *map(
            say,
            (
                "teacher",
                "questions",
                "answered",
                "asked again",
                "came to nothing",
                "tokens read",
                "tokens written",
                "cost",
            ),
        )
    ]
    reasons = [
        p.bars(
            _sorted(one["reasons"]),
            caption=say(f"{one['teacher']}: came to nothing, by reason"),
            show=lambda value: f"{value:,.0f}",
        )
        for one in told
        if one.get("reasons")
    ]
    return p.together(p.heading(say("Teachers")), p.table(heads, rows), p.side_by_side(*reasons) if reasons else "")


def _asked(held: Any) -> Iterator[Facts]:
    """Every account of questions to a teacher, however deep it lies."""
    if isinstance(held, dict):
        if isinstance(held.get("teacher"), str) and isinstance(held.get("questions"), int):
            yield held
        for name, one in held.items():
            if name != "asked":
                yield from _asked(one)
    elif isinstance(held, list):
        for one in held:
            yield from _asked(one)


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    return [(say(name), float(count)) for name, count in sorted(counts.items(), key=lambda item: -item[1])[:MOST]]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(str(_plain(one)) for one in value)
    return round(value, 4) if isinstance(value, float) else value
