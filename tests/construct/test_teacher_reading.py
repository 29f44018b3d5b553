"""What a teacher wrote, however it wrote it: JSON mended, labels found, quotes found again, and words where it cannot be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.construct.teachers.answers import relations_of, spans_of
from burnish.construct.teachers.reading import (
    Partly,
    as_json,
    as_label,
    as_labels,
    as_number,
    find_quote,
    find_quotes,
    without_thoughts,
)

LABELS = ["positive", "negative", "very positive", "not_spam", "SPAM", "体育", "财经"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"label": "a"}', {"label": "a"}),
        ('Sure! Here it is:\n```json\n{"label": "a"}\n```\nAnything else?', {"label": "a"}),
        ("{'label': 'a',}", {"label": "a"}),
        ('The answer is {"label": "a"} because of it.', {"label": "a"}),
        ('{"label": "a", "why": "cut he', {"label": "a", "why": "cut he"}),
        ('[{"label": "a"}]', {"label": "a"}),
        ("{“label”: “a”}", {"label": "a"}),
    ],
)
def test_json_is_found_and_mended(text: str, value: object) -> None:
    assert as_json(text) == value


@pytest.mark.parametrize("text", ["", "no idea", "positive", "42", '"a"'])
def test_what_holds_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON"):
        as_json(text)


def test_a_list_may_be_wrapped_in_an_object() -> None:
    assert as_json('{"spans": [1, 2]}', wanted=list) == [1, 2]
    assert as_json('{"text": "a", "label": "b"}', wanted=list) == [{"text": "a", "label": "b"}]


def test_thoughts_of_a_reasoning_model_are_no_answer() -> None:
    assert without_thoughts("<think>It may be negative.</think>\npositive") == "positive"
    assert without_thoughts("It may be negative.</think>positive") == "positive"  # some servers swallow the first tag
    assert without_thoughts("positive") == "positive"


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("positive", "positive"),
        (" Positive. ", "positive"),
        ("**POSITIVE**", "positive"),
        ("ｐｏｓｉｔｉｖｅ", "positive"),
        ("Label: positive", "positive"),
        ("The review is very positive about it.", "very positive"),
        ('{"label": "Very_Positive"}', "very positive"),
        ({"label": ["positive"]}, "positive"),
        ("not spam", "not_spam"),
        ("Not-Spam!", "not_spam"),
        ("postive", "positive"),
        ("标签：体育", "体育"),
        ("这段文本属于财经类。", "财经"),
        ("I first thought negative.\n\npositive", "positive"),
    ],
)
def test_a_label_is_known_however_it_is_written(said: object, label: str) -> None:
    assert as_label(said, LABELS) == label


@pytest.mark.parametrize(
    "said", ["positive or negative", "it is not positive", "不是体育", "neutral", "", {"x": 1, "y": 2}, None, [1, 2]]
)
def test_what_names_no_label_or_two_is_refused_and_told_the_labels(said: object) -> None:
    with pytest.raises(ValueError, match=r"one of these labels is wanted.*positive, negative"):
        as_label(said, LABELS)


def test_not_to_know_is_an_answer_where_it_may_be() -> None:
    assert as_label('{"label": "unknown"}', LABELS, undecided=True) is None
    assert as_label("无法判断。", LABELS, undecided=True) is None
    assert as_label("none", ["none", "some"], undecided=True) == "none"  # where it is a label it is no abstention
    with pytest.raises(ValueError, match="wanted"):
        as_label("unknown", LABELS)


def test_other_words_for_a_label() -> None:
    assert as_label("Sports", LABELS, synonyms={"sports": "体育"}) == "体育"


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        ('{"labels": ["Positive", "体育"]}', ["positive", "体育"]),
        ("体育、positive", ["positive", "体育"]),
        ("- positive\n- 体育\n", ["positive", "体育"]),
        ("none", []),
        ('{"labels": []}', []),
        ('{"positive": true, "negative": false}', ["positive"]),
    ],
)
def test_several_labels(said: str, labels: list[str]) -> None:
    assert as_labels(said, LABELS) == labels


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("4", 4.0),
        ('{"value": 3.5}', 3.5),
        ("4/5", 4.0),
        ("I give it 4 out of 5.", 4.0),
        ("－２", -2.0),
        ("1,234", 1234.0),
    ],
)
def test_a_number(said: str, number: float) -> None:
    assert as_number(said) == number


@pytest.mark.parametrize("said", ["3 or 4", "many", "true", "7"])
def test_no_number_or_two_or_one_out_of_range(said: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        as_number(said, low=0, high=5)


@pytest.mark.parametrize(
    ("text", "quote", "place"),
    [
        ("He met Ann in New York.", "New York", (14, 22)),
        ("He met Ann in New\n  York.", "New York", (14, 24)),
        ("The USER asked the US office.", "US", (19, 21)),  # not inside USER
        ("它是ＡＢＣ公司的产品", "ABC公司", (2, 7)),
        ("他说“你好”。", '"你好"', (2, 6)),
        ("Ann's dog", "Ann’s", (0, 5)),
        ("价格是 3 元", "3元", (4, 7)),
        ("the Bank of China", "BANK OF CHINA", (4, 17)),
        ("He left.", "left.", (3, 8)),
        ("He left, then", '"left."', (3, 7)),
    ],
)
def test_a_quote_is_found_again(text: str, quote: str, place: tuple[int, int]) -> None:
    assert find_quote(text, quote) == place


def test_the_nearest_of_several_places() -> None:
    assert find_quote("Ann saw Ann", "Ann") == (0, 3)
    assert find_quote("Ann saw Ann", "Ann", near=9) == (8, 11)
    assert find_quotes("上海的上海路", "上海") == [(0, 2), (3, 5)]


def test_a_quote_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="does not stand in the text: quote it letter for letter"):
        find_quote("He met Ann.", "Bob")


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=60), st.data())
def test_any_piece_of_any_text_is_found_where_it_reads_the_same(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    quote = text[start:end].strip()
    if quote:
        places = find_quotes(text, quote)
        assert all(text[a:b] == quote for a, b in places)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_readers_take_anything_or_say_what_is_wrong(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for read in (
        lambda: as_label(text, LABELS, undecided=True),
        lambda: as_labels(text, LABELS),
        lambda: as_number(text),
        lambda: as_json(text),
    ):
        try:
            read()
        except ValueError as error:
            assert str(error)


def test_spans_come_from_quotes_and_repeats_take_the_next_place() -> None:
    text = "Ann saw Ann in Paris"
    found = [
        {"text": "Ann", "label": "per"},
        {"text": "Ann", "label": "PER"},
        {"text": "Ann", "label": "PER"},
        {"text": "Paris", "type": "LOC"},
    ]
    spans = spans_of(found, text, ["PER", "LOC"])
    assert [(one["start"], one["end"], one["label"]) for one in spans] == [
        (0, 3, "PER"),
        (8, 11, "PER"),
        (15, 20, "LOC"),
    ]


def test_counted_offsets_are_a_hint_and_no_more() -> None:
    [span] = spans_of([{"text": "上海", "label": "LOC", "start": 4, "end": 9}], "上海的上海路", ["LOC"])
    assert (span["start"], span["end"]) == (3, 5)


def test_spans_that_are_not_there_are_told_and_the_others_kept() -> None:
    with pytest.raises(Partly, match="'Bob' does not stand in the text") as found:
        spans_of([{"text": "Ann", "label": "PER"}, {"text": "Bob", "label": "PER"}], "Ann left", ["PER"])
    assert [one["text"] for one in found.value.value["spans"]] == ["Ann"]


def test_relations_take_given_spans_or_make_them() -> None:
    text, said = "Ann works at Acme.", [{"head": "ann", "relation": "works for", "tail": "ACME"}]
    given_spans = [{"start": 13, "end": 17, "label": "ORG"}, {"start": 0, "end": 3, "label": "PER"}]
    answer = relations_of(said, text, given_spans, ["works_for"])
    assert answer["relations"] == [{"head": 1, "tail": 0, "label": "works_for"}]
    free = relations_of(said, text, None, ["works_for"])
    assert [(one["start"], one["end"]) for one in free["spans"]] == [(0, 3), (13, 17)]
    with pytest.raises(Partly, match="none of the things named"):
        relations_of([{"head": "works", "relation": "works_for", "tail": "Acme"}], text, given_spans, ["works_for"])
    with pytest.raises(Partly, match="relates a thing to itself"):
        relations_of([{"head": "Ann", "relation": "works_for", "tail": "ann"}], text, given_spans, ["works_for"])
