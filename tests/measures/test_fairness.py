"""Fairness by group: the same numbers as fairlearn, known answers by hand, intervals that hold the value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.measures.fairness import cells, gaps, judge, rates


def figures(groups: np.ndarray, targets: np.ndarray, answers: np.ndarray, count: int) -> dict[str, float]:
    return {
        name: float(one) for name, one in gaps(rates(cells(groups, targets, answers, count=count, label=1))).items()
    }


def test_by_hand() -> None:
    groups = np.array([0] * 4 + [1] * 4)
    targets = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    answers = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    found = figures(groups, targets, answers, 2)
    assert found["demographic_parity_difference"] == 0.5 and found["demographic_parity_ratio"] == pytest.approx(1 / 3)
    assert found["equal_opportunity_difference"] == 0.5 and found["equalized_odds_difference"] == 0.5
    assert found["equalized_odds_ratio"] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_the_same_as_fairlearn(seed: int, count: int) -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    draw = np.random.default_rng(seed)
    n = int(draw.integers(40, 120))
    groups = np.concatenate([np.repeat(np.arange(count), 2), draw.integers(0, count, n)])
    targets = np.concatenate(
        [np.tile([0, 1], count), draw.integers(0, 2, n)]
    )  # each group has both, so every rate is defined
    answers = draw.integers(0, 2, len(targets))
    found = figures(groups, targets, answers, count)
    for name, value in found.items():
        theirs = getattr(fairlearn, name)(targets, answers, sensitive_features=groups)
        assert value == pytest.approx(theirs, abs=1e-12, nan_ok=True), name


def test_intervals_hold_the_value_and_chance_is_told_apart() -> None:
    draw = np.random.default_rng(1)
    groups, targets = draw.integers(0, 3, 900), draw.integers(0, 2, 900)
    fair = np.where(draw.random(900) < 0.8, targets, 1 - targets)
    unfair = np.where((groups == 2) & (draw.random(900) < 0.5), 0, fair)
    for answers, more in ((fair, False), (unfair, True)):
        one = judge(groups, targets, answers, names=["a", "b", "c"], label=1, seed=0)["figures"][
            "equalized_odds_difference"
        ]
        assert one["interval"][0] <= one["value"] <= one["interval"][1] + 1e-9
        assert (one["value"] > one["by_chance"]) is more
