"""Runs of words that texts share with the parts of a test set, by hand and against a slow count."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.measures.overlap import Runs
from burnish.text.normalise import normalise
from burnish.text.words import ngrams, words

ENGLISH = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"  # two runs of thirteen
CHINESE = "北京是中国的首都，也是文化中心"  # 14 characters: five runs of ten


def test_shares_by_hand() -> None:
    runs = Runs([ENGLISH, CHINESE, "too short"])
    assert runs.sizes.tolist() == [13, 10, 0] and runs.counts.tolist() == [2, 5, 0]
    texts = [
        ["nothing here"],
        ["x " + ENGLISH.rsplit(" ", 1)[0].upper() + " y"],
        ["前面", "北京是中国的首都也是文化中间"],
        [ENGLISH[:40], ENGLISH[40:]],
    ]
    runs.count(texts)
    found = runs.find(texts)
    assert found.text.tolist() == [1, 2] and found.part.tolist() == [0, 1]
    # 13 of 14 words: one run of two, and one of the text's three; 13 of 14 characters: four runs of five, and of the text's five
    assert found.of_part.tolist() == [1 / 2, 4 / 5] and found.of_text.tolist() == [1 / 3, 4 / 5]
    assert found.rare.tolist() == found.of_part.tolist()


def test_a_short_part_is_looked_for_as_a_whole() -> None:
    runs = Runs(["Eight words are just enough for this one."])
    found = runs.find([["So: eight words are just enough, for this one!"], ["eight words are just enough"]])
    assert found.text.tolist() == [0] and found.of_part.tolist() == [1.0]


def test_what_many_texts_have_is_boilerplate() -> None:
    runs = Runs([ENGLISH])
    texts = [[f"{ENGLISH} {number}"] for number in range(11)]
    runs.count(texts)
    found = runs.find(texts, common=10)
    assert set(found.rare.tolist()) == {0.0} and set(found.of_part.tolist()) == {1.0}
    assert set(runs.find(texts, common=11).rare.tolist()) == {1.0}


letters = st.lists(st.sampled_from("abc"), min_size=0, max_size=30).map(" ".join) | st.text("天地人", max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(letters, min_size=1, max_size=4), st.lists(st.lists(letters, max_size=3), min_size=1, max_size=4))
def test_shares_are_those_of_a_slow_count(parts: list[str], texts: list[list[str]]) -> None:
    runs = Runs(parts, words=4, characters=4)
    found = runs.find(texts)
    got = {
        (t, p): (a, b)
        for t, p, a, b in zip(
            found.text.tolist(), found.part.tolist(), found.of_part.tolist(), found.of_text.tolist(), strict=True
        )
    }
    for p, part in enumerate(parts):
        size = int(runs.sizes[p])
        grams = set(ngrams(words(normalise(part)), size)) if size else set()
        for t, text in enumerate(texts):
            own = [gram for one in text for gram in ngrams(words(normalise(one)), size)] if size else []
            shared = grams & set(own)
            if not shared:
                assert (t, p) not in got
            else:
                assert got[t, p] == (len(shared) / len(grams), sum(gram in grams for gram in own) / len(own))
