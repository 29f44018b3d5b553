"""Exposure of a secret: how much less a model is surprised by it than by the others it could have been.

Carlini, Liu, Erlingsson, Kos and Song, The Secret Sharer (2019): exposure = log2 |R| - log2 rank, in bits, of a secret among
all |R| candidates of its form, ordered by the model's likelihood. 0 bits: the least likely one; 1 is chance's median; log2
|R|: the model gives it away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def by_rank(secret: float, others: ArrayLike) -> float:
    """From the surprise (bits) of the secret and of drawn candidates: at most log2(1 + their number). Ties count half."""
    drawn = np.asarray(others, dtype=float)
    rank = 1 + int((drawn < secret).sum()) + int((drawn == secret).sum()) / 2
    return float(np.log2(len(drawn) + 1) - np.log2(rank))


def by_distribution(secret: float, others: ArrayLike, *, space: float) -> float:
    """By a skew-normal fitted to the candidates' surprise (section 4.3 there): reaches further than ranks of a sample.

    space: log2 of the number of all candidates; nothing is exposed by more.
    """
    from scipy.stats import skewnorm

    drawn = np.asarray(others, dtype=float)
    if drawn.std() < 1e-12:
        return by_rank(secret, drawn)
    below = skewnorm.logcdf(secret, *skewnorm.fit(drawn)) / np.log(2)
    return float(min(space, max(0.0, -below)))
