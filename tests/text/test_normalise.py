import unicodedata

import polars as pl
import pyarrow as pa
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
