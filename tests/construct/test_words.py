"""Words in both languages: boundaries, width, negation, patterns that cannot hang, dictionaries with mistakes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.construct.labellers.words import dictionary, keywords, regex
from burnish.core.artifacts import Gold, Records
from burnish.core.errors import BurnishError, DataError
from burnish.core.stage import Context

from .conftest import by_row

TEXTS = ("This is GREAT stuff", "greatness", "我很推荐这个手机", "ＧＲＥＡＴ！", "", "great")


def test_english_stands_alone_and_chinese_anywhere(records_of: Callable[..., Records], context: Context) -> None:
    votes = keywords(records_of(*TEXTS), None, context, label="positive", words=["great", "推荐"])
    assert by_row(votes) == {0: "positive", 2: "positive", 3: "positive", 5: "positive"}


def test_a_word_beside_chinese_is_found(records_of: Callable[..., Records], context: Context) -> None:
    votes = keywords(records_of("买了iPhone手机", "iphones"), None, context, label="positive", words=["iphone"])
    assert by_row(votes) == {0: "positive"}


def test_a_star_leaves_the_end_open(records_of: Callable[..., Records], context: Context) -> None:
    votes = keywords(
        records_of("they recommended it", "unrecommended"), None, context, label="positive", words=["recommend*"]
    )
    assert by_row(votes) == {0: "positive"}


def test_phrases_and_capitals(records_of: Callable[..., Records], context: Context) -> None:
    records = records_of("A must  have, really", "a MUST HAVE", "must not have")
    assert set(by_row(keywords(records, None, context, label="positive", words=["must have"]))) == {0, 1}
    assert set(by_row(keywords(records, None, context, label="positive", words=["must have"], case=True))) == {0}


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("great", True),
        ("not great at all", False),
        ("it isn't really great", False),
        ("not cheap, but the rest of it all is great", True),
        ("不推荐", False),
        ("不是很推荐", False),
        ("没有推荐", False),
        ("特别推荐", True),
        ("非常推荐", True),
        ("不仅推荐", True),
    ],
)
def test_negated_words_can_be_skipped(
    text: str, counts: bool, records_of: Callable[..., Records], context: Context
) -> None:
    votes = keywords(records_of(text), None, context, label="positive", words=["great", "推荐"], negated="skip")
    assert bool(by_row(votes)) is counts
    assert by_row(keywords(records_of(text), None, context, label="positive", words=["great", "推荐"]))


def test_gold_is_voted_on_behind_the_records(
    records_of: Callable[..., Records], gold_of: Callable[..., Gold], context: Context
) -> None:
    gold = gold_of([("bad", "negative"), ("great", "positive")])
    assert by_row(keywords(records_of("x", "great"), gold, context, label="positive", words=["great"])) == {
        1: "positive",
        -2: "positive",
    }


def test_a_foreign_label_names_the_nearest(records_of: Callable[..., Records], context: Context) -> None:
    with pytest.raises(
        BurnishError, match=r"construct.keywords: label: 'positiv' is not a label.*\n  hint: did you mean 'positive'"
    ):
        keywords(records_of("x"), None, context, label="positiv", words=["a"])


def test_a_word_without_letters_to_find_is_an_error(records_of: Callable[..., Records], context: Context) -> None:
    with pytest.raises(BurnishError, match="holds nothing to look for"):
        keywords(records_of("x"), None, context, label="positive", words=[" "])


def test_regex_ignores_case_unless_told(records_of: Callable[..., Records], context: Context) -> None:
    records = records_of("REFUND now", "要退款", "fine")
    assert set(by_row(regex(records, None, context, label="negative", pattern="refund|退[款货]"))) == {0, 1}
    assert set(by_row(regex(records, None, context, label="negative", pattern="refund", flags=[]))) == set()


def test_a_catastrophic_pattern_takes_linear_time(records_of: Callable[..., Records], context: Context) -> None:
    began = time.monotonic()
    assert not by_row(regex(records_of("a" * 20_000), None, context, label="negative", pattern="(a+)+$b"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(\w)\1", "(unclosed"])
def test_a_pattern_that_cannot_be_used_says_why(
    pattern: str, records_of: Callable[..., Records], context: Context
) -> None:
    with pytest.raises(BurnishError, match=r"construct.regex: pattern: the pattern .* cannot be used: .*\n  hint: "):
        regex(records_of("x"), None, context, label="negative", pattern=pattern)


def test_a_dictionary_sums_weights_and_abstains_on_ties(
    records_of: Callable[..., Records], context: Context, tmp_path: Path
) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_text(
        "term\tlabel\tweight\ngood\tpositive\t1\nawful\tnegative\t2\n很差\tnegative\n好看\tpositive\n", "utf-8"
    )
    votes = dictionary(
        records_of("good but awful", "good, very good", "质量很差", "好看但是很差", "nothing"), None, context, path=path
    )
    assert by_row(votes) == {0: "negative", 1: "positive", 2: "negative"}
    assert votes.table["confidence"].to_pylist()[0] == pytest.approx(2 / 3)


def test_all_mistakes_of_a_dictionary_at_once(
    records_of: Callable[..., Records], context: Context, tmp_path: Path
) -> None:
    path = tmp_path / "lexicon.csv"
    path.write_text("good,positve\nbad,negative,heavy\nlonely\n", "utf-8")
    with pytest.raises(DataError) as caught:
        dictionary(records_of("x"), None, context, path=path)
    said = str(caught.value)
    assert "lexicon.csv:1: 'positve' is not a label" in said and "did you mean 'positive'" in said
    assert "lexicon.csv:2: weight 'heavy' is not a number" in said
    assert "lexicon.csv:3: a term and its label are needed" in said
