"""From records with findings to the numbers and the page that a person reads: verdict first, then what helps, then why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core import plots
from burnish.core.artifacts import Records
from burnish.core.chinese import language_of, named_in, said_in, speaking, spoken
from burnish.core.stage import Context
from burnish.core.tasktypes import open_task
from burnish.quality import page_plots as draw_plots
from burnish.quality.checks import NOT_HERE
from burnish.quality.page_facts import figures
from burnish.quality.page_walk import Walked, other_in, walk
from burnish.quality.page_words import (
    DIMENSIONS,
    WORDS,
    action_of,
    chief,
    figure_of,
    limit_of,
    title_of,
)

COPIES = ("exact_duplicates", "near_duplicates")
BY_LABELLERS = 0.1  # share of labels made by labellers from which the label-error estimate flatters them
NOISY = 0.05  # share of probably wrong labels from which a person should look
BAD = 0.2
FEW_LABELLED = 0.2  # share of records with a target below which more of them come before all else
MAX_SHOWN = 480  # characters of a text; the whole lies in records.parquet
OPEN = 2  # checks of a dimension whose worst records are shown at once
Facts = Mapping[str, Any]


def draw(
    records: Records, context: Context, *, examples: int = 8, gate: Facts | None = None, ledger: Facts | None = None, language: str = "auto",
    listed_in: str = "",
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """(numbers for report.json, the page). Walks the records a few times; holds the shown ones and their times alone.

    language: of the page, en or zh; auto: that of the task's first language. listed_in: file beside the page with every
    finding, "" for none.
    """
    with speaking(language_of(context.task.languages, language)):
        return _drawn(records, context, examples, gate, ledger, listed_in)


def _drawn(
    records: Records, context: Context, examples: int, gate: Facts | None, ledger: Facts | None, listed_in: str
) -> tuple[dict[str, Any], str]:
    language = spoken()
    words = WORDS[language]
    task = open_task(context.task)
    walked = walk(records, examples, task)
    audit, curate = records.facts.get("audit", {}), records.facts.get("curate")
    checks = audit.get("checks", {})
    said = {one: judged(walked, audit, curate, gate, one) for one in WORDS}
    tone, sentence, following, grounds = said[language]
    numbers = _numbers(walked, checks, curate, gate, said, language)
    numbers |= {"ledger": ledger, "by_effect": audit.get("by_effect", [])}
    sections = [
        p.section(words["glance"], _tiles(walked, checks, words), _gates(gate, words, language)),
        _effects(context, audit, words, language),
        _curation(curate, words, language),
        _ledger(ledger, words, language),
        p.section(words["map"], *draw_plots.text_map(records, context, audit, words, language), lead=words["map_lead"]),
        *(_dimension(name, context, walked, checks, words, language) for name in DIMENSIONS),
        _look(walked, words, listed_in),
        p.section(words["methods"], *(p.fold(title_of(name, language), said_in(language, one["method"])) for name, one in checks.items() if one.get("method"))),
    ]  # fmt: skip
    html = p.page(
        words["title"], *(one for one in sections if one.body), verdict=p.verdict(tone, sentence, words["next"] + following, *grounds),
        facts=[(words["records"], f"{walked.records:,}"), (words["kept"], f"{walked.kept:,}"), (words["languages"], words["and"].join(named_in(language, "language", one) for one in context.task.languages))],
        subtitle=context.name if context.name != "run" else "",
    )  # fmt: skip
    return numbers, html


def _numbers(
    walked: Walked, checks: Facts, curate: Facts | None, gate: Facts | None, said: Mapping[str, Any], spoken: str
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "verdict": said[spoken][1], "next": said[spoken][2], "tone": said[spoken][0], "language": spoken,
        "said": {one: {"verdict": verdict, "next": following, "grounds": grounds} for one, (_, verdict, following, grounds) in said.items()},
        "headline": {"records": walked.records, "kept": walked.kept, "with_findings": walked.flagged},
        "records": walked.records, "kept": walked.kept, "labelled": walked.labelled,
        "labels": dict(walked.labels.most_common()), "findings": dict(walked.findings.most_common()),
        "slices": {name: {value or None: count for value, count in counts.most_common(50)} for name, counts in walked.slices.items()},
        "set_aside": walked.aside, "checks": checks, "curate": curate, "gate": gate,
    }  # fmt: skip
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    if rate:
        numbers["headline"]["label_noise"] = round(rate["value"], 4)
    return numbers


def judged(
    walked: Walked, audit: Facts, curate: Facts | None, gate: Facts | None, language: str
) -> tuple[p.Tone, str, str, list[str]]:
    """(tone, one sentence, what to do next, its grounds), in a language."""
    words, checks = WORDS[language], audit.get("checks", {})
    if not checks:
        return "look", words["verdict_none"], words["next_none"], []
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    noise, flagged = rate["value"] if rate else 0.0, walked.flagged / max(walked.records, 1)
    grounds = _grounds(walked, checks, curate, words, language)
    failed = [name for name, one in (gate or {}).items() if not one["holds"]]
    if failed:
        named = words["and"].join(limit_of(name, language) for name in failed)
        return "bad", words["verdict_gate"].format(names=named), words["next_gate"], grounds
    if walked.kept == 0:
        return "bad", words["verdict_empty"], words["next_empty"], grounds
    if noise > BAD:
        return "bad", words["verdict_bad"], words["next_bad"], grounds
    following = _next(walked, audit, curate, noise, words, language)
    if noise > NOISY or flagged > NOISY:
        return "look", words["verdict_look"].format(share=p.share(flagged), records=walked.records), following, grounds
    return "good", words["verdict_good"].format(share=p.share(1 - flagged), records=walked.records), following, grounds


def _next(walked: Walked, audit: Facts, curate: Facts | None, noise: float, words: Facts, language: str) -> str:
    """The remedy that helps most and is not applied; else the doubts; else to train."""
    if walked.labelled < FEW_LABELLED * walked.records:
        return str(words["next_label"].format(labelled=walked.labelled, records=walked.records))
    checks, applied = audit["checks"], (curate or {}).get("actions") or {}
    for name in draw_plots.by_effect(audit):
        effect = checks[name]["effect"]
        figure = chief(effect)
        if name not in applied and draw_plots.sure(figure, effect[figure]) == "good":
            gain, low, high = draw_plots.points_of(effect[figure])
            remedy = draw_plots.remedy_of(effect, checks[name], language)
            return str(words["next_help"].format(check=title_of(name, language), remedy=remedy, figure=figure_of(figure, language), gain=gain, low=low, high=high))  # fmt: skip
    doubted = walked.doubted
    return str(words["next_review"].format(count=doubted) if doubted and noise > NOISY else words["next_train"])


def _grounds(walked: Walked, checks: Facts, curate: Facts | None, words: Facts, language: str) -> list[str]:
    grounds = []
    facts = checks.get("label_errors", {}).get("facts", {})
    if rate := facts.get("rate"):
        grounds.append(
            words["ground_noise"].format(
                share=p.share(rate["value"]), low=p.share(rate["low"]), high=p.share(rate["high"])
            )
        )
    if facts.get("by_labellers", 0.0) > BY_LABELLERS:
        grounds.append(words["ground_taught"].format(share=p.share(facts["by_labellers"])))
    if copies := sum(checks.get(name, {}).get("count", 0) for name in COPIES):
        grounds.append(words["ground_copies"].format(count=copies, share=p.share(copies / max(walked.records, 1))))
    if held := (curate or {}).get("held_out"):
        name = held["effect"]["figure"]
        if draw_plots.sure(name, held["effect"][name]) == "good":
            grounds.append(words["ground_helps"].format(figure=figure_of(name, language), before=f"{held['before'][name]:.3f}", after=f"{held['after'][name]:.3f}"))  # fmt: skip
    grounds += [
        words["ground_note"].format(check=title_of(name, language), note=said_in(language, one))
        for name in ("label_distribution", "contamination")
        for one in checks.get(name, {}).get("facts", {}).get("notes", ())
    ]
    grounds += [
        words["ground_skipped"].format(check=title_of(name, language), why=said_in(language, one["skipped"]))
        for name, one in checks.items()
        if name == "label_errors" and one["skipped"] and not one["skipped"].startswith(NOT_HERE)
    ]
    if others := [title_of(name, language) for name, one in checks.items() if one["skipped"].startswith(NOT_HERE)]:
        grounds.append(words["ground_others"].format(names=words["and"].join(others)))
    if walked.aside:
        said = words["and"].join(
            words["for"].format(count=count, name=title_of(name, language)) for name, count in walked.aside.items()
        )
        grounds.append(words["ground_aside"].format(said=said))
    return grounds


def _tiles(walked: Walked, checks: Facts, words: Facts) -> p.Html:
    rate = checks.get("label_errors", {}).get("facts", {}).get("rate")
    figures = [p.Tile(words[name], getattr(walked, name)) for name in ("records", "kept", "labelled", "flagged")]
    if rate:
        figures.append(p.Tile(words["noise_tile"], p.share(rate["value"]), (rate["low"], min(rate["high"], 1.0))))
    return p.tiles(figures)


def _gates(gate: Facts | None, words: Facts, language: str) -> p.Part:
    rows = [
        (limit_of(name, language), one["measured"], one["limit"], words["yes" if one["holds"] else "no"])
        for name, one in (gate or {}).items()
    ]
    return p.table([words[name] for name in ("gate", "measured", "limit", "holds")], rows) if rows else ""


def _effects(context: Context, audit: Facts, words: Facts, language: str) -> p.Section:
    """What each remedy does, drawn; why that is not known where it is not."""
    checks = audit.get("checks", {})
    if not checks:
        return p.section(words["effects"])
    drawn = draw_plots.effects(audit, words, language)
    if drawn:
        first = checks[draw_plots.by_effect(audit)[0]]["effect"]
        lead = words["effects_lead"].format(figure=figure_of(chief(first), language))
        return p.section(words["effects"], drawn, lead=lead)
    one_label = open_task(context.task).one_label
    why = audit.get("no_probe") or (
        words["no_effect_few"] if one_label else words["no_effect_task"].format(task=context.task.type)
    )
    return p.section(words["effects"], p.note(words["no_effect"].format(why=said_in(language, why))))


def _curation(curate: Facts | None, words: Facts, language: str) -> p.Section:
    return p.section(words["curation"], *(draw_plots.curation(curate, words, language) if curate else ()))


def _ledger(ledger: Facts | None, words: Facts, language: str) -> p.Section:
    """The data version in one table: performance, fairness, safety, reliability; what was not measured, and why."""
    if not ledger:
        return p.section(words["ledger"])
    rows = [
        (words[part], figure_of(name, language), value, _where(ledger[part].get(f"{name}.where", ""), language))
        for part in ("performance", "fairness", "safety", "reliability")
        for name, value in ledger[part].items()
        if not isinstance(value, str)
    ]
    missing = [(figure_of(name, language), said_in(language, why)) for name, why in ledger["not_measured"].items()]
    drawn = p.table(["", words["figure"], words["value"], words["where"]], rows, sort=False) if rows else ""
    open_end = (
        p.fold(words["not_measured"], p.table([words["figure"], words["why"]], missing, sort=False)) if missing else ""
    )
    lead = words["ledger_lead"].format(version=ledger["version"], records=ledger["records"])
    return p.section(words["ledger"], drawn, open_end, lead=lead)


def _where(said: str, language: str) -> str:
    """ "source, positive": a column, and the label where its groups differ most."""
    column, comma, label = said.partition(", ")
    return named_in(language, "field", column) + comma + label


def _dimension(name: str, context: Context, walked: Walked, checks: Facts, words: Facts, language: str) -> p.Section:
    """A dimension: its checks in a table, its charts, what they remark, and the worst records of each."""
    # a check of another dimension than ours, of a plugin say, is noise to us
    own = {
        check: one
        for check, one in checks.items()
        if name == (one["dimension"] if one["dimension"] in DIMENSIONS else "noise")
    }
    if name == "distribution":
        names = context.task.labels
        charts = draw_plots.labels(walked, names, checks, words) if names else [p.note(words["no_labels"].format(task=context.task.type, count=walked.labelled))]  # fmt: skip
        charts += [
            draw_plots.spread(walked, words),
            draw_plots.lengths(checks, words),
            *draw_plots.joint(walked, names, checks, words),
        ]
    else:
        charts = [draw_plots.timeline(walked, words)] if name == "timeliness" else []
    remarks: list[p.Part] = [
        p.note(words["remark"].format(check=title_of(check, language), said=said_in(language, remark)))
        for check, one in own.items()
        for remark in one["facts"].get("notes", ())
    ]
    parts = [part for part in (*remarks, *charts) if part]
    if not own and not (name == "timeliness" and parts) and name != "distribution":
        return p.section(words[name])
    ordered = sorted(own.items(), key=lambda item: -item[1]["count"])
    shown = [
        _check(check, one, walked, words, language, open=at < OPEN)
        for at, (check, one) in enumerate(ordered)
        if walked.worst.get(check)
    ]
    silent = [_check(check, one, walked, words, language) for check, one in ordered if not walked.worst.get(check)]
    rest = p.fold(words["other_checks"], *silent) if any(silent) else ""
    table = _table(own, words, language) if own else ""
    return p.section(words[name], table, *parts, *shown, rest, lead=words["dimension_lead"][name])


def _table(own: Facts, words: Facts, language: str) -> p.Html:
    rows = [
        (
            p.link(title_of(name, language), f"#check-{name}") if one["count"] or one["facts"] else title_of(name, language),
            one["count"], p.share(one["share"]),
            words["skipped"].format(why=said_in(language, one["skipped"])) if one["skipped"] else words["and"].join(f"{action_of(action, language)} {count:,}" for action, count in one["actions"].items()) or words["none_found"],
            _gain(one.get("effect")), said_in(language, one["about"]),
        )
        for name, one in sorted(own.items(), key=lambda item: -item[1]["count"])
    ]  # fmt: skip
    heads = [words[name] for name in ("check", "records", "share", "suggested", "effect", "looks_for")]
    return p.table(heads, rows)


def _gain(effect: Facts | None) -> str | None:
    figure = chief(effect) if effect else ""
    return draw_plots.points_of(effect[figure])[0] if effect and figure in effect else None


def _check(name: str, one: Facts, walked: Walked, words: Facts, language: str, *, open: bool = False) -> p.Part:
    """A check's records, worst first, and all of its figures; a place that numbers link to."""
    worst = walked.worst.get(name, [])
    inside: list[p.Part] = []
    if worst:
        said = words["records_of"].format(
            name=title_of(name, language), shown=len(worst), count=f"{walked.findings[name]:,}"
        )
        shown = p.examples(
            [_example(row, walked.others, words, language) for row in worst], shown=3, what=words["records"]
        )
        inside.append(p.fold(said, shown, open=open))
    if told := figures(one["facts"], language):
        inside.append(p.fold(words["remark"].format(check=title_of(name, language), said=words["figures_of"]), told))
    return plots.anchor(f"check-{name}", p.together(*inside)) if inside else ""


