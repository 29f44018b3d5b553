"""From many votes on spans to a belief in each: pure functions on numbers. Who mentions nothing abstains.

Two kinds. By span (`majority`, `weighted`): a candidate's score is the sum of the log-odds of those who voted for just
this span and label; it competes with the candidates it shares characters with, and with there being none. By unit
(`hmm`): the true tag of every word or character is hidden, a chain moves between tags, and each labeller shows of each
tag what it shows, or is silent (Nguyen et al. 2017, HMM-crowd; Lison et al. 2021, skweak). Silence is no evidence of
labellers that look for some names only, such as rules and dictionaries: counted as a vote that there is nothing, it
drowned every mention (0-9 F1 on real sets). Of those that read the whole text (`silence` 1: a model, a teacher) it is.

A labeller may also vote that a place holds a name of some type (`?`). To the HMM that is one more thing that a labeller shows,
from which it learns where names begin and end, but it never says a name whose type nobody votes for.

Truth of checked rows teaches precision and confusion; a row is judged by taking it out of the truth first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.construct.labels.label_models import DEFAULT_ACCURACY
from burnish.construct.spans.votes import Candidates, Mentions, Span, Units, candidates_of, units_of
from burnish.nn.viterbi import best_tags, chain_of, tags_of

Truth = Mapping[int, frozenset[Span]]
Floats = NDArray[np.float64]

WORTH = 0.4  # belief from which a span is said where nothing better is known
LEAST_WORTH, MOST_WORTH = 0.2, 0.5
_MOST = 0.995  # nobody is believed beyond this
_STRENGTH = 6.0  # votes that the guess at a labeller's precision is worth
GUESSED = 0.1  # what a unit counts that EM guessed at, beside one that somebody checked
ROUNDS = 25
SEQUENCES = 512  # at once in the forward-backward pass


@dataclass(frozen=True)
class Found:
    """Spans with how far they are believed, sorted by row and start. chosen: what the method says; the others are doubts.

    silent: (n,) how far each row is believed to hold none besides these, nan where the method cannot say.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: NDArray[np.int64]
    belief: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    silent: Floats

    def spans(self, row: int) -> set[Span]:
        """What is said of one row."""
        first, last = np.searchsorted(self.row, [row, row + 1])
        return {
            (int(self.start[at]), int(self.end[at]), int(self.label[at]))
            for at in range(first, last)
            if self.chosen[at]
        }


@dataclass(frozen=True)
class Problem:
    """All that a method may look at. claimed: (m,) precision somebody claims, nan where nobody; silence: (m,) 0..1.

    hints: votes that a place holds a name of some type; None where nobody casts such.
    """

    mentions: Mentions
    candidates: Candidates
    units: Units
    truth: Truth
    claimed: Floats
    silence: Floats
    nested: bool = False
    hints: Mentions | None = None


# What a method has learnt: to be applied to other rows of the same labellers.
Learnt = Callable[[Problem], Found]


# -- by span


def majority(problem: Problem) -> Learnt:
    """One labeller, one vote, all of one precision. The yardstick."""
    m, k = problem.mentions.num_labellers, problem.mentions.num_labels
    return functools.partial(by_span, precision=np.full((m, k), DEFAULT_ACCURACY))


def weighted(problem: Problem) -> Learnt:
    """Votes weighed by the log-odds of the labeller's precision on that label: from checked rows, else from agreement."""
    return functools.partial(by_span, precision=precision_of(problem), base=base_of(problem), names=names_of(problem))


def by_span(problem: Problem, precision: Floats, base: float = 0.5, names: float = 1.25) -> Found:
    """Every candidate with its belief. precision: (m, k). base, names: see `base_of`, `names_of`."""
    mentions, candidates = problem.mentions, problem.candidates
    score = scores_of(mentions, candidates, precision, base)
    belief = beliefs_of(score, candidates.rivals)
    usual = np.bincount(mentions.label, minlength=mentions.num_labels)[candidates.label]
    chosen = resolve(candidates, belief, usual, worth_of(belief, names))
    silent = np.full(mentions.num_rows, np.nan)
    return Found(candidates.row, candidates.start, candidates.end, candidates.label, belief, chosen, silent)


