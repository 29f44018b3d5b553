"""A run on a tiny real encoder: sentences made here, a spec, and the command's own way of running it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_bert
import yaml


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture
def tuned(tmp_path: Path, tiny: Path) -> Callable[..., Path]:
    """`tuned(strategy="lora", ...)` runs a spec up to its training and gives the run folder."""

    def run(count: int = 120, *, to: str = "train", **settings: Any) -> Path:
        from burnish.core.pipeline import run as run_spec
        from burnish.core.progress import Silent
        from burnish.core.spec import load

        texts, targets = tiny_bert.sentences(count)
        rows = [{"text": text, "label": ("bad", "good")[target]} for text, target in zip(texts, targets, strict=True)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        spec = {
            "burnish": 1,
            "name": "tiny",
            "task": {"type": "classification", "labels": ["bad", "good"], "languages": ["en", "zh"]},
            "sources": [{"use": "jsonl", "path": "rows.jsonl"}],
            "split": {"use": "stratified", "test": 0.2, "validation": 0.2},
            "train": [{"use": "tune", "backbone": str(tiny), "epochs": 2, "precision": "fp32", **settings}],
        }
        if to == "evaluate":
            spec["evaluate"] = [{"use": "report"}]
        path = tmp_path / "burnish.yaml"
        path.write_text(yaml.safe_dump(spec), "utf-8")
        run_spec(load(path), to=to, progress=Silent())
        return tmp_path / "runs" / "tiny"

    return run
