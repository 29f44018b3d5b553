"""The certificate: how many of the constructed targets are right, as people found on a part of them drawn at random."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from burnish.core.artifacts import Gold, Records, Report
from burnish.core.errors import GateError
from burnish.core.stage import Context, Share, TaskSpec, stage
from burnish.core.tasktypes import open_task
from burnish.measures import certificate as measures
from burnish.measures import certificate_design as design
from burnish.nn.backbones import Backbone
from burnish.review import drawing
from burnish.review.certificate_page import page, story
from burnish.review.files import AUTO, Verdicts, verdicts_of
from burnish.review.targets import shown
from burnish.review.verdicts import Settled, Verdict, VerdictFile, canonical, read, settle
from burnish.tasks.editors import Editor

SHOWN_IDS = 20  # of a kind of verdict that could not be used
SLOWEST_S = 300.0  # a record that was open longer was left alone


class Drawn(Verdicts):
    """An annotation: a file of verdicts and, beside it, the draws that make them count; both by content."""

    @staticmethod
    def identify_for(value: str | None, task: TaskSpec) -> str:
        draws = drawing.place(task.run, task.base or Path())
        drawn = Verdicts.identify_for(str(draws), task) if draws.is_file() else "none"
        return f"{Verdicts.identify_for(value, task)} {drawn}"


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    found = []
    if not 0 < settings["width"] < 0.5:
        found.append(("width", f"must lie between 0 and 0.5, got {settings['width']}", "0.02: two points either way"))
    if not 0.5 <= settings["confidence"] < 1:
        found.append(("confidence", f"must lie in 0.5..1, got {settings['confidence']}", "0.95"))
    return found


@stage("review.certificate", check=_problems)
def certificate(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    width: Share = 0.02,
    min_accuracy: Share | None = None,
    verdicts: Annotated[str | None, Drawn()] = AUTO,
    confidence: Share = 0.95,
    backbone: Annotated[str | None, Backbone] = None,
) -> Report:
    """Say how many of the constructed targets are right, from what people found on records drawn at random.

    width: half the width of the interval that is asked for, in shares: 0.02 is two points either way.
    min_accuracy: share of right targets that the low end of the interval must reach; else the run stops (exit code 3).
    verdicts: file of what people decided (`burnish review` writes it); auto is NAME.verdicts.jsonl beside the spec.
    confidence: of the intervals, 0.95.
    backbone: also measure whether the constructed targets are worth it, by a probe on its embeddings (auto, or a name); null
    leaves that out. It needs one label a record, and checked records (`gold`, or verdicts) of two labels.

    `burnish certify RUN` draws the records and says how many; only verdicts on them count, for records that were chosen
    because they looked wrong say nothing about the others. Where `queue` carried verdicts out before, what is judged is what
    was shown, and the share after the corrections stands beside it. Memory: some words a record, and the drawn ones whole.
    """
    numbers = certify(
        records, gold, context, width=width, min_accuracy=min_accuracy, verdicts=verdicts, confidence=confidence,
        backbone=backbone,
    )  # fmt: skip
    for line in story(numbers):
        context.progress.tell(f"  {line}")
    html = page(numbers, title=context.name)
    if min_accuracy is not None and not numbers["holds"]:
        shown_at = context.scratch / "report.html"
        shown_at.write_text(html, encoding="utf-8")
        raise GateError(numbers["verdict"], where="review.certificate", hint=numbers["next"][0])
    return Report(numbers, html)


def certify(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    width: float,
    min_accuracy: float | None = None,
    verdicts: str | None = AUTO,
    confidence: float = 0.95,
    backbone: str | None = None,
) -> dict[str, Any]:
    """The numbers of a certificate. With no draw, or nothing checked of it, they say so and what to do."""
    task = open_task(context.task)
    lines = drawing.read(drawing.place(context.name, context.base))
    file = read(verdicts_of(verdicts, context.name, context.base)) if verdicts is not None else None
    found = drawing.population(records, task)
    rows = drawing.rows_of(records, {one.id for one in lines} | set(file.newest if file else ()), task.editors())
    judged = judge(lines, file, rows, task)
    numbers: dict[str, Any] = {
        "kind": "certificate", "records": len(found), "drawn": len(lines), "asked": {"width": width, "confidence": confidence, "min_accuracy": min_accuracy},
        "frame": found.frame, "language": "zh" if context.task.languages[:1] == ("zh",) else "en", "task": context.task.type,
        "set_aside": {name: {"count": one["count"], "ids": one["ids"][:SHOWN_IDS]} for name, one in judged.aside.items()}, "unreadable": [vars(one) for one in file.unreadable][:SHOWN_IDS] if file else [],
        "least": design.simple_needed(max(len(found), 1), 1.0, width, confidence=confidence), "changed_since": judged.changed, "reviewers": judged.reviewers, "seconds_a_record": judged.seconds or found.seconds,
        "new_since": max(0, len(found) - sum({one.stratum: one.size for one in lines}.values())) if lines else 0,
    }  # fmt: skip
    if judged.ids:
        numbers |= measured(judged, found, lines, task, width=width, confidence=confidence)
    if backbone is not None:
        from burnish.review.gold_curves import worth

        numbers["worth"] = worth(records, gold, judged, context, backbone=backbone)
    numbers["holds"] = holds(numbers, min_accuracy)
    from burnish.review.certificate_words import sentences

    return numbers | sentences(numbers)


@dataclass
class Judged:
    """Drawn records that people decided on, in the order of the draw.

    right: whether the target as it was constructed is what it should be; given, true: targets, true None where a person
    only said that it is wrong. aside: reason -> how many verdicts could not be used and some of their ids.
    """

    ids: list[str] = field(default_factory=list)
    draws: list[drawing.Draw] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=list)
    true: list[dict[str, Any] | None] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    aside: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: int = 0
    corrected: int = 0
    refused: int = 0
    reviewers: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    known: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)  # id -> (row, true target)

    def leave(self, reason: str, one: str) -> None:
        held = self.aside.setdefault(reason, {"count": 0, "ids": []})
        held["count"] += 1
        held["ids"].append(one)


def judge(
    lines: Sequence[drawing.Draw], file: VerdictFile | None, rows: Mapping[str, dict[str, Any]], task: Any
) -> Judged:
    """Hold what people said against what was constructed.

    Of several lines of a reviewer the newest counts, of several reviewers who adjudicates or else a strict majority. Set
    aside, with reasons: gone (no such record any more), skipped, disputed, stale (refused as something that it is not any
    more), chosen (checked, but not drawn at random).
    """
    made, editors = Judged(), task.editors()
    newest = file.newest if file else {}
    seconds: list[float] = []
    ids = {one.id for one in lines}
    for one, said in newest.items():
        way = settle(said)
        if one in rows and way.state == "decided" and (target := _true(way, rows[one], editors)) is not None:
            made.known[one] = (rows[one], target)
        if one not in ids and way.state != "open":
            made.leave("gone" if one not in rows else "chosen", one)
    for draw in lines:
        said = newest.get(draw.id, {})
        way = settle(said)
        row = rows.get(draw.id)
        if row is None or not drawing.constructed(row, editors):
            made.leave("gone", draw.id)
            continue
        if way.state in ("skipped", "disputed"):
            made.leave(way.state, draw.id)
        if way.state != "decided":
            continue
        given, true, changed = _against(way, said, row, editors)
        if given is None:
            made.leave("stale", draw.id)
            continue
        made.changed += changed
        made.corrected += row.get("label_from") == "review" or not row["keep"]
        made.refused += way.verdict == "reject"
        seconds += [one.seconds for one in said.values() if 0 < one.seconds <= SLOWEST_S]
        for name in way.by:
            made.reviewers[name] = made.reviewers.get(name, 0) + 1
        made.ids.append(draw.id)
        made.draws.append(draw)
        made.right.append(true is not None and canonical(given) == canonical(true))
        made.given.append(given)
        made.true.append(true)
        made.rows.append(row)
    made.seconds = statistics.median(seconds) if len(seconds) >= 5 else None
    return made


def _true(way: Settled, row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any] | None:
    """The target that a decision stands for; None where it only says that the one it saw is wrong."""
    if way.verdict == "reject":
        return None
    return way.target if way.target is not None else shown(row, editors)


def _against(
    way: Settled, said: Mapping[str, Verdict], row: Mapping[str, Any], editors: Sequence[Editor]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, bool]:
    """(target that is judged, target that it should be, whether it changed since it was shown).

    What people themselves corrected is judged as it was shown to them: judged as it is now, every checked record would
    be right. What something else changed is judged as it is now. Given None: nothing can be said.
    """
    was = next((said[name].was for name in reversed(way.by) if said[name].was is not None), None)
    now, true = shown(row, editors), _true(way, row, editors)
    by_people = row.get("label_from") == "review" or not row["keep"]
    if by_people:
        if was is None and way.verdict != "accept":
            return {"unknown": True}, true, False  # it was changed, so it was not right
        return (was if was is not None else now), true, False
    changed = was is not None and canonical(was) != canonical(now)
    if true is None and changed:
        return None, None, True
    return now, true, changed


def measured(
    judged: Judged,
    found: drawing.Population,
    lines: Sequence[drawing.Draw],
    task: Any,
    *,
    width: float,
    confidence: float,
) -> dict[str, Any]:
    """The certificate's figures from what was judged."""
    names = list(dict.fromkeys(one.stratum for one in lines))
    number = {name: at for at, name in enumerate(names)}
    first = {one.stratum: one for one in lines}
    gone = set(judged.aside.get("gone", {}).get("ids", ()))
    drawn = np.bincount([number[one.stratum] for one in lines], minlength=len(names))
    lost = np.bincount([number[one.stratum] for one in lines if one.id in gone], minlength=len(names))
    size = np.array([first[name].size for name in names], dtype=np.float64)
    sizes = np.maximum(np.round(size * (1 - lost / drawn)), 1).astype(np.int64)  # of the records that are still there
    guess = np.array([first[name].guess for name in names])
    chance = dict(zip(found.ids, design.guessed(found.confidence).tolist(), strict=True))
    stratum = np.array([number[one.stratum] for one in judged.draws], dtype=np.int64)
    sizes = np.maximum(sizes, np.bincount(stratum, minlength=len(names)))
    belief = np.array([chance.get(one, design.CAUTION) for one in judged.ids])
    checks = measures.Checks(stratum, sizes, guess, np.array(judged.right, dtype=bool), belief)
    planned = design.needed(sizes, guess, width, confidence=confidence)
    unchecked = _unchecked(found, lines, judged, number, width, confidence)
    made: dict[str, Any] = {
        "accuracy": measures.accuracy(checks, unchecked, planned=planned, confidence=confidence),
        "strata": _strata(checks, names),
    }
    made["narrow"] = made["accuracy"]["half_width"] <= width
    made["more"] = 0 if made["narrow"] else _more(checks, width, confidence)
    made["simple"] = design.simple_needed(
        int(sizes.sum()), min(max(made["accuracy"]["value"], 0.01), 0.999), width, confidence=confidence
    )
    if judged.corrected:
        after = measures.after_review(checks, refused=judged.refused, confidence=confidence)
        made["after_review"] = measures.plain(after)
    if uncertain := sum(judged.aside.get(name, {}).get("count", 0) for name in ("skipped", "disputed")):
        made["at_worst"] = _at_worst(judged, checks, lines, number, uncertain, confidence)
    return made | _of_targets(judged, checks, task, confidence)