def scores_of(mentions: Mentions, candidates: Candidates, precision: Floats, base: float = 0.5) -> Floats:
    """(c,) log-odds of a candidate: of any of them, and what each vote adds. precision: (m, k)."""
    start = float(np.log(base / (1 - base)))
    added = np.bincount(candidates.of, odds_of(mentions, precision, start), minlength=len(candidates.row))
    return start + added.astype(np.float64)


def odds_of(mentions: Mentions, precision: Floats, start: float = 0.0) -> Floats:
    """(v,) what a vote adds to log-odds that stood at `start`."""
    right = np.clip(precision, 1 - _MOST, _MOST)
    odds: Floats = np.log(right / (1 - right))[mentions.labeller, mentions.label] - start
    return odds * np.where(odds > 0, np.clip(mentions.strength, 0.25, 2.0), 1.0)


def base_of(problem: Problem) -> float:
    """How often any candidate is right, of checked rows; a half without. Two that are seldom right and agree are right more often
    than each, which odds against a half deny."""
    right = problem.candidates.right(problem.truth)
    told = right >= 0
    return float(np.clip((right[told].sum() + 5.0) / (told.sum() + 10.0), 0.02, 0.5))


def beliefs_of(score: Floats, rivals: NDArray[np.int64]) -> Floats:
    """(c,) against its rivals and against none of them: e^s / (1 + e^s + sum of e^(its rivals'))."""
    raised = np.exp(np.clip(score, -30, 30))
    against = np.ones(len(score))
    if len(rivals):
        np.add.at(against, rivals[:, 0], raised[rivals[:, 1]])
        np.add.at(against, rivals[:, 1], raised[rivals[:, 0]])
    believed: Floats = raised / (raised + against)
    return believed


def worth_of(belief: Floats, names: float = 1.25) -> float:
    """The belief from which saying a span makes the expected F1 better: half of that F1 (Lipton et al. 2014).

    With beliefs that are right, 2 sum(b said) / (said + names sum(b)) is what is to be expected. names: see `names_of`.
    """
    if not len(belief):
        return WORTH
    ordered = np.sort(belief)[::-1]
    f1 = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + names * ordered.sum())
    return float(np.clip(f1.max() / 2, LEAST_WORTH, MOST_WORTH))


def names_of(problem: Problem) -> float:
    """How many names there are for each that somebody votes for rightly: of checked rows, drawn to five in four."""
    right = problem.candidates.right(problem.truth)
    there = sum(len(spans) for spans in problem.truth.values())
    return (there + 12.5) / (float((right == 1).sum()) + 10.0)


def resolve(candidates: Candidates, belief: Floats, usual: NDArray[Any], least: float) -> NDArray[np.bool_]:
    """Of rivals the most believed; of equal ones the longer, then the commoner label. None that is believed less than `least`."""
    worth = belief >= least
    order = np.lexsort((-usual, candidates.start - candidates.end, -np.round(belief, 6)))
    against: dict[int, list[int]] = {}
    for one, other in candidates.rivals.tolist():
        against.setdefault(one, []).append(other)
        against.setdefault(other, []).append(one)
    chosen = np.zeros(len(belief), bool)
    for at in order[worth[order]].tolist():
        chosen[at] = not any(chosen[other] for other in against.get(at, ()))
    return chosen


