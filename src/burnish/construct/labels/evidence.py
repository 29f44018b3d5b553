"""What labellers and methods are worth: measured on gold records, cross-validated, else by agreement, always said."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from burnish.construct.labels.label_models import (
    METHODS,
    Ballots,
    Method,
    VoteModel,
    collapsed,
    vote_accuracy,
)
from burnish.core.artifacts import Labeller
from burnish.nn.continuing import natural_weights

MIN_GOLD = 10  # covered gold records below which agreement decides
VOTING = ("majority", "weighted")
MIN_TOGETHER = 200  # records with several votes below which agreement shows nothing
_MORE_INFORMATION = 0.05  # nats a vote by which a model must beat the majority vote when no gold can say so


def wilson(right: float, tried: float, z: float = 1.96) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927); (0, 1) when nothing was tried."""
    if not tried:
        return 0.0, 1.0
    share, square = right / tried, z * z
    middle = (share + square / (2 * tried)) / (1 + square / tried)
    half = z * math.sqrt(share * (1 - share) / tried + square / (4 * tried * tried)) / (1 + square / tried)
    return max(0.0, middle - half), min(1.0, middle + half)


def labeller_table(
    ballots: Ballots, known: np.ndarray, claimed: np.ndarray, beliefs: np.ndarray, labellers: Sequence[Labeller]
) -> list[dict[str, Any]]:
    """One row a labeller, on the records that are not gold: coverage, overlap, conflict, agreement, accuracy.

    coverage: share of records it votes on. overlap, conflict: share of *its* votes where another labeller votes too, and
    says something else. agreement: mean belief of the aggregate in what it says. accuracy: estimated, shrunk where gold
    is thin, with the 95% interval of its Beta posterior; gold_votes and gold_right are what it rests on.
    """
    m, k = ballots.num_labellers, ballots.num_labels
    is_gold = known[ballots.row] >= 0
    num_records = int((known < 0).sum())
    here = ~is_gold

    def per(weights: np.ndarray) -> np.ndarray:
        summed: np.ndarray = np.bincount(ballots.labeller[here], weights=weights[here].astype(float), minlength=m)
        return summed

    votes = per(np.ones(len(ballots.row)))
    said = np.bincount(ballots.row * k + ballots.said, minlength=ballots.num_rows * k).reshape(-1, k)
    others = ballots.votes_a_row[ballots.row] - 1
    against = ballots.votes_a_row[ballots.row] - said[ballots.row, ballots.said]
    believed = beliefs[ballots.row, ballots.said]
    right = np.bincount(
        ballots.labeller[is_gold],
        weights=(known[ballots.row] == ballots.said)[is_gold].astype(float),
        minlength=m,
    )
    tried = np.bincount(ballots.labeller[is_gold], minlength=m)
    by_label = vote_accuracy(ballots, known, claimed)
    share_said = np.bincount(ballots.labeller * k + ballots.said, minlength=m * k).reshape(m, k) + 1e-9
    accuracy = (by_label * share_said).sum(1) / share_said.sum(1)
    overlap, conflict, agreement = per(others > 0), per(against > 0), per(believed)
    rows = []
    for j, labeller in enumerate(labellers):
        cast = max(votes[j], 1)
        low, high = _beta_interval(accuracy[j], tried[j])
        rows.append(
            {
                "name": labeller.name,
                "kind": labeller.kind,
                "says": list(labeller.says),
                "about": labeller.about,
                "votes": int(votes[j]),
                "coverage": votes[j] / max(num_records, 1),
                "overlap": overlap[j] / cast,
                "conflict": conflict[j] / cast,
                "agreement": agreement[j] / cast if votes[j] else None,
                "accuracy": float(accuracy[j]),
                "interval": [low, high],
                "gold_votes": int(tried[j]),
                "gold_right": int(right[j]),
                "claimed": None if np.isnan(claimed[j]) else float(claimed[j]),
            }
        )
    return rows


