"""The probe beside scikit-learn, and what cross-validation must not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.nn.probe import Probe, assign_folds, fit_temperature, judgeable, out_of_sample


def blobs(n: int, classes: int, *, d: int = 24, noise: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    target = random.integers(0, classes, n)
    centres = np.random.default_rng(99).normal(size=(classes, d))
    return (centres[target] + noise * random.normal(size=(n, d))).astype(np.float32), target


def test_equals_logistic_regression_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    vectors, targets = blobs(600, 4)
    weights = np.random.default_rng(1).uniform(0.2, 2, len(targets))
    mean = np.average(vectors, axis=0, weights=weights)
    scale = np.sqrt(np.average((vectors - mean) ** 2, axis=0, weights=weights))
    theirs = LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-8, max_iter=2000).fit(
        (vectors - mean) / scale, targets, sample_weight=weights
    )
    ours = Probe(4, seed=0, l2=0.01).fit(vectors, targets, weights=weights)
    assert np.abs(ours.probabilities(vectors) - theirs.predict_proba((vectors - mean) / scale)).max() < 5e-3


def test_soft_targets_equal_weighted_copies() -> None:
    vectors, targets = blobs(200, 2)
    soft = np.where(targets[:, None] == np.arange(2), 0.8, 0.2)
    doubled = np.concatenate([vectors, vectors])
    both = np.concatenate([np.zeros(200, int), np.ones(200, int)])
    copies = Probe(2, seed=0, l2=0.01).fit(doubled, both, weights=np.concatenate([soft[:, 0], soft[:, 1]]))
    assert np.allclose(
        Probe(2, seed=0, l2=0.01).fit(vectors, soft).probabilities(vectors), copies.probabilities(vectors), atol=2e-3
    )


def test_auto_penalty_is_near_the_best_of_the_grid() -> None:
    vectors, targets = blobs(160, 3, d=60, noise=4)
    fresh, truth = blobs(4000, 3, d=60, noise=4, seed=5)

    def loss(l2: float | str) -> float:
        made = Probe(3, seed=0, l2=l2).fit(vectors, targets).probabilities(fresh)  # type: ignore[arg-type]
        return float(-np.log(made[np.arange(len(truth)), truth]).mean())

    assert loss("auto") <= min(loss(l2) for l2 in (1.0, 0.1, 0.01, 1e-3, 1e-4)) * 1.1
    assert loss(1e-4) > loss("auto") * 1.5  # the choice matters here


def test_same_input_same_output() -> None:
    vectors, targets = blobs(300, 3)
    one, two = (out_of_sample(vectors, targets, num_classes=3, seed=7) for _ in range(2))
    assert (one == two).all()


def test_out_of_sample_does_not_know_random_labels() -> None:
    vectors, _ = blobs(400, 2, d=100)
    coin = np.random.default_rng(3).integers(0, 2, 400)
    inside = Probe(2, seed=0, l2=1e-4).fit(vectors, coin).probabilities(vectors).argmax(1)
    outside = out_of_sample(vectors, coin, num_classes=2, seed=0, l2=1e-4).argmax(1)
    assert (inside == coin).mean() > 0.7 and abs((outside == coin).mean() - 0.5) < 0.1


def test_groups_are_held_out_whole() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    vectors = random.normal(size=(40, 30)).astype(np.float32)[groups] + 0.01 * random.normal(size=(400, 30)).astype(
        "f4"
    )
    coin = random.integers(0, 2, 40)[groups]  # one random label a group: only a leak can guess it
    leaking = out_of_sample(vectors, coin, num_classes=2, seed=0).argmax(1)
    whole = out_of_sample(vectors, coin, num_classes=2, seed=0, groups=groups).argmax(1)
    assert (leaking == coin).mean() > 0.95 and (whole == coin).mean() < 0.75


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=80),
    st.integers(2, 6),
    st.booleans(),
)
def test_folds_are_even_and_groups_whole(rows: list[tuple[int, int]], folds: int, grouped: bool) -> None:
    classes, groups = (np.array(column) for column in zip(*rows, strict=True))
    fold = assign_folds(classes, folds=folds, groups=groups if grouped else None, seed=1)
    assert fold.min() >= 0 and fold.max() < folds
    if grouped:
        assert all(len(set(fold[groups == one])) == 1 for one in groups)
    else:
        for label in set(classes):
            counts = np.bincount(fold[classes == label], minlength=folds)
            assert counts.max() - counts.min() <= 1


def test_a_class_of_one_is_neither_an_error_nor_judged() -> None:
    vectors, targets = blobs(60, 2)
    targets[0] = 2
    held = out_of_sample(vectors, targets, num_classes=4, seed=0)
    assert held.shape == (60, 4) and np.allclose(held.sum(1), 1, atol=1e-5) and (held > 0).all()
    assert judgeable(targets, num_classes=4).sum() == 59 and not judgeable(targets, num_classes=4)[0]


def test_two_records_are_enough_and_one_is_said() -> None:
    assert out_of_sample(np.eye(2, dtype="f4"), np.array([0, 1]), num_classes=2, seed=0).shape == (2, 2)
    with pytest.raises(ValueError, match="at least 2 records, got 1"):
        out_of_sample(np.eye(1, dtype="f4"), np.array([0]), num_classes=2, seed=0)


def test_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(8000, 3)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (chances.cumsum(1) > random.uniform(size=(8000, 1))).argmax(1)
    assert abs(fit_temperature(logits * 3, drawn) - 3) < 0.2


def test_wrong_targets_are_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        Probe(2, seed=0).fit(np.eye(2), np.array([0, 2]))
    with pytest.raises(ValueError, match="3 columns, not 2"):
        Probe(2, seed=0).fit(np.eye(2), np.ones((2, 3)))
    with pytest.raises(ValueError, match="fit the probe"):
        Probe(2, seed=0).probabilities(np.eye(2))
