"""Clusters, novelty and figures of conversations: known answers by hand, English and Chinese."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.measures import clusters
from burnish.measures.clusters import agreement, alike, middle
from burnish.measures.conversations import conversation_figures, distinct, problem, told
from burnish.measures.novelty import Novelty


def unit(rows: list[list[float]]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def turns(*said: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]


def test_clusters_join_by_their_mean_cosine() -> None:
    vectors = unit([[1, 0], [0, 1], [0.99, 0.1], [0.1, 0.99], [-1, 0]])
    assert alike(vectors, threshold=0.9).tolist() == [0, 1, 0, 1, 4]
    assert alike(vectors, threshold=-1.0).tolist() == [0] * 5
    # a chain: neighbours are 0.94 alike, the ends 0.77; single linkage would make it one
    chain = unit([[np.cos(a), np.sin(a)] for a in (0.0, 0.35, 0.70, 1.05)])
    assert len(set(alike(chain, threshold=0.85).tolist())) == 2


@settings(deadline=None)  # scipy wakes in the first
@given(st.integers(0, 2**16), st.integers(2, 40), st.floats(-0.5, 0.95))
def test_components_first_is_the_same_as_all_at_once(seed: int, count: int, threshold: float) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    vectors = unit(np.random.default_rng(seed).normal(size=(count, 3)).tolist())
    ours = alike(vectors, threshold=threshold)
    distance = 1 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    condensed = np.clip(distance[np.triu_indices(count, 1)], 0, 2)
    theirs = fcluster(linkage(condensed, method="average"), t=1 - threshold, criterion="distance")
    assert agreement(ours, theirs)["f1"] > 0.999


def test_a_large_component_is_cut_before_it_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST_AT_ONCE", 20)
    draw = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 30)
    vectors = unit((np.eye(3)[truth] + 0.05 * draw.normal(size=(90, 3)) + 0.3).tolist())
    found = alike(vectors, threshold=0.8)
    assert agreement(found, truth)["precision"] == 1.0 and len(set(found.tolist())) <= 9


def test_the_middle_is_nearest_to_all() -> None:
    vectors = unit([[1, 0], [1, 0.5], [1, 1]])
    assert middle(vectors) == 1
    assert middle(vectors, [10, 1, 1]) == 0


def test_agreement_by_hand() -> None:
    found = agreement([0, 0, 1, 1], ["a", "a", "a", "b"])
    assert found["precision"] == 0.5 and found["recall"] == pytest.approx(1 / 3) and found["f1"] == pytest.approx(0.4)
    assert agreement([5, 5, 9], ["x", "x", "y"]) == {
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "nmi": pytest.approx(1.0),
    }


@pytest.mark.parametrize(
    ("known", "said", "score"),
    [
        ("Write a poem about spring", "Write a poem about autumn", 0.8),
        ("请写一首关于春天的诗", "请写一首关于秋天的诗", 0.9),
        ("请写一首关于春天的诗", "请写一首关于春天的诗。", 1.0),
        ("Use Python to sort a list", "用 Python 画", None),
        ("解释什么是光合作用", "把这句话翻译成英文", None),
    ],
)
def test_alike_by_longest_common_subsequence(known: str, said: str, score: float | None) -> None:
    found = Novelty([known], threshold=0.7).nearest(said)
    assert found == ((pytest.approx(score), known) if score else (0.0, None))


@given(st.lists(st.text("甲乙丙丁ab ", max_size=12), max_size=8), st.text("甲乙丙丁ab ", max_size=12))
def test_the_nearest_is_what_looking_at_all_would_find(known: list[str], said: str) -> None:
    from burnish.measures.generation import rouge

    score, _ = Novelty(known, threshold=0.5).nearest(said)
    each = [float(rouge([said], [[one]])["rougeL"][0, 2]) for one in known]
    best = max((one for one in each if one >= 0.5 - 1e-12), default=0.0)
    assert score == pytest.approx(best)


def test_what_is_new_is_taken_and_then_known() -> None:
    pool = Novelty(threshold=0.7)
    assert pool.take("解释什么是光合作用") is None
    assert pool.take("请解释什么是光合作用") == "解释什么是光合作用"
    with pytest.raises(ValueError, match="threshold must lie"):
        Novelty(threshold=0)


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        (turns("hi", "hello"), None),
        ([{"role": "system", "content": "be kind"}, *turns("hi", "hello")], None),
        (turns("hi"), "the last turn is no answer"),
        (turns("hi", " "), "turn 2 is empty"),
        (turns("hi", "hello")[1:], "turn 1 is of assistant, not of user"),
        ([*turns("a", "b"), {"role": "system", "content": "x"}], "turn 3 is of system, not of user"),
        ([], "no messages"),
        ([{"role": "system", "content": "x"}], "nobody speaks"),
    ],
)
def test_what_a_trainer_cannot_learn_from(talk: list[dict[str, str]], says: str | None) -> None:
    assert problem(talk) == says


def test_figures_by_hand() -> None:
    assert distinct(["好好学", "好好"], 1) == 2 / 5
    assert distinct(["a b a b", "a b"], 2) == 2 / 4
    assert distinct(["a"], 2) == 0.0
    talks = [
        turns("where is it", "on [PHONE] at noon"),
        turns("where is it", "on [PHONE] at noon"),
        turns("谢谢", "不客气"),
    ]
    found = conversation_figures(talks)
    assert found["conversations"] == 3 and found["turns"]["mean"] == 2.0
    assert found["masked"] == pytest.approx(2 / 3) and found["duplicates"] == pytest.approx(1 / 3)
    assert found["answer_words"]["median"] == 4.0 and found["invalid"] == 0
    assert "3 conversations of 2.0 turns" in told(found) and "masked 66.7%" in told(found)
    assert conversation_figures([])["conversations"] == 0
