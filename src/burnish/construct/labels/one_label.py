"""One label a record: one vote matrix becomes one belief, by the method that the evidence is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, Said, votable
from burnish.construct.labels import evidence
from burnish.construct.labels.label_models import METHODS, Ballots, collapsed
from burnish.construct.making import was_made
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, TaskSpec, nearest


class OneLabel(Form):
    """One of the task's labels a record, one categorical belief."""

    name, methods, about = "label", tuple(METHODS), "one label a text"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        label = answer.get("label")
        if label is None:
            return []
        if label not in (labels := votable(task)):
            raise ValueError(f"{label!r} is not a label of the task ({nearest(str(label), labels, 'it has')})")
        score = answer.get("score")
        return [Said(label, 1.0 if score is None else float(score))]

    def returned(self, value: Any) -> Mapping[str, Any]:
        label, sure = value if isinstance(value, tuple) and len(value) == 2 else (value, 1.0)
        if not isinstance(label, str) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
            raise ValueError("return a label, a label with a confidence in 0..1, or None")
        return {"label": label, "score": float(sure)}

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
        labellers, table = joined(votes)
        known = known_rows(len(records), gold, labels)
        ballots = to_ballots(table, labellers, len(records), known, labels)
        nobody_voted(ballots.covered[known < 0])
        claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
        judged = evidence.judge(ballots, known, claimed, methods=list(METHODS), seed=context.seed)
        name, why = decide(method, judged, ballots)
        beliefs = METHODS[name](ballots, known, claimed).beliefs(ballots)
        made = Records.stream(
            _labelled(records, table, beliefs, ballots.covered, f"aggregate:{name}", min_confidence, labels)
        )
        made.facts = _facts(ballots, known, claimed, beliefs, labellers, judged, name, why, context)
        return made

    def self_train(self, records: Records, gold: Gold | None, context: Context, **settings: Any) -> Records:
        from burnish.construct.self_training import of_one_label

        return of_one_label(records, gold, context, **settings)


FORM = OneLabel()


def nobody_voted(covered: np.ndarray) -> None:
    """Votes that reach no record are a mistake of the spec."""
    if not covered.any():
        raise BurnishError(
            "no labeller voted on any record",
            where="construct",
            hint="look at the words and patterns: `burnish run --to construct --limit 100` shows coverage at once",
        )


def joined(votes: Sequence[Votes]) -> tuple[list[Labeller], pa.Table]:
    """All labellers under names that are their own (a second `x` becomes `x#2`) and all votes, sorted by row."""
    taken: Counter[str] = Counter()
    labellers: list[Labeller] = []
    tables = []
    for one in votes:
        renamed = {}
        for labeller in one.labellers:
            taken[labeller.name] += 1
            times = taken[labeller.name]
            renamed[labeller.name] = labeller.name if times == 1 else f"{labeller.name}#{times}"
            labellers.append(replace(labeller, name=renamed[labeller.name]))
        names = pa.array([renamed[name] for name in one.table["labeller"].to_pylist()], pa.string())
        tables.append(one.table.set_column(one.table.schema.get_field_index("labeller"), "labeller", names))
    return labellers, pa.concat_tables(tables).sort_by("row").combine_chunks()


def known_rows(num_records: int, gold: Gold | None, labels: Sequence[str]) -> np.ndarray:
    """(records + gold,) index of the checked label, -1 for every record and for gold without a label."""
    of = {label: index for index, label in enumerate(labels)}
    checked = gold.column("label") if gold is not None else []
    strange = sorted({label for label in checked if label is not None and label not in of})
    if strange:
        raise BurnishError(
            f"gold records have label {strange[0]!r}, which the task does not",
            where="gold",
            hint=nearest(strange[0], labels, "the task has"),
        )
    return np.array([-1] * num_records + [-1 if label is None else of[label] for label in checked], dtype=np.int64)


def to_ballots(
    table: pa.Table, labellers: Sequence[Labeller], num_records: int, known: np.ndarray, labels: Sequence[str]
) -> Ballots:
    """Votes as ballots: rows 0.. are the records, behind them the gold records."""
    unknown = sorted(set(table["label"].unique().to_pylist()) - set(labels))
    if unknown:
        raise BurnishError(
            f"a labeller votes {unknown[0]!r}, which is no label of the task",
            where="construct",
            hint=nearest(unknown[0], labels, "the task has"),
        )
    row = table["row"].to_numpy()
    row = np.where(row < 0, num_records - 1 - row, row)
    place = {one.name: j for j, one in enumerate(labellers)}
    labeller = _codes(table["labeller"], place)
    said = _codes(table["label"], {label: index for index, label in enumerate(labels)})
    sure = table["confidence"].to_numpy()
    return Ballots.of(row, labeller, said, sure, len(known), len(labellers), len(labels))


def _codes(column: pa.ChunkedArray, of: dict[str, int]) -> np.ndarray:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    index = np.array([of[value] for value in encoded.dictionary.to_pylist()], dtype=np.int64)
    codes = encoded.indices.to_numpy()
    return index[codes] if len(codes) else np.empty(0, dtype=np.int64)


def decide(method: str, judged: Sequence[evidence.Judged], ballots: Ballots) -> tuple[str, str]:
    if method == "auto":
        return evidence.choose(judged, ballots)
    asked = next(one for one in judged if one.method == method)
    if asked.refused:
        raise BurnishError(
            f"method {method} {asked.refused}: its labels would be of no use",
            where="construct.aggregate",
            hint="method: auto chooses one that holds; labellers that can say several labels help this method",
        )
    return method, "the spec says so"


