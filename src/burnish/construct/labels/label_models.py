"""From many votes on a record to one belief about it: pure functions on numbers.

Letters: n records, m labellers, k labels, b ballots (votes cast; who abstains casts none).
Every method ends in one form, a `VoteModel`: labeller j saying v on a record adds `evidence[j, v]` (k,) to the
log-belief in each label, on top of a prior. So methods differ only in how they learn the evidence, and all of them are
applied, compared and left out by the same few lines.

`known` (n,) is the checked label of a record, -1 where nobody checked. Rows that are known teach the methods that can
learn from them; a row is judged by setting it to -1 first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from burnish.nn.continuing import natural_weights

DEFAULT_ACCURACY = 0.75  # of a labeller about which nothing is known: rules people write are right this often (WRENCH)
_MOST_EVIDENCE = 0.995  # no single labeller is believed beyond this, so that two others can always outvote it


@dataclass(frozen=True)
class Ballots:
    """Votes as four columns of length b: row of the record, labeller, label said, and its strength (mean 1 a labeller)."""

    row: np.ndarray
    labeller: np.ndarray
    said: np.ndarray
    strength: np.ndarray
    num_rows: int
    num_labellers: int
    num_labels: int

    @classmethod
    def from_matrix(cls, votes: np.ndarray, num_labels: int, confidence: np.ndarray | None = None) -> Ballots:
        """From votes (n, m) int, -1 = abstains, and confidence (n, m) in 0..1."""
        row, labeller = np.nonzero(votes >= 0)
        said = votes[row, labeller].astype(np.int64)
        sure = np.ones(len(row)) if confidence is None else confidence[row, labeller]
        return cls.of(row, labeller, said, sure, votes.shape[0], votes.shape[1], num_labels)

    @classmethod
    def of(
        cls,
        row: np.ndarray,
        labeller: np.ndarray,
        said: np.ndarray,
        confidence: np.ndarray,
        num_rows: int,
        num_labellers: int,
        num_labels: int,
    ) -> Ballots:
        """From columns. A vote counts by its confidence over the labeller's mean: how sure it is *for this labeller*;
        how far the labeller can be trusted at all is what the methods learn."""
        mean = _per(labeller, np.maximum(confidence, 1e-3), num_labellers) / np.maximum(
            _per(labeller, None, num_labellers), 1
        )
        strength = np.maximum(confidence, 1e-3) / np.maximum(mean[labeller], 1e-3)
        return cls(row, labeller, said, strength, num_rows, num_labellers, num_labels)

    @property
    def votes_a_row(self) -> np.ndarray:
        counts: np.ndarray = np.bincount(self.row, minlength=self.num_rows)
        return counts

    @property
    def covered(self) -> np.ndarray:
        """(n,) bool: at least one vote."""
        some: np.ndarray = self.votes_a_row > 0
        return some

    def shares(self) -> np.ndarray:
        """(k,): how the votes are spread over the labels, every covered record counting once."""
        each = 1.0 / self.votes_a_row[self.row]
        spread = np.bincount(self.said, weights=each, minlength=self.num_labels)
        shares: np.ndarray = spread / max(spread.sum(), 1e-12)
        return shares

    def at(self, rows: np.ndarray) -> Ballots:
        """The ballots on these rows (r,) alone, which become rows 0..r-1; strengths stay."""
        place = np.full(self.num_rows, -1)
        place[rows] = np.arange(len(rows))
        row = place[self.row]
        here = row >= 0
        parts = (row[here], self.labeller[here], self.said[here], self.strength[here])
        return Ballots(*parts, len(rows), self.num_labellers, self.num_labels)

    def patterns(self, known: np.ndarray) -> tuple[Ballots, np.ndarray, np.ndarray]:
        """Each way of voting once: the ballots of one row for all rows with the same votes and the same known (n,), with
        known (u,) and the number of rows (u,) of each. A method that learns from these learns the same, of less.

        Rows are told apart by the sum of a 64-bit hash of each vote; strengths count to four digits.
        """
        strength = np.round(self.strength * 1e4).astype(np.uint64)
        cell = (self.labeller * self.num_labels + self.said).astype(np.uint64)
        vote = _mixed(_mixed(cell + np.uint64(1)) ^ strength)
        order = np.argsort(self.row, kind="stable")
        edges = np.searchsorted(self.row[order], np.arange(self.num_rows + 1))
        running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(vote[order], dtype=np.uint64)])
        whole = (running[edges[1:]] - running[edges[:-1]]) ^ _mixed((known + 1).astype(np.uint64))
        _, first, count = np.unique(whole, return_index=True, return_counts=True)
        return self.at(first), known[first], count.astype(np.float64)

    def tally(self, beliefs: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """(m, k, k): expected count of (labeller, said, true), where beliefs (n, k) say what is true."""
        m, k = self.num_labellers, self.num_labels
        cell = self.labeller * k + self.said
        weighed = beliefs[self.row] if weight is None else beliefs[self.row] * weight[self.row, None]
        return np.stack([np.bincount(cell, weights=weighed[:, y], minlength=m * k) for y in range(k)], 1).reshape(
            m, k, k
        )


def _mixed(values: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele et al. 2014) of 64-bit numbers: each bit depends on all."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return found


def _per(index: np.ndarray, weights: np.ndarray | None, size: int) -> np.ndarray:
    total: np.ndarray = np.bincount(index, weights=weights, minlength=size)
    return total


@dataclass(frozen=True)
class VoteModel:
    """prior (k,) and evidence (m, k said, k true), both in nats."""

    prior: np.ndarray
    evidence: np.ndarray

    def log_beliefs(self, ballots: Ballots) -> np.ndarray:
        """(n, k) log p(label | votes); a row without votes gets the prior."""
        k = ballots.num_labels
        added = self.evidence[ballots.labeller, ballots.said] * ballots.strength[:, None]
        total = np.stack([_per(ballots.row, added[:, y], ballots.num_rows) for y in range(k)], 1) + self.prior
        normal: np.ndarray = total - _logsumexp(total)
        return normal

    def beliefs(self, ballots: Ballots) -> np.ndarray:
        """(n, k), rows sum to 1."""
        chances: np.ndarray = np.exp(self.log_beliefs(ballots))
        return chances


def _logsumexp(values: np.ndarray) -> np.ndarray:
    top = values.max(1, keepdims=True)
    found: np.ndarray = top + np.log(np.exp(values - top).sum(1, keepdims=True))
    return found


def one_hot(known: np.ndarray, num_labels: int) -> np.ndarray:
    """(n, k): 1 at the known label, all zeros where it is -1."""
    hot: np.ndarray = (known[:, None] == np.arange(num_labels)).astype(np.float64)
    return hot


def accuracy_evidence(accuracy: np.ndarray) -> np.ndarray:
    """(m, k, k) evidence of labellers whose vote v is right with accuracy[j, v], errors spread evenly."""
    k = accuracy.shape[1]
    right = np.clip(accuracy, 1e-3, _MOST_EVIDENCE)
    wrong = np.repeat(np.log((1 - right) / max(k - 1, 1))[:, :, None], k, axis=2)
    wrong[:, np.arange(k), np.arange(k)] = np.log(right)
    return wrong


def tie_break(ballots: Ballots) -> np.ndarray:
    """(k,) a prior too small to outvote anybody: between equals the label with more votes in all wins."""
    tiny: np.ndarray = 1e-3 * np.log(ballots.shares() + 1e-3)
    return tiny


# ---- the methods: (ballots, known, claimed) -> VoteModel ----------------------------------------------------------
# claimed (m,): the accuracy somebody claims for a labeller (its trust, its mean calibrated confidence), nan where nobody

Method = Callable[[Ballots, np.ndarray, np.ndarray], VoteModel]


def majority(ballots: Ballots, known: np.ndarray, claimed: np.ndarray) -> VoteModel:
    """One labeller, one vote: all of the same accuracy, whatever is known or claimed. The yardstick."""
    same = np.full((ballots.num_labellers, ballots.num_labels), DEFAULT_ACCURACY)
    return VoteModel(tie_break(ballots), accuracy_evidence(same))


def weighted(ballots: Ballots, known: np.ndarray, claimed: np.ndarray) -> VoteModel:
    """Votes weighed by log-odds of their accuracy on known records, shrunk to what is common or claimed.

    With nothing known and nothing claimed this is the majority vote.
    """
    return VoteModel(tie_break(ballots), accuracy_evidence(vote_accuracy(ballots, known, claimed)))


def dawid_skene(ballots: Ballots, known: np.ndarray, claimed: np.ndarray, *, rounds: int = 100) -> VoteModel:
    """Dawid & Skene 1979: a confusion matrix a labeller by EM; abstention says nothing. Known rows are held fixed.

    Labellers that can say one label only carry no information in this model (their confusion matrix is constant), so on
    rule sets it drifts to one class: the caller must look (`collapsed`).
    """
    k = ballots.num_labels
    start = weighted(ballots, known, claimed)
    ballots, known, times = ballots.patterns(known)
    fixed = one_hot(known, k)
    beliefs = start.beliefs(ballots)
    seen = ballots.covered | (known >= 0)
    model = None
    for _ in range(rounds):
        beliefs = np.where(known[:, None] >= 0, fixed, beliefs)
        count = ballots.tally(beliefs, times) + 0.1 + 0.5 * np.eye(k)  # Dirichlet prior: better than chance, barely
        confusion = count / count.sum(1, keepdims=True)  # p(said | true)
        share = times[seen] @ beliefs[seen] + 1.0
        model = VoteModel(np.log(share / share.sum()), np.log(confusion))
        updated = model.beliefs(ballots)
        if np.abs(updated - beliefs)[known < 0].max(initial=0.0) < 1e-4:
            break
        beliefs = updated
    assert model is not None
    return model


def label_model(
    ballots: Ballots, known: np.ndarray, claimed: np.ndarray, *, rounds: int = 50, belief_in_prior: float = 10.0
) -> VoteModel:
    """Generative model by EM in which *whether* a labeller speaks depends on the label too.

    p(j says v | y) = p(y | v) rate(v) / p(y) with a Beta prior of `belief_in_prior` votes on p(y = v | v) at the
    accuracy known or claimed; silence is evidence as well, (1 - p(j speaks | y)), and goes into the prior of a class.
    One-label rules carry information here, unlike in Dawid-Skene. Conditional independence as in data programming
    (Ratner et al. 2016). Known rows are held fixed.
    """
    k = ballots.num_labels
    start = vote_accuracy(ballots, known, claimed)
    voting = VoteModel(tie_break(ballots), accuracy_evidence(start))
    prior_share = _shrunk_shares(ballots)
    ballots, known, times = ballots.patterns(known)
    beliefs, fixed = voting.beliefs(ballots), one_hot(known, k)
    seen = ballots.covered | (known >= 0)
    total = times[seen].sum()
    rate = (ballots.tally(np.ones((ballots.num_rows, k)), times)[:, :, 0]) / max(total, 1)  # (m, v) how often j says v
    model = None
    for _ in range(rounds):
        beliefs = np.where(known[:, None] >= 0, fixed, beliefs)
        share = (times[seen] @ beliefs[seen] + 5 * k * prior_share) / (total + 5 * k)
        others = share[None, :].repeat(k, 0) * (1 - np.eye(k))
        others /= others.sum(1, keepdims=True)
        believed = start[:, :, None] * np.eye(k) + (1 - start[:, :, None]) * others  # (m, v, y) prior of p(y | v)
        count = ballots.tally(beliefs, times) + belief_in_prior * believed
        joint = count / count.sum(2, keepdims=True) * rate[:, :, None]
        speaks = np.clip(joint / share, 1e-6, 0.98)
        silent = np.log1p(-np.clip(speaks.sum(1), 1e-6, 0.98))  # (m, y)
        model = VoteModel(np.log(share) + silent.sum(0), np.log(speaks) - silent[:, None, :])
        updated = model.beliefs(ballots)
        if np.abs(updated - beliefs)[seen & (known < 0)].max(initial=0.0) < 1e-4:
            break
        beliefs = updated
    assert model is not None
    return model


METHODS: dict[str, Method] = {
    "majority": majority,
    "weighted": weighted,
    "dawid_skene": dawid_skene,
    "label_model": label_model,
}


# ---- what labellers are worth -------------------------------------------------------------------------------------


def vote_accuracy(ballots: Ballots, known: np.ndarray, claimed: np.ndarray) -> np.ndarray:
    """(m, k): how often labeller j is right when it says v, from known rows, with two steps of shrinkage.

    A labeller is drawn towards what is claimed for it, else to the mean of all labellers; each of its labels towards the
    labeller. How hard is itself learnt: the Beta-binomial strength that makes the counts most likely.
    """
    k = ballots.num_labels
    count = ballots.tally(one_hot(known, k), natural_weights(known, ballots.shares()))
    tries, hits = count.sum(2), count[:, np.arange(k), np.arange(k)]
    common = (hits.sum() + 4 * DEFAULT_ACCURACY) / (tries.sum() + 4)
    centre = np.where(np.isnan(claimed), common, claimed)
    strength = _strength(hits.sum(1), tries.sum(1), centre)
    whole = (hits.sum(1) + strength * centre) / (tries.sum(1) + strength)
    accuracy: np.ndarray = (hits + strength * whole[:, None]) / (tries + strength)
    return accuracy


def _strength(hits: np.ndarray, tries: np.ndarray, centre: np.ndarray) -> float:
    """Number of votes the prior is worth: empirical Bayes on a grid, Beta-binomial likelihood."""
    from scipy.special import betaln

    def likelihood(strength: float) -> float:
        a, b = strength * centre, strength * (1 - centre)
        return float((betaln(hits + a, tries - hits + b) - betaln(a, b)).sum())

    centre = np.clip(centre, 0.02, 0.98)
    grid = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    return max(grid, key=likelihood) if tries.sum() else grid[1]


def _shrunk_shares(ballots: Ballots) -> np.ndarray:
    """(k,): class shares as the votes have them, no class below a tenth of an even share."""
    k = ballots.num_labels
    share: np.ndarray = ballots.shares() + 0.1 / k
    share /= share.sum()
    return share


def collapsed(beliefs: np.ndarray, ballots: Ballots) -> str:
    """Say in words that a method gives up classes that the labellers vote for; empty when it does not.

    Compared on covered rows: the effective number of labels, exp(entropy), of what is predicted with that of the
    votes, and every label that has at least 5% of the votes but under a twentieth of its share of predictions.
    """
    covered = ballots.covered
    predicted = np.bincount(beliefs[covered].argmax(1), minlength=ballots.num_labels) / max(covered.sum(), 1)
    voted = ballots.shares()
    if covered.sum() < 20:
        return ""  # so few records show nothing
    lost = np.flatnonzero((voted >= 0.05) & (predicted < voted / 20))
    spoken, said = _effective(voted), _effective(predicted)
    if len(lost):
        return f"gives up {len(lost)} of {ballots.num_labels} labels that have {voted[lost].sum():.0%} of the votes"
    if said - 1 < 0.3 * (spoken - 1):
        return f"predicts {said:.1f} labels in effect where the votes hold {spoken:.1f}"
    return ""


def _effective(share: np.ndarray) -> float:
    positive = share[share > 0]
    return float(np.exp(-(positive * np.log(positive)).sum())) if len(positive) else 0.0
