from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
from hypothesis import given
from hypothesis import strategies as st

from burnish.nn.batches import encode, make_batch, padding_rate, reading_order, training_order
from burnish.nn.examples import Examples, distinct

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=200).map(np.array)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_bert.make(tmp_path_factory.mktemp("tiny")))


@given(lengths, st.integers(16, 512), st.integers(0, 3))
def test_an_epoch_holds_every_text_once_and_no_batch_exceeds_its_budget(lengths, budget, epoch):
    order = training_order(lengths, batch_tokens=budget, seed=1, epoch=epoch)
    assert sorted(np.concatenate(order)) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in order)


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(5, 60, 500)
    orders = [
        np.concatenate(training_order(lengths, batch_tokens=256, seed=seed, epoch=epoch)).tolist()
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]


def test_length_batches_waste_little():
    lengths = np.random.default_rng(0).integers(5, 60, 2000)
    in_order = np.array_split(np.arange(2000), 60)
    assert padding_rate(lengths, training_order(lengths, batch_tokens=1024, seed=0, epoch=0)) < 0.06
    assert padding_rate(lengths, in_order) > 0.4


def test_reading_starts_with_the_longest():
    lengths = np.array([3, 50, 7, 20])
    assert reading_order(lengths, batch_tokens=50)[0].tolist() == [1]


def test_encoding_equals_the_tokenizer_one_text_at_a_time(tokenizer):
    texts = ["the film was lovely", "酒店 very 推荐 the day", "", "a " * 80]
    examples = encode(texts, tokenizer, max_length=24)
    for i, text in enumerate(texts):
        alone = tokenizer(text, truncation=True, max_length=24)["input_ids"]
        assert examples.tokens[examples.offsets[i] : examples.offsets[i + 1]].tolist() == alone
    assert examples.num_truncated == 1


def test_pairs_keep_their_token_types(tokenizer):
    examples = encode(["the film", "a day"], tokenizer, pairs=["was warm", "dull"], max_length=24)
    batch = make_batch(examples, np.array([0, 1]), pad_token=0)
    alone = tokenizer("the film", "was warm")
    assert batch.types_BL is not None
    assert batch.types_BL[0, : len(alone["input_ids"])].tolist() == alone["token_type_ids"]


def test_taking_rows_keeps_each_text_with_its_target_and_weight(tokenizer):
    texts, targets = tiny_bert.sentences(20)
    examples = encode(texts, tokenizer, max_length=32).with_targets(targets, weights=np.arange(20))
    taken = examples.take([7, 3, 7])
    again = encode([texts[7], texts[3], texts[7]], tokenizer, max_length=32)
    assert taken.tokens.tolist() == again.tokens.tolist()
    assert taken.targets.tolist() == [targets[7], targets[3], targets[7]]
    assert taken.weights.tolist() == [7, 3, 7]


@pytest.mark.parametrize(
    ("targets", "weights"), [([0, 1, 1], None), ([0, -1], None), ([[0.5, 0.1], [1, 0]], None), ([0, 1], [1, -1])]
)
def test_targets_that_do_not_fit_are_refused(tokenizer, targets, weights):
    with pytest.raises(ValueError, match=r"target|label|weight"):
        encode(["a", "the"], tokenizer, max_length=8).with_targets(targets, weights)


def test_a_change_of_any_part_changes_the_digest(tokenizer):
    examples = encode(["a day", "the film"], tokenizer, max_length=8).with_targets([0, 1])
    assert examples.digest() == encode(["a day", "the film"], tokenizer, max_length=8).with_targets([0, 1]).digest()
    assert examples.digest() != examples.with_targets([1, 1]).digest()
    assert examples.digest() != encode(["a day", "the room"], tokenizer, max_length=8).with_targets([0, 1]).digest()


def test_equal_windows_are_found_once():
    tokens = np.array([2, 5, 3, 2, 6, 3, 2, 5, 3, 2, 5, 3], dtype=np.int32)
    types = np.array([0] * 9 + [0, 1, 1], dtype=np.int8)
    examples = Examples(tokens, np.arange(0, 13, 3), types=types)
    rows, inverse = distinct(examples)
    assert rows.tolist() == [0, 1, 3] and inverse.tolist() == [0, 1, 0, 2]
