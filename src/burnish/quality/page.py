"""From records with findings to the numbers and the page that a person reads."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, get_args

from burnish.core.artifacts import Records
from burnish.core.page import (
    Example,
    Html,
    Section,
    Tile,
    Tone,
    bars,
    diff,
    examples,
    facts,
    fold,
    lines,
    note,
    page,
    section,
    share,
    side_by_side,
    stacked,
    table,
    tiles,
    verdict,
)
from burnish.core.records import TARGETS, labels_of
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.quality.checks import NOT_HERE, Dimension
from burnish.text.inputs import said

COPIES = ("exact_duplicates", "near_duplicates")
SELF_TAUGHT = 0.1  # share of labels made by self-training from which the label-error estimate flatters them
NOISY = 0.05  # share of probably wrong labels from which a person should look
BAD = 0.2
DIMENSIONS = {one: one.capitalize() for one in get_args(Dimension)}
TITLES = {
    "exact_duplicates": "Exact copies", "near_duplicates": "Near copies", "conflicting_duplicates": "Conflicting copies",
    "label_distribution": "Label distribution", "label_errors": "Suspected label errors", "empty": "Empty texts",
    "encoding": "Damaged encoding", "language": "Other languages", "length": "Unusual lengths", "gibberish": "Gibberish",
    "slice_balance": "Slices", "joint_balance": "Labels by slice", "label_shift": "Labels between sources and splits",
    "spurious_tokens": "Tokens that give the label away", "artefacts": "Shortcuts in parts of the input", "contamination": "Test records",
    "neighbour_disagreement": "Labels against their neighbours", "training_dynamics": "Hard to learn", "area_under_margin": "Learnt like wrong labels",
    "broken_fields": "Broken fields", "markup": "Markup", "truncation": "Cut off", "boilerplate": "Boilerplate",
    "machine_translated": "Signs of machine translation", "entity_errors": "Suspected entities", "relation_errors": "Suspected relations",
    "answer_errors": "Suspected answers", "pair_errors": "Suspected pairs", "semantic_duplicates": "Copies in meaning", "coverage": "Coverage",
    "variety": "Variety", "target_population": "Target population", "age": "Age", "superseded": "Superseded", "drift": "Drift",
    "label_drift": "Labels whose meaning moved", "usefulness": "Usefulness against age",
}  # fmt: skip


def draw(
    records: Records, context: Context, *, examples: int = 8, gate: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """(numbers for report.json, the page). Walks the records twice; holds the shown examples alone."""
    walked = _walk(records, examples, open_task(context.task))
    audit = records.facts.get("audit", {})
    checks = audit.get("checks", {})
    tone, sentence, grounds = _verdict(walked, checks, gate)
    numbers = {
        "verdict": sentence,
        "headline": {"records": walked["records"], "kept": walked["kept"], "with_findings": walked["flagged"]},
        "records": walked["records"], "kept": walked["kept"], "labelled": walked["labelled"],
        "labels": dict(walked["labels"].most_common()), "findings": dict(walked["findings"].most_common()),
        "set_aside": walked["aside"], "checks": checks, "curate": records.facts.get("curate"), "gate": gate,
    }  # fmt: skip
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    if rate:
        numbers["headline"]["label_noise"] = round(rate["value"], 4)
    sections = [
        _overview(walked, checks, gate),
        _table(checks),
        *_effects(context, checks),
        _labels(context, walked, checks),
        *_lengths(checks),
        *_found(walked, checks),
    ]
    html = page(
        "Data quality", *sections, verdict=verdict(tone, sentence, *grounds),
        facts=[("records", walked["records"]), ("kept", walked["kept"]), ("languages", ", ".join(context.task.languages))],
    )  # fmt: skip
    return numbers, html


def _walk(records: Records, most: int, task: Any) -> dict[str, Any]:
    """Counts, and the `most` worst records of each check with the record a copy refers to."""
    counts: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    found: Counter[str] = Counter()
    aside: Counter[str] = Counter()
    worst: dict[str, list[tuple[float, int, dict[str, Any]]]] = defaultdict(list)
    row = 0
    columns = [
        "id", "text", "text_b", "messages", *TARGETS, "meta", "source", "file", "line", "findings", "keep", "trail",
    ]  # fmt: skip
    for batch in records.batches(columns):
        taught = batch["label"].is_valid() if task.one_label else task.labelled(batch)
        for one, text, has_target in zip(batch.to_pylist(), said(batch), list(taught), strict=True):
            row += 1
            counts.update(
                records=1,
                kept=int(one["keep"]),
                labelled=int(bool(has_target)),
                flagged=int(bool(one["findings"])),
            )
            if one["keep"]:
                labels.update(dict.fromkeys(_named(one, task), 1))
            if not one["keep"]:
                aside[_cause(one["trail"])] += 1
            for finding in one["findings"] or ():
                found[finding["check"]] += 1
                target = one["label"] if task.one_label else task.brief(task.expected(one)) if has_target else None
                shown = {**one, **finding, "text": text, "label": target, "trail": None, "findings": None}
                heap = worst[finding["check"]]
                heapq.heappush(heap, (finding["score"], -row, shown))
                if len(heap) > most:
                    heapq.heappop(heap)
    ordered = {
        name: [shown for *_, shown in sorted(heap, key=lambda at: (-at[0], -at[1]))] for name, heap in worst.items()
    }
    return {
        **{name: counts[name] for name in ("records", "kept", "labelled", "flagged")},
        "labels": labels, "findings": found, "aside": dict(aside.most_common()), "worst": ordered,
        "others": _others(records, ordered),
    }  # fmt: skip


def _named(row: Mapping[str, Any], task: Any) -> list[str]:
    """The labels a record's target names, where the task has labels."""
    return labels_of(row, task.target) if task.labels else []


