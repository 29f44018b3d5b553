import itertools

from hypothesis import given
from hypothesis import strategies as st

from burnish.text.lengths import lengths
from burnish.text.scripts import blocks, codepoints, script_counts


def test_a_chinese_character_is_a_word():
    measured = lengths(["Hello big world", "很好用", "买 iPhone 手机!", "", None, "a", "b"])
    assert measured.words.tolist() == [3, 3, 4, 0, 0, 1, 1]
    assert measured.characters.tolist() == [15, 3, 12, 0, 0, 1, 1]
    assert measured.tokens.tolist() == [3, 3, 5, 0, 0, 1, 1]


@given(st.lists(st.text()))
def test_neighbours_make_no_difference(texts):
    together = lengths(texts)
    assert together.words.tolist() == [lengths([text]).words[0] for text in texts]
    assert together.characters.tolist() == [len(text) for text in texts]
    assert script_counts(texts).sum(1).tolist() == [len(text) for text in texts]


@given(st.lists(st.text(max_size=9)), st.integers(1, 20))
def test_blocks_cover_every_text_once(texts, size):
    covered = [text for start, end in blocks(texts, characters=size) for text in texts[start:end]]
    assert covered == texts


@given(st.lists(st.text(st.characters(), max_size=5)))
def test_codepoints_are_the_characters(texts):
    codes, starts = codepoints(texts)
    assert ["".join(map(chr, codes[start:end])) for start, end in itertools.pairwise(starts)] == texts


def test_estimated_tokens_are_near_those_of_a_bert_vocabulary():
    counted = {  # by the tokenizer of all-MiniLM-L6-v2, special tokens left out
        "The quick brown fox jumps over the lazy dog and then runs back home through the dark forest.": 19,
        "Unions representing workers at the factory say they are 'disappointed' after talks with the stricken parent firm.": 20,
        "A gorgeous, witty, seductive movie that never quite finds its feet; the acting, though, is superb.": 22,
        "这个手机真的很好用，我非常喜欢它的屏幕和电池，拍照也很清楚，推荐给大家购买。": 38,
        "酒店位置不错，离地铁站很近，就是隔音太差了，晚上睡不好！": 28,
    }
    for estimate, count in zip(lengths(list(counted)).tokens, counted.values(), strict=True):
        assert abs(estimate - count) <= 0.15 * count
