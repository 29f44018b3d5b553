"""Judge every model made so far on records that none of them was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.artifacts import Gold, Model, Report, Split
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Count, Positive, Share, stage
from burnish.core.tasktypes import open_task
from burnish.evaluate.baselines import majority, tfidf
from burnish.evaluate.judges import Judge, judges, said, taught
from burnish.evaluate.slices import by_slice
from burnish.evaluate.worst import losses, worst

CLASSES_WITH_INTERVALS = 20  # past them an interval of each class's F1 takes minutes and nobody reads it


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    """Seconds on two cores, for a test set a quarter the size of the training side."""
    return 8.0 + 0.25 * tokens / 6_000


@stage("evaluate.report", cost=_cost)
def report(
    models: list[Model],
    split: Split,
    gold: Gold | None,
    context: Context,
    *,
    data: Path | None = None,
    fields: dict[str, str] | None = None,
    label_names: dict[str, str] | None = None,
    leak_similarity: Share = 0.6,
    errors: Count = 50,
    neighbours: Positive = 5,
    draws: Positive = 1000,
) -> Report:
    """Judge every model on labels nobody trained on, with intervals, baselines and worst errors.

    data: an outside test set (JSONL, CSV, Parquet). Without it gold judges, when the spec does not train on it; else
    the test side of the split, and the report says loudly when those labels were constructed.
    fields: record field -> name in the test set, as in a source.
    label_names: label as it stands in the test set -> label of the task.
    leak_similarity: Jaccard similarity from which a test text counts as being in the training side too; scores are
    given with and without such texts.
    errors: the worst errors to keep, by loss.
    neighbours: nearest training records beside each.
    draws: of the bootstrap behind the intervals.
    Intervals hold at 95%. Memory: the test records, their probabilities, and vectors of the training side.
    """
    from burnish.measures.scores import classification_report, reliability

    able = judges(split, gold, context, data=data, fields=fields, label_names=label_names)
    judge, labels = able[0], context.task.labels
    context.progress.tell(f"  judged by {judge.about} ({len(judge.table):,} records)")
    targets = _targets(judge.table, context)
    answers = _answers(models, judge.table, context)
    served = answers[-1]
    train = taught(split, context)
    leaks = _leaks(train, judge.table, targets, served.predictions, len(labels), leak_similarity)
    numbers: dict[str, Any] = scored(targets, served.probabilities, context, draws=draws)
    numbers |= {
        "labels": list(labels),
        "model": served.name,
        "judged_by": {
            "kind": judge.kind, "about": judge.about, "checked": judge.checked, "notes": judge.notes,
            "set_aside": judge.set_aside,
        },
        "models": [_row(one, served, targets, context, draws) for one in answers],
        "also_judged": [_also(other, models[served.position], context) for other in able[1:]],
        "baselines": _baselines(train, split, judge.table, targets, served.predictions, context, draws),
        "leaks": leaks,
        "slices": by_slice(judge.table, targets, served.predictions, len(labels)),
        "calibration": _bins(reliability(targets, served.probabilities)),
        "confused": confused(labels, numbers["confusion"]),
        "errors": worst(
            judge.table, targets, served.probabilities, train, models[_torch_first(models, served.position)], context,
            most=errors, neighbours=neighbours,
        ),
        "classification_report": classification_report(targets, served.predictions, labels, digits=4),
    }  # fmt: skip
    from burnish.evaluate.page import page, verdict

    numbers |= verdict(numbers)
    numbers["headline"] = {name: numbers[name] for name in ("n", "accuracy", "macro_f1", "ece")}
    file = context.scratch / "predictions.parquet"
    _write_predictions(file, judge.table, targets, answers, labels)
    confidences = served.probabilities.max(axis=1)
    return Report(numbers, page(numbers, confidences), {"predictions.parquet": file})


@dataclass(frozen=True)
class Answers:
    """What one model said of every test record. position: in the list of models."""

    name: str
    position: int
    info: Mapping[str, Any]
    probabilities: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best


def scored(targets: np.ndarray, probabilities: np.ndarray, context: Context, *, draws: int) -> dict[str, Any]:
    """All scores with their intervals [low, high] under `intervals`; per class too."""
    from burnish.measures import intervals, scores

    labels, seed, k = list(context.task.labels), context.seed, len(context.task.labels)
    predictions = probabilities.argmax(axis=1)
    numbers = scores.classification_scores(targets, predictions, labels, probabilities=probabilities)
    right = intervals.wilson(int((targets == predictions).sum()), len(targets))
    macro = intervals.bootstrap(targets, predictions, scores.macro_f1, num_classes=k, seed=seed, draws=draws)
    gap = intervals.bootstrap_indices(
        len(targets), lambda rows: scores.ece(targets[rows], probabilities[rows]), seed=seed, draws=min(draws, 300)
    )
    accuracy = [right.low, right.high]
    numbers["intervals"] = {
        "accuracy": accuracy, "micro_f1": accuracy, "macro_f1": [macro.low, macro.high], "ece": [gap.low, gap.high],
    }  # fmt: skip
    for at, label in enumerate(labels if k <= CLASSES_WITH_INTERVALS else ()):
        if numbers["per_class"][label]["support"]:
            f1 = intervals.bootstrap(targets, predictions, _f1_of(at), num_classes=k, seed=seed, draws=draws)
            numbers["per_class"][label]["f1_interval"] = [f1.low, f1.high]
    return numbers


def _f1_of(at: int) -> Callable[[np.ndarray], np.ndarray]:
    """F1 of one class as a score of confusion matrices."""
    from burnish.measures.scores import per_class

    return lambda matrix: per_class(matrix)[2][..., at]


def confused(labels: tuple[str, ...], matrix: list[list[int]], most: int = 20) -> list[dict[str, Any]]:
    """Pairs taken for each other, the most frequent first: target, prediction, count, share of the target's records."""
    pairs: list[dict[str, Any]] = [
        {"target": labels[i], "prediction": labels[j], "count": count, "share": count / sum(row)}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair["count"])[:most]