def precision_of(problem: Problem) -> Floats:
    """(m, k): how often a labeller's votes for a label are right to the character.

    From checked rows where there are some, drawn to what is claimed, else to the mean; without any, from agreement: what
    the other votes at the same place say of it (EM, rounds as in Dawid & Skene 1979), where others vote there at all. That
    shows who is better than who, but cannot condemn: the others may be wrong, so nobody falls under a half.
    """
    mentions, candidates = problem.mentions, problem.candidates
    right = candidates.right(problem.truth)[candidates.of]
    told = right >= 0
    if told.any():
        return _shrunk(mentions, right == 1, told.astype(np.float64), problem.claimed)
    precision = np.where(np.isnan(problem.claimed), DEFAULT_ACCURACY, problem.claimed)[:, None].repeat(
        mentions.num_labels, 1
    )
    together = _in_company(mentions, candidates)
    for _ in range(10):
        believed = _without_own(mentions, candidates, precision)
        updated = np.maximum(_shrunk(mentions, believed, together.astype(np.float64), problem.claimed), 0.5)
        if np.abs(updated - precision).max() < 1e-3:
            break
        precision = updated
    return precision


def _shrunk(mentions: Mentions, right: NDArray[Any], counts: Floats, claimed: Floats) -> Floats:
    """(m, k) shares of votes that are right, with two steps of shrinkage: to the labeller, and of it to what is common."""
    m, k = mentions.num_labellers, mentions.num_labels
    cell = mentions.labeller * k + mentions.label
    tries = np.bincount(cell, counts, minlength=m * k).reshape(m, k)
    hits = np.bincount(cell, counts * right, minlength=m * k).reshape(m, k)
    common = (hits.sum() + 4 * DEFAULT_ACCURACY) / (tries.sum() + 4)
    centre = np.where(np.isnan(claimed), common, claimed)
    whole = (hits.sum(1) + _STRENGTH * centre) / (tries.sum(1) + _STRENGTH)
    precision: Floats = (hits + _STRENGTH * whole[:, None]) / (tries + _STRENGTH)
    return precision


def _in_company(mentions: Mentions, candidates: Candidates) -> NDArray[np.bool_]:
    """(v,) whether another labeller votes for the same candidate or one that shares characters with it."""
    count = np.bincount(candidates.of, minlength=len(candidates.row))
    others = count.copy()
    if len(candidates.touching):
        np.add.at(others, candidates.touching[:, 0], count[candidates.touching[:, 1]])
        np.add.at(others, candidates.touching[:, 1], count[candidates.touching[:, 0]])
    company: NDArray[np.bool_] = others[candidates.of] > 1
    return company


def _without_own(mentions: Mentions, candidates: Candidates, precision: Floats) -> Floats:
    """(v,) how far the others believe what a vote says."""
    own = odds_of(mentions, precision)
    score = scores_of(mentions, candidates, precision)
    raised = np.exp(np.clip(score, -30, 30))
    against = np.ones(len(score))
    if len(candidates.touching):
        np.add.at(against, candidates.touching[:, 0], raised[candidates.touching[:, 1]])
        np.add.at(against, candidates.touching[:, 1], raised[candidates.touching[:, 0]])
    rest = np.exp(np.clip(score[candidates.of] - own, -30, 30))
    believed: Floats = rest / (rest + against[candidates.of])
    return believed


# -- by unit


@dataclass(frozen=True)
class Hmm:
    """first (S,), moves (S, S) from row to column, emission (m, S + 2 said, S true); probabilities. S = 2k + 1 tags of BIO.

    What is said is silence (0), a tag, or that a name of some type begins (S) or goes on (S + 1).

    missed: share of the units of names on which nobody at all speaks. Each for itself the silent say nothing, all of them
    together do: without it nothing held names back from where nobody sees any, and EM filled the text with them.
    """

    first: Floats
    moves: Floats
    emission: Floats
    missed: float


@dataclass(frozen=True)
class Spoken:
    """b marks on units: unit, labeller, the tag it shows there, strength. Silence is not among them."""

    unit: NDArray[np.int64]
    labeller: NDArray[np.int64]
    said: NDArray[np.int64]
    strength: Floats


def hmm(problem: Problem) -> Learnt:
    """Hidden tags, a chain between them, and a table of confusion and silence a labeller, by EM from the weighted vote."""
    mentions, units = problem.mentions, problem.units
    precision, base = precision_of(problem), base_of(problem)
    beginning = _beginning(by_span(problem, precision, base), units, mentions.num_labels)
    clamped = _tags_of_truth(problem)
    model = learn(problem, beginning, clamped)

    def apply(other: Problem) -> Found:
        posterior, _, _ = read(model, spoken_of(other), other.units, other.silence)
        return _decoded(posterior, by_span(other, precision, base), other)

    return apply


