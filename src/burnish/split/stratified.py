"""Who teaches and who judges: sides that share no text, document, group or template, drawn class by class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import SIDES, Gold, Records, Split
from burnish.core.errors import BurnishError
from burnish.core.records import TARGETS, Reject, content_hashes
from burnish.core.stage import Context, Share, stage
from burnish.core.tasktypes import open_task
from burnish.measures.duplicates import leaks
from burnish.split.components import components, group_values, links, origins
from burnish.split.strata import Traits, shares, strata, traits
from burnish.text.inputs import said

Array = np.ndarray[Any, np.dtype[Any]]
TRAIN, VALIDATION, TEST, OUT = 0, 1, 2, -1
COLUMNS = ("id", "text", "text_b", "messages", *TARGETS, "group", "meta", "time", "keep")
ROUNDS = 6  # of linking what the check still finds across sides; one is usual, for candidates are drawn by chance


@stage("split.stratified", version=2)
def stratified(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    test: Share = 0.1,
    validation: Share = 0.1,
    group: str | None = None,
    time: bool = False,
    near_duplicates: Share = 0.8,
    templates: bool = True,
) -> Split:
    """Draw train, validation and test so that no text, document, group or template is on two sides.

    test: share of the records that judges the finished model. validation: share that chooses during training.
    group: null keeps records of one group together; meta.NAME also those with an equal value there; none neither.
    time: the newest records judge: test is newest, then validation; records without a time teach.
    near_duplicates: Jaccard similarity of character sequences from which two texts stay together, 0.5..1.
    templates: keep together what is equal once figures, addresses, accounts and quoted words are masked.

    Records made of one another (`meta.made_from`) stay together, and conversations of which one asks what the other asks.
    Kept records with a target take part; the others are counted. They are drawn by label, rarest label, entity type or
    relation of a record, quantile of its number, or whether it has an answer, and `strata` in facts has the shares. What equals or resembles a gold record is left out, unless
    gold may be trained on. Within a class whole components are drawn in the order of a hash of seed and content, so the
    sides hardly move when data is added. Checked after: leaks are searched again across sides and from gold; the counts,
    all zero, are in facts. Sees all texts at once.
    """
    if not 0.5 <= near_duplicates <= 1:
        raise BurnishError(f"split: near_duplicates is {near_duplicates}", hint="take a similarity of 0.5 to 1")
    if test + validation >= 1:
        raise BurnishError(
            f"split: test {test} and validation {validation} leave nothing to learn from",
            hint="shares are of all records: together well below 1",
        )
    table = records.table(COLUMNS)
    task = open_task(context.task)
    rows, left_out = _taking_part(table, task)
    chosen = table.take(pa.array(rows))
    texts = said(chosen, system=False)  # what every conversation begins with makes them no copies
    gold_texts = said(gold.table(["text", "text_b", "messages"]), system=False) if gold is not None else []
    guarded = gold is not None and not gold.facts.get("train", False)
    if guarded:
        near_gold = np.unique(leaks(gold_texts, texts, threshold=near_duplicates).pairs[:, 1])
        left_out["like gold"] = len(near_gold)
        stays = np.setdiff1d(np.arange(len(rows)), near_gold)
        rows, chosen, texts = rows[stays], chosen.take(pa.array(stays)), [texts[at] for at in stays]
    _enough(len(rows), left_out, test, validation)

    found, about = traits(chosen, task.target)
    drawn = strata(found)
    order = _newest_first(chosen) if time else _by_hash(chosen, context.seed)
    groups = [] if group == "none" else [group_values(chosen, field) for field in dict.fromkeys((None, group))]
    together = getattr(task, "together", ())  # a query and all its candidates
    groups += [chosen[name].to_pylist() for name in together]
    kin = origins(chosen)
    talks = chosen["messages"].to_pylist() if chosen["messages"].null_count < len(chosen) else []
    joined = links(texts, groups, near=near_duplicates, templates=templates, origins=kin, talks=talks)
    pairs = np.concatenate(list(joined.values()))
    for _ in range(ROUNDS):
        component = components(pairs, len(rows))
        side = _assign(component, drawn, order, test=test, validation=validation, by_time=time)
        across = _leaking(texts, side, near_duplicates)
        if not len(across):
            break
        pairs = np.concatenate([pairs, across])
    else:
        raise BurnishError(
            f"split: {len(across)} near-duplicates are still on two sides after {ROUNDS} rounds",
            hint="curate near-duplicates before the split, or raise near_duplicates",
        )
    _checked(side, component, [*groups, *_first_origins(kin)], texts, gold_texts if guarded else [], near_duplicates)
    _both_sides(side, component, test, validation)
    facts = _facts(found, side, component, joined, left_out, test, validation, time)
    facts["strata"] = {
        "by": about,
        "shares": shares(found, {name: np.flatnonzero(side == number) for number, name in enumerate(SIDES)}),
    }
    facts["leaks"] = {f"{SIDES[a]}-{SIDES[b]}": 0 for a, b in combinations(range(3), 2)} | (
        {"gold": 0} if guarded else {}
    )
    for said_aloud in facts["notes"]:
        context.progress.tell(f"  split: {said_aloud}")
    whole = np.full(len(table), OUT)
    whole[rows] = side
    train, judges, last = (_side(records, whole == number) for number in (TRAIN, VALIDATION, TEST))
    return Split(train, judges, last, facts)


def _taking_part(table: pa.Table, task: Any) -> tuple[Array, dict[str, int]]:
    """Row numbers of kept records with a target, and the counts of the others by reason."""
    keep = np.array(table["keep"].to_pylist(), dtype=bool)
    target = np.asarray(task.labelled(table), dtype=bool)  # wherever the task keeps it, meta included
    for name in TARGETS:
        target |= np.array(table[name].is_valid().to_pylist(), dtype=bool)
    target |= task.labelled(table)  # a conversation holds its target: its last answer
    left_out = {"set aside": int((~keep).sum()), "unlabelled": int((keep & ~target).sum())}
    return np.flatnonzero(keep & target), left_out


def _enough(count: int, left_out: dict[str, int], test: float, validation: float) -> None:
    sides = 1 + (test > 0) + (validation > 0)
    if count < sides:
        why = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items() if number)
        raise BurnishError(
            f"split: {count} records are too few for {sides} sides" + (f" (left out: {why})" if why else ""),
            hint="add labelled records, or set validation: 0",
        )


def _by_hash(table: pa.Table, seed: int) -> Array:
    """Where each record stands in line (n,), 0..1: a hash of seed and content."""
    keys = (hashlib.sha256(f"{seed} {one}".encode()).digest()[:8] for one in content_hashes(table))
    return np.array([int.from_bytes(key, "big") / 2**64 for key in keys])


def _newest_first(table: pa.Table) -> Array:
    """Where each record stands in line (n,): the newest first, those without a time last."""
    times = table["time"].cast(pa.int64()).to_pylist()
    if all(one is None for one in times):
        raise BurnishError(
            "split: time is asked for, and no record has one", hint="map one: sources: fields: {time: COLUMN}"
        )
    return np.array([np.inf if one is None else -float(one) for one in times])


def _assign(component: Array, strata: Array, order: Array, *, test: float, validation: float, by_time: bool) -> Array:
    """A side for each record (n,), whole components together.

    Components are walked in the order of their first member; each goes to test while its rarest class has room there, then
    to validation, else to train. By time, room is counted over all classes together, so that the cut is one date.
    """
    firsts, number, sizes = np.unique(component, return_inverse=True, return_counts=True)
    line = np.full(len(firsts), np.inf)
    np.minimum.at(line, number, order)
    counts = np.bincount(strata)
    classes = np.zeros_like(strata) if by_time else strata
    total = np.bincount(classes)
    rarest = np.full(len(firsts), -1)
    for row in np.lexsort((np.arange(len(strata)), -counts[strata])):
        rarest[number[row]] = classes[row]  # the last write is of the rarest class
    holds = np.zeros((len(firsts), len(total)), dtype=np.int64)
    np.add.at(holds, (number, classes), 1)
    pieces = np.bincount(rarest, minlength=len(total))
    room = {
        TEST: _quota(total, test, pieces, 2),
        VALIDATION: _quota(total, validation, pieces, 3 if test else 2),
    }
    taken = np.full(len(firsts), TRAIN)
    for one in np.lexsort((firsts, line)):
        if by_time and not np.isfinite(line[one]):
            break
        for side in (TEST, VALIDATION):
            own = rarest[one]
            left = room[side] - holds[one]
            if room[side][own] > 0 and left[own] >= -0.05 * total[own] * (sizes[one] > 1) and left.sum() >= 0:
                room[side], taken[one] = left, side
                break
    # Where every component is larger than the room for it: the smallest one, so that somebody judges.
    for side, share in ((TEST, test), (VALIDATION, validation)):
        teach = np.flatnonzero((taken == TRAIN) & np.isfinite(line))
        if share and not (taken == side).any() and len(teach) > 1:
            taken[min(teach, key=lambda one: (line[one] if by_time else 0, sizes[one], line[one]))] = side
    return taken[number]


def _quota(total: Array, share: float, pieces: Array, enough: int) -> Array:
    """How many records of each class a side takes (classes,): its share, at least 1 where the class has enough pieces.

    pieces: components whose rarest class it is. A class that never is comes along with others, up to its share: every
    query has candidates that do not answer it. One with some pieces, but fewer than `enough`, stays where it is taught.
    """
    wanted = total * share
    quota = np.floor(wanted + 1e-9)
    missing = round(wanted.sum()) - int(quota.sum())
    for one in np.argsort(-(wanted - quota), kind="stable")[: max(missing, 0)]:
        quota[one] += 1
    along = np.where(pieces == 0, quota, 0)
    return np.where((pieces >= enough) & (share > 0), np.maximum(quota, 1), along).astype(np.int64)


def _leaking(texts: Sequence[str], side: Array, near: float) -> Array:
    """Pairs (m, 2) of equal or similar texts on two sides."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for a, b in combinations(range(3), 2):
        left, right = np.flatnonzero(side == a), np.flatnonzero(side == b)
        if len(left) and len(right):
            pairs = leaks(
                [texts[at] for at in left.tolist()], [texts[at] for at in right.tolist()], threshold=near
            ).pairs
            found.append(np.stack([left[pairs[:, 0]], right[pairs[:, 1]]], axis=1))
    return np.concatenate(found)