def _targets(table: pa.Table, context: Context) -> np.ndarray:
    targets: np.ndarray = open_task(context.task).hard_targets(table)
    return targets


def _answers(models: list[Model], table: pa.Table, context: Context) -> list[Answers]:
    """Every model that was not refused, oldest first: the last is the one that serves."""
    found: list[Answers] = []
    for position, model in enumerate(models):
        if model.info.get("accepted", True):
            name = _name(model, [one.name for one in found])
            found.append(Answers(name, position, model.info, _probabilities(model, table, context)))
    if not found:
        raise BurnishError("there is no model to judge", hint="add a `train` section before `evaluate`")
    return found


def _name(model: Model, taken: list[str]) -> str:
    """How the report calls a model: its format, and a number where that is not enough."""
    said = " ".join(str(model.info[key]) for key in ("format", "precision") if model.info.get(key)) or "model"
    return said if said not in taken else f"{said} {len(taken) + 1}"


def _probabilities(model: Model, table: pa.Table, context: Context) -> np.ndarray:
    """(n, k) in the order of the task's labels."""
    from burnish.tasks import predictor

    opened = predictor.load(model.folder)
    if set(opened.labels) != set(context.task.labels):
        raise BurnishError(
            f"the model answers {', '.join(opened.labels)}, the task asks for {', '.join(context.task.labels)}",
            where=str(model.folder),
            hint="train it again with this task, or judge it with the spec it was made by",
        )
    texts, pairs = open_task(context.task).inputs(table)
    order = [opened.labels.index(label) for label in context.task.labels]
    made: np.ndarray = opened.probabilities(texts, pairs, progress=context.progress)[:, order]
    return made


def _torch_first(models: list[Model], served: int) -> int:
    """The model whose weights or backbone measure nearness: the newest with either."""
    able = [i for i, one in enumerate(models) if "backbone" in one.info or list(one.folder.glob("*.safetensors"))]
    return able[-1] if able else served


def _row(one: Answers, served: Answers, targets: np.ndarray, context: Context, draws: int) -> dict[str, Any]:
    """Figures of one model, and how often it agrees with the one that serves."""
    from burnish.measures import intervals, scores

    k = len(context.task.labels)
    matrix = scores.confusion(targets, one.predictions, k)
    row: dict[str, Any] = {
        "name": one.name,
        "serves": one is served,
        "accuracy": float(scores.accuracy(matrix)),
        "macro_f1": float(scores.macro_f1(matrix)),
        "ece": scores.ece(targets, one.probabilities),
        "log_loss": scores.log_loss(targets, one.probabilities),
        "agreement": float((one.predictions == served.predictions).mean()),
        "parameters": one.info.get("parameters"),
    }
    if one is not served:
        gap = intervals.paired_bootstrap(
            targets, served.predictions, one.predictions, scores.accuracy, num_classes=k, seed=context.seed, draws=draws
        )
        row["difference"] = {"accuracy": gap.value, "interval": [gap.low, gap.high], "p_value": gap.p_value}
    return row


