"""Pairs of characters counted in parts are those counted at once; bits by hand."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.measures.bigrams import Bigrams, bits_a_character, counted, merged

TEXTS = ["abab", "ba", "abc", "", "x", "的的了"]


def test_bits_a_character_by_hand() -> None:
    model = Bigrams.of(*counted(["abab", "ba", "abc"]))  # ab 3, ba 2, bc 1; a first 3, b first 3; a last 2, b last 3
    ab, ba = (3 - 1 + 5 * 3 / 6) / (3 - 1 + 5), (2 - 1 + 5 * 2 / 6) / (3 - 1 + 5)
    assert bits_a_character(["abab", "x"], model).tolist() == pytest.approx([-(2 * np.log2(ab) + np.log2(ba)) / 3, 0.0])


def test_counts_of_parts_add_up_and_no_pair_crosses_two_texts() -> None:
    whole = counted(TEXTS)
    keys, counts = merged({0: counted([text]), 1: counted(["zz"])} for text in TEXTS)[0]
    np.testing.assert_array_equal(keys, whole[0])
    np.testing.assert_array_equal(counts, whole[1])
    assert counts.sum() == sum(max(len(text) - 1, 0) for text in TEXTS)