def _checked(
    side: Array,
    component: Array,
    groups: list[list[str | None]],
    texts: Sequence[str],
    gold: Sequence[str],
    near: float,
) -> None:
    """Look once more, by ways that the drawing did not go: a leak here is an error and not a note."""
    for values in groups:
        seen: dict[str, int] = {}
        torn = [
            value
            for value, at in zip(values, side, strict=True)
            if value is not None and seen.setdefault(value, at) != at
        ]
        if torn:
            raise BurnishError(
                f"split: group {torn[0]!r} is on two sides", hint="report this: it is an error of burnish"
            )
    if gold:
        taught = [texts[at] for at in np.flatnonzero(side == TRAIN).tolist()]
        if len(leaks(gold, taught, threshold=near).pairs):
            raise BurnishError("split: a gold record is in train", hint="report this: it is an error of burnish")


def _first_origins(kin: list[list[str]]) -> list[list[str | None]]:
    """Origins as groups to be checked: the first parents, the second ones and so on; a record without one stands under its
    own id, so that a child on another side than its parent is seen."""
    most = min(max(map(len, kin), default=1), 9)
    return [[own[at] if len(own) > at else own[0] if own else None for own in kin] for at in range(1, most)]


def _both_sides(side: Array, component: Array, test: float, validation: float) -> None:
    """Say why a side that was asked for is empty."""
    asked = {TRAIN: 1.0, VALIDATION: validation, TEST: test}
    empty = [SIDES[number] for number, share in asked.items() if share and not (side == number).any()]
    if empty:
        largest = np.unique(component, return_counts=True)[1].max()
        raise BurnishError(
            f"split: {' and '.join(empty)} would be empty: {len(side)} records form {len(np.unique(component))} groups that "
            f"must stay together, the largest of {largest}",
            hint="add records, set that share to 0, or check `group`: a field with few values keeps too much together",
        )


