"""Items that nobody asked for, to tell the wanted ones from: drawn, or mined among those that look wanted."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from burnish.core.stage import Context
from burnish.nn.backbones import Backbone
from burnish.text.normalise import normalise

DEPTH = 50  # how far down its list a miner looks
Mine = Callable[[str, str, Collection[str], int], tuple[list[str], int]]


def drawn(items: Sequence[str], known: Collection[str], count: int, key: str) -> list[str]:
    """`count` items at random that are not known to be wanted; the same for the same key."""
    rng = random.Random(key)
    if len(items) - len(known) <= count:
        return [one for one in items if one not in known]
    found: dict[str, None] = {}
    while len(found) < count:
        one = items[rng.randrange(len(items))]
        if one not in known:
            found[one] = None
    return list(found)


def miner(
    texts: Mapping[str, str], how: Literal["bm25", "embeddings"], margin: float, backbone: Backbone, context: Context
) -> Mine:
    """A function (query, wanted item, known items, count) -> (items that look wanted, how many were left alone).

    An item is left alone, for it may be wanted and nobody said so, when it scores above `margin` times the wanted one
    (Qu et al. 2021), is known, or reads the same as a known one.
    """
    items = list(texts)
    place = {item: at for at, item in enumerate(items)}
    forms = [normalise(texts[item]) for item in items]
    score = _by_words(list(texts.values())) if how == "bm25" else _by_meaning(list(texts.values()), backbone, context)

    def mine(query: str, wanted: str, known: Collection[str], count: int) -> tuple[list[str], int]:
        scores = score(query)
        limit = margin * scores[place[wanted]] if scores[place[wanted]] > 0 else np.inf
        said = {forms[place[one]] for one in known if one in place}
        found: list[str] = []
        alone = 0
        for at in np.argsort(-scores, kind="stable")[: DEPTH + len(known)].tolist():
            if len(found) == count or scores[at] <= 0:
                break
            if items[at] in known:
                continue
            if scores[at] > limit or forms[at] in said:
                alone += 1
            else:
                found.append(items[at])
        return found, alone

    return mine


def _by_words(texts: Sequence[str]) -> Callable[[str], np.ndarray]:
    from burnish.text.bm25 import Bm25

    return Bm25(texts).scores


def _by_meaning(texts: Sequence[str], backbone: Backbone, context: Context) -> Callable[[str], np.ndarray]:
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    vectors = embed(texts, folder, cache=context.cache, progress=context.progress)
    mean = vectors.mean(0)
    centred = vectors - mean
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)

    def score(query: str) -> np.ndarray:
        found = embed([query], folder, cache=context.cache, progress=context.progress)[0] - mean
        made: np.ndarray = centred @ (found / max(float(np.linalg.norm(found)), 1e-9))
        return made

    return score
