"""Where an answer stands in windows of tokens: what training points at, and the likeliest spans of what came out.

Offsets of tokens are characters of the text as it was given, so Chinese, emoji and combining characters need no care here.
Nothing here wakes torch, for the server decodes with it too.
L tokens of a window, T of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.nn.examples import IGNORED, Examples, encode

START, END = 1, 2  # bits of a token's target: the first token of the answer, the last one; 0 may be either

Span = tuple[float, int, int]  # log probability, start, end


def shortened(questions: Sequence[str], tokenizer: Any, limit: int) -> tuple[list[str], int]:
    """Questions of at most `limit` tokens, cut where a token ends, and how many were cut."""
    made = list(questions)
    long = [i for i, one in enumerate(made) if len(one.encode("utf-8", "replace")) > limit]  # a byte is a token at most
    if not long:
        return made, 0
    read = encode([made[i] for i in long], tokenizer, max_length=1 << 20, characters=True)
    cut = 0
    for window, i in enumerate(long):
        at = read.window(window)
        ends = read.ends[at][read.parts[at] == 0]  # type: ignore[index]
        if len(ends) > limit:
            made[i], cut = made[i][: int(ends[limit - 1])], cut + 1
    return made, cut


def border_targets(examples: Examples, spans: Sequence[tuple[int, int] | None]) -> np.ndarray:
    """int64 (T): START and END bits of every token, IGNORED where no answer can stand.

    spans: of each record in characters of its context, None where there is no answer. An answer that cuts a token in two
    takes the whole token. A window has the answer when it has all of its tokens, else it points at its first token.
    """
    assert examples.parts is not None and examples.starts is not None and examples.ends is not None
    targets = np.where(examples.parts == 1, 0, IGNORED).astype(np.int64)
    targets[examples.offsets[:-1]] = 0
    found: list[tuple[int, int] | None] = []
    whole: dict[int, tuple[int, int]] = {}  # record -> characters from its answer's first token to its last
    for window, record in enumerate(examples.of_records):
        span, at = spans[record], examples.window(window)
        inside = np.flatnonzero(examples.parts[at] == 1) + at.start
        if span is None or not len(inside):
            found.append(None)
            continue
        low, high = int(inside[0]), int(inside[-1]) + 1
        first = low + int(np.searchsorted(examples.ends[low:high], span[0], side="right"))
        last = low + int(np.searchsorted(examples.starts[low:high], span[1], side="left")) - 1
        if not low <= first <= last < high:
            found.append(None)
            continue
        found.append((first, last))
        left, right = int(examples.starts[first]), int(examples.ends[last])
        before = whole.get(int(record), (left, right))
        whole[int(record)] = min(left, before[0]), max(right, before[1])
    for window, borders in enumerate(found):
        first = last = int(examples.offsets[window])
        if borders is not None:
            reach = int(examples.starts[borders[0]]), int(examples.ends[borders[1]])
            if reach == whole[int(examples.of_records[window])]:
                first, last = borders
        targets[first] |= START
        targets[last] |= END
    return targets


@dataclass(frozen=True)
class Found:
    """Spans of one context as (log probability, start, end), best first, and the least log probability of none."""

    spans: list[tuple[float, int, int]]
    nothing: float

    @property
    def odds(self) -> float:
        """Log odds of no answer against the best one."""
        return self.nothing - self.spans[0][0] if self.spans else math.inf


def best_spans(
    scores: np.ndarray, inside: np.ndarray, *, longest: int, most: int
) -> tuple[list[tuple[float, int, int]], float]:
    """The likeliest spans of one window as (log probability, first token, last token), and that of no answer.

    scores: (L, 2) to begin and to end; inside: (L) bool, tokens of the context. Probabilities are training's
    (`nn.span_objectives`): whether the window has an answer, times where; of no answer and of every first and last token
    together they are 1, so that windows of one context can be compared. longest: tokens of a span; most: spans.
    """
    scores = np.asarray(scores, dtype=np.float64)
    at = np.flatnonzero(inside)
    if not len(at):
        return [], 0.0
    low, high = int(at[0]), int(at[-1]) + 1
    total = np.logaddexp.reduce(scores[inside], axis=0)
    odds = float(scores[0].sum())
    none, some = -float(np.logaddexp(0.0, -odds)), -float(np.logaddexp(0.0, odds))
    log_p = np.where(inside[:, None], scores - total, -np.inf) + some / 2
    width = min(longest, high - low)
    ends = np.concatenate([log_p[low:high, 1], np.full(width - 1, -np.inf)])
    table = log_p[low:high, 0][:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)
    flat = table.ravel()
    best = np.argpartition(-flat, most - 1)[:most] if len(flat) > most else np.arange(len(flat))
    best = best[np.argsort(-flat[best], kind="stable")]
    begins, steps = np.divmod(best, width)
    return [
        (float(flat[i]), low + int(a), low + int(a + b))
        for i, a, b in zip(best, begins, steps, strict=True)
        if np.isfinite(flat[i])
    ], none


def distinct(spans: list[tuple[float, int, int]], context: str, most: int) -> list[tuple[float, int, int]]:
    """The best `most` spans without blanks at their ends, each text once; the first token of a window may hold a blank."""
    made: list[tuple[float, int, int]] = []
    seen: set[str] = set()
    for score, start, end in sorted(spans, key=lambda span: (-span[0], span[1], span[2])):
        text = context[start:end]
        kept = text.strip()
        if not kept or kept in seen:
            continue
        seen.add(kept)
        left = start + len(text) - len(text.lstrip())
        made.append((score, left, left + len(kept)))
        if len(made) == most:
            break
    return made
