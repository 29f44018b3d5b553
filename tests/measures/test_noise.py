import numpy as np
import pytest

from burnish.measures.noise import calibrated, confident_classes, label_errors


def planted(count: int = 3000, classes: int = 4, rate: float = 0.1, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return (noisy labels, probabilities of a fair classifier, which labels are wrong)."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + 3.0 * np.eye(classes)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = rng.random(count) < rate
    return np.where(wrong, (true + rng.integers(1, classes, count)) % classes, true), probabilities, wrong


def test_the_confident_joint_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.4, 0.6]])
    # Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 and (0.7 + 0.6) / 2 = 0.65.
    assert confident_classes(np.eye(2)[labels], probabilities).tolist() == [0, 0, 1, 1, -1]
    joint = calibrated(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([3.0, 2.0]))
    assert joint.tolist() == [[2.0, 1.0], [0.0, 2.0]]
    noise = label_errors(labels, probabilities)
    assert np.allclose(noise.joint, joint / 5)
    assert noise.rate.value == pytest.approx(0.2)
    assert np.allclose(noise.transition, [[1, 0], [1 / 3, 2 / 3]])
    assert noise.suspect.tolist() == [False, False, True, False, False]
    assert noise.suggestion.tolist() == [0, 0, 1, 1, 1]
    assert noise.score == pytest.approx([0.9, 0.8, 0.1, 0.7, 0.6])


@pytest.mark.parametrize(("prune", "recall"), [("noise_rate", 0.8), ("class", 0.8), ("both", 0.8), ("confident", 0.6)])
def test_planted_errors_are_found(prune, recall):
    labels, probabilities, wrong = planted()
    suspect = label_errors(labels, probabilities, prune=prune).suspect
    assert (suspect & wrong).sum() / wrong.sum() > recall
    assert (suspect & wrong).sum() / suspect.sum() > 0.6


@pytest.mark.parametrize("rank", ["normalized_margin", "self_confidence"])
def test_wrong_labels_score_lower(rank):
    labels, probabilities, wrong = planted()
    score = label_errors(labels, probabilities, rank=rank).score
    assert ((score >= 0) & (score <= 1)).all()
    assert (score[wrong][:, None] < score[~wrong][None, :]).mean() > 0.97


def test_the_rate_of_a_good_classifier_is_the_planted_rate():
    labels, probabilities, wrong = planted(count=8000, seed=3)
    sharp = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    rate = label_errors(labels, sharp).rate
    assert rate.low <= rate.value <= rate.high
    assert abs(rate.value - wrong.mean()) < 0.05


@pytest.mark.parametrize("prune", ["noise_rate", "confident"])
def test_suspects_are_cleanlabs(prune):
    cleanlab = pytest.importorskip("cleanlab.filter", reason="cleanlab is a peer, not a dependency")
    names = {"noise_rate": "prune_by_noise_rate", "confident": "confident_learning"}
    for seed in range(3):
        labels, probabilities, _ = planted(seed=seed, classes=3 + seed)
        theirs = cleanlab.find_label_issues(labels, probabilities, filter_by=names[prune], n_jobs=1)
        ours = label_errors(labels, probabilities, prune=prune).suspect
        assert (ours != theirs).mean() < 0.003  # they round the joint differently


def test_soft_labels_that_are_certain_are_hard_labels():
    labels, probabilities, _ = planted(count=500)
    hard, soft = label_errors(labels, probabilities), label_errors(np.eye(4)[labels], probabilities)
    assert (hard.suspect == soft.suspect).all() and np.allclose(hard.score, soft.score)
    assert np.allclose(hard.joint, soft.joint)


def test_order_does_not_matter():
    labels, probabilities, _ = planted(count=400)
    order = np.random.default_rng(1).permutation(400)
    first, moved = label_errors(labels, probabilities), label_errors(labels[order], probabilities[order])
    assert (first.suspect[order] == moved.suspect).all()


def test_clean_labels_of_a_sure_classifier_are_not_doubted():
    labels = np.arange(90) % 3
    noise = label_errors(labels, np.eye(3)[labels] * 0.9 + 0.1 / 3)
    assert not noise.suspect.any() and noise.rate.value == 0


def test_a_class_without_labels_is_never_confident():
    noise = label_errors([0, 0, 1], [[0.6, 0.1, 0.3], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
    assert noise.joint[:, 2].sum() == 0
    assert np.allclose(noise.transition.sum(1), 1)


@pytest.mark.parametrize(("labels", "shape"), [([0, 3], (2, 3)), ([0], (2, 3)), ([], (0, 3)), ([[1.0, 0.0]], (1, 3))])
def test_shapes_and_ranges_are_checked(labels, shape):
    with pytest.raises(ValueError, match="must"):
        label_errors(labels, np.full(shape, 1 / 3))
