"""Tagging by its spec: columns in, a judged and deployed tagger out, that reads texts longer than its windows."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bert

import burnish

ROOT = Path(__file__).parents[2]
SPEC = """
burnish: 1
name: names
task: {type: tagging, labels: [MISC, PER], languages: [en]MORE}
sources:
  - {use: conll, path: raw.conll}
split: {use: stratified, test: 0.2, validation: 0.2}
train:
  - {use: tune, backbone: ./tiny, epochs: 15, learning_rate: 0.003, max_length: 16, precision: fp32}
compress: {use: onnx}
evaluate:
  - {use: report}
"""


def columns(count: int) -> str:
    """Sentences as columns: "clever lovely" is a MISC, "awful" a PER; every eighth has neither."""
    draw, lines = random.Random(0), []
    for at in range(count):
        words = [(word, "O") for word in draw.choices(tiny_bert.OTHERS[:9], k=draw.randint(3, 12))]
        if at % 8:
            name = [("awful", "B-PER")] if at % 2 else [("clever", "B-MISC"), ("lovely", "I-MISC")]
            where = draw.randrange(len(words) + 1)
            words[where:where] = name
        lines += [f"{word} {tag}" for word, tag in [*words, (str(at), "O")]]
        lines.append("")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", ", nested: true", ", scheme: BIOES, decoding: crf"])
def test_a_spec_becomes_a_tagger(tmp_path: Path, more: str) -> None:
    tiny_bert.make(tmp_path / "tiny")
    (tmp_path / "raw.conll").write_text(columns(300), "utf-8")
    (tmp_path / "burnish.yaml").write_text(SPEC.replace("MORE", more), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", "run"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "names"
    numbers = json.loads((run / "evaluation" / "report.json").read_text("utf-8"))
    assert numbers["entity_f1"] > 0.9 and numbers["intervals"]["entity_f1"][1] > 0.9
    assert numbers["tokens"]["all_o"] < numbers["token_micro_f1"]
    assert [one["name"] for one in numbers["baselines"]] == ["nothing marked (all O)", "names of the training side"]
    assert numbers["baselines"][0]["entity_f1"] == 0.0
    deployed = json.loads((run / "deploy" / "report.json").read_text("utf-8"))
    assert deployed["accepted"] and deployed["agreement"] > 0.99
    text = " ".join(["the film was a clever lovely day and the staff"] * 12)
    answers = [burnish.load(run / name).predict([text, "the room"]) for name in ("deploy", "model")]
    wanted = [(at, "MISC") for at in range(len(text)) if text.startswith("clever", at)]
    for answer in answers:
        assert [(one["start"], one["label"]) for one in answer[0]["spans"]] == wanted
    assert all(answer[1] == {"spans": []} for answer in answers)
