"""Terms are found by the word they begin with, and none is missed that one pattern of all terms would find."""

from __future__ import annotations

import pytest

from burnish.text.groups import Mentions, Terms
from burnish.text.words import keyword_pattern

TERMS = ("she", "she's", "her", "old man", "old", "man", "old-timer", "İpek", "straße", "3rd age", "c++", "él")
TEXTS = [
    "She's there; SHE is not. Usher, her!",
    "an old  man, an OLD\nman and an old-timer of old",
    "the 3rd age of c++ and C++, straße STRASSE",
    "ipek İpek ıpek, ÉL él",
    "iPhone手机she她 old她",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_terms_of_letters_are_those_of_one_pattern(text: str) -> None:
    expected = [" ".join(one[0].lower().split()) for one in keyword_pattern(TERMS).finditer(text)]
    assert Terms(TERMS).of(text) == expected
    signs = (*TERMS, "-ism")  # begins with no word: all are looked for by one pattern
    assert Terms(signs).of(text) == [" ".join(one[0].lower().split()) for one in keyword_pattern(signs).finditer(text)]


def test_the_longest_chinese_term_counts_and_covers_what_is_in_it() -> None:
    terms = Terms(("他", "吉他", "女", "女孩", "女孩子"))
    assert terms.of("女孩子弹吉他，他是女") == ["女孩子", "吉他", "他", "女"]
    assert Terms(()).of("他 she") == []


def test_a_text_speaks_of_the_groups_of_its_terms() -> None:
    finder = Mentions({("gender", "women"): ("she", "她"), ("gender", "men"): ("he", "他")})
    assert finder.of("She said he plays") == {("gender", "women"), ("gender", "men")}
    assert finder.of("其他人") == set()  # 其他 guards 他
