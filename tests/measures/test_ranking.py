import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from burnish.measures import ranking

candidates = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 3)), min_size=2, max_size=6)
several = st.lists(candidates, min_size=1, max_size=3)


def ranked(rows):
    flat = [(score, relevance, at) for at, row in enumerate(rows) for score, relevance in row]
    return ranking.ranked(*(np.array(column) for column in zip(*flat, strict=True)))


@given(several, st.one_of(st.none(), st.integers(1, 7)))
def test_ndcg_is_scikit_learns(rows, k):
    ours = ranking.ndcg(ranked(rows), k)
    for value, row in zip(ours, rows, strict=True):
        scores, relevances = (np.array([column]) for column in zip(*row, strict=True))
        if relevances.any():
            assert value == pytest.approx(metrics.ndcg_score(relevances, scores, k=k))
        else:
            assert np.isnan(value)


def orders(row):
    """Relevances of one query in every order that its scores allow."""
    allowed = []
    for order in itertools.permutations(row):
        scores = [score for score, _ in order]
        if scores == sorted(scores, reverse=True):
            allowed.append([relevance > 0 for _, relevance in order])
    return allowed


def by_the_book(name, hits, k):
    places = [at for at, hit in enumerate(hits) if hit]
    if name == "hr":
        return float(bool(places) and places[0] < k)
    if not places:
        return float("nan")
    if name == "recall":
        return sum(at < k for at in places) / len(places)
    if name == "mrr":
        return 1 / (places[0] + 1)
    return float(np.mean([(i + 1) / (at + 1) for i, at in enumerate(places)]))


@given(several, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_every_measure_is_its_mean_over_the_orders_of_ties(rows, k):
    order = ranked(rows)
    ours = {
        "hr": ranking.hit_rate(order, k),
        "recall": ranking.recall(order, k),
        "mrr": ranking.reciprocal_rank(order),
        "map": ranking.average_precision(order),
    }
    for name, values in ours.items():
        for value, row in zip(values, rows, strict=True):
            expected = np.mean([by_the_book(name, hits, k) for hits in orders(row)])
            assert value == pytest.approx(expected, nan_ok=True), name


def test_by_hand():
    order = ranking.ranked([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], [7, 7, 7, 7])
    scores = ranking.ranking_scores(order, at=(1, 2))
    assert {name: float(value[0]) for name, value in scores.items() if "ndcg" not in name} == {
        "hr@1": 0.0, "recall@1": 0.0, "hr@2": 1.0, "recall@2": 0.5, "mrr": 0.5, "map": 0.5
    }  # fmt: skip
    assert ranking.reciprocal_rank(order, 1)[0] == 0.0
    graded = ranking.ranked([2, 1], [1, 2], [0, 0])
    assert ranking.ndcg(graded, gain="exponential")[0] == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))


def test_a_model_that_scores_everything_alike_earns_what_chance_earns():
    count = 100
    order = ranking.ranked(np.zeros(count), np.arange(count) == 0, np.zeros(count))
    assert ranking.hit_rate(order, 10)[0] == pytest.approx(0.1)
    assert ranking.recall(order, 10)[0] == pytest.approx(0.1)
    assert ranking.reciprocal_rank(order)[0] == pytest.approx((1 / np.arange(1, 101)).mean())


def test_queries_without_a_relevant_candidate_are_counted_and_left_out():
    order = ranking.ranked([1, 2, 1, 2], [0, 0, 0, 1], [0, 0, 1, 1])
    assert ranking.mean(ranking.ndcg(order)) == (1.0, 1)
    assert ranking.hit_rate(order, 1).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="finite"):
        ranking.ranked([np.nan], [1], [0])
    with pytest.raises(ValueError, match="0 or more"):
        ranking.ranked([1.0], [-1], [0])
    empty = ranking.ranked([], [], [])
    assert all(len(values) == 0 for values in ranking.ranking_scores(empty).values())
