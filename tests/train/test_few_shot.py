"""Few labels, or none, from the spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import burnish
from burnish.core.errors import BurnishError

Tuned = Callable[..., Path]


def test_contrastive_from_the_spec(tuned: Tuned) -> None:
    run = tuned(60, to="evaluate", strategy={"use": "contrastive", "steps": 40, "learning_rate": 0.003})
    card = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    assert card["strategy"] == {"use": "contrastive", "steps": 40, "learning_rate": 0.003}
    assert len(card["history"]["tune"]["losses"]) == 40
    assert card["history"]["tune"]["epochs"][0]["validation_score"] > 0.7
    assert burnish.load(run).predict(["lovely warm film"])[0]["label"] == "good"


def test_contrastive_stands_alone(tuned: Tuned) -> None:
    with pytest.raises(BurnishError, match="do not go together"):
        tuned(strategy=["contrastive", "gradual"])


def test_none_leaves_every_weight(tuned: Tuned, tiny: Path) -> None:
    from safetensors.torch import load_file

    run = tuned(strategy="none")
    kept, first = load_file(run / "model" / "model.safetensors"), load_file(tiny / "model.safetensors")
    assert all(kept[f"bert.{name}"].equal(value) for name, value in first.items() if not name.startswith("pooler"))
    card = json.loads((run / "model" / "burnish.json").read_text("utf-8"))
    assert card["parameters_learnt"] == 0 and card["history"]["tune"]["losses"] == []
