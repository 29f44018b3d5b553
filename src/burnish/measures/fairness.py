"""Fairness of answers between groups, by the definitions of fairlearn (Weerts et al. 2023): the same numbers, with intervals.

One class is the selected one, any other answer is not: selection rate P(answer = c), true positive rate P(answer = c | target
= c), false positive rate P(answer = c | target != c). Difference: largest minus smallest over groups; ratio: smallest over
largest. Equalized odds is the worse of the true and the false positive rates (Hardt, Price and Srebro 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.measures.intervals import wilson

Array = NDArray[Any]
DIFFERENCES = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")
RATIOS = ("demographic_parity_ratio", "equalized_odds_ratio")
DRAWS = 500


def cells(groups: Array, targets: Array, answers: Array, *, count: int, label: int) -> Array:
    """(count, 2, 2) how often each group (n,) had target label or not, answered with it or not: [group, target, answer]."""
    code = groups * 4 + (targets == label) * 2 + (answers == label)
    made: Array = np.bincount(code, minlength=4 * count).reshape(count, 2, 2)
    return made


def rates(counted: Array) -> dict[str, Array]:
    """Selection, true and false positive rate and accuracy of each group: cells (..., g, 2, 2) -> (..., g).

    A rate of nothing (no such target in the group) is 0, as in fairlearn.
    """
    counted = counted.astype(float)
    size, positive, negative = counted.sum((-1, -2)), counted[..., 1, :].sum(-1), counted[..., 0, :].sum(-1)

    def share(part: Array, whole: Array) -> Array:
        made: Array = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        return made

    return {
        "selection_rate": share(counted[..., 1].sum(-1), size),
        "true_positive_rate": share(counted[..., 1, 1], positive),
        "false_positive_rate": share(counted[..., 0, 1], negative),
        "accuracy": share(counted[..., 0, 0] + counted[..., 1, 1], size),
    }


def gaps(of: dict[str, Array]) -> dict[str, Array]:
    """The five figures of fairlearn from `rates` (..., g) -> (...)."""

    def difference(name: str) -> Array:
        made: Array = of[name].max(-1) - of[name].min(-1)
        return made

    def ratio(name: str) -> Array:
        low, high = of[name].min(-1), of[name].max(-1)
        made: Array = np.divide(low, high, out=np.full_like(high, np.nan), where=high > 0)
        return made

    odds = np.stack([ratio("true_positive_rate"), ratio("false_positive_rate")])
    undefined = np.isnan(odds).all(0)
    return {
        "demographic_parity_difference": difference("selection_rate"),
        "demographic_parity_ratio": ratio("selection_rate"),
        "equal_opportunity_difference": difference("true_positive_rate"),
        "equalized_odds_difference": np.maximum(difference("true_positive_rate"), difference("false_positive_rate")),
        "equalized_odds_ratio": np.where(undefined, np.nan, np.nanmin(np.where(undefined, 1.0, odds), axis=0)),
    }


def judge(
    groups: Array, targets: Array, answers: Array, *, names: Sequence[str], label: int, seed: int, draws: int = DRAWS
) -> dict[str, Any]:
    """Rates of each group with Wilson's interval, and the five figures with a bootstrap interval and what chance gives.

    groups (n,) 0..g-1; targets, answers (n,) class numbers. Interval: percentile bootstrap within groups (Efron 1979).
    by_chance: what 95% of shuffles of the groups stay below: a difference of many small groups is large without any unfairness.
    """
    count = len(names)
    counted = cells(groups, targets, answers, count=count, label=label)
    of = rates(counted)
    rng = np.random.default_rng(seed)
    drawn = np.stack(
        [rng.multinomial(one.sum(), one.ravel() / max(one.sum(), 1), size=draws).reshape(draws, 2, 2) for one in counted], axis=1
    )  # fmt: skip
    spread = gaps(rates(drawn))
    shuffled = gaps(
        rates(
            np.stack([cells(rng.permutation(groups), targets, answers, count=count, label=label) for _ in range(draws)])
        )
    )
    made: dict[str, Any] = {"groups": {}, "figures": {}}
    for at, name in enumerate(names):
        (tn, fp), (fn, tp) = counted[at].tolist()
        made["groups"][name] = {
            "n": tn + fp + fn + tp, **{key: float(value[at]) for key, value in of.items()},
            "selection_rate_interval": _around(fp + tp, tn + fp + fn + tp), "true_positive_rate_interval": _around(tp, fn + tp),
            "false_positive_rate_interval": _around(fp, tn + fp),
        }  # fmt: skip
    for name, value in gaps(of).items():
        inside = spread[name][np.isfinite(spread[name])]
        chance = shuffled[name][np.isfinite(shuffled[name])]
        low, high = np.quantile(inside, [0.025, 0.975]) if len(inside) else (np.nan, np.nan)
        edge = 0.05 if name in RATIOS else 0.95
        made["figures"][name] = {
            "value": _plain(value), "interval": [_plain(low), _plain(high)],
            "by_chance": _plain(np.quantile(chance, edge)) if len(chance) else None,
        }  # fmt: skip
    return made


def _around(part: int, whole: int) -> list[float]:
    one = wilson(part, whole)
    return [one.low, one.high]


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
