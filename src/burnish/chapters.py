"""The chapters of a run's page, one a room. Each takes what lies in the run folder, and says nothing when it is not there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say, spoken
from burnish.core.figures import word
from burnish.quality.page_words import WORDS, action_of, chief, title_of

Facts = Mapping[str, Any]
SHOWN_REJECTS = 12
SHOWN_LOOKS = 20


def came_in(folder: Path, run: Facts) -> p.Section:
    """Sources with their counts, what was set aside and why."""
    steps = [step for step in run.get("steps", []) if step["room"] in ("sources", "gold")]
    rows = [
        (
            f"{step['room']}.{step['use']}",
            step["counts"].get("records"),
            step["counts"].get("labelled", 0),
            step["counts"].get("quarantined", 0),
        )
        for step in steps
        if step["counts"]
    ]
    table = p.table([*map(say, ("step", "records", "with a label", "set aside"))], rows, sort=False) if rows else ""
    return p.section(say("What came in"), table, _kinds_of_text(folder), _quarantine(folder / "quarantine.jsonl"))


def _kinds_of_text(folder: Path) -> p.Part:
    """Records by source and language, counted batch by batch."""
    import pyarrow.parquet as pq

    file = next((folder / room / "records.parquet" for room in ("quality", "construct", "sources") if (folder / room / "records.parquet").exists()), None)  # fmt: skip
    if file is None:
        return ""
    counts: dict[str, Counter[str]] = {"source": Counter(), "language": Counter()}
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(columns=list(counts)):
            for name, counter in counts.items():
                counter.update(value or "(unknown)" for value in batch[name].to_pylist())
    bars = [
        p.bars(
            [(_own(name, one), count) for one, count in _most(counted)],
            caption=say(f"Records by {named('field', name)}"),
        )
        for name, counted in counts.items()
        if counted
    ]
    return p.side_by_side(*bars) if bars else ""


def _quarantine(file: Path) -> p.Part:
    """Reasons with their counts; a few rows as they stood in the file."""
    if not file.exists():
        return ""
    reasons: Counter[str] = Counter()
    shown: list[tuple[object, ...]] = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            reasons[row["reason"].split(":")[0]] += 1
            if len(shown) < SHOWN_REJECTS:
                where = row["file"] if row["line"] is None else f"{row['file']}:{row['line']}"
                shown.append((where, say(row["reason"]), p.quote(row["raw"][:200])))
    return p.together(
        p.heading(say(f"{sum(reasons.values()):,} rows set aside")),
        p.bars(
            [(say(reason), count) for reason, count in _most(reasons)],
            caption=say("By reason; they lie in quarantine.jsonl"),
        ),
        p.fold(say(f"The first {len(shown)}"), p.table([*map(say, ("where", "reason", "as it stood"))], shown)),
    )


def audited(report: Facts, folder: Path) -> p.Section:
    """What the audit found, and what was done about it; the page of the room says more."""
    checks = report.get("checks") or {}
    rows = [
        (title_of(name, spoken()), WORDS[spoken()].get(one.get("dimension"), one.get("dimension")), one.get("count"), p.share(one.get("share")), _actions(one.get("actions") or {}), _effect(one.get("effect")))
        for name, one in sorted(checks.items(), key=lambda item: -(item[1].get("count") or 0))
        if one.get("count")
    ]  # fmt: skip
    heads = [*map(say, ("finding", "dimension", "records", "share", "proposed", "effect of the remedy"))]
    silent = [
        title_of(name, spoken()) for name, one in checks.items() if not one.get("count") and not one.get("skipped")
    ]
    skipped = [title_of(name, spoken()) for name, one in checks.items() if one.get("skipped")]
    aside = report.get("set_aside") or (report.get("curate") or {}).get("set_aside") or {}
    told = (report.get("said") or {}).get(spoken()) or report
    quality = folder / "quality"
    places = [
        ("Findings by effect, with charts and records", "report.html"),
        ("Data card", "DATA_CARD.md"),
        ("Croissant metadata", "croissant.json"),
    ]
    links = [p.link(say(said), f"quality/{name}") for said, name in places if (quality / name).exists()]
    return p.section(
        say("What the audit found" if report else "The data"),  # a card is written without an audit, too
        p.table(heads, rows) if rows else "",
        say(f"Nothing found: {', '.join(silent)}.") if silent else "",
        say(f"Not judged: {', '.join(skipped)}.") if skipped else "",
        p.bars(
            [(title_of(name, spoken()), count) for name, count in _most(aside)],
            caption=say("Records set aside, by reason"),
        )
        if aside
        else "",
        p.Html("<p>" + " · ".join(links) + "</p>") if links else "",
        lead=" ".join([told.get("verdict", ""), *([say("Next:") + f" {told['next']}"] if told.get("next") else [])]),
    )


def _effect(effect: Any) -> str | None:
    """The measured change of the chief figure, in points, when the remedy is applied; None where nobody measured one."""
    figure = chief(effect) if isinstance(effect, Mapping) else ""
    if not isinstance(effect, Mapping) or figure not in effect:
        return None
    value, low, high = (100 * effect[figure][name] for name in ("value", "low", "high"))
    return say(f"{word(figure)} {value:+.1f} points ({low:+.1f} to {high:+.1f})")


def certified(numbers: Facts) -> p.Section:
    """How many of the constructed targets are right, as people found on a sample."""
    if not numbers:
        return p.section(say("Certificate"))
    from burnish.review.certificate_page import chapter

    return chapter(numbers, numbers["page"])


def reviewed(facts: Facts) -> p.Section:
    """What people decided, how far they agree, and what is worth a look next."""
    if "progress" not in facts:
        return p.section(say("What people decided"))
    done, waits = facts["progress"], facts["queue"]
    tiles = [p.Tile(say("records looked at"), done["looked"]), p.Tile(say("in the queue"), len(waits))]
    if done["decided"]:
        tiles += [p.Tile(say(said), done[name], note=p.share(done[name] / done["decided"])) for name, said in (("accept", "accepted"), ("change", "changed"), ("reject", "rejected"))]  # fmt: skip
    tiles += [p.Tile(say("disputed"), done["disputed"], tone="look")] if done["disputed"] else []
    rows = [
        (name, one["verdicts"], one["accept"], one["change"], one["reject"], one["skip"], one["seconds"] / max(one["verdicts"], 1))
        for name, one in sorted(done["reviewers"].items())
    ]  # fmt: skip
    heads = [*map(say, ("reviewer", "decisions", "accepted", "changed", "rejected", "skipped", "seconds each"))]
    by = {"defaults": say("weights that are set"), "decisions": say(f"{facts['valued_by']['decisions']} decisions")}
    return p.section(
        say("What people decided"),
        p.tiles(tiles),
        p.table(heads, rows) if rows else "",
        *_agreed(facts["agreement"]),
        p.fold(say(f"Worth a look next: the first {min(len(waits), SHOWN_LOOKS)} of {len(waits):,}"), _looks(waits))
        if waits
        else "",
        lead=say(
            f"The worth of a look is estimated by {by[facts['valued_by']['by']]}; `burnish review` opens the page."
        ),
    )


def _agreed(found: Facts) -> list[p.Part]:
    """Agreement of reviewers, where two or more looked at the same records."""
    drawn: list[p.Part] = []
    for one in found.get("editors", []):
        rows = [(f"{pair['a']}, {pair['b']}", pair["records"], p.share(pair["same"]), pair.get("kappa"), pair.get("f1")) for pair in one["pairs"]]  # fmt: skip
        known = [("Krippendorff's alpha", one["alpha"]), ("by character", one.get("alpha_by_character")), ("Fleiss' kappa", one.get("fleiss"))]  # fmt: skip
        said = ", ".join(f"{say(name)} {value:.3f}" for name, value in known if value is not None)
        caption = f"{one['name'] or one['kind']}: {said or say('no figure yet')} ({one['difference']})"
        drawn.append(
            p.table([*map(say, ("reviewers", "records", "the same", "Cohen's kappa", "F1"))], rows, caption=caption)
        )
    return drawn


def _looks(waits: Sequence[Facts]) -> p.Html:
    from burnish.review.say import reasons

    rows = [
        (one["id"], one["value"], " ".join(why["sentence"] for why in reasons(one["why"], spoken()))) for one in waits
    ]
    return p.table([*map(say, ("record", "value", "because"))], rows[:SHOWN_LOOKS], sort=False)


def divided(run: Facts, facts: Facts) -> p.Section:
    """The sides, and what was checked about them."""
    counts: dict[str, Any] = next(
        (step["counts"] for step in reversed(run.get("steps", [])) if step["room"] == "split"), {}
    )
    sides = {side: counts[side] for side in ("train", "validation", "test") if counts.get(side)}
    body: list[p.Part] = (
        [p.stacked([(say("records"), {f"{named('side', side)} {count:,}": count for side, count in sides.items()})])]
        if sides
        else []
    )
    cleaned = facts.get("decontaminated") or []
    facts = {name: value for name, value in facts.items() if name != "decontaminated"}
    if facts:
        body.append(p.fold(say("How it was drawn, and what was checked"), p.facts(_flat(facts))))
    for one in cleaned:
        body += _decontaminated(one)
    return p.section(say("Who teaches and who judges"), *body)


def _decontaminated(one: Facts) -> list[p.Part]:
    """The proof for one test set: counts, thresholds, and pairs side by side, those that stayed too."""
    by = ", ".join(say(f"{count:,} by {named('way', way)}") for way, count in one["by"].items()) or say("none")
    said = say(
        f"{one['set_aside']:,} of {one['records_looked_at']:,} records set aside ({by}); they are like "
        f"{one['test_records_met']:,} of {one['test_records']:,} test records. Looked for again: {one['leaks_after']:,} left."
    )
    fields = ", ".join(f"{name} ({count:,})" for name, count in one["looked_at"].items())
    known = [
        ("fields of the test set", fields),
        ("thresholds", _plain({name: value for name, value in one["thresholds"].items() if value is not None})),
        ("meaning", say("not looked at: no threshold is set" if one["thresholds"]["meaning"] is None else "looked at")),
        ("test fields too short for runs of words", one["too_short_for_runs"]),
        ("test fields in many test records, taken for instructions", one["boilerplate"]),
    ]
    pairs = [pair for way in one["pairs"].values() for pair in way]
    return [
        p.heading(say(f"No record of {one['test_set']}")),
        said,
        p.facts([(say(name), value) for name, value in known]),
        p.fold(say(f"{len(pairs)} pairs that were set aside"), _pairs(pairs)) if pairs else "",
        p.fold(say("The nearest pairs among those that stayed"), _pairs(one["nearest_that_stayed"]))
        if one["nearest_that_stayed"]
        else "",
    ]


def _pairs(pairs: Sequence[Facts]) -> p.Html:
    rows = [(one["by"], one["score"], p.quote(one["text"]), p.quote(one["test_text"])) for one in pairs]
    return p.table([*map(say, ("by", "score", "record", "test record"))], rows, sort=False)


def trained(model: Facts) -> p.Section:
    """Curves, what "auto" became and why, kernels, time; one part for each time the model was taught."""
    about = ("backbone", "strategy", "loss", "regularise", "parameters", "parameters_learnt", "max_length", "temperature", "data")  # fmt: skip
    parts_of = {name: _parts(model[name]) for name in ("strategy", "loss", "regularise") if model.get(name)}
    known = [
        (named("told", name).replace("_", " "), {**model, **parts_of}[name])
        for name in about
        if model.get(name) not in (None, [])
    ]
    parts = []
    history = dict(model.get("history") or {})
    worth = history.pop("augment", None)
    for name, told in ({"tune": history} if "epochs" in history else history).items():
        parts += [p.heading(say(name.replace("_", " ").capitalize())) if len(history) > 1 else "", *_taught(told)]
    shown = [
        (name, _plain({named("side", key): one for key, one in value.items()}) if isinstance(value, Mapping) else value)
        for name, value in known
    ]
    return p.section(say("Training"), p.facts(shown) if shown else "", *parts, *(_augmented(worth) if worth else []))


def _augmented(worth: Sequence[Facts]) -> list[p.Part]:
    """What each augmentation made, and what that was worth on the validation side."""
    rows = [
        (one["name"], _worth(one), one.get("trial", ""), bool(one["kept"]), say(one["why"]), one["made"], one["seconds"])
        for one in worth
    ]  # fmt: skip
    heads = [*map(say, ("augmentation", "worth", "trial", "kept", "because", "records made", "seconds"))]
    changed = [
        p.together(p.heading(one["name"]), *(p.diff(before, after) for before, after in one.get("examples", ())))
        for one in worth
        if one.get("examples")
    ]
    return [
        p.heading(say("Augmentation")),
        p.table(heads, rows, sort=False),
        p.fold(say("Made records beside what they were made of"), *changed) if changed else "",
    ]


def _worth(one: Facts) -> str:
    """The difference that it made to the chief figure, with its interval."""
    if "difference" not in one:
        return say("not judged")
    value, low, high = (one["points"] * one["difference"][name] for name in ("value", "low", "high"))
    return say(f"{word(one['figure'])} {value:+.1f} {one['unit']} ({low:+.1f} to {high:+.1f})")


def _taught(history: Facts) -> list[p.Part]:
    """One history of the training loop."""
    figures = {"tokens_per_s": "tokens per second", "seconds": "seconds", "cpu_seconds": "CPU seconds", "examples": "examples seen", "padding_rate": "padding"}  # fmt: skip
    told = [(say(said), history[name]) for name, said in figures.items() if history.get(name) is not None]
    resolved, reasons = history.get("resolved") or {}, history.get("reasons") or {}
    rows = [(name, _plain(value), say(reasons.get(name, ""))) for name, value in resolved.items()]
    kernels = [str(line) for line in (history.get("kernels") or {}).get("why", [])]
    return [
        _curves(history),
        p.facts(told) if told else "",
        p.table([*map(say, ("setting", "value", "because"))], rows, sort=False) if rows else "",
        p.fold(say("Kernels chosen on this processor"), *map(say, kernels)) if kernels else "",
    ]


def _parts(named: Any) -> str:
    """What a setting names, in a line: gradual, layer_wise (decay 0.8)."""
    said = []
    for one in named if isinstance(named, list) else [named]:
        more = {key: value for key, value in one.items() if key != "use"} if isinstance(one, Mapping) else {}
        inside = ", ".join(f"{key} {value}" for key, value in more.items())
        said.append((one["use"] if isinstance(one, Mapping) else str(one)) + (f" ({inside})" if inside else ""))
    return ", ".join(said)


def _curves(history: Facts) -> p.Part:
    """Loss by epoch; the loss of each step, thinned, lies under it."""
    epochs, losses = history.get("epochs") or [], history.get("losses") or []
    if not epochs and not losses:
        return ""
    steps = max(len(losses), 1)
    thin = max(1, steps // 200)
    series: dict[str, list[tuple[float, float]]] = {say("training loss, by step"): [((at + thin / 2) * max(len(epochs), 1) / steps, fmean(losses[at : at + thin])) for at in range(0, len(losses), thin)]}  # fmt: skip
    for key, name in (
        ("validation_loss", say("validation loss")),
        ("validation_score", say(f"validation {word(history.get('figure', 'score'))}")),
    ):
        points = [(float(at + 1), one[key]) for at, one in enumerate(epochs) if one.get(key) is not None]
        if points:
            series[name] = points
    if not losses:
        series = {say("training loss"): [(at + 1, one["loss"]) for at, one in enumerate(epochs)], **series}
    best = history.get("best_epoch", -1)
    kept = say(f"Weights of epoch {best + 1} were kept.") if best >= 0 and epochs else ""
    early = " " + say("It stopped early.") if history.get("stopped_early") else ""
    return p.lines({name: pts for name, pts in series.items() if pts}, x=say("epoch"), dots=True, caption=kept + early)  # fmt: skip


def pretrained(info: Facts) -> p.Section:
    """What was learnt from text alone: how much text, the loss as it fell, the probe as it rose."""
    if "objective" not in info:
        return p.section(say("Pre-training"))
    corpus, history = info.get("corpus") or {}, info.get("history") or {}
    known = {
        "kind": info.get("kind"),
        "from": info.get("from"),
        "objective": _plain(info["objective"]),
        "parameters": info.get("parameters"),
        "vocabulary": info.get("vocabulary"),
        "texts": corpus.get("documents"),
        "tokens of text": corpus.get("tokens"),
        "tokens read": info.get("tokens"),
        "steps": info.get("steps"),
        "loss": info.get("loss"),
        "probe": info.get("probe"),
        "left out": _plain((info.get("texts") or {}).get("left_out") or {}) or None,
    }
    shown = [(say(name), value) for name, value in known.items() if value not in (None, "")]
    return p.section(say("Pre-training"), p.facts(shown), *_walk(history), *_taught(history)[1:])


def _walk(history: Facts) -> list[p.Part]:
    """Loss, learning rate and probe, by step of the optimiser."""
    losses, epochs = history.get("losses") or [], history.get("epochs") or []
    if not losses:
        return []
    thin = max(1, len(losses) // 200)
    loss = {
        say("training loss"): [(at + thin / 2, fmean(losses[at : at + thin])) for at in range(0, len(losses), thin)]
    }
    held = [(float(one["step"]), one["validation_loss"]) for one in epochs if one.get("validation_loss") is not None]
    if held:
        loss[say("held-out loss")] = held
    drawn: list[p.Part] = [p.lines(loss, x=say("step"), y=say("nats a token"), dots=True)]
    probes = {name for one in epochs for name in one.get("more") or {}}
    for name in sorted(probes):
        points = [(float(one["step"]), one["more"][name]) for one in epochs if name in (one.get("more") or {})]
        drawn.append(p.lines({name: points}, x=say("step"), y=say(f"accuracy of a linear {name}"), dots=True))
    rates = history.get("rates") or []
    if rates:
        thinned = [(float(at + 1), rates[at]) for at in range(0, len(rates), thin)]
        drawn.append(p.lines({say("rate"): thinned}, x=say("step"), y=say("learning rate")))
    return drawn


def compressed(report: Facts) -> p.Section:
    """What the smaller model cost, and whether it may serve."""
    if "agreement" not in report:
        return p.section(say("Compression"))
    before, after = report.get("bytes_before"), report.get("bytes_after")
    figures = [
        p.Tile(say("same answers"), p.share(report["agreement"]), note=say(f"on {report.get('num_texts', 0):,} validation texts")),
        *([p.Tile(say(f"drop in {word(report.get('figure', 'score'))}"), say(f"{report['drop']:.2f} points"))] if report.get("drop") is not None else []),
        *([p.Tile(say("size"), f"{after / 1e6:.0f} MB", note=say(f"from {before / 1e6:.0f} MB"))] if before and after else []),
        *([p.Tile(say("texts per second"), f"{report['speedup']:.1f} ×", note=say("against PyTorch here"))] if report.get("speedup") else []),
        *(p.Tile(say("same answers"), p.share(share), note=say(search)) for search, share in (report.get("searches") or {}).items()),
    ]  # fmt: skip
    good = report.get("accepted", True)
    said = say("It serves: it answers as the model it was made from." if good else "Refused: PyTorch serves.")
    return p.section(
        say("Compression"),
        p.tiles(figures),
        p.note(" ".join([said, *map(say, report.get("reasons", []))]), "good" if good else "bad"),
    )


def judged(numbers: Facts, folder: Path) -> p.Section:
    """The evaluation in short, with a link to the whole of it."""
    if "figure" not in numbers:
        return p.section(say("Evaluation"))
    from burnish.evaluate import page as evaluation
    from burnish.evaluate.page_errors import error_list

    return p.section(
        say("Evaluation"),
        evaluation.tiles(numbers),
        *evaluation.notes(numbers),
        evaluation.classes(numbers),
        evaluation.confused(numbers),
        evaluation.calibration(numbers, _confidences(folder, numbers["model"])),
        *_further(folder),
        p.heading(say("Worst errors")),
        error_list(numbers["errors"], shown=3, most=10) if numbers["errors"]["items"] else say("None."),
        p.link(say("The whole evaluation"), "evaluation/report.html")
        if (folder / "evaluation" / "report.html").exists()
        else "",
        lead=say(f"Judged by {numbers['judged_by']['about']}."),
    )


def _further(folder: Path) -> list[p.Part]:
    """Fairness, robustness and exposure, each its verdict and a link to its page."""
    made: list[p.Part] = []
    for name in ("fairness", "robustness", "exposure"):
        file = folder / "evaluation" / f"{name}.json"
        if file.exists():
            told = json.loads(file.read_text("utf-8"))
            made += [
                p.heading(say(name.capitalize())),
                p.note(told.get("said", {}).get(spoken(), told)["verdict"], told["tone"]),
                p.link(say("The whole page"), f"evaluation/{name}.html"),
            ]
    return made


def _confidences(folder: Path, model: str) -> list[float]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = folder / "evaluation" / "predictions.parquet"
    if not file.exists():
        return []
    if "score" not in pq.read_schema(file).names:
        return []
    table = pq.read_table(file, columns=["score", "model"])
    scores: list[float] = table.filter(pc.equal(table["model"], model))["score"].to_pylist()
    return scores


def steps(run: Facts) -> p.Section:
    """Every step, whether it was made or kept, and how long it took."""
    rows = [
        (f"{one['room']}.{one['use']}", say(one["status"]), one.get("seconds"), _plain({k: v for k, v in one["counts"].items() if not isinstance(v, dict | list)}), one["key"][:12])
        for one in run.get("steps", [])
    ]  # fmt: skip
    return p.section(
        say("Steps"),
        p.table([*map(say, ("step", "status", "seconds", "counts", "key"))], rows, sort=False) if rows else "",
    )


def _most(counts: Mapping[str, int], most: int = 12) -> list[tuple[str, float]]:
    """The largest first; the tail as one."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in ordered[most:])
    return [*ordered[:most], *([(say(f"{len(ordered) - most} others"), rest)] if rest else [])]


def _own(field: str, value: str) -> str:
    """A value of a column: burnish's own for none, a language by its name, a source as the data has it."""
    return say(value) if value.startswith("(") else named("language", value) if field == "language" else value


def _actions(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{action_of(action, spoken())} {count:,}" for action, count in counts.items())


def _plain(value: Any) -> str:
    """A small mapping or list in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return p.figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _flat(facts: Facts, before: str = "") -> list[tuple[str, object]]:
    """Nested facts as names with dots left out; long lists shortened."""
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        own = named("side", name) if before else named("split", name)  # below them stand labels, which are a user's
        shown = f"{before}{own.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{shown}: ")
        else:
            rows.append((shown, named("split", _plain(value))[:300] if value is not None else None))
    return rows[:60]