def _beta_interval(mean: float, tried: int, prior: float = 4.0) -> tuple[float, float]:
    """95% interval of a Beta with this mean and `prior` + tried observations."""
    from scipy.stats import beta

    strength = prior + tried
    low, high = beta.interval(0.95, mean * strength + 1e-6, (1 - mean) * strength + 1e-6)
    return float(low), float(high)


@dataclass(frozen=True)
class Judged:
    """One method on the covered gold records: how often right, how well it knew, and why it is refused if it is."""

    method: str
    refused: str
    right: np.ndarray  # (g,) bool, each judged without itself
    log_belief: np.ndarray  # (g,) log-belief in the truth
    count: np.ndarray  # (g,) how much each counts: gold in the shares in which votes expect its labels
    information: float  # nats that the other votes on a record tell about a vote, by this model
    labels_in_effect: list[float]  # share of predictions by label, covered records

    @property
    def log_score(self) -> float:
        """Mean log-belief in the truth, 0 at best."""
        return float(np.average(self.log_belief, weights=self.count))


def judge(
    ballots: Ballots, known: np.ndarray, claimed: np.ndarray, *, methods: Sequence[str], seed: int
) -> list[Judged]:
    """Every method on gold records it did not learn from (cross-validated), and by agreement."""
    return [_judge_one(name, METHODS[name], ballots, known, claimed, seed) for name in methods]


def _judge_one(
    name: str, method: Method, ballots: Ballots, known: np.ndarray, claimed: np.ndarray, seed: int
) -> Judged:
    model = method(ballots, known, claimed)
    unseen = model.beliefs(ballots)
    out = held_out(lambda partly, rows: method(ballots, partly, claimed).beliefs(ballots.at(rows)), known, seed=seed)
    out = np.full_like(unseen, np.nan) if out is None else out
    at = np.flatnonzero((known >= 0) & ballots.covered)
    here = ballots.covered & (known < 0)
    predicted = np.bincount(unseen[here].argmax(1), minlength=ballots.num_labels) / max(here.sum(), 1)
    return Judged(
        name,
        collapsed(unseen, ballots),
        out[at].argmax(1) == known[at],
        np.log(np.clip(out[at, known[at]], 1e-3, 1)),
        natural_weights(known[at], ballots.shares()),
        information(model, ballots),
        [float(share) for share in predicted],
    )


def held_out(
    believe: Callable[[np.ndarray, np.ndarray], np.ndarray], known: np.ndarray, *, seed: int, folds: int = 10
) -> np.ndarray | None:
    """(n, k) beliefs in which every known row was judged while its own label was hidden; other rows are nan. None when
    nothing is known.

    believe: from partly hidden `known` (n,) and rows (r,) to beliefs (r, k) about these rows.
    """
    rows = np.flatnonzero(known >= 0)
    beliefs = None
    order = np.random.default_rng(seed).permutation(rows)
    for fold in np.array_split(order, min(folds, len(order))) if len(order) else []:
        partly = known.copy()
        partly[fold] = -1
        found = believe(partly, fold)
        beliefs = np.full((len(known), found.shape[1]), np.nan) if beliefs is None else beliefs
        beliefs[fold] = found
    return beliefs


def information(model: VoteModel, ballots: Ballots) -> float:
    """Nats that the other votes on a record tell about a vote: mean of log p(v | others) - log p(v); 0 when collapsed."""
    together = ballots.votes_a_row[ballots.row] > 1
    if not together.any():
        return 0.0
    part = replace(
        ballots,
        **{name: getattr(ballots, name)[together] for name in ("row", "labeller", "said", "strength")},
    )
    own = model.evidence[part.labeller, part.said] * part.strength[:, None]
    cavity = model.log_beliefs(ballots)[part.row] - own
    cavity -= cavity.max(1, keepdims=True)
    cavity = np.exp(cavity) / np.exp(cavity).sum(1, keepdims=True)
    share = cavity.mean(0)
    at = np.arange(len(part.said))
    return float(np.log((cavity[at, part.said] + 1e-3) / (share[part.said] + 1e-3)).mean())


