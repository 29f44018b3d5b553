"""What every task answers, in the same order; the rooms ask nothing else, and nobody asks which task it is.

1. what is a target, when is a record valid   `target`, `problems`, `problem`, `labelled`, `settle`
2. how is it encoded                          `input`, `inputs`, `encode`, `examples`
3. which head and loss                        `head`, `objective`
4. how is output decoded                      `decode`, `calibrate`
5. which scores                               `figure`, `tally`, `figures`, `details`, `losses`, `baselines`
6. how is it shown and reviewed               `show`, `pieces`, `editors`
7. what is a teacher asked                    `prompt`
8. who labels when nobody wrote rules         `default_labellers`

An input is a dict of record fields (text, text_b, messages, spans, ...), as `input` makes it of what a caller sent. An
answer is a dict of the server's contract ({"label", ...}, {"spans"}, {"text"}, ...), one an input, in order.
Shapes: n records, W windows, C outputs.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError, DataError
from burnish.core.figures import title
from burnish.core.progress import Progress
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.models import Head
from burnish.tasks.editors import KINDS, Editor
from burnish.text import linearise

COMMON = ("labels", "languages", "inputs")  # settings of every task's section
PLACED = frozenset(("spans", "relations", "answer"))  # targets that stand at characters of the text

Input = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a model said of n records. probabilities: (n, C) where the answer is one of C labels, else None.

    parts: of a task of several tasks, what was said for each of them, by name; n answers each.
    """

    items: list[Answer]
    probabilities: np.ndarray | None = None
    parts: Mapping[str, Answers] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Sequence[int] | np.ndarray) -> Answers:
        """Those of the records at `rows`."""
        rows = np.asarray(rows, dtype=np.int64)
        return Answers(
            [self.items[row] for row in rows],
            None if self.probabilities is None else self.probabilities[rows],
            None if self.parts is None else {name: part.take(rows) for name, part in self.parts.items()},
        )


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers one after the other; all have the same things."""
    if len(parts) == 1:
        return parts[0]
    shares = [part.probabilities for part in parts if part.probabilities is not None]
    several = [part.parts for part in parts if part.parts is not None]
    return Answers(
        [item for part in parts for item in part.items],
        np.concatenate(shares) if shares else None,
        {name: joined([one[name] for one in several]) for name in several[0]} if several else None,
    )


@dataclass(frozen=True)
class Piece:
    """A stretch of text as a person sees it; mark: the label of a marked one (an entity, an answer), else None."""

    text: str
    mark: str | None = None


class Task(abc.ABC):
    """One task, bound to the `task` section of a spec."""

    name: ClassVar[str]
    target: ClassVar[tuple[str, ...]]  # record columns that hold a target
    reads: ClassVar[tuple[str, ...]] = ("text", "text_b")  # record columns that an input is made of
    options: ClassVar[Mapping[str, Any]] = {}  # settings of the section beyond COMMON, with defaults
    figure: ClassVar[str]  # the one by which epochs and models are chosen, higher is better
    together: ClassVar[tuple[str, ...]] = ()  # record columns whose equal values stay on one side of a split
    points: ClassVar[float] = 100.0  # that 1.0 of the chief figure is when people speak of points
    least_labels: ClassVar[int] = 0
    about: ClassVar[Mapping[str, str]] = {}  # what a detail of the report says, in a sentence, by name
    pipeline: ClassVar[str] = ""  # what model hubs call it (pipeline_tag)
    engine: ClassVar[str] = "encoder"  # what answers: an encoder under a head, or a generator

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.labels = list(spec.labels)
        self.settings = {**self.options, **spec.options}
        given = self.settings.get("inputs")
        self.plan = linearise.Plan.of(given, spec.languages) if given else None

    # -- 1. what is a target, when is a record valid

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        """(key, message, hint) for what is wrong with the `task` section."""
        known = (*cls.options, *COMMON)
        found = [
            (key, f"{cls.name} has no setting {key!r}", nearest(key, known, "it has"))
            for key in spec.options
            if key not in cls.options and key not in COMMON
        ]
        if spec.options.get("inputs") is not None:
            found += [("inputs", message, hint) for message, hint in linearise.problems(spec.options["inputs"])]
            if moved := sorted(PLACED.intersection(cls.target)):
                message = (
                    f"{cls.name} has targets at characters of the text ({', '.join(moved)}), which inputs would move"
                )
                found.append(("inputs", message, "make the text in the source, with targets that fit it"))
        if len(spec.labels) < cls.least_labels:
            count = {1: "one label", 2: "two labels"}.get(cls.least_labels, f"{cls.least_labels} labels")
            wants = f"{cls.name} needs at least {count}, got {list(spec.labels)}"
            found.append(("labels", wants, "labels: [negative, positive]"))
        return found

    @classmethod
    def files(cls, spec: TaskSpec) -> dict[str, str]:
        """Files that the section names, relative to the spec, by option."""
        return {}

    @abc.abstractmethod
    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid. A record without a target is valid."""

    def labelled(self, table: pa.Table) -> np.ndarray:
        """(n,) bool: which records have a target."""
        there = np.zeros(len(table), dtype=bool)
        for name in self.target:
            if name in table.column_names:
                there |= table[name].is_valid().to_numpy(zero_copy_only=False).astype(bool)
        return there

    @property
    def one_label(self) -> bool:
        """Whether a target is one of the task's labels: what labellers vote for and label checks judge."""
        return tuple(self.target) == ("label",)

    @property
    def voted(self) -> str | None:
        """The form of its targets that labellers vote in (`construct.forms`); None where they cannot."""
        return self.target[0]

    @property
    def votable(self) -> tuple[str, ...]:
        """The labels that a vote may name."""
        return tuple(self.labels)

    def settle(self, train: pa.Table) -> TaskSpec:
        """The `task` section with what it leaves to the labelled training records filled in; a model's card keeps it."""
        return self.spec

    # -- 2. how is it encoded

    def input(self, given: Any) -> Input:
        """What a caller sent, checked. ValueError says what is wrong, without the place ("a text is wanted, got int")."""
        if isinstance(given, str):
            given = {self.reads[0]: given}
        if not isinstance(given, Mapping):
            raise ValueError(f"a text or an object is wanted, got {type(given).__name__}")
        for name, value in given.items():
            if value is not None and name in ("text", "text_b") and not isinstance(value, str):
                raise ValueError(f"{name} must be a string, not {type(value).__name__}")
        made = {name: given.get(name) for name in self.reads}
        if self.plan is not None:
            made = self._linearised(given)
            if not made["text"]:
                raise ValueError(f"there is nothing to read: {', '.join(self.plan.paths)} are missing or empty")
        if not (made[self.reads[0]] or "").strip():
            raise ValueError(f"{self.reads[0]} is missing or empty")
        return made

    @property
    def sends(self) -> dict[str, Any]:
        """Fields of what a caller sends beyond `reads`, with a sample of those that cannot be left out, else None."""
        paths = self.plan.paths if self.plan else ()  # a caller may leave out "meta", and may write it
        first = [part for path in paths for part in (path.removeprefix("meta.").split(".")[0], path.split(".")[0])]
        return {name: None for name in first if name not in self.reads}

    def local(self, given: Any, folder: Path) -> Any:
        """What somebody on this machine sent, with the files that it names, from `folder`, taken in; never asked for a
        stranger, whose words must not open files. ValueError says what is wrong, without the place."""
        return given

    def inputs(self, table: pa.Table) -> list[Input]:
        """The inputs of records. DataError names the field and the record that cannot be read."""
        table = self.read(table)
        return [dict(row) for row in table.select([c for c in self.reads if c in table.column_names]).to_pylist()]

    def read(self, table: pa.Table) -> pa.Table:
        """The table with the text that the model reads, where `inputs` says what that is made of."""
        if self.plan is None:
            return table
        columns = [name for name in dict.fromkeys((*self.reads, "meta", *(p.split(".")[0] for p in self.plan.paths)))]
        rows = table.select([name for name in columns if name in table.column_names]).to_pylist()
        made = []
        for number, row in enumerate(rows):
            try:
                made.append(self._linearised(row))
            except ValueError as error:
                at = table["id"][number].as_py() if "id" in table.column_names else number
                raise DataError(str(error), where=f"record {at}", hint="task.inputs names the field") from error
        for name in ("text", "text_b"):
            if name in table.column_names:
                values = pa.array([row[name] for row in made], pa.string())
                table = table.set_column(table.column_names.index(name), name, values)
        return table

    def _linearised(self, row: Mapping[str, Any]) -> Input:
        """A record as the model reads it; what went into the text is no input of its own."""
        assert self.plan is not None
        rest = {name: None if name in self.plan.paths else row.get(name) for name in self.reads}
        return {**rest, "text": self.plan.text(row)}

    def tokenizer(self, tokenizer: Any) -> Any:
        """The tokenizer of the backbone (of transformers) made ready for the task: with its markers, its template."""
        return tokenizer

    @abc.abstractmethod
    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Any:
        """Inputs as `nn.examples.Examples` without targets. tokenizer: of transformers, or of the tokenizers library."""

    @abc.abstractmethod
    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Any:
        """Labelled records as `nn.examples.Examples` with targets. soft: learn how sure the labels are, where they say."""

    # -- 3. which head and loss

    def automatic(self) -> str:
        """The backbone that "auto" means. WeightsError where none speaks the languages."""
        from burnish.nn.backbones import choose

        return choose(self.spec.languages)

    def backbone(self, name: str, table: pa.Table, *, folder: Path, seed: int, progress: Progress) -> Path:
        """The weights a model starts from: what `name` means. table: what is learnt from; folder: for weights made anew."""
        from burnish.nn.backbones import FRESH, resolve

        if name == FRESH:
            raise BurnishError(
                f"{self.spec.type} does not learn from nothing", where="train.tune.backbone", hint="auto, or a name"
            )
        return resolve(name, languages=self.spec.languages, progress=progress)

    @abc.abstractmethod
    def head(self) -> Head:
        """What stands on the backbone."""

    @abc.abstractmethod
    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        """An `nn.objectives.Objective`. class_weights: (C), what each class counts; label_smoothing: 0..1."""

    # -- 4. how is output decoded

    @abc.abstractmethod
    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """Answers of n inputs from what the network gave for their windows.

        examples: as `encode` made them; outputs: one array a window, (C,) or (tokens, C). card: the model's
        burnish.json, where `calibrate` left its numbers.
        """

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """Numbers for the card, fitted on the validation side: temperature, thresholds. {} where there are none."""
        return {}

    def judging(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """Of what `calibrate` fits, what an epoch is judged with: numbers that decide what is said. {} where none does."""
        return {}

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """(n,) 0..1: how far two models say the same; by default 1 where the answers are equal but for their numbers."""
        return np.array([_said(a) == _said(b) for a, b in zip(before.items, after.items, strict=True)], dtype=float)

    # -- what stands beside the model: an index, for tasks that answer from one

    def collect(  # noqa: B027 - most tasks answer from their network alone
        self, train: pa.Table, validation: pa.Table | None = None, *, base: Path | None = None
    ) -> None:
        """Take from the training and validation side what the task answers from. base: the spec's folder."""

    def furnish(self, folder: Path, engine: Any) -> None:  # noqa: B027
        """Write what was collected or opened beside a model; engine: the one that will answer from that folder."""

    def opened(self, folder: Path) -> None:  # noqa: B027
        """A model folder was opened: find in it what `furnish` wrote."""

    # -- 5. which scores

    @abc.abstractmethod
    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, s) counts a record that add up: sums over any set of records give its `figures`."""

    @abc.abstractmethod
    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Scores (...,) of sums (..., s) of the tally, by name, the chief one first; all 0..1 unless documented."""

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """What else the report holds: per class, confusion, a printed report; JSON.

        `about` says what each is. "tasks": of a task of several, {name: {"n", its details ...}}.
        """
        return {}

    def explained(self) -> Mapping[str, str]:
        """What each detail says, by name."""
        return self.about

    def beside(self, train: pa.Table, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Further details that the training side is needed for: what was seen there apart from what is new; JSON."""
        return {}

    def spreads(self, table: pa.Table, answers: Answers, *, seed: int, draws: int) -> dict[str, list[float]]:
        """Intervals [low, high] of figures that do not add up over records, such as calibration error."""
        return {}

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """F1 (...) of each class from sums (..., s) of the tally; {} where answers have no classes."""
        return {}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        """The chief figure in a sentence without its period."""
        return f"{title(self.figure)} {value:.3f} ({low:.3f} to {high:.3f}) on {count:,} records"

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n,) how wrong each answer is, 0 when right: the order of the worst errors."""
        good = self.figures(self.tally(table, answers))[self.figure]
        lost: np.ndarray = 1.0 - np.nan_to_num(np.asarray(good, dtype=float), nan=1.0)
        return lost

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterable[tuple[str, Answers, dict[str, Any]]]:
        """(name, answers for `test`, what was chosen) of what is had for nothing, the weakest first."""
        return ()

    # -- 6. how is it shown

    def show(self, record: Record) -> str:
        """A record in one line, for terminals and lists."""
        return f"[{record.label or '?'}] {' '.join((record.text or '').split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        """An answer in a few words, for tables; two answers that say the same are equal."""
        if answer is None:
            return ""
        if answer.get("label") is not None:
            return str(answer["label"])
        return json.dumps(_said(answer), ensure_ascii=False)

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        """An input with its answer marked in it, for pages; answer None shows the input alone."""
        made = [Piece(given.get("text") or "")]
        if given.get("text_b"):
            made.append(Piece("\n" + given["text_b"]))
        if answer and "label" in answer:
            made.append(Piece("\n→ " + str(answer["label"])))
        return made

    def sides(self, table: pa.Table, answers: Answers, row: int) -> tuple[Answer | None, Answer | None]:
        """What the record at `row` asks for and what was answered, as `pieces` shows them one beside the other."""
        return self.expected(table.slice(row, 1).to_pylist()[0]), answers.items[row]

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        """The answer a labelled record asks for, in the shape of `decode`; None without a target."""
        return {"label": row["label"]} if row.get("label") is not None else None

    def editors(self) -> tuple[Editor, ...]:
        """What a person changes in review; one for every column of the target, which by default is of its column's kind."""
        return tuple(
            Editor(one, (one,), tuple(self.labels), self.spec.descriptions) for one in self.target if one in KINDS
        )

    def perfect(self, table: pa.Table) -> np.ndarray | None:
        """Probabilities (n, C) that say what labelled records ask for; None where answers have none. For tests."""
        return None

    def right(self, table: pa.Table) -> Answers:
        """The answers that labelled records ask for, as `decode` would give them. For tests."""
        return Answers([self.expected(row) or {} for row in table.to_pylist()], self.perfect(table))

    # -- 7. and 8.

    @abc.abstractmethod
    def prompt(self, text: str, *, language: str = "en") -> str:
        """What a teacher is asked."""

    @staticmethod
    def default_labellers(spec: TaskSpec) -> list[Mapping[str, Any]]:
        """Steps of a construct section for somebody who has written no rules yet."""
        return []


def _said(answer: Any) -> Any:
    """An answer without its scores."""
    if isinstance(answer, Mapping):
        return {key: _said(value) for key, value in answer.items() if not isinstance(value, float) and key != "scores"}
    return [_said(one) for one in answer] if isinstance(answer, list | tuple) else answer


def table_of(inputs: Sequence[Input]) -> pa.Table:
    """Inputs as a table of records, for what is written for tables."""
    return to_table(Record(**{name: value for name, value in one.items() if value is not None}) for one in inputs)
