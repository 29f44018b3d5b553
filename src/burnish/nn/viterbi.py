"""Tags that obey their scheme: which may follow which, and the best sequence that does. numpy alone, for the server.

B sequences, L tokens, C tags. Tags are in the order of `tags_of`: O, then B, I (BIO) or B, I, E, S (BIOES) of each type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIXES = {"BIO": "BI", "BIOES": "BIES"}
NEVER = -1e9  # the log-potential of what a scheme forbids: far below any score, and sums of it stay finite
ROWS = 256  # sequences at once: the table of a step is (ROWS, C, C)

# what may follow a tag of the same type, by prefix; O, and the beginning of any span, may follow what ends one
FOLLOWS = {
    "BIO": {"B": "I", "I": "I"},
    "BIOES": {"B": "IE", "I": "IE", "E": "", "S": ""},
}
OPEN = {"BIO": "", "BIOES": "BI"}  # after these a span must go on
BEGINS = {"BIO": "B", "BIOES": "BS"}


def tags_of(labels: Sequence[str], scheme: str) -> list[str]:
    """Every tag of a scheme: O first, then those of each label."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in PREFIXES[scheme])]


@dataclass(frozen=True)
class Chain:
    """Log-potentials of neighbours: 0 where anything goes, NEVER where the scheme forbids it, a CRF's values added.

    between: (C, C) from row to column, at a border between two words; inside: (C, C), at a border that no span may cross
    (two pieces of one word); first, last: (C).
    """

    between: NDArray[np.float64]
    inside: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    learnt: bool = False  # a CRF's values are in it: the best tag of each token says nothing about the best sequence

    def with_crf(self, crf: dict[str, Any]) -> Chain:
        """The same rules with what a CRF learnt added: {transitions (C, C), first (C), last (C)}."""
        transitions, first, last = (np.asarray(crf[name], np.float64) for name in ("transitions", "first", "last"))
        return Chain(self.between + transitions, self.inside + transitions, self.first + first, self.last + last, True)


def chain_of(tags: Sequence[str], scheme: str) -> Chain:
    """The rules of BIO or BIOES."""
    parts = [tag.partition("-")[::2] for tag in tags]
    follows, opens, begins = FOLLOWS[scheme], OPEN[scheme], BEGINS[scheme]
    between: NDArray[Any] = np.zeros((len(tags), len(tags)), bool)
    inside: NDArray[Any] = np.zeros_like(between)
    for row, (prefix, label) in enumerate(parts):
        for column, (to, to_label) in enumerate(parts):
            goes_on = prefix != "O" and to_label == label and to in follows[prefix] and to != "O"
            fresh = to == "O" or to in begins
            between[row, column] = goes_on or (fresh and (prefix == "O" or prefix not in opens))
            inside[row, column] = goes_on or (prefix == "O" and to == "O")
    first: NDArray[Any] = np.array([prefix == "O" or prefix in begins for prefix, _ in parts])
    last: NDArray[Any] = np.array([prefix == "O" or prefix not in opens for prefix, _ in parts])
    between, inside, first, last = (np.where(allowed, 0.0, NEVER) for allowed in (between, inside, first, last))
    return Chain(between, inside, first, last)


def best_tags(
    scores: Sequence[NDArray[Any]], chain: Chain, *, inside: Sequence[NDArray[np.bool_]] | None = None
) -> list[NDArray[np.int64]]:
    """The best sequence of tags for every sequence of scores (L, C) (Viterbi 1967); O(L x C x C) each.

    scores: log-probabilities, or any numbers whose sum along the sequence is to be the largest.
    inside: (L) bool for each, true where a token may not be parted from the one before it.
    Without a CRF, sequences whose tokens' own best tags already obey the rules are done at once, for nothing is better.
    """
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(scores)
    left: list[int] = []
    for at, one in enumerate(scores):
        best = one.argmax(1) if len(one) else np.zeros(0, np.int64)
        if len(one) and (chain.learnt or not _obeys(best, chain, None if inside is None else inside[at])):
            left.append(at)
        found[at] = best
    left.sort(key=lambda at: len(scores[at]))
    for start in range(0, len(left), ROWS):
        rows = left[start : start + ROWS]
        paths = _viterbi([scores[at] for at in rows], chain, None if inside is None else [inside[at] for at in rows])
        for at, path in zip(rows, paths, strict=True):
            found[at] = path
    return found


