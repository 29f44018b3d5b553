"""One form a kind of target: how an answer is written as votes, and how votes become a target again.

label      one label a record (`labels/one_label`)
labels     any number of them (`labels/several_labels`)
node       one node of a tree of labels (`labels/tree_of_labels`)
spans      stretches of the text, each with a label (`spans/form`)
relations  one relation, or none, an ordered pair of spans (`relations/form`)
answer     one answer out of a context, or that it has none (`questions/form`)
output     a text (`texts/form`)

Labellers, aggregation and self-training ask the form of the task; nobody asks which task it is. Who does not vote on a
record, a span, a pair, abstains: silence is never a vote that there is nothing.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.core.artifacts import Gold, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task, option_problems

# how a task is voted on -> where that form is
FORMS = {
    "label": "labels.one_label",
    "labels": "labels.several_labels",
    "node": "labels.tree_of_labels",
    "output": "texts.form",
    "spans": "spans.form",
    "relations": "relations.form",
    "answer": "questions.form",
}

Problem = tuple[str, str, str]
Check = Callable[[Mapping[str, Any], TaskSpec], list[Problem]]


@dataclass(frozen=True, slots=True)
class Said:
    """What one vote says; fields as in `Votes.SCHEMA`. confidence: 0..1."""

    label: str | None = None
    confidence: float = 1.0
    start: int | None = None
    end: int | None = None
    tail_start: int | None = None
    tail_end: int | None = None
    text: str | None = None


class Form(abc.ABC):
    """How votes about one kind of target are written, counted and become it."""

    name: ClassVar[str]  # the record column it fills
    methods: ClassVar[tuple[str, ...]]  # what `aggregate: {method}` can be besides auto
    about: ClassVar[str]  # "one label a text": what a person reads

    @abc.abstractmethod
    def said(self, answer: Mapping[str, Any], record: Mapping[str, Any], task: TaskSpec) -> list[Said]:
        """An answer, as the task's `decode` or `expected` gives it, as votes; [] abstains.

        record: a row with the task's input. ValueError says what is wrong with the answer ("no label 'x'").
        """

    @abc.abstractmethod
    def returned(self, value: Any) -> Mapping[str, Any]:
        """What a person's function returned, as an answer. ValueError says what it should be."""

    @abc.abstractmethod
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
        """One target a record. method: "auto" or one of `methods`; min_confidence: below it nothing is said, 0..1.

        facts: method, why, coverage, labellers, methods, best_single, story, as far as they mean something.
        """

    def self_train(self, records: Records, gold: Gold | None, context: Context, **settings: Any) -> Records:
        """Go beyond the votes. settings: of the stage `construct.self_training`."""
        raise BurnishError(
            f"self-training is not for {self.about}",
            where="construct.self_training",
            hint="take it out: the votes are tuned on as they are",
        )


def form_name(spec: TaskSpec) -> str | None:
    """The name of the task's form, None where nobody can vote on its targets (conversations, several tasks)."""
    if option_problems(spec):  # a section with mistakes has those to mend first
        return "label"
    column = open_task(spec).voted
    return column if column in FORMS else None


def votable(spec: TaskSpec) -> tuple[str, ...]:
    """The labels that a vote may name: the task's, and in a tree of labels every node."""
    labels: tuple[str, ...] = spec.labels if option_problems(spec) else open_task(spec).votable
    return labels


def form_of(spec: TaskSpec) -> Form:
    """The form of the task's targets."""
    name = form_name(spec)
    if name is None:
        raise BurnishError(_nobody_votes(spec), where="construct", hint=NO_VOTES)
    made: Form = importlib.import_module(f"burnish.construct.{FORMS[name]}").FORM
    return made


NO_VOTES = "makers write such records; or give labelled records as a source"


def _nobody_votes(spec: TaskSpec) -> str:
    return f"nobody can vote on a target of {spec.type}"


def votes_on(*forms: str) -> Check:
    """A check for `burnish check`: the labeller is for these forms of targets, all of them when none is named."""

    def check(settings: Mapping[str, Any], task: TaskSpec) -> list[Problem]:
        name = form_name(task)
        if name is None:
            return [("use", _nobody_votes(task), NO_VOTES)]
        if forms and name not in forms:
            allowed = ", ".join(forms)
            return [("use", f"it votes on {allowed}, and a target of {task.type} is {name}", NO_VOTES)]
        return []

    return check


def checks(*several: Check) -> Check:
    """Checks one after the other, the first that finds something speaks."""

    def check(settings: Mapping[str, Any], task: TaskSpec) -> list[Problem]:
        return next((found for one in several if (found := one(settings, task))), [])

    return check


def rows_of(row: int, labeller: str, said: Iterable[Said]) -> list[dict[str, Any]]:
    """Votes of a labeller on a row as rows of `Votes.SCHEMA`."""
    return [
        {
            "row": row, "labeller": labeller, "label": one.label, "confidence": one.confidence, "start": one.start,
            "end": one.end, "tail_start": one.tail_start, "tail_end": one.tail_end, "text": one.text,
        }
        for one in said
    ]  # fmt: skip
