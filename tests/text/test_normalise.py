import unicodedata

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.normalise import normalise, normalised

known = st.text(st.characters(exclude_categories=("Cs", "Cn")))


def test_width_case_blanks_and_the_unseen_make_no_difference():
    assert (
        normalise(" Ｇｏｏｄ\u200b　ＷＯＲＬＤ，\n很好 ")
        == normalise("good world,很好".replace(",", ", "))
        == "good world, 很好"
    )
    assert normalise("soft\u00adhyphen\ufeff") == "softhyphen"


def test_accents_and_traditional_characters_do_make_a_difference():
    assert normalise("résumé") != normalise("resume")
    assert normalise("後") != normalise("后")


def test_every_known_character_is_the_same_in_bulk_and_alone():
    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn")]
    alone = [normalise(character) for character in characters]
    assert normalised(characters) == alone
    assert normalised(alone) == alone


@pytest.mark.parametrize("around", ["a{}b", "AΣ{} ", "{}\u0301", "ｱ{}ﾞ", "각{}ᅡ", "… {}\u3000 ÅB"])
def test_every_character_is_the_same_in_bulk_and_alone_whatever_stands_beside_it(around):
    texts = [around.format(chr(code)) for code in (*range(0x20000), *range(0x2F800, 0x2FA20))]
    assert normalised(texts) == [normalise(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ΟΔΟΣ ΣΑΣ", "οδος σας"),  # a sigma at the end of a word is another letter
        ("Cafe\u0301 CAFÉ", "café café"),
        ("I\u0307İ", "i\u0307i\u0307"),
        ("\u1112\u1161\u11ab한", "한한"),
        ("ｶﾞ", "ガ"),
        ("👩\u200d👧 １\ufe0f\u20e3", "👩👧 1\u20e3"),
        ("很好……㎏", "很好......kg"),
        ("a\0b\x01 \x02 c\n\n\0", "ab c"),
        ("\ud800A\udc00　Ｂ", "\ud800a\udc00 b"),  # halves of a pair stand where they stood
        ("\u3000 \t", ""),
        ("\0", ""),
    ],
)
def test_forms_known_by_hand(text, form):
    assert normalise(text) == form
    assert normalised([text]) == [form]
    assert normalised(["x", text, "很", text, "Σ", ""]) == ["x", form, "很", form, "σ", ""]


@given(st.lists(st.text(st.sampled_from("aΣ \u3000\0\x01\u200b…é\u0301ǅ很ﾞｶ한ᅡ\ud800😀ﷺ\n")), max_size=8))
def test_characters_that_go_grow_or_join_are_the_same_in_bulk_and_alone(texts):
    assert normalised(texts) == [normalise(text) for text in texts]


def test_texts_longer_than_a_block_are_the_same_in_bulk_and_alone():
    texts = ["Ａ … b\u0301 " * 30_000, "\0", "b  c" * 40_000, "", "很　好" * 50_000]
    assert normalised(texts) == [normalise(text) for text in texts]


@given(st.lists(known, min_size=1))
def test_texts_are_the_same_in_bulk_and_alone(texts):
    assert normalised(texts) == [normalise(text) for text in texts]


@given(known)
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_arrow_polars_and_lists_are_all_texts_and_none_is_empty():
    expected = ["a b", "", "很好"]
    texts = ["A  b", None, "很好 "]
    for given_texts in (texts, pa.array(texts), pa.chunked_array([texts[:1], texts[1:]]), pl.Series(texts)):
        assert normalised(given_texts) == expected
