"""Association of groups: known answers by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from burnish.measures.groups import holm, log_odds, rate, weat


def test_a_rate_inside_and_outside() -> None:
    one = rate(np.array([True] * 10 + [False] * 10), np.array([True] * 9 + [False] + [True] + [False] * 9))
    assert (one.hits, one.total, one.rest_count) == (9, 10, 1)
    assert one.low < 0.9 < one.high and one.p_value == pytest.approx(0.0010933, rel=1e-3)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_words_that_go_with_one_side_stand_first_and_shared_ones_at_nothing() -> None:
    found = dict(log_odds(Counter(nurse=50, the=500, kind=30), Counter(engineer=50, the=500, kind=30)))
    assert found["nurse"] > 3 and found["engineer"] < -3 and abs(found["the"]) < 0.1
    assert log_odds(Counter(), Counter(a=9)) == []


def test_association_of_embeddings_finds_its_side_and_nothing_where_there_is_none() -> None:
    draw = np.random.default_rng(0)
    a, b = np.zeros(8), np.zeros(8)
    a[0], b[1] = 1, 1

    def near(point: np.ndarray, count: int) -> np.ndarray:
        return point + 0.1 * draw.normal(size=(count, 8))

    found = weat(near(a, 20), near(b, 20), near(a, 20), near(b, 20), seed=0)
    assert found.effect > 1.8 and found.p_value < 0.01
    assert weat(near(b, 20), near(a, 20), near(a, 20), near(b, 20), seed=0).effect < -1.8
    assert abs(weat(near(a + b, 40), near(a + b, 40), near(a, 20), near(b, 20), seed=0).effect) < 0.8
