import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.measures.duplicates import near_duplicates
from burnish.measures.duplicates_on_disk import near_duplicates_on_disk

some_texts = st.lists(st.text(st.sampled_from("abcdefg 很好用手机"), max_size=40), max_size=14)


def batched(texts, size):
    return [texts[at : at + size] for at in range(0, len(texts), size)]


@given(some_texts, st.integers(1, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_disk_is_what_it_is_in_memory(tmp_path_factory, texts, size):
    texts = texts + [text + "x" for text in texts]
    here = near_duplicates(texts, threshold=0.6)
    there = near_duplicates_on_disk(batched(texts, size), tmp_path_factory.mktemp("disk"), threshold=0.6)
    assert here.label.tolist() == there.label.tolist()
    assert here.pairs.tolist() == there.pairs.tolist() and here.similarity.tolist() == there.similarity.tolist()


def test_nothing_is_no_group(tmp_path):
    assert near_duplicates_on_disk([], tmp_path).label.tolist() == []


def test_copies_far_apart_in_the_stream_are_found(tmp_path):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefghij klmnop"), 200)) for _ in range(500)]
    copies = [text[:150] + text[155:] for text in texts]
    groups = near_duplicates_on_disk(batched(texts + copies, 64), tmp_path, threshold=0.7)
    assert groups.label.tolist() == [*range(500), *range(500)]