def _facts(
    found: Traits, side: Array, component: Array, joined: dict[str, Array], left_out: dict[str, int],
    test: float, validation: float, time: bool,
) -> dict[str, Any]:  # fmt: skip
    """How the split was drawn and what came of it."""
    per_side = {
        name: dict(sorted(Counter(one for at in np.flatnonzero(side == number) for one in found[at] or [""]).items()))
        for number, name in enumerate(SIDES)
    }
    known = {one for own in found for one in own}
    sizes = np.unique(component, return_counts=True)[1]
    counts = {name: int((side == number).sum()) for number, name in enumerate(SIDES)}
    notes = []
    for name, share in (("test", test), ("validation", validation)):
        absent = sorted(known - set(per_side[name]))
        if share and absent:
            notes.append(f"{name} has no record of {', '.join(absent)}: too few of them, or all belong together")
        if share and abs(counts[name] / len(side) - share) > max(0.5 * share, 2 / len(side)):
            notes.append(f"{name} holds {counts[name] / len(side):.1%} instead of {share:.1%}: groups cannot be cut")
    return {
        "drawn": "by time" if time else "by class and content hash",
        "records": counts, "labels": per_side, "left_out": left_out,
        "components": {
            "count": len(sizes), "largest": int(sizes.max()), "of_several": int((sizes > 1).sum()),
            "links": {name: len(pairs) for name, pairs in joined.items()},
        },
        "notes": notes,
    }  # fmt: skip


def _side(records: Records, mine: Array) -> Records:
    """The records of one side, in their order; walked from where they lie."""

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        start = 0
        for batch in records.batches(columns):
            part = batch.filter(pa.array(mine[start : start + batch.num_rows]))
            start += batch.num_rows
            if part.num_rows:
                yield part

    return Records(walk, int(mine.sum()))