def _unchecked(
    found: drawing.Population, lines: Sequence[drawing.Draw], judged: Judged, number: Mapping[str, int], width: float,
    confidence: float,
) -> tuple[np.ndarray, np.ndarray] | None:  # fmt: skip
    """Stratum and belief of the records nobody checked; None where the records are not those of the draw any more."""
    if not lines or lines[0].frame != found.frame:
        return None
    cut, _ = drawing.strata(found, width=width, confidence=confidence, planned=lines[0].planned)
    if set(cut.names) != set(number):
        return None
    place = np.array([number[name] for name in cut.names])[cut.number]
    checked = set(judged.ids)
    rest = np.array([one not in checked for one in found.ids])
    return place[rest], design.guessed(found.confidence)[rest]


def _more(checks: measures.Checks, width: float, confidence: float) -> int:
    """Checks that are still missing, as far as those made tell."""
    right, checked = checks.counts()
    rates = design.settled(right, checked, checks.guess)
    done = np.maximum(checked, np.minimum(1, checks.sizes))
    return max(1, design.needed(checks.sizes, rates, width, done=done, confidence=confidence) - int(checked.sum()))


def _strata(checks: measures.Checks, names: Sequence[str]) -> list[dict[str, Any]]:
    right, checked = checks.counts()
    return [
        {"stratum": name, "records": int(size), "checked": int(n), "right": int(x), "guess": float(g)}
        for name, size, n, x, g in zip(names, checks.sizes, checked, right, checks.guess, strict=True)
    ]


