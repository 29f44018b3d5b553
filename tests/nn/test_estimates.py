"""What `burnish plan` says of memory and time, beside what real runs took (docs/en/distributed.md has the commands)."""

from __future__ import annotations

import json

import pytest
import tiny_bert

from burnish.core.stage import TaskSpec, find
from burnish.core.tasktypes import open_task
from burnish.nn import estimates
from burnish.nn.estimates import Pace, for_tune, tuning
from burnish.nn.outlines import Network, network_of, outline

MINILM = Network(weights=22_713_728, table=30_522 * 384, hidden=384, layers=6, inner=1536, heads=12)
SETTINGS = {"max_length": "auto", "precision": "bf16", "activation_checkpointing": False}
FIGURES = {"bf16_gflops": 1214.0, "fp32_gflops": 54.0}


def estimate(records, tokens, *, batch_tokens=2048, figures=FIGURES, **more):
    pace, settings = Pace(1, batch_tokens), {**SETTINGS, **more}
    return tuning(MINILM, pace, records=records, tokens=tokens, settings=settings, figures=figures, otherwise=9000.0)


@pytest.mark.parametrize(
    ("records", "tokens", "settings", "measured_mib"),
    [
        (1600, 37_066, {}, 1460),
        (128, 32_256, {"batch_tokens": 32_768}, 9353),
        (128, 32_256, {"batch_tokens": 32_768, "activation_checkpointing": True}, 4265),
    ],
)
def test_memory_is_within_three_tenths_of_what_was_measured(records, tokens, settings, measured_mib):
    assert estimate(records, tokens, **settings).bytes / 2**20 == pytest.approx(measured_mib, rel=0.3)


def test_time_goes_with_weights_tokens_and_the_speed_of_the_machine():
    one, more = estimate(1600, 40_000), estimate(1600, 80_000)
    assert (more.seconds - estimates.LOADING_S) == pytest.approx(2 * (one.seconds - estimates.LOADING_S), rel=0.05)
    assert one.seconds < estimate(1600, 40_000, precision="fp32").seconds
    twice = estimate(1600, 40_000, activation_checkpointing=True)
    assert one.seconds < twice.seconds < 1.4 * one.seconds
    unknown = estimate(1600, 40_000, figures={})
    assert "measured here" in one.basis and "two cores" in unknown.basis


def settings_of(**more):
    return find("train", "tune").filled(more)


def test_a_network_is_built_without_its_weights_and_what_is_unknown_is_not_guessed(tmp_path):
    from burnish.nn import models

    folder = tiny_bert.make(tmp_path / "tiny")
    task = TaskSpec(labels=("bad", "good"))
    model = outline(open_task(task), str(folder))
    assert {weight.device.type for weight in model.encoder.parameters()} == {"meta"}
    found = network_of(model)
    built = models.build(folder, open_task(task).head(), seed=0)
    weights = sum(weight.numel() for weight in built.parameters())
    tables = (5000 + 64 + 2) * 32  # words, places, the two sides of a pair
    assert found == Network(weights, tables, 32, 2, 64, 2)
    there = for_tune(100, 3000, settings_of(backbone=str(folder)), task, otherwise=9000.0)
    assert there.bytes > estimates.LIBRARIES and there.pace.steps == 40
    assert for_tune(100, 3000, settings_of(backbone="fresh"), task, otherwise=9000.0) is None
    (folder / "config.json").write_text(json.dumps({"model_type": "nobody knows"}), "utf-8")
    assert outline(open_task(task), str(folder)) is None