def choose(judged: Sequence[Judged], ballots: Ballots) -> tuple[str, str]:
    """The method to use and one sentence that says why. Collapsed methods are out of the question.

    With gold: the vote, plain or weighed, with the better log score, unless a generative model believes the truth
    clearly more (see `_clearly_better`): a model that is wrong is wrong everywhere.
    Without: votes weighed by what is claimed for them (the majority vote when nothing is), unless a model's agreement
    tells clearly more and there are MIN_TOGETHER records with several votes to see it on.
    """
    fit = [one for one in judged if not one.refused] or [one for one in judged if one.method == "majority"]
    tried = len(fit[0].right)
    if tried >= MIN_GOLD:
        voting = max(_voting(fit, judged), key=lambda one: one.log_score)
        surely = [one for one in fit if _clearly_better(one, voting)]
        chosen = max(surely, key=lambda one: one.log_score) if surely else voting
        return chosen.method, (
            f"on {tried} gold records that votes cover, each judged without itself, it is right on "
            f"{chosen.right.mean():.1%} with a log score of {chosen.log_score:.2f}"
            + (", clearly more than voting" if surely else "; no generative model is clearly better than voting")
        )
    said = "no gold records" if not tried else f"only {tried} gold records that votes cover (need {MIN_GOLD})"
    plain = max(_voting(fit, judged), key=lambda one: one.information)
    chosen = max(fit, key=lambda one: one.information)
    enough = (ballots.votes_a_row > 1).sum() >= MIN_TOGETHER
    if enough and chosen.information > plain.information + _MORE_INFORMATION:
        return chosen.method, (
            f"{said}; in it the votes explain each other better than in the majority vote "
            f"({chosen.information:.2f} against {plain.information:.2f} nats a vote)"
        )
    method = "weighted" if any(one.method == "weighted" for one in fit) else "majority"
    return method, f"{said}; no model explains the votes clearly better than voting does, so what is simplest stays"


def _voting(fit: Sequence[Judged], judged: Sequence[Judged]) -> list[Judged]:
    """The votes, plain or weighed, that are fit; the plain one where neither is, to compare a model with."""
    return [one for one in fit if one.method in VOTING] or [one for one in judged if one.method == "majority"]


def _clearly_better(one: Judged, voting: Judged) -> bool:
    """Believes the truth more by a standard error, paired by record in the shares of the records, and is not right less.

    Not by how often it is right alone: on a dozen gold records one record more is within a standard error, while a
    plain vote that ignores how rare a label is gives itself away in what it believes (87% ham: -0.46 nats to -0.12).
    """
    difference, share = one.log_belief - voting.log_belief, one.count / one.count.sum()
    mean = float(share @ difference)
    error = math.sqrt(float(np.square(share) @ np.square(difference - mean)))
    return mean > error and float(share @ one.right) >= float(share @ voting.right)


def method_table(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """As JSON: accuracy on covered gold with its 95% interval, agreement, what is predicted, and why not."""
    rows = []
    for one in judged:
        tried, right = len(one.right), int(one.right.sum())
        rows.append(
            {
                "method": one.method,
                "gold": tried,
                "accuracy": right / tried if tried else None,
                "interval": list(wilson(right, tried)),
                "log_score": one.log_score if tried else None,
                "information": one.information,
                "predicted": one.labels_in_effect,
                "refused": one.refused or None,
            }
        )
    return rows


def best_single(ballots: Ballots, known: np.ndarray, labellers: Sequence[Labeller]) -> dict[str, Any] | None:
    """The labeller with the most right answers on covered gold records, abstentions counting as wrong."""
    gold = known[ballots.row] >= 0
    covered = int(((known >= 0) & ballots.covered).sum())
    if not covered:
        return None
    m = ballots.num_labellers
    right = np.bincount(
        ballots.labeller[gold], weights=(ballots.said == known[ballots.row])[gold].astype(float), minlength=m
    )
    tried = np.bincount(ballots.labeller[gold], minlength=m)
    j = int(right.argmax())
    return {
        "name": labellers[j].name,
        "accuracy": float(right[j] / covered),
        "interval": list(wilson(right[j], covered)),
        "coverage": float(tried[j] / covered),
        "accuracy_where_it_votes": float(right[j] / tried[j]) if tried[j] else None,
    }
