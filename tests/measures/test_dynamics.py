"""Records that are hard to learn, and what time does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from burnish.measures.dynamics import margin_threshold, training_dynamics
from burnish.measures.timeline import decline, equal_slices, permuted_shift


def clouds(count: int = 400, wrong: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    vectors = rng.normal(size=(count, 16)).astype(np.float32)
    vectors[:, 0] += np.where(labels == 1, 3, -3)
    turned = np.zeros(count, dtype=bool)
    turned[rng.choice(count, wrong, replace=False)] = True
    return vectors, np.where(turned, 1 - labels, labels), turned


def test_wrong_labels_are_not_believed_while_learning() -> None:
    vectors, labels, turned = clouds()
    found = training_dynamics(vectors, labels, 2, seed=0)
    assert found.confidence[turned].max() < 0.5 < np.median(found.confidence[~turned])
    assert found.correctness[turned].mean() < 0.05 and found.correctness[~turned].mean() > 0.95
    assert (found.other == 1 - labels).all()
    again = training_dynamics(vectors, labels, 2, seed=0)
    assert (again.margin == found.margin).all()


def test_areas_of_wrong_labels_lie_below_the_threshold_and_below_nought() -> None:
    vectors, labels, turned = clouds()
    area, limit = margin_threshold(vectors, labels, 2, seed=0)
    doubted = (area < limit) & (area < 0)
    assert doubted[turned].mean() > 0.9 and doubted[~turned].mean() < 0.15


def test_slices_of_time_are_equal_and_keep_equal_times_together() -> None:
    assert equal_slices([3, 1, 2, 4, np.nan], 2).tolist() == [1, 0, 0, 1, -1]
    assert equal_slices([5, 5, 5], 3).tolist() == [0, 0, 0]
    assert len(equal_slices([], 3)) == 0


def test_a_shift_is_told_from_chance() -> None:
    rng = np.random.default_rng(1)
    words = csr_array(rng.poisson(1, size=(200, 30)).astype(float))
    same = permuted_shift(words, np.arange(100), np.arange(100, 200), seed=0, draws=99)
    assert same.p_value > 0.05 and same.divergence < same.limit * 1.2
    moved = words.toarray()
    moved[100:, 0] += 5
    found = permuted_shift(csr_array(moved), np.arange(100), np.arange(100, 200), seed=0, draws=99)
    assert found.p_value == 0.01 and found.excess > 0.01
    apart = csr_array(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
    assert permuted_shift(apart, [0, 1], [2, 3], seed=0, draws=9).divergence == pytest.approx(1)


def test_a_decline_says_when_the_drop_is_reached() -> None:
    ages = np.array([0, 1, 2, 3.0])
    line = decline(ages, 0.9 - 0.04 * ages + np.zeros((5, 1)), drop=0.02, seed=0)
    assert line.slope == pytest.approx(-0.04) and line.start == pytest.approx(0.9) and line.due == pytest.approx(0.5)
    noisy = 0.9 - 0.04 * ages + np.random.default_rng(0).normal(0, 0.01, (8, 4))
    line = decline(ages, noisy, drop=0.02, seed=0)
    assert line.slope_low < -0.04 < line.slope_high < 0 and line.due_low < line.due < line.due_high
    assert decline(ages, np.full((3, 4), 0.8), drop=0.02, seed=0).due == np.inf