def _obeys(tags: NDArray[np.int64], chain: Chain, inside: NDArray[np.bool_] | None) -> bool:
    if chain.first[tags[0]] or chain.last[tags[-1]]:
        return False
    steps = chain.between[tags[:-1], tags[1:]]
    if inside is not None:
        steps = np.where(inside[1:], chain.inside[tags[:-1], tags[1:]], steps)
    return not steps.any()


def marginals(
    scores: Sequence[NDArray[Any]], chain: Chain, *, inside: Sequence[NDArray[np.bool_]] | None = None
) -> list[NDArray[np.float64]]:
    """log P(tag) of each token over all sequences that obey (L, C), by the forward-backward algorithm; as `best_tags`."""
    found: list[NDArray[np.float64]] = [np.asarray(one, np.float64) for one in scores]
    order = sorted((at for at in range(len(scores)) if len(scores[at])), key=lambda at: len(scores[at]))
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        lengths, padded, glued = _padded(
            [scores[at] for at in rows], None if inside is None else [inside[at] for at in rows]
        )
        longest = len(padded)
        ahead = np.empty_like(padded)
        ahead[0] = padded[0] + chain.first
        for step in range(1, longest):
            ahead[step] = _log_sum(ahead[step - 1][:, :, None] + _moves(chain, glued[step]), 1) + padded[step]
        behind = np.broadcast_to(chain.last, padded.shape).copy()
        for step in range(longest - 2, -1, -1):
            onward = _log_sum(_moves(chain, glued[step + 1]) + (padded[step + 1] + behind[step + 1])[:, None, :], 2)
            behind[step] = np.where((step + 1 < lengths)[:, None], onward, behind[step])
        both = ahead + behind
        both -= _log_sum(both, 2)[..., None]
        for column, at in enumerate(rows):
            found[at] = both[: lengths[column], column]
    return found


def _log_sum(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    most = values.max(axis, keepdims=True)
    made: NDArray[np.float64] = np.log(np.exp(values - most).sum(axis)) + most.squeeze(axis)
    return made


def _moves(chain: Chain, glued_B: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(B or 1, C, C) log-potentials of one step."""
    if not glued_B.any():
        return chain.between[None]
    return np.where(glued_B[:, None, None], chain.inside[None], chain.between[None])


def _padded(
    scores: list[NDArray[Any]], inside: list[NDArray[np.bool_]] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Lengths (B), scores (L, B, C), and where a token may not be parted from the one before it (L, B)."""
    lengths = np.array([len(one) for one in scores])
    padded = np.zeros((int(lengths.max()), len(scores), scores[0].shape[1]))
    glued = np.zeros(padded.shape[:2], bool)
    for row, one in enumerate(scores):
        padded[: len(one), row] = one
        if inside is not None:
            glued[: len(one), row] = inside[row]
    return lengths, padded, glued


def _viterbi(
    scores: list[NDArray[Any]], chain: Chain, inside: list[NDArray[np.bool_]] | None
) -> list[NDArray[np.int64]]:
    lengths, padded, glued = _padded(scores, inside)
    longest, rows = len(padded), np.arange(len(scores))
    best = padded[0] + chain.first
    came_from = np.zeros((longest, *best.shape), np.int32)
    for step in range(1, longest):
        table = best[:, :, None] + _moves(chain, glued[step])
        came_from[step] = table.argmax(1)
        moved = np.take_along_axis(table, came_from[step][:, None], 1)[:, 0] + padded[step]
        best = np.where((step < lengths)[:, None], moved, best)
    at = (best + chain.last).argmax(1)
    path = np.zeros((longest, len(scores)), np.int64)
    for step in range(longest - 1, -1, -1):
        path[step] = at
        # a sequence that has ended stays where its last token is, until the walk back reaches it
        at = np.where((step < lengths) & (step > 0), came_from[step][rows, at], at)
    return [path[:length, row] for row, length in enumerate(lengths)]
