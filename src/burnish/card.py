"""The model card of a run: what the model is for, what it was made of, how good it is, where it fails (Mitchell et al. 2019).

Markdown with the YAML head that model hubs read; every figure is one that the run has measured.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from burnish.core.figures import title, word
from burnish.core.pipeline import filled_spec, read_run
from burnish.core.tasktypes import task_class

Facts = dict[str, Any]
UNSAID = "not said by the sources"


def write(folder: Path) -> Path | None:
    """Write `model_card.md` of a run folder; None where no model was made."""
    model = _json(folder / "model" / "burnish.json")
    if not model:
        return None
    path = folder / "model_card.md"
    half = path.with_name(f".model_card.md.{os.getpid()}")
    half.write_text(text(folder, model), encoding="utf-8")
    os.replace(half, path)
    return path


def text(folder: Path, model: Facts) -> str:
    """The whole card."""
    run, judged = read_run(folder), _json(folder / "evaluation" / "report.json")
    data = _data(folder)
    name = run.get("name") or folder.name
    parts = [
        f"---\n{yaml.safe_dump(_head(run, model, judged, data), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        _purpose(run, model),
        "## How good it is\n\n" + _figures(judged),
        "## Where it fails\n\n" + _limits(judged, model),
        "## What it learnt from\n\n" + _learnt_from(model, data) + _certified(folder),
        "## How it was trained\n\n" + _training(model),
        "## Use\n\n" + _use(folder, model),
        f"Made by burnish {run.get('burnish', '')}, run {run.get('id', '')}, model version {model.get('version', '')}. "
        "`burnish lineage` follows every record of it.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(run: Facts, model: Facts, judged: Facts, data: Facts) -> dict[str, Any]:
    task = model["task"]
    head: dict[str, Any] = {
        "language": list(task.get("languages", [])),
        "library_name": "transformers",
        "pipeline_tag": task_class(task["type"]).pipeline,
        "base_model": model.get("backbone"),
        "tags": ["burnish", task["type"]],
    }
    licences = sorted(set(data["licences"]) - {UNSAID})
    if licences:
        head["license"] = "other"
        head["license_name"] = f"data: {', '.join(licences)}"
    if figures := _chief(judged):
        results = [{"type": name, "value": round(float(judged[name]), 4)} for name in figures]
        source = {"name": str(judged.get("judged_by", {}).get("about", "test side of the split")), "type": "private"}
        entry = {"task": {"type": head["pipeline_tag"]}, "dataset": source, "metrics": results}
        head["model-index"] = [{"name": run.get("name"), "results": [entry]}]
    return {key: value for key, value in head.items() if value}


def _purpose(run: Facts, model: Facts) -> str:
    task = model["task"]
    labels = task.get("labels") or []
    about = task.get("descriptions") or {}
    said = f"{title(str(task['type']))} of text in {', '.join(task.get('languages', []))}"
    lines = [f"{said}, on {model.get('backbone')} ({model.get('parameters', 0):,} weights)."]
    if labels:
        lines += ["", *(f"- `{one}`" + (f": {about[one]}" if about.get(one) else "") for one in labels)]
    return "\n".join(lines)


def _chief(judged: Facts) -> list[str]:
    """The figures with an interval, the chief one first."""
    names = [judged.get("figure"), *judged.get("intervals", {})]
    return [name for name in dict.fromkeys(names) if name and isinstance(judged.get(name), int | float)][:6]


def _figures(judged: Facts) -> str:
    if not judged:
        return "Not evaluated: no figure of this model is known."
    lines = [judged.get("verdict", ""), "", "| figure | value | 95% interval |", "|---|--:|---|"]
    for name in _chief(judged):
        low, high = (judged.get("intervals", {}).get(name) or [None, None])[:2]
        between = f"{low:.3f} to {high:.3f}" if isinstance(low, float) and isinstance(high, float) else ""
        lines.append(f"| {word(name)} | {judged[name]:.3f} | {between} |")
    figure = judged.get("figure")
    for one in judged.get("baselines") or ():
        if isinstance(one.get(figure), int | float):
            lines.append(f"| {word(str(figure))} of {one['name']} | {one[figure]:.3f} | |")
    by = judged.get("judged_by", {}).get("about")
    return "\n".join([*lines, "", f"On {judged.get('n', 0):,} records: {by or 'the test side of the split'}."])


def _limits(judged: Facts, model: Facts) -> str:
    lines = [f"- {one}" for one in judged.get("grounds") or ()]
    classes = {name: one for name, one in (judged.get("per_class") or {}).items() if isinstance(one, Mapping)}
    weak = sorted((one.get("f1", 1.0), name, one.get("support", 0)) for name, one in classes.items())[:3]
    lines += [f"- `{name}`: F1 {value:.2f} on {support:,} records." for value, name, support in weak if value < 0.9]
    leaks = judged.get("leaks") or {}
    if leaks.get("count"):
        lines.append(
            f"- {leaks['count']:,} test records are near-duplicates of training records ({leaks['share']:.1%})."
        )
    lines.append(f"- Texts are read up to {model.get('max_length')} tokens at a time.")
    lines.append("- It was judged on texts like those above; on others, measure before you trust it.")
    return "\n".join(lines)


def _data(folder: Path) -> dict[str, Any]:
    """Counts of the training side: labels, where labels come from, licences."""
    import pyarrow.parquet as parquet

    found: dict[str, Any] = {"labels": Counter(), "label_from": Counter(), "licences": Counter()}
    path = folder / "split" / "train.parquet"
    if not path.is_file():
        return found
    wanted = {"label": "labels", "label_from": "label_from", "licence": "licences"}
    file = parquet.ParquetFile(path)
    there = [name for name in wanted if name in file.schema_arrow.names]
    for batch in file.iter_batches(columns=there):
        for name in there:
            for one in batch[name].value_counts():
                value = one["values"].as_py()
                found[wanted[name]][UNSAID if value is None and name == "licence" else value] += one["counts"].as_py()
    return found


def _learnt_from(model: Facts, data: Facts) -> str:
    counts = model.get("data") or {}
    lines = [", ".join(f"{counts[side]:,} {side}" for side in counts if counts[side]) + " records."]
    for key, said in (("label_from", "Labels from"), ("labels", "Labels"), ("licences", "Licences")):
        known = [(name, n) for name, n in data[key].most_common(20) if name is not None]
        if known:
            lines.append(f"- {said}: " + ", ".join(f"{name} ({n:,})" for name, n in known))
    return "\n".join(lines)


def _certified(folder: Path) -> str:
    """What people found on a sample of the labels, where they looked; "" else."""
    from burnish.certify import newest

    numbers = newest(folder)
    found = numbers.get("accuracy")
    if not found:
        return ""
    said = numbers["said"]["en"]
    lines = [f"- Certificate: {said['verdict']} Interval: {found['method']}, {numbers['asked']['confidence']:.0%}."]
    if numbers["stale"]:
        lines.append("- The certificate is older than the labels: they were made anew since.")
    rows = [one for one in numbers.get("labels") or () if one["checked"]]
    for one in sorted(rows, key=lambda row: row["precision"]["low"])[:3]:
        low, high = one["precision"]["low"], one["precision"]["high"]
        lines.append(
            f"- Labelled `{one['label']}`: {one['precision']['value']:.1%} right ({low:.1%} to {high:.1%}, {one['checked']} checked)."
        )
    if mentions := numbers.get("mentions"):
        for name in ("precision", "recall", "f1"):
            one = mentions[name]
            lines.append(
                f"- {title(name)} of its mentions: {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})."
            )
    return "\n" + "\n".join(lines)


def _training(model: Facts) -> str:
    history: dict[str, Any] = dict(model.get("history") or {})
    told: dict[str, Any] = history.get("tune", history)
    lines = [f"- strategy: {json.dumps(model.get('strategy'), ensure_ascii=False)}"]
    learnt = model.get("parameters_learnt")
    if learnt:
        lines.append(f"- weights that learnt: {learnt:,} of {model['parameters']:,}")
    reasons = told.get("reasons") or {}
    for name, value in (told.get("resolved") or {}).items():
        lines.append(f"- {name}: {value}" + (f" ({reasons[name]})" if name in reasons else ""))
    epochs = told.get("epochs") or []
    best = told.get("best_epoch", -1)
    if epochs and best >= 0:
        score = epochs[best].get("validation_score")
        lines.append(
            f"- kept: pass {best + 1} of {len(epochs)}, validation {word(told.get('figure', 'score'))} {score:.3f}"
        )
    if told.get("cpu_seconds"):
        lines.append(f"- cost: {told['cpu_seconds']:.0f} CPU seconds, {told.get('tokens', 0):,} tokens")
    return "\n".join(lines)


def _use(folder: Path, model: Facts) -> str:
    spec = filled_spec(folder)
    name = spec.get("name", folder.name)
    return f"```bash\nburnish predict {name} -i in.jsonl -o out.jsonl\nburnish serve {name}\n```"


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