def _example(one: Facts, others: Mapping[str, str], words: Facts, language: str) -> p.Example:
    place = f"{one['file']}:{one['line']}" if one["file"] and one["line"] else one["file"] or one["source"]
    pairs = [
        (words["score"], round(float(one["score"]), 3)), (words["why"], said_in(language, one["reason"])), (words["suggested"], action_of(one["action"], language)),
        (words["label"], one["label"]), (words["aside"], None if one["keep"] else words["yes"]), (words["id"], one["id"]), (words["place"], place),
    ]  # fmt: skip
    shown = [(name, value) for name, value in pairs if value is not None]
    other = others.get(other_in(one["reason"]))
    if other is None:
        text = one["text"]
        return p.Example(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …", shown)
    there, here = p.differences(other, one["text"])
    beside = p.compared([(words["this"], here, "plain"), (words["beside"], there, "plain")], beside=True)
    return p.Example(p.together(beside), shown)


def _look(walked: Walked, words: Facts, listed_in: str) -> p.Section:
    """Where all records of a finding are, and how to follow one."""
    first = next((row["id"] for rows in walked.worst.values() for row in rows), None)
    if first is None or not listed_in:
        return p.section(words["look"])
    said, rest = words["look_said"].split("{file}")
    plain = str(first) if all(one.isalnum() or one in "._-" for one in str(first)) else "ID"
    sentence = p.Html(str(p.prose(said + "\0" + rest)).replace("⟨U+0000⟩", str(p.link(listed_in, listed_in))))
    return p.section(words["look"], sentence, p.code(f"burnish lineage {plain}"))
