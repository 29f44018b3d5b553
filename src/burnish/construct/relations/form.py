"""Relations between a record's spans: each ordered pair that somebody votes on is a question of its own.

A pair is an item of the vote matrix; what it can be are the task's relations, and "no relation" where somebody votes it or
a checked record shows it. Pairs that nobody votes on stay unsaid: `unnamed: unknown` in the task section keeps training
from taking them for pairs without a relation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.forms import Form, Said
from burnish.construct.labels import evidence
from burnish.construct.labels.label_models import METHODS, Ballots, collapsed
from burnish.construct.labels.one_label import decide, joined, nobody_voted
from burnish.construct.making import was_made
from burnish.construct.relations.pairs import directed, none_of, relations_of
from burnish.construct.votes_column import votes_of_rows
from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.stage import Context, TaskSpec, nearest
from burnish.core.tasktypes import open_task

TARGET = ("relations", "confidence", "label_from")
Place = tuple[int, int, int, int]  # start and end of the head, of the tail
PLACE = ("start", "end", "tail_start", "tail_end")


class Relations(Form):
    """One relation, or none, an ordered pair of spans."""

    name, methods, about = "relations", tuple(METHODS), "relations between the spans of a text"

    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        spans = answer.get("spans") or record.get("spans") or []
        known = {none_of(task), *task.labels}
        found = []
        for one in answer.get("relations") or ():
            if one["label"] not in known:
                raise ValueError(
                    f"{one['label']!r} is not a relation of the task ({nearest(one['label'], known, 'it has')})"
                )
            ends = [one["head"], one["tail"]]
            if not all(type(end) is int and 0 <= end < len(spans) for end in ends) or ends[0] == ends[1]:
                raise ValueError(
                    f"head {ends[0]} and tail {ends[1]} must be two of the record's {len(spans)} spans, from 0"
                )
            head, tail = spans[ends[0]], spans[ends[1]]
            sure = float(one.get("score", 1.0))
            found.append(Said(one["label"], sure, head["start"], head["end"], tail["start"], tail["end"]))
        return found

    def returned(self, value: Any) -> Mapping[str, Any]:
        wrong = ValueError("return a list of (head, tail, label) or (head, tail, label, confidence in 0..1), or None")
        if isinstance(value, tuple):
            value = [value]
        if not isinstance(value, list):
            raise wrong
        made = []
        for one in value:
            if not isinstance(one, tuple | list) or len(one) not in (3, 4) or not isinstance(one[2], str):
                raise wrong
            sure = one[3] if len(one) == 4 else 1.0
            if not isinstance(sure, int | float) or not 0 <= sure <= 1:
                raise wrong
            made.append({"head": one[0], "tail": one[1], "label": one[2], "score": float(sure)})
        return {"relations": made}

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
        labellers, table = joined(votes)
        items = Items(table, len(records), gold, context.task)
        nobody_voted(items.row[items.row < len(records)] >= 0)
        ballots, known = items.ballots([one.name for one in labellers])
        claimed = np.array([np.nan if one.trust is None else one.trust for one in labellers])
        judged = evidence.judge(ballots, known, claimed, methods=list(METHODS), seed=context.seed)
        used, why = decide(method, judged, ballots)
        beliefs = METHODS[used](ballots, known, claimed).beliefs(ballots)
        made = Records.stream(
            _written(records, table, items, beliefs, f"aggregate:{used}", min_confidence, context.task)
        )
        here = known < 0
        covered = len(np.unique(items.row[items.row < len(records)]))
        single = evidence.best_single(ballots, known, labellers)
        said = np.bincount(beliefs[here].argmax(1), minlength=len(items.labels))
        made.facts = {
            "method": used,
            "why": why,
            "records": len(records),
            "coverage": covered / max(len(records), 1),
            "pairs": int((items.row < len(records)).sum()),
            "gold": int((known >= 0).sum()),
            "methods": evidence.method_table(judged),
            "best_single": single,
            "labels": dict(zip(items.labels, said.tolist(), strict=True)),
            "collapse": collapsed(beliefs, ballots) or None,
            "labellers": evidence.labeller_table(ballots, known, claimed, beliefs, labellers),
        }
        made.facts["story"] = _story(made.facts)
        return made


FORM = Relations()


class Items:
    """The pairs that votes are on: those of the records, then of the gold records.

    row: (i,) of the record, gold behind the records. places: (i, 4). item: (v,) of each vote. labels: what a pair can be.
    """

    def __init__(self, table: pa.Table, num_records: int, gold: Gold | None, task: TaskSpec) -> None:
        self.none, self.num_records = none_of(task), num_records
        row = table["row"].to_numpy()
        row = np.where(row < 0, num_records - 1 - row, row)
        places = np.stack([table[name].to_numpy() for name in PLACE], 1).astype(np.int64).reshape(-1, 4)
        if not directed(task):
            back = (places[:, 0] > places[:, 2]) | ((places[:, 0] == places[:, 2]) & (places[:, 1] > places[:, 3]))
            places[back] = places[back][:, [2, 3, 0, 1]]
        whole = np.concatenate([row[:, None], places], axis=1)
        unique, self.item = np.unique(whole, axis=0, return_inverse=True)
        self.item = self.item.reshape(-1)
        self.row, self.places = unique[:, 0], unique[:, 1:]
        self._truth = self._checked(gold, task)
        voted = set(table["label"].to_pylist())
        relations = relations_of(task)
        with_none = self.none in voted or self.none in self._truth
        self.labels = [self.none, *relations] if with_none else relations
        self._table = table

    def _checked(self, gold: Gold | None, task: TaskSpec) -> list[str | None]:
        """What is known of each item: the relation of a gold pair, no relation where a gold record lists others only."""
        if gold is None:
            return [None] * len(self.row)
        named = open_task(task).settings["pairs"] == "named"
        both = directed(task)
        known: list[dict[Place, str] | None] = []
        for spans, relations in zip(gold.column("spans"), gold.column("relations"), strict=True):
            known.append(None if relations is None else {})
            for one in relations or ():
                head, tail = spans[one["head"]], spans[one["tail"]]
                ends = [(head["start"], head["end"]), (tail["start"], tail["end"])]
                ends = ends if both else sorted(ends)
                known[-1][*ends[0], *ends[1]] = one["label"]  # type: ignore[index]
        found: list[str | None] = []
        for row, place in zip(self.row.tolist(), self.places.tolist(), strict=True):
            at = row - self.num_records
            mine = known[at] if at >= 0 else None
            found.append(None if mine is None else mine.get(tuple(place), None if named else self.none))
        return found

    def ballots(self, names: Sequence[str]) -> tuple[Ballots, np.ndarray]:
        """The votes as ballots of items, and what is known of each item: (i,) place in `labels`, -1 where nothing."""
        of = {label: at for at, label in enumerate(self.labels)}
        who = {name: at for at, name in enumerate(names)}
        labeller = np.array([who[name] for name in self._table["labeller"].to_pylist()], dtype=np.int64)
        said = np.array([of[label] for label in self._table["label"].to_pylist()], dtype=np.int64)
        sure = self._table["confidence"].to_numpy()
        known = np.array([-1 if one is None else of[one] for one in self._truth], dtype=np.int64)
        return Ballots.of(self.item, labeller, said, sure, len(self.row), len(names), len(self.labels)), known

    def of_record(self, row: int) -> range:
        """The items of a record."""
        first, last = np.searchsorted(self.row, [row, row + 1])
        return range(int(first), int(last))


def _story(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{len(facts['labellers'])} labellers vote on {facts['pairs']:,} pairs in {facts['coverage']:.1%} of "
        f"{facts['records']:,} records",
        f"aggregation: {facts['method']}, because {facts['why']}",
        "said: " + "; ".join(f"{label} {count:,}" for label, count in facts["labels"].items() if count),
    ]
    single = facts["best_single"]
    chosen = next(one for one in facts["methods"] if one["method"] == facts["method"])
    if chosen["accuracy"] is not None and single:
        lines.append(
            f"on {chosen['gold']} gold pairs with votes: it {chosen['accuracy']:.1%}; "
            f"best single labeller ({single['name']}) {single['accuracy']:.1%}"
        )
    return lines


def _written(
    records: Records,
    table: pa.Table,
    items: Items,
    beliefs: np.ndarray,
    origin: str,
    least: float,
    task: TaskSpec,
) -> Iterator[pa.Table]:
    """Records with spans (of the votes where they have none), relations, confidence (of the least sure pair) and votes."""
    settings = open_task(task).settings
    say_none = settings["pairs"] == "named" or settings.get("unnamed") == "unknown"
    for at, batch, cast in votes_of_rows(records, table):
        new: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in (*TARGET, "spans", "trail")}
        for i in range(len(batch)):
            mine = [item for item in items.of_record(at + i) if beliefs[item].max() >= least]
            if not mine:
                if not was_made(new["label_from"][i]):
                    for name in TARGET:
                        new[name][i] = None
                continue
            spans, place = _spans(new["spans"][i], items.places[mine])
            relations: list[dict[str, Any]] = []
            for item in mine:
                label = items.labels[int(beliefs[item].argmax())]
                if label != items.none or say_none:
                    a, b, c, d = items.places[item].tolist()
                    relations.append({"head": place[a, b], "tail": place[c, d], "label": label})
            sure = float(beliefs[mine].max(1).min())
            new["spans"][i], new["relations"][i] = spans, relations
            new["confidence"][i], new["label_from"][i] = sure, origin
            said = ", ".join(one["label"] for one in relations) or "no relation"
            new["trail"][i] = [*(new["trail"][i] or []), f"{origin}: {said} {sure:.2f} ({len(mine)} pairs)"]
        for name, values in new.items():
            batch = batch.set_column(
                batch.schema.get_field_index(name), name, pa.array(values, batch.schema.field(name).type)
            )
        yield batch.set_column(batch.schema.get_field_index("votes"), "votes", cast)


def _spans(
    given: list[dict[str, Any]] | None, places: np.ndarray
) -> tuple[list[dict[str, Any]], dict[tuple[int, int], int]]:
    """The record's spans with those that votes are on and it does not have behind them; and where each stands."""
    spans = list(given or [])
    place: dict[tuple[int, int], int] = {}
    for at, one in enumerate(spans):
        place.setdefault((one["start"], one["end"]), at)
    for start, end in sorted({(a, b) for row in places.tolist() for a, b in (row[:2], row[2:])}):
        if (start, end) not in place:
            place[start, end] = len(spans)
            spans.append({"start": start, "end": end, "label": None})
    return spans, place
