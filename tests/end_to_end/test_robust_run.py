"""Losses and regularisers from a spec: what does not fit is said by `check`, what fits is in the model's card."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bert

ROOT = Path(__file__).parents[2]
SPEC = """
burnish: 1
name: robust
task: {type: classification, labels: [bad, good], languages: [en]}
sources: {use: jsonl, path: records.jsonl}
split: {use: stratified, test: 0.2, validation: 0.2, near_duplicates: 1.0, templates: false}
train:
  - use: tune
    backbone: ./tiny
    epochs: 2
    learning_rate: 0.003
    precision: fp32
    loss: {use: elr, strength: 2.0}
    regularise: [fgm, {use: ema, decay: 0.9}, average]
"""


def burnish(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "burnish.cli", *words],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "src"), "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_with_a_loss_and_three_regularisers(tmp_path: Path) -> None:
    tiny_bert.make(tmp_path / "tiny")
    texts, targets = tiny_bert.sentences(80)
    lines = [{"text": text, "label": ("bad", "good")[target]} for text, target in zip(texts, targets, strict=True)]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    spec = tmp_path / "burnish.yaml"
    spec.write_text(SPEC.replace("[fgm,", "[r_drop, fgm,"), "utf-8")
    wrong = burnish(tmp_path, "check")
    assert wrong.returncode == 2 and "name fgm before r_drop" in wrong.stderr + wrong.stdout
    spec.write_text(SPEC, "utf-8")
    done = burnish(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "runs" / "robust" / "model" / "burnish.json").read_text("utf-8"))
    assert card["loss"] == {"use": "elr", "strength": 2.0}
    assert card["regularise"] == ["fgm", {"use": "ema", "decay": 0.9}, "average"]
    assert "mean of 2 epochs" in card["history"]["tune"]["reasons"]["average"]
