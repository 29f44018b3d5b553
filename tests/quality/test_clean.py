import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.measures.hygiene import RULES, Limits, faults
from burnish.quality.clean import clean

ENGLISH = (
    "The council said on Monday that it had agreed to build a new bridge over the river, and that work would begin in the "
    "spring. People who live near the old one have asked for years to have it closed to lorries, which shake their houses. "
    "A vote in March was close, but the plan passed with the help of two members who had opposed it before."
)
CHINESE = (
    "市议会星期一表示，已经同意在河上修建一座新桥，工程将于明年春天开始。住在旧桥附近的居民多年来一直要求禁止卡车通行，"
    "因为卡车经过时房子会震动。三月份的表决非常接近，但在两名原先反对的议员的支持下，这个计划最后还是通过了。"
)
FRENCH = "Le conseil a annoncé lundi qu'il avait accepté de construire un nouveau pont sur la rivière, et que les travaux commenceraient au printemps prochain pour tous les habitants."
BAD = {
    "language": FRENCH,
    "words": "!",
    "mojibake": "CafÃ© crÃ¨me brÃ»lÃ©e " + ENGLISH[:60],
    "markup": "<div class='a'><p><b><a href='http://example.com/very/long'>Read</a></b></p></div>",
    "placeholder": "Lorem ipsum dolor sit amet and so on.",
    "letters": "12 34 56 78 90 " * 4 + " ".join(f"{n * 7919 % 10007}" for n in range(60)) + " the of and",
    "symbols": " ".join(f"#{word}" for word in ENGLISH.split()),
    "word_length": " ".join("the of " + chr(97 + n % 26) + " " + chr(97 + n // 26) for n in range(40)),
    "stop_words": " ".join(
        f"{thing} {place} cheap hotels booking prices weather news today"
        for thing, place in zip(
            ("shoes", "houses", "bridges", "letters", "members", "lorries"),
            ("London", "Paris", "river", "northern", "spring", "council"),
            strict=True,
        )
    ),
    "bullets": "\n".join(f"- {line}" for line in ENGLISH.split(",")) + "\n- the end of it",
    "ellipses": "\n".join(f"{line}..." for line in ENGLISH.replace(".", ",").split(",")[:-1]),
    "repeated_lines": f"{ENGLISH}\nSign up for the letter now.\nSign up for the letter now.\nSign up for the letter now.",
    "unended": "\n".join(ENGLISH.replace(".", "").replace(",", "").split(" that ")) + "\nhome\nabout us\nnews\ncontact",
    "top_ngram": "buy shoes now or the store and to of " + "buy shoes " * 30,
    "repeated_ngrams": ENGLISH[:180] + " " + ENGLISH[:180],
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_names_the_text_that_breaks_it(rule):
    found, _ = faults([ENGLISH, BAD[rule], CHINESE], Limits(languages=("en", "zh")))
    assert found[0] == found[2] == -1
    assert RULES[found[1]] == rule


def test_repetition_and_stop_words_know_chinese():
    again = "我们店的鞋价格便宜质量好，是不错的。" * 8
    characters = "".join(chr(0x4E00 + 37 * n % 20000) for n in range(80))
    found, _ = faults([again, characters, CHINESE], Limits(languages=("zh",)))
    assert [RULES[number] if number >= 0 else "" for number in found] == ["top_ngram", "stop_words", ""]


@given(st.lists(st.text(max_size=60), max_size=8))
def test_a_text_is_judged_by_itself_whatever_stands_beside_it(texts):
    limits = Limits(languages=("en",), judged_from=3)
    together, values = faults(texts, limits)
    for row, text in enumerate(texts):
        alone, value = faults([text], limits)
        assert alone[0] == together[row] and value[0] == values[row]


def test_the_stage_mends_sets_aside_with_reasons_and_counts(context, tmp_path):
    rows = [
        Record(text=f"{ENGLISH}\u200b   \x00end", id="dirty", label="positive"),
        Record(text="Paris   is", id="offsets", spans=[{"start": 0, "end": 5, "label": "place"}]),
        Record(text=FRENCH, id="french"),
        Record(text="!", id="aside", keep=False),
        Record(text=CHINESE, id="chinese"),
    ]
    clean(Records.from_rows(rows), context, mend=True).save(tmp_path)
    saved = Records.open(tmp_path)
    by = {record.id: record for record in saved}
    assert by["dirty"].text == f"{ENGLISH} end" and by["dirty"].trail and by["dirty"].keep
    assert by["offsets"].text == "Paris   is" and by["offsets"].keep
    assert not by["french"].keep and by["french"].findings[0]["check"] == "clean.language"
    assert by["french"].findings[0]["reason"] == "its language is not one of those wanted"
    assert not by["aside"].keep and not by["aside"].findings
    assert by["chinese"].keep and by["chinese"].text == CHINESE
    assert saved.facts["clean"] == {
        "records": 5, "mended": 1, "aside": 1, "set_aside": {"language": 1}, "languages": ["en", "zh"]
    }  # fmt: skip


def test_rules_are_settings(context):
    def kept(**settings):
        made = clean(Records.from_rows([Record(text=FRENCH), Record(text="!")]), context, **settings)
        return [record.keep for record in made]

    assert kept() == [False, False]
    assert kept(languages=["en", "fr"]) == [True, False]
    assert kept(off=["language"], min_words=0) == [True, True]
    with pytest.raises(BurnishError, match="no rule 'langauge'") as error:
        kept(off=["langauge"])
    assert "language" in error.value.hint
