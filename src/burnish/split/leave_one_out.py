"""Leave-one-out in time: of each user the last list judges, the one before chooses, all earlier ones teach."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import SIDES, Records, Split
from burnish.core.errors import BurnishError
from burnish.core.records import Reject
from burnish.core.stage import Context, Positive, stage
from burnish.core.tasktypes import open_task

COLUMNS = ("id", "text", "text_b", "messages", "label", "labels", "value", "spans", "relations", "answer", "output",
           "group", "meta", "time", "keep")  # fmt: skip
TRAIN, VALIDATION, TEST = range(3)


@stage("split.leave_one_out")
def leave_one_out(records: Records, context: Context, *, user: str = "meta.user", least: Positive = 3) -> Split:
    """Let the last list of each user judge, the one before it choose, and all earlier ones teach.

    user: meta.NAME, whose list a record is in; lists without a user teach.
    least: a user with fewer lists, or with one alone, only teaches.

    A list is the records of one group; its time is the newest of theirs, and lists of equal time are in the order they came.
    Kept records with a target take part, lists without a wanted candidate only teach. The usual protocol of recommendation
    (He et al. 2017); a user's texts are on all sides by its nature, so near-duplicates are not kept together: take
    `split.stratified` for anything else. Sees groups, times and users of all records at once.
    """
    if not user.startswith("meta."):
        raise BurnishError(
            f"no field {user!r} that says whose a list is", where="split.leave_one_out.user", hint="meta.NAME"
        )
    table = records.table(list(COLUMNS))
    rows = _taking_part(table, context)
    if not len(rows):
        raise BurnishError(
            "no kept record has a target", where="split.leave_one_out", hint="look at construct and quality"
        )
    users, lists, times, good = _columns(table, rows, user.removeprefix("meta."))
    if not any(users):
        raise BurnishError(
            f"no record has {user}",
            where="split.leave_one_out.user",
            hint="meta.NAME, as the source or construct.behaviour wrote it",
        )
    side_of = _sides(users, lists, times, good, least)
    whole = np.full(len(table), -1)
    whole[rows] = [side_of[one] for one in lists]
    per_user = defaultdict(set)
    for who, one in zip(users, lists, strict=True):
        if who is not None:
            per_user[who].add(one)
    counts = {name: int((whole == number).sum()) for number, name in enumerate(SIDES)}
    num_lists = {name: sum(side == number for side in side_of.values()) for number, name in enumerate(SIDES)}
    facts: dict[str, Any] = {
        "drawn": "by time, the last two lists of each user", "records": counts, "lists": num_lists,
        "users": len(per_user), "users_that_judge": num_lists["test"],
        "left_out": {"set aside or without a target": int((whole < 0).sum())},
        "notes": [] if num_lists["test"] else [f"no user has {least} lists with a wanted candidate: nobody judges"],
    }  # fmt: skip
    if not num_lists["test"]:
        raise BurnishError(facts["notes"][0], where="split.leave_one_out", hint="lower least, or take split.stratified")
    train, validation, test = (_side(records, whole == number) for number in (TRAIN, VALIDATION, TEST))
    return Split(train, validation, test, facts)


def _taking_part(table: pa.Table, context: Context) -> np.ndarray:
    keep = np.array(table["keep"].to_pylist(), dtype=bool)
    return np.flatnonzero(keep & np.asarray(open_task(context.task).labelled(table), dtype=bool))


def _columns(table: pa.Table, rows: np.ndarray, name: str) -> tuple[list[Any], list[str], list[Any], list[bool]]:
    """Of each record taking part: its user, its list, its time, whether it is wanted."""
    part = table.take(pa.array(rows))
    metas = [json.loads(text) if text else {} for text in part["meta"].to_pylist()]
    users = [meta.get(name) for meta in metas]
    lists = [
        f"group {group}" if group is not None else f"text {text}"
        for group, text in zip(part["group"].to_pylist(), part["text"].to_pylist(), strict=True)
    ]
    good = [
        value > 0 if value is not None else label not in (None, "0", "irrelevant", "不相关")
        for value, label in zip(part["value"].to_pylist(), part["label"].to_pylist(), strict=True)
    ]
    return users, lists, part["time"].to_pylist(), good


def _sides(
    users: Sequence[Any], lists: Sequence[str], times: Sequence[Any], good: Sequence[bool], least: int
) -> dict[str, int]:
    """List -> its side."""
    newest: dict[str, Any] = {}
    wanted: dict[str, bool] = defaultdict(bool)
    owner: dict[str, Any] = {}
    for one, who, time, yes in zip(lists, users, times, good, strict=True):
        if one not in newest or (time is not None and (newest[one] is None or time > newest[one])):
            newest[one] = time
        wanted[one] |= yes
        owner.setdefault(one, who)
    own: dict[Any, list[str]] = defaultdict(list)
    for one in newest:  # in the order they came
        if owner[one] is not None and wanted[one]:
            own[owner[one]].append(one)
    side = dict.fromkeys(newest, TRAIN)
    for mine in own.values():
        if len(mine) < max(least, 2):
            continue
        if all(newest[one] is not None for one in mine):
            mine.sort(key=lambda one: newest[one])  # stable
        side[mine[-1]], side[mine[-2]] = TEST, VALIDATION
    return side


def _side(records: Records, mine: np.ndarray) -> Records:
    """The records of one side, in their order; walked from where they lie."""

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        start = 0
        for batch in records.batches(columns):
            part = batch.filter(pa.array(mine[start : start + batch.num_rows]))
            start += batch.num_rows
            if part.num_rows:
                yield part

    return Records(walk, int(mine.sum()))
