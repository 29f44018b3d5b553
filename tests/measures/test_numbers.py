import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from burnish.measures import numbers
from burnish.measures.scores import confusion

value = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3).map(lambda one: round(one, 3)))
pairs = st.lists(st.tuples(value, value), min_size=2, max_size=30)


@given(pairs, st.sampled_from([0.0, 2.5]))
def test_scores_are_those_of_scipy_and_scikit_learn(drawn, centre):
    t, p = np.array(drawn).T
    ours = {k: float(v) for k, v in numbers.number_scores(numbers.number_sums(t, p, centre=centre).sum(0)).items()}
    assert ours["mae"] == pytest.approx(metrics.mean_absolute_error(t, p))
    assert ours["rmse"] == pytest.approx(metrics.root_mean_squared_error(t, p))
    if len(set(t)) > 1:
        assert ours["r2"] == pytest.approx(metrics.r2_score(t, p), rel=1e-6, abs=1e-6)
    if len(set(t)) > 1 and len(set(p)) > 1:
        with warnings.catch_warnings():  # nearly constant sides: scipy says that its digits are few
            warnings.simplefilter("ignore")
            assert ours["pearson"] == pytest.approx(stats.pearsonr(t, p).statistic, abs=1e-5)
            assert numbers.spearman(t, p) == pytest.approx(stats.spearmanr(t, p).statistic, abs=1e-9)
    else:
        assert np.isnan(ours["pearson"]) and np.isnan(numbers.spearman(t, p))


@given(pairs)
def test_ranks_are_scipys(drawn):
    t = np.array(drawn)[:, 0]
    assert numbers.ranks(t).tolist() == stats.rankdata(t).tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_quadratic_kappa_is_scikit_learns(drawn):
    t, p = np.array(drawn).T
    ours = float(numbers.quadratic_kappa(confusion(t, p, 4)))
    if len({*t, *p}) > 1:
        assert ours == pytest.approx(metrics.cohen_kappa_score(t, p, labels=range(4), weights="quadratic"))
    else:
        assert ours == 1.0


def test_draws_are_scored_at_once():
    rng = np.random.default_rng(0)
    t = rng.normal(size=50)
    sums = numbers.number_sums(t, t + rng.normal(size=50))
    draws = rng.multinomial(50, np.full(50, 0.02), size=7)
    scores = numbers.number_scores(draws @ sums)
    for i, counts in enumerate(draws):
        alone = numbers.number_scores(np.repeat(sums, counts, axis=0).sum(0))
        assert all(scores[name][i] == pytest.approx(float(alone[name])) for name in scores)
    matrices = rng.integers(0, 5, (6, 3, 3))
    assert numbers.quadratic_kappa(matrices).shape == (6,)


def test_what_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="finite"):
        numbers.number_sums([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="one length"):
        numbers.spearman([1.0], [1.0, 2.0])
    assert np.isnan(numbers.spearman([], []))
