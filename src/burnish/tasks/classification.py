"""Classification: one label a text, out of a fixed set.

target   `label`, one of the task's labels; or `probs`, how much each label is believed (in the task's order, sum 1)
valid    a text that is not empty, and a label that the task has, or none
head     one output a label; soft-label cross entropy; softmax at the task's temperature
scores   accuracy, macro/micro F1, per class, confusion, calibration (measures.scores)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest

OPTIONS: tuple[str, ...] = ()
SOFT_COLUMNS = ("label", "probs")

PROMPTS = {
    "en": "Which of these labels fits the text best? Answer with the label alone.\nLabels:\n{labels}\nText: {text}\nLabel:",
    "zh": "下面的文本最适合哪一个标签？只回答标签本身。\n标签：\n{labels}\n文本：{text}\n标签：",
}


class Task:
    """Single-label classification."""

    name = "classification"
    head = "sequence"

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.labels = list(spec.labels)
        self._position = {label: at for at, label in enumerate(self.labels)}

    @staticmethod
    def problems(spec: TaskSpec) -> list[tuple[str, str, str]]:
        """(key, message, hint) for what is wrong with the `task` section."""
        found = [
            (
                key,
                f"classification has no setting {key!r}",
                nearest(key, (*OPTIONS, "labels", "languages"), "it has"),
            )
            for key in spec.options
            if key not in OPTIONS
        ]
        if len(spec.labels) < 2:
            found.append(
                (
                    "labels",
                    f"classification needs at least two labels, got {list(spec.labels)}",
                    "labels: [negative, positive]",
                )
            )
        return found

    @property
    def num_outputs(self) -> int:
        return len(self.labels)

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid."""
        if not (record.text or "").strip():
            return "empty text"
        if record.label is not None and record.label not in self._position:
            return (
                f"label {record.label!r} is not one of the task's ({nearest(record.label, self.labels, 'labels are')})"
            )
        return None

    def inputs(self, table: pa.Table) -> tuple[list[str], list[str | None] | None]:
        """Texts of a table of records, and their second texts (None when no record has one)."""
        texts = [text or "" for text in table["text"].to_pylist()]
        pairs = table["text_b"].to_pylist() if "text_b" in table.column_names else []
        return texts, pairs if any(pair is not None for pair in pairs) else None

    def hard_targets(self, table: pa.Table) -> np.ndarray:
        """Positions of the labels (n,) int64, -1 where a record has none."""
        return np.array([self._position.get(label, -1) for label in table["label"].to_pylist()], dtype=np.int64)

    def targets(self, table: pa.Table) -> np.ndarray:
        """How much each label is believed (n, k) float32: `probs` where a record has them, else its label alone.

        Records without a label are all zero; nobody trains or is judged on them.
        """
        hard = self.hard_targets(table)
        made = np.zeros((len(table), len(self.labels)), dtype=np.float32)
        labelled = np.flatnonzero(hard >= 0)
        made[labelled, hard[labelled]] = 1
        for row, probs in enumerate(table["probs"].to_pylist() if "probs" in table.column_names else []):
            if probs is not None and hard[row] >= 0:
                made[row] = probs
        return made

    def decode(self, probabilities: np.ndarray) -> list[dict[str, Any]]:
        """Answers of the contract: label, its score, and the score of every label."""
        best = probabilities.argmax(axis=1)
        return [
            {
                "label": self.labels[at],
                "score": round(float(row[at]), 6),
                "scores": {label: round(float(score), 6) for label, score in zip(self.labels, row, strict=True)},
            }
            for at, row in zip(best, probabilities, strict=True)
        ]

    def show(self, record: Record) -> str:
        """A record in one line, for terminals and lists."""
        return f"[{record.label or '?'}] {' '.join((record.text or '').split())[:200]}"

    def prompt(self, text: str, *, language: str = "en") -> str:
        """What a teacher is asked."""
        lines = "\n".join(
            f"- {label}: {self.spec.descriptions[label]}" if label in self.spec.descriptions else f"- {label}"
            for label in self.labels
        )
        return PROMPTS.get(language, PROMPTS["en"]).format(labels=lines, text=text)

    @staticmethod
    def default_labellers(spec: TaskSpec) -> list[Mapping[str, Any]]:
        """Steps of a construct section for somebody who has written no rules yet."""
        return [{"use": "descriptions"}] if spec.descriptions else []


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (n, k) of logits (n, k), softened by `temperature` > 0 (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    raised = np.exp(scaled)
    shares: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return shares


def as_texts(inputs: Sequence[str | Mapping[str, Any]]) -> tuple[list[str], list[str | None] | None]:
    """Inputs of a caller, strings or {"text", "text_b"}, as texts and pairs. ValueError names the input that is wrong."""
    texts: list[str] = []
    pairs: list[str | None] = []
    for at, one in enumerate(inputs):
        text = one if isinstance(one, str) else one.get("text") if isinstance(one, Mapping) else None
        if not isinstance(text, str):
            raise ValueError(f"input {at}: a text, or {{'text': ...}}, is wanted, got {type(one).__name__}")
        texts.append(text)
        pairs.append(one.get("text_b") if isinstance(one, Mapping) else None)
    return texts, pairs if any(pair is not None for pair in pairs) else None
