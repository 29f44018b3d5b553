"""A vocabulary in which every piece has a probability, and a text is cut as is most probable (Unigram: Kudo 2018).

Learnt from the most frequent pieces down: score all, take out those the texts miss least, score again. Scores are of the
most probable cut alone (Viterbi training), so that they are counts and the same everywhere; the library's trainer sums
over all cuts in the order of a hash table, and gives another vocabulary each time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

SHRINK = 0.75  # of the pieces stay in each round, as in SentencePiece
UNSEEN = 0.5  # times a character counts that is needed only where all else fails


def unigram(
    words: Mapping[str, int], alphabet: Sequence[str], seeds: Sequence[str], *, vocabulary: int
) -> dict[str, float]:
    """Pieces and the natural logarithms of their probabilities, the most probable first.

    words: what is cut alone, and how often it occurs. alphabet: characters that always stay. seeds: other pieces to choose from.
    vocabulary: pieces at most, those of the alphabet among them.
    """
    fixed = set(alphabet)
    pieces = [*alphabet, *dict.fromkeys(seed for seed in seeds if seed not in fixed)]
    scores = dict.fromkeys(pieces, -math.log(max(len(pieces), 1)))
    listed = sorted(words)
    while True:
        for _ in range(2):
            scores, counts = _scored(scores, listed, words, fixed)
        if len(scores) <= max(vocabulary, len(fixed)):
            break
        others = [piece for piece in scores if piece not in fixed]
        loss = {piece: counts[piece] * (scores[piece] - _without(piece, scores)) for piece in others}
        left = max(max(vocabulary, len(fixed)), int(len(scores) * SHRINK)) - len(fixed)
        kept = sorted(others, key=lambda piece: (-loss[piece], piece))[:left]
        scores = {piece: scores[piece] for piece in (*alphabet, *kept)}
    return dict(sorted(scores.items(), key=lambda one: (-one[1], one[0])))


def _scored(
    scores: Mapping[str, float], listed: Sequence[str], words: Mapping[str, int], fixed: set[str]
) -> tuple[dict[str, float], Counter[str]]:
    """Scores from how often each piece is in the most probable cut of the words; unused ones go, but for characters."""
    from tokenizers import Tokenizer, models

    pieces = list(scores)
    unknown = len(pieces)
    cutter = Tokenizer(models.Unigram([*scores.items(), ("\0unknown", min(scores.values()) - 10)], unknown, False))
    found = [0] * (unknown + 1)
    for at in range(0, len(listed), 10_000):
        some = listed[at : at + 10_000]
        for word, cut in zip(some, cutter.encode_batch_fast(some, add_special_tokens=False), strict=True):
            times = words[word]
            for number in cut.ids:
                found[number] += times
    counts: Counter[str] = Counter({piece: found[at] for at, piece in enumerate(pieces)})
    total = math.log(max(sum(counts.values()), 1))
    made = {p: math.log(n or UNSEEN) - total for p, n in counts.items() if n or p in fixed}
    return made, counts


def _without(piece: str, scores: Mapping[str, float]) -> float:
    """The score of the best cut of a piece into others: at most one number for each pair of places in it."""
    best = [0.0] + [-math.inf] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            if end - start < len(piece) and (score := scores.get(piece[start:end])) is not None:
                best[end] = max(best[end], best[start] + score)
    return best[-1]
