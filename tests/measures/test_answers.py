import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.measures import answers

words = st.lists(
    st.sampled_from(["the", "old", "Bridge", "1998", "of", "北京", "大学", "iPhone", ",", "。", "-"]), max_size=8
)
texts = words.map(" ".join)


@pytest.mark.parametrize(
    ("said", "gold", "exact", "f1"),
    [
        ("The Norman Conquest.", "norman conquest", 1.0, 1.0),  # case, article, punctuation
        ("in the 10th century", "10th century", 0.0, 0.8),  # words in, 10th, century: precision 2/3, recall 1
        ("U.S.A.", "usa", 1.0, 1.0),
        ("an apple a day", "Apple day", 1.0, 1.0),
        ("two two words", "two words words", 0.0, 2 / 3),  # a word counts as often as both have it
        ("France", "Denmark", 0.0, 0.0),
        ("", "", 1.0, 1.0),
        ("France", "", 0.0, 0.0),
        ("", "France", 0.0, 0.0),
        ("the", "", 1.0, 1.0),  # nothing is left of an article
        ("北京大学", "北京大学", 1.0, 1.0),
        ("《北京大学》。", "北京大学", 1.0, 1.0),  # Chinese punctuation
        ("北京", "北京大学", 0.0, 2 / 3),  # precision 1, recall 1/2
        ("大学北京", "北京大学", 0.0, 0.5),  # the longest common run has two of four characters
        ("1998年", "1998", 0.0, 2 / 3),  # a figure is one piece; script of what was said counts too
        ("3.14米", "314米", 0.0, 0.5),  # a point within a figure is not dropped
        ("买iPhone 15手机", "iphone", 0.0, 1 / 3),  # five pieces, one of them right
    ],
)
def test_scores_by_hand(said, gold, exact, f1):
    assert answers.exact(said, gold) == exact
    assert answers.f1(said, gold) == pytest.approx(f1)


@given(texts, texts)
def test_scores_have_bounds_and_a_text_is_itself(a, b):
    assert answers.exact(a, a) == answers.f1(a, a) == 1.0
    assert 0.0 <= answers.f1(a, b) <= 1.0
    assert answers.f1(a, b) == pytest.approx(answers.f1(b, a))
    if answers.exact(a, b):
        assert answers.f1(a, b) == 1.0 or answers.is_unspaced(a + b)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_longest_common_run_is_the_longest(a, b):
    runs = {"".join(a[i:j]) for i in range(len(a)) for j in range(i, len(a) + 1)}
    common = [run for run in runs if run in "".join(b)]
    assert answers.longest_common_run(a, b) == max(map(len, common), default=0)


def test_the_best_of_several_gold_answers_counts():
    scores = answers.answer_scores(
        ["in 1066", "", "x", "", "巴黎"], [["1066", "in 1066"], [], [""], ["y"], ["法国", "巴黎市"]]
    )
    assert scores[:4].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    assert scores[4].tolist() == [0, pytest.approx(0.8)]
    assert answers.answer_scores(["the", "x"], [["an", "."], ["an", "x"]]).tolist() == [[1, 1], [1, 1]]
    assert answers.by_kind(scores, [True, False, False, True, True])["unanswerable"] == {
        "n": 2,
        "exact_match": 0.5,
        "f1": 0.5,
    }


records = st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=12)


@given(records)
def test_no_threshold_is_better_than_the_best(rows):
    odds, scores, able = (np.array(column) for column in zip(*rows, strict=True))
    found = answers.best_threshold(odds, scores, able)

    def mean(threshold):
        return np.where(odds > threshold, ~able.astype(bool), scores * able).mean()

    assert found.score == pytest.approx(mean(found.value))
    tried = [odds.min() - 1, *odds, odds.max() + 1]
    assert found.score == pytest.approx(max(map(mean, tried)))


def test_thresholds_of_nothing():
    assert answers.best_threshold([], [], []).value == 0.0
    with pytest.raises(ValueError, match="finite"):
        answers.best_threshold([np.inf], [1.0], [True])
