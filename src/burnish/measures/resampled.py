"""What repeated random splits of the same records say of a difference, and how sure they are of it.

Differences on overlapping splits are no independent draws: their plain t interval finds effects where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burnish.measures.intervals import Interval


def corrected_t(differences: Sequence[float], *, held_out: float, confidence: float = 0.95) -> Interval:
    """Mean of R differences and its corrected resampled t interval (Nadeau and Bengio 2003).

    held_out: share of the records that judge in each split, 0..1. Variance of the mean: s^2 (1/R + q / (1 - q)) with
    q = held_out; the second term stands for the records that the splits share, so more splits alone never make an
    interval vanish. Needs two differences.
    """
    from scipy.stats import t

    if len(differences) < 2:
        raise ValueError(f"an interval needs two differences, there are {len(differences)}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie between 0 and 1, not {held_out}")
    values = np.asarray(differences, dtype=np.float64)
    spread = float(np.sqrt(values.var(ddof=1) * (1 / len(values) + held_out / (1 - held_out))))
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * spread
    return Interval(float(values.mean()), float(values.mean()) - reach, float(values.mean()) + reach)
