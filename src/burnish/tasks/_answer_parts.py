"""Figures of parts of a set of questions: with and without an answer, by what they ask for, by length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from burnish.measures.answers import answer_scores, by_kind
from burnish.tasks.base import Answers
from burnish.text.questions import ASKING, kind_of

LENGTHS = (1, 5, 10, 20, 50)  # characters of an answer
CONTEXTS = (1, 200, 500, 1000, 2000)  # characters of a context


def parts(
    answers: Answers,
    golds: Sequence[Sequence[str]],
    told: np.ndarray,
    questions: Sequence[str | None],
    contexts: Sequence[str | None],
) -> dict[str, Any]:
    """Mean exact match and F1 of parts, JSON. golds: texts, none where there is no answer; told: (n) bool, has a target."""
    scores = answer_scores([one["text"] for one in answers.items], golds)
    able = np.array([bool(gold) for gold in golds])
    said = np.array([bool(one["text"]) for one in answers.items])
    asked = [kind_of(text or "") for text in questions]
    lengths = [_size(len(gold[0]) if gold else 0, LENGTHS) for gold in golds]
    sizes = [_size(len(text or ""), CONTEXTS) for text in contexts]
    where, whether = _where(answers, golds, told & able), _whether(answers, told & able, told & ~able)
    return {
        "by_answerable": by_kind(scores[told], able[told]),
        **({"apart": where | whether} if where | whether else {}),
        "no_answer": {
            "said": int((told & ~said).sum()),
            "right": int((told & ~said & ~able).sum()),
            "missed": int((told & said & ~able).sum()),
            "needless": int((told & ~said & able).sum()),
        },
        "by_question": _grouped(scores, told, asked, [name for name, _ in ASKING] + ["other"]),
        "by_answer_length": _grouped(scores, told & able, lengths, _sizes(LENGTHS)),
        "by_context_length": _grouped(scores, told, sizes, _sizes(CONTEXTS)),
    }


def _where(answers: Answers, golds: Sequence[Sequence[str]], rows: np.ndarray) -> dict[str, Any]:
    """Scores of the best text, said or not; {} of answers that hold none beside a refusal (of baselines)."""
    best = [
        one["text"] or next((other["text"] for other in one.get("alternatives", ())), None) for one in answers.items
    ]
    if not rows.any() or any(best[row] is None for row in np.flatnonzero(rows)):
        return {}
    scores = answer_scores([text or "" for text in best], golds)[rows].mean(0)
    return {"where": {"n": int(rows.sum()), "exact_match": float(scores[0]), "f1": float(scores[1])}}


def _whether(answers: Answers, able: np.ndarray, lacking: np.ndarray) -> dict[str, Any]:
    """Area under the ROC curve of `no_answer` (Mann and Whitney 1947); {} where one kind is missing or no odds are said."""
    odds = np.array([one.get("no_answer", np.nan) for one in answers.items], dtype=np.float64)
    without, with_ = odds[lacking], odds[able]
    if not len(without) or not len(with_) or np.isnan(without).any() or np.isnan(with_).any():
        return {}
    wins = np.searchsorted(np.sort(with_), without, side="left") + np.searchsorted(
        np.sort(with_), without, side="right"
    )
    return {"whether": {"n": len(without) + len(with_), "auc": float(wins.mean() / 2 / len(with_))}}


def _sizes(edges: Sequence[int]) -> list[str]:
    return [f"{low}-{high - 1}" for low, high in pairwise(edges)] + [f"{edges[-1]}+"]


def _size(length: int, edges: Sequence[int]) -> str:
    """The name of the range of characters a length falls in."""
    return _sizes(edges)[max(int(np.searchsorted(edges, length, side="right")) - 1, 0)]


def _grouped(scores: np.ndarray, chosen: np.ndarray, names: Sequence[str], order: Sequence[str]) -> dict[str, Any]:
    groups = np.array(names, dtype=object)
    made = {}
    for name in order:
        rows = chosen & (groups == name)
        if rows.any():
            made[name] = {
                "n": int(rows.sum()),
                "exact_match": float(scores[rows, 0].mean()),
                "f1": float(scores[rows, 1].mean()),
            }
    return made