def _facts(
    ballots: Ballots,
    known: np.ndarray,
    claimed: np.ndarray,
    beliefs: np.ndarray,
    labellers: Sequence[Labeller],
    judged: Sequence[evidence.Judged],
    name: str,
    why: str,
    context: Context,
) -> dict[str, Any]:
    labels = context.task.labels
    here = (known < 0) & ballots.covered
    num_records = max(int((known < 0).sum()), 1)
    many = ballots.votes_a_row[known < 0] if (known >= 0).any() else ballots.votes_a_row
    single = evidence.best_single(ballots, known, labellers)
    facts: dict[str, Any] = {
        "method": name,
        "why": why,
        "records": num_records,
        "coverage": float(here.sum() / num_records),
        "overlap": float((many > 1).mean()),
        "votes_a_covered_record": float(many[many > 0].mean()),
        "gold": int((known >= 0).sum()),
        "gold_covered": int(((known >= 0) & ballots.covered).sum()),
        "methods": evidence.method_table(judged),
        "best_single": single,
        "labels": dict(zip(labels, np.bincount(beliefs[here].argmax(1), minlength=len(labels)).tolist(), strict=True)),
        "collapse": collapsed(beliefs, ballots) or None,
        "labellers": evidence.labeller_table(ballots, known, claimed, beliefs, labellers),
    }
    facts["story"] = _story(facts)
    return facts


def _story(facts: dict[str, Any]) -> list[str]:
    """What a person reads: coverage, what was chosen and why, what it is compared with, who was refused."""
    lines = [
        f"{len(facts['labellers'])} labellers vote on {facts['coverage']:.1%} of {facts['records']:,} records; "
        f"{facts['overlap']:.1%} have more than one vote",
        f"aggregation: {facts['method']}, because {facts['why']}",
    ]
    by_name = {one["method"]: one for one in facts["methods"]}
    chosen, plain, single = by_name[facts["method"]], by_name["majority"], facts["best_single"]
    if chosen["accuracy"] is not None:
        compared = [_figure("it", chosen), _figure("majority vote", plain)]
        if single:
            compared.append(_figure(f"best single labeller ({single['name']})", single))
        lines.append(f"on {chosen['gold']} covered gold records: " + "; ".join(compared))
        if facts["gold"]:
            lines.append(f"{facts['gold']} gold records were used to weigh labellers and to choose")
    lines += [f"refused: {one['method']} {one['refused']}" for one in facts["methods"] if one["refused"]]
    silent = [one["name"] for one in facts["labellers"] if not one["votes"]]
    if silent:
        lines.append(f"never vote: {', '.join(silent[:5])}{' …' if len(silent) > 5 else ''}")
    return lines


def _figure(who: str, one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{who} {one['accuracy']:.1%} ({low:.0%}-{high:.0%})"


def _labelled(
    records: Records,
    table: pa.Table,
    beliefs: np.ndarray,
    covered: np.ndarray,
    origin: str,
    min_confidence: float,
    labels: Sequence[str],
) -> Iterator[pa.Table]:
    """The records with label, probs, confidence, votes and one line of trail, batch by batch."""
    names = np.array(labels, dtype=object)
    for at, batch, cast in votes_of_rows(records, table):
        here = slice(at, at + len(batch))
        chosen = covered[here] & (beliefs[here].max(1) >= min_confidence)
        yield set_labels(batch, beliefs[here], chosen, origin, names, votes=cast)


def set_labels(
    batch: pa.Table,
    beliefs: np.ndarray,
    chosen: np.ndarray,
    origin: str,
    names: np.ndarray,
    *,
    votes: pa.Array | None = None,
    keep_others: bool = False,
) -> pa.Table:
    """A batch with label, probs, confidence, label_from where `chosen` (n,), and a line of trail about it.

    keep_others: rows not chosen keep what they had; else their target is emptied, unless a maker gave it.
    """
    best, sure = beliefs.argmax(1), beliefs.max(1)
    old = batch.select(["label", "probs", "confidence", "label_from", "trail"]).to_pylist()
    new: list[tuple[Any, ...]] = []
    for i, was in enumerate(old):
        trail = list(was["trail"] or [])
        if chosen[i]:
            said = str(names[best[i]])
            change = f", was {was['label']}" if was["label"] not in (None, said) else ""
            trail.append(f"{origin}: {said} {sure[i]:.2f}{change}")
            new.append((said, beliefs[i].tolist(), float(sure[i]), origin, trail))
        elif keep_others or was_made(was["label_from"]):
            new.append((was["label"], was["probs"], was["confidence"], was["label_from"], trail))
        else:
            if was["label"] is not None:
                trail.append(f"{origin}: no belief strong enough, the given label {was['label']} is set aside")
            new.append((None, None, None, None, trail))
    columns = list(zip(*new, strict=True)) if new else [()] * 5
    for name, values in zip(("label", "probs", "confidence", "label_from", "trail"), columns, strict=True):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, pa.array(list(values), batch.schema.field(name).type))
    if votes is not None:
        place = batch.schema.get_field_index("votes")
        batch = batch.set_column(place, "votes", votes.cast(batch.schema.field("votes").type))
    return batch
