"""At least one: of the sentences that name two entities with a known relation, which ones tell of it.

A bag holds the mentions of one ordered pair of entities that the knowledge base relates. Distant supervision takes every
one of them for the relation (Mintz et al. 2009); here at least one of them tells of it (Riedel, Yao & McCallum 2010;
Hoffmann et al. 2011). Expectation-maximisation over what each mention expresses:

    E   p_i from a classifier that has not seen the bag, at one telling mention a bag; q_i = p_i / (1 - (1 - leak) prod_j (1 - p_j))
    M   the classifier learns relation with q_i, none with 1 - q_i; mentions of unrelated pairs are none

q_i is the posterior of z_i = 1 among independent z given that at least one is 1; leak is the chance that a text names both
and never tells, so a pair with a single mention is not simply believed. i mentions, k classes, class 0 is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ROUNDS = 8
FOLDS = 3
PRIOR = (0.05, 0.95)
SETTLED = 0.005  # mean change of q from which a further round changes nothing

Chances = Callable[[np.ndarray, np.ndarray], np.ndarray]  # soft targets (i, k), groups (i,) -> out-of-sample (i, k)


def at_least_one(chance: np.ndarray, bag: np.ndarray, *, leak: float) -> np.ndarray:
    """(i,) the posterior that each mention expresses its bag's relation. chance: (i,) by itself; bag: (i,) number of its bag."""
    log_none = np.log1p(-np.clip(chance, 0.0, 1 - 1e-6))
    none = np.exp(np.bincount(bag, weights=log_none, minlength=int(bag.max(initial=-1)) + 1))
    posterior: np.ndarray = np.minimum(chance / np.maximum(1 - (1 - leak) * none[bag], 1e-9), 1.0)
    return posterior


def expressed(
    relation: np.ndarray, bag: np.ndarray, chances: Chances, *, num_relations: int, leak: float
) -> np.ndarray:
    """(i,) how likely each mention tells of its bag's relation, 0..1; nan for mentions of unrelated pairs.

    relation: (i,) 1..k-1, 0 for mentions of pairs without one. bag: (i,) equal for the same pair and relation.
    Starts from 1 / bag size for bags of several, so that what singles and unrelated pairs teach comes first.
    """
    related = relation > 0
    at = np.flatnonzero(related)
    _, number = np.unique(bag[at], return_inverse=True)
    size = np.bincount(number)[number]
    # one of each bag: a share learnt from the beliefs would confirm any beliefs, for silent mentions of related pairs read
    # like those of unrelated ones and either may be called telling
    prior = float(np.clip(len(np.unique(number)) / max(len(at), 1), *PRIOR))
    belief = at_least_one(np.clip(1.0 / size, 0.05, 0.9), number, leak=leak)
    for _ in range(ROUNDS):
        soft = np.zeros((len(relation), num_relations + 1))
        soft[:, 0] = 1.0
        soft[at, 0], soft[at, relation[at]] = 1 - belief, belief
        found = chances(soft, bag)
        # what the classifier says over what it expects anyway, times how often such mentions tell: a relation that is rare
        # among all mentions is not rare among those of pairs that the knowledge base relates by it
        share = soft.mean(0) + 1e-6
        telling = prior * (found[at, relation[at]] + 1e-6) / share[relation[at]]
        silent = (1 - prior) * (found[at, 0] + 1e-6) / share[0]
        before, belief = belief, at_least_one(telling / (telling + silent), number, leak=leak)
        if np.abs(before - belief).mean() < SETTLED:
            break
    whole = np.full(len(relation), np.nan)
    whole[at] = belief
    return whole


def by_words(features: Sequence[Sequence[str]], *, seed: int) -> Chances:
    """A logistic regression on the words round the pair (TF-IDF), each third of the bags judged by the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    terms = TfidfVectorizer(analyzer=list, sublinear_tf=True, min_df=2 if len(features) > 200 else 1)
    matrix = terms.fit_transform(features)

    def learn(rows: np.ndarray, soft: np.ndarray) -> Any:
        count, k = soft[rows].shape
        weight = soft[rows].reshape(-1)
        used = weight > 1e-3
        stacked = matrix[np.repeat(rows, k)[used]]
        said = np.tile(np.arange(k), count)[used]
        model = LogisticRegression(C=10.0, max_iter=100, tol=1e-2, random_state=seed)
        return model.fit(stacked, said, sample_weight=weight[used])

    def chances(soft: np.ndarray, groups: np.ndarray) -> np.ndarray:
        found = np.zeros_like(soft)
        for inside, outside in _folds(groups, seed):
            if (soft[inside].sum(0) > 1e-3).sum() < 2:
                found[outside] = soft[inside].mean(0)
                continue
            model = learn(inside, soft)
            found[np.ix_(outside, model.classes_)] = model.predict_proba(matrix[outside])
        return found

    return chances


def by_vectors(vectors: np.ndarray, *, seed: int) -> Chances:
    """The probe on frozen vectors (i, d), each third of the bags judged by the others."""
    from burnish.nn.probe import Probe

    def chances(soft: np.ndarray, groups: np.ndarray) -> np.ndarray:
        found = np.zeros_like(soft)
        for inside, outside in _folds(groups, seed):
            probe = Probe(soft.shape[1], seed=seed, l2=0.01)
            found[outside] = probe.fit(vectors[inside], soft[inside]).probabilities(vectors[outside])
        return found

    return chances


def _folds(groups: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows to learn from, rows to judge) with no bag on both sides."""
    names, number = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[number] % min(FOLDS, max(len(names), 2))
    return [(np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in np.unique(fold) if (fold != at).any()]
