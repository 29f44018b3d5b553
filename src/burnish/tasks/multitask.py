"""Several tasks on one encoder: a text is read once, and each task has its own head on it.

target   whatever the tasks have; a record may carry any of them. A task reads its own columns, or `field: meta.NAME`
valid    what is valid for every task whose target it carries
head     several: one head a task; the loss is their weighted sum, or learnt weights (Kendall, Gal & Cipolla 2018)
windows  those of the first task whose head reads tokens; a task on whole texts reads a record's first window
scores   the mean of the tasks' chief figures, the share of records with all targets right, and "TASK.FIGURE"
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError, DataError
from burnish.core.figures import word
from burnish.core.records import SCHEMA, Record
from burnish.core.stage import TaskSpec, nearest, read_labels
from burnish.core.tasktypes import known_types, task_class
from burnish.nn.examples import IGNORED, Examples
from burnish.nn.models import Head
from burnish.tasks import base
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

SHARING = ("sequence", "token")  # kinds of head that `nn.several_heads` puts on one backbone
SAMPLING = {"proportional": 1.0, "sqrt": 0.5, "equal": 0.0}
TARGETS = ("label", "labels", "probs", "value", "spans", "relations", "answer", "output")

PROMPTS = {
    "en": "Answer all the questions below about one text. Answer with one JSON object with the keys {names}.\n\n{parts}",
    "zh": "回答下面关于同一段文本的所有问题。只回答一个 JSON 对象，键为 {names}。\n\n{parts}",
}


class Task(base.Task):
    """Several tasks that share an encoder."""

    name = "multitask"
    pipeline = "text-classification"
    target = ()  # known when the tasks are
    figure = "mean"
    options: ClassVar[Mapping[str, Any]] = {"tasks": {}, "weights": {}, "sampling": "proportional"}

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.parts: dict[str, base.Task] = {}
        self.fields: dict[str, tuple[str, ...]] = {}  # tasks whose target is in meta, and the path to it
        for name, given in self.settings["tasks"].items():
            one = sub_spec(given, spec)
            self.parts[name] = task_class(one.type)(one)
            if given.get("field"):
                self.fields[name] = tuple(given["field"].split(".")[1:])
        self.target = (  # type: ignore[misc]  # narrower than the class's, for this section
            *dict.fromkeys(
                column for name, part in self.parts.items() if name not in self.fields for column in part.target
            ),
            *(("meta",) if self.fields else ()),
        )

    # -- 1. targets

    @property
    def voted(self) -> str | None:
        return None

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        """(key, message, hint) for what is wrong with the `task` section, the sections of its tasks included."""
        found = super().problems(spec)
        tasks = spec.options.get("tasks")
        if not isinstance(tasks, Mapping) or len(tasks) < 2:
            hint = "tasks: {intent: {type: classification, labels: [a, b]}, slots: {type: tagging, labels: [city]}}"
            return [*found, ("tasks", "multitask needs at least two tasks, each with a name", hint)]
        parts: dict[str, base.Task] = {}
        for name, given in tasks.items():
            wrong, part = _part(name, given, spec)
            found += [("tasks", f"{name}: {message}", hint) for message, hint in wrong]
            if part is not None:
                parts[name] = part
        readers: dict[str, str] = {}
        for name, part in parts.items():
            column = tasks[name].get("field") or part.target[0]
            if column in readers:
                message = f"{name}: reads its target from {column}, as {readers[column]} does"
                found.append(("tasks", message, "say where it is, as in field: meta.sentiment"))
            readers.setdefault(column, name)
        return [*found, *_weights_problems(spec, list(tasks))]

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid for every task."""
        for name, part in self.parts.items():
            seen = record
            if name in self.fields:
                try:
                    others: dict[str, Any] = dict.fromkeys(TARGETS)
                    seen = replace(record, **{**others, **self._given(name, record.meta, part)})
                except ValueError as error:
                    return f"{name}: {error}"
            wrong = part.problem(seen)
            if wrong:
                return wrong if wrong == "empty text" else f"{name}: {wrong}"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        """(n,) bool: which records have a target of any task."""
        return np.asarray(self._labelled(table).any(1))

    def _labelled(self, table: pa.Table) -> np.ndarray:
        """(n, tasks) bool."""
        told = [part.labelled(self._view(name, table)) for name, part in self.parts.items()]
        return np.stack(told, 1) if told else np.zeros((len(table), 0), dtype=bool)

    def _view(self, name: str, table: pa.Table) -> pa.Table:
        """The table as one task reads it: its target in its own column. DataError names field and record."""
        if name not in self.fields:
            return table
        made: dict[str, list[Any]] = {column: [None] * len(table) for column in TARGETS}
        for row, meta in enumerate(table["meta"].to_pylist() if "meta" in table.column_names else []):
            try:
                given = self._given(name, json.loads(meta) if meta else {}, self.parts[name])
            except ValueError as error:
                at = table["id"][row].as_py() if "id" in table.column_names else row
                raise DataError(str(error), where=f"record {at}", hint=f"task.tasks.{name}.field names it") from error
            for column, value in given.items():
                made[column][row] = value
        for column, values in made.items():
            array = pa.array(values, SCHEMA.field(column).type)
            if column in table.column_names:
                table = table.set_column(table.column_names.index(column), column, array)
            else:
                table = table.append_column(column, array)
        return table

    def _given(self, name: str, meta: Mapping[str, Any], part: base.Task) -> dict[str, Any]:
        """{column: value} of a target that stands in meta; {} where there is none. ValueError says what it is instead."""
        value: Any = meta
        for key in self.fields[name]:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            return {}
        column = part.target[0]
        path = ".".join(("meta", *self.fields[name]))
        if column == "label":
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                return {"labels": value}
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise ValueError(f"{path} must be a label, not {json.dumps(value, ensure_ascii=False)[:80]}")
            return {"label": str(value)}
        try:
            pa.scalar(value, SCHEMA.field(column).type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not fit {column}: {json.dumps(value, ensure_ascii=False)[:80]}") from error
        return {column: value}

    # -- 2. encoding

    @functools.cached_property
    def _kinds(self) -> dict[str, str]:
        return {name: part.head().kind for name, part in self.parts.items()}

    @functools.cached_property
    def _leader(self) -> base.Task:
        """The task that cuts texts into windows for all: the first whose head reads tokens, else the first."""
        return next(
            (part for name, part in self.parts.items() if self._kinds[name] == "token"), next(iter(self.parts.values()))
        )

    def tokenizer(self, tokenizer: Any) -> Any:
        return self._leader.tokenizer(tokenizer)

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        made: Examples = self._leader.encode(inputs, tokenizer, max_length=max_length)
        return made

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        """Windows with the targets of each task.

        weights: where records differ in which targets they carry and `sampling` is not proportional, every set of
        records counts as if it were drawn that often; the mean over the records is 1.
        """
        told = self._labelled(table)
        kept = told.any(1)
        table, told = table.filter(pa.array(kept)), told[kept]
        shared = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        several = {}
        for at, (name, part) in enumerate(self.parts.items()):
            rows = np.flatnonzero(told[:, at])
            own = part.examples(
                self._view(name, table.take(pa.array(rows))), tokenizer, max_length=max_length, soft=soft
            )
            several[name] = _placed(own, shared, rows, name)
        return replace(shared, several=several, weights=self._sampling(told, shared.of_records))

    def _sampling(self, told: np.ndarray, of_records: np.ndarray) -> np.ndarray | None:
        """(W) what each window counts, or None where that is 1."""
        _, group, counts = np.unique(told, axis=0, return_inverse=True, return_counts=True)
        power = SAMPLING[self.settings["sampling"]]
        if power == 1.0 or len(counts) < 2:
            return None
        share = counts**power / (counts**power).sum()
        weights: np.ndarray = (share * len(told) / counts)[group.reshape(-1)][of_records].astype(np.float32)
        return weights

    # -- 3. head and loss

    def head(self) -> Head:
        return Head(
            "several",
            (),
            {
                "heads": {name: part.head().plain() for name, part in self.parts.items()},
                "balanced": self.settings["weights"] == "auto",
            },
        )

    def objective(self, *, class_weights: Any = None, label_smoothing: float = 0.0) -> Any:
        """class_weights: {task: (C)}; or None."""
        from burnish.nn.objectives import Several

        weighed = class_weights or {}
        parts = {
            name: part.objective(class_weights=weighed.get(name), label_smoothing=label_smoothing)
            for name, part in self.parts.items()
        }
        given = self.settings["weights"]
        return Several(parts, None if given == "auto" else {name: float(given.get(name, 1.0)) for name in parts})

    # -- 4. decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{task: its answer} for each input."""
        parts = {}
        for name, part in self.parts.items():
            seen, own = self._windows(name, examples, outputs)
            parts[name] = part.decode(inputs, seen, own, self._card(name, card))
        items: list[Answer] = [{name: part.items[i] for name, part in parts.items()} for i in range(len(inputs))]
        return Answers(items, None, parts)

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """What each task fits on the records that carry its target: {"tasks": {name: ...}}."""
        return self._fitted(table, examples, outputs, lambda part: part.calibrate)

    def judging(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """What each task wants fitted before an epoch is judged, in the same shape."""
        return self._fitted(table, examples, outputs, lambda part: part.judging)

    def _fitted(
        self, table: pa.Table, examples: Any, outputs: Sequence[Any], fit: Callable[[base.Task], Callable[..., Any]]
    ) -> dict[str, Any]:
        """{"tasks": {name: what `fit` of it gives for the records that carry its target}}."""
        told = self._labelled(table)
        kept = told.any(1)
        table, told = table.filter(pa.array(kept)), told[kept]
        found = {}
        for at, (name, part) in enumerate(self.parts.items()):
            rows = np.flatnonzero(told[:, at])
            if not len(rows):
                continue
            windows = np.flatnonzero(np.isin(examples.of_records, rows))
            mine = examples.several[name].take(windows)
            mine = replace(mine, records=np.searchsorted(rows, examples.of_records[windows]))
            seen, own = self._windows(name, mine, [outputs[window] for window in windows.tolist()])
            found[name] = fit(part)(self._view(name, table.take(pa.array(rows))), seen, own)
        return {"tasks": {name: numbers for name, numbers in found.items() if numbers}}

    def _windows(self, name: str, examples: Examples, outputs: Sequence[Any]) -> tuple[Examples, list[Any]]:
        """The windows that one task reads, with its outputs: all, or the first of each record."""
        own = [one[name] for one in outputs]
        plain = replace(examples, several=None)
        if self._kinds[name] == "token" or examples.records is None:
            return plain, own
        firsts = np.flatnonzero(np.diff(examples.records, prepend=-1))
        return replace(plain.take(firsts), records=None), [own[first] for first in firsts.tolist()]

    @staticmethod
    def _card(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
        """The card of one task: what its head learnt beside the outputs, and what it calibrated."""
        own = {key: value for key, value in card.items() if key not in ("tasks", "learnt")}
        return {**own, **card.get("learnt", {}).get(name, {}), **card.get("tasks", {}).get(name, {})}

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """(n,) 0..1: the mean of the tasks'."""
        assert before.parts is not None and after.parts is not None
        both = ((part, before.parts[name], after.parts[name]) for name, part in self.parts.items())
        return np.asarray(np.mean([part.agreement(one, other) for part, one, other in both], axis=0))

    # -- 5. scores

    @functools.cached_property
    def _widths(self) -> list[int]:
        """Columns of each task's tally."""
        nobody = SCHEMA.empty_table()
        return [
            part.tally(nobody, Answers([], np.zeros((0, len(part.labels))))).shape[1] for part in self.parts.values()
        ]

    def _each(
        self, table: pa.Table, answers: Answers
    ) -> Iterator[tuple[str, base.Task, np.ndarray, pa.Table, Answers]]:
        """(name, task, rows that carry its target, these records as it reads them, its answers for them)."""
        assert answers.parts is not None
        for name, part in self.parts.items():
            view = self._view(name, table)
            rows = np.flatnonzero(part.labelled(view))
            yield name, part, rows, view.take(pa.array(rows)), answers.parts[name].take(rows)

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 2 + tasks x (1 + own)): has a target, all right; for each task whether it has one, and its own tally."""
        judged, right = np.zeros(len(table)), np.ones(len(table))
        columns = []
        for (_, part, rows, view, own), width in zip(self._each(table, answers), self._widths, strict=True):
            made = np.zeros((len(table), 1 + width))
            made[rows, 0] = 1
            if len(rows):
                made[rows, 1:] = part.tally(view, own)
                wanted = (part.expected(row) for row in view.to_pylist())
                right[rows] *= [_says(item, want) for item, want in zip(own.items, wanted, strict=True)]
            judged = np.maximum(judged, made[:, 0])
            columns.append(made)
        return np.concatenate([np.stack([judged, right * judged], 1), *columns], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        found: dict[str, np.ndarray] = {}
        chief, at = [], 2
        for (name, part), width in zip(self.parts.items(), self._widths, strict=True):
            nobody = sums[..., at] == 0
            own = part.figures(sums[..., at + 1 : at + 1 + width])
            found |= {f"{name}.{key}": np.where(nobody, np.nan, value) for key, value in own.items()}
            chief.append(found[f"{name}.{part.figure}"])
            at += 1 + width
        with np.errstate(invalid="ignore", divide="ignore"):
            known = ~np.isnan(np.stack(chief))
            mean = np.where(known, np.stack(chief), 0.0).sum(0) / known.sum(0)
            all_right = sums[..., 1] / sums[..., 0]
        first = {f"{name}.{part.figure}": found[f"{name}.{part.figure}"] for name, part in self.parts.items()}
        return {"mean": mean, "all_right": all_right, **first, **found}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        chief = " and ".join(word(f"{name}.{part.figure}") for name, part in self.parts.items())
        return f"Mean of {chief} {value:.3f} ({low:.3f} to {high:.3f}) on {count:,} records"

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """What each task's report holds, and how many records carry its target."""
        return {
            "tasks": {
                name: {"n": len(rows), **(part.details(view, own) if len(rows) else {})}
                for name, part, rows, view, own in self._each(table, answers)
            }
        }

    def explained(self) -> Mapping[str, str]:
        return {key: said for part in self.parts.values() for key, said in part.explained().items()}

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """The mean of the tasks' losses over those whose target a record carries."""
        total, count = np.zeros(len(table)), np.zeros(len(table))
        for _, part, rows, view, own in self._each(table, answers):
            if len(rows):
                total[rows] += part.losses(view, own)
                count[rows] += 1
        return total / np.maximum(count, 1)

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """The weakest baselines of all tasks together, then the next, to the strongest of each."""
        found = []
        for name, part in self.parts.items():
            sides = [self._view(name, side) for side in (train, validation)]
            told = [side.filter(pa.array(part.labelled(side))) for side in sides]
            found.append(
                list(part.baselines(told[0], told[1], self._view(name, test), seed=seed)) if len(told[0]) else []
            )
        if not all(found):
            return
        for rank in range(max(map(len, found))):
            row = [one[min(rank, len(one) - 1)] for one in found]
            parts = {name: answers for name, (_, answers, _) in zip(self.parts, row, strict=True)}
            items: list[Answer] = [{name: part.items[i] for name, part in parts.items()} for i in range(len(test))]
            chosen = {name: one[2] for name, one in zip(self.parts, row, strict=True) if one[2]}
            yield " + ".join(dict.fromkeys(one[0] for one in row)), Answers(items, None, parts), chosen

    # -- 6. pages

    def show(self, record: Record) -> str:
        """A record in one line: the tasks whose target it carries, and its text."""
        row = record.row()
        wanted = self.expected(row) or {}
        told = ", ".join(f"{name}: {_short(answer)}" for name, answer in wanted.items())
        return f"[{told or '?'}] {' '.join((record.text or '').split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        """What each task says."""
        told = ((name, part.brief((answer or {}).get(name))) for name, part in self.parts.items())
        return "; ".join(f"{name}: {said}" for name, said in told if said)

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """The text once, with the marks of the first task that marks; what the others say below it."""
        alone = self._leader.pieces(given, None)
        if answer is None:
            return alone
        made, below = alone, []
        for name, part in self.parts.items():
            if answer.get(name) is None:
                continue
            plain, shown = part.pieces(given, None), part.pieces(given, answer[name])
            if shown[: len(plain)] == plain:
                added = shown[len(plain) :] or [Piece("→ ∅")]
                below += [Piece(f"\n{name} "), Piece(added[0].text.lstrip("\n"), added[0].mark), *added[1:]]
            elif made is alone:
                made = shown
            else:
                below += [Piece(f"\n{name}\n"), *shown]
        return [*made, *below]

    def editors(self) -> tuple[Editor, ...]:
        """Those of every task, under its name; of one whose target stands in meta, at that place."""
        made: list[Editor] = []
        for name, part in self.parts.items():
            for one in part.editors():
                inside = ("meta", *self.fields[name]) if name in self.fields else one.path
                clears = () if name in self.fields else one.clears
                made.append(replace(one, name=name, path=inside, clears=clears))
        return tuple(made)

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        """{task: the answer that the record asks for}, of the tasks whose target it carries; None where there is none."""
        found = {}
        for name, part in self.parts.items():
            seen = dict(row)
            if name in self.fields:
                meta = row.get("meta") or {}
                meta = json.loads(meta) if isinstance(meta, str) else meta
                seen |= dict.fromkeys(TARGETS) | self._given(name, meta, part)
            answer = part.expected(seen)
            if answer is not None:
                found[name] = answer
        return found or None

    def right(self, table: pa.Table) -> Answers:
        """The answers that labelled records ask for, with those of each task."""
        parts = {name: part.right(self._view(name, table)) for name, part in self.parts.items()}
        return Answers([self.expected(row) or {} for row in table.to_pylist()], None, parts)

    # -- 7.

    def prompt(self, text: str, *, language: str = "en") -> str:
        """All the tasks' prompts, and that one JSON object is wanted."""
        parts = [f"{name}\n{part.prompt(text, language=language)}" for name, part in self.parts.items()]
        return PROMPTS.get(language, PROMPTS["en"]).format(names=", ".join(self.parts), parts="\n\n".join(parts))


def sub_spec(given: Mapping[str, Any], spec: TaskSpec) -> TaskSpec:
    """One of the tasks as a task section of its own; languages and inputs are those of the whole."""
    labels, descriptions, _ = read_labels(given.get("labels", []))
    options = {key: value for key, value in given.items() if key not in ("type", "labels", "field")}
    if "inputs" in spec.options:
        options["inputs"] = spec.options["inputs"]
    return TaskSpec(given["type"], tuple(labels), descriptions, spec.languages, options)


def _part(name: Any, given: Any, spec: TaskSpec) -> tuple[list[tuple[str, str]], base.Task | None]:
    """(message, hint) for what is wrong with one of the tasks, and the task where nothing is."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name):
        return [("a task's name is letters, figures, _ and -", "intent")], None
    types = [one for one in known_types() if one != Task.name]
    if not isinstance(given, Mapping) or given.get("type") not in types:
        kind = given.get("type") if isinstance(given, Mapping) else given
        return [(f"unknown task type {kind!r}", nearest(str(kind), types, "types are"))], None
    wrong = [(message, hint) for _, message, hint in read_labels(given.get("labels", []))[2]]
    field = given.get("field")
    if field is not None and not (isinstance(field, str) and re.fullmatch(r"meta(\.[^.]+)+", field)):
        wrong.append((f"field must be a place in meta, got {field!r}", "field: meta.sentiment"))
    for key in ("languages", "inputs"):
        if key in given:
            wrong.append((f"{key} are those of the whole task section", f"move {key} up"))
            given = {name: value for name, value in given.items() if name != key}
    one = sub_spec(given, spec)
    kind = task_class(one.type)
    wrong += [(f"{key}: {message}", hint) for key, message, hint in kind.problems(one)]
    if wrong:
        return wrong, None
    part: base.Task = kind(one)
    if part.engine != "encoder" or part.head().kind not in SHARING:
        return [(f"{one.type} cannot share an encoder with other tasks", "classification and tagging can")], None
    return [], part


def _weights_problems(spec: TaskSpec, names: list[str]) -> list[tuple[str, str, str]]:
    found = []
    weights, sampling = spec.options.get("weights", {}), spec.options.get("sampling", "proportional")
    if weights != "auto" and not isinstance(weights, Mapping):
        found.append(("weights", f"weights must be auto or a number a task, got {weights!r}", "weights: {intent: 1}"))
    elif weights != "auto":
        for name, value in weights.items():
            if name not in names:
                found.append(("weights", f"no task is named {name!r}", nearest(str(name), names, "tasks are")))
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                found.append(
                    ("weights", f"the weight of {name} must be a number from 0 up, got {value!r}", f"{name}: 1")
                )
    if sampling not in SAMPLING:
        found.append(("sampling", f"no sampling {sampling!r}", nearest(str(sampling), list(SAMPLING), "there are")))
    return found


def _placed(own: Examples, shared: Examples, rows: np.ndarray, name: str) -> Examples:
    """Targets of one task, of records `rows`, on the windows that all tasks share; weight 0 elsewhere.

    A task that reads whole texts has one window a record, which is put on the record's first.
    """
    mine = rows[own.of_records]
    nth = np.arange(len(own)) - np.searchsorted(own.of_records, own.of_records)
    places = np.searchsorted(shared.of_records, mine) + nth
    same = not len(places) or (places.max() < len(shared) and np.array_equal(shared.of_records[places], mine))
    marks = own.token_targets is not None or own.spans is not None
    if same and marks:
        same = np.array_equal(shared.lengths[places], own.lengths)
        where = np.repeat(shared.offsets[places] - own.offsets[:-1], own.lengths) + np.arange(len(own.tokens))
        same = same and np.array_equal(shared.tokens[where], own.tokens)
    if not same:
        raise BurnishError(
            f"task.tasks.{name} cuts texts into other windows than the task whose windows all share",
            hint="give all tasks that mark tokens the same settings of windows",
        )
    weights = np.zeros(len(shared), np.float32)
    weights[places] = 1.0 if own.weights is None else own.weights
    targets = token_targets = spans = None
    if own.targets is not None:
        targets = np.zeros((len(shared), *own.targets.shape[1:]), own.targets.dtype)
        targets[places] = own.targets
    if own.token_targets is not None:
        token_targets = np.full(len(shared.tokens), IGNORED, np.int64)
        token_targets[where] = own.token_targets
    if own.spans is not None:
        spans = own.spans.copy()
        spans[:, 0] = places[spans[:, 0]]
    return replace(shared, targets=targets, token_targets=token_targets, spans=spans, weights=weights)


def _says(answer: Any, wanted: Any) -> bool:
    """Whether an answer holds all that is wanted; it may hold more (scores, texts of spans)."""
    if isinstance(wanted, Mapping):
        return isinstance(answer, Mapping) and all(_says(answer.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        if not isinstance(answer, list | tuple) or len(answer) != len(wanted):
            return False
        left = list(answer)
        for one in wanted:  # in any order: spans and labels are sets
            found = next((i for i, other in enumerate(left) if _says(other, one)), None)
            if found is None:
                return False
            left.pop(found)
        return True
    return bool(answer == wanted)


def _short(answer: Mapping[str, Any]) -> str:
    """An expected answer in a word or two."""
    value = next(iter(answer.values()), "")
    if isinstance(value, list):
        return ", ".join(str(one.get("label")) if isinstance(one, Mapping) else str(one) for one in value) or "-"
    return str(value)
