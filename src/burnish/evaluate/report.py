"""Judge every model made so far on records that none of them was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.artifacts import Gold, Model, Report, Split
from burnish.core.chinese import in_both, language_of, speaking
from burnish.core.stage import Context, Count, Positive, Share, stage
from burnish.evaluate.judged import Judged, answered, ask
from burnish.evaluate.judges import Judge, judges, said, taught
from burnish.evaluate.slices import by_slice
from burnish.evaluate.worst import worst

CLASSES_WITH_INTERVALS = 20  # past them an interval of each class's F1 takes minutes and nobody reads it


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    """Seconds on two cores, for a test set a quarter the size of the training side."""
    return 8.0 + 0.25 * tokens / 6_000


@stage("evaluate.report", version=3, cost=_cost)
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
    language: Literal["auto", "en", "zh"] = "auto",
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
    language: of the page; auto takes Chinese where it is the task's first language, else English.
    Intervals hold at 95%. Memory: the test records, their answers, and vectors of the training side.
    """
    able = judges(split, gold, context, data=data, fields=fields, label_names=label_names)
    judge = able[0]
    context.progress.tell(f"  judged by {judge.about} ({len(judge.table):,} records)")
    every = answered(models, judge.table, context)
    served, train = every[-1], taught(split, context)
    task, luck = served.task, {"seed": context.seed, "draws": draws}
    numbers: dict[str, Any] = {"n": len(judge.table), "figure": task.figure, "points": task.points, **served.figures()}
    numbers["figures"] = list(served.figures())
    numbers["intervals"] = served.intervals(**luck)
    told = task.details(judge.table, served.answers) | task.beside(train, judge.table, served.answers)
    numbers |= told
    numbers["details"] = [name for name in told if name not in SHOWN]
    numbers["about"] = dict(task.explained())
    numbers["intervals"] |= task.spreads(judge.table, served.answers, **luck)
    _class_intervals(numbers, served, luck)
    numbers |= {
        "labels": list(context.task.labels),
        "model": served.name,
        "judged_by": {
            "kind": judge.kind, "about": judge.about, "checked": judge.checked, "notes": judge.notes,
            "set_aside": judge.set_aside,
        },
        "models": [_row(one, served, luck) for one in every],
        "also_judged": [_also(other, models[served.position], context, luck) for other in able[1:]],
        "baselines": _baselines(train, split, served, context, luck),
        "leaks": _leaks(train, served, leak_similarity),
        "slices": by_slice(served),
        "errors": worst(served, train, models[_torch_first(models, served.position)], context, most=errors, neighbours=neighbours),
    }  # fmt: skip
    from burnish.evaluate.page import page, verdict

    numbers |= in_both(lambda: verdict(numbers, task))
    chief = [name for name in (task.figure, *list(served.figures())[:2], "ece") if name in numbers]
    numbers["headline"] = {"n": numbers["n"]} | {name: numbers[name] for name in dict.fromkeys(chief)}
    file = context.scratch / "predictions.parquet"
    _write_predictions(file, every)
    confidences = served.answers.probabilities
    with speaking(language_of(context.task.languages, language)):
        html = page(
            numbers,
            [] if confidences is None else confidences.max(axis=1),
            subtitle=context.name if context.name != "run" else "",
        )
    return Report(numbers, html, {"predictions.parquet": file})


# what the page has a place of its own for; other details become tables under "Details"
SHOWN = ("n", "accuracy", "macro_f1", "micro_f1", "per_class", "confusion", "confusion_labels", "ece", "calibration", "confused", "classification_report")  # fmt: skip


def _class_intervals(numbers: dict[str, Any], served: Judged, luck: Mapping[str, int]) -> None:
    """The interval of each class's F1, beside it."""
    classes = numbers.get("per_class")
    if not classes or len(classes) > CLASSES_WITH_INTERVALS or not served.task.by_class(served.tally.sum(0)):
        return
    from burnish.measures.intervals import bootstrap_sums

    for label, one in bootstrap_sums(served.tally, served.task.by_class, **luck).items():
        if classes.get(label, {}).get("support"):
            classes[label]["f1_interval"] = [one.low, one.high]


