"""Between spans of sites and scores of token pairs, window by window. numpy alone, for the server.

Of a pair that several windows hold, the window decides in which both its tokens have most around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.nn.alignment import Sites, overlap_of
from burnish.nn.examples import Examples


@dataclass(frozen=True)
class _Windows:
    """begins: (W) the number in its record of a window's first content token; counts: (W) of content tokens;
    heads: (W) special tokens before it; first, last: (W) whether nothing of the record is before or behind it."""

    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
    heads: NDArray[np.int64]
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]

    def context(self, window: int, begin: int, end: int) -> float:
        """Tokens between a stretch (its first and last token's numbers) and the nearest cut of the window; < 0 outside."""
        left = begin - self.begins[window]
        right = self.begins[window] + self.counts[window] - 1 - end
        if left < 0 or right < 0:
            return -1.0
        return float(min(np.inf if self.first[window] else left, np.inf if self.last[window] else right))


def _windows(examples: Examples) -> _Windows:
    assert examples.parts is not None
    of_records, lengths = examples.of_records, examples.lengths
    content = np.add.reduceat(np.append(examples.parts == 0, False).astype(np.int64), examples.offsets[:-1])
    content = np.where(lengths > 0, content, 0) if len(lengths) else np.zeros(0, np.int64)
    first = np.append(True, of_records[1:] != of_records[:-1])[: len(lengths)]
    last = np.append(of_records[1:] != of_records[:-1], True)[: len(lengths)]
    begins, heads = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    for window in range(len(lengths)):
        if content[window]:
            heads[window] = int(np.argmax(examples.parts[examples.window(window)] == 0))
        if first[window]:
            shared = overlap_of(int(lengths[window]))
        else:
            begins[window] = begins[window - 1] + content[window - 1] - shared
    return _Windows(begins, content, heads, first, last)


def _numbers(examples: Examples, sites: Sites, windows: _Windows) -> NDArray[np.int64]:
    """(S) the number in its record of each site's token."""
    window = np.searchsorted(examples.offsets, sites.at, side="right") - 1
    numbers: NDArray[np.int64] = sites.at - examples.offsets[window] - windows.heads[window] + windows.begins[window]
    return numbers


def targets(
    examples: Examples, sites: Sites, first: NDArray[Any], last: NDArray[Any], labels: NDArray[Any]
) -> NDArray[np.int64]:
    """(M, 4) of window, first token, last token, type: spans of sites (inclusive) in every window that holds them whole."""
    windows = _windows(examples)
    numbers, records, of_records = _numbers(examples, sites, windows), sites.records, examples.of_records
    rows = []
    for begin, end, label in zip(first, last, labels, strict=True):
        low, high = np.searchsorted(of_records, [records[begin], records[begin] + 1])
        for window in range(low, high):
            if windows.context(window, numbers[begin], numbers[end]) >= 0:
                shift = windows.heads[window] - windows.begins[window]
                rows.append((window, numbers[begin] + shift, numbers[end] + shift, label))
    return np.array(rows, np.int64).reshape(-1, 4)


def held(examples: Examples, sites: Sites, first: NDArray[Any], last: NDArray[Any]) -> NDArray[np.bool_]:
    """(M) whether any window holds a span of sites (inclusive) whole."""
    made = np.zeros(len(first), bool)
    made[targets(examples, sites, first, last, np.arange(len(first)))[:, 3]] = True
    return made


def read(
    examples: Examples, sites: Sites, outputs: Sequence[Any], *, threshold: float, closed: int, temperature: float = 1.0
) -> tuple[NDArray[Any], ...]:
    """Record, start, end (characters), type and score (0..1) of every pair above the threshold.

    outputs: (C, L, L) a window. temperature: what scores are divided by to be chances (logits). closed: borders of this kind and above are crossed by no span's beginning or end.
    """
    windows = _windows(examples)
    numbers = _numbers(examples, sites, windows)
    of_records = examples.of_records
    may_begin = sites.border < closed
    may_end = np.append(may_begin[1:], True)
    may_end[sites.offsets[1:][np.diff(sites.offsets) > 0] - 1] = True
    found = []
    for window, scores_CLL in enumerate(outputs):
        record = int(of_records[window])
        own = np.arange(sites.offsets[record], sites.offsets[record + 1])
        site_of = np.full(windows.counts[window], -1, np.int64)  # of the window's content tokens
        here = numbers[own] - windows.begins[window]
        held = (here >= 0) & (here < len(site_of))
        site_of[here[held]] = own[held]
        low, high = np.searchsorted(of_records, [record, record + 1])
        for label, row, column in np.argwhere(np.asarray(scores_CLL) > threshold):
            begin, end = row - windows.heads[window], column - windows.heads[window]
            if not 0 <= begin <= end < len(site_of) or site_of[begin] < 0 or site_of[end] < 0:
                continue
            first, last = int(site_of[begin]), int(site_of[end])
            if (
                not may_begin[first]
                or not may_end[last]
                or not _decides(windows, window, low, high, numbers, first, last)
            ):
                continue
            score = 1.0 / (1.0 + np.exp(-float(scores_CLL[label, row, column]) / temperature))
            found.append((record, sites.starts[first], sites.ends[last], label, score))
    columns = list(zip(*found, strict=True)) or [()] * 5
    kinds = (np.int64, np.int64, np.int64, np.int64, np.float64)
    return tuple(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))


def _decides(
    windows: _Windows, window: int, low: int, high: int, numbers: NDArray[np.int64], first: int, last: int
) -> bool:
    """Whether this window is the one with most around the pair; the earlier of two alike."""
    if high - low == 1:
        return True
    ours = windows.context(window, numbers[first], numbers[last])
    others = ((windows.context(other, numbers[first], numbers[last]), other) for other in range(low, high))
    return all(theirs < ours or (theirs == ours and other >= window) for theirs, other in others)
