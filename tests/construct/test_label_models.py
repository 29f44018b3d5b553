"""Label models against hand-computed cases and planted worlds in which the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnish.construct.labels.label_models import (
    DEFAULT_ACCURACY,
    METHODS,
    Ballots,
    collapsed,
    natural_weights,
    vote_accuracy,
    weighted,
)

NOTHING = -1


def nobody(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nothing known, nothing claimed."""
    return np.full(len(matrix), -1), np.full(matrix.shape[1], np.nan)


def planted(
    n: int, accuracies: list[float], *, k: int = 2, coverage: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(truth, votes) of independent labellers that can say any label and are wrong evenly."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, k, n)
    votes = np.full((n, len(accuracies)), NOTHING)
    for j, accuracy in enumerate(accuracies):
        wrong = (truth + random.integers(1, k, n)) % k
        votes[:, j] = np.where(random.random(n) < accuracy, truth, wrong)
    votes[random.random(votes.shape) > coverage] = NOTHING
    return truth, votes


def test_majority_is_the_product_of_equal_odds() -> None:
    matrix = np.array([[1, 1, 0], [0, NOTHING, NOTHING]])
    beliefs = METHODS["majority"](Ballots.from_matrix(matrix, 2), *nobody(matrix)).beliefs(
        Ballots.from_matrix(matrix, 2)
    )
    # two against one at the same accuracy a: odds a / (1 - a)
    assert beliefs[0, 1] == pytest.approx(DEFAULT_ACCURACY, abs=0.01)
    assert beliefs[1, 0] == pytest.approx(DEFAULT_ACCURACY, abs=0.01)


def test_weighted_counts_log_odds_of_claimed_accuracy() -> None:
    matrix = np.array([[0, 1, 1]])
    ballots = Ballots.from_matrix(matrix, 2)
    beliefs = weighted(ballots, np.array([-1]), np.array([0.9, 0.6, 0.6])).beliefs(ballots)
    against = math.log(0.9 / 0.1) - 2 * math.log(0.6 / 0.4)
    assert beliefs[0, 0] == pytest.approx(1 / (1 + math.exp(-against)), abs=0.01)


@pytest.mark.parametrize("method", ["majority", "weighted", "dawid_skene", "label_model"])
def test_rows_without_votes_get_the_prior_alone(method: str) -> None:
    _, matrix = planted(300, [0.8, 0.8, 0.7], k=3)
    matrix[:2] = NOTHING
    ballots = Ballots.from_matrix(matrix, 3)
    model = METHODS[method](ballots, *nobody(matrix))
    beliefs = model.beliefs(ballots)
    assert beliefs[0] == pytest.approx(np.exp(model.prior) / np.exp(model.prior).sum())
    assert beliefs[0] == pytest.approx(beliefs[1])


@pytest.mark.parametrize("method", ["dawid_skene", "label_model"])
def test_generative_models_find_out_whom_to_trust(method: str) -> None:
    truth, matrix = planted(3000, [0.95, 0.6, 0.6, 0.6, 0.6], k=3, coverage=0.9)
    ballots = Ballots.from_matrix(matrix, 3)
    model = METHODS[method](ballots, *nobody(matrix))
    plain = METHODS["majority"](ballots, *nobody(matrix)).beliefs(ballots).argmax(1)
    covered = ballots.covered
    found = model.beliefs(ballots).argmax(1)
    assert (found == truth)[covered].mean() > (plain == truth)[covered].mean() + 0.05
    assert collapsed(model.beliefs(ballots), ballots) == ""


def test_dawid_skene_recovers_planted_confusion() -> None:
    _, matrix = planted(4000, [0.9, 0.75, 0.6, 0.8], coverage=1.0)
    ballots = Ballots.from_matrix(matrix, 2)
    model = METHODS["dawid_skene"](ballots, *nobody(matrix))
    right = np.exp(model.evidence)[:, [0, 1], [0, 1]].mean(1)
    assert right == pytest.approx([0.9, 0.75, 0.6, 0.8], abs=0.04)


def test_gold_recovers_planted_accuracies() -> None:
    truth, matrix = planted(4000, [0.95, 0.7, 0.5], k=4, coverage=0.5)
    ballots = Ballots.from_matrix(matrix, 4)
    found = vote_accuracy(ballots, truth, np.full(3, np.nan)).mean(1)
    assert found == pytest.approx([0.95, 0.7, 0.5], abs=0.03)


def test_few_gold_votes_move_a_labeller_little() -> None:
    matrix = np.full((26, 2), NOTHING)
    matrix[:24, 0] = np.arange(24) % 2
    matrix[24, 1] = 1
    ballots = Ballots.from_matrix(matrix, 2)
    known = np.array([*(np.arange(24) % 2), 0, -1])
    first, second = vote_accuracy(ballots, known, np.full(2, np.nan))[:, 1]
    assert first > 0.9
    assert 0.15 < second < 0.8, "one wrong answer is no proof that it is always wrong"


def test_one_label_rules_collapse_dawid_skene_and_it_is_noticed() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 2000)
    matrix = np.full((2000, 9), NOTHING)
    for j in range(9):  # rule j says label j % 3, on its own label mostly
        fires = random.random(2000) < np.where(truth == j % 3, 0.3, 0.03 if j else 0.3)
        matrix[fires, j] = j % 3
    ballots = Ballots.from_matrix(matrix, 3)
    assert collapsed(METHODS["majority"](ballots, *nobody(matrix)).beliefs(ballots), ballots) == ""
    assert collapsed(METHODS["dawid_skene"](ballots, *nobody(matrix)).beliefs(ballots), ballots)