def _at_worst(
    judged: Judged, checks: measures.Checks, lines: Sequence[drawing.Draw], number: Mapping[str, int], count: int,
    confidence: float,
) -> dict[str, float]:  # fmt: skip
    """The share right if all records that nobody could decide were wrong."""
    open_ = {one for name in ("skipped", "disputed") for one in judged.aside.get(name, {}).get("ids", ())}
    more = np.array([number[one.stratum] for one in lines if one.id in open_], dtype=np.int64)
    stratum = np.concatenate([checks.stratum, more])
    sizes = np.maximum(checks.sizes, np.bincount(stratum, minlength=len(checks.sizes)))
    worst = measures.Checks(
        stratum, sizes, checks.guess, np.concatenate([checks.right, np.zeros(len(more), dtype=bool)]),
        np.concatenate([checks.belief, np.zeros(len(more))]),
    )  # fmt: skip
    found = measures.accuracy(worst, planned=len(stratum), confidence=confidence)
    return {"value": found["value"], "low": found["low"], "high": found["high"], "records": count}


def _of_targets(judged: Judged, checks: measures.Checks, task: Any, confidence: float) -> dict[str, Any]:
    """What else can be said, by the kind of target: labels and their noise, or mentions."""
    editors = task.editors()
    kinds = {one.kind for one in editors}
    if kinds == {"label"} and len(editors) == 1:
        return _of_labels(judged, checks, editors[0], confidence)
    if kinds & {"spans", "relations", "labels"}:
        given = [mentions_of(one, editors) for one in judged.given]
        true = [None if one is None else mentions_of(one, editors) for one in judged.true]
        label_of = {one: one[1] for some in [*given, *true] for one in some or ()}
        return {"mentions": measures.mentions(checks, given, true, label_of, confidence=confidence)}
    return {}


