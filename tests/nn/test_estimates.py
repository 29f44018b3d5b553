"""What `burnish plan` says of memory and time, beside what real runs took (docs/en/distributed.md has the commands)."""

from __future__ import annotations

import json

import pytest
import tiny_bert

from burnish.core.stage import TaskSpec
from burnish.nn import estimates
from burnish.nn.estimates import Network, for_tune, network_of, tuning

MINILM = Network(weights=22_713_728, table=30_522 * 384, hidden=384, layers=6, inner=1536, heads=12)
SETTINGS = {
    "backbone": "minilm", "epochs": 1, "batch_tokens": 2048, "max_length": "auto", "precision": "bf16",
    "activation_checkpointing": False,
}  # fmt: skip
FIGURES = {"bf16_gflops": 1214.0, "fp32_gflops": 54.0}


def estimate(records, tokens, **more):
    return tuning(
        MINILM, records=records, tokens=tokens, settings={**SETTINGS, **more}, figures=FIGURES, otherwise=9000.0
    )


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
    unknown = tuning(MINILM, records=1600, tokens=40_000, settings=SETTINGS, figures={}, otherwise=9000.0)
    assert "measured here" in one.basis and "two cores" in unknown.basis


def test_a_network_is_read_from_its_files_and_what_is_unknown_is_not_guessed(tmp_path):
    from transformers import AutoModel

    folder = tiny_bert.make(tmp_path / "tiny")
    found = network_of(folder)
    weights = sum(p.numel() for p in AutoModel.from_pretrained(folder).parameters())
    assert found == Network(weights, 5000 * 32, 32, 2, 64, 2)
    task = TaskSpec()
    assert (
        for_tune(100, 3000, {**SETTINGS, "backbone": str(folder)}, task, otherwise=9000.0).bytes > estimates.LIBRARIES
    )
    assert for_tune(100, 3000, {**SETTINGS, "backbone": "fresh"}, task, otherwise=9000.0) is None
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}), "utf-8")
    assert network_of(folder) is None
