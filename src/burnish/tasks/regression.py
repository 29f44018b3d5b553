"""Regression: a number for a text or for a pair of texts (similarity, ratings, readability).

target   `value`
valid    a text that is not empty, and a finite number within minimum and maximum, or none
head     one output; squared error on targets less their mean, over their deviation, both of the training records
scores   Pearson and Spearman correlation, mean absolute and root mean squared error

Pearson's sums add up over records. Spearman's is Pearson's of ranks, and the ranks are those of the whole table that is
tallied: on a slice or a bootstrap draw it is the correlation of those ranks, not of ranks counted anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.nn.examples import Examples
from burnish.nn.models import Head
from burnish.tasks import base, baselines
from burnish.tasks.base import Answer, Answers, Input, Piece
from burnish.tasks.classification import encode_pairs
from burnish.tasks.editors import Editor

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # of the ridge; chosen on the validation side, 1 where that is too small

PROMPTS = {
    "en": "Rate the text{range}. Answer with the number alone.\nText: {text}\nNumber:",
    "zh": "请为下面的文本打分{range}。只回答数字本身。\n文本：{text}\n分数：",
}


class Task(base.Task):
    """One number an input.

    minimum, maximum: where answers end; null leaves that side open. centre, scale: of the targets while they are learnt;
    auto takes mean and standard deviation of the training records.
    """

    name = "regression"
    pipeline = "text-classification"
    target = ("value",)
    options: ClassVar[Mapping[str, Any]] = {"minimum": None, "maximum": None, "centre": "auto", "scale": "auto"}
    figure = "pearson"
    about: ClassVar[Mapping[str, str]] = {
        "by_target": "Records in five parts of equal size by their target. A mean error above 0: it says too much."
    }

    @classmethod
    def problems(cls, spec: TaskSpec) -> list[tuple[str, str, str]]:
        found = super().problems(spec)
        if spec.labels:
            found.append(("labels", "regression has no labels, it has a number", "fields: {value: score}"))
        settings = {**cls.options, **spec.options}
        for name in cls.options:
            value = settings[name]
            if isinstance(value, bool) or not (value is None or isinstance(value, int | float) or value == "auto"):
                found.append((name, f"{name} must be a number, got {value!r}", f"{name}: 0"))
        ends = [settings[name] for name in ("minimum", "maximum") if isinstance(settings[name], int | float)]
        if len(ends) == 2 and ends[0] >= ends[1]:
            found.append(("maximum", f"maximum {ends[1]} is not above minimum {ends[0]}", "minimum: 0, maximum: 5"))
        return found

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        low, high = self.settings["minimum"], self.settings["maximum"]
        self.low, self.high = -math.inf if low is None else float(low), math.inf if high is None else float(high)
        given = (self.settings["centre"], self.settings["scale"])
        self.centre, self.scale = (d if g == "auto" else float(g) for g, d in zip(given, (0.0, 1.0), strict=True))

    def settle(self, train: pa.Table) -> TaskSpec:
        """The task section with mean and deviation of the training records."""
        values = self.values(train)
        if not len(values):
            return self.spec
        found = {"centre": round(float(values.mean()), 6), "scale": round(float(values.std()), 6) or 1.0}
        told = {name: value for name, value in found.items() if self.settings[name] == "auto"}
        return replace(self.spec, options={**self.spec.options, **told})

    def problem(self, record: Record) -> str | None:
        if not (record.text or "").strip():
            return "empty text"
        if record.value is not None and not (math.isfinite(record.value) and self.low <= record.value <= self.high):
            return f"value {record.value} is not within {self.low:g} and {self.high:g}"
        return None

    def values(self, table: pa.Table) -> np.ndarray:
        """The targets (n,) float64, not a number where a record has none."""
        return np.array([math.nan if one is None else one for one in table["value"].to_pylist()], dtype=np.float64)

    # -- encoding

    def encode(self, inputs: Sequence[Input], tokenizer: Any, *, max_length: int) -> Examples:
        return encode_pairs(inputs, tokenizer, max_length=max_length)

    def examples(self, table: pa.Table, tokenizer: Any, *, max_length: int, soft: bool = True) -> Examples:
        table = table.filter(pa.array(self.labelled(table)))
        made = self.encode(self.inputs(table), tokenizer, max_length=max_length)
        standard = (self.values(table) - self.centre) / self.scale
        return replace(made, targets=standard[:, None].astype(np.float32))

    # -- head and loss

    def head(self) -> Head:
        return Head("sequence", ("value",))

    def objective(self, *, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> Any:
        from burnish.nn.objectives import SquaredError

        return SquaredError()

    # -- decoding

    def decode(
        self, inputs: Sequence[Input], examples: Any, outputs: Sequence[Any], card: Mapping[str, Any]
    ) -> Answers:
        """{"value": number}, within minimum and maximum."""
        return self.answers(np.asarray(outputs, dtype=np.float64).reshape(-1) * self.scale + self.centre)

    def answers(self, values: np.ndarray) -> Answers:
        """Answers of numbers (n,), on the scale of the targets."""
        return Answers([{"value": round(float(one), 6)} for one in np.clip(values, self.low, self.high)])

    def agreement(self, before: Answers, after: Answers) -> np.ndarray:
        """1 where two models differ by less than a hundredth of the targets' deviation."""
        near: np.ndarray = np.abs(_values(before) - _values(after)) <= 0.01 * self.scale
        return near.astype(float)

    # -- scores

    def tally(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """(n, 13): one; x, y, xx, yy, xy of the numbers and of their ranks; absolute and squared error."""
        from scipy.stats import rankdata

        targets, said = self.values(table), _values(answers)
        # less the mean, over the deviation: correlations stay, and sums of squares keep their digits
        middle, spread = (targets.mean(), targets.std() or 1.0) if len(targets) else (0.0, 1.0)
        columns = [np.ones(len(said))]
        half = (len(said) + 1) / 2
        for x, y in (
            ((targets - middle) / spread, (said - middle) / spread),
            ((rankdata(targets) - half) / max(half, 1), (rankdata(said) - half) / max(half, 1)),
        ):
            columns += [x, y, x * x, y * y, x * y]
        columns += [np.abs(said - targets), (said - targets) ** 2]
        return np.stack(columns, axis=1)

    def figures(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Correlations are -1..1; mae and rmse are in the unit of the value, and less is better."""
        sums = np.asarray(sums, dtype=np.float64)
        n = sums[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "pearson": _correlation(n, *np.moveaxis(sums[..., 1:6], -1, 0)),
                "spearman": _correlation(n, *np.moveaxis(sums[..., 6:11], -1, 0)),
                "mae": sums[..., 11] / n,
                "rmse": np.sqrt(sums[..., 12] / n),
            }

    def details(self, table: pa.Table, answers: Answers) -> dict[str, Any]:
        """Where on the scale the errors are: records in five parts of equal size by their target."""
        targets, said = self.values(table), _values(answers)
        rows = []
        for part in np.array_split(np.argsort(targets, kind="stable"), 5):
            if len(part):
                error = said[part] - targets[part]
                rows.append(
                    {
                        "from": float(targets[part].min()),
                        "to": float(targets[part].max()),
                        "records": len(part),
                        "mean_answer": float(said[part].mean()),
                        "mean_error": float(error.mean()),
                        "mae": float(np.abs(error).mean()),
                    }
                )
        return {"by_target": rows}

    def losses(self, table: pa.Table, answers: Answers) -> np.ndarray:
        """The absolute error."""
        lost: np.ndarray = np.abs(_values(answers) - self.values(table))
        return lost

    def headline(self, value: float, low: float, high: float, count: int) -> str:
        return f"Pearson correlation {value:.3f} ({low:.3f} to {high:.3f}) on {count:,} records"

    def baselines(
        self, train: pa.Table, validation: pa.Table, test: pa.Table, *, seed: int
    ) -> Iterator[tuple[str, Answers, dict[str, Any]]]:
        """The mean; for pairs the cosine of their TF-IDF vectors, put on the scale by a line; ridge regression on words."""
        from sklearn.linear_model import Ridge

        train = train.filter(pa.array(self.labelled(train)))
        known = self.values(train)
        if not len(known):
            return
        yield "mean", self.answers(np.full(len(test), known.mean())), {"mean": float(known.mean())}
        paired = train["text_b"].null_count < len(train)
        terms = _terms(train, paired)
        features, asked = (_features(terms, table, paired) for table in (train, test))
        if paired:
            own, other = _cosines(features), _cosines(asked)
            slope, start = np.polyfit(own, known, 1) if own.std() > 1e-9 else (0.0, known.mean())
            yield "TF-IDF cosine", self.answers(slope * other + start), {"slope": float(slope), "start": float(start)}
        whole, unseen = _stacked(features), _stacked(asked)
        strength = 1.0
        if len(validation) >= baselines.LEAST_TO_CHOOSE:
            side, truth = _stacked(_features(terms, validation, paired)), self.values(validation)
            fits = {one: Ridge(alpha=one, random_state=seed).fit(whole, known).predict(side) for one in STRENGTHS}
            strength = min(STRENGTHS, key=lambda one: float(((fits[one] - truth) ** 2).mean()))
        said = Ridge(alpha=strength, random_state=seed).fit(whole, known).predict(unseen)
        yield "TF-IDF + ridge", self.answers(said), {"strength": strength, "terms": int(whole.shape[1])}

    # -- shown

    def show(self, record: Record) -> str:
        value = "?" if record.value is None else f"{record.value:g}"
        return f"[{value}] {' '.join(' | '.join(t for t in (record.text, record.text_b) if t).split())[:200]}"

    def brief(self, answer: Mapping[str, Any] | None) -> str:
        return "" if answer is None else f"{answer['value']:.4g}"

    def pieces(self, given: Mapping[str, Any], answer: Mapping[str, Any] | None) -> list[Piece]:
        made = super().pieces(given, None)
        return [*made, Piece("\n→ " + self.brief(answer))] if answer else made

    def expected(self, row: Mapping[str, Any]) -> Answer | None:
        return None if row.get("value") is None else {"value": row["value"]}

    def editors(self) -> tuple[Editor, ...]:
        return (Editor("value", ("value",), low=self.settings["minimum"], high=self.settings["maximum"]),)

    def prompt(self, text: str, *, language: str = "en") -> str:
        ends = (self.settings["minimum"], self.settings["maximum"])
        between = {"en": " from {0:g} to {1:g}", "zh": "，从 {0:g} 到 {1:g}"}.get(language, " from {0:g} to {1:g}")
        said = between.format(*ends) if None not in ends else ""
        return PROMPTS.get(language, PROMPTS["en"]).format(range=said, text=text)


def _values(answers: Answers) -> np.ndarray:
    return np.array([one["value"] for one in answers.items], dtype=np.float64)


def _correlation(n: Any, x: Any, y: Any, xx: Any, yy: Any, xy: Any) -> np.ndarray:
    """Pearson's r of sums; 0 where one side does not vary, for it tells nothing about the other."""
    spread = np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0)
    found: np.ndarray = np.where(spread > 1e-12 * n**2, (n * xy - x * y) / np.sqrt(spread), 0.0)
    return found


def _sides(table: pa.Table, paired: bool) -> list[list[str]]:
    return [[one or "" for one in table[name].to_pylist()] for name in ("text", "text_b")[: 1 + paired]]


def _terms(table: pa.Table, paired: bool) -> Any:
    """TF-IDF fitted on all texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        token_pattern=baselines.TOKEN, ngram_range=(1, 2), sublinear_tf=True, min_df=1 if len(table) < 1000 else 2,
        max_features=200_000, dtype=np.float32,
    ).fit([text for side in _sides(table, paired) for text in side])  # fmt: skip


def _features(terms: Any, table: pa.Table, paired: bool) -> list[Any]:
    """The vectors of the first and, of pairs, the second texts."""
    return [terms.transform(side) for side in _sides(table, paired)]


def _cosines(features: list[Any]) -> np.ndarray:
    return np.asarray(features[0].multiply(features[1]).sum(axis=1)).reshape(-1)


def _stacked(features: list[Any]) -> Any:
    """Of a text its vector; of a pair what both have, what one has alone, and how alike they are: order does not matter."""
    from scipy import sparse

    if len(features) == 1:
        return features[0]
    both = features[0].multiply(features[1])
    return sparse.hstack([both, abs(features[0] - features[1]), sparse.csr_matrix(_cosines(features)[:, None])]).tocsr()
