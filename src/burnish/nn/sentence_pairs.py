"""Windows of whole sentences become pairs of texts about which a network can say whether they belong together.

W windows; a pair is [CLS] first [SEP] second [SEP] with types 0 and 1. Pairs are drawn once for a run, from its seed.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from burnish.nn.examples import Examples

TRIES = 20  # draws of a window of another document


def pairs_of(windows: Any, *, ask: Literal["next", "order"], separator: int, length: int, seed: int) -> Examples:
    """Examples with targets (W): 0 where the second text belongs behind the first, 1 where it does not, half and half.

    windows: of `nn.corpus`, packed by sentences with a token left free; those of one sentence are left out.
    ask: next, where a wrong second text is of another document (Devlin et al. 2019), or order, where the two changed
    places (Lan et al. 2020). length: tokens at most, special ones included.
    """
    random = np.random.default_rng(seed)
    of_document = np.asarray(windows.document_ids) if ask == "next" else None
    rows: list[np.ndarray] = []
    types: list[np.ndarray] = []
    targets: list[int] = []
    for row in range(len(windows)):
        whole, bounds = _sentences(windows, row)
        if len(bounds) < 3:
            continue
        cut = int(bounds[random.integers(1, len(bounds) - 1)])
        first, second = whole[bounds[0] : cut], whole[cut : bounds[-1]]
        wrong = bool(random.random() < 0.5)
        if wrong and ask == "order":
            first, second = second, first
        elif wrong and of_document is not None:
            other = _another(of_document, row, random)
            if other is None:
                continue
            theirs, bounds = _sentences(windows, other)
            second = theirs[int(bounds[random.integers(0, len(bounds) - 1)]) : bounds[-1]]
        first, second = _within(first, second, length - 3)
        rows.append(np.concatenate([whole[:1], first, [separator], second, [separator]]).astype(np.int32))
        types.append(np.repeat(np.array([0, 1], np.int8), [len(first) + 2, len(second) + 1]))
        targets.append(int(wrong))
    lengths = np.array([len(one) for one in rows], np.int64)
    return Examples(
        tokens=np.concatenate(rows) if rows else np.zeros(0, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        types=np.concatenate(types) if types else np.zeros(0, np.int8),
        targets=np.array(targets, np.int64),
    )


def _sentences(windows: Any, row: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens of a window, where its sentences begin and the last one ends): all but the [CLS] before and [SEP] behind."""
    whole = np.asarray(windows.tokens[windows.window(row)], np.int32)
    return whole, np.unique(np.append(windows.sentences_of(row), len(whole) - 1))


def _another(of_document: np.ndarray, row: int, random: np.random.Generator) -> int | None:
    """A window of another document; None where there seems to be none."""
    for other in random.integers(0, len(of_document), TRIES):
        if of_document[other] != of_document[row]:
            return int(other)
    return None


def _within(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to `room` tokens together, the longer one at its end."""
    if len(first) + len(second) <= room:
        return first, second
    half = room // 2
    short = min(len(first), len(second), half)
    return (
        (first[:short], second[: room - short])
        if len(first) <= len(second)
        else (first[: room - short], second[:short])
    )
