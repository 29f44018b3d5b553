"""A judge compares two answers: in both orders, several times, and less what length alone explains.

Judges prefer what stands first and what is long (Zheng et al. 2023, "Judging LLM-as-a-judge"). A verdict that changes with
the order is none. Length is taken out as in AlpacaEval 2 (Dubois et al. 2024): a logistic regression of all verdicts on the
difference in length says what length alone is worth; that much is subtracted from the log odds of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.construct.teachers import Question
from burnish.construct.teachers.prompts import load_prompt
from burnish.construct.teachers.reading import as_json, as_label
from burnish.text.lengths import lengths

Array = np.ndarray[Any, np.dtype[Any]]

LEAST_DUELS = 20  # with fewer decided ones nothing is said about length
_RIDGE = 1.0  # of the regression: one standard deviation of length is worth little until many verdicts say otherwise
_WORDS = {
    "A": "A",
    "B": "B",
    "tie": "tie",
    "both": "tie",
    "neither": "tie",
    "equal": "tie",
    "平": "tie",
    "平局": "tie",
    "一样": "tie",
}


@dataclass(frozen=True)
class Duel:
    """Two answers to the same turns. row: whose they are."""

    row: int
    a: str
    b: str
    turns: list[dict[str, str]]
    language: str


@dataclass(frozen=True)
class Verdicts:
    """scores: (n,) in -1..1, above 0 where a is better, 0 where nothing is decided. sure: (n,) chance that the better one is
    better, 0.5..1. facts: how the judge judged."""

    scores: Array
    sure: Array
    facts: dict[str, Any]


def judged(duels: Sequence[Duel], bench: Any, *, votes: int, length_control: bool, prompt: str) -> Verdicts:
    """What a judge says of each duel. bench: asks the judge (`replies`). votes: of each order."""
    questions = [
        _question(duel, swapped, draw, prompt, bench)
        for duel in duels
        for swapped in (False, True)
        for draw in range(votes)
    ]
    said = np.full((len(duels), 2, votes), np.nan)
    for at, reply in enumerate(bench.replies(questions, read_verdict, "judge")):
        if reply.value is not None:
            duel, order, draw = np.unravel_index(at, said.shape)
            said[duel, order, draw] = reply.value * (-1 if order else 1)
    told = ~np.isnan(said)
    scores = _both_orders(said)
    words = _words([(duel.a, duel.b) for duel in duels])
    slope = length_slope(scores, words) if length_control else 0.0
    wins = (np.nansum(np.where(told, said, 0), axis=(1, 2)) / np.maximum(told.sum((1, 2)), 1) + 1) / 2
    count = told.sum((1, 2))
    odds = np.log((wins * count + 0.5) / ((1 - wins) * count + 0.5)) - slope * words
    kept = np.where(np.sign(odds) == np.sign(scores), scores, 0.0)
    first = said[:, 0][told[:, 0]] > 0, said[:, 1][told[:, 1]] < 0  # who stood first won
    decided = scores != 0
    facts = {
        "judge": bench.teacher.model,
        "duels": len(duels),
        "decided": int((kept != 0).sum()),
        "undecided": int((~decided).sum()),
        "undone_by_length": int((decided & (kept == 0)).sum()),
        "first_wins": float(np.concatenate(first).mean()) if told.any() else 0.5,
        "longer_wins": float((scores[decided] * words[decided] > 0).mean()) if decided.any() else 0.5,
        "length_slope": float(slope),
    }
    return Verdicts(kept, 1 / (1 + np.exp(-np.abs(odds))), facts)


def _question(duel: Duel, swapped: bool, draw: int, prompt: str, bench: Any) -> Question:
    a, b = (duel.b, duel.a) if swapped else (duel.a, duel.b)
    talk = "\n".join(f"{turn['role']}: {turn['content']}" for turn in duel.turns)
    asked = load_prompt(prompt, language=duel.language, base=bench.context.task.base).messages(
        conversation=talk, a=a, b=b
    )
    return Question(f"{duel.row}", asked, sample=draw, language=duel.language)


def read_verdict(text: str, _: Question) -> float:
    """1 for A, -1 for B, 0 for neither; ValueError for anything else."""
    said: Any = text
    if "{" in text:
        found = as_json(text)
        said = next((found[name] for name in ("better", "winner", "answer", "更好") if name in found), None)
        if said is None:
            raise ValueError('{"better": "A"}, {"better": "B"} or {"better": "tie"} is wanted')
    label = as_label(said, ("A", "B", "tie"), synonyms=_WORDS)
    return {"A": 1.0, "B": -1.0, "tie": 0.0}[str(label)]


def _both_orders(said: Array) -> Array:
    """(n, 2, votes), +1 for a, to (n,): the mean where the majority of both orders says the same, else 0."""
    told = ~np.isnan(said)
    each = np.where(told, said, 0).sum(2)  # (n, 2)
    agree = (np.sign(each[:, 0]) == np.sign(each[:, 1])) & (each[:, 0] != 0)
    made: Array = np.where(agree, each.sum(1) / np.maximum(told.sum((1, 2)), 1), 0.0)
    return made


def _words(pairs: Sequence[tuple[str, str]]) -> Array:
    """(n,) how much longer a is than b, on a log scale, in standard deviations, squeezed into -1..1."""
    if not pairs:
        return np.zeros(0)
    apart = np.log1p(lengths([a for a, _ in pairs]).words) - np.log1p(lengths([b for _, b in pairs]).words)
    made: Array = np.tanh(apart / max(float(apart.std()), 1e-9)) if apart.any() else apart.astype(np.float64)
    return made


def length_slope(scores: Array, words: Array) -> float:
    """Log odds that the longer answer wins, for each unit of `words`: logistic regression through the origin, with a ridge.

    scores: (n,) above 0 where a won, 0 left out. 0.0 with fewer than LEAST_DUELS decided.
    """
    decided = scores != 0
    if decided.sum() < LEAST_DUELS:
        return 0.0
    x, y = words[decided], (scores[decided] > 0).astype(float)
    slope = 0.0
    for _ in range(50):
        chance = 1 / (1 + np.exp(-slope * x))
        slope += float((x @ (y - chance) - _RIDGE * slope) / (x * x @ (chance * (1 - chance)) + _RIDGE))
    return slope


def best_and_worst(duels: Sequence[tuple[Duel, float, float]]) -> tuple[str, str, float, float] | None:
    """(best, worst, their score, how sure) of all answers of one row, by the sum of their scores; None where the best does
    not beat the worst. duels: (duel, score, sure)."""
    points: dict[str, float] = {}
    for duel, score, _ in duels:
        points[duel.a] = points.get(duel.a, 0.0) + score
        points[duel.b] = points.get(duel.b, 0.0) - score
    best, worst = max(points, key=lambda one: points[one]), min(points, key=lambda one: points[one])
    for duel, score, sure in duels:
        if {duel.a, duel.b} == {best, worst}:
            won = score if duel.a == best else -score
            return (best, worst, won, sure) if won > 0 else None
    return None


def told_of(facts: dict[str, Any]) -> Iterator[str]:
    """Lines of the story."""
    yield (
        f"{facts['judge']} compared {facts['duels']:,} pairs in both orders: {facts['decided']:,} decided, "
        f"{facts['undecided']:,} not, {facts['undone_by_length']:,} decided by length alone"
    )
    yield f"the first answer won {facts['first_wins']:.0%} of the time, the longer one {facts['longer_wins']:.0%}"
