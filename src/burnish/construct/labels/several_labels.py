"""Any number of labels a record: for each label one question, yes or no, decided by the votes about that label alone.

A vote names a label and how sure it is of it: 0.5 and over is for the label, under 0.5 against. Who names a label and
leaves another out says nothing about the other, unless it answers for all of them (a model, a person).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, Said
from burnish.construct.labels import evidence
from burnish.construct.labels.label_models import METHODS, Ballots
from burnish.construct.labels.one_label import decide, joined, nobody_voted
from burnish.construct.making import was_made
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.stage import Context, TaskSpec, nearest

NO, YES = 0, 1
TARGET = ("labels", "probs", "confidence", "label_from")
FEW = 5  # votes about a label from which its method is chosen by itself


class SeveralLabels(Form):
    """A yes or no for each label."""

    name, methods, about = "labels", tuple(METHODS), "any number of labels a text"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        scores = answer.get("scores") or {}
        for label in (*answer.get("labels", ()), *scores):
            if label not in task.labels:
                raise ValueError(f"{label!r} is not a label of the task ({nearest(str(label), task.labels, 'it has')})")
        if scores:
            return [Said(label, float(score)) for label, score in scores.items()]
        complete = answer.get("complete", True)
        said = set(answer.get("labels") or ())
        return [Said(label, 1.0 if label in said else 0.0) for label in task.labels if complete or label in said]

    def returned(self, value: Any) -> Mapping[str, Any]:
        if isinstance(value, str):
            return {"labels": [value], "complete": False}
        if isinstance(value, dict) and all(isinstance(one, int | float) and 0 <= one <= 1 for one in value.values()):
            return {"scores": value}
        if isinstance(value, list | tuple | set) and all(isinstance(one, str) for one in value):
            return {"labels": list(value), "complete": False}
        raise ValueError("return a label, a list of labels, {label: confidence in 0..1, under 0.5 against}, or None")

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
        row, ballots_of = _by_label(table, labellers, len(records), gold, labels)
        truth = known_labels(gold, labels)
        covered = np.zeros(len(records), dtype=bool)
        covered[row[row < len(records)]] = True
        nobody_voted(covered)
        claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
        beliefs = np.zeros((len(records), len(labels)), dtype=np.float32)
        chosen: list[dict[str, Any]] = []
        for at, name in enumerate(labels):
            ballots = ballots_of(at)
            known = np.concatenate([np.full(len(records), -1), truth[:, at]])
            judged, used, why = decide_part(method, ballots, known, claimed, context.seed)
            believed = METHODS[used](ballots, known, claimed).beliefs(ballots)[: len(records), YES]
            heard = ballots.covered[: len(records)]
            beliefs[heard, at] = believed[heard]
            chosen.append(_label_facts(name, used, why, ballots, judged, known, claimed, labellers, heard, believed))
        made = Records.stream(_labelled(records, table, beliefs, covered, labels, max(min_confidence, 0.5)))
        made.facts = _facts(chosen, labellers, covered, truth, context)
        return made


FORM = SeveralLabels()


def known_labels(gold: Gold | None, labels: Sequence[str]) -> np.ndarray:
    """(g, k) 1 where a gold record has the label, 0 where not, -1 where it is not checked."""
    if gold is None:
        return np.empty((0, len(labels)), dtype=np.int64)
    rows = []
    for many, one in zip(gold.column("labels"), gold.column("label"), strict=True):
        has = many if many is not None else None if one is None else [one]
        rows.append([-1] * len(labels) if has is None else [int(label in has) for label in labels])
    return np.array(rows, dtype=np.int64).reshape(-1, len(labels))


def _by_label(
    table: pa.Table, labellers: Sequence[Labeller], num_records: int, gold: Gold | None, labels: Sequence[str]
) -> tuple[np.ndarray, Callable[[int], Ballots]]:
    """Row of every vote, and a function from a label's place to its Ballots of no and yes."""
    row = table["row"].to_numpy()
    row = np.where(row < 0, num_records - 1 - row, row)
    place = {name: at for at, name in enumerate(labels)}
    label = np.array([place[name] for name in table["label"].to_pylist()], dtype=np.int64)
    who = {one.name: at for at, one in enumerate(labellers)}
    labeller = np.array([who[name] for name in table["labeller"].to_pylist()], dtype=np.int64)
    sure = table["confidence"].to_numpy()
    num_rows = num_records + (len(gold) if gold is not None else 0)

    def ballots(at: int) -> Ballots:
        here = label == at
        said = np.where(sure[here] >= 0.5, YES, NO)
        strength = np.where(said == YES, sure[here], 1 - sure[here])
        return Ballots.of(row[here], labeller[here], said, strength, num_rows, len(labellers), 2)

    return row, ballots


