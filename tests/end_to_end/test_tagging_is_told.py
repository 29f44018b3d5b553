"""A tagging run, from `burnish init` on: its plan, its pages and the story of a record are told as for any other task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tiny_bert

ROOT = Path(__file__).parents[2]
PLACES = (("the film was", "awful B-PER"), ("a very lovely", "clever B-MISC"), ("and the staff", ""))


def told(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", *words],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "src"), "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_tagging_run_is_told_like_any_other(tmp_path: Path) -> None:
    tiny_bert.make(tmp_path / "tiny")
    lines = []
    for at in range(60):
        words, name = PLACES[at % 3]
        lines += [*(f"{word} O" for word in words.split()), *([name] if name else []), f"{at * 7919} O", ""]
    (tmp_path / "raw.conll").write_text("\n".join(lines), "utf-8")
    told(tmp_path, "init", "raw.conll", "-y")
    spec = tmp_path / "burnish.yaml"
    text = spec.read_text("utf-8").replace(
        "backbone: auto, epochs: auto", "backbone: ./tiny, epochs: 1, precision: fp32"
    )
    text = text.replace("learning_rate: auto", "learning_rate: 0.003, max_length: 16").replace("0.1", "0.2")
    text = text.replace("use: audit, checks: all", "use: audit, near: 1.0").replace(
        "{use: curate, actions: auto}", "{use: curate, actions: report}"
    )
    text = text.replace("near-duplicates stay on one side", "").replace(
        "{use: stratified,", "{use: stratified, near_duplicates: 1.0, templates: false,"
    )
    spec.write_text("\n".join(line for line in text.splitlines() if not line.startswith("compress")) + "\n", "utf-8")
    assert "sources.conll" in told(tmp_path, "plan") and "train.tune" in told(tmp_path, "check") + told(tmp_path, "why")
    told(tmp_path, "run")
    run = tmp_path / "runs" / "raw"
    page = (run / "report.html").read_text("utf-8")
    for chapter in ("What came in", "What the audit found", "Who teaches and who judges", "Training", "Evaluation"):
        assert chapter in page
    assert "raw" in told(tmp_path, "runs") and "0 to do" in told(tmp_path, "plan")
    rows = pq.read_table(run / "split" / "test.parquet").to_pylist()
    marked = next(row for row in rows if row["spans"])
    story = told(tmp_path, "lineage", marked["id"])
    assert marked["spans"][0]["label"] in story and "side      test" in story and "judged" in story
    bare = next(row for row in [*rows, *pq.read_table(run / "split" / "train.parquet").to_pylist()] if not row["spans"])
    assert "target    nothing" in told(tmp_path, "lineage", bare["id"])
    facts = json.loads(sorted((run / "split").glob("*.json"))[-1].read_text("utf-8"))
    assert facts["strata"]["by"] == "rarest entity type" and set(facts["strata"]["shares"]) == {"MISC", "PER", "none"}
