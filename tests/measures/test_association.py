"""What goes with what: known answers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from burnish.measures.association import (
    contingency,
    evenness,
    group_counts,
    holm,
    log_odds,
    naming,
    pointwise_mutual_information,
)


def test_log_odds_by_hand() -> None:
    # words a and b, 4 in all, 2 each; prior 4 gives 2 pseudo-counts to each word
    z = log_odds([[2, 0], [0, 2]], prior=4)
    delta = np.log(4 / 2) - np.log(2 / 4)
    assert z[0, 0] == pytest.approx(delta / np.sqrt(1 / 4 + 1 / 2))
    assert z[0, 1] == pytest.approx(-z[0, 0]) and z[1, 1] == pytest.approx(z[0, 0])


def test_a_rare_word_is_less_sure_than_a_frequent_one() -> None:
    z = log_odds([[100, 1, 50], [0, 0, 100]])
    assert z[0, 0] > 1.96 > z[0, 1] > 0


def test_mutual_information_by_hand() -> None:
    bits = pointwise_mutual_information([[1, 1], [0, 2]])
    assert bits[0, 0] == pytest.approx(1.0)  # p = 1/4, expected 1/2 * 1/4
    assert bits[0, 1] == pytest.approx(np.log2(0.25 / (0.5 * 0.75))) and bits[1, 0] == -np.inf


def test_contingency_by_hand() -> None:
    found = contingency([[10, 20], [20, 10]])
    assert found.statistic == pytest.approx(4 * 25 / 15) and found.freedom == 1
    assert found.p_value == pytest.approx(0.00982, abs=1e-4)
    # adjusted residual: (10 - 15) / sqrt(15 * 1/2 * 1/2)
    assert found.residual[0, 0] == pytest.approx(-5 / np.sqrt(15 / 4))
    phi, size = found.statistic / 60 - 1 / 59, 2 - 1 / 59 - 1
    assert found.v == pytest.approx(np.sqrt(phi / size))


def test_nothing_to_compare_is_no_finding() -> None:
    assert contingency([[3, 4], [0, 0]]).p_value == 1.0
    assert contingency([[0, 0], [0, 0]]).v == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert len(holm([])) == 0


def test_evenness_by_hand() -> None:
    assert evenness([5, 5, 5, 5]) == {"effective": pytest.approx(4), "gini": 0.0, "head": 1.0, "imbalance": 1.0}
    skewed = evenness([97, 1, 1, 1])
    assert skewed["head"] == 0.25 and skewed["imbalance"] == 97 and skewed["gini"] == pytest.approx(0.72)
    assert evenness([])["effective"] == 0.0


@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=2, max_size=5))
def test_any_table_gives_finite_numbers(table: list[list[int]]) -> None:
    found = contingency(table)
    assert 0 <= found.p_value <= 1 and 0 <= found.v <= 1 and np.isfinite(found.residual).all()
    assert np.isfinite(log_odds(table)).all()


def test_groups_are_named_by_their_words_and_pairs_of_characters_do_not_repeat() -> None:
    counts = [[90, 80, 85, 3], [2, 3, 1, 95]]
    assert naming(counts, ["差评", "评差", "快递", "好吃"]) == [["差评", "快递"], ["好吃"]]
    bag = csr_array(np.array([[1, 0], [2, 1], [0, 5]]))
    assert group_counts(bag, [0, 0, -1], 2).tolist() == [[3, 1], [0, 0]]