def decide_part(
    method: str, ballots: Ballots, known: np.ndarray, claimed: np.ndarray, seed: int
) -> tuple[list[evidence.Judged], str, str]:
    """What each method is worth for one of several questions, which is used, why. Votes of one mind tell nothing apart."""
    if len(ballots.row) < FEW or len(np.unique(ballots.said)) < 2:
        return [], "majority" if method == "auto" else method, "votes about it are few, or all say the same"
    judged = evidence.judge(ballots, known, claimed, methods=list(METHODS), seed=seed)
    used, why = decide(method, judged, ballots)
    return judged, used, why


def _label_facts(
    name: str,
    used: str,
    why: str,
    ballots: Ballots,
    judged: Sequence[evidence.Judged],
    known: np.ndarray,
    claimed: np.ndarray,
    labellers: Sequence[Labeller],
    heard: np.ndarray,
    believed: np.ndarray,
) -> dict[str, Any]:
    beliefs = np.stack([1 - believed, believed], axis=1)
    beliefs = np.concatenate([beliefs, np.full((ballots.num_rows - len(beliefs), 2), 0.5)])
    rows = evidence.labeller_table(ballots, known, claimed, beliefs, labellers)
    return {
        "label": name,
        "method": used,
        "why": why,
        "coverage": float(heard.mean()),
        "said": int((believed[heard] >= 0.5).sum()),
        "methods": evidence.method_table(judged),
        "labellers": [one for one in rows if one["votes"] or one["gold_votes"]],
    }


def _facts(
    chosen: list[dict[str, Any]],
    labellers: Sequence[Labeller],
    covered: np.ndarray,
    truth: np.ndarray,
    context: Context,
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": "by label",
        "why": "each label is a question of its own",
        "records": len(covered),
        "coverage": float(covered.mean()) if len(covered) else 0.0,
        "gold": int((truth >= 0).any(axis=1).sum()),
        "labels": {one["label"]: one["said"] for one in chosen},
        "by_label": chosen,
        "methods": [],
        "labellers": [{**row, "name": f"{row['name']} → {one['label']}"} for one in chosen for row in one["labellers"]],
    }
    facts["story"] = [
        f"{len(labellers)} labellers vote on {facts['coverage']:.1%} of {len(covered):,} records, each label by itself",
        "; ".join(f"{one['label']}: {one['said']:,} by {one['method']}" for one in chosen),
    ]
    return facts


def _labelled(
    records: Records,
    table: pa.Table,
    beliefs: np.ndarray,
    covered: np.ndarray,
    labels: Sequence[str],
    threshold: float,
) -> Iterator[pa.Table]:
    """Records with labels, probs (each by itself), confidence (of the set: the least sure of its decisions), votes."""
    for at, batch, cast in votes_of_rows(records, table):
        here = beliefs[at : at + len(batch)]
        has = covered[at : at + len(batch)]
        sure = np.maximum(here, 1 - here).min(axis=1)
        names = [[labels[k] for k in np.flatnonzero(row >= threshold).tolist()] for row in here]
        made = [was_made(origin) for origin in batch["label_from"].to_pylist()]
        new: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in (*TARGET, "trail")}
        for i, covers in enumerate(has):
            if covers:
                new["labels"][i], new["probs"][i] = names[i], here[i].tolist()
                new["confidence"][i], new["label_from"][i] = float(sure[i]), "aggregate:by label"
                said = ", ".join(names[i]) or "none of the labels"
                new["trail"][i] = [*(new["trail"][i] or []), f"aggregate:by label: {said} {sure[i]:.2f}"]
            elif not made[i]:
                for name in TARGET:
                    new[name][i] = None
        for name, values in new.items():
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, pa.array(values, batch.schema.field(name).type))
        yield batch.set_column(batch.schema.get_field_index("votes"), "votes", cast)
