"""Influence in closed form against what really happens when records are left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr

from burnish.nn.influence import Influence, pulling
from burnish.nn.probe import Probe


def world(classes: int, *, seed: int = 0, count: int = 120, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(classes, width))
    targets = np.arange(count) % classes
    return (centres[targets] + 1.2 * draw.normal(size=(count, width))).astype(np.float32), targets


def exact_logits(inputs: np.ndarray, shares: np.ndarray, asked: np.ndarray, l2: float, start: np.ndarray) -> np.ndarray:
    """Logits of the optimum to the last digit, on inputs that are standardised already: Newton's method by trust region."""
    classes = shares.shape[1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(-1, classes)
        logits = inputs @ weight
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        loss = -np.log((chances * shares).sum(1)).mean() + l2 / 2 * np.square(weight[:-1]).sum()
        gradient = inputs.T @ (chances - shares) / len(inputs)
        gradient[:-1] += l2 * weight[:-1]
        return float(loss), gradient.ravel()

    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    return asked @ found.x.reshape(-1, classes)


@pytest.mark.parametrize("classes", [2, 3])
def test_pull_is_what_leaving_the_record_out_does(classes: int) -> None:
    vectors, targets = world(classes, count=60, width=4)
    asked, wanted = world(classes, count=12, width=4)[0] + 0.3, np.arange(12) % classes
    said, at = (wanted + 1) % classes, np.arange(12)
    probe = Probe(classes, seed=0, l2=0.05).fit(vectors, targets)
    influence = Influence(probe, vectors, targets)
    pulls = influence.pulls(asked, said, wanted)
    inputs, questions = (np.c_[probe.standardised(some), np.ones(len(some))].astype(float) for some in (vectors, asked))
    shares, truth = np.eye(classes)[targets], np.empty_like(pulls)
    start = np.zeros(inputs.shape[1] * classes)
    whole = exact_logits(inputs, shares, questions, 0.05, start)
    for row in range(len(vectors)):
        rest = np.arange(len(vectors)) != row
        without = exact_logits(inputs[rest], shares[rest], questions, 0.05, start)
        truth[:, row] = (whole[at, said] - whole[at, wanted]) - (without[at, said] - without[at, wanted])
    ranks = [spearmanr(pulls[one], truth[one]).statistic for one in range(len(asked))]
    assert min(ranks) > 0.97
    assert np.polyfit(truth.ravel(), pulls.ravel(), 1)[0] == pytest.approx(1, abs=0.1)  # the size is right too


def test_pulls_add_up_over_records_left_out_together() -> None:
    vectors, targets = world(3, count=200)
    asked, wanted = world(3, count=12)[0] + 0.3, np.arange(12) % 3
    said, at, draw = (wanted + 1) % 3, np.arange(12), np.random.default_rng(1)
    probe = Probe(3, seed=0, l2=0.05).fit(vectors, targets)
    pulls = Influence(probe, vectors, targets).pulls(asked, said, wanted)
    foreseen, truth = [], []
    for _ in range(40):
        out = draw.choice(200, 20, replace=False)
        rest = np.setdiff1d(np.arange(200), out)
        without = Probe(3, seed=0, l2=0.05).fit(vectors[rest], targets[rest]).logits(asked)
        whole = probe.logits(asked)
        foreseen.append(pulls[:, out].sum(1))
        truth.append((whole[at, said] - whole[at, wanted]) - (without[at, said] - without[at, wanted]))
    assert spearmanr(np.ravel(foreseen), np.ravel(truth)).statistic > 0.85


def test_loss_rises_without_records_that_helped() -> None:
    vectors, targets = world(3)
    asked, wanted = world(3, count=9)
    probe = Probe(3, seed=0, l2=0.05).fit(vectors, targets)
    effect = Influence(probe, vectors, targets).on_loss(asked, wanted)
    truth = np.empty_like(effect)
    before = -np.log(probe.probabilities(asked)[np.arange(9), wanted])
    for row in range(len(vectors)):
        weights = np.ones(len(vectors))
        weights[row] = 0.0
        without = Probe(3, seed=0, l2=0.05).fit(vectors, targets, weights=weights)
        truth[:, row] = -np.log(without.probabilities(asked)[np.arange(9), wanted]) - before
    assert spearmanr(effect.ravel(), truth.ravel()).statistic > 0.9


def test_blocks_of_classes_rank_as_the_whole_hessian_does(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, targets = world(5)
    probe = Probe(5, seed=0, l2=0.05).fit(vectors, targets)
    asked, wanted = vectors[:10], targets[:10]
    whole = Influence(probe, vectors, targets)
    monkeypatch.setattr("burnish.nn.influence.EXACT", 10)
    blocks = Influence(probe, vectors, targets)
    assert whole.exact and not blocks.exact
    said = (wanted + 1) % 5
    found = spearmanr(whole.pulls(asked, said, wanted).ravel(), blocks.pulls(asked, said, wanted).ravel())
    assert found.statistic > 0.8


def test_a_wrongly_labelled_twin_is_the_first_to_be_named() -> None:
    vectors, targets = world(2, count=200)
    asked = vectors[:5] * 1.01
    wrong = 1 - targets[:5]
    vectors, targets = np.concatenate([vectors[5:], asked]), np.concatenate([targets[5:], wrong])  # twins, turned round
    rows, pulls = pulling(vectors, targets, asked, wrong, 1 - wrong, num_classes=2, seed=0, most=3)
    assert rows[:, 0].tolist() == [195, 196, 197, 198, 199]
    assert (np.diff(pulls, axis=1) <= 0).all() and (pulls[:, 0] > 0).all()


def test_a_class_without_training_records_pulls_nothing() -> None:
    vectors, targets = world(2, count=60)
    probe = Probe(3, seed=0, l2=0.05).fit(vectors, targets)
    pulls = Influence(probe, vectors, targets).pulls(vectors[:2], np.array([2, 2]), np.array([2, 2]))
    assert not pulls.any()
