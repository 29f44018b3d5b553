import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.language import languages, traditional_share


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("很好", "zh"),
        ("好", "zh"),
        ("東京", "zh"),  # Han without kana: nothing says Japanese
        ("买iPhone手机不错", "zh"),
        ("これはペンです", "ja"),
        ("東京都に住んでいます", "ja"),
        ("这个の店很好吃，推荐给大家来试试看", "zh"),  # one decorative kana
        ("안녕하세요", "ko"),
        ("Bonjour le monde, comment allez-vous ?", "fr"),
        ("The quick brown fox jumps over the lazy dog", "en"),
        ("I finally visited 北京 with my parents during the long summer holidays", "en"),
    ],
)
def test_language_is_named_reliably(text, code):
    found = languages([text])
    assert (found.code[0], bool(found.reliable[0])) == (code, True)


@pytest.mark.parametrize("text", ["", "123 !!", "😀", None, "  "])
def test_a_text_without_letters_is_undetermined(text):
    assert languages([text]).code[0] == "und"
    assert languages([text], among=["en", "zh"]).code[0] == "und"


def test_expected_languages_settle_short_texts_but_not_reliably():
    assert languages(["lol", "OK"]).code.tolist() == ["und", "und"]
    guessed = languages(["lol", "OK", "Das ist aber wirklich sehr schön geworden"], among=["en", "zh"])
    assert guessed.code.tolist() == ["en", "en", "de"]
    assert guessed.reliable.tolist() == [False, False, True]


@given(st.lists(st.text(max_size=40), max_size=8))
def test_order_and_neighbours_make_no_difference(texts):
    backwards = languages(texts[::-1])
    assert languages(texts).code.tolist() == backwards.code[::-1].tolist()
    assert [languages([text]).code[0] for text in texts] == languages(texts).code.tolist()


def test_traditional_share_counts_only_characters_that_tell():
    share = traditional_share(["買這個手機", "买这个手机", "的", "", "買买"])
    assert share[:2].tolist() == [1.0, 0.0]
    assert math.isnan(share[2]) and math.isnan(share[3])
    assert share[4] == 0.5
