"""The certificate's numbers: known answers by hand, properties on wild designs, coverage where luck would show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from burnish.measures import certificate as measures
from burnish.measures import certificate_design as design
from burnish.measures.certificate_intervals import look_often, prediction_powered, ratio, share, stratified
from burnish.measures.intervals import clopper_pearson, wilson

ENDLESS = 10**12


def test_one_stratum_is_wilson_and_exact_where_asked() -> None:
    value, low, high = stratified([45], [50], [ENDLESS])
    assert (float(value), float(low), float(high)) == pytest.approx((0.9, 0.786398, 0.956524), abs=2e-6)  # by hand
    assert share([45], [50], [ENDLESS])[0] == clopper_pearson(45, 50)
    assert stratified([50], [50], [ENDLESS])[2] == 1.0
    assert float(stratified([50], [50], [ENDLESS])[1]) == pytest.approx(50 / (50 + 1.959964**2), abs=1e-6)


def test_several_strata_solve_the_score_equation_that_a_general_optimiser_solves() -> None:
    """Ends: the share whose best-fitting strata put what was seen z standard errors away."""
    right, checked, sizes = np.array([28.0, 15.0]), np.array([30.0, 20.0]), np.array([7000.0, 3000.0])
    weight = sizes / sizes.sum()

    def apart(theta: float) -> float:
        def loss(p: np.ndarray) -> float:
            return -float(right @ np.log(p) + (checked - right) @ np.log1p(-p))

        fitted = minimize(
            loss, weight * 0 + theta, bounds=[(1e-6, 1 - 1e-6)] * 2, method="SLSQP", tol=1e-14,
            constraints={"type": "eq", "fun": lambda p: float(weight @ p) - theta},
        ).x  # fmt: skip
        spread = fitted * (1 - fitted)
        error = math.sqrt(float(weight**2 * (1 - checked / sizes) @ (spread / (checked - 0.5 * 4 * spread))))
        return (float(weight @ (right / checked)) - theta) / error

    value, low, high = (float(one) for one in stratified(right, checked, sizes))
    assert value == pytest.approx(0.7 * 28 / 30 + 0.3 * 0.75)
    assert low == pytest.approx(brentq(lambda t: apart(t) - 1.959964, 0.6, value - 1e-4), abs=1e-4)
    assert high == pytest.approx(brentq(lambda t: apart(t) + 1.959964, value + 1e-4, 0.99), abs=1e-4)


def test_a_large_stratum_that_was_hardly_looked_at_keeps_the_interval_wide() -> None:
    thin = stratified([5, 95], [5, 95], [9000, 1000])
    fair = stratified([90, 10], [90, 10], [9000, 1000])
    assert thin[1] < 0.6 < 0.95 < fair[1]


def test_a_whole_population_that_was_checked_leaves_no_doubt() -> None:
    assert [float(one) for one in stratified([70, 20], [80, 20], [80, 20])] == pytest.approx([0.9] * 3)


@pytest.mark.parametrize("wrong", [([1], [0], [5]), ([3], [2], [5]), ([3], [6], [5])])
def test_counts_that_cannot_be_are_refused(wrong: tuple[list[int], ...]) -> None:
    with pytest.raises(ValueError, match="every stratum"):
        stratified(*wrong)


counts = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(0, 10**6)), min_size=1, max_size=9)


@given(counts)
@settings(deadline=None, max_examples=80)
def test_intervals_hold_their_value_inside_0_and_1_and_mirror(strata: list[tuple[int, int, int]]) -> None:
    checked = np.array([n for n, _, _ in strata])
    right = np.array([min(x, n) for n, x, _ in strata])
    sizes = checked + np.array([more for _, _, more in strata])
    value, low, high = (float(one) for one in stratified(right, checked, sizes))
    assert -1e-9 <= low <= value + 1e-9 and value - 1e-9 <= high <= 1 + 1e-9
    other = [float(one) for one in stratified(checked - right, checked, sizes)]
    assert (1 - other[0], 1 - other[2], 1 - other[1]) == pytest.approx((value, low, high), abs=1e-6)
    wide = stratified(right, checked, sizes, z=3.0)
    assert float(wide[1]) <= low + 1e-9 and float(wide[2]) >= high - 1e-9


def test_a_ratio_of_a_simple_sample_is_its_share_with_students_quantile() -> None:
    """20 records of which 15 count: without strata the linearised variance is p (1 - p) / (n - 1)."""
    part, whole = np.r_[np.ones(15), np.zeros(5)], np.ones(20)
    found = ratio(part, whole, np.zeros(20, int), [ENDLESS])
    from scipy.stats import t

    z, n = float(t.ppf(0.975, 19)), 19.0
    middle, half = (
        (0.75 + z**2 / (2 * n)) / (1 + z**2 / n),
        z / (1 + z**2 / n) * math.sqrt(0.75 * 0.25 / n + z**2 / (4 * n**2)),
    )
    assert (found.value, found.low, found.high) == pytest.approx((0.75, middle - half, middle + half))
    nothing = ratio(np.zeros(20), np.zeros(20), np.zeros(20, int), [ENDLESS])
    assert math.isnan(nothing.value) and (nothing.low, nothing.high) == (0.0, 1.0)


def test_ratios_weigh_strata_by_their_records() -> None:
    """900 records of which 2 of 2 hold, 100 of which 0 of 2: 0.9."""
    assert ratio([1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [900, 100]).value == pytest.approx(0.9)


def test_prediction_powered_by_hand() -> None:
    """y = 1 1 0 0, f = .9 .7 .4 .2 and beliefs .8 .6 of two more.

    cov(y, f) = 0.8/3 ; var of the six beliefs = 0.34/5 = 0.068; tuning = min(1, 0.2667/0.068) = 1.
    mean f = 0.6, mean(y - f) = -0.05: 0.55. var(y - f) of .1 .3 -.4 -.2 = 0.29/3; x (1 - 4/6)/4.
    """
    found, tuning = prediction_powered([1, 1, 0, 0], [0.9, 0.7, 0.4, 0.2], [[0.8, 0.6]], [0, 0, 0, 0])
    assert tuning == 1.0 and found.value == pytest.approx(0.55)
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(0.29 / 3 / 12), abs=1e-6)


def test_prediction_powered_is_the_plain_mean_where_beliefs_say_nothing() -> None:
    found, tuning = prediction_powered([1, 0, 1, 1], [0.5] * 4, [[0.5] * 10], [0] * 4)
    assert tuning == 0.0 and found.value == pytest.approx(0.75)


def test_looking_often_costs_and_costs_least_where_it_was_planned() -> None:
    costs = {n: look_often(n, 200) for n in (20, 100, 200, 400, 5000)}
    assert min(costs.values()) > 1.96 and min(costs, key=lambda n: costs[n]) in (100, 200, 400)


def test_neyman_allocation_by_hand() -> None:
    """Equal sizes, spreads sqrt(.25) = .5 and sqrt(.09) = .3: 5 to 3."""
    assert design.allocate([1000, 1000], [0.5, 0.9], 80).tolist() == [50, 30]


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1)), min_size=1, max_size=12), st.integers(0, 3000), st.data()
)
@settings(deadline=None, max_examples=80)
def test_an_allocation_spends_what_there_is_and_keeps_what_was_done(strata, checks: int, data) -> None:
    sizes, rates = np.array([size for size, _ in strata]), np.array([rate for _, rate in strata])
    done = np.array([data.draw(st.integers(0, int(size))) for size in sizes])
    given_ = design.allocate(sizes, rates, checks, done=done)
    least = np.maximum(done, np.minimum(design.FLOOR, sizes))
    assert given_.sum() == min(max(checks, least.sum()), sizes.sum())
    assert (given_ <= sizes).all() and (given_ >= least).all()


@given(st.integers(1, 400), st.integers(1, 4000), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_strata_divide_all_records_and_no_more_than_checks_can_feed(count: int, checks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = design.guessed(np.where(rng.random(count) < 0.1, np.nan, rng.random(count).round(1)))
    labels = [f"l{one}" for one in rng.integers(0, 7, count)]
    patterns = [("contested", "agreed")[one] for one in rng.integers(0, 2, count)]
    strata = design.divide(chance, labels, patterns, checks=checks)
    assert strata.sizes.sum() == count and (strata.sizes > 0).all() and len(strata.names) == len(strata.sizes)
    assert len(set(strata.names)) == len(strata.names)
    assert len(strata.sizes) <= max(1, min(design.MOST_STRATA, checks // design.CHECKS_A_STRATUM))
    assert ((strata.guess > 0) & (strata.guess < 1)).all()


def test_a_sample_that_grows_keeps_what_it_had_and_other_records_do_not_disturb_it() -> None:
    ids = [f"r{one}" for one in range(500)]
    number = dict(zip(ids, design.order(ids, seed=3), strict=True))
    again = dict(zip([*ids[100:], "new"], design.order([*ids[100:], "new"], seed=3), strict=True))
    assert all(number[one] == again[one] for one in ids[100:])
    assert design.order(ids, seed=4)[0] != number["r0"] and 0.4 < np.mean(list(number.values())) < 0.6


def test_strata_with_too_few_checks_join_the_one_most_like_them() -> None:
    place, sizes, guess = design.merged([10, 1, 12], [100, 50, 50], [0.9, 0.55, 0.5])
    assert place.tolist() == [0, 1, 1] and sizes.tolist() == [100, 100]
    assert guess == pytest.approx([0.9, 0.525])


def test_an_overconfident_guess_is_recalibrated_for_all_strata_at_once() -> None:
    """All say 90%, 60% is what people find: every stratum is brought down, the one nobody errs in too."""
    found = design.settled([12, 12, 12], [20, 20, 20], [0.85, 0.9, 0.95])
    assert found[0] < found[1] < found[2] and float(found.mean()) == pytest.approx(0.6, abs=0.06)


def checks(right: list[int], stratum: list[int] | None = None, sizes: list[int] | None = None) -> measures.Checks:
    stratum = stratum or [0] * len(right)
    sizes = sizes or [1000] * (max(stratum) + 1)
    many = len(sizes)
    return measures.Checks(
        np.array(stratum), np.array(sizes), np.full(many, 0.8), np.array(right, dtype=bool), np.full(len(right), 0.8)
    )  # fmt: skip


def test_noise_transitions_by_hand() -> None:
    """Given a a a b b b b, true a a b b b b a, all alike: P(given b | true a) = 1/3, P(true b | given a) = 1/3."""
    given_, true = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1, 0])
    found = measures.transitions(checks((given_ == true).astype(int).tolist()), given_, true, ["a", "b"])
    assert np.allclose(found["given_of_true"], [[2 / 3, 1 / 3], [1 / 4, 3 / 4]])
    assert np.allclose(found["true_of_given"], [[2 / 3, 1 / 3], [1 / 4, 3 / 4]])
    assert [(one["true"], one["given"]) for one in found["pairs"]] == [("a", "b"), ("b", "a")]
    low, high = (found["pairs"][0]["given_of_true"][end] for end in ("low", "high"))
    assert 0 < low < 1 / 3 < high < 1


def test_a_refusal_without_a_label_counts_against_precision_and_is_left_out_of_recall() -> None:
    given_, true = np.array([0, 0, 0, 1]), np.array([0, 0, -1, 1])
    rows = measures.by_label(checks([1, 1, 0, 1]), given_, true, ["a", "b", "c"])
    assert [one["precision"]["value"] for one in rows[:2]] == pytest.approx([2 / 3, 1.0])
    assert [one["recall"]["value"] for one in rows[:2]] == [1.0, 1.0]
    assert math.isnan(rows[2]["precision"]["value"]) and rows[2]["checked"] == 0


def test_mentions_by_hand() -> None:
    """Said 3, there 4, both 2: precision 2/3, recall 1/2, F1 4/7; a refused record counts against precision alone."""
    said = [frozenset({("spans", "x", 0, 2), ("spans", "y", 3, 5)}), frozenset({("spans", "x", 1, 4)}), frozenset()]
    there = [said[0], frozenset({("spans", "y", 1, 4)}), frozenset({("spans", "y", 7, 9)})]
    of = {one: one[1] for some in [*said, *there] for one in some}
    found = measures.mentions(checks([1, 0, 0]), said, there, of)
    assert [found[name]["value"] for name in ("precision", "recall", "f1")] == pytest.approx([2 / 3, 1 / 2, 4 / 7])
    assert [one["label"] for one in found["labels"]] == ["x", "y"]
    refused = measures.mentions(checks([1, 0]), said[:2], [said[0], None])
    assert refused["precision"]["value"] == pytest.approx(2 / 3) and refused["recall"]["value"] == 1.0
    assert refused["refused"] == 1


def test_after_review_the_checked_are_right_and_the_rest_as_estimated() -> None:
    """8 of 10 right, 90 more unchecked: (10 + 90 x 0.8) / 100."""
    found = measures.after_review(checks([1] * 8 + [0] * 2, sizes=[100]))
    assert found.value == pytest.approx(0.82)
    around = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx(
        ((10 + 90 * around.low) / 100, (10 + 90 * around.high) / 100), abs=1e-6
    )
    assert measures.after_review(checks([1, 0], sizes=[2])).low == 1.0
    assert measures.after_review(checks([1] * 8 + [0] * 2, sizes=[100]), refused=2).value == pytest.approx(80 / 98)


def test_accuracy_says_how_it_was_found() -> None:
    one = measures.accuracy(checks([1] * 45 + [0] * 5, sizes=[10**6]), planned=50)
    assert (one["method"], one["low"]) == ("exact binomial (Clopper-Pearson)", clopper_pearson(45, 50).low)
    two = measures.accuracy(checks([1, 1, 0, 1], [0, 0, 1, 1], [900, 100]), planned=10)
    assert two["value"] == pytest.approx(0.95) and two["strata"] == 2
    assert two["any_look"]["low"] < two["low"] and two["any_look"]["high"] >= two["high"]


def test_the_stopped_interval_holds_the_truth_95_times_in_100_with_fewer_checks_than_a_simple_sample() -> None:
    """As benchmarks/certificate.py, small: confidence that knows something but is too sure of itself, accuracy 85%."""
    rng = np.random.default_rng(5)
    chance = rng.beta(2.1, 0.4, 6000)
    right = rng.random(6000) < chance
    said = 1 / (1 + np.exp(-3 * np.log(np.clip(chance, 1e-3, 1 - 1e-3) / (1 - np.clip(chance, 1e-3, 1 - 1e-3)))))
    strata = design.divide(design.guessed(said), ["a"] * 6000, [""] * 6000, checks=200)
    truth, width = float(right.mean()), 0.05
    runs = 200
    orders = [
        np.stack([rng.permutation(right[strata.number == h])[:400] for _ in range(runs)])
        for h in range(len(strata.sizes))
    ]
    seen = [np.concatenate([np.zeros((runs, 1), int), one.cumsum(1)], axis=1) for one in orders]
    checked = np.tile(design.first_look(strata.sizes, strata.guess, width), (runs, 1))
    while True:
        found = np.stack([one[np.arange(runs), checked[:, h]] for h, one in enumerate(seen)], axis=1)
        _, low, high = stratified(found, checked, strata.sizes)
        wide = np.flatnonzero((high - low) / 2 > width)
        if not len(wide):
            break
        checked[wide] = design.next_look(strata.sizes, found[wide], checked[wide], strata.guess)
    assert np.mean((low <= truth) & (truth <= high)) >= 0.9  # three standard errors below 0.95
    assert checked.sum(1).mean() < 0.85 * design.simple_needed(6000, truth, width)
