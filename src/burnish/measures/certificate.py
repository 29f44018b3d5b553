"""What checked records say about all of them: how many targets are right, of each label, and what is taken for what.

n checked records, H strata, k labels. Every figure comes with an interval for the sampling of the records; the person who
checked is taken to be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.measures.certificate_design import merged
from burnish.measures.certificate_intervals import look_often, prediction_powered, ratio, share, stratified
from burnish.measures.intervals import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST_POWERED = 20  # right and wrong ones each, from which the central limit theorem may speak
LEAST_CELL = 0.005  # of a row of the noise matrix below which a cell is left out of the list of pairs


@dataclass(frozen=True)
class Checks:
    """n checked records of a stratified sample. stratum: (n,) 0..H-1; sizes, guess: (H,) as `certificate_design.Strata`;
    right: (n,) whether the target is; belief: (n,) the model's chance that it is, 0..1."""

    stratum: Ints
    sizes: Ints
    guess: Floats
    right: NDArray[np.bool_]
    belief: Floats

    def joined(self) -> Checks:
        """The same with strata that have too few checks joined to others."""
        place, sizes, guess = merged(self.counts()[1], self.sizes, self.guess)
        return Checks(place[self.stratum], sizes, guess, self.right, self.belief)

    def counts(self) -> tuple[Ints, Ints]:
        """(right, checked) of each stratum (H,)."""
        checked = np.bincount(self.stratum, minlength=len(self.sizes))
        return np.bincount(self.stratum, weights=self.right, minlength=len(self.sizes)).astype(np.int64), checked


def plain(one: Interval) -> dict[str, float]:
    """As JSON."""
    return {"value": one.value, "low": one.low, "high": one.high}


def accuracy(
    checks: Checks, unchecked: tuple[Ints, Floats] | None = None, *, planned: float, confidence: float = 0.95
) -> dict[str, Any]:
    """Share of all records whose target is right: the interval, one that holds at every look, and prediction-powered.

    unchecked: stratum and belief of the records that nobody checked. planned: checks that were expected.
    """
    found = checks.joined()
    right, checked = found.counts()
    one, method = share(right, checked, found.sizes, confidence=confidence)
    often, _ = share(
        right, checked, found.sizes, confidence=confidence, z=look_often(float(checked.sum()), planned, confidence=confidence)
    )  # fmt: skip
    made: dict[str, Any] = {
        **plain(one), "method": method, "half_width": (one.high - one.low) / 2, "checked": int(checked.sum()),
        "right": int(right.sum()), "strata": len(found.sizes), "any_look": {"low": often.low, "high": often.high},
    }  # fmt: skip
    total, hits = int(checked.sum()), int(right.sum())
    if unchecked is not None and min(hits, total - hits) >= LEAST_POWERED:
        place, _, _ = merged(checks.counts()[1], checks.sizes, checks.guess)
        rest = [unchecked[1][place[unchecked[0]] == h] for h in range(len(found.sizes))]
        counted, tuning = prediction_powered(found.right, found.belief, rest, found.stratum, confidence=confidence)
        made["prediction_powered"] = {**plain(counted), "tuning": tuning}
    return made


