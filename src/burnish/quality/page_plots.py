"""The charts of the page of the quality room. Each takes what the audit and the walk know, and is "" where that says nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from burnish.core import page as p
from burnish.core import plots
from burnish.core.artifacts import Records
from burnish.core.chinese import said_in
from burnish.core.stage import Context
from burnish.quality.page_walk import SLICES, Walked
from burnish.quality.page_words import SMALLER_IS_BETTER, action_of, chief, figure_of, title_of

Facts = Mapping[str, Any]
Words = Mapping[str, Any]
BARS = 15  # of one chart; the rest is one bar
HEAT_ROWS = HEAT_COLUMNS = 12
MAP_POINTS = 1000
LEAST_OF_A_SLICE = 5  # records, to have a row of its own beside the labels
SERIES = 7  # colours that a person keeps apart; the rest is one
TIME_BINS = 32


def most(counts: Mapping[str, int], words: Words, limit: int = BARS) -> list[tuple[str, float]]:
    """The largest, and one bar for the others together."""
    ordered = Counter(counts).most_common()
    left = sum(count for _, count in ordered[limit:])
    rest = [(words["more"].format(count=len(ordered) - limit), float(left))] if left else []
    return [(name or words["unsaid"], float(count)) for name, count in ordered[:limit]] + rest


def measured(effect: Facts) -> list[str]:
    """Names of the figures of an effect that have a value and an interval."""
    return [name for name, one in effect.items() if isinstance(one, Mapping) and {"value", "low", "high"} <= one.keys()]


def sure(name: str, gain: Facts) -> plots.Sure:
    """Whether the interval says better or worse."""
    better, worse = gain["low"] > 0, gain["high"] < 0
    if name in SMALLER_IS_BETTER:
        better, worse = worse, better
    return "good" if better else "bad" if worse else "plain"


def by_effect(audit: Facts) -> list[str]:
    """Checks with a measured effect, the one that helps most first."""
    checks = audit.get("checks", {})
    known = [name for name, one in checks.items() if one.get("effect") and chief(one["effect"]) in one["effect"]]
    first = [name for name in audit.get("by_effect", ()) if name in known]
    rest = [name for name in known if name not in first]
    return first + sorted(rest, key=lambda name: -checks[name]["effect"][chief(checks[name]["effect"])]["value"])


def points_of(gain: Facts) -> tuple[str, str, str]:
    value, low, high = (f"{100 * gain[name]:+.2f}" for name in ("value", "low", "high"))
    return value, low, high


def remedy_of(effect: Facts, check: Facts, language: str) -> str:
    """What was done to measure it."""
    actions = check.get("actions") or {}
    return action_of(str(effect.get("remedy") or next(iter(actions), "drop")), language)


def touched(effect: Facts) -> int:
    """Records that the remedy sets aside or changes."""
    changed = effect.get("changed") or 0
    return int(effect.get("removed") or 0) + int(sum(changed.values()) if isinstance(changed, Mapping) else changed)


def effects(audit: Facts, words: Words, language: str) -> p.Part:
    """Every measured finding with its interval, the most helpful first; all figures behind a line that opens."""
    checks, rows, more = audit.get("checks", {}), [], []
    for name in by_effect(audit):
        effect = checks[name]["effect"]
        figure = chief(effect)
        value, low, high = points_of(effect[figure])
        told = words["touches"].format(remedy=remedy_of(effect, checks[name], language), count=touched(effect))
        link = p.link(title_of(name, language), f"#check-{name}")
        gain = [100 * effect[figure][end] for end in ("value", "low", "high")]
        rows.append(
            plots.Difference(
                link, gain[0], gain[1], gain[2], sure(figure, effect[figure]), f"{value} ({low} – {high})", told
            )
        )
        for one in measured(effect):
            value, low, high = (f"{effect[one][end]:+.4f}" for end in ("value", "low", "high"))
            more.append(
                (title_of(name, language), figure_of(one, language), value, f"{low} – {high}", effect.get("held_out"))
            )
    if not rows:
        return ""
    heads = [words["finding"], words["figure"], words["effect"], "95%", words["held_out"]]
    ways = {str(checks[name]["effect"].get("by", "probe")) for name in by_effect(audit)}
    said = " ".join(words[f"by_{way}"] for way in sorted(ways) if f"by_{way}" in words)
    return p.together(
        plots.whiskers(rows, unit=words["points"], caption=said), p.fold(words["other_figures"], p.table(heads, more))
    )


def spread(walked: Walked, words: Words) -> p.Part:
    """Kept records by source, language and licence: bars where there are several, a line where there is one."""
    drawn = [
        p.bars(most(counts, words), caption=words["by"].format(name=words[name]), show=whole)
        for name, counts in walked.slices.items()
        if len(counts) > 1
    ]
    single = [
        (words[name], next(iter(counts)))
        for name, counts in walked.slices.items()
        if len(counts) == 1 and "" not in counts
    ]
    if not drawn and not single:
        return ""
    return p.together(
        p.heading(words["distributions"]), p.side_by_side(*drawn) if drawn else "", p.facts(single) if single else ""
    )


def labels(walked: Walked, names: Sequence[str], checks: Facts, words: Words) -> list[p.Part]:
    """How many of each label; which are taken for each other."""
    ordered = [name for name in names if name in walked.labels] + [name for name in names if name not in walked.labels]
    shown = (
        [(name, float(walked.labels[name])) for name in ordered]
        if len(ordered) <= 30
        else most(walked.labels, words, 30)
    )
    drawn: list[p.Part] = [p.bars(shown, caption=words["kept_records"], show=whole)]
    said = checks.get("label_distribution", {}).get("facts", {})
    confused = checks.get("label_errors", {}).get("facts", {}).get("confused", ())
    if confused:
        rows = [(one["given"], one["probably"], p.share(one["share"])) for one in confused]
        drawn.append(p.table([words["given"], words["probably"], words["of_all"]], rows, caption=words["mistaken"]))
    if "imbalance" in said:
        drawn.append(p.facts([(words["imbalance"], said["imbalance"]), (words["effective"], said["effective"])]))
    return drawn


def joint(walked: Walked, names: Sequence[str], checks: Facts, words: Words) -> list[p.Part]:
    """Labels by slice as heat maps: the slices of the walk, and those of `meta` that the audit counted."""
    drawn: list[p.Part] = []
    for slice_name in SLICES:
        table = {
            value: one
            for value, one in walked.joint[slice_name].items()
            if walked.slices[slice_name][value] >= LEAST_OF_A_SLICE
        }
        if len(table) > 1 and len(walked.labels) > 1:
            drawn.append(_heat(table, walked.labels, words, words[slice_name]))
    counted = checks.get("joint_balance", {}).get("facts", {}).get("slices", {})
    for name, one in counted.items():
        if name not in SLICES:
            table = {value: Counter(dict(zip(one["labels"], row, strict=True))) for value, row in one["table"].items()}
            drawn.append(_heat(table, walked.labels, words, name))
    return drawn


def _heat(table: Mapping[str, Mapping[str, int]], labels: Counter[str], words: Words, name: str) -> p.Html:
    columns = [label for label, _ in labels.most_common(HEAT_COLUMNS)]
    rows = sorted(table, key=lambda value: -sum(table[value].values()))[:HEAT_ROWS]
    values = [[table[value].get(label, 0) for label in columns] for value in rows]
    shade = [[value / (sum(row) or 1) for value in row] for row in values]
    shown = [value or words["unsaid"] for value in rows]
    return p.together(
        p.heading(words["heat"].format(name=name)),
        p.heat(shown, columns, values, shade=shade, caption=words["heat_caption"]),
    )


def lengths(checks: Facts, words: Words) -> p.Part:
    said = checks.get("length", {}).get("facts", {})
    counts, edges = said.get("histogram", {}).get("counts", []), said.get("histogram", {}).get("edges", [])
    if not any(counts):
        return ""
    bins = [(f"{edges[at]:.0f}–{edges[at + 1]:.0f}", [float(count)]) for at, count in enumerate(counts)]
    rows = [
        (code, *(f"{values[at]:.0f}" for at in ("0.01", "0.25", "0.5", "0.75", "0.99", "1.0")))
        for code, values in said["quantiles"].items()
    ]
    heads = [words["language"], "1%", "25%", words["half"], "75%", "99%", words["longest"]]
    curve = plots.columns(bins, [words["records"]], caption=words["length_axis"], y=words["records"])
    return p.together(p.heading(words["lengths"]), p.side_by_side(curve, p.table(heads, rows)))


def timeline(walked: Walked, words: Words) -> p.Part:
    """Kept records by time, stacked by label."""
    if len({stamp for stamp, _ in walked.times}) < 2:
        return ""
    stamps = np.array([stamp for stamp, _ in walked.times], dtype=np.int64)
    names = [name for name, _ in Counter(name for _, name in walked.times).most_common()]
    series = names[:SERIES] + (["…"] if len(names) > SERIES else [])
    edges = np.linspace(stamps.min(), stamps.max(), TIME_BINS + 1)
    place = np.clip(np.searchsorted(edges, stamps, side="right") - 1, 0, TIME_BINS - 1)
    kind = np.array([min(names.index(name), len(series) - 1) for _, name in walked.times])
    counts = np.zeros((TIME_BINS, len(series)))
    np.add.at(counts, (place, kind), 1)
    bins = [
        (datetime.fromtimestamp(edges[at] / 1e6, UTC).date().isoformat(), row.tolist()) for at, row in enumerate(counts)
    ]
    shown = [name or words["unsaid"] for name in series] if series != [""] else [words["records"]]
    return p.together(p.heading(words["times"]), plots.columns(bins, shown, y=words["records"]))


def curation(curate: Facts, words: Words, language: str) -> list[p.Part]:
    """Records, labels and figures before and after; why each check was acted on or left."""
    before, after = curate.get("records", 0), curate.get("kept", 0)
    drawn: list[p.Part] = [
        p.bars([(words["before"], float(before)), (words["after"], float(after))], caption=words["records"], show=whole)
    ]
    held = curate.get("held_out")
    if held:
        names = [name for name in held["before"] if name in held["after"]]
        rows = []
        for name in names:
            gain = held["effect"].get(name)
            interval = (
                f"{gain['value']:+.4f}\u00a0({gain['low']:+.4f}\u00a0–\u00a0{gain['high']:+.4f})"
                if isinstance(gain, Mapping)
                else None
            )
            rows.append(
                (figure_of(name, language), f"{held['before'][name]:.4f}", f"{held['after'][name]:.4f}", interval)
            )
        drawn.append(
            p.together(
                p.lead(words["held_lead"]),
                p.table(
                    [words["figure"], words["before"], words["after"], f"{words['effect']} (95%)"], rows, sort=False
                ),
            )
        )
    done = Counter(curate.get("set_aside") or {})
    done_rows: list[tuple[object, ...]] = [
        (p.link(title_of(name, language), f"#check-{name}"), words["set_aside"], count)
        for name, count in done.most_common()
    ]
    done_rows += [("", action_of(kind, language), count) for kind, count in (curate.get("changed") or {}).items()]
    drawn.append(
        p.table([words["check"], words["done"], words["records"]], done_rows) if done_rows else words["nothing_done"]
    )
    old, new = curate.get("labels_before") or {}, curate.get("labels_after") or {}
    if old and old != new:
        heads = [words["label"], words["before"], words["after"]]
        drawn.append(p.table(heads, [(name, count, new.get(name, 0)) for name, count in old.items()]))
    if curate.get("left_to_a_person"):
        drawn.append(p.note(words["left"].format(labels=", ".join(curate["left_to_a_person"]))))
    if curate.get("why"):
        drawn.append(
            p.fold(
                words["why"],
                p.table(
                    [words["check"], words["reason"]],
                    [(title_of(name, language), said_in(language, said)) for name, said in curate["why"].items()],
                ),
            )
        )
    return drawn


def text_map(records: Records, context: Context, audit: Facts, words: Words, language: str) -> list[p.Part]:
    """Labelled kept records in a plane, their clusters named, suspects ringed; each point leads to its row below.

    Drawn only where the audit has embedded them already: then their vectors lie in the cache.
    """
    judged = audit.get("checks", {}).get("label_errors", {})
    if not context.task.labels or not judged or judged.get("skipped"):
        return []
    rows, num_labelled = _drawn(records, context.task.labels)
    if len(rows) < 30:
        return []
    from burnish.measures.places import places
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    backbone = (audit.get("bench") or {}).get("backbone", "auto")
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    texts = [row["text"] for row in rows]
    found = places(embed(texts, folder, cache=context.cache, progress=context.progress), texts, seed=context.seed)
    kinds = [name for name, _ in Counter(row["label"] for row in rows).most_common()]
    series = kinds[:SERIES] + (["…"] if len(kinds) > SERIES else [])
    dimension = {name: one.get("dimension") for name, one in audit["checks"].items()}
    points, listed = [], []
    for at, row in enumerate(rows):
        noisy = any(dimension.get(name) == "noise" for name in row["findings"])
        colour = min(kinds.index(row["label"]), len(series) - 1)
        points.append(
            plots.Place(
                float(found.at[at, 0]),
                float(found.at[at, 1]),
                colour,
                f"{row['label']}: {row['text']}",
                f"m-{at}",
                noisy,
            )
        )
        links = p.Html(" ".join(p.link(title_of(name, language), f"#check-{name}") for name in row["findings"]))
        short = row["text"] if len(row["text"]) <= 160 else f"{row['text'][:160]} …"
        listed.append((f"m-{at}", [p.prose(row["id"]), row["label"], found.names[found.cluster[at]], links, short]))
    names = [(name, float(x), float(y)) for name, (x, y) in zip(found.names, found.centres, strict=True) if name]
    note = words["map_note"].format(shown=len(rows), all=num_labelled, share=p.share(found.explained))
    heads = [words["id"], words["label"], words["cluster"], words["findings"], words["text"]]
    return [
        plots.places(points, names, series, loud=words["suspect"], caption=note),
        p.fold(words["map_rows"], plots.rows_with_places(heads, listed)),
    ]


def _drawn(records: Records, labels: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """(labelled kept records drawn evenly in their order, at most MAP_POINTS; how many there are)."""
    from burnish.text.inputs import said

    known, total = set(labels), 0
    for batch in records.batches(["label", "keep"]):
        total += sum(
            keep and label in known
            for label, keep in zip(batch["label"].to_pylist(), batch["keep"].to_pylist(), strict=True)
        )
    wanted = set(np.linspace(0, total - 1, min(total, MAP_POINTS)).round().astype(int).tolist())
    seen, rows = 0, []
    for batch in records.batches(["id", "text", "text_b", "messages", "label", "keep", "findings"]):
        for at, (label, keep) in enumerate(zip(batch["label"].to_pylist(), batch["keep"].to_pylist(), strict=True)):
            if keep and label in known:
                if seen in wanted:
                    one = batch.slice(at, 1)
                    findings = [found["check"] for found in one["findings"][0].as_py() or ()]
                    rows.append(
                        {"id": one["id"][0].as_py(), "label": label, "text": said(one)[0], "findings": findings}
                    )
                seen += 1
    return rows, total


def whole(value: float) -> str:
    return f"{value:,.0f}"
