"""Classification into a tree: labels are paths "sport/ball/tennis", and a text has one of the leaves.

target   `label`: a leaf, or a node above it where nobody knows more ("sport/ball"); `probs` where all labels are leaves
head     one output a leaf; the loss is the negative log of the share of the leaves below the label
answer   the likeliest leaf, the path to it with the share of each node: a node's share is the sum of its leaves'
scores   hierarchical F1 (Kiritchenko, Matwin & Famili 2005: labels with all their ancestors, micro averaged), accuracy,
         macro F1 over leaves, accuracy of each level

A label above the leaves is judged down to its own depth: nobody knows what lies below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import TaskSpec, nearest
from burnish.measures import scores
from burnish.nn.examples import Examples
from burnish.nn.models import Head
from burnish.tasks import base, baselines, classification
from burnish.tasks.base import Answers, Input, Piece
from burnish.tasks.classification import softmax
from burnish.tasks.editors import Editor


class Task(classification.Task):
    """One leaf of a tree."""

    figure = "hierarchical_f1"

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        paths = [ancestors(label) for label in self.labels]
        self.nodes = list(dict.fromkeys(node for path in paths for node in path))
        inner = {node for path in paths for node in path[:-1]}
        self.leaves = [node for node in self.nodes if node not in inner]
        self.depth = max((len(path) for path in paths), default=0)
        below = [[node in ancestors(leaf) for leaf in self.leaves] for node in self.nodes]
        self.below = np.array(below, dtype=np.float32).reshape(len(self.nodes), len(self.leaves))  # 1: leaf under node
        self._position = {node: at for at, node in enumerate(self.nodes)}

    @property
    def voted(self) -> str | None:
        return "node"

    @property
    def votable(self) -> tuple[str, ...]:
        return tuple(self.nodes)

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        for label in spec.labels:
            if not all(part.strip() for part in label.split("/")):
                found.append(("labels", f"label {label!r} has an empty part", "labels: [sport/ball, sport/water]"))
        if spec.labels and not any("/" in label for label in spec.labels):
            found.append(("labels", "no label has a level above it", "labels: [sport/ball, sport/water, politics]"))
        return found

    def _problem(self, record: Record) -> str | None:
        if not (record.text or "").strip():
            return "empty text"
        if record.label is not None and record.label not in self._position:
            return f"label {record.label!r} is no node of the tree ({nearest(record.label, self.nodes, 'nodes are')})"
        return None

    def targets(self, table: pa.Table) -> np.ndarray:
        """(n, leaves) float32: 1 for each leaf under the label, all 0 without one."""
        hard = self.hard_targets(table)
        made = np.zeros((len(table), len(self.leaves)), dtype=np.float32)
        made[hard >= 0] = self.below[hard[hard >= 0]]
        return made

    def believed(self, table: pa.Table) -> np.ndarray:
        """(n, leaves) float32: `probs`, which sum to 1, where every label is a leaf and a record has them; else `targets`."""
        made = self.targets(table)
        for row, one in enumerate(table["probs"].to_pylist() if self.labels == self.leaves else []):
            if one is not None and made[row].any():
                made[row] = one
        return made

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        return replace(made, targets=self.believed(table) if soft else self.targets(table))

    def head(self) -> Head:
        return self.standing(self.leaves)

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import SubsetCrossEntropy

        return SubsetCrossEntropy(class_weights)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"label", "score", "scores", "path"}: the likeliest leaf, the leaves' shares, and each node on the way to it."""
        logits = np.asarray(outputs, dtype=np.float64).reshape(-1, len(self.leaves))
        return self.answers(softmax(logits, float(card.get("temperature", 1.0))))

    def answers(self, probabilities: np.ndarray) -> Answers:
        nodes = probabilities @ self.below.T
        items = []
        for row, at, own in zip(probabilities, probabilities.argmax(axis=1), nodes, strict=True):
            path = ancestors(self.leaves[at])
            items.append(
                {
                    "label": self.leaves[at],
                    "score": round(float(row[at]), 6),
                    "scores": {leaf: round(float(score), 6) for leaf, score in zip(self.leaves, row, strict=True)},
                    "path": [{"label": node, "score": round(float(own[self._position[node]]), 6)} for node in path],
                }
            )
        return Answers(items)

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The temperature, on validation records whose label is a leaf."""
        inside = self.targets(table)
        known = inside.sum(axis=1) == 1
        if not known.any():
            return {}
        from burnish.nn.probe import fit_temperature

        return {"temperature": round(float(fit_temperature(np.asarray(outputs)[known], inside[known])), 6)}

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 3 leaves + 4 + 2 depth): hit, said, true of each leaf; right, one; common and all nodes of both paths (hF1
        needs common, said + true); right and asked at each level."""
        leaf = {one: at for at, one in enumerate(self.leaves)}
        width = len(self.leaves)
        rows = np.zeros((len(answers), 3 * width + 4 + 2 * self.depth))
        for row, true, one in zip(rows, table["label"].to_pylist(), answers.items, strict=True):
            wanted = ancestors(true)
            said = ancestors(one["label"])[: None if true in leaf else len(wanted)]
            right = said == wanted
            if true in leaf:
                row[width + leaf[one["label"]]] = 1
                row[2 * width + leaf[true]] = 1
                row[leaf[true]] = right
            row[3 * width : 3 * width + 4] = right, 1, len({*said} & {*wanted}), len(said) + len(wanted)
            for level, node in enumerate(wanted):
                row[3 * width + 4 + level] = said[level : level + 1] == [node]
                row[3 * width + 4 + self.depth + level] = 1
        return rows

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        rest = sums[..., 3 * len(self.leaves) :]
        f1 = np.stack(list(self.by_class(sums).values()), axis=-1)
        seen = ~np.isnan(f1)
        with np.errstate(invalid="ignore", divide="ignore"):
            levels = rest[..., 4 : 4 + self.depth] / rest[..., 4 + self.depth :]
            accuracy = rest[..., 0] / rest[..., 1]
            return {
                "hierarchical_f1": 2 * rest[..., 2] / rest[..., 3],
                "accuracy": accuracy,
                "macro_f1": np.where(seen, f1, 0).sum(-1) / np.maximum(seen.sum(-1), 1),
                "micro_f1": accuracy,
                **{f"accuracy_level_{level + 1}": levels[..., level] for level in range(self.depth)},
            }

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        hit, said, true = np.split(np.asarray(sums, dtype=np.float64)[..., : 3 * len(self.leaves)], 3, axis=-1)
        f1 = np.where(said + true > 0, 2 * hit / np.maximum(said + true, 1), np.nan)
        return {label: f1[..., at] for at, label in enumerate(self.leaves)}

    def spreads(self, table: pa.Table, answers: Answers, *, seed: int, draws: int) -> dict[str, list[float]]:
        return {}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return base.Task.headline(self, value, low, high, count)

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Per node of each level, and the pairs of leaves that are taken for each other."""
        true = table["label"].to_pylist()
        per_class: dict[str, Any] = {}
        told: list[dict[str, Any]] = []
        confused: list[dict[str, Any]] = []
        for level in range(1, self.depth + 1):
            names = [node for node in self.nodes if node.count("/") == level - 1]
            at = {name: i for i, name in enumerate(names)}
            paths = ((ancestors(t), ancestors(one["label"])) for t, one in zip(true, answers.items, strict=True))
            pairs = [(at[t[level - 1]], at[s[level - 1]]) for t, s in paths if min(len(t), len(s)) >= level]
            both = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
            matrix = scores.confusion(both[:, 0], both[:, 1], len(names))
            columns = zip(names, *(column.tolist() for column in scores.per_class(matrix)), strict=True)
            found = {name: {"precision": p, "recall": r, "f1": f1, "support": int(n)} for name, p, r, f1, n in columns}
            told.append(
                {
                    "level": level,
                    "labels": len(names),
                    "macro_f1": float(scores.macro_f1(matrix)),
                    "records": len(pairs),
                }
            )
            per_class |= found
            if level == self.depth:
                confused = classification.confused(names, matrix.tolist())
        return {"per_class": per_class, "levels": told, "confused": confused}

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """Negative log of the share of the label (with all that lies below it) in nats; 0 where the answer is right."""
        found = []
        for true, one in zip(table["label"].to_pylist(), answers.items, strict=True):
            own = sum(share for leaf, share in one.get("scores", {}).items() if true in ancestors(leaf))
            found.append(0.0 if true in ancestors(one["label"]) else -float(np.log(max(own, 1e-12))))
        return np.array(found)

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """The commonest leaf, and TF-IDF regression over leaves; records whose label is no leaf teach neither."""
        known, side = self.targets(train), self.targets(validation)
        rows, others = (np.flatnonzero(one.sum(axis=1) == 1) for one in (known, side))
        if not len(rows):
            return
        targets, k = known[rows].argmax(axis=1), len(self.leaves)
        yield "majority class", self.answers(baselines.majority(targets, len(test), k)), {}
        if len(np.unique(targets)) > 1:
            texts, choosing = baselines.texts(train.take(rows)), baselines.texts(validation.take(others))
            shares, chosen = baselines.tfidf(
                (texts, targets), (choosing, side[others].argmax(axis=1) if len(others) else np.zeros(0)),
                baselines.texts(test), num_classes=k, seed=seed,
            )  # fmt: skip
            yield "TF-IDF + logistic regression", self.answers(shares), chosen

    def perfect(self, table: pa.Table) -> None:
        return None

    def editors(self) -> tuple[Editor, ...]:
        """Nodes above the leaves may be said too: nobody may know more."""
        nodes = dict.fromkeys(node for label in self.labels for node in ancestors(label))
        return (Editor("label", ("label",), tuple(nodes), self.spec.descriptions, separator="/"),)

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        made = super().pieces(given, None)
        if answer:
            path = answer.get("path") or [{"label": node} for node in ancestors(answer["label"])]
            said = (
                f"{one['label'].split('/')[-1]}" + (f" {one['score']:.0%}" if "score" in one else "") for one in path
            )
            made.append(Piece("\n→ " + " / ".join(said)))
        return made


def ancestors(label: str) -> list[str]:
    """A node with all nodes above it, from the top: a/b/c -> a, a/b, a/b/c."""
    parts = label.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
