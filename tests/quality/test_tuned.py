"""Effects by real tuning: a tiny encoder learns with the remedy and without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bert import make

from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality import tuned
from burnish.quality.audit import audit

from .conftest import reviews, turned


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder = make(tmp_path_factory.mktemp("tiny"))
    AutoTokenizer.from_pretrained(folder, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def small(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.nn.backbones.resolve", lambda *_, **__: tiny)
    for name, value in (
        ("RECORDS", 60),
        ("JUDGED", 30),
        ("REPEATS", 2),
        ("RANDOM", 8),
        ("DISTURBED", 16),
    ):
        monkeypatch.setattr(f"burnish.quality.tuned.{name}", value)


@pytest.mark.usefixtures("small")
def test_tuning_says_what_the_probe_says_of_in_figures_of_the_same_names(context: Context) -> None:
    wrong = np.random.default_rng(0).choice(200, 40, replace=False)
    rows = [replace(row, label=turned(row.label or "")) if at in wrong else row for at, row in enumerate(reviews(200))]
    made = audit(Records.from_rows(rows), context, checks=["label_errors", "exact_duplicates"], effect="tune")
    effect: dict[str, Any] = made.facts["audit"]["checks"]["label_errors"]["effect"]
    assert effect["by"] == "tune" and effect["predicted"]["by"] == "probe"
    assert {"accuracy", "log_loss", "ece", "as_labelled"} <= effect.keys()
    assert effect["remedy"] == effect["predicted"]["remedy"]
    assert effect["accuracy"]["low"] <= effect["accuracy"]["value"] <= effect["accuracy"]["high"]


@pytest.mark.usefixtures("small")
def test_redaction_takes_planted_secrets_out_of_the_training_side(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        replace(row, text=f"{row.text} mail a{at}.bee@example.com") if at % 4 == 0 else row
        for at, row in enumerate(reviews(120))
    ]
    taught: list[list[str]] = []
    learn = tuned.Laboratory.learn

    def seen(self: Any, table: Any, one: Any, repeat: int) -> Any:
        taught.append([text for text in table["text"].to_pylist() if "please call me back" in text])
        return learn(self, table, one, repeat)

    monkeypatch.setattr(tuned.Laboratory, "learn", seen)
    made = audit(Records.from_rows(rows), context, checks=["pii"], effect="tune")
    effect = made.facts["audit"]["checks"]["pii"]["effect"]
    assert -3 <= effect["privacy"]["value"] <= 3  # log2 of 8 possible secrets
    plain, cured = taught[0], taught[1]
    assert len(plain) == tuned.CANARIES * tuned.COPIES and all("13" in text for text in plain)
    assert not any("13" in text for text in cured)


@pytest.mark.usefixtures("small")
def test_tagging_is_measured_by_the_real_thing(context: Context) -> None:
    rows = []
    for at, row in enumerate(reviews(120)):
        start = (row.text or "").index(" in ") + 4
        end = (row.text or "").index(" ", start)
        rows.append(replace(row, label=None, spans=[{"start": start, "end": end, "label": "PLACE"}], id=f"t{at}"))
    rows += [replace(row, id=f"{row.id}x") for row in rows[:20]]
    spec = TaskSpec("tagging", ("PLACE",), languages=("en",))
    made = audit(Records.from_rows(rows), replace(context, task=spec), checks=["exact_duplicates"], effect="tune")
    effect = made.facts["audit"]["checks"]["exact_duplicates"]["effect"]
    assert effect["by"] == "tune" and effect["figure"] in effect and effect["removed"] == 20


def test_models_that_write_are_left_out(context: Context, bag_of_words: None) -> None:
    rows = [Record(text=f"text {at % 30}", id=str(at), output="so") for at in range(80)]
    spec = TaskSpec("summarization", languages=("en",))
    made = audit(Records.from_rows(rows), replace(context, task=spec), checks=["exact_duplicates"], effect="tune")
    assert made.facts["audit"]["checks"]["exact_duplicates"]["effect"] is None
    assert "is a text" in made.facts["audit"]["no_probe"]
