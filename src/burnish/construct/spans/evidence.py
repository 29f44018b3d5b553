"""What labellers of spans and ways to join them are worth: on checked records they did not learn from, else by agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.construct.labels.evidence import wilson
from burnish.construct.spans.models import METHODS, Found, Learnt, Problem, alone, part_of
from burnish.construct.spans.votes import Span
from burnish.core.artifacts import Labeller

FOLDS = 5
MIN_GOLD = 10  # checked records from which they decide
MIN_TOGETHER = 100  # votes with another one at the same place, from which agreement shows anything


@dataclass(frozen=True)
class Counts:
    """Of the checked rows (g, 3): spans right, said and not there, there and not said. predicted: (k,) spans said."""

    rows: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def f1(self) -> float:
        right, wrong, missed = self.rows.sum(0).tolist()
        return float(2 * right / max(2 * right + wrong + missed, 1))

    @property
    def precision(self) -> float:
        right, wrong, _ = self.rows.sum(0).tolist()
        return float(right / max(right + wrong, 1))

    @property
    def recall(self) -> float:
        right, _, missed = self.rows.sum(0).tolist()
        return float(right / max(right + missed, 1))

    def interval(self, *, seed: int, draws: int = 500) -> tuple[float, float]:
        """95% of F1 over draws of the checked records (bootstrap)."""
        if not len(self.rows):
            return 0.0, 1.0
        at = np.random.default_rng(seed).integers(0, len(self.rows), (draws, len(self.rows)))
        right, wrong, missed = np.moveaxis(self.rows[at].sum(1), 1, 0)
        low, high = np.quantile(2 * right / np.maximum(2 * right + wrong + missed, 1), [0.025, 0.975])
        return float(low), float(high)


def count(found: Found, truth: Mapping[int, frozenset[Span]], num_labels: int) -> Counts:
    """What is said of the rows of `truth`, in their order."""
    rows = []
    for row, wanted in truth.items():
        said = found.spans(row)
        rows.append([len(said & wanted), len(said - wanted), len(wanted - said)])
    predicted = np.bincount(found.label[found.chosen], minlength=num_labels)
    return Counts(np.array(rows, np.int64).reshape(-1, 3), predicted)


@dataclass(frozen=True)
class Judged:
    """One way to join votes: what it learnt from everything, how it does on gold it did not learn from, why it is refused."""

    method: str
    learnt: Learnt
    counts: Counts
    refused: str


def judge(problem: Problem, texts: Sequence[str], *, methods: Sequence[str], seed: int) -> list[Judged]:
    """Every method, cross-validated on the checked rows."""
    k = problem.mentions.num_labels
    made = []
    for name in methods:
        learnt = METHODS[name](problem)
        found = learnt(problem)
        rows = held_out(name, problem, texts, seed=seed)
        predicted = np.bincount(found.label[found.chosen], minlength=k)
        made.append(Judged(name, learnt, Counts(rows, predicted), collapsed(predicted, problem)))
    return made


def held_out(name: str, problem: Problem, texts: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """(g, 3) counts of the checked rows, each judged by a method that learnt without it."""
    rows = sorted(problem.truth)
    made = np.zeros((len(rows), 3), np.int64)
    order = np.random.default_rng(seed).permutation(len(rows))
    for fold in np.array_split(order, min(FOLDS, len(rows))) if rows else []:
        hidden = {rows[at] for at in fold}
        partly = replace(problem, truth={row: spans for row, spans in problem.truth.items() if row not in hidden})
        learnt = METHODS[name](partly)
        tried = sorted(hidden)
        found = learnt(replace(part_of(problem, tried, texts), truth={}))
        wanted = {at: problem.truth[row] for at, row in enumerate(tried)}
        made[[rows.index(row) for row in tried]] = count(found, wanted, problem.mentions.num_labels).rows
    return made


def singles(problem: Problem, labellers: Sequence[Labeller]) -> list[Counts]:
    """Each labeller by itself on the checked rows."""
    k = problem.mentions.num_labels
    return [count(alone(problem, j)(problem), problem.truth, k) for j in range(len(labellers))]


def collapsed(predicted: NDArray[np.int64], problem: Problem) -> str:
    """Say in words that a method gives up labels, or nearly all spans, that labellers vote for; empty when it does not."""
    voted = np.bincount(problem.candidates.label, minlength=len(predicted))
    if voted.sum() < 20:
        return ""  # so few show nothing
    if predicted.sum() < voted.sum() / 10:
        return f"says {predicted.sum():,} spans where votes name {voted.sum():,}"
    shares = voted / voted.sum()
    lost = np.flatnonzero((shares >= 0.05) & (predicted < voted / 20))
    return f"gives up {len(lost)} of {len(predicted)} labels that have {shares[lost].sum():.0%} of the votes" * bool(
        len(lost)
    )


def choose(judged: Sequence[Judged], best: tuple[str, Counts] | None, problem: Problem) -> tuple[str, str]:
    """The way to use and one sentence that says why; "single" when no way to join votes does as well as one labeller.

    With gold: the best entity F1 on records that did not teach it, the simpler of equal ones. Without: the HMM where
    labellers meet often enough to show who is right, else votes weighed by how far they agree. What collapses is out.
    """
    tried = len(problem.truth)
    fit = [one for one in judged if not one.refused]
    if tried >= MIN_GOLD:  # gold may say that what is given up was not worth having
        least = max((one.counts.f1 for one in fit), default=0.0)
        fit += [one for one in judged if one.refused and one.counts.f1 > least]
    fit = fit or [one for one in judged if one.method == "majority"]
    if tried >= MIN_GOLD:
        chosen = max(fit, key=lambda one: round(one.counts.f1, 4))
        said = f"on {tried} gold records, each judged without itself, its entity F1 is {chosen.counts.f1:.3f}"
        if best is not None and best[1].f1 > chosen.counts.f1:
            return (
                "single",
                f"no way to join the votes does as well on {tried} gold records as {best[0]} alone ({best[1].f1:.3f})",
            )
        return chosen.method, said
    said = "no gold records" if not tried else f"only {tried} gold records (need {MIN_GOLD})"
    met = len(np.unique(problem.candidates.touching)) + int((np.bincount(problem.candidates.of) > 1).sum())
    names = [one.method for one in fit]
    if met >= MIN_TOGETHER and "hmm" in names:
        return "hmm", f"{said}; labellers meet at {met:,} places, enough for a model of who is right"
    if "weighted" in names:
        return "weighted", f"{said}, and labellers meet at {met:,} places: votes are weighed by how far they agree"
    return fit[0].method, f"{said}, and the others are refused"


def labeller_table(
    problem: Problem, found: Found, alone: Sequence[Counts], labellers: Sequence[Labeller]
) -> list[dict[str, Any]]:
    """One row a labeller: votes, coverage (share of records), overlap and conflict (shares of its votes that meet, contradict
    another's), agreement (mean belief in what it says), precision on gold as `accuracy`, recall and F1 there."""
    mentions, candidates = problem.mentions, problem.candidates
    m = mentions.num_labellers
    here = ~np.isin(mentions.row, np.fromiter(problem.truth, np.int64, len(problem.truth)))
    votes_of = np.bincount(candidates.of, minlength=len(candidates.row))
    against = np.zeros(len(candidates.row), np.int64)
    if len(candidates.touching):
        np.add.at(against, candidates.touching[:, 0], votes_of[candidates.touching[:, 1]])
        np.add.at(against, candidates.touching[:, 1], votes_of[candidates.touching[:, 0]])
    believed = _belief_of(problem, found)
    num_records = max(mentions.num_rows - len(problem.truth), 1)
    rows = []
    for j, labeller in enumerate(labellers):
        mine = here & (mentions.labeller == j)
        of = candidates.of[mine]
        many = max(int(mine.sum()), 1)
        right, wrong, _ = alone[j].rows.sum(0).tolist() if len(alone[j].rows) else (0, 0, 0)
        low, high = wilson(right, right + wrong)
        rows.append(
            {
                "name": labeller.name,
                "kind": labeller.kind,
                "says": list(labeller.says),
                "about": labeller.about,
                "votes": int(mine.sum()),
                "coverage": len(np.unique(mentions.row[mine])) / num_records,
                "overlap": float(((votes_of[of] > 1) | (against[of] > 0)).sum() / many),
                "conflict": float((against[of] > 0).sum() / many),
                "agreement": float(believed[of].mean()) if mine.any() else None,
                "accuracy": right / (right + wrong) if right + wrong else None,
                "interval": [low, high],
                "gold_votes": right + wrong,
                "gold_right": right,
                "gold_recall": alone[j].recall if problem.truth else None,
                "gold_f1": alone[j].f1 if problem.truth else None,
                "claimed": labeller.trust,
            }
        )
    assert len(rows) == m
    return rows


def _belief_of(problem: Problem, found: Found) -> NDArray[np.float64]:
    """(c,) how far what is found believes each candidate."""
    held = dict(
        zip(
            zip(*(column.tolist() for column in (found.row, found.start, found.end, found.label)), strict=True),
            found.belief.tolist(),
            strict=True,
        )
    )
    one = problem.candidates
    keys = zip(*(column.tolist() for column in (one.row, one.start, one.end, one.label)), strict=True)
    return np.array([held.get(key, 0.0) for key in keys])


def method_table(judged: Sequence[Judged], num_gold: int, *, seed: int) -> list[dict[str, Any]]:
    """As JSON; `accuracy` is entity F1 here, with its 95% interval."""
    return [
        {
            "method": one.method,
            "figure": "entity F1",
            "gold": num_gold,
            "accuracy": one.counts.f1 if num_gold else None,
            "precision": one.counts.precision if num_gold else None,
            "recall": one.counts.recall if num_gold else None,
            "interval": list(one.counts.interval(seed=seed)),
            "spans": int(one.counts.predicted.sum()),
            "refused": one.refused or None,
        }
        for one in judged
    ]
