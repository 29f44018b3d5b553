import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.normalise import normalise
from burnish.text.words import find_keywords, has_keyword, ngrams, terms, words


def test_english_words_and_chinese_characters_in_one_text():
    assert words("Don't buy the iPhone手机, 很好用! l'été 3.14 1,000.") == [
        "Don't", "buy", "the", "iPhone", "手", "机", "很", "好", "用", "l'été", "3.14", "1,000",
    ]  # fmt: skip


def test_chinese_runs_give_characters_pairs_or_both():
    assert words("很好用abc好", han="bigrams") == ["很好", "好用", "abc", "好"]
    assert words("很好用", han="both") == ["很", "好", "用", "很好", "好用"]


def test_terms_are_words_and_pairs_written_as_in_their_language():
    assert terms("Not GOOD 手机") == ["not", "good", "手", "机", "not good", "good 手", "手机"]


def test_ngrams():
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == []
    assert ngrams(["a", "b", "c"], 3, join=True) == ["a b c"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the party is over", []),
        ("modern ART.", ["ART"]),
        ("买iPhone手机", ["iPhone"]),
        ("iPhone12", []),
        ("强烈推荐这家", ["推荐"]),
        ("I use C++, daily", ["C++"]),
        ("very\n good", ["very\n good"]),
        ("art_work", ["art"]),
    ],
)
def test_keywords_end_where_words_end_in_english_and_anywhere_in_chinese(text, found):
    keywords = ["art", "iphone", "推荐", "c++", "very good"]
    assert [text[start:end] for start, end in find_keywords(text, keywords)] == found
    assert has_keyword([text], keywords).tolist() == [bool(found)]


def test_has_keyword_compares_normalised_forms():
    assert has_keyword(["ＧＯＯＤ 手机", None, "goodness"], ["good"]).tolist() == [True, False, False]


def test_no_keyword_is_in_nothing():
    assert has_keyword(["a", ""], []).tolist() == has_keyword(["a", ""], [" "]).tolist() == [False, False]
    assert find_keywords("a b", [" "]) == []


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_keyword_is_taken_literally(text, keywords):
    written = {" ".join(keyword.split()).lower() for keyword in keywords}
    joined = " ".join([text, *keywords])
    found = find_keywords(joined, keywords)
    assert all(
        " ".join(joined[start:end].split()).lower() in written for start, end in found if joined[start:end].isascii()
    )
    assert bool(found) == bool(any(keyword.strip() for keyword in keywords))
    assert has_keyword([joined], keywords).all() == any(normalise(keyword) for keyword in keywords)


@given(st.text(st.characters(categories=("L", "N"), max_codepoint=0x9FFF), min_size=1, max_size=6))
def test_a_keyword_is_found_in_itself_and_between_blanks(keyword):
    assert has_keyword([keyword, f"x {keyword} x"], [keyword]).all()


@given(st.text())
def test_no_letter_is_lost(text):
    assert all(word in text for word in words(text))
    assert [character for word in words(text) for character in word if character.isalnum()] == [
        character for character in text if character.isalnum()
    ]
