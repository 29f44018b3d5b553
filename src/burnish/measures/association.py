"""What goes with what: words with classes, slices with labels; how far apart spreads are, and whether by chance.

Counts are (groups, words) or (slices, classes), dense or scipy sparse where it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def log_odds(counts: ArrayLike, *, prior: float = 500.0) -> Floats:
    """How much more each group uses each word than the other groups do, as a z-score: (groups, words) to (groups, words).

    Log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, equations 16-22):
    delta = log((y_iw + a_w) / (n_i + a_0 - y_iw - a_w)) - the same of the other groups; variance 1 / (y_iw + a_w) + 1 / (y_jw + a_w);
    z = delta / sqrt(variance). a_w: the word's share of all words, times `prior`. Above 1.96 a word is typical of the group.
    """
    own = np.asarray(counts, dtype=np.float64)
    total = own.sum(0)
    pseudo = prior * total / max(float(total.sum()), 1.0)
    other = total - own
    delta = _logit(own + pseudo, prior) - _logit(other + pseudo, prior)
    spread = np.zeros_like(own)
    known = np.broadcast_to(total > 0, own.shape)
    spread[known] = np.sqrt(1 / (own + pseudo)[known] + 1 / (other + pseudo)[known])
    return np.divide(delta, spread, out=np.zeros_like(own), where=known)


def _logit(mass: Floats, prior: float) -> Floats:
    """log(mass / (row's mass - mass)); rows of `mass` hold all but rounding of their prior."""
    rest = mass.sum(-1, keepdims=True) - mass
    odds: Floats = np.log(np.maximum(mass, 1e-300)) - np.log(np.maximum(rest, 1e-12))
    return odds


def pointwise_mutual_information(counts: ArrayLike) -> Floats:
    """log2 p(word, group) / (p(word) p(group)) in bits (Church and Hanks 1990); -inf where they never meet, 0 for unknown words."""
    own = np.asarray(counts, dtype=np.float64)
    total = max(float(own.sum()), 1.0)
    expected = own.sum(1, keepdims=True) * own.sum(0) / total
    with np.errstate(divide="ignore"):
        return np.where(expected > 0, np.log2(np.divide(own, expected, out=np.ones_like(own), where=expected > 0)), 0.0)


@dataclass(frozen=True)
class Contingency:
    """Do rows and columns of a table (r, c) go together?

    statistic, freedom, p_value: Pearson's chi-square test of independence. v: Cramer's V with Bergsma's correction (2013),
    0 (independent) to 1. residual: (r, c) adjusted residuals, normal under independence (Haberman 1973). expected: (r, c).
    """

    statistic: float
    freedom: int
    p_value: float
    v: float
    residual: Floats
    expected: Floats


def contingency(table: ArrayLike) -> Contingency:
    """Test a table of counts; empty rows and columns have no say. With nothing to compare p_value is 1 and v 0."""
    from scipy.stats import chi2

    observed = np.asarray(table, dtype=np.float64)
    rows, columns, total = observed.sum(1, keepdims=True), observed.sum(0, keepdims=True), float(observed.sum())
    expected = rows * columns / max(total, 1.0)
    r, c = int((rows > 0).sum()), int((columns > 0).sum())
    if r < 2 or c < 2:
        return Contingency(0.0, 0, 1.0, 0.0, np.zeros_like(observed), expected)
    filled = expected > 0
    statistic = float((np.square(observed - expected)[filled] / expected[filled]).sum())
    freedom = (r - 1) * (c - 1)
    phi = max(0.0, statistic / total - freedom / (total - 1))
    smaller = min(r - (r - 1) ** 2 / (total - 1), c - (c - 1) ** 2 / (total - 1)) - 1
    spread = np.sqrt(expected * (1 - rows / total) * (1 - columns / total))
    residual = np.divide(observed - expected, spread, out=np.zeros_like(observed), where=spread > 0)
    v = float(np.sqrt(phi / smaller)) if smaller > 0 else 0.0
    return Contingency(statistic, freedom, float(chi2.sf(statistic, freedom)), min(v, 1.0), residual, expected)


def holm(p_values: ArrayLike) -> Floats:
    """p-values of m tests, corrected so that the chance of one false alarm among them stays below the level (Holm 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.minimum(1.0, p[order] * (len(p) - np.arange(len(p)))))
    back = np.empty_like(p)
    back[order] = raised
    return back


def evenness(counts: ArrayLike) -> dict[str, float]:
    """How evenly counts are spread over their groups.

    effective: exp(entropy), the number of equal groups that would be as diverse (Hill 1973, order 1); gini: 0 (all equal) to
    nearly 1 (one has all); head: the smallest share of the groups that hold 80% of all; imbalance: largest over smallest above 0.
    """
    ranked = np.sort(np.asarray(counts, dtype=np.float64))
    filled = ranked[ranked > 0]
    if not len(filled):
        return {"effective": 0.0, "gini": 0.0, "head": 0.0, "imbalance": 0.0}
    share = filled / filled.sum()
    places = np.arange(1, len(ranked) + 1)
    gini = float(((2 * places - len(ranked) - 1) * ranked).sum() / (len(ranked) * ranked.sum()))
    head = int(np.searchsorted(np.cumsum(share[::-1]), 0.8 - 1e-12)) + 1
    return {
        "effective": float(np.exp(-(share * np.log(share)).sum())), "gini": gini, "head": head / len(ranked),
        "imbalance": float(filled.max() / filled.min()),
    }  # fmt: skip


def group_counts(bag: Any, groups: ArrayLike, num_groups: int) -> Floats:
    """Sum the rows of a sparse matrix (n, words) by group 0..num_groups-1 (-1 has none): (groups, words), dense."""
    from scipy.sparse import csr_array

    given = np.asarray(groups, dtype=np.int64)
    rows = np.flatnonzero(given >= 0)
    onto = csr_array((np.ones(len(rows)), (given[rows], rows)), shape=(num_groups, len(given)))
    summed: Floats = (onto @ bag).toarray().astype(np.float64)
    return summed


def naming(counts: ArrayLike, words: Sequence[str], *, most: int = 5, prior: float = 500.0) -> list[list[str]]:
    """The words most typical of each group (z of `log_odds` above 1.96), most typical first, none inside another.

    A pair of words counts only where neither word is typical alone. Of words in Chinese characters none shares a character with one before: they stand for the same word.
    """
    scores = log_odds(counts, prior=prior)
    place = {word: at for at, word in enumerate(words)}
    named = []
    for row in scores:
        picked: list[str] = []
        for at in np.argsort(-row, kind="stable")[: 8 * most].tolist():
            if row[at] <= 1.96 or len(picked) == most:
                break
            word = words[at]
            if " " in word and any(row[place[part]] > 1.96 for part in word.split() if part in place):
                continue  # the words of the pair say it already
            if any(word in one or (not word.isascii() and len(one) > 1 and set(word) & set(one)) for one in picked):
                continue  # 评差 beside 差评: pairs of characters overlap
            picked = [one for one in picked if one not in word] + [word]
        named.append(picked)
    return named
