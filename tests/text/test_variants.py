"""Texts written otherwise, and about somebody else: grammar by hand, lengths where they must stay."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.text.counterparts import counterparts, swapped
from burnish.text.groups import DEFAULT, mentions, read_groups
from burnish.text.variants import SAME_LENGTH, VARIANTS, negated


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("He lost his keys.", "She lost her keys."), ("She lost her keys.", "He lost his keys."),
        ("I told her yesterday.", "I told him yesterday."), ("I told him.", "I told her."),
        ("The book is his.", "The book is hers."), ("The idea was hers.", "The idea was his."),
        ("An actor and a waitress", "An actress and a waiter"), ("他说其他人弹吉他", "她说其他人弹吉他"),
        ("爸爸和儿子", "妈妈和女儿"), ("HE SHOUTED", "SHE SHOUTED"),
    ],
)  # fmt: skip
def test_a_text_about_the_other_gender_keeps_its_grammar(text: str, other: str) -> None:
    assert swapped(text, counterparts("gender")) == other


def test_articles_follow_the_word() -> None:
    assert swapped("He met an American and an African.", counterparts("groups")) == "He met a Chinese and a European."


def test_nothing_to_swap_is_nothing() -> None:
    assert swapped("the weather is fine 其他", counterparts("gender")) is None


@pytest.mark.parametrize(
    ("text", "other"),
    [("It is good.", "It is not good."), ("It isn't good.", "It is good."), ("I won't go", "I will go"), ("It was not bad", "It was bad"),
     ("这个很好", "这个很不好"), ("我不喜欢它", "我喜欢它"), ("房间里有电视", "房间里没有电视")],
)  # fmt: skip
def test_denial_by_hand(text: str, other: str) -> None:
    assert negated(text, random.Random(0)) == other


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 50))
def test_variants_change_something_or_say_nothing_and_are_the_same_twice(text: str, seed: int) -> None:
    for name, change in VARIANTS.items():
        made = change(text, random.Random(seed))
        assert made is None or made != text, name
        assert made == change(text, random.Random(seed))
    for name, change in SAME_LENGTH.items():
        made = change(text, random.Random(seed))
        assert made is None or len(made) == len(text), name


def test_groups_are_found_in_both_languages_and_not_inside_other_words() -> None:
    found = mentions(["She left", "其他人", "the mosque", "他们走了", "theology"], read_groups(DEFAULT))
    assert found["gender", "women"].tolist() == [True, False, False, False, False]
    assert found["gender", "men"].tolist() == [False, False, False, True, False]
    assert found["religion", "Muslims"].tolist() == [False, False, True, False, False]
