"""Alpha of any kind of value, against Krippendorff's own worked example and values found by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.measures.agreement import krippendorff_alpha
from burnish.measures.reliability import (
    alpha,
    by_character,
    f1_apart,
    interval,
    masi,
    nominal,
    ordinal,
    overlap_apart,
    weighted_kappa,
)  # fmt: skip

# Krippendorff 2011, section C: four observers, twelve units, missing values left out
UNITS = [(1, 1, 1), (2, 2, 3, 2), (3, 3, 3, 3), (3, 3, 3, 3), (2, 2, 2, 2), (1, 2, 3, 4), (4, 4, 4, 4), (1, 1, 2, 1), (2, 2, 2, 2), (5, 5, 5), (1, 1), (3,)]  # fmt: skip


def test_the_worked_example_has_the_published_values() -> None:
    counts = Counter(value for unit in UNITS if len(unit) > 1 for value in unit)
    assert alpha(UNITS, nominal) == pytest.approx(0.743, abs=5e-4)
    assert alpha(UNITS, ordinal((1, 2, 3, 4, 5), counts)) == pytest.approx(0.815, abs=5e-4)
    assert alpha(UNITS, interval) == pytest.approx(0.849, abs=5e-4)


@given(st.lists(st.lists(st.integers(-1, 3), min_size=3, max_size=3), min_size=1, max_size=30))
def test_nominal_alpha_is_the_one_of_vote_matrices(votes) -> None:
    ours = alpha([[one for one in row if one >= 0] for row in votes], nominal)
    theirs = krippendorff_alpha(np.array(votes))
    assert (math.isnan(ours) and math.isnan(theirs)) or ours == pytest.approx(theirs)


def test_drawn_pairs_are_near_all_pairs() -> None:
    rng = np.random.default_rng(0)
    units = [(float(x), float(x + e)) for x, e in zip(rng.normal(size=700), rng.normal(size=700) / 3, strict=True)]
    true = np.array(units)
    values = true.ravel()
    expected = 2 * values.var(ddof=1)  # mean squared difference of two values, in closed form
    inside = ((true[:, 0] - true[:, 1]) ** 2).mean()
    assert alpha(units, interval) == pytest.approx(1 - inside / expected, abs=0.01)


def test_differences_by_hand() -> None:
    assert masi({"a"}, {"a", "b"}) == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert masi({"a", "b"}, {"b", "c"}) == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert masi({"a"}, {"b"}) == 1 and masi((), ()) == 0
    assert f1_apart({(0, 3, "PER")}, {(0, 3, "PER"), (5, 6, "LOC")}) == pytest.approx(1 - 2 / 3)
    assert overlap_apart((0, 4), (2, 6)) == pytest.approx(0.5)
    assert overlap_apart(None, (0, 1)) == 1 and overlap_apart(None, None) == 0


def test_spans_by_character() -> None:
    # ten characters, two reviewers: one marks 0-4, the other 0-2. Two characters of ten differ; marked 6, unmarked 14 of
    # 20 values: alpha = 1 - (20 - 1) * 4 / (20^2 - 6^2 - 14^2), as the nominal formula with two values a unit
    one, other = [(0, 4, "PER")], [(0, 2, "PER")]
    assert by_character([(10, [one, other])]) == pytest.approx(1 - 19 * 4 / (400 - 36 - 196))
    units = [("P", "P")] * 2 + [("P", "")] * 2 + [("", "")] * 6
    assert by_character([(10, [one, other])]) == pytest.approx(alpha(units, nominal))


def test_weighted_kappa_against_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = [0, 1, 2, 3, 3, 2, 1, 0, 2], [0, 2, 2, 3, 1, 2, 0, 0, 3]
    assert weighted_kappa(a, b, 4) == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"))
    assert math.isnan(weighted_kappa([1, 1], [1, 1], 4))
