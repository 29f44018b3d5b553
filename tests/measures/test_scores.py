import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from burnish.measures import scores

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def probabilities(rng: np.random.Generator, count: int, classes: int) -> np.ndarray:
    return rng.dirichlet(np.ones(classes), count)


@given(pairs)
def test_scores_are_scikit_learns(pairs):
    targets, predictions = np.array(pairs).T
    matrix = scores.confusion(targets, predictions, 4)
    assert (matrix == metrics.confusion_matrix(targets, predictions, labels=range(4))).all()
    expected = metrics.precision_recall_fscore_support(targets, predictions, labels=range(4), zero_division=0)
    assert np.allclose(scores.per_class(matrix), expected)
    f1 = {
        name: metrics.f1_score(targets, predictions, average=name, zero_division=0)
        for name in ("macro", "micro", "weighted")
    }
    assert scores.macro_f1(matrix) == pytest.approx(f1["macro"])
    assert scores.micro_f1(matrix) == scores.accuracy(matrix) == pytest.approx(f1["micro"])
    assert scores.weighted_f1(matrix) == pytest.approx(f1["weighted"])
    if len(set(targets)) > 1 or len(set(predictions)) > 1:  # scikit-learn warns for a single label
        assert scores.matthews(matrix) == pytest.approx(metrics.matthews_corrcoef(targets, predictions), abs=1e-9)


@given(pairs, st.lists(st.text("ab长标签", min_size=1, max_size=20), min_size=4, max_size=4), st.integers(1, 4))
@settings(max_examples=50)
def test_the_report_is_scikit_learns_to_the_character(pairs, labels, digits):
    # Where nothing at all is right scikit-learn 1.9 prints its counts as 1.0.
    targets, predictions = np.array([*pairs, (0, 0)]).T
    expected = metrics.classification_report(
        targets, predictions, labels=range(4), target_names=labels, digits=digits, zero_division=0
    )
    assert scores.classification_report(targets, predictions, labels, digits=digits) == expected


def test_a_stack_of_matrices_is_scored_at_once():
    stack = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    for score in (scores.accuracy, scores.macro_f1, scores.weighted_f1, scores.matthews):
        assert np.allclose(score(stack), [score(matrix) for matrix in stack])


def test_probability_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    targets, given_probabilities = rng.integers(0, 4, 300), probabilities(rng, 300, 4)
    assert scores.log_loss(targets, given_probabilities) == pytest.approx(
        metrics.log_loss(targets, given_probabilities, labels=range(4))
    )
    for k in (1, 2, 3):
        assert scores.top_k_accuracy(targets, given_probabilities, k) == pytest.approx(
            metrics.top_k_accuracy_score(targets, given_probabilities, k=k, labels=range(4))
        )
    assert scores.brier(targets, given_probabilities) == pytest.approx(
        ((given_probabilities - np.eye(4)[targets]) ** 2).sum(1).mean()
    )


def test_an_impossible_target_costs_much_but_not_infinitely():
    assert scores.log_loss([0], [[0.0, 1.0]]) == pytest.approx(-np.log(np.finfo(float).eps))


def test_calibration_error_by_hand():
    # 0.9 three times, two right: |2/3 - 0.9|; 0.6 once, right: |1 - 0.6|.
    given_probabilities = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.4, 0.6]]
    targets = [0, 1, 1, 1]
    assert scores.ece(targets, given_probabilities) == pytest.approx((3 * (0.9 - 2 / 3) + 0.4) / 4)
    table = scores.reliability(targets, given_probabilities, bins=10)
    assert table["count"].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 3, 0]  # bins are closed on the right
    assert table["accuracy"][8] == pytest.approx(2 / 3) and np.isnan(table["accuracy"][0])


def test_a_calibrated_model_has_little_calibration_error():
    rng = np.random.default_rng(0)
    given_probabilities = probabilities(rng, 20_000, 3)
    targets = (given_probabilities.cumsum(1) < rng.random((20_000, 1))).sum(1)
    assert scores.ece(targets, given_probabilities) < 0.015
    assert scores.ece(targets, np.eye(3)[given_probabilities.argmax(1)]) > 0.2


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=1, max_size=20))
def test_threshold_curve_says_what_each_threshold_gives(rows):
    targets, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = scores.threshold_curve(targets, values)
    assert curve["threshold"].tolist() == sorted(set(values.tolist()))
    for threshold, precision, recall, f1 in zip(*curve.values(), strict=True):
        expected = metrics.precision_recall_fscore_support(
            targets, values >= threshold, average="binary", zero_division=0
        )
        assert (precision, recall, f1) == pytest.approx(expected[:3])


def test_coverage_curve_gives_up_records_for_accuracy():
    curve = scores.coverage_curve([0, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    assert curve["threshold"].tolist() == [0.7, 0.8, 0.9]
    assert curve["coverage"].tolist() == pytest.approx([1, 2 / 3, 1 / 3])
    assert curve["accuracy"].tolist() == pytest.approx([2 / 3, 1, 1])


def test_all_scores_are_plain_numbers():
    import json

    found = scores.classification_scores([0, 1, 1], [0, 1, 0], ["坏", "好", "无"], probabilities=np.full((3, 3), 1 / 3))
    assert json.loads(json.dumps(found)) == found
    assert found["per_class"]["无"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert found["n"] == 3 and found["macro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("targets", "predictions"), [([0, 3], [0, 1]), ([0, 1], [0, -1]), ([0], [0, 1])])
def test_labels_out_of_range_and_unequal_lengths_are_errors(targets, predictions):
    with pytest.raises(ValueError, match="must"):
        scores.confusion(targets, predictions, 3)


def test_scores_of_nothing_are_errors():
    with pytest.raises(ValueError, match="at least one record"):
        scores.ece([], np.empty((0, 3)))
