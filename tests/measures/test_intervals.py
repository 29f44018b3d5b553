import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from burnish.measures.intervals import bootstrap, bootstrap_indices, clopper_pearson, mcnemar, paired_bootstrap, wilson
from burnish.measures.scores import accuracy, confusion, macro_f1


def example(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, count)
    return targets, np.where(rng.random(count) < 0.8, targets, rng.integers(0, 3, count))


@given(st.integers(0, 60), st.integers(1, 60))
def test_proportions_are_scipys(successes, extra):
    total = successes + extra
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        expected = binomtest(successes, total).proportion_ci(method=method)
        found = ours(successes, total)
        assert (found.value, found.low, found.high) == pytest.approx((successes / total, *expected), abs=1e-9)


def test_proportion_of_nothing_and_of_too_many():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)
    with pytest.raises(ValueError, match="successes"):
        wilson(3, 2)


@pytest.mark.parametrize("stratified", [False, True])
def test_the_bootstrap_of_cells_is_the_bootstrap_of_records(stratified):
    targets, predictions = example()
    cells = bootstrap(targets, predictions, macro_f1, num_classes=3, seed=1, draws=3000, stratified=stratified)
    records = bootstrap_indices(
        len(targets),
        lambda rows: float(macro_f1(confusion(targets[rows], predictions[rows], 3))),
        seed=2,
        draws=3000,
        strata=targets if stratified else None,
    )
    assert cells.value == records.value
    assert (cells.low, cells.high) == pytest.approx((records.low, records.high), abs=0.006)


def test_the_interval_of_accuracy_is_that_of_the_normal_approximation():
    targets, predictions = example(2000)
    found = bootstrap(targets, predictions, accuracy, num_classes=3, seed=0, draws=4000)
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 2000)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.002)


def test_the_seed_decides_the_draws_and_a_stratum_keeps_its_size():
    targets, predictions = example()
    draw = [bootstrap(targets, predictions, macro_f1, num_classes=3, seed=seed) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    kept = []
    bootstrap_indices(
        9, lambda rows: kept.append(tuple(np.bincount(rows // 3))) or 0.0, seed=0, draws=20, strata=np.arange(9) // 3
    )
    assert set(kept) == {(3, 3, 3)}


def test_many_classes_stay_in_memory():
    targets = np.arange(1500)
    assert bootstrap(targets, targets, accuracy, num_classes=1500, seed=0, draws=5).low == 1.0


def test_paired_bootstrap_sees_a_better_model_and_no_difference_where_there_is_none():
    targets, weak = example(600)
    strong = np.where(np.random.default_rng(5).random(600) < 0.6, targets, weak)
    better = paired_bootstrap(targets, weak, strong, macro_f1, num_classes=3, seed=0)
    assert better.low > 0 and better.p_value < 0.01
    assert better.value == pytest.approx(
        macro_f1(confusion(targets, strong, 3)) - macro_f1(confusion(targets, weak, 3))
    )
    same = paired_bootstrap(targets, weak, weak, macro_f1, num_classes=3, seed=0)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_paired_bootstrap_is_right_at_its_level():
    # Two equally good models: p-values under 0.05 in about 5% of trials.
    rng, alarms = np.random.default_rng(0), 0
    targets = np.zeros(300, dtype=int)
    for trial in range(200):
        a, b = (rng.random((2, 300)) < 0.2).astype(int)
        alarms += paired_bootstrap(targets, a, b, accuracy, num_classes=2, seed=trial, draws=400).p_value < 0.05
    assert 2 <= alarms <= 22


def test_mcnemar_by_hand():
    right_a = np.array([True] * 1 + [False] * 9 + [True] * 20)
    right_b = np.array([False] * 1 + [True] * 9 + [True] * 20)
    assert mcnemar(right_a, right_b) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(right_a, right_a) == 1.0


def test_a_bootstrap_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one record"):
        bootstrap([], [], accuracy, num_classes=2, seed=0)
    with pytest.raises(ValueError, match="at least one record"):
        paired_bootstrap([], [], [], accuracy, num_classes=2, seed=0)
