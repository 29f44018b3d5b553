import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.measures.duplicates import equal_keys, exact_duplicates, jaccard, leaks, near_duplicates

ENGLISH = "The quick brown fox jumps over the lazy dog and then runs back home through the dark forest."
CHINESE = "这个手机真的很好用，我非常喜欢它的屏幕和电池，拍照也很清楚，推荐给大家购买。"
some_texts = st.lists(st.text(st.sampled_from("abc 很好用"), max_size=14), max_size=12)


def paragraph(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(rng.choice(list(letters), length))


def edited(rng: np.random.Generator, text: str, rate: float, letters: str) -> str:
    places = rng.choice(len(text), round(rate * len(text)), replace=False)
    return "".join(rng.choice(list(letters)) if place in places else old for place, old in enumerate(text))


def test_exact_duplicates_ignore_case_width_and_blanks():
    groups = exact_duplicates(["Good  phone", "好", "ＧＯＯＤ phone ", None, "好", ""])
    assert groups.label.tolist() == [0, 1, 0, 3, 1, 3]
    assert groups.repeats.tolist() == [False, False, True, False, True, True]
    assert groups.pairs.tolist() == [[0, 2], [1, 4], [3, 5]]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, f"{ENGLISH} {CHINESE}"])
def test_a_lightly_changed_copy_is_in_the_group_of_its_original(text):
    texts = [
        "something else altogether, of no interest",
        text,
        "别的完全不同的一句话而已",
        text.replace("，", ",")[:-3],
        text.upper(),
    ]
    groups = near_duplicates(texts)
    assert groups.label.tolist() == [0, 1, 2, 1, 1]
    assert groups.similarity.min() > 0.8


def test_similarity_is_the_jaccard_of_shingle_sets():
    a, b = "abcdefgh", "abcdefgx"  # 4 shingles each, 3 shared
    assert jaccard([a], [b], np.array([[0, 0]])).tolist() == [3 / 5]
    assert jaccard(["很好用吗"], ["很好用呢"], np.array([[0, 0]])).tolist() == [1 / 3]
    assert jaccard(["aaaaaaa", ""], ["aaaaa", ""], np.array([[0, 0], [1, 1], [0, 1]])).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("letters", "length"), [("abcdefghij klmnop", 300), ("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏", 90)]
)
def test_recall_and_precision_on_random_texts_with_edited_copies(letters, length):
    rng = np.random.default_rng(0)
    originals = [paragraph(rng, letters, length) for _ in range(200)]
    copies = [edited(rng, text, 0.03, letters) for text in originals]
    groups = near_duplicates(originals + copies, threshold=0.6)
    assert (groups.label[200:] == np.arange(200)).mean() > 0.97
    assert (groups.label[:200] == np.arange(200)).all()


def test_every_reported_pair_reaches_the_threshold_and_groups_are_its_components():
    rng = np.random.default_rng(1)
    chain = [paragraph(rng, "abcdefgh ", 120)]
    for _ in range(6):
        chain.append(edited(rng, chain[-1], 0.03, "abcdefgh "))
    groups = near_duplicates(chain, threshold=0.6)
    assert set(groups.label) == {0}  # through others, though the ends are far apart
    assert groups.similarity.min() >= 0.6
    assert jaccard([chain[0]], [chain[-1]], np.array([[0, 0]]))[0] < 0.6


def test_boilerplate_of_thousands_is_one_group_and_cheap():
    texts = [
        f"Dear customer, your order {number} has left our house today and will be with you soon."
        for number in range(5000)
    ]
    groups = near_duplicates(texts, threshold=0.6)
    assert set(groups.label) == {0}
    assert len(groups.pairs) < 10 * len(texts)


@given(some_texts)
def test_a_set_and_itself_twice_gives_every_text_its_double(texts):
    label = near_duplicates(texts + texts).label
    assert (label[: len(texts)] == label[len(texts) :]).all()
    assert (label <= np.arange(len(label))).all() and (label[label] == label).all()


@given(some_texts, st.randoms())
def test_order_changes_no_group(texts, random):
    order = list(range(len(texts)))
    random.shuffle(order)
    label, moved = near_duplicates(texts).label, near_duplicates([texts[i] for i in order]).label
    same = label[:, None] == label[None, :]
    assert (same[np.ix_(order, order)] == (moved[:, None] == moved[None, :])).all()


def test_short_texts_are_near_only_to_their_equals():
    assert near_duplicates(["a", "ab", "A", "好", "好的", "好", ""]).label.tolist() == [0, 1, 0, 3, 4, 3, 6]


def test_nothing_and_arrow_arrays_are_fine():
    assert near_duplicates([]).label.tolist() == exact_duplicates([]).label.tolist() == []
    assert near_duplicates(pa.array([ENGLISH, None, ENGLISH])).label.tolist() == [0, 1, 0]


def test_two_runs_give_the_same():
    texts = [CHINESE, CHINESE[2:], ENGLISH, ENGLISH[4:]] * 3
    first, second = near_duplicates(texts), near_duplicates(texts)
    assert (first.pairs == second.pairs).all() and (first.similarity == second.similarity).all()


def test_leaks_name_the_pair_across_two_sets():
    train = ["nothing to see here at all", CHINESE, ENGLISH]
    found = leaks(train, [ENGLISH[:-8], "a new text that nobody has seen", CHINESE.replace("，", ","), "x"])
    assert found.pairs.tolist() == [[2, 0], [1, 2]]
    assert found.similarity[1] == 1.0 and 0.8 < found.similarity[0] < 1
    assert leaks([], ["a"]).pairs.shape == leaks(["a"], []).pairs.shape == (0, 2)


@given(some_texts)
def test_every_text_leaks_into_its_own_set(texts):
    assert sorted(set(leaks(texts, texts).pairs[:, 1].tolist())) == list(range(len(texts)))


@pytest.mark.parametrize("setting", [{"threshold": 0}, {"threshold": 1.1}, {"size": 0}])
def test_settings_out_of_range_are_errors(setting):
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\]|size must be"):
        near_duplicates(["a"], **setting)


def test_equal_keys_group_as_equal_texts_do():
    texts = ["one", "two", "ONE ", "", "two", " "]
    keys = np.array([7, 9, 7, 3, 9, 3], dtype=np.uint64)
    by_text, by_key = exact_duplicates(texts), equal_keys(keys)
    assert by_key.label.tolist() == by_text.label.tolist() == [0, 1, 0, 3, 1, 3]
    assert by_key.pairs.tolist() == by_text.pairs.tolist()