def _also(judge: Judge, model: Model, context: Context) -> dict[str, Any]:
    """A second opinion: the same model on other labels."""
    from burnish.measures import intervals, scores

    targets, predictions = _targets(judge.table, context), _probabilities(model, judge.table, context).argmax(axis=1)
    matrix = scores.confusion(targets, predictions, len(context.task.labels))
    share = intervals.wilson(int(np.trace(matrix)), len(targets))
    return {
        "kind": judge.kind, "about": judge.about, "checked": judge.checked, "n": len(targets),
        "accuracy": share.value, "interval": [share.low, share.high], "macro_f1": float(scores.macro_f1(matrix)),
    }  # fmt: skip


def _baselines(
    train: pa.Table, split: Split, test: pa.Table, targets: np.ndarray, predictions: np.ndarray, context: Context,
    draws: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """What is had for nothing, and by how much the model is better on the same records (paired bootstrap)."""
    from burnish.measures import intervals, scores

    k = len(context.task.labels)
    if not len(train):
        return []
    known = _targets(train, context)
    made: dict[str, tuple[np.ndarray, dict[str, Any]]] = {"majority class": (majority(known, len(test), k), {})}
    if len(np.unique(known)) > 1:
        context.progress.tell("  baseline: TF-IDF with logistic regression on the same training side")
        side = split.validation.table()
        side = side.filter(pa.array([label in context.task.labels for label in side["label"].to_pylist()], pa.bool_()))
        answers, chosen = tfidf(
            (said(train), known), (said(side), _targets(side, context)), said(test), num_classes=k, seed=context.seed
        )
        made["TF-IDF + logistic regression"] = (answers.argmax(axis=1), chosen)
    rows = []
    for name, (answer, settings) in made.items():
        matrix = scores.confusion(targets, answer, k)
        row: dict[str, Any] = {
            "name": name, "accuracy": float(scores.accuracy(matrix)), "macro_f1": float(scores.macro_f1(matrix)),
            "settings": settings, "gain": {},
        }  # fmt: skip
        for figure in ("accuracy", "macro_f1"):
            gap = intervals.paired_bootstrap(
                targets, answer, predictions, getattr(scores, figure), num_classes=k, seed=context.seed, draws=draws
            )
            row["gain"][figure] = {"value": gap.value, "interval": [gap.low, gap.high], "p_value": gap.p_value}
        rows.append(row)
    return rows


def _leaks(
    train: pa.Table, test: pa.Table, targets: np.ndarray, predictions: np.ndarray, num_classes: int, threshold: float
) -> dict[str, Any]:
    """Test texts that are, or nearly are, in the training side; the score without them beside the score with them."""
    from burnish.measures import scores
    from burnish.measures.duplicates import leaks

    found = leaks(said(train), said(test), threshold=threshold)
    leaked = np.zeros(len(test), dtype=bool)
    leaked[found.pairs[:, 1]] = True
    ids, known = test["id"].to_pylist(), train["id"].to_pylist()
    made: dict[str, Any] = {
        "similarity": threshold,
        "count": int(leaked.sum()),
        "share": float(leaked.mean()),
        "examples": [
            {"test": ids[b], "train": known[a], "similarity": round(float(how), 4)}
            for (a, b), how in zip(found.pairs[:20].tolist(), found.similarity[:20], strict=True)
        ],
    }
    for name, rows in (("without", ~leaked), ("only", leaked)):
        if rows.any():
            matrix = scores.confusion(targets[rows], predictions[rows], num_classes)
            made[name] = {
                "n": int(rows.sum()), "accuracy": float(scores.accuracy(matrix)),
                "macro_f1": float(scores.macro_f1(matrix)),
            }  # fmt: skip
    return made


def _bins(table: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The reliability table as rows; confidence and accuracy are None in an empty bin."""
    return [
        {
            "lower": float(lower), "upper": float(upper), "count": int(count),
            "confidence": float(mean) if count else None, "accuracy": float(share) if count else None,
        }
        for lower, upper, count, mean, share in zip(
            *(table[name] for name in ("lower", "upper", "count", "confidence", "accuracy")), strict=True
        )
    ]  # fmt: skip


def _write_predictions(
    file: Path, test: pa.Table, targets: np.ndarray, answers: list[Answers], labels: tuple[str, ...]
) -> None:
    """One row a record and model, in the order of the test set."""
    names = pa.array(labels, pa.string())
    tables = []
    for one in answers:
        columns = {
            "id": test["id"],
            "text": test["text"],
            "target": names.take(pa.array(targets)),
            "prediction": names.take(pa.array(one.predictions)),
            "score": pa.array(one.probabilities.max(axis=1), pa.float32()),
            "loss": pa.array(losses(targets, one.probabilities), pa.float32()),
            "probs": pa.array(list(one.probabilities.astype(np.float32)), pa.list_(pa.float32())),
            "correct": pa.array(one.predictions == targets),
            "model": pa.array([one.name] * len(test), pa.string()),
        }
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables), file, compression="zstd")
