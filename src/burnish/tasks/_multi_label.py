"""Classification with any number of labels a text, none among them.

target   `labels`, a list of the task's labels, [] for none; or `label` alone; `probs`, how much each is believed, each
         0..1 by itself
head     one output a label; binary cross entropy; each label has its own threshold
scores   micro and macro F1, subset accuracy (all labels right), Hamming loss; mean average precision in the details
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import nearest
from burnish.nn.examples import Examples
from burnish.tasks import base, baselines, classification
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.editors import Editor

LEAST_POSITIVE = 5  # validation records with a label from which it gets a threshold of its own

PROMPTS = {
    "en": "Which of these labels fit the text? There may be several or none. Answer with a JSON list of labels.\n"
    "Labels:\n{labels}\nText: {text}\nLabels:",
    "zh": "下面的文本适合哪些标签？可以有多个，也可以没有。以 JSON 列表回答。\n标签：\n{labels}\n文本：{text}\n标签：",
}


class Task(classification.Task):
    """Any number of labels."""

    target: ClassVar[tuple[str, ...]] = ("labels", "label")
    figure = "micro_f1"
    about: ClassVar[Mapping[str, str]] = {"labels_a_text": "Labels a text has on average, and labels said."}
    least_labels = 1

    def _problem(self, record: Record) -> str | None:
        if not (record.text or "").strip():
            return "empty text"
        for label in [*(record.labels or ()), *([] if record.label is None else [record.label])]:
            if label not in self._position:
                return f"label {label!r} is not one of the task's ({nearest(label, self.labels, 'labels are')})"
        return None

    def labelled(self, table: pa.Table) -> np.ndarray:
        return base.Task.labelled(self, table)

    def hard_targets(self, table: pa.Table) -> np.ndarray:
        """(n, k) int64: 1 for each label a record has."""
        made = np.zeros((len(table), len(self.labels)), dtype=np.int64)
        for row, (many, one) in enumerate(zip(*(table[name].to_pylist() for name in self.target), strict=True)):
            for label in many if many is not None else [] if one is None else [one]:
                if label in self._position:
                    made[row, self._position[label]] = 1
        return made

    def targets(self, table: pa.Table) -> np.ndarray:
        """How much each label is believed (n, k) float32: `probs` where a record has them, else 0 and 1."""
        made = self.hard_targets(table).astype(np.float32)
        for row, probs in enumerate(table["probs"].to_pylist() if "probs" in table.column_names else []):
            if probs is not None:
                made[row] = probs
        return made

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        return replace(made, targets=self.targets(table) if soft else self.hard_targets(table).astype(np.float32))

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import BinaryCrossEntropy

        return BinaryCrossEntropy(class_weights, label_smoothing)

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"labels", "scores"}: the labels whose probability reaches their threshold, the likeliest first."""
        logits = np.asarray(outputs, dtype=np.float64).reshape(-1, len(self.labels))
        cuts = card.get("thresholds", {})
        return self.many(1.0 / (1.0 + np.exp(-logits)), np.array([cuts.get(label, 0.5) for label in self.labels]))

    def many(self, shares: np.ndarray, cuts: np.ndarray) -> Answers:
        """Answers of the probabilities of each label (n, k) and its threshold (k). They are no classes: they sum to anything."""
        items: list[Answer] = []
        for row, over in zip(shares, shares >= cuts, strict=True):
            said = sorted(np.flatnonzero(over), key=lambda at: -row[at])
            scores = {label: round(float(score), 6) for label, score in zip(self.labels, row, strict=True)}
            items.append({"labels": [self.labels[at] for at in said], "scores": scores})
        return Answers(items)

    def calibrate(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """Thresholds of best F1 on the validation side: one a label, the common one for labels that are too rare."""
        shares = 1.0 / (1.0 + np.exp(-np.asarray(outputs, dtype=np.float64)))
        cuts = thresholds(self.hard_targets(table), shares).tolist()
        return {"thresholds": dict(zip(self.labels, cuts, strict=True))}

    def judging(self, table: pa.Table, examples: Any, outputs: Sequence[Any]) -> dict[str, Any]:
        """The thresholds too: at 0.5 a model says nothing of what is rare, and epochs are told apart by the common labels."""
        return self.calibrate(table, examples, outputs)

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """Share of the labels of either that both say; 1 where neither says any."""
        one, other = self._said(before), self._said(after)
        either = (one | other).sum(axis=1)
        return np.where(either > 0, (one & other).sum(axis=1) / np.maximum(either, 1), 1.0)

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 3k + 2): for each label hit, said, true; whether all were right; one."""
        true, said = self.hard_targets(table), self._said(answers)
        whole = (true == said).all(axis=1)[:, None]
        return np.concatenate([true * said, said, true, whole, np.ones((len(true), 1))], axis=1).astype(np.float64)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        sums = np.asarray(sums, dtype=np.float64)
        hit, said, true = np.split(sums[..., :-2], 3, axis=-1)
        whole, n = sums[..., -2], sums[..., -1]
        f1 = np.stack(list(self.by_class(sums).values()), axis=-1)
        seen = ~np.isnan(f1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "micro_f1": 2 * hit.sum(-1) / (said.sum(-1) + true.sum(-1)),
                "macro_f1": np.where(seen, f1, 0).sum(-1) / np.maximum(seen.sum(-1), 1),
                "subset_accuracy": whole / n,
                "hamming_loss": (said + true - 2 * hit).sum(-1) / (n * len(self.labels)),
            }

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return super().by_class(np.asarray(sums)[..., : 3 * len(self.labels)])

    def spreads(self, table: pa.Table, answers: Answers, *, seed: int, draws: int) -> dict[str, list[float]]:
        return {}

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return base.Task.headline(self, value, low, high, count)

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Per label with its average precision, their mean (of labels that occur), and how many labels a text has."""
        from sklearn.metrics import average_precision_score

        true, said = self.hard_targets(table), self._said(answers)
        shares = self._shares(answers)
        per_class = {}
        for at, label in enumerate(self.labels):
            hit, of, support = (true[:, at] * said[:, at]).sum(), said[:, at].sum(), true[:, at].sum()
            per_class[label] = {
                "precision": float(hit / max(of, 1)),
                "recall": float(hit / max(support, 1)),
                "f1": float(2 * hit / max(of + support, 1)),
                "support": int(support),
                "average_precision": float(average_precision_score(true[:, at], shares[:, at])) if support else None,
            }
        found = [one["average_precision"] for one in per_class.values() if one["average_precision"] is not None]
        return {
            "per_class": per_class,
            "mean_average_precision": float(np.mean(found)) if found else None,
            "labels_a_text": {"true": float(true.sum(1).mean()), "said": float(said.sum(1).mean())},
        }

    def _said(self, answers: Answers) -> np.ndarray:
        made = np.zeros((len(answers), len(self.labels)), dtype=np.int64)
        for row, one in enumerate(answers.items):
            for label in one["labels"]:
                made[row, self._position[label]] = 1
        return made

    def _shares(self, answers: Answers) -> np.ndarray:
        """(n, k) the scores of the answers; of one without scores 1 for what it says."""
        rows = [one.get("scores") or dict.fromkeys(one["labels"], 1.0) for one in answers.items]
        return np.array([[row.get(label, 0.0) for label in self.labels] for row in rows]).reshape(-1, len(self.labels))

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """Over the labels that are wrong, the sum of their negative log probabilities in nats; 0 when all are right."""
        true, said = self.hard_targets(table), self._said(answers)
        shares = self._shares(answers)
        own = np.clip(np.where(true == 1, shares, 1 - shares), 1e-6, 1.0 - 1e-6)
        lost: np.ndarray = np.where(true == said, 0.0, -np.log(own)).sum(axis=1)
        return lost

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """How often each label occurs, and one TF-IDF regression a label; thresholds as the model's are fitted."""
        true = self.hard_targets(train)
        rates = true.mean(axis=0)
        cuts = np.minimum(thresholds(true, np.tile(rates, (len(train), 1))), 1.0)
        yield "label frequencies", self.many(np.tile(rates, (len(test), 1)), cuts), {}
        shares, side = np.zeros((len(test), len(self.labels))), np.zeros((len(validation), len(self.labels)))
        asked = [*baselines.texts(test), *baselines.texts(validation)]
        for at in range(len(self.labels)):
            if 0 < true[:, at].sum() < len(train):
                both, _ = baselines.tfidf(
                    (baselines.texts(train), true[:, at]), ([], np.zeros(0)), asked, num_classes=2, seed=seed
                )
                shares[:, at], side[:, at] = both[: len(test), 1], both[len(test) :, 1]
            else:
                shares[:, at] = side[:, at] = rates[at]
        cuts = thresholds(self.hard_targets(validation), side)
        yield "TF-IDF + logistic regressions", self.many(shares, cuts), {"labels": len(self.labels)}

    def perfect(self, table: pa.Table) -> None:
        return None

    # -- shown

    def show(self, record: Record) -> str:
        labels = record.labels if record.labels is not None else None if record.label is None else [record.label]
        said = "?" if labels is None else ", ".join(labels) or "none"
        return f"[{said}] {' '.join((record.text or '').split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        return "" if answer is None else ", ".join(sorted(answer["labels"])) or "none"

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        made = super().pieces(given, None)
        return [*made, Piece("\n→ " + (", ".join(answer["labels"]) or "none"))] if answer else made

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        if row.get("labels") is not None:
            return {"labels": list(row["labels"])}
        return {"labels": [row["label"]]} if row.get("label") is not None else None

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("labels", ("labels",), tuple(self.labels), self.spec.descriptions, clears=(("label",),)),)

    def prompt(self, text: str, *, language: str = "en") -> str:
        return PROMPTS.get(language, PROMPTS["en"]).format(labels=self.label_lines(), text=text)


def thresholds(true: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """For each label (column) the probability from which saying it gives the best F1; all (n, k).

    Labels with fewer than LEAST_POSITIVE records take the one threshold of best micro F1. (Fan & Lin 2007, SCut.)
    """
    if not true.any():
        return np.full(true.shape[1], 0.5)
    common = _best_cut(true.reshape(-1), shares.reshape(-1))
    columns = range(true.shape[1])
    rare = true.sum(axis=0) < LEAST_POSITIVE
    return np.array([common if rare[at] else _best_cut(true[:, at], shares[:, at]) for at in columns])


def _best_cut(true: np.ndarray, shares: np.ndarray) -> float:
    """Half way between the last score that is said and the first that is not, where F1 is best."""
    from burnish.measures.scores import threshold_curve

    curve = threshold_curve(true, shares)
    at = int(curve["f1"].argmax())
    below = curve["threshold"][at - 1] if at else 0.0
    return round(float((curve["threshold"][at] + below) / 2), 6)