def _of_labels(judged: Judged, checks: measures.Checks, editor: Editor, confidence: float) -> dict[str, Any]:
    def name(target: Mapping[str, Any] | None) -> str | None:
        value = None if target is None else editor.shown(target)
        return None if value is None else str(value)

    said = [(name(a), name(b)) for a, b in zip(judged.given, judged.true, strict=True)]
    labels = list(dict.fromkeys([*editor.labels, *(one for pair in said for one in pair if one is not None)]))
    of = {label: at for at, label in enumerate(labels)}
    given = np.array([-1 if a is None else of[a] for a, _ in said], dtype=np.int64)
    true = np.array([-1 if b is None else of[b] for _, b in said], dtype=np.int64)
    seen = given >= 0
    part = measures.Checks(
        checks.stratum[seen], checks.sizes, checks.guess, checks.right[seen], checks.belief[seen]
    )  # fmt: skip
    if not seen.any():
        return {}
    return {
        "labels": measures.by_label(part, given[seen], true[seen], labels, confidence=confidence),
        "noise": measures.transitions(part, given[seen], true[seen], labels, confidence=confidence),
    }


def mentions_of(target: Mapping[str, Any], editors: Sequence[Editor]) -> frozenset[Any]:
    """What stands in a target, each as (kind, label, where); relations by the spans they join."""
    made: set[Any] = set()
    spans = target.get("spans") or []
    ends = [(one["start"], one["end"], one["label"]) for one in spans]
    related = any(one.kind == "relations" for one in editors)
    for editor in editors:
        value = editor.shown(target) or ()
        if editor.kind == "spans" and not related:
            made |= {("spans", one["label"], one["start"], one["end"]) for one in value}
        elif editor.kind == "relations":
            made |= {("relations", one["label"], ends[one["head"]], ends[one["tail"]]) for one in value}
        elif editor.kind == "labels":
            made |= {("labels", one) for one in value}
    return frozenset(made)


