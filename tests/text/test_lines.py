"""Texts in Arrow are read as a list is."""

from __future__ import annotations

import pyarrow as pa
import pytest

from burnish.text.lines import Lines


def test_lines_are_read_like_a_list_of_texts() -> None:
    texts = ["one", "", "三", "four", "five"]
    lines = Lines(pa.chunked_array([["one", None], [], ["三", "four", "five"]]))
    assert list(lines) == lines.to_pylist() == [lines[at] for at in range(5)] == texts
    assert (lines[-1], lines[1:4], len(lines)) == ("five", texts[1:4], 5)
    assert list(lines.take([4, 0])) == ["five", "one"]
    with pytest.raises(IndexError):
        lines[5]
