"""Relations behind a tagger that was trained by a spec of its own: end to end, from files to a model that stands alone."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bert

import burnish

ROOT = Path(__file__).parents[2]
TAGGER = """
burnish: 1
name: names
task: {type: tagging, labels: [thing], languages: [en]}
sources: {use: jsonl, path: names.jsonl}
split: {use: stratified, test: 0, validation: 0.2}
train: {use: tune, backbone: ./tiny, epochs: EPOCHS, learning_rate: 0.003, precision: fp32}
"""
RELATIONS = """
burnish: 1
name: pairs
task: {type: relation_extraction, labels: [likes], languages: [en], tagger: runs/names}
sources: {use: jsonl, path: pairs.jsonl}
split: {use: stratified, test: 0.2, validation: 0.2}
train: {use: tune, backbone: ./tiny, epochs: 12, learning_rate: 0.003, precision: fp32}
evaluate: {use: report}
"""


def sentence(draw: random.Random, at: int) -> dict:
    """Two things, "clever" and "awful"; the first likes the second where "film" stands between them."""
    words = draw.choices([word for word in tiny_bert.OTHERS[:9] if word != "film"], k=3)
    middle = ["film", words[0]] if at % 2 else words[:2]
    text = " ".join([words[2], "clever", *middle, "awful", str(at)])
    spans = [{"start": (a := text.index(word)), "end": a + len(word), "label": "thing"} for word in ("clever", "awful")]
    return {"text": text, "spans": spans, "relations": [{"head": 0, "tail": 1, "label": "likes"}] if at % 2 else []}


def burn(folder: Path, spec: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", "run", spec],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "src"), "HOME": str(folder), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def written(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.mark.slow
def test_relations_are_judged_end_to_end_and_follow_their_tagger(tmp_path: Path) -> None:
    tiny_bert.make(tmp_path / "tiny")
    draw = random.Random(0)
    rows = [sentence(draw, at) for at in range(240)]
    written(tmp_path / "names.jsonl", [{key: row[key] for key in ("text", "spans")} for row in rows[:160]])
    written(tmp_path / "pairs.jsonl", rows)
    (tmp_path / "names.yaml").write_text(TAGGER.replace("EPOCHS", "12"), "utf-8")
    (tmp_path / "pairs.yaml").write_text(RELATIONS, "utf-8")
    burn(tmp_path, "names.yaml")
    burn(tmp_path, "pairs.yaml")
    run = tmp_path / "runs" / "pairs"
    numbers = json.loads((run / "evaluation" / "report.json").read_text("utf-8"))
    assert numbers["triple_f1"] > 0.9, "spans found by the tagger, relations by the model"
    key = json.loads((run / "run.json").read_text("utf-8"))["steps"]

    (tmp_path / "names.yaml").write_text(TAGGER.replace("EPOCHS", "13"), "utf-8")
    burn(tmp_path, "names.yaml")
    burn(tmp_path, "pairs.yaml")
    again = json.loads((run / "run.json").read_text("utf-8"))["steps"]
    same = {one["room"] for one, other in zip(key, again, strict=True) if one["key"] == other["key"]}
    assert "split" in same and not same & {"train", "evaluate"}

    shutil.copytree(run / "model", tmp_path / "alone")
    shutil.rmtree(tmp_path / "runs")
    text = rows[1]["text"]
    (answer,) = burnish.load(tmp_path / "alone").predict([text])
    assert [(one["head_text"], one["label"], one["tail_text"]) for one in answer["relations"]] == [
        ("clever", "likes", "awful")
    ]