def spoken_of(problem: Problem) -> Spoken:
    """Votes as tags on units: B at the first, I at the others; `Hmm` has the numbers of those without a label.

    Of one labeller's votes that overlap the longest counts, and what is named before what is not.
    """
    mentions, units = problem.mentions, problem.units
    first, last = units.touched(mentions.row, mentions.start, mentions.end)
    order = np.lexsort((first, first - last, mentions.labeller, mentions.row))
    taken: set[tuple[int, int]] = set()
    marks: list[tuple[int, int, int, float]] = []
    columns = (first, last, mentions.labeller, mentions.label, mentions.strength)
    for begin, end, who, label, strength in zip(*(column[order].tolist() for column in columns), strict=True):
        places = [(unit, who) for unit in range(begin, end + 1)]
        if not taken.isdisjoint(places):
            continue
        taken.update(places)
        marks += [(unit, who, 1 + 2 * label + (unit > begin), strength) for unit, _ in places]
    size = 1 + 2 * mentions.num_labels
    for begin, end, who in _places(problem.hints, units):
        places = [(unit, who) for unit in range(begin, end + 1) if (unit, who) not in taken]
        taken.update(places)
        marks += [(unit, who, size + (unit > begin), 1.0) for unit, _ in places]
    table = np.array(sorted(marks), np.float64).reshape(-1, 4)
    unit, labeller, said = (table[:, at].astype(np.int64) for at in range(3))
    return Spoken(unit, labeller, said, np.clip(table[:, 3], 0.25, 2.0))


def _places(votes: Mentions | None, units: Units) -> list[tuple[int, int, int]]:
    """First unit, last unit and labeller of each vote."""
    if votes is None:
        return []
    first, last = units.touched(votes.row, votes.start, votes.end)
    return list(zip(first.tolist(), last.tolist(), votes.labeller.tolist(), strict=True))


def _beginning(found: Found, units: Units, num_labels: int) -> Floats:
    """(U, S) where EM begins: what the weighted vote believes; of units nobody speaks of, mostly nothing."""
    size = 2 * num_labels + 1
    inside = np.zeros((len(units.starts), size))
    first, last = units.touched(found.row, found.start, found.end)
    for begin, end, label, belief in zip(first, last, found.label, found.belief, strict=True):
        inside[begin, 1 + 2 * label] += belief
        inside[begin + 1 : end + 1, 2 + 2 * label] += belief
    total = inside.sum(1)
    inside[total > 0.98] *= (0.98 / total[total > 0.98])[:, None]
    unsaid = total == 0
    inside[unsaid, 1:] = 0.02 / (size - 1)
    inside[:, 0] = 1 - inside[:, 1:].sum(1)
    return inside


def _tags_of_truth(problem: Problem) -> NDArray[np.int64]:
    """(U,) the tag of each unit of checked rows, -1 of the others."""
    units = problem.units
    tags = np.full(len(units.starts), -1)
    for row, spans in problem.truth.items():
        tags[units.offsets[row] : units.offsets[row + 1]] = 0
        for start, end, label in sorted(spans, key=lambda one: one[0] - one[1]):
            first, last = units.touched(np.array([row]), np.array([start]), np.array([end]))
            here = slice(int(first[0]), int(last[0]) + 1)
            if here.stop > here.start and not tags[here].any():
                tags[here] = 2 + 2 * label
                tags[here.start] = 1 + 2 * label
    return tags


