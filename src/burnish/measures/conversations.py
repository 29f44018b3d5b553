"""What conversations are like: turns, lengths, how varied the answers are, how many are copies, how much was masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.measures.duplicates import exact_duplicates, near_duplicates
from burnish.measures.generation import rouge_tokens
from burnish.text.lengths import lengths
from burnish.text.pii import PLACEHOLDER

Turns = Sequence[Mapping[str, str]]


def problem(turns: Turns | None) -> str | None:
    """Why a trainer cannot learn from a conversation; None when it can.

    At most one system turn, the first; then user and assistant in turn, every turn says something, the last is an answer.
    """
    if not turns:
        return "no messages"
    said = list(turns[1:] if turns[0]["role"] == "system" else turns)
    if not said:
        return "nobody speaks"
    for at, turn in enumerate(said):
        wanted = "assistant" if at % 2 else "user"
        if turn["role"] != wanted:
            return f"turn {at + 1} is of {turn['role']}, not of {wanted}"
        if not turn["content"].strip():
            return f"turn {at + 1} is empty"
    return None if said[-1]["role"] == "assistant" else "the last turn is no answer"


def distinct(texts: Sequence[str], size: int) -> float:
    """Distinct n-grams of all texts over all their n-grams, 0..1 (distinct-n, Li et al. 2016); Chinese by characters.

    It falls with the number of texts: compare equal numbers. 0.0 where there is no n-gram.
    """
    grams: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        tokens = rouge_tokens(text)
        own = list(zip(*(tokens[at:] for at in range(size)), strict=False))
        total += len(own)
        grams.update(own)
    return len(grams) / total if total else 0.0


def conversation_figures(conversations: Sequence[Turns]) -> dict[str, Any]:
    """Figures of conversations; lengths are in words (Chinese: characters), shares 0..1, quantiles 5, 50 and 95%.

    masked: share of conversations with a placeholder of `text.pii`. invalid: by `problem`. Sees all texts at once.
    """
    turns = np.array([sum(one["role"] != "system" for one in talk) for talk in conversations])
    answers = [one["content"] for talk in conversations for one in talk if one["role"] == "assistant"]
    asked = [one["content"] for talk in conversations for one in talk if one["role"] == "user"]
    whole = ["\n".join(one["content"] for one in talk if one["role"] != "system") for talk in conversations]
    some = bool(whole)
    return {
        "conversations": len(conversations),
        "turns": _spread(turns),
        "question_words": _spread(lengths(asked).words),
        "answer_words": _spread(lengths(answers).words),
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "duplicates": float(exact_duplicates(whole).repeats.mean()) if some else 0.0,
        "near_duplicates": float(near_duplicates(whole, threshold=0.8).repeats.mean()) if some else 0.0,
        "repeated_answers": float(exact_duplicates(answers).repeats.mean()) if answers else 0.0,
        "masked": float(np.mean([bool(PLACEHOLDER.search(text)) for text in whole])) if some else 0.0,
        "invalid": sum(problem(talk) is not None for talk in conversations),
    }


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    if not len(values):
        return {"mean": 0.0, "q05": 0.0, "median": 0.0, "q95": 0.0}
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {"mean": float(values.mean()), "q05": float(low), "median": float(middle), "q95": float(high)}


def told(figures: Mapping[str, Any]) -> str:
    """The figures as one line of a story."""
    turns, answers = figures["turns"], figures["answer_words"]
    return (
        f"{figures['conversations']:,} conversations of {turns['mean']:.1f} turns (5-95%: {turns['q05']:.0f}-{turns['q95']:.0f}), "
        f"answers of {answers['median']:.0f} words ({answers['q05']:.0f}-{answers['q95']:.0f}), "
        f"distinct-1 {figures['distinct_1']:.3f}, distinct-2 {figures['distinct_2']:.3f}, "
        f"copies {figures['duplicates']:.1%} (nearly {figures['near_duplicates']:.1%}), masked {figures['masked']:.1%}"
    )
