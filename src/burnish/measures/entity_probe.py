"""What a word-by-word classifier makes of entities it has not seen: a second opinion on spans in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.text.words import placed

Floats = NDArray[np.float64]
FOLDS = 3
WIDTH = 1 << 18  # hashed features


def entity_chances(
    texts: Sequence[str], spans: Sequence[Sequence[dict[str, Any]]], *, seed: int, groups: Any = None
) -> tuple[list[Floats], list[list[tuple[int, int]]], list[NDArray[np.int64]], list[str]]:
    """Probabilities of each word's type out of sample, for n texts: (words, types) each, where the words stand, what they are marked
    as, and the types, "" (no entity) first.

    Logistic regression (stochastic gradient, averaged) on hashed features: the word, its form, its first and last characters, the two words
    before and behind with their forms. groups: (n,), texts of one group are in one fold. About 40,000 words a second.
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import SGDClassifier

    names = ["", *sorted({one["label"] for row in spans for one in row})]
    places = [placed(text) for text in texts]
    given = [_types(place, row, names) for place, row in zip(places, spans, strict=True)]
    sizes = [len(place) for place in places]
    hasher = FeatureHasher(WIDTH, input_type="string", alternate_sign=False)
    features = hasher.transform(
        word
        for text, place in zip(texts, places, strict=True)
        for word in _features([text[start:end] for start, end in place])
    )
    labels = np.concatenate([*given, np.zeros(0, dtype=np.int64)])
    owner = np.repeat(np.arange(len(texts)), sizes)
    group = np.arange(len(texts)) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    fold = np.random.default_rng(seed).integers(FOLDS, size=int(group.max(initial=0)) + 1)[group][owner]
    chances = np.full((len(labels), len(names)), 1e-6)
    for one in range(FOLDS):
        out = fold == one
        if not out.any() or len(np.unique(labels[~out])) < 2:
            chances[out, 0] = 1.0
            continue
        model = SGDClassifier(loss="log_loss", alpha=2e-6, max_iter=6, tol=None, average=True, random_state=seed)
        model.fit(features[~out], labels[~out])
        chances[np.ix_(out, model.classes_)] = np.maximum(model.predict_proba(features[out]), 1e-6)
    edges = np.cumsum(sizes)[:-1]
    return np.split(chances, edges), places, given, names


def _types(places: list[tuple[int, int]], spans: Sequence[dict[str, Any]], names: list[str]) -> NDArray[np.int64]:
    found = np.zeros(len(places), dtype=np.int64)
    for one in spans:
        for at, (start, end) in enumerate(places):
            if start >= one["start"] and end <= one["end"]:
                found[at] = names.index(one["label"])
    return found


def _features(words: list[str]) -> list[list[str]]:
    """Features of each word of one text."""
    around = ["<<", "<", *words, ">", ">>"]
    forms = [_form(word) for word in around]
    made = []
    for at in range(2, len(around) - 2):
        word = around[at].lower()
        made.append(
            [
                f"w={word}", f"f={forms[at]}", f"p={word[:3]}", f"s={word[-3:]}", f"-1={around[at - 1].lower()}", f"+1={around[at + 1].lower()}",
                f"-2={around[at - 2].lower()}", f"+2={around[at + 2].lower()}", f"-f={forms[at - 1]}", f"+f={forms[at + 1]}",
                f"-w={around[at - 1].lower()}|{word}", f"w+={word}|{around[at + 1].lower()}", f"f3={forms[at - 1]}{forms[at]}{forms[at + 1]}",
            ]
        )  # fmt: skip
    return made


def _form(word: str) -> str:
    """Shape of a word: X capital, x small, 9 figure, runs as one; Chinese characters are c."""
    shape = "".join(
        "X" if one.isupper() else "x" if one.islower() else "9" if one.isdigit() else "c" if one.isalpha() else one
        for one in word[:12]
    )
    return "".join(one for at, one in enumerate(shape) if at == 0 or shape[at - 1] != one)