def learn(problem: Problem, beginning: Floats, clamped: NDArray[np.int64]) -> Hmm:
    """EM from posteriors `beginning` (U, S); units whose tag is `clamped` (not -1) hold it."""
    spoken, units, mentions = spoken_of(problem), problem.units, problem.mentions
    size = beginning.shape[1]
    fixed = np.eye(size)[np.maximum(clamped, 0)]
    known = clamped >= 0
    weight = np.where(known, 1.0, GUESSED) if known.any() else np.ones(len(clamped))
    posterior = np.where(known[:, None], fixed, beginning)
    moved = _neighbours(posterior, units, weight)
    begins = units.offsets[:-1][np.diff(units.offsets) > 0]
    first = (posterior[begins] * weight[begins, None]).sum(0)
    prior = None
    model = None
    missed = _missed(spoken, clamped)
    for _ in range(ROUNDS):
        emission = _emission(spoken, posterior, weight, mentions.num_labellers, prior)
        if prior is None:
            prior = 10.0 * emission  # where it begins is worth ten units of each tag
        model = Hmm(_share(first + 0.1, legal_first(size)), _share(moved + 0.1, legal_moves(size)), emission, missed)
        updated, moved, first = read(model, spoken, units, problem.silence, fixed=clamped, weight=weight)
        change = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if change < 1e-3:
            break
    assert model is not None
    return model


def _missed(spoken: Spoken, clamped: NDArray[np.int64]) -> float:
    """How many units of names nobody speaks of: of checked rows, drawn to three in ten."""
    names = np.flatnonzero(clamped > 0)
    silent = len(names) - int(np.isin(names, spoken.unit).sum())
    return (silent + 6.0) / (len(names) + 20.0)


def legal_first(size: int) -> NDArray[np.bool_]:
    """(S,) tags that may begin a text: all but I."""
    tags = np.arange(size)
    legal: NDArray[np.bool_] = (tags == 0) | (tags % 2 == 1)
    return legal


