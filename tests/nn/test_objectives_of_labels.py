"""Losses of numbers, label sets, orders and trees, against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special

from burnish.nn.batches import Batch
from burnish.nn.objectives import BinaryCrossEntropy, ContinuationRatio, SquaredError, SubsetCrossEntropy

OUTPUTS = np.random.default_rng(0).normal(0, 2, (5, 4)).astype(np.float32)


def loss_of(objective, outputs, targets) -> np.ndarray:
    nothing = torch.zeros(len(outputs), 1, dtype=torch.long)
    batch = Batch(np.arange(len(outputs)), nothing, nothing, None, True, targets=torch.from_numpy(targets))
    given = torch.from_numpy(outputs).requires_grad_()
    made = objective.loss(given, batch, None)
    made.sum().backward()
    assert torch.isfinite(given.grad).all()
    return made.detach().numpy()


def test_numbers_and_label_sets() -> None:
    targets = np.random.default_rng(1).random((5, 4)).astype(np.float32)
    np.testing.assert_allclose(loss_of(SquaredError(), OUTPUTS, targets), ((OUTPUTS - targets) ** 2).mean(1), rtol=1e-5)
    p = special.expit(OUTPUTS.astype(np.float64))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    np.testing.assert_allclose(loss_of(BinaryCrossEntropy(), OUTPUTS, targets), expected.mean(1), rtol=1e-4)
    weights = np.array([1, 0, 2, 0], np.float32)
    np.testing.assert_allclose(
        loss_of(BinaryCrossEntropy(weights), OUTPUTS, targets), (expected * weights).mean(1), rtol=1e-4
    )


def test_the_ordinal_loss_is_the_cross_entropy_of_the_probabilities_that_are_answered() -> None:
    from burnish.tasks._ordinal import shares

    targets = np.random.default_rng(2).dirichlet(np.ones(5), 5).astype(np.float32)
    p = shares(OUTPUTS.astype(np.float64))
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(shares(np.zeros((1, 4))), 0.2)
    above = 1 - p.cumsum(1)
    assert (np.diff(above, axis=1) <= 1e-12).all(), "ranks are consistent whatever the outputs"
    np.testing.assert_allclose(loss_of(ContinuationRatio(), OUTPUTS, targets), -(targets * np.log(p)).sum(1), rtol=1e-4)


def test_a_set_of_classes_costs_the_log_of_its_share() -> None:
    targets = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0.5, 0.5, 0, 0], [1, 1, 1, 1]], np.float32)
    p = special.softmax(OUTPUTS.astype(np.float64), axis=1)
    expected = [-np.log(p[0, 0]), -np.log(p[1, :2].sum()), -np.log(p[2, 1:].sum()), -0.5 * np.log(p[3, :2]).sum(), 0.0]
    assert loss_of(SubsetCrossEntropy(), OUTPUTS, targets) == pytest.approx(expected, rel=1e-4, abs=1e-6)
