"""What works on vectors, on planted clouds: no weights are needed to see that the arithmetic is right."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.construct.labellers.nearest import refine, similarity
from burnish.construct.self_training import confident, train_rounds
from burnish.nn.continuing import continued


def clouds(
    n: int, *, k: int = 3, d: int = 16, spread: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vectors (n, d) of length 1, truth (n,), centres (k, d))."""
    random = np.random.default_rng(seed)
    centres = np.linalg.qr(random.normal(size=(d, k)))[0].T
    truth = random.integers(0, k, n)
    vectors = centres[truth] + spread / np.sqrt(d) * 2 * random.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth, centres


def test_an_example_does_not_vouch_for_itself() -> None:
    seeds = np.eye(4, dtype=np.float32)
    targets = np.array([0, 0, 1, 1])
    alone = similarity(seeds, seeds, targets, 2, itself=np.arange(4))
    together = similarity(seeds, seeds, targets, 2, itself=np.full(4, -1))
    assert alone == pytest.approx(np.zeros((4, 2)), abs=1e-6)
    assert (together.argmax(1) == targets).all()


def test_a_label_without_an_example_is_never_nearest() -> None:
    vectors, truth, _ = clouds(50, k=2)
    scores = similarity(vectors, vectors[:10], truth[:10], 3, itself=np.full(50, -1))
    assert (scores[:, 2] == -1).all() and (scores.argmax(1) != 2).all()


def test_refinement_repairs_descriptions_that_are_a_little_off() -> None:
    vectors, truth, centres = clouds(900, spread=0.6)
    random = np.random.default_rng(1)
    off = centres + 0.45 * random.normal(size=centres.shape) / 2
    off /= np.linalg.norm(off, axis=1, keepdims=True)
    before = (refine(vectors, off, rounds=0).argmax(1) == truth).mean()
    after = (refine(vectors, off, rounds=5).argmax(1) == truth).mean()
    assert after > before


def test_gold_moves_the_probe_only_where_it_helps() -> None:
    vectors, truth, centres = clouds(60)
    right = 8 * vectors @ centres.T
    wrong = np.roll(right, 1, axis=1)
    shares = np.full(3, 1 / 3)
    mended = continued(wrong.astype(np.float64), vectors, truth, shares=shares, seed=0)
    assert mended.pull is not None
    assert ((wrong + mended(vectors)).argmax(1) == truth).mean() > 0.9
    assert mended.accuracy > (wrong.argmax(1) == truth).mean() + 0.3


def test_self_training_reaches_the_uncovered_and_mends_the_doubtful() -> None:
    vectors, truth, _ = clouds(600, spread=0.4)
    random = np.random.default_rng(2)
    said = np.where(random.random(600) < 0.7, truth, (truth + 1) % 3)
    votes = np.full((600, 3), 0.15)
    votes[np.arange(600), said] = 0.7
    votes[300:] = np.nan
    steps = train_rounds(
        vectors,
        votes,
        gold_vectors=vectors[:0],
        truth=truth[:0],
        learn_gold=False,
        rounds=3,
        precision=0.6,
        overrule=True,
        seed=0,
    )
    last = steps[-1]
    covered = np.arange(600) < 300
    found = last.targets.argmax(1)
    assert (found == truth)[covered].mean() > (said == truth)[covered].mean() + 0.1
    added = last.labelled & ~covered
    assert added.sum() > 100
    assert (found == truth)[added].mean() > 0.85


def test_votes_are_not_overruled_when_that_is_not_wished() -> None:
    vectors, truth, _ = clouds(300)
    said = np.where(np.arange(300) % 4 == 0, (truth + 1) % 3, truth)
    votes = np.full((300, 3), 0.2)
    votes[np.arange(300), said] = 0.6
    steps = train_rounds(
        vectors,
        votes,
        gold_vectors=vectors[:0],
        truth=truth[:0],
        learn_gold=False,
        rounds=2,
        precision=0.9,
        overrule=False,
        seed=0,
    )
    assert (steps[-1].targets.argmax(1) == said).all()


def test_an_easy_label_does_not_swamp_the_others() -> None:
    beliefs = np.vstack(
        [np.tile([0.99, 0.01], (100, 1)), np.tile([0.08, 0.92], (20, 1)), np.tile([0.45, 0.55], (80, 1))]
    )
    taken, estimated = confident(beliefs, np.ones(200, dtype=bool), 0.9)
    first, second = taken[:100].sum(), taken[100:120].sum()
    assert second > 0 and first / second < 100 / 20
    assert estimated >= 0.9
    assert not taken[121:].any()


def test_rounds_that_explain_gold_worse_are_not_kept() -> None:
    vectors, truth, _ = clouds(300, spread=0.3)
    votes = np.full((300, 3), 0.02)
    votes[np.arange(300), truth] = 0.96
    votes[50:] = np.nan
    steps = train_rounds(
        vectors,
        votes,
        gold_vectors=vectors[200:],
        truth=truth[200:],
        learn_gold=False,
        rounds=3,
        precision=0.9,
        overrule=True,
        seed=0,
    )
    scores = [one.teacher.log_score for one in steps]
    assert scores == sorted(scores)
    assert (steps[0].labelled == (np.arange(300) < 50)).all()