def legal_moves(size: int) -> NDArray[np.bool_]:
    """(S, S) which tag may follow which: I follows B and I of its label."""
    tags = np.arange(size)
    onward = (tags[None, :] > 0) & (tags[None, :] % 2 == 0) & ((tags[:, None] + 1) // 2 == (tags[None, :] + 1) // 2)
    legal: NDArray[np.bool_] = legal_first(size)[None, :] | (onward & (tags[:, None] > 0))
    return legal


def _share(counts: Floats, legal: NDArray[np.bool_]) -> Floats:
    kept = np.where(legal, counts, 0.0)
    share: Floats = kept / kept.sum(-1, keepdims=True)
    return share


def _neighbours(posterior: Floats, units: Units, weight: Floats) -> Floats:
    """(S, S) expected moves if neighbours were independent: what the first round begins with."""
    row = units.row
    together = row[1:] == row[:-1]
    moved: Floats = (posterior[:-1] * weight[:-1, None])[together].T @ posterior[1:][together]
    return moved


def _emission(spoken: Spoken, posterior: Floats, weight: Floats, num_labellers: int, prior: Floats | None) -> Floats:
    """(m, S + 2 said, S true) shares; see `Hmm`."""
    posterior = posterior * weight[:, None]
    size = posterior.shape[1]
    shown = size + 2
    cell = spoken.labeller * shown + spoken.said
    counts: Floats = (
        np.stack(
            [np.bincount(cell, posterior[spoken.unit, tag], minlength=num_labellers * shown) for tag in range(size)], 1
        )
        .reshape(num_labellers, shown, size)
        .astype(np.float64)
    )
    counts[:, 0] = np.maximum(posterior.sum(0) - counts[:, 1:].sum(1), 0.0)
    counts = counts + (0.01 if prior is None else prior + 1e-4)
    emission: Floats = counts / counts.sum(1, keepdims=True)
    return emission


def read(
    model: Hmm,
    spoken: Spoken,
    units: Units,
    silence: Floats,
    *,
    fixed: NDArray[np.int64] | None = None,
    weight: Floats | None = None,
) -> tuple[Floats, Floats, Floats]:
    """(posteriors (U, S), expected moves (S, S), expected first tags (S,)) by the forward-backward algorithm.

    Who speaks at a unit counts by how likely it shows this tag when another is true; who is silent counts only as far as
    `silence` (m,) says. fixed: (U,) tags that are known, -1 where not.
    """
    size = len(model.first)
    log_emission = np.log(np.maximum(model.emission, 1e-12))
    hush = log_emission[:, 0, :] * silence[:, None]
    evidence = np.tile(hush.sum(0), (len(units.starts), 1))
    own = log_emission[spoken.labeller, spoken.said] * spoken.strength[:, None] - hush[spoken.labeller]
    np.add.at(evidence, spoken.unit, own)
    unsaid = np.ones(len(evidence), bool)
    unsaid[spoken.unit] = False
    evidence[unsaid, 1:] += np.log(model.missed)
    if fixed is not None:
        known = fixed >= 0
        evidence[known] = np.where(np.eye(size, dtype=bool)[fixed[known]], 0.0, -50.0)
    return forward_backward(evidence, units.offsets, model.first, model.moves, weight=weight)


def forward_backward(
    evidence: Floats, offsets: NDArray[np.int64], first: Floats, moves: Floats, *, weight: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Posteriors (U, S), expected moves (S, S) and first tags (S,) of chains that lie one after the other (Rabiner 1989).

    evidence: (U, S) log-likelihood of what is seen at a unit, by its tag. weight: (U,) what a unit counts in what is expected.
    Scaled in every step; O(U S^2).
    """
    size = evidence.shape[1]
    likely = np.exp(evidence - evidence.max(1, keepdims=True)) if len(evidence) else evidence
    posterior = np.zeros_like(likely)
    moved, begun = np.zeros((size, size)), np.zeros(size)
    counts = np.ones(len(evidence)) if weight is None else weight
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    for at in range(0, len(order), SEQUENCES):
        rows = order[at : at + SEQUENCES]
        long, many = int(lengths[rows].max()), len(rows)
        place = offsets[rows][:, None] + np.arange(long)[None, :]
        there = np.arange(long)[None, :] < lengths[rows][:, None]
        seen = np.where(there[..., None], likely[np.minimum(place, len(likely) - 1)], 1.0)
        ahead = np.zeros((many, long, size))
        ahead[:, 0] = first * seen[:, 0]
        ahead[:, 0] /= ahead[:, 0].sum(1, keepdims=True)
        for step in range(1, long):
            onward = (ahead[:, step - 1] @ moves) * seen[:, step]
            onward /= np.maximum(onward.sum(1, keepdims=True), 1e-300)
            ahead[:, step] = np.where(there[:, step, None], onward, ahead[:, step - 1])
        behind = np.ones((many, size))
        for step in range(long - 1, -1, -1):
            both = ahead[:, step] * behind
            both /= np.maximum(both.sum(1, keepdims=True), 1e-300)
            posterior[place[there[:, step], step]] = both[there[:, step]]
            if step:
                told = seen[:, step] * behind
                back = told @ moves.T
                if there[:, step].any():
                    pair = ahead[:, step - 1, :, None] * moves * told[:, None, :]
                    pair /= np.maximum(pair.sum((1, 2), keepdims=True), 1e-300)
                    on = there[:, step]
                    moved += (pair[on] * counts[place[on, step], None, None]).sum(0)
                back /= np.maximum(back.sum(1, keepdims=True), 1e-300)
                behind = np.where(there[:, step, None], back, behind)
        begun += (posterior[offsets[rows]] * counts[offsets[rows], None]).sum(0)
    return posterior, moved, begun


def _decoded(posterior: Floats, start: Found, problem: Problem) -> Found:
    """The best tags as spans, and every candidate that they leave out as a doubt."""
    units, mentions = problem.units, problem.mentions
    names = tags_of([str(at) for at in range(mentions.num_labels)], "BIO")
    chain = chain_of(names, "BIO")
    scores = np.log(np.maximum(posterior, 1e-9))
    scores[:, 0] += np.log(WORTH / (1 - WORTH))
    paths = best_tags(np.split(scores, units.offsets[1:-1]), chain)
    tags = np.concatenate([*paths, np.zeros(0, np.int64)])
    begins = tags % 2 == 1
    goes_on = np.append((tags[1:] > 0) & (tags[1:] % 2 == 0), False)
    first, last = np.flatnonzero(begins), np.flatnonzero((tags > 0) & ~goes_on)
    # no name reaches further than votes do, and one that no vote with a label touches is nobody's word
    named = np.zeros(len(tags), bool)
    for one, other in zip(*units.touched(start.row, start.start, start.end), strict=True):
        named[one : other + 1] = True
    spoken = named.copy()
    for one, other, _ in _places(problem.hints, units):
        spoken[one : other + 1] = True
    places = np.append(np.flatnonzero(spoken), len(tags))
    first = places[np.searchsorted(places, first)]
    last = np.append(-1, places[:-1])[np.searchsorted(places[:-1], last, side="right")]
    heard = np.append(0, np.cumsum(named))
    touched = (first <= last) & (heard[np.minimum(last + 1, len(tags))] > heard[np.minimum(first, len(tags))])
    first, last = first[touched], last[touched]
    said = _rows_of(units.row[first], units.starts[first], units.ends[last], (tags[first] - 1) // 2)
    voted = _rows_of(start.row, start.start, start.end, start.label)
    everything = sorted([(*one, True) for one in said] + [(*one, False) for one in voted - said])
    columns = np.array(everything, np.int64).reshape(-1, 5).T
    belief = span_beliefs(posterior, units, *columns[:4])
    silent = np.ones(mentions.num_rows)
    full = np.flatnonzero(np.diff(units.offsets) > 0)
    if len(full):
        silent[full] = np.exp(
            np.add.reduceat(np.log(np.maximum(posterior[:, 0], 1e-9)), units.offsets[:-1][full]).clip(-50, 0)
        )
    row, start_, end, label, chosen = columns
    return Found(row, start_, end, label, belief, chosen.astype(bool), silent)


def _rows_of(*columns: NDArray[Any]) -> set[tuple[int, ...]]:
    return set(zip(*(column.tolist() for column in columns), strict=True))


def span_beliefs(
    posterior: Floats, units: Units, row: NDArray[Any], start: NDArray[Any], end: NDArray[Any], label: NDArray[Any]
) -> Floats:
    """How far each span is believed: its least sure unit, that it ends where it does included."""
    first, last = units.touched(row, start, end)
    beliefs = np.zeros(len(row))
    of = units.row
    for at, (begin, stop, tag) in enumerate(zip(first.tolist(), last.tolist(), label.tolist(), strict=True)):
        if stop < begin:
            continue
        least = posterior[begin, 1 + 2 * tag]
        if stop > begin:
            least = min(least, posterior[begin + 1 : stop + 1, 2 + 2 * tag].min())
        if stop + 1 < len(of) and of[stop + 1] == of[stop]:
            least = min(least, 1 - posterior[stop + 1, 2 + 2 * tag])
        beliefs[at] = least
    return beliefs


METHODS: dict[str, Callable[[Problem], Learnt]] = {"majority": majority, "weighted": weighted, "hmm": hmm}


def alone(problem: Problem, labeller: int) -> Learnt:
    """One labeller by itself: everything it says."""

    def apply(other: Problem) -> Found:
        mine = other.mentions.take(other.mentions.labeller == labeller)
        lonely = replace(other, mentions=mine, candidates=candidates_of(mine, nested=other.nested), hints=None)
        return majority(lonely)(lonely)

    return apply


def part_of(problem: Problem, rows: Sequence[int], texts: Sequence[str]) -> Problem:
    """The problem of some rows alone (ascending), numbered anew. texts: of all rows."""
    mentions = problem.mentions.of_rows(np.asarray(rows, np.int64))
    place = {row: at for at, row in enumerate(rows)}
    return replace(
        problem,
        mentions=mentions,
        candidates=candidates_of(mentions, nested=problem.nested),
        units=units_of([texts[row] for row in rows], mentions),
        hints=None if problem.hints is None else problem.hints.of_rows(np.asarray(rows, np.int64)),
        truth={place[row]: spans for row, spans in problem.truth.items() if row in place},
    )
