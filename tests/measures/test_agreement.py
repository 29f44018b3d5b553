import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from burnish.measures.agreement import cohen_kappa, coverage, fleiss_kappa, krippendorff_alpha, labellers

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: 4 observers, 12 units, 0 where missing.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
# The worked example of Fleiss' kappa: 10 subjects, 14 raters, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
matrices = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(-1, 2), min_size=m, max_size=m), min_size=1, max_size=12)
)


def test_alpha_is_the_published_value():
    assert krippendorff_alpha(np.array(OBSERVERS).T - 1) == pytest.approx(0.743, abs=5e-4)


def test_fleiss_kappa_is_the_published_value():
    votes = [np.repeat(np.arange(5), row) for row in FLEISS]
    assert fleiss_kappa(votes) == pytest.approx(0.210, abs=5e-4)


def test_cohen_kappa_is_the_textbook_value():
    a = [1] * 25 + [0] * 25
    b = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    assert cohen_kappa([*a, -1, 0], [*b, 1, -1]) == pytest.approx(0.4)  # abstentions are left out


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2))
def test_cohen_kappa_is_scikit_learns(pairs):
    a, b = np.array(pairs).T
    if len(set(a) | set(b)) > 1:
        assert cohen_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))


def test_one_class_only_says_nothing():
    assert math.isnan(cohen_kappa([0, 0], [0, 0]))
    assert math.isnan(cohen_kappa([-1], [0]))
    assert math.isnan(fleiss_kappa([[1, 1]]))
    assert math.isnan(krippendorff_alpha([[1, 1]]))
    assert math.isnan(krippendorff_alpha([[1, -1], [-1, -1]]))


def test_full_agreement_is_one():
    votes = [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert fleiss_kappa(votes) == krippendorff_alpha(votes) == cohen_kappa([0, 1], [0, 1]) == 1


def test_coverage_overlap_and_conflict_by_hand():
    votes = [[0, 0, -1], [0, 1, -1], [1, -1, -1], [-1, -1, -1]]
    found = labellers(votes)
    assert found.coverage.tolist() == [0.75, 0.5, 0]
    assert found.overlap.tolist() == [0.5, 0.5, 0]
    assert found.conflict.tolist() == [0.25, 0.25, 0]
    assert coverage(votes) == 0.75
    assert coverage(np.empty((0, 3))) == 0


@given(matrices, st.randoms())
def test_conflict_is_within_overlap_within_coverage_and_order_does_not_matter(votes, random):
    found = labellers(votes)
    assert (found.conflict <= found.overlap).all() and (found.overlap <= found.coverage).all()
    for j in range(len(votes[0])):
        others = [[vote for k, vote in enumerate(row) if k != j and vote >= 0] for row in votes]
        against = [
            row[j] >= 0 and any(vote != row[j] for vote in rest) for row, rest in zip(votes, others, strict=True)
        ]
        # A record's labellers conflict together: two that agree are in conflict with the third all the same.
        assert found.conflict[j] >= np.mean(against) - 1e-12
    alpha = krippendorff_alpha(votes)
    random.shuffle(votes)
    assert krippendorff_alpha(votes) == pytest.approx(alpha, nan_ok=True)


def test_wrong_shapes_are_errors():
    with pytest.raises(ValueError, match="same number of votes"):
        fleiss_kappa([[0, 1], [0, -1]])
    with pytest.raises(ValueError, match="votes must be"):
        labellers([0, 1])
