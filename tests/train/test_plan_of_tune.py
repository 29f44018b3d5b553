"""What `burnish plan` says of passes and batches is what training then decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_bert
import yaml

from burnish.core.stage import TaskSpec, find
from burnish.nn.estimates import TRAINED, Estimate, for_tune

Tuned = Callable[..., Path]


def run(folder: Path, task: dict[str, Any], rows: list[dict[str, Any]], **settings: Any) -> Path:
    from burnish.core.pipeline import run as run_spec
    from burnish.core.progress import Silent
    from burnish.core.spec import load

    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    spec = {
        "burnish": 1, "name": "tiny", "task": task, "sources": [{"use": "jsonl", "path": "rows.jsonl"}],
        "split": {"use": "stratified", "test": 0.2, "validation": 0.2}, "train": [{"use": "tune", **settings}],
    }  # fmt: skip
    (folder / "burnish.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    run_spec(load(folder / "burnish.yaml"), to="train", progress=Silent())
    return folder / "runs" / "tiny"


def planned(card: dict[str, Any], **settings: Any) -> Estimate:
    """The estimate for as many records and tokens as were trained on."""
    history, task = card["history"]["tune"], dict(card["task"])
    kind, labels, languages = (task.pop(name) for name in ("type", "labels", "languages"))
    task.pop("descriptions")
    spec = TaskSpec(kind, tuple(labels), {}, tuple(languages), task)
    records = card["data"]["train"]
    passes = history["examples"] / records
    said = find("train", "tune").filled(settings)
    tokens = history["tokens"] / passes / (2 if kind == "translation" else 1)
    made = for_tune(round(records / TRAINED), round(tokens / TRAINED), said, spec, otherwise=9000.0)
    assert made is not None
    return made


def card_of(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / "model" / "burnish.json").read_text("utf-8"))
    return card


@pytest.mark.parametrize(("count", "asked"), [(60, {}), (400, {"class_weights": "balanced"})])
def test_texts_with_few_labels_and_with_more(tuned: Tuned, tiny: Path, count: int, asked: dict[str, Any]) -> None:
    card = card_of(tuned(count, epochs="auto", **asked))
    pace = planned(card, backbone=str(tiny), **asked).pace
    history = card["history"]["tune"]
    assert (pace.epochs, pace.batch_tokens) == (history["resolved"]["epochs"], history["resolved"]["batch_tokens"])
    assert pace.steps == (len(history["losses"]) if not asked else None)  # pairs of a few texts are learnt in steps


def test_tags(tiny: Path, tmp_path: Path) -> None:
    rows = []
    for text in tiny_bert.sentences(300)[0]:
        at = text.find("film")
        rows.append({"text": text, "spans": [{"start": at, "end": at + 4, "label": "work"}] if at >= 0 else []})
    card = card_of(run(tmp_path, {"type": "tagging", "labels": ["work"]}, rows, backbone=str(tiny), patience=1))
    pace, resolved = planned(card, backbone=str(tiny)).pace, card["history"]["tune"]["resolved"]
    assert (pace.epochs, pace.batch_tokens, pace.steps) == (resolved["epochs"], resolved["batch_tokens"], None)


def test_a_translator_from_nothing(tmp_path: Path) -> None:
    task = {"type": "translation", "languages": ["en", "zh"], "hidden": 32, "layers": 1, "vocabulary": 300}
    rows = [{"text": text, "output": text[::-1]} for text in tiny_bert.sentences(50)[0]]
    card = card_of(run(tmp_path, task, rows, backbone="fresh", patience=1, learning_rate=1e-3))
    estimate, resolved = planned(card, backbone="fresh", learning_rate=1e-3), card["history"]["tune"]["resolved"]
    assert (estimate.pace.epochs, estimate.pace.batch_tokens) == (resolved["epochs"], resolved["batch_tokens"])
    assert estimate.pace.epochs > 20, "more than any pretrained network"