def _torch_first(models: list[Model], served: int) -> int:
    """The model whose weights or backbone measure nearness: the newest with either."""
    able = [i for i, one in enumerate(models) if "backbone" in one.info or list(one.folder.glob("*.safetensors"))]
    return able[-1] if able else served


def _row(one: Judged, served: Judged, luck: Mapping[str, int]) -> dict[str, Any]:
    """Figures of one model, and how often it agrees with the one that serves."""
    details = one.task.details(one.table, one.answers)
    row: dict[str, Any] = {"name": one.name, "serves": one is served, **one.figures()}
    row |= {name: details[name] for name in ("ece", "log_loss") if name in details}
    row |= {
        "agreement": float(one.task.agreement(served.answers, one.answers).mean()),
        "parameters": one.info.get("parameters"),
    }
    if one is not served:
        gap = one.better_than(served, **luck)[one.task.figure]
        row["difference"] = {one.task.figure: gap["value"], "interval": gap["interval"], "p_value": gap["p_value"]}
    return row


def _also(judge: Judge, model: Model, context: Context, luck: Mapping[str, int]) -> dict[str, Any]:
    """A second opinion: the same model on other labels."""
    task, answers = ask(model, judge.table, context)
    other = Judged("", -1, {}, task, judge.table, answers)
    return {
        "kind": judge.kind, "about": judge.about, "checked": judge.checked, "n": len(judge.table), **other.figures(),
        "interval": other.intervals(**luck)[task.figure],
    }  # fmt: skip


def _baselines(
    train: pa.Table, split: Split, served: Judged, context: Context, luck: Mapping[str, int]
) -> list[dict[str, Any]]:
    """What is had for nothing, and by how much the model is better on the same records (paired bootstrap)."""
    if not len(train):
        return []
    task, side = served.task, split.validation.table()
    side = side.filter(pa.array(task.labelled(side)))
    rows = []
    context.progress.tell("  baselines, on the same training side")
    for name, answers, settings in task.baselines(train, side, served.table, seed=context.seed):
        one = Judged(name, -1, {}, task, served.table, answers)
        rows.append({"name": name, **one.figures(), "settings": settings, "gain": served.better_than(one, **luck)})
    return rows


def _leaks(train: pa.Table, served: Judged, threshold: float) -> dict[str, Any]:
    """Test texts that are, or nearly are, in the training side; the score without them beside the score with them."""
    from burnish.measures.duplicates import leaks

    test = served.table
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
            made[name] = {"n": int(rows.sum()), **served.figures(rows)}
    return made


def _write_predictions(file: Path, every: list[Judged]) -> None:
    """One row a record and model, in the order of the test set; answers that are no label are JSON."""
    tables = []
    for one in every:
        wanted = [one.task.expected(row) for row in one.table.to_pylist()]
        columns = {
            "id": one.table["id"],
            "text": one.table["text"],
            "target": pa.array([_flat(answer) for answer in wanted], pa.string()),
            "prediction": pa.array([_flat(answer) for answer in one.answers.items], pa.string()),
            "loss": pa.array(one.losses, pa.float32()),
            "correct": pa.array(one.losses == 0),
            "model": pa.array([one.name] * len(one.table), pa.string()),
        }
        if one.answers.probabilities is not None:
            shares = one.answers.probabilities.astype(np.float32)
            columns["score"] = pa.array(shares.max(axis=1), pa.float32())
            columns["probs"] = pa.array(list(shares), pa.list_(pa.float32()))
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables, promote_options="default"), file, compression="zstd")


def _flat(answer: Any) -> str | None:
    """The label of an answer, else the answer as JSON."""
    if answer is None:
        return None
    return str(answer["label"]) if set(answer) & {"label"} else json.dumps(answer, ensure_ascii=False)
