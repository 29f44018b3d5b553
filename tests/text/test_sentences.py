import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.sentences import sentences


@pytest.mark.parametrize(
    "parts",
    [
        ["Dr. Smith paid 3.14 dollars.", "He left."],
        ['"Really?" she asked.', 'He said: "No."', "Then he left... maybe.", "Yes!"],
        ["Visit example.com/?a=1 now!", "Ok?"],
        ["J. R. Smith came.", "See fig. 3 and No. 5.", "On Jan. 5 it snowed."],
        ["It costs 5 p.m. tickets, e.g. cheap ones.", "Good."],
        ["1. Wash your hands.", "2. Eat."],
        ["他说：“你好！”", "然后走了。", "真的吗？！", "当然……", "好。"],
        ["价格是3.5元。", "Version 2.0 发布了。", "OK"],
        ["这是第一句。", "（见图。）", "第二句！"],
        ["A title without an end\n\n".strip(), "A paragraph."],
    ],
)
def test_sentences_end_where_people_end_them(parts):
    chinese = any("\u4e00" <= character <= "\u9fff" for character in "".join(parts))
    text = ("" if chinese else "\n\n" if "A title" in parts[0] else " ").join(parts)
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_a_latin_sentence_can_be_followed_by_chinese():
    text = "Hello.世界很大。"
    assert [text[start:end] for start, end in sentences(text)] == ["Hello.", "世界很大。"]


@given(st.text(st.sampled_from("ab A.1!?。！？…”\"' \n很好"), max_size=60))
def test_nothing_is_lost_and_nothing_overlaps(text):
    spans = sentences(text)
    assert "".join(text[start:end] for start, end in spans).split() == [] or all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    inside = {place for start, end in spans for place in range(start, end)}
    assert all(text[place].isspace() for place in range(len(text)) if place not in inside)
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
