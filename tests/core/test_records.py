"""Ids come from content, never collide, and say how often a text was met."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.records import Record, SeenCounts, assign_ids, content_hash, iterate, to_table


@given(st.text())
def test_the_short_way_to_a_hash_gives_the_same_hash(text: str) -> None:
    canonical = json.dumps([text, None, None], ensure_ascii=False, separators=(",", ":"))
    assert content_hash(text) == hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def test_the_same_content_has_the_same_id_and_repeats_are_counted() -> None:
    table = assign_ids(to_table([Record("a"), Record("b"), Record("a"), Record("a", text_b="x")]), SeenCounts())
    first, second, third, fourth = table["id"].to_pylist()
    assert third == f"{first}~1" and len({first, second, fourth}) == 3
    again = assign_ids(to_table([Record("b"), Record("a")]), SeenCounts())["id"].to_pylist()
    assert again == [second, first]


@given(st.lists(st.sampled_from(["a", "a~1", "a~1~1", "b"]), max_size=12), st.integers(1, 4))
def test_own_ids_that_look_like_counted_ones_stay_apart(ids: list[str], batch: int) -> None:
    seen, made = SeenCounts(), []
    for at in range(0, len(ids), batch):
        made += assign_ids(to_table([Record("t", id=one) for one in ids[at : at + batch]]), seen)["id"].to_pylist()
    assert len(set(made)) == len(ids)


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=8))
def test_counts_agree_with_a_plain_dictionary(batches: list[list[int]]) -> None:
    seen, plain = SeenCounts(), dict.fromkeys(range(6), 0)
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(plain[key])
            plain[key] += 1
        assert seen.add(np.array(batch, dtype=np.uint64)).tolist() == expected


def test_a_record_survives_the_table() -> None:
    record = Record(
        "同一件", id="x", meta={"stars": 5}, votes=[{"labeller": "l", "label": "a", "confidence": 0.5}], trail=["made"]
    )
    (back,) = iterate([to_table([record])])
    assert back == record