def test_a_one_class_answer_is_a_collapse() -> None:
    _, matrix = planted(200, [0.8, 0.8], k=3)
    ballots = Ballots.from_matrix(matrix, 3)
    said = collapsed(np.tile([0.9, 0.05, 0.05], (200, 1)), ballots)
    assert "gives up 2 of 3 labels" in said


def test_a_rare_label_that_votes_hold_as_rare_is_no_collapse() -> None:
    matrix = np.array([[0]] * 97 + [[1]] * 3)
    ballots = Ballots.from_matrix(matrix, 2)
    assert collapsed(METHODS["majority"](ballots, *nobody(matrix)).beliefs(ballots), ballots) == ""


def test_checked_records_of_a_rare_label_count_less_when_drawn_evenly() -> None:
    known = np.array([0] * 10 + [1] * 10 + [-1] * 5)
    weights = natural_weights(known, np.array([0.9, 0.1]))
    assert weights[known == 0].mean() > 3 * weights[known == 1].mean()
    assert weights[known >= 0].mean() == pytest.approx(1)
    assert not weights[known < 0].any()


votes_matrices = arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=st.integers(-1, 2))


@settings(max_examples=40, deadline=None)
@given(votes_matrices, st.randoms(use_true_random=False))
def test_no_method_cares_about_the_order_of_records_or_labellers(matrix: np.ndarray, random: object) -> None:
    rows = np.array(random.sample(range(matrix.shape[0]), matrix.shape[0]))  # type: ignore[attr-defined]
    columns = np.array(random.sample(range(matrix.shape[1]), matrix.shape[1]))  # type: ignore[attr-defined]
    moved = matrix[rows][:, columns]
    for method in METHODS.values():
        plain, other = Ballots.from_matrix(matrix, 3), Ballots.from_matrix(moved, 3)
        beliefs = method(plain, *nobody(matrix)).beliefs(plain)
        assert np.isfinite(beliefs).all()
        assert beliefs.sum(1) == pytest.approx(1)
        assert beliefs[rows] == pytest.approx(method(other, *nobody(moved)).beliefs(other), abs=2e-3)


@pytest.mark.parametrize("name", ["dawid_skene", "label_model"])
def test_learning_from_each_way_of_voting_once_is_learning_from_all_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with the same votes are one row that counts several times; nothing else changes."""
    random = np.random.default_rng(3)
    votes = random.integers(-1, 3, size=(60, 5)).repeat(4, axis=0)
    confidence = np.where(random.random((60, 5)).repeat(4, axis=0) < 0.3, 0.6, 1.0)
    known = np.where(random.random(240) < 0.1, random.integers(0, 3, 240), -1)
    ballots = Ballots.from_matrix(votes, 3, confidence)
    grouped, _, times = ballots.patterns(known)
    assert grouped.num_rows < 120 and times.sum() == 240
    claimed = np.full(5, np.nan)
    few = METHODS[name](ballots, known, claimed)
    monkeypatch.setattr(Ballots, "patterns", lambda self, known: (self, known, np.ones(self.num_rows)))
    many = METHODS[name](ballots, known, claimed)
    np.testing.assert_allclose(few.evidence, many.evidence, rtol=1e-6)
    np.testing.assert_allclose(few.prior, many.prior, rtol=1e-6)