def by_label(
    checks: Checks, given: Ints, true: Ints, labels: Sequence[str], *, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """One row a label: precision (records given it that are right) and recall (records of it that are given it).

    given, true: (n,) label numbers; true -1 where a person said that the label is wrong and not what is right.
    """
    found, rows = checks.joined(), []
    known = true >= 0
    for number, label in enumerate(labels):
        mine, is_it = given == number, true == number
        of = ratio(mine & checks.right, mine, found.stratum, found.sizes, confidence=confidence)
        kept = ratio(is_it & mine, is_it & known, found.stratum, found.sizes, confidence=confidence)
        rows.append(
            {
                "label": label, "checked": int(mine.sum()), "precision": plain(of), "of_it": int(is_it.sum()),
                "recall": plain(kept),
            }
        )  # fmt: skip
    return rows


def transitions(
    checks: Checks, given: Ints, true: Ints, labels: Sequence[str], *, confidence: float = 0.95, most: int = 40
) -> dict[str, Any]:
    """The noise-transition matrix both ways: P(given | true) and P(true | given), (k, k) each, rows sum to 1 or are null.

    pairs: its cells off the diagonal, the largest share of all records first, with intervals; at most `most`.
    """
    found, k = checks.joined(), len(labels)
    count = np.bincount(found.stratum, minlength=len(found.sizes))
    weight = (found.sizes / np.maximum(count, 1))[found.stratum]
    known = true >= 0
    joint = np.zeros((k, k))  # rows true, columns given
    np.add.at(joint, (true[known], given[known]), weight[known])
    both: dict[str, Any] = {}
    for name, matrix in (("given_of_true", joint), ("true_of_given", joint.T)):
        total = matrix.sum(1, keepdims=True)
        both[name] = [
            (row / whole).tolist() if whole > 0 else None for row, whole in zip(matrix, total[:, 0], strict=True)
        ]
    pairs = [
        (joint[t, g] / max(joint.sum(), 1e-12), t, g) for t in range(k) for g in range(k) if t != g and joint[t, g]
    ]
    pairs.sort(key=lambda one: (-one[0], one[1], one[2]))
    listed = []
    for part, t, g in pairs[:most]:
        cell = known & (true == t) & (given == g)
        of_true = ratio(cell, known & (true == t), found.stratum, found.sizes, confidence=confidence)
        of_given = ratio(cell, known & (given == g), found.stratum, found.sizes, confidence=confidence)
        if of_given.value >= LEAST_CELL or of_true.value >= LEAST_CELL:
            listed.append(
                {
                    "true": labels[t], "given": labels[g], "share": part, "checked": int(cell.sum()),
                    "given_of_true": plain(of_true), "true_of_given": plain(of_given),
                }
            )  # fmt: skip
    return {"labels": list(labels), **both, "pairs": listed}


def mentions(
    checks: Checks,
    given: Sequence[frozenset[Any]],
    true: Sequence[frozenset[Any] | None],
    label_of: Mapping[Any, str] | None = None,
    *,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Precision, recall and F1 of what stands in the records: spans, relations, several labels; each a ratio of totals.

    given, true: (n,) sets of hashable mentions; true None where a person refused the record without saying what is there:
    its mentions count as wrong, and recall and F1 leave it out. label_of: mention -> its label, for a row a label.
    """
    found = checks.joined()
    known = np.array([one is not None for one in true], dtype=bool)

    def figures(mine: Sequence[frozenset[Any]], theirs: Sequence[frozenset[Any] | None]) -> dict[str, Any]:
        hit = np.array(
            [len(a & b) if b is not None else 0 for a, b in zip(mine, theirs, strict=True)], dtype=np.float64
        )
        said = np.array([len(a) for a in mine], dtype=np.float64)
        there = np.array([len(b) if b is not None else 0 for b in theirs], dtype=np.float64)
        put: dict[str, Any] = {"stratum": found.stratum, "sizes": found.sizes, "confidence": confidence}
        both = np.where(known, said + there, 0.0)
        return {
            "given": int(said.sum()), "there": int(there.sum()),
            "precision": plain(ratio(hit, said, **put)),
            "recall": plain(ratio(hit * known, there, **put)),
            "f1": plain(ratio(2 * hit * known, both, **put)),
        }  # fmt: skip

    made = {**figures(given, true), "refused": int((~known).sum())}
    if label_of is not None:
        of = label_of.__getitem__
        rows = []
        for label in sorted(set(label_of.values())):
            mine = [frozenset(one for one in some if of(one) == label) for some in given]
            theirs = [None if some is None else frozenset(one for one in some if of(one) == label) for some in true]
            rows.append({"label": label, **figures(mine, theirs)})
        made["labels"] = rows
    return made


def after_review(checks: Checks, *, refused: int = 0, confidence: float = 0.95) -> Interval:
    """The share right once every checked record is as the person said: those are right, the others as estimated.

    (checked + sum over strata of (size - checked) p) / all, the interval that of the others' share, scaled; refused: checked
    records that were set aside and count no more.
    """
    found = checks.joined()
    right, checked = found.counts()
    left = found.sizes - checked
    done, rest = int(checked.sum()) - refused, float(left.sum())
    if not rest:
        return Interval(1.0, 1.0, 1.0)
    # the unchecked of a stratum are not part of what was checked: no finite population correction is due to them
    endless = np.maximum(left / rest * 1e12, checked)
    value, low, high = stratified(right, checked, endless, confidence=confidence)
    return Interval(*((done + float(one) * rest) / (done + rest) for one in (value, low, high)))
