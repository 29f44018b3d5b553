import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.scripts import HAN, KANA, script_table
from burnish.text.shingles import shingles


def expected(text: str) -> list[str]:
    """The rule, one string at a time."""
    table = script_table()
    sizes = [3 if table[ord(character)] in (HAN, KANA) else 5 for character in text]
    return [text[i : i + size] for i, size in enumerate(sizes) if i + size <= len(text) or i == 0]


@given(st.lists(st.text(st.sampled_from("abcde 很好用手机のア"), max_size=12), max_size=6))
def test_hashes_are_equal_exactly_where_shingles_are(texts):
    hashes, starts = shingles(texts)
    names: dict[str, int] = {}
    numbers: dict[int, str] = {}
    for index, text in enumerate(texts):
        own = hashes[starts[index] : starts[index + 1]].tolist()
        assert len(own) == len(expected(text))
        for shingle, number in zip(expected(text), own, strict=True):
            assert names.setdefault(shingle, number) == number
            assert numbers.setdefault(number, shingle) == shingle


def test_hashes_are_spread_evenly():
    hashes, _ = shingles([f"{number:08d}" for number in range(20_000)], latin=8)
    assert len(np.unique(hashes)) > 19_990
    counts = np.bincount(hashes >> 24, minlength=256)
    assert counts.min() > 40 and counts.max() < 130