def holds(numbers: Mapping[str, Any], least: float | None) -> bool | None:
    """Whether the low end of the interval reaches `least`; None where nothing is asked, False where nothing is known.

    Before the interval is as narrow as was agreed somebody may have looked many times, so the one that holds at any look
    is asked.
    """
    if least is None:
        return None
    found = numbers.get("accuracy")
    if found is None:
        return False
    low = found["low"] if numbers["narrow"] else found["any_look"]["low"]
    return bool(low >= least)


def draw(
    records: Records,
    context: Context,
    *,
    width: float,
    confidence: float = 0.95,
    sample: int | None = None,
    verdicts: str = AUTO,
) -> dict[str, Any]:
    """Draw the records that a person should check next, and write them beside the spec; say how many.

    The first draw holds what is expected to be needed; later ones what is still missing after the verdicts so far. A draw
    grows: who was in it stays in it. When the records changed since, it is drawn anew, and keeps most of what it had.
    sample: this many in all instead.
    """
    task = open_task(context.task)
    path = drawing.place(context.name, context.base)
    lines = drawing.read(path)
    found = drawing.population(records, task)
    same = bool(lines) and lines[0].frame == found.frame
    if not len(found):
        from burnish.core.errors import DataError

        raise DataError("no record has a target yet", where=context.name, hint="burnish run --to construct")
    cut, planned = drawing.strata(found, width=width, confidence=confidence, planned=lines[0].planned if same else None)
    if not same:
        have = np.zeros(len(cut.sizes), dtype=np.int64)
        many = sample or design.needed(cut.sizes, cut.guess, width, confidence=confidence)
        checks = design.allocate(cut.sizes, cut.guess, many)
    else:
        have = np.array([sum(one.stratum == name for one in lines) for name in cut.names], dtype=np.int64)
        checks = _grown(cut, have, lines, records, context, task, width, confidence, sample, verdicts)
    made = drawing.drawn(found, cut, checks, planned=planned, seed=context.seed)
    kept = [one for one in lines if same]
    old = {one.id for one in kept}
    weight = {one.id: one for one in made}
    ordered = [weight[one.id] for one in kept if one.id in weight] + [one for one in made if one.id not in old]
    drawing.write(path, ordered)
    return {"file": str(path), "drawn": len(ordered), "new": len(ordered) - len(old), "anew": bool(lines) and not same, "records": len(found), "strata": len(cut.sizes)}  # fmt: skip


def _grown(
    cut: design.Strata, have: np.ndarray, lines: Sequence[drawing.Draw], records: Records, context: Context, task: Any,
    width: float, confidence: float, sample: int | None, verdicts: str,
) -> np.ndarray:  # fmt: skip
    """(H,) records of each stratum in the grown draw: enough for what the verdicts so far say is missing."""
    if sample is not None:
        return design.allocate(cut.sizes, cut.guess, max(sample, int(have.sum())), done=have)
    file = read(verdicts_of(verdicts, context.name, context.base))
    judged = judge(lines, file, drawing.rows_of(records, {one.id for one in lines}, task.editors()), task)
    number = {name: at for at, name in enumerate(cut.names)}
    stratum = np.array([number[one.stratum] for one in judged.draws], dtype=np.int64)
    checked = np.bincount(stratum, minlength=len(cut.sizes))
    right = np.bincount(stratum, weights=judged.right, minlength=len(cut.sizes)) if len(stratum) else checked
    rates = design.settled(right, checked, cut.guess) if len(stratum) else cut.guess
    lost = sum(one["count"] for name, one in judged.aside.items() if name in ("skipped", "disputed", "gone", "stale"))
    many = design.needed(
        cut.sizes, rates, width, done=np.maximum(checked, np.minimum(1, cut.sizes)), confidence=confidence
    )
    return design.allocate(cut.sizes, rates, many + lost, done=have)
