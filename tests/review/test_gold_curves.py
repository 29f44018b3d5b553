"""Curves of weak and checked labels on vectors whose truth is known, and the next action with its gain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from burnish.review.gold_curves import Pool, curves, resampled
from burnish.review.next_action import best_words, gain_of, next_action


def pool(*, weak_right: float, checked: int = 90, seed: int = 0) -> Pool:
    """Two labels that a line parts; weak labels are right with this chance. Wrong ones of `spam` hold the word prize."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.integers(0, 2, count)
        found = rng.normal(0, 1, (count, 8))
        found[:, 0] += 3.0 * (2 * truth - 1)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), truth

    vectors, truth = some(checked)
    weak, hidden = some(300)
    said = np.where(rng.random(300) < weak_right, hidden, 1 - hidden)
    given = np.where(rng.random(checked) < weak_right, truth, 1 - truth)
    texts = [
        f"mail {at} " + ("prize" if t == 1 and g == 0 else "hello")
        for at, (t, g) in enumerate(zip(truth, given, strict=True))
    ]
    return Pool(
        labels=["ham", "spam"], texts=texts, vectors=vectors, truth=truth, weight=np.ones(checked),
        given=[("ham", "spam")[one] for one in given], weak_texts=["w"] * 300, weak_ids=[f"w{at}" for at in range(300)], weak=weak,
        soft=np.eye(2)[said], rest_texts=[], rest=np.zeros((0, 8), dtype=np.float32), covered=1.0,
    )  # fmt: skip


def test_good_weak_labels_are_worth_more_than_a_few_checked_ones() -> None:
    found = curves(pool(weak_right=0.95), seed=0)
    first = found["curves"][0]
    assert first["gold"] == 10 and first["weak_only"]["value"] > first["gold_only"]["value"]
    assert [one["gold"] for one in found["curves"]] == [10, 20, 40, 60]  # a third of the 90 judges
    assert all(
        one["gold_last"]["low"] <= one["gold_last"]["value"] <= one["gold_last"]["high"] for one in found["curves"]
    )


def test_weak_labels_that_are_wrong_as_often_as_right_do_not_help() -> None:
    last = curves(pool(weak_right=0.5), seed=0)["curves"][-1]
    assert last["weak_only"]["value"] < 0.8 < last["gold_only"]["value"]
    assert last["gold_last"]["value"] > last["weak_only"]["value"]


def test_no_checked_record_judges_itself() -> None:
    """Checked labels that are pure chance cannot be foretold: a record that taught and judged would be right."""
    made = pool(weak_right=0.5, checked=120)
    noise = Pool(**{**vars(made), "truth": np.random.default_rng(1).integers(0, 2, 120)})
    last = curves(noise, seed=0)["curves"][-1]
    assert all(last[way]["value"] < 0.7 for way in ("weak_only", "gold_only", "both", "gold_last"))


def test_the_corrected_interval_by_hand() -> None:
    """0.8 and 0.9: variance 0.005; x (1/2 + 1/2) = 0.005; t(1) = 12.706."""
    found = resampled([0.8, 0.9], 0.5)
    assert found["value"] == pytest.approx(0.85)
    assert found["high"] - found["value"] == pytest.approx(12.7062 * math.sqrt(0.005), rel=1e-4)


def test_the_gain_of_a_rule_by_hand() -> None:
    """`prize` is spam: mends two of five, spoils one, leaves one that is spam already: (2 - 1) / 5."""
    bags = [{"prize"}, {"prize", "now"}, {"prize"}, {"prize"}, {"hello"}]
    true = np.array(["spam", "spam", "ham", "spam", "ham"], dtype=object)
    given = np.array(["ham", "ham", "ham", "spam", "ham"], dtype=object)
    everywhere = np.ones(5, dtype=bool)
    assert gain_of("spam", ["prize"], bags, true, given, np.ones(5), everywhere) == pytest.approx(1 / 5)
    assert gain_of("spam", ["hello"], bags, true, given, np.ones(5), everywhere) == pytest.approx(-1 / 5)
    assert gain_of("spam", ["prize"], bags, true, given, np.array([3, 1, 1, 1, 1]), everywhere) == pytest.approx(3 / 7)
    assert best_words(bags, true, given, np.ones(5), everywhere) is None  # two wrong ones say too little


def test_a_word_that_is_frequent_in_what_is_wrong_becomes_a_rule_to_write() -> None:
    made = pool(weak_right=0.75, checked=160)
    numbers = {"slope": {"value": 0.0, "low": 0.0, "high": 0.0}, "checked": 160}
    found = next_action(made, numbers, seed=0)
    action = found["action"]
    assert (action["kind"], action["label"]) == ("rule", "spam") and "prize" in action["words"]
    wrong = np.mean([t == 1 and g == "ham" for t, g in zip(made.truth, made.given, strict=True)])
    assert action["gain"]["value"] == pytest.approx(wrong, abs=0.04)  # the rule mends them all
    assert "Write a rule for spam" in action["said"]["en"] and "为 spam 写一条规则" in action["said"]["zh"]


def test_a_curve_that_rises_asks_for_labels_and_a_flat_one_stops() -> None:
    made = pool(weak_right=1.0)
    rising = next_action(made, {"slope": {"value": 0.04, "low": 0.01, "high": 0.07}, "checked": 90}, seed=0)["action"]
    assert rising["kind"] == "label" and len(set(rising["ids"])) == 40
    assert rising["gain"]["value"] == pytest.approx(0.04 * math.log2(130 / 90))
    flat = next_action(made, {"slope": {"value": 0.0, "low": -0.01, "high": 0.01}, "checked": 90}, seed=0)["action"]
    assert flat["kind"] == "stop" and flat["said"]["zh"].startswith("可以停止")
