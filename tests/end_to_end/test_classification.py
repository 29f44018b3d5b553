"""The whole path on real text with real weights: raw messages in, a judged and served model out, in both languages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
WON = "Congratulations! You have won a £1000 prize, call 09061701461 now to claim"
HOME = "ok, see you at home tonight"
pytestmark = [pytest.mark.weights, pytest.mark.slow]


def prepared(example: str, folder: Path) -> Path:
    """The example, its real data fetched, in a folder of its own."""
    for path in (ROOT / "examples" / example).iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "prepare.py"], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 500 real messages."""
    folder = prepared("sms", tmp_path_factory.mktemp("sms"))
    run(folder, "--limit", "500", "--set", "train.tune.epochs=2", "--set", "evaluate.gate.macro_f1=0.6")
    return folder / "runs" / "sms"


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "burnish.cli", "run", *more], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


def report(run_folder: Path) -> dict:
    return json.loads((run_folder / "evaluation" / "report.json").read_text("utf-8"))


def test_the_model_is_judged_on_labels_that_construction_never_saw(sms: Path) -> None:
    numbers = report(sms)
    assert {"n", "accuracy", "macro_f1", "micro_f1", "per_class", "confusion", "ece", "intervals"} <= numbers.keys()
    assert numbers["n"] == 1130
    assert numbers["accuracy"] > 0.93
    taught = set(pq.read_table(sms / "split" / "train.parquet")["text"].to_pylist())
    judged = set(pq.read_table(sms / "evaluation" / "predictions.parquet")["text"].to_pylist())
    assert not taught & judged


def test_the_run_folder_holds_what_the_contract_says(sms: Path) -> None:
    for name in (
        "burnish.yaml",
        "run.json",
        "construct/records.parquet",
        "construct/labellers.json",
        "quality/report.json",
        "quality/report.html",
        "quality/records.parquet",
        "split/train.parquet",
        "split/validation.parquet",
        "split/test.parquet",
        "model/model.safetensors",
        "model/burnish.json",
        "deploy/model.onnx",
        "deploy/report.json",
        "evaluation/report.html",
        "evaluation/predictions.parquet",
        "report.html",
    ):
        assert (sms / name).is_file(), name


def test_pages_load_nothing_from_outside(sms: Path) -> None:
    for page in (sms / "report.html", sms / "quality" / "report.html", sms / "evaluation" / "report.html"):
        text = page.read_text("utf-8")
        assert "<script src" not in text and "<link" not in text and "@import" not in text


def test_plain_transformers_loads_the_model_and_agrees(sms: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import burnish

    texts = ["Win a free prize, call now!", "ok see you at home tonight", "hey"]
    ours = burnish.load(sms / "model")
    model = AutoModelForSequenceClassification.from_pretrained(sms / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(sms / "model")
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    theirs = torch.softmax(logits / ours.info["temperature"], dim=1).numpy()
    np.testing.assert_allclose(ours.answers([{"text": one} for one in texts]).probabilities, theirs, atol=2e-3)
    assert [model.config.id2label[i] for i in range(2)] == ours.labels


def test_the_deployed_model_answers_like_the_tuned_one(sms: Path) -> None:
    import burnish

    texts = pq.read_table(sms / "split" / "test.parquet")["text"].to_pylist()
    tuned, deployed = burnish.load(sms / "model").predict(texts), burnish.load(sms).predict(texts)
    same = np.mean([a["label"] == b["label"] for a, b in zip(tuned, deployed, strict=True)])
    assert same >= 0.95
    assert json.loads((sms / "deploy" / "burnish.json").read_text())["accepted"] is True


def test_a_file_is_answered_line_by_line(sms: Path, tmp_path: Path, burnish) -> None:
    lines = [json.dumps({"text": WON, "id": 7}), "{broken", '{"text": ""}', json.dumps({"text": HOME})]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    done = burnish("predict", str(sms), "-i", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prediction"] is not None for row in rows] == [True, False, False, True]
    assert rows[0]["id"] == 7 and rows[0]["prediction"]["label"] == "spam" and rows[3]["prediction"]["label"] == "ham"
    assert "not JSON" in rows[1]["error"] and "empty" in rows[2]["error"]


def test_the_server_answers_and_stays_light(sms: Path, tmp_path: Path, burnish) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = burnish("serve", str(sms), "--port", str(port), cwd=tmp_path, wait=False)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, server.communicate()[1]
                time.sleep(0.05)
        body = json.dumps({"inputs": [WON, {"text": HOME}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.loads(response.read())
        assert [one["label"] for one in answer["predictions"]] == ["spam", "ham"]
        assert answer["model"] == "sms" and answer["version"]
        maps = Path(f"/proc/{server.pid}/maps").read_text()
        assert "libtorch" not in maps
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0


def test_lineage_leads_from_a_record_to_the_model_and_back(sms: Path, tmp_path: Path, burnish) -> None:
    record = pq.read_table(sms / "split" / "train.parquet")["id"].to_pylist()[0]
    told = burnish("lineage", record, "--run", str(sms), cwd=tmp_path).stdout
    assert "raw.jsonl:" in told and "side      train" in told and "taught" in told
    back = burnish("lineage", str(sms), cwd=tmp_path).stdout
    assert "train.tune" in back and "sources.jsonl" in back and "raw.jsonl" in back


def test_a_second_run_does_nothing(sms: Path) -> None:
    done = run(sms.parents[1], "--limit", "500", "--set", "train.tune.epochs=2", "--set", "evaluate.gate.macro_f1=0.6")
    assert "nothing to do" in done.stdout


def test_a_gate_that_does_not_hold_ends_with_3(sms: Path, burnish) -> None:
    arguments = ["--limit", "500", "--set", "train.tune.epochs=2", "--set", "evaluate.gate.macro_f1=0.999"]
    done = burnish("run", *arguments, "--set", "name=strict", cwd=sms.parents[1])
    assert done.returncode == 3, done.stderr
    assert "macro_f1" in done.stderr and "0.999" in done.stderr


def test_the_same_path_in_chinese(tmp_path: Path) -> None:
    folder = prepared("reviews-zh", tmp_path)
    settings = [
        "train.tune.epochs=1",
        "train.tune.max_length=64",
        "evaluate.gate.macro_f1=0.6",
        "quality.audit.effect=none",
    ]
    run(folder, "--limit", "300", *(part for one in settings for part in ("--set", one)))
    numbers = report(folder / "runs" / "reviews-zh")
    assert numbers["n"] == 1000 and numbers["macro_f1"] > 0.6
    assert set(numbers["per_class"]) == {"负面", "正面"}