def _others(records: Records, worst: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Texts of the records that copies refer to: their id ends the reason."""
    wanted = {shown["reason"].rsplit(" ", 1)[-1] for name in COPIES for shown in worst.get(name, ())}
    texts: dict[str, str] = {}
    for batch in records.batches(["id", "text", "text_b", "messages"]) if wanted else ():
        for name, text in zip(batch["id"].to_pylist(), said(batch), strict=True):
            if name in wanted:
                texts[name] = text
    return texts


def _cause(trail: list[str] | None) -> str:
    for line in reversed(trail or ()):
        if line.startswith("quality.curate: set aside, "):
            return line.removeprefix("quality.curate: set aside, ").split(":")[0]
    return "earlier"


def _verdict(
    walked: dict[str, Any], checks: dict[str, Any], gate: Mapping[str, Any] | None
) -> tuple[Tone, str, list[str]]:
    """(tone, one sentence, its grounds)."""
    if not checks:
        return "look", "No audit has looked at these records.", ["Write {use: audit} in the quality section."]
    total = walked["records"]
    grounds = []
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    noise = rate["value"] if rate else 0.0
    if rate:
        grounds.append(
            f"About {share(noise)} of the labels are probably wrong ({share(rate['low'])} to {share(rate['high'])}, the probe's own mistakes included)."
        )
    taught = checks.get("label_errors", {}).get("facts", {}).get("self_taught", 0.0)
    if taught > SELF_TAUGHT:
        grounds.append(
            f"That estimate is too low: {share(taught)} of the labels went through self-training, whose probe reads the same vectors. Gold records judge them better."
        )
    copies = sum(checks.get(name, {}).get("count", 0) for name in COPIES)
    if copies:
        grounds.append(f"{copies:,} records ({share(copies / max(total, 1))}) are copies of others.")
    grounds += [f"Labels: {said}." for said in checks.get("label_distribution", {}).get("facts", {}).get("notes", ())]
    grounds += [
        f"{TITLES.get(name, name)}: not judged, {one['skipped']}."
        for name, one in checks.items()
        if one["skipped"] and not one["skipped"].startswith(NOT_HERE)
    ]
    if others := [TITLES.get(name, name) for name, one in checks.items() if one["skipped"].startswith(NOT_HERE)]:
        grounds.append(f"Not for this task, because its targets are no class labels: {', '.join(others)}.")
    if walked["aside"]:
        grounds.append(f"Set aside: {', '.join(f'{count:,} for {name}' for name, count in walked['aside'].items())}.")
    failed = [name for name, one in (gate or {}).items() if not one["holds"]]
    if failed:
        return "bad", f"The gate does not hold: {', '.join(failed)}.", grounds
    flagged = walked["flagged"] / max(total, 1)
    if noise > BAD or walked["kept"] == 0:
        return "bad", "These labels should not be trained on before somebody has looked at them.", grounds
    if noise > NOISY or flagged > NOISY:
        return "look", f"Usable, but worth a look: {share(flagged)} of {total:,} records have a finding.", grounds
    return "good", f"Good data: {share(1 - flagged)} of {total:,} records have no finding.", grounds


def _overview(walked: dict[str, Any], checks: dict[str, Any], gate: Mapping[str, Any] | None) -> Section:
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    figures = [
        Tile("records", walked["records"]), Tile("kept", walked["kept"]), Tile("labelled", walked["labelled"]),
        Tile("with a finding", walked["flagged"]),
    ]  # fmt: skip
    if rate:
        figures.append(Tile("wrong labels, estimated", share(rate["value"]), (rate["low"], min(rate["high"], 1.0))))
    gates = [(name, one["measured"], one["limit"], one["holds"]) for name, one in (gate or {}).items()]
    drawn = table(["gate", "measured", "limit", "holds"], gates) if gates else ""
    return section("At a glance", tiles(figures), drawn)


def _table(checks: dict[str, Any]) -> Section:
    rows = [
        (
            TITLES.get(name, name), DIMENSIONS[one["dimension"]], one["count"], share(one["share"]),
            one["skipped"] or ", ".join(f"{action} {count:,}" for action, count in one["actions"].items()),
            one["about"],
        )
        for name, one in sorted(checks.items(), key=lambda item: -item[1]["count"])
    ]  # fmt: skip
    methods = [fold(TITLES.get(name, name), one["method"]) for name, one in checks.items() if one["method"]]
    columns = ["check", "dimension", "records", "share", "suggested", "what it looks for"]
    return section("Findings", table(columns, rows), fold("How each check works, and where it comes from", *methods))


def _effects(context: Context, checks: dict[str, Any]) -> list[Section]:
    """What each remedy does, in points of accuracy; why that is not known where a target is no class label."""
    if checks and not open_task(context.task).one_label:
        why = (
            f"Not measured: the probe learns class labels, and {context.task.type} has none. What curation sets aside is "
            "judged by training with it and without (quality.curate.actions: report)."
        )
        return [section("What each remedy does to a model", note(why))]
    rows = []
    for name, one in checks.items():
        if one["effect"]:
            gain = one["effect"]["accuracy"]
            sure = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no difference shown"
            points = f"{100 * gain['value']:+.2f} ({100 * gain['low']:+.2f} to {100 * gain['high']:+.2f})"
            loss = one["effect"]["log_loss"]
            rows.append((TITLES.get(name, name), one["effect"]["removed"], points, f"{loss['value']:+.4f}", sure))
    if not rows:
        return []
    lead = (
        "A probe trained without the flagged records against one trained with them, both judged on the same held-out "
        "records that the check does not doubt; 95% intervals over repeated splits."
    )
    columns = ["without", "records removed", "accuracy, points", "log loss", "verdict"]
    return [section("What each remedy does to a model", table(columns, rows), lead=lead)]


def _labels(context: Context, walked: dict[str, Any], checks: dict[str, Any]) -> Section:
    if not context.task.labels:
        return section(
            "Labels",
            note(f"{context.task.type} has no labels of its own; {walked['labelled']:,} records have a target."),
        )
    names = [name for name in context.task.labels if name in walked["labels"]] + [
        name for name in context.task.labels if name not in walked["labels"]
    ]
    drawn: list[Html | str] = [
        bars([(name, float(walked["labels"][name])) for name in names], caption="kept records", show=_count)
    ]
    said = checks.get("label_distribution", {}).get("facts", {})
    drawn += [note(one) for one in said.get("notes", ())]
    confused = checks.get("label_errors", {}).get("facts", {}).get("confused", ())
    if confused:
        rows = [(one["given"], one["probably"], share(one["share"])) for one in confused]
        drawn.append(table(["labelled", "probably", "of all records"], rows, caption="labels most often mistaken"))
    if said:
        drawn.append(
            facts([("largest class over smallest", said["imbalance"]), ("effective classes", said["effective"])])
        )
    return section("Labels", *drawn)


def _lengths(checks: dict[str, Any]) -> list[Section]:
    said = checks.get("length", {}).get("facts", {})
    counts, edges = said.get("histogram", {}).get("counts", []), said.get("histogram", {}).get("edges", [])
    if not any(counts):
        return []
    points = [((edges[at] + edges[at + 1]) / 2, float(count)) for at, count in enumerate(counts)]
    rows = [
        (code, *(f"{values[at]:.0f}" for at in ("0.01", "0.25", "0.5", "0.75", "0.99", "1.0")))
        for code, values in said["quantiles"].items()
    ]
    curve = lines(
        {"records": points}, x="words (Chinese: characters); the longest 1% at the end", y="records", dots=True
    )
    lengths = table(["language", "1%", "25%", "half", "75%", "99%", "longest"], rows)
    languages = checks.get("language", {}).get("facts", {}).get("counts")
    mix = stacked([("records", languages)], caption="languages") if languages else ""
    return [section("Lengths and languages", curve, side_by_side(lengths, mix))]


def _found(walked: dict[str, Any], checks: dict[str, Any]) -> list[Section]:
    """One section a check, worst records first."""
    made = []
    for name, worst in sorted(
        walked["worst"].items(), key=lambda item: list(TITLES).index(item[0]) if item[0] in TITLES else 99
    ):
        shown = [_example(one, name, walked["others"]) for one in worst]
        lead = checks.get(name, {}).get("about", "")
        made.append(
            section(
                f"{TITLES.get(name, name)} ({walked['findings'][name]:,})", examples(shown, what="records"), lead=lead
            )
        )
    return made


def _example(one: dict[str, Any], check: str, others: Mapping[str, str]) -> Example:
    place = f"{one['file']}:{one['line']}" if one["file"] and one["line"] else one["file"] or one["source"]
    pairs = [
        ("score", round(float(one["score"]), 3)), ("why", one["reason"]), ("suggested", one["action"]),
        ("label", one["label"]), ("set aside", not one["keep"]), ("id", one["id"]), ("from", place),
    ]  # fmt: skip
    other = others.get(one["reason"].rsplit(" ", 1)[-1]) if check in COPIES else None
    more = (
        Html(
            f"{fold('beside the other, differences marked', diff(other, one['text']), open=check == 'near_duplicates')}"
        )
        if other
        else ""
    )
    return Example(one["text"], [(name, value) for name, value in pairs if value is not None], more)


def _count(value: float) -> str:
    return f"{value:,.0f}"
