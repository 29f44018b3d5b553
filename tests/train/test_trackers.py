"""Figures of a training run arrive where the spec sends them, and change nothing of what is learnt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Tuned = Callable[..., Path]


def test_lines_hold_every_step_and_every_look(tuned: Tuned) -> None:
    run = tuned(track={"use": "jsonl", "path": "curves/{name}.jsonl"})
    (path,) = (run.parents[1] / "curves").glob("tiny-*.jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    steps = [row for row in rows if "rate" in row]
    history = json.loads((run / "model" / "burnish.json").read_text("utf-8"))["history"]["tune"]
    assert [row["loss"] for row in steps] == history["losses"]
    assert [row["rate"] for row in steps] == history["rates"]
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert {"gradient", "tokens_per_s", "padding", "memory_mb"} <= set(steps[0])
    assert [row["accuracy"] for row in rows if "accuracy" in row] == [e["validation_score"] for e in history["epochs"]]


def test_tracking_is_in_no_key(tuned: Tuned) -> None:
    def version(**settings: object) -> str:
        return str(json.loads((tuned(**settings) / "model" / "burnish.json").read_text("utf-8"))["version"])

    first = version()
    assert version(track="jsonl") == first, "the same step was made anew"
    assert version(track="jsonl", weight_decay=0.5) != first


def test_tensorboard_reads_the_curve(tuned: Tuned) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tuned(track={"use": "tensorboard", "folder": "tb"})
    (folder,) = (run.parents[1] / "tb").iterdir()
    read = events.EventAccumulator(str(folder)).Reload()
    history = json.loads((run / "model" / "burnish.json").read_text("utf-8"))["history"]["tune"]
    assert [one.value for one in read.Scalars("training/loss")] == pytest.approx(history["losses"], rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_settings_and_curve(tuned: Tuned) -> None:
    mlflow = pytest.importorskip("mlflow")
    run = tuned(track={"use": "mlflow", "every": 1})
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run.parents[1] / 'runs' / 'mlflow.db'}")
    (kept,) = client.search_runs([client.get_experiment_by_name("burnish").experiment_id])
    history = json.loads((run / "model" / "burnish.json").read_text("utf-8"))["history"]["tune"]
    assert kept.data.params["weight_decay"] == "0.01" and kept.info.status == "FINISHED"
    assert [one.value for one in client.get_metric_history(kept.info.run_id, "loss")] == history["losses"]


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline(tuned: Tuned) -> None:
    pytest.importorskip("wandb")
    run = tuned(track={"use": "wandb", "mode": "offline", "every": 1})
    (log,) = (run.parents[1] / "runs" / "wandb").glob("offline-run-*/*.wandb")
    assert log.stat().st_size > 1000


def test_a_failed_run_closes_its_trackers(tuned: Tuned) -> None:
    with pytest.raises(Exception, match="training loss is"):
        tuned(track="jsonl", learning_rate=1e30, max_grad_norm=0)
