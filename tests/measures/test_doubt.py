"""The model of wrong labels finds what was planted: which, how many, and which class goes to which."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.measures.doubt import doubt, standard
from burnish.measures.noise import label_errors


def world(
    transition: np.ndarray, *, count: int = 1500, sharp: float = 4.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(true, given, logits): texts whose class logits show, and what a classifier trained on the given labels says."""
    draw = np.random.default_rng(seed)
    classes = len(transition)
    true = draw.integers(classes, size=count)
    clean = draw.normal(size=(count, classes)) + sharp * np.eye(classes)[true]
    chances = np.exp(clean) / np.exp(clean).sum(1, keepdims=True)
    given = np.array([draw.choice(classes, p=transition[one]) for one in true])
    return true, given, np.log(chances @ transition)  # it has learnt the mistakes as well


def even(rate: float, classes: int) -> np.ndarray:
    made = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(made, 1 - rate)
    return made


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.2])
def test_the_rate_is_the_planted_one_however_sure_the_classifier_sounds(rate: float) -> None:
    true, given, logits = world(even(rate, 4), sharp=3.0)
    found = doubt(given, [logits / 3])
    assert found.rate.value == pytest.approx((given != true).mean(), abs=0.01)
    assert found.rate.low <= (given != true).mean() <= found.rate.high or rate == 0


def test_texts_that_could_be_either_are_not_taken_for_wrong_labels() -> None:
    """Classes that lie in one another, every label right: confident learning calls a sixth of them wrong."""
    _, given, logits = world(np.eye(4), sharp=1.5)
    assert label_errors(given, np.exp(logits)).rate.value > 0.15
    assert doubt(given, [logits]).rate.value < 0.02


def test_a_probability_is_how_often_it_holds() -> None:
    true, given, logits = world(even(0.2, 3), sharp=2.5, count=4000)
    wrong = doubt(given, [logits]).wrong
    for low, high in ((0.0, 0.2), (0.2, 0.6), (0.6, 0.95), (0.95, 1.0)):
        some = (wrong >= low) & (wrong <= high)
        assert some.sum() > 50
        assert (given != true)[some].mean() == pytest.approx(wrong[some].mean(), abs=0.07)


def test_a_class_half_of_which_was_turned_is_found_by_its_shift() -> None:
    """The classifier calls the turned class by the other name half of the time; confident learning then sees nothing odd."""
    turned = np.eye(3)
    turned[0] = [0.55, 0.45, 0.0]
    true, given, logits = world(turned)
    found = doubt(given, [logits])
    assert found.transition[0] == pytest.approx([0.55, 0.45, 0.0], abs=0.08)
    assert found.transition[1, 1] > 0.95 and found.transition[2, 2] > 0.95
    wrong, hit = given != true, found.wrong > 0.5
    assert (hit & wrong).sum() / wrong.sum() > 0.8 and (hit & wrong).sum() / hit.sum() > 0.8
    assert found.joint.sum() == pytest.approx(1) and found.joint[1, 0] == pytest.approx(0.15, abs=0.04)


def test_a_view_that_knows_nothing_is_not_listened_to() -> None:
    _, given, logits = world(even(0.1, 3))
    noise = np.random.default_rng(1).normal(size=logits.shape)
    alone, both = doubt(given, [logits]), doubt(given, [logits, noise])
    assert np.abs(alone.wrong - both.wrong).mean() < 0.01


def test_classes_that_nobody_is_labelled_with_are_never_true() -> None:
    _, given, logits = world(even(0.1, 3))
    wide = np.insert(logits, 1, -40.0, axis=1)
    found = doubt(np.array([0, 2, 3])[given], [wide])
    assert found.shares.shape == (len(given), 4) and not found.shares[:, 1].any()
    assert found.wrong == pytest.approx(doubt(given, [logits]).wrong)
    assert found.shares.sum(1) == pytest.approx(1) and found.wrong.max() < 1
    assert standard(wide, np.array([0, 2, 3])[given])[:, [0, 2, 3]].std() == pytest.approx(1)


def test_what_cannot_be_fitted_says_so() -> None:
    with pytest.raises(ValueError, match="labels of two classes"):
        doubt([1, 1, 1], [np.zeros((3, 2))])
    with pytest.raises(ValueError, match="every view must be"):
        doubt([0, 1], [np.zeros((2, 2)), np.zeros((2, 3))])
