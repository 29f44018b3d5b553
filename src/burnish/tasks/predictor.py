"""A trained task that answers: `burnish.load("runs/x").predict(["..."])`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress, Silent
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.nn.examples import Examples, distinct
from burnish.nn.runtime import read_card
from burnish.tasks.base import Answer, Answers, Input, Task, joined

CHUNK = 2048  # inputs encoded and answered at a time


class Engine(Protocol):
    """What turns windows of tokens into numbers: ONNX Runtime or torch."""

    tokenizer: Any
    max_length: int

    def outputs(self, examples: Examples) -> Any: ...

    def stream(self, examples: Examples) -> Iterator[tuple[Sequence[int], Any]]: ...


class Predictor:
    """A model folder that answers. Predictions come back in the order of the inputs."""

    def __init__(self, folder: Path, info: Mapping[str, Any], engine: Engine) -> None:
        self.folder, self.info, self.engine = folder, info, engine
        self.task: Task = open_task(task_spec(info["task"]))
        self.task.opened(folder)
        self.labels = self.task.labels
        place = folder.absolute()
        inside_run = place.name in ("deploy", "model")
        self.name = str(info.get("name") or (place.parent.name if inside_run else place.name))
        self.version = str(info.get("version", ""))

    def predict(self, inputs: Sequence[Any], *, progress: Progress | None = None) -> list[Answer]:
        """Answers for texts, or for objects with the task's fields ("text", "text_b", ...), one an input.

        Files that an input names are found from the working directory.

        ValueError names the first input that is wrong and says why.
        """
        if isinstance(inputs, str):
            raise ValueError("predict takes a list of texts, got one text")
        return self.answers(self.checked(inputs), progress=progress).items

    def checked(self, inputs: Sequence[Any]) -> list[Input]:
        """What a caller sent as inputs of the task."""
        made = []
        for at, one in enumerate(inputs):
            try:
                made.append(self.task.input(self.task.local(one, Path())))
            except ValueError as error:
                raise ValueError(f"input {at}: {error}") from None
        return made

    def answers(self, inputs: Sequence[Input], *, progress: Progress | None = None, chunk: int = CHUNK) -> Answers:
        """Answers and, where the task has them, probabilities; computed `chunk` inputs at a time."""
        progress = progress or Silent()
        made: list[Answers] = []
        with progress.bar(f"answering ({self.info.get('format', 'torch')})", len(inputs), "inputs") as bar:
            for at in range(0, len(inputs), chunk):
                part = inputs[at : at + chunk]
                examples = self.encode(part)
                made.append(self.task.decode(part, examples, self._outputs(examples), self.info))
                bar.advance(len(part))
        return joined(made)

    def _outputs(self, examples: Examples) -> Any:
        """Outputs of all windows; equal ones are computed once."""
        rows, inverse = distinct(examples)
        if len(rows) == len(examples):
            return self.engine.outputs(examples)
        outputs = self.engine.outputs(examples.take(rows))
        return outputs[inverse] if isinstance(outputs, np.ndarray) else [outputs[at] for at in inverse]

    def stream(self, inputs: Sequence[Input]) -> Iterator[tuple[list[int], list[Answer]]]:
        """(positions, their answers) as soon as the windows of an input are all computed."""
        examples = self.encode(inputs)
        windows = _windows_of(examples, len(inputs))
        if windows is None:  # one window an input: every batch is whole answers
            for rows, outputs in self.engine.stream(examples):
                alone = (
                    len(inputs) == 1 and examples.records is None
                )  # as an idle server gets them: 40 microseconds less
                part = inputs if alone else [inputs[row] for row in rows]
                of = examples if alone else replace(examples.take(rows), records=None)
                yield list(rows), self.task.decode(part, of, outputs, self.info).items
            return
        missing = np.array([len(one) for one in windows])
        found: list[Any] = [None] * len(examples)
        whole = [int(record) for record in np.flatnonzero(missing == 0)]
        if whole:  # nothing to read in them: the task knows what to say
            yield whole, self._decode(inputs, examples, windows, found, whole)
        for rows, outputs in self.engine.stream(examples):
            whole = []
            for row, output in zip(rows, outputs, strict=True):
                found[row] = output
                record = int(examples.of_records[row])
                missing[record] -= 1
                if missing[record] == 0:
                    whole.append(record)
            if whole:
                yield whole, self._decode(inputs, examples, windows, found, whole)

    def encode(self, inputs: Sequence[Input]) -> Examples:
        """Inputs as windows of tokens."""
        made: Examples = self.task.encode(inputs, self.engine.tokenizer, max_length=self.engine.max_length)
        return made

    def _decode(
        self,
        inputs: Sequence[Input],
        examples: Examples,
        windows: list[np.ndarray],
        found: list[Any],
        records: list[int],
    ) -> list[Answer]:
        """Answers of the inputs at `records`, whose windows are all in `found`."""
        rows = np.concatenate([windows[record] for record in records]).astype(np.int64)
        part = examples.take(rows)
        part = replace(part, records=np.repeat(np.arange(len(records)), [len(windows[record]) for record in records]))
        outputs = [found[row] for row in rows]
        return self.task.decode([inputs[record] for record in records], part, outputs, self.info).items


def _windows_of(examples: Examples, count: int) -> list[np.ndarray] | None:
    """The windows of each input, or None where window i is input i."""
    if examples.records is None or np.array_equal(examples.records, np.arange(count)):
        return None
    return np.split(np.arange(len(examples)), np.searchsorted(examples.records, np.arange(1, count)))


def load(path: str | Path, *, format: str = "auto") -> Predictor:
    """Open a run folder or a model folder.

    format: "auto" takes a run's accepted deployed model (ONNX Runtime), else the torch one; "onnx" and "torch" insist.
    """
    folder = model_folder(Path(path), format)
    info = read_card(folder)
    return Predictor(folder, info, _engine(folder, info))


def model_folder(path: Path, format: str = "auto") -> Path:
    """The folder to serve out of a run folder (or the model folder itself)."""
    if (path / "burnish.json").is_file():
        return path
    wanted = {"auto": ("deploy", "model"), "onnx": ("deploy",), "torch": ("model",)}[format]
    for name in wanted:
        card = path / name / "burnish.json"
        if card.is_file() and json.loads(card.read_text("utf-8")).get("accepted", True):
            return path / name
    raise BurnishError(
        f"no {' or '.join(wanted)} in {path}", hint="name a run folder whose run is done (`burnish runs`)"
    )


def _engine(folder: Path, info: Mapping[str, Any]) -> Engine:
    if writes(info):
        from burnish.nn.generators import GeneratorEngine

        generator: Engine = GeneratorEngine(folder)
        return generator
    if info.get("format") == "onnx":
        from burnish.nn.runtime import OnnxRuntimeEngine  # wakes ONNX Runtime, not torch

        return OnnxRuntimeEngine(folder)
    from burnish.nn.engine import TorchEngine  # wakes torch

    return TorchEngine(folder)


def writes(card: Mapping[str, Any]) -> bool:
    """Whether the model of this card answers token by token."""
    return (card.get("head") or {}).get("kind") == "generator"


def task_spec(plain: Mapping[str, Any]) -> TaskSpec:
    """The task section as it stands in burnish.json."""
    known = ("type", "labels", "descriptions", "languages")
    return TaskSpec(
        type=plain["type"],
        labels=tuple(plain["labels"]),
        descriptions=plain.get("descriptions", {}),
        languages=tuple(plain.get("languages", ("en",))),
        options={key: value for key, value in plain.items() if key not in known},
    )
