"""Spans of a text: who names a span votes for it, who names none abstains; votes become spans that are believed.

A span's belief stays with the record: among its votes, by the labeller `aggregate:METHOD`, stand the spans it says and,
under `doubt`, those that votes named and it does not say (who learns from the record can leave them out of the loss).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from burnish.construct.forms import Form, Said, votable
from burnish.construct.labels.one_label import joined, nobody_voted
from burnish.construct.making import was_made
from burnish.construct.spans import evidence, models, unnamed
from burnish.construct.spans.models import Found, Learnt, Problem
from burnish.construct.spans.votes import Mentions, candidates_of, mentions_of, truth_of, units_of
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import DOUBT, VOTE
from burnish.core.stage import Context, TaskSpec, nearest
from burnish.core.tasktypes import open_task
from burnish.tasks.tagging import NOTHING, SOMETHING

DOUBTED = 0.15  # belief from which a span that is not said is kept as a doubt
SAMPLE = 20_000  # records with votes that the methods learn from
COMPLETE = ("model", "teacher")  # kinds of labellers that read the whole text: their silence says something


class Spans(Form):
    """Stretches of the text with labels of the task, flat or nested."""

    name, methods, about = "spans", ("majority", "weighted", "hmm"), "spans of a text"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        length = len(record.get("text") or "")
        made = []
        for one in answer.get("spans") or ():
            label, start, end, score = one.get("label"), one.get("start"), one.get("end"), one.get("score")
            if label not in votable(task):
                raise ValueError(f"{label!r} is not a label of the task ({nearest(str(label), task.labels, 'it has')})")
            if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= length:
                raise ValueError(f"span {start}..{end} is not inside a text of {length} characters")
            made.append(Said(label, 1.0 if score is None else float(score), start, end))
        return made

    def returned(self, value: Any) -> Mapping[str, Any]:
        rows = [value] if isinstance(value, tuple) and len(value) in (3, 4) and isinstance(value[0], int) else value
        wanted = "return a list of (start, end, label) or (start, end, label, confidence in 0..1), or None"
        if not isinstance(rows, list | tuple):
            raise ValueError(wanted)
        spans = []
        for one in rows:
            if isinstance(one, Mapping):
                one = (one.get("start"), one.get("end"), one.get("label"), one.get("score", 1.0))
            if not isinstance(one, list | tuple) or len(one) not in (3, 4) or not isinstance(one[2], str):
                raise ValueError(wanted)
            score = one[3] if len(one) == 4 else 1.0
            if not isinstance(score, int | float) or not 0 <= score <= 1:
                raise ValueError(wanted)
            spans.append({"start": one[0], "end": one[1], "label": one[2], "score": float(score)})
        return {"spans": spans}

    def aggregate(
        self,
        records: Records,
        votes: Sequence[Votes],
        gold: Gold | None,
        context: Context,
        *,
        method: str,
        min_confidence: float,
    ) -> Records:
        labels = context.task.labels
        nested = bool(open_task(context.task).nested)
        labellers, table = joined(votes)
        num_gold = len(gold) if gold is not None else 0
        mentions = mentions_of(table, labellers, len(records), num_gold, labels)
        nobody_voted(mentions.covered[: len(records)])
        truth = truth_of(gold, len(records), labels)
        denials, hints = (
            unnamed.votes_of(sign, table, labellers, len(records), num_gold, labels) for sign in (NOTHING, SOMETHING)
        )
        denied = unnamed.Denials(denials).heeded(truth)
        covered, text_of = mentions.covered, unnamed.texts_of(denied, records, gold)
        mentions, lost = denied.kept(mentions, text_of, num_records=len(records))
        hints, _ = denied.kept(hints, text_of, num_records=len(records))
        problem, texts = _sample(records, gold, mentions, hints, truth, labellers, nested, context.seed)
        asked = [one for one in self.methods if not (nested and one == "hmm")]
        if method != "auto" and method not in asked:
            raise BurnishError(
                "the HMM tags every character once, and here spans lie inside one another",
                where="construct.aggregate: method",
                hint="method: auto, weighted or majority",
            )
        judged = evidence.judge(problem, texts, methods=asked, seed=context.seed)
        singles = evidence.singles(problem, labellers)
        best = _best(singles, labellers) if problem.truth else None
        name, why = _decided(method, judged, best, problem)
        if name == "single":
            assert best is not None
            place = [one.name for one in labellers].index(best[0])
            learnt, name = models.alone(problem, place), f"single {best[0]}"
        else:
            learnt = next(one.learnt for one in judged if one.method == name)
        silent = _silent_belief(problem, next((one.learnt for one in judged if one.method == "hmm"), None))
        made = Records.stream(
            _labelled(
                records,
                table,
                mentions,
                hints,
                covered,
                learnt,
                labellers,
                context,
                name,
                min_confidence,
                silent,
                nested,
            )
        )
        made.facts = _facts(problem, learnt, labellers, judged, singles, best, name, why, silent, mentions, len(records), context)  # fmt: skip
        made.facts |= unnamed.facts_of(unnamed.Denials(denials), denied, hints, lost, truth, labellers, made.facts)
        made.facts["story"] = _story(made.facts)
        return made

    def self_train(self, records: Records, gold: Gold | None, context: Context, **settings: Any) -> Records:
        from burnish.construct.spans.training import of_spans

        return of_spans(records, gold, context, **settings)


FORM = Spans()


def _sample(
    records: Records,
    gold: Gold | None,
    mentions: Mentions,
    hints: Mentions,
    truth: Mapping[int, frozenset[tuple[int, int, int]]],
    labellers: Sequence[Labeller],
    nested: bool,
    seed: int,
) -> tuple[Problem, list[str]]:
    """What methods learn from: all checked records, SAMPLE records with votes, and as many as a tenth of them without."""
    covered = np.flatnonzero(mentions.covered[: len(records)])
    bare = np.flatnonzero(~mentions.covered[: len(records)])
    draw = np.random.default_rng(seed)
    if len(covered) > SAMPLE:
        covered = np.sort(draw.choice(covered, SAMPLE, replace=False))
    if len(bare) > len(covered) // 10 + 10:
        bare = np.sort(draw.choice(bare, len(covered) // 10 + 10, replace=False))
    chosen = np.sort(np.concatenate([covered, bare]))
    rows = np.concatenate([chosen, np.array(sorted(truth), np.int64)]).astype(np.int64)
    texts, at, wanted = [], 0, set(chosen.tolist())
    for batch in records.batches(["text"]):
        texts += [text or "" for row, text in enumerate(batch["text"].to_pylist(), at) if row in wanted]
        at += len(batch)
    checked = gold.column("text") if gold is not None else []
    texts += [checked[row - len(records)] or "" for row in sorted(truth)]
    part = mentions.of_rows(rows)
    place = {int(row): at for at, row in enumerate(rows)}
    claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
    silence = np.array([1.0 if one.kind in COMPLETE else 0.0 for one in labellers])
    known = {place[row]: spans for row, spans in truth.items()}
    candidates = candidates_of(part, nested=nested)
    units = units_of(texts, part)
    return Problem(part, candidates, units, known, claimed, silence, nested, hints.of_rows(rows)), texts


def _best(singles: Sequence[evidence.Counts], labellers: Sequence[Labeller]) -> tuple[str, evidence.Counts]:
    """The labeller with the best entity F1 on gold, by name."""
    at = max(range(len(singles)), key=lambda one: singles[one].f1)
    return labellers[at].name, singles[at]


def _decided(
    method: str, judged: Sequence[evidence.Judged], best: tuple[str, evidence.Counts] | None, problem: Problem
) -> tuple[str, str]:
    if method == "auto":
        return evidence.choose(judged, best, problem)
    asked = next(one for one in judged if one.method == method)
    if asked.refused:
        raise BurnishError(
            f"method {method} {asked.refused}: its spans would be of no use",
            where="construct.aggregate",
            hint="method: auto chooses one that holds",
        )
    return method, "the spec says so"


def _silent_belief(problem: Problem, hmm: Learnt | None) -> tuple[float, str]:
    """How far a record on which nobody votes is believed to hold no span, and how that is known.

    From checked records without votes where there are ten; else by the HMM's silence of those that read whole texts.
    """
    bare = [row for row in problem.truth if not problem.mentions.covered[row]]
    if len(bare) >= 10:
        empty = sum(not problem.truth[row] for row in bare)
        return (empty + 0.5) / (len(bare) + 1), f"{empty} of {len(bare)} gold records without a vote hold none"
    if hmm is not None and problem.silence.any():
        rows = np.flatnonzero(~problem.mentions.covered)
        if len(rows):
            return float(hmm(problem).silent[rows].mean()), "as the HMM reads the silence of models and teachers"
    return float("nan"), "nothing says what silence means"


def _labelled(
    records: Records,
    table: pa.Table,
    mentions: Mentions,
    hints: Mentions,
    covered: NDArray[np.bool_],
    learnt: Learnt,
    labellers: Sequence[Labeller],
    context: Context,
    name: str,
    min_confidence: float,
    silent: tuple[float, str],
    nested: bool,
) -> Iterator[pa.Table]:
    """Records with spans, confidence, votes (its own beliefs among them) and one line of trail, batch by batch."""
    claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
    silence = np.array([1.0 if one.kind in COMPLETE else 0.0 for one in labellers])
    for at, batch, cast in votes_of_rows(records, table):
        here = np.arange(at, at + len(batch))
        part = mentions.of_rows(here)
        units = units_of([text or "" for text in batch["text"].to_pylist()], part)
        candidates = candidates_of(part, nested=nested)
        problem = Problem(part, candidates, units, {}, claimed, silence, nested, hints.of_rows(here))
        found = learnt(problem)
        origin = f"aggregate:{name}"
        open_places = unnamed.open_places(problem, found)
        yield _written(
            batch, cast, found, open_places, covered[here], context.task.labels, origin, min_confidence, silent
        )


def _written(
    batch: pa.Table,
    cast: pa.Array,
    found: Found,
    open_places: Sequence[Sequence[tuple[int, int]]],
    covered: NDArray[np.bool_],
    labels: Sequence[str],
    origin: str,
    min_confidence: float,
    silent: tuple[float, str],
) -> pa.Table:
    edges = np.searchsorted(found.row, np.arange(len(batch) + 1))
    old = batch.select(["spans", "confidence", "label_from", "trail"]).to_pylist()
    hint = SOMETHING if SOMETHING not in labels else None  # contradicts no vote, and would seem to
    said = [[one for one in votes or () if one["label"] != hint] for votes in cast.to_pylist()]
    new: list[tuple[Any, ...]] = []
    for row, was in enumerate(old):
        trail = list(was["trail"] or [])
        if covered[row]:
            here = range(edges[row], edges[row + 1])
            chosen = [at for at in here if found.chosen[at] and found.belief[at] >= min_confidence]
            spans = [_span(found, at, labels) for at in chosen]
            doubts = [at for at in here if at not in set(chosen) and found.belief[at] >= DOUBTED]
            said[row] += [_vote(found, at, labels, origin) for at in chosen]
            said[row] += [_vote(found, at, labels, DOUBT) for at in doubts]
            said[row] += [
                {"labeller": DOUBT, "start": start, "end": end, "label": SOMETHING, "confidence": DOUBTED}
                for start, end in open_places[row]
            ]
            sure = [float(found.belief[at]) for at in chosen] + [1 - float(found.belief[at]) for at in doubts]
            confidence = float(np.mean(sure)) if sure else 1.0
            trail.append(f"{origin}: {len(spans)} spans {confidence:.2f}" + f", {len(doubts)} in doubt" * bool(doubts))
            new.append((spans, confidence, origin, trail))
        elif was_made(was["label_from"]):
            new.append((was["spans"], was["confidence"], was["label_from"], trail))
        elif silent[0] >= max(min_confidence, 0.5):
            trail.append(f"{origin}: nobody votes, none {silent[0]:.2f}")
            new.append(([], silent[0], origin, trail))
        else:
            if was["spans"] is not None:
                trail.append(f"{origin}: nobody votes, the given spans are set aside")
            new.append((None, None, None, trail))
    columns = list(zip(*new, strict=True)) if new else [()] * 4
    for column, values in zip(("spans", "confidence", "label_from", "trail"), columns, strict=True):
        place = batch.schema.get_field_index(column)
        batch = batch.set_column(place, column, pa.array(list(values), batch.schema.field(column).type))
    place = batch.schema.get_field_index("votes")
    return batch.set_column(place, "votes", pa.array(said, pa.list_(VOTE)))


def _span(found: Found, at: int, labels: Sequence[str]) -> dict[str, Any]:
    return {"start": int(found.start[at]), "end": int(found.end[at]), "label": labels[int(found.label[at])]}


def _vote(found: Found, at: int, labels: Sequence[str], who: str) -> dict[str, Any]:
    return {"labeller": who, **_span(found, at, labels), "confidence": round(float(found.belief[at]), 4)}


def _facts(
    problem: Problem,
    learnt: Learnt,
    labellers: Sequence[Labeller],
    judged: Sequence[evidence.Judged],
    singles: Sequence[evidence.Counts],
    best: tuple[str, evidence.Counts] | None,
    name: str,
    why: str,
    silent: tuple[float, str],
    mentions: Mentions,
    num_records: int,
    context: Context,
) -> dict[str, Any]:
    labels, num_gold = context.task.labels, len(problem.truth)
    found = learnt(problem)
    covered = mentions.covered[:num_records]
    facts: dict[str, Any] = {
        "method": name,
        "why": why,
        "figure": "entity F1",
        "records": num_records,
        "coverage": float(covered.mean()) if num_records else 0.0,
        "gold": num_gold,
        "gold_covered": int(sum(bool(problem.mentions.covered[row]) for row in problem.truth)),
        "methods": evidence.method_table(judged, num_gold, seed=context.seed),
        "best_single": None,
        "silence": {"belief": None if np.isnan(silent[0]) else silent[0], "why": silent[1]},
        "labels": dict(
            zip(labels, np.bincount(found.label[found.chosen], minlength=len(labels)).tolist(), strict=True)
        ),
        "labellers": evidence.labeller_table(problem, found, singles, labellers),
    }
    if best is not None:
        low, high = best[1].interval(seed=context.seed)
        facts["best_single"] = {"name": best[0], "accuracy": best[1].f1, "interval": [low, high]}
    return facts


def _story(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{len(facts['labellers'])} labellers name spans in {facts['coverage']:.1%} of {facts['records']:,} records",
        f"aggregation: {facts['method']}, because {facts['why']}",
    ]
    if facts["gold"] and facts["best_single"]:
        compared = [f"{one['method']} {one['accuracy']:.3f}" for one in facts["methods"]]
        single = facts["best_single"]
        lines.append(
            f"entity F1 on {facts['gold']} gold records, each judged without itself: {', '.join(compared)}; best single "
            f"labeller ({single['name']}) {single['accuracy']:.3f}"
        )
    lines += [f"refused: {one['method']} {one['refused']}" for one in facts["methods"] if one["refused"]]
    belief = facts["silence"]["belief"]
    if facts["coverage"] < 1:
        if belief is not None and belief >= 0.5:
            lines.append(f"records without a vote are taken to hold no span ({belief:.0%}: {facts['silence']['why']})")
        else:
            lines.append(f"records without a vote stay without spans: {facts['silence']['why']}")
    lines += unnamed.story_of(facts)
    active = ("votes", "denied", "supposed")
    idle = [one["name"] for one in facts["labellers"] if not any(one.get(key) for key in active)]
    if idle:
        lines.append(f"never vote: {', '.join(idle[:5])}{' …' if len(idle) > 5 else ''}")
    return lines
