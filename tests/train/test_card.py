"""The model card says what the run measured, in the head that hubs read and in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from burnish import card

Tuned = Callable[..., Path]


def test_the_card_of_a_judged_run(tuned: Tuned) -> None:
    run = tuned(to="evaluate")
    path = card.write(run)
    assert path == run / "model_card.md"
    said = path.read_text("utf-8")
    _, head, body = said.split("---\n", 2)
    told, judged = yaml.safe_load(head), json.loads((run / "evaluation" / "report.json").read_text("utf-8"))
    assert told["pipeline_tag"] == "text-classification" and told["language"] == ["en", "zh"]
    metrics = {one["type"]: one["value"] for one in told["model-index"][0]["results"][0]["metrics"]}
    assert metrics[judged["figure"]] == round(judged[judged["figure"]], 4)
    assert judged["verdict"] in body and f"{judged['accuracy']:.3f}" in body
    assert "bad (" in body and "good (" in body, "how many records of each label it learnt from"
    model = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    assert f"{model['parameters_learnt']:,} of {model['parameters']:,}" in body


def test_a_run_that_was_not_judged_claims_nothing(tuned: Tuned) -> None:
    run = tuned()
    path = card.write(run)
    assert path and "Not evaluated" in path.read_text("utf-8") and "model-index" not in path.read_text("utf-8")


def test_no_model_no_card(tuned: Tuned) -> None:
    run = tuned(to="split")
    assert card.write(run) is None and not (run / "model_card.md").exists()
