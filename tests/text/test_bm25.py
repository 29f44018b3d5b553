"""BM25 against its formula, and on Chinese, where there are no blanks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from burnish.text.bm25 import Bm25, words_of


def test_scores_are_those_of_the_formula():
    texts = ["red shoes red", "blue shoes", "a green hat with a feather"]
    found = Bm25(texts).scores("red shoes")
    mean = sum(len(words_of(text)) for text in texts) / 3

    def part(tf: int, df: int, length: int) -> float:
        return math.log(1 + (3 - df + 0.5) / (df + 0.5)) * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / mean))

    assert math.isclose(found[0], part(2, 1, 3) + part(1, 2, 3))
    assert math.isclose(found[1], part(1, 2, 2))
    assert found[2] == 0


def test_chinese_is_found_without_blanks():
    texts = ["如何修改登录密码", "信用卡怎么还款", "借款后多长时间放款", "怎么修改手机号"]
    words = Bm25(texts)
    assert words.top("忘记密码怎么修改", count=4)[0] == 0
    assert words.top("还款", count=1) == [1]
    assert words.top("天气", count=4) == []


def test_a_query_in_two_languages_finds_either():
    words = Bm25(["买 iPhone 手机", "buy a laptop", "手机坏了"])
    assert words.top("iPhone", count=3) == [0]
    assert set(words.top("laptop 手机", count=3)) == {0, 1, 2}


@given(st.lists(st.text(max_size=30), max_size=12), st.text(max_size=20))
def test_any_text_gives_finite_scores_none_below_zero(texts, query):
    found = Bm25(texts).scores(query)
    assert len(found) == len(texts)
    assert (found >= 0).all() and all(map(math.isfinite, found))


@given(st.lists(st.text(alphabet="ab 一二", min_size=1, max_size=8), min_size=1, max_size=8))
def test_a_text_shares_words_with_itself(texts):
    words = Bm25(texts)
    for at, text in enumerate(texts):
        if words_of(text):
            assert words.scores(text)[at] > 0
