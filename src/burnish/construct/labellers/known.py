"""Labellers that ask what is there already: a label or a field of the record, or a model trained before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.construct.forms import Form, Said, form_name, form_of, votable, votes_on
from burnish.construct.voting import Ballot, check_label, texts_of, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import COLUMNS
from burnish.core.stage import Context, Share, TaskSpec, nearest, stage
from burnish.core.tasktypes import open_task


def _existing_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: another field than the target's can stand for a label alone."""
    name = form_name(task)
    if name not in (None, "label", "node") and (settings["field"] != "label" or settings["mapping"]):
        message = f"field and mapping are for one label a text, and a target of {task.type} is {name}"
        return [("field", message, f"leave them out: the field {name} of the records votes")]
    return votes_on()(settings, task)


@stage("construct.existing", check=_existing_problems)
def existing(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    field: str = "label",
    mapping: dict[str | int | float | bool, str] | None = None,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Let a label or another field that came with the records vote: stars, a folder name, somebody's old labels.

    field: a field of the record, or "meta.NAME". Where a target is not one label, the target that came with the records
        votes.
    mapping: value -> label; values it does not name abstain. Without it values that are labels vote.
    trust: how often it is right, 0..1; 1 for labels beyond doubt. Without it gold or agreement decides.
    name: in votes and reports; the field by default.

    Gold records are not asked for `label`, which is their checked one, so this labeller is weighed by its trust.
    """
    if form_name(context.task) not in ("label", "node"):
        return _targets_vote(records, name, trust, context)
    where = "construct.existing"
    of = {_plain(value): check_label(label, context, f"{where}: mapping") for value, label in (mapping or {}).items()}
    of = of or {label: label for label in votable(context.task)}
    column, inner = _column(field)
    called = name or f"existing:{field}"
    ballot, unknown = Ballot(), Counter[str]()
    votes = 0
    for rows, batch in walk(records, None if field in ("label", "probs") else gold, [column]):
        found = [_plain(value) for value in _values(batch, column, inner)]
        unknown.update(value for value in found if value and value not in of)
        at = [i for i, value in enumerate(found) if value in of]
        votes += len(at)
        ballot.add(rows[at], called, [of[found[i]] for i in at], 1.0 if trust is None else trust)
    if not votes:
        raise BurnishError(
            f"no value of {field!r} is a label"
            + (
                f"; the commonest are {', '.join(repr(v) for v, _ in unknown.most_common(5))}"
                if unknown
                else ": it is empty"
            ),
            where=where,
            hint="mapping: {VALUE: LABEL} says what a value means" if unknown else "look at the field's name",
        )
    if unknown:
        said = ", ".join(f"{value!r} ({count:,})" for value, count in unknown.most_common(5))
        context.progress.tell(f"  {called} abstains on values that mean no label: {said}")
    return ballot.votes([Labeller(called, "existing", tuple(sorted(set(of.values()))), f"the field {field}", trust)])


def _targets_vote(records: Records, name: str | None, trust: float | None, context: Context) -> Votes:
    """The targets that came with the records, as votes of the task's form."""
    task, form = open_task(context.task), form_of(context.task)
    called = name or f"existing:{form.name}"
    ballot, heard, at = Ballot(), set[str](), 0
    for batch in records.batches():
        for row, has in zip(batch.to_pylist(), task.labelled(batch), strict=True):
            if has:
                said = form.said(task.expected(row) or {}, row, context.task)
                said = said if trust is None else [replace(one, confidence=one.confidence * trust) for one in said]
                heard.update(one.label for one in said if one.label is not None)
                ballot.cast(at, called, said)
            at += 1
    made = ballot.votes([Labeller(called, "existing", tuple(sorted(heard)), f"the field {form.name}", trust)])
    if not len(made.table):
        raise BurnishError(
            f"no record came with {form.name}",
            where="construct.existing",
            hint="map the field in sources, or take it out",
        )
    return made


def _column(field: str) -> tuple[str, str]:
    column, _, inner = field.partition(".")
    if column not in COLUMNS or (inner and column != "meta"):
        names = [name for name in COLUMNS if name != "meta"] + ["meta.NAME"]
        raise BurnishError(
            f"records have no field {field!r}", where="construct.existing: field", hint=nearest(field, names, "fields")
        )
    return column, inner


def _values(batch: pa.Table, column: str, inner: str) -> Iterator[Any]:
    for value in batch[column].to_pylist():
        found = value
        if inner:
            found = json.loads(value) if value else {}
            for part in inner.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        yield found


def _plain(value: Any) -> str:
    """One writing for 5, 5.0 and "5", for true and "true"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


@stage("construct.model", check=votes_on())
def model(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    path: Path,
    mapping: dict[str, str] | None = None,
    min_confidence: Share = 0.5,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Let a model trained before vote, where it is sure enough.

    path: a run folder, or the folder of a model that burnish saved.
    mapping: the model's label -> the task's; labels it does not name abstain. Without it the labels must be the same.
    min_confidence: it abstains below this probability of its best label, 0..1.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the folder's name by default.
    """
    from burnish.tasks import predictor

    of = {said: check_label(label, context, "construct.model: mapping") for said, label in (mapping or {}).items()}
    loaded, task, form = predictor.load(path), open_task(context.task), form_of(context.task)
    called = name or f"model:{path.name}"
    ballot, heard = Ballot(), set[str]()
    total = len(records) + (len(gold) if gold is not None else 0)
    with context.progress.bar(called, total) as bar:
        for rows, batch in walk(records, gold):
            for start in range(0, len(rows), 1024):
                part = batch.slice(start, 1024)
                inputs = texts_of(part) if form.name == "label" else task.inputs(part)
                for row, record, answer in zip(
                    rows[start : start + 1024].tolist(), part.to_pylist(), loaded.predict(inputs), strict=True
                ):
                    said = [
                        one
                        for one in _translated(answer, of, form, record, context)
                        if one.confidence >= min_confidence
                    ]
                    heard.update(one.label for one in said if one.label is not None)
                    ballot.cast(row, called, said)
                bar.advance(len(part))
    says = tuple(sorted(set(of.values()) or heard)) or context.task.labels
    return ballot.votes([Labeller(called, "model", says, f"the model in {path.name}", trust)])


def _translated(
    answer: Mapping[str, Any], of: Mapping[str, str], form: Form, record: Mapping[str, Any], context: Context
) -> list[Said]:
    """What another model answers, as votes; labels go through `of` where it names any, others abstain."""
    if of and form.name == "label":
        meant = of.get(answer["label"])
        return [] if meant is None else [Said(meant, float(answer["score"]))]
    if of:
        said = form.said(answer, record, replace(context.task, labels=tuple(of)))
        return [replace(one, label=of[one.label]) for one in said if one.label is not None]
    try:
        return form.said(answer, record, context.task)
    except ValueError as error:
        raise BurnishError(
            str(error), where="construct.model: path", hint="mapping: {ITS LABEL: THE TASK'S}"
        ) from error
