"""A trained task that answers: `burnish.load("runs/x").predict(["..."])`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from burnish.core.errors import BurnishError
from burnish.core.progress import Progress, Silent
from burnish.core.stage import TaskSpec
from burnish.tasks.classification import Task, as_texts, softmax


class Engine(Protocol):
    """What turns texts into numbers: ONNX Runtime or torch."""

    def logits(self, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> np.ndarray: ...


class Predictor:
    """A model folder that answers. Predictions come back in the order of the inputs."""

    def __init__(self, folder: Path, info: Mapping[str, Any], engine: Engine) -> None:
        self.folder, self.info, self.engine = folder, info, engine
        self.task = Task(task_spec(info["task"]))
        self.labels = self.task.labels
        self.temperature = float(info.get("temperature", 1.0))
        place = folder.absolute()
        inside_run = place.name in ("deploy", "model")
        self.name = str(info.get("name") or (place.parent.name if inside_run else place.name))
        self.version = str(info.get("version", ""))

    def probabilities(
        self,
        texts: Sequence[str],
        pairs: Sequence[str | None] | None = None,
        *,
        progress: Progress | None = None,
        chunk: int = 2048,
    ) -> np.ndarray:
        """Probability of every label (n, k) float64, in the task's order; computed `chunk` texts at a time."""
        progress = progress or Silent()
        made = [np.zeros((0, len(self.labels)))]
        with progress.bar(f"answering ({self.info.get('format', 'torch')})", len(texts), "texts") as bar:
            for at in range(0, len(texts), chunk):
                part = texts[at : at + chunk]
                made.append(
                    softmax(self.engine.logits(part, pairs[at : at + chunk] if pairs else None), self.temperature)
                )
                bar.advance(len(part))
        return np.concatenate(made)

    def predict(
        self, inputs: Sequence[str | Mapping[str, Any]], *, progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """Answers for texts or {"text", "text_b"}: [{"label", "score", "scores"}], one an input."""
        if isinstance(inputs, str):
            raise ValueError("predict takes a list of texts, got one text")
        texts, pairs = as_texts(inputs)
        return self.task.decode(self.probabilities(texts, pairs, progress=progress))


def load(path: str | Path, *, format: str = "auto") -> Predictor:
    """Open a run folder or a model folder.

    format: "auto" takes a run's accepted deployed model (ONNX Runtime), else the torch one; "onnx" and "torch" insist.
    """
    folder = model_folder(Path(path), format)
    info = json.loads((folder / "burnish.json").read_text("utf-8"))
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
    if info.get("format") == "onnx":
        from burnish.nn.runtime import OnnxRuntimeEngine  # wakes ONNX Runtime, not torch

        return OnnxRuntimeEngine(folder)
    from burnish.nn.engine import TorchEngine  # wakes torch

    return TorchEngine(folder)


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
