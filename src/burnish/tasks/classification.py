"""Classification: labels of a text or pair of texts, out of a fixed set; one, or as an option says.

multi_label    any number of labels (tasks/_multi_label.py)
ordinal        one label, and the task's are in an order (tasks/_ordinal.py)
hierarchical   one label, and labels are paths "a/b/c" of a tree (tasks/_hierarchical.py)

pattern        one label, by what a language model writes in a hole of a pattern (tasks/_pattern.py)
image          each text comes with an image, with any of these (tasks/_image.py)

Without them:

target   `label`, one of the task's labels; or `probs`, how much each label is believed (in the task's order, sum 1)
valid    a text that is not empty, and a label that the task has, or none
head     one output a label; soft-label cross entropy; softmax at the card's temperature
scores   accuracy, macro/micro F1, per class, confusion, calibration (measures.scores)
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.errors import DataError
from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest
from burnish.nn.examples import Examples, encode
from burnish.nn.models import Head
from burnish.nn.pictures import Picture, column
from burnish.tasks import _image, base, baselines
from burnish.tasks.base import Answers, Input, Piece

PROMPTS = {
    "en": "Which of these labels fits the text best? Answer with the label alone.\nLabels:\n{labels}\nText: {text}\nLabel:",
    "zh": "下面的文本最适合哪一个标签？只回答标签本身。\n标签：\n{labels}\n文本：{text}\n标签：",
}


WHITE = (  # an image of one white pixel: what a caller sends, at its smallest
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4//8/AAX+Av4zEpUUAAAAAElFTkSuQmCC"
)
VARIANTS = {"multi_label": "_multi_label", "ordinal": "_ordinal", "hierarchical": "_hierarchical"}


class Task(base.Task):
    """One label a text, or as the section's options say: Task(spec) is of the class that serves them."""

    name = "classification"
    pipeline = "text-classification"
    target: ClassVar[tuple[str, ...]] = ("label",)
    options: ClassVar[Mapping[str, Any]] = {**dict.fromkeys(VARIANTS, False), "pattern": None, "image": None}
    figure = "accuracy"
    least_labels = 2

    def __new__(cls, spec: TaskSpec) -> Task:
        made: Task = object.__new__(cls.serving(spec))
        return made

    @classmethod
    def serving(cls, spec: TaskSpec) -> type[Task]:
        """The class for the options of a section."""
        if cls is Task and spec.options.get("pattern") is not None:
            return importlib.import_module("burnish.tasks._pattern").Task  # type: ignore[no-any-return]
        asked = [option for option in VARIANTS if spec.options.get(option)] if cls is Task else []
        return importlib.import_module(f"burnish.tasks.{VARIANTS[asked[0]]}").Task if asked else cls

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        if cls.serving(spec) is not cls:
            return cls.serving(spec).problems(spec)
        found = super().problems(spec)
        asked = [option for option in VARIANTS if spec.options.get(option)]
        found += [
            (option, f"{option} is true or false, got {spec.options[option]!r}", f"{option}: true")
            for option in asked
            if spec.options[option] is not True
        ]
        if len(asked) > 1:
            found.append((asked[1], f"{' and '.join(asked)} do not go together", f"keep {asked[0]}: true"))
        return found + (_image.problems(spec.options["image"]) if spec.options.get("image") is not None else [])

    @classmethod
    def files(cls, spec: TaskSpec) -> dict[str, str]:
        """The images are part of what a model is made of, and so of its key."""
        return _image.Section.of(spec.options["image"]).files() if spec.options.get("image") is not None else {}

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._position = {label: at for at, label in enumerate(self.labels)}
        given = self.settings.get("image")
        self.image = None if given is None else _image.Section.of(given)

    # -- records

    def problem(self, record: Record) -> str | None:
        """Say what is wrong with a record, None when it is valid."""
        return self._problem(record) or (self._unseen(record) if self.image is not None else None)

    def _unseen(self, record: Record) -> str | None:
        """Why a record's image cannot be read."""
        assert self.image is not None
        if self.spec.base is None and self.image.path(record.meta) is not None:
            return None  # of a model alone: nobody knows where its images were
        try:
            self.image.picture(record.meta, self.spec).check()
        except DataError as error:
            return f"unreadable image ({error.where + ': ' if error.where else ''}{error.message})"
        return None

    def _problem(self, record: Record) -> str | None:
        if not (record.text or "").strip():
            return "empty text"
        if record.label is not None and record.label not in self._position:
            return (
                f"label {record.label!r} is not one of the task's ({nearest(record.label, self.labels, 'labels are')})"
            )
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        """(n,) bool: which records have a label of the task."""
        return self.hard_targets(table) >= 0

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

    # -- encoding

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        made = encode_pairs(inputs, tokenizer, max_length=max_length)
        return made if self.image is None else replace(made, images=column([one["image"] for one in inputs]))

    @property
    def sends(self) -> dict[str, Any]:
        return super().sends | ({} if self.image is None else {"image": WHITE})

    def input(self, given: Any) -> Input:
        """With an image: a data URL, or a `Picture`. The name of a file is opened by `local` alone, never for a stranger."""
        made = super().input(given)
        if self.image is None:
            return made
        sent = given.get("image") if isinstance(given, Mapping) else None
        if not isinstance(sent, str | Picture) or not sent:
            raise ValueError("image is missing: a data URL is wanted, such as data:image/png;base64,...")
        try:
            picture = Picture.sent(sent) if isinstance(sent, str) else sent
            picture.check()
        except DataError as error:
            raise ValueError(f"image {error.where + ': ' if error.where else ''}{error.message}") from error
        return {**made, "image": picture}

    def local(self, given: Any, folder: Path) -> Any:
        sent = given.get("image") if isinstance(given, Mapping) else None
        if self.image is None or not isinstance(sent, str) or not sent or sent.startswith("data:"):
            return given
        if not (folder / sent).is_file():
            raise ValueError(f"image {sent}: there is no such file in {folder}")
        return {**given, "image": Picture(folder / sent, sent)}

    def inputs(self, table: pa.Table) -> list[Input]:
        made = super().inputs(table)
        if self.image is None:
            return made
        metas = table["meta"].to_pylist() if "meta" in table.column_names else [None] * len(table)
        ids = table["id"].to_pylist() if "id" in table.column_names else range(len(table))
        found: list[tuple[str, Picture | DataError]] = []
        for record, meta in zip(ids, metas, strict=True):
            try:
                found.append((str(record), self.image.picture(meta, self.spec)))
            except DataError as error:
                found.append((str(record), error))
        return [{**one, "image": picture} for one, picture in zip(made, _image.checked(found), strict=True)]

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        return made.with_targets(self.targets(table) if soft else self.hard_targets(table))

    # -- head and loss

    def head(self) -> Head:
        return self.standing(self.labels)

    def standing(self, outputs: Sequence[str]) -> Head:
        """The head with these outputs: on a text, or on a text with an image."""
        return (
            Head("sequence", tuple(outputs))
            if self.image is None
            else Head("vision", tuple(outputs), self.image.more())
        )

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import CrossEntropy

        return CrossEntropy(class_weights, label_smoothing)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """Answers of the contract: label, its score, and the score of every label."""
        if not len(inputs):
            return Answers([], np.zeros((0, len(self.labels))))
        return self.answers(softmax(np.asarray(outputs), float(card.get("temperature", 1.0))))

    def answers(self, probabilities: np.ndarray) -> Answers:
        """Answers of probabilities (n, k)."""
        best = probabilities.argmax(axis=1)
        items = [
            {
                "label": self.labels[at],
                "score": round(float(row[at]), 6),
                "scores": {label: round(float(score), 6) for label, score in zip(self.labels, row, strict=True)},
            }
            for at, row in zip(best, probabilities, strict=True)
        ]
        return Answers(items, probabilities)

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The temperature at which confidences are right on the validation side (Guo et al. 2017)."""
        from burnish.nn.probe import fit_temperature

        return {"temperature": round(float(fit_temperature(np.asarray(outputs), examples.targets)), 6)}

    # -- scores

    def said(self, answers: Answers) -> np.ndarray:
        """Positions of the labels that were answered (n,) int64."""
        return np.array([self._position[one["label"]] for one in answers.items], dtype=np.int64)

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 3k): for each class, whether it was hit, whether it was said, whether it was true."""
        targets, said, k = self.hard_targets(table), self.said(answers), len(self.labels)
        eye = np.eye(k, dtype=np.float32)
        return np.concatenate([eye[targets] * (said == targets)[:, None], eye[said], eye[targets]], axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        hit, said, true = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(said + true > 0, 2 * hit / (said + true), np.nan)
            accuracy = hit.sum(-1) / true.sum(-1)
        seen = ~np.isnan(f1)  # a class that is neither true nor said counts for nothing, as in scikit-learn's report
        macro = np.where(seen, f1, 0).sum(-1) / np.maximum(seen.sum(-1), 1)
        return {"accuracy": accuracy, "macro_f1": macro, "micro_f1": accuracy}

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        hit, said, true = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
        f1 = np.where(said + true > 0, 2 * hit / np.maximum(said + true, 1), np.nan)
        return {label: f1[..., at] for at, label in enumerate(self.labels)}

    def spreads(self, table: pa.Table, answers: Answers, *, seed: int, draws: int) -> dict[str, list[float]]:
        from burnish.measures import intervals, scores

        targets, probabilities = self.hard_targets(table), answers.probabilities
        assert probabilities is not None
        gap = intervals.bootstrap_indices(
            len(targets),
            lambda rows: scores.ece(targets[rows], probabilities[rows]),
            seed=seed,
            draws=min(draws, 300),
        )
        return {"ece": [gap.low, gap.high]}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return f"Right on {value:.1%} of {count:,} records ({low:.1%} to {high:.1%})"

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Per class, confusion, calibration, and scikit-learn's report."""
        from burnish.measures import scores

        assert answers.probabilities is not None
        targets, probabilities = self.hard_targets(table), answers.probabilities
        said = self.said(answers)
        numbers: dict[str, Any] = scores.classification_scores(targets, said, self.labels, probabilities=probabilities)
        numbers |= {
            "calibration": _bins(scores.reliability(targets, probabilities)),
            "confused": confused(self.labels, numbers["confusion"]),
            "classification_report": scores.classification_report(targets, said, self.labels, digits=4),
        }
        return numbers

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """Negative log probability of the label in nats where the answer is wrong, 0 where it is right."""
        assert answers.probabilities is not None
        targets, probabilities = self.hard_targets(table), answers.probabilities
        own = probabilities[np.arange(len(targets)), targets]
        loss = -np.log(np.maximum(own, np.finfo(np.float64).eps))
        return np.where(self.said(answers) == targets, 0.0, loss)

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        known = self.hard_targets(train)
        k = len(self.labels)
        yield "majority class", self.answers(baselines.majority(known, len(test), k)), {}
        if len(np.unique(known)) > 1:
            known_side = (baselines.texts(self.read(train)), known)
            choosing_side = (baselines.texts(self.read(validation)), self.hard_targets(validation))
            answers, chosen = baselines.tfidf(
                known_side, choosing_side, baselines.texts(self.read(test)), num_classes=k, seed=seed
            )
            yield "TF-IDF + logistic regression", self.answers(answers), chosen

    def perfect(self, table: pa.Table) -> np.ndarray | None:
        made: np.ndarray = np.eye(len(self.labels))[self.hard_targets(table)]
        return made

    # -- how it is shown, prompts and labellers

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        made = super().pieces(given, answer)
        path = self.image.path(given.get("meta")) if self.image is not None else None
        return made if path is None else [made[0], Piece(f"\n[{path}]"), *made[1:]]

    def prompt(self, text: str, *, language: str = "en") -> str:
        """What a teacher is asked."""
        return PROMPTS.get(language, PROMPTS["en"]).format(labels=self.label_lines(), text=text)

    def label_lines(self) -> str:
        """The labels with what they mean, one a line."""
        about = self.spec.descriptions
        return "\n".join(f"- {label}: {about[label]}" if label in about else f"- {label}" for label in self.labels)

    @staticmethod
    def default_labellers(spec: TaskSpec) -> list[Mapping[str, Any]]:
        """Steps of a construct section for somebody who has written no rules yet."""
        return [{"use": "descriptions"}] if spec.descriptions and not spec.options.get("multi_label") else []


def encode_pairs(inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
    """One window an input: its text, and its second text where it has one."""
    pairs = [one.get("text_b") for one in inputs]
    return encode(
        [one.get("text") or "" for one in inputs],
        tokenizer,
        pairs=pairs if any(pair is not None for pair in pairs) else None,
        max_length=max_length,
    )


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (n, k) of logits (n, k), softened by `temperature` > 0 (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    raised = np.exp(scaled)
    shares: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return shares


def confused(labels: Sequence[str], matrix: list[list[int]], most: int = 20) -> list[dict[str, Any]]:
    """Pairs taken for each other, the most frequent first: target, prediction, count, share of the target's records."""
    pairs: list[dict[str, Any]] = [
        {"target": labels[i], "prediction": labels[j], "count": count, "share": count / sum(row)}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair["count"])[:most]


def _bins(table: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The reliability table as rows; confidence and accuracy are None in an empty bin."""
    columns = (table[name] for name in ("lower", "upper", "count", "confidence", "accuracy"))
    return [
        {
            "lower": float(lower),
            "upper": float(upper),
            "count": int(count),
            "confidence": float(mean) if count else None,
            "accuracy": float(share) if count else None,
        }
        for lower, upper, count, mean, share in zip(*columns, strict=True)
    ]
