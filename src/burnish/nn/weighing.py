"""Records that count more or less than others, for a loop in which every example counts once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def weights_of(metas: Sequence[str | None]) -> Array:
    """(n,) what curation says that each record counts, `weight` in its meta; 1 where it says nothing."""
    made = np.ones(len(metas))
    for row, meta in enumerate(metas):
        if meta and '"weight"' in meta:
            said = json.loads(meta).get("weight")
            if isinstance(said, int | float) and not isinstance(said, bool) and said >= 0:
                made[row] = said
    return made


def repeated(weights: Array, *, seed: int) -> Array:
    """Row numbers in order, each as often as it counts: 2.5 is two or three times, by a draw; so means are as weighed."""
    draws = np.random.default_rng(seed).random(len(weights))
    return np.repeat(np.arange(len(weights)), np.floor(np.asarray(weights) + draws).astype(np.int64))
