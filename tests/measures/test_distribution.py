import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from burnish.measures.distribution import chi_square, jensen_shannon, label_spread, length_outliers

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any)


def test_even_labels_count_as_many_classes_and_skewed_ones_as_fewer():
    even = label_spread([0, 1, 2, -1], 4)
    assert (even.imbalance, even.effective, even.missing.tolist()) == (1.0, pytest.approx(3), [3])
    skewed = label_spread([0] * 90 + [1] * 10, 2)
    assert skewed.imbalance == 9
    assert skewed.entropy == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    assert 1 < skewed.effective < 2


def test_no_label_and_labels_out_of_range():
    assert label_spread([], 2).effective == label_spread([-1], 2).imbalance == 0
    with pytest.raises(ValueError, match=r"-1\.\.1"):
        label_spread([2], 2)


@given(counts, counts)
def test_jensen_shannon_is_scipys_squared(a, b):
    assert jensen_shannon(a, b) == pytest.approx(jensenshannon(a, b, base=2) ** 2, abs=1e-9)
    assert jensen_shannon(a, a) == 0
    assert 0 <= jensen_shannon(a, b) == pytest.approx(jensen_shannon(b, a))


def test_nothing_in_common_is_one_bit():
    assert jensen_shannon([1, 0], [0, 9]) == 1
    with pytest.raises(ValueError, match="above 0"):
        jensen_shannon([0, 0], [1, 1])


@given(counts, counts)
def test_chi_square_is_scipys(a, b):
    table = np.array([a, b])
    table = table[:, table.sum(0) > 0]
    found = chi_square(a, b)
    if table.shape[1] < 2:
        assert found.p_value == 1
    else:
        expected = chi2_contingency(table, correction=False)
        assert (found.statistic, found.p_value, found.freedom) == pytest.approx(
            (expected.statistic, expected.pvalue, expected.dof)
        )


def test_length_outliers_are_found_within_each_language():
    english = ["a fairly normal sentence of some nine words here"] * 20 + ["word " * 400, "short"]
    chinese = ["这个手机真的很好用我非常喜欢它的屏幕和电池"] * 20 + ["好" * 900, "", "好" * 25]
    found = length_outliers(english + chinese, ["en"] * 22 + ["zh"] * 23)
    assert np.flatnonzero(found.outlier).tolist() == [20, 21, 42, 43]
    assert found.score[21] < 0 < found.score[20] and found.score[43] == -np.inf
    assert found.quantiles["en"][4] == 9 and found.quantiles["zh"][[0, -1]].tolist() == [0, 900]


def test_languages_must_be_as_many_as_texts():
    with pytest.raises(ValueError, match="2 texts but 1 languages"):
        length_outliers(["a", "b"], ["en"])
