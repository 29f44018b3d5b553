"""Gold that may be trained on comes last, and counts in the shares of the training side."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import tiny_bert

from burnish.core.artifacts import Gold, Records, Split
from burnish.core.records import Record, to_table
from burnish.core.stage import TaskSpec
from burnish.tasks import predictor
from burnish.testing import sample_context
from burnish.train.tune import tune

TASK = TaskSpec("classification", ("negative", "positive"), {}, ("en",))
QUICK = {"epochs": 2, "learning_rate": 3e-3, "batch_tokens": 512, "precision": "fp32", "patience": 0}
OTHERS = ["the", "film", "room", "was", "and", "staff", "very", "a", "day"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make(tmp_path_factory.mktemp("tiny"))


def noise(draw: random.Random, at: int, label: str, name: str) -> Record:
    """A text that says nothing about its label."""
    return Record(text=" ".join(draw.choices(OTHERS, k=8)), id=f"{name}{at}", label=label)


def test_gold_drawn_class_by_class_does_not_move_what_is_common(backbone: Path, tmp_path: Path) -> None:
    """Nine in ten are negative; gold has as many of both. Texts tell nothing, so that a model should say nine in ten."""
    draw = random.Random(0)
    rows = [noise(draw, at, "positive" if at % 10 == 0 else "negative", "t") for at in range(300)]
    sides = [to_table(rows[:240]), to_table(rows[240:]), to_table([])]
    split = Split(*map(Records.from_table, sides))
    gold = Gold.from_rows(noise(draw, at, TASK.labels[at % 2], "g") for at in range(60))
    assert isinstance(gold, Gold)
    gold.facts = {"train": True}
    model = tune(split, gold, sample_context(tmp_path, TASK), backbone=str(backbone), gold_epochs=12, **QUICK)
    assert model.info["data"]["gold"] == 60 and len(model.info["history"]["gold_last"]["epochs"]) == 12
    model.save(model.folder)
    answers = predictor.load(model.folder).predict([row.text for row in rows[:60]])
    assert np.mean([answer["scores"]["positive"] for answer in answers]) < 0.3
