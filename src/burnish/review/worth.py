"""The expected value of a look: how likely it is to change the record, and how unlike the looks before it it is.

p(change) = 1 - product of (1 - w s) over suspicion, slice, and the stronger of disagreement and uncertainty, which tell the
same doubt twice (noisy-or: each an independent way to be wrong). The weights are WEIGHTS until people decided enough; then a
logistic regression on the four numbers says how often such records were changed. The queue is greedy: the next record has
the largest p(change) x (1 - likeness^2), likeness being the largest cosine to what was looked at or stands in the queue
already (after Carbonell & Goldstein 1998, MMR, as a product).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.review.signals import Signals

Floats = NDArray[np.float64]
PARTS = ("disagreement", "uncertainty", "suspicion", "slice")
WEIGHTS = {"disagreement": 0.4, "uncertainty": 0.5, "suspicion": 0.8, "slice": 0.3}
LEAST_DECIDED, LEAST_EACH = 50, 5  # decisions, and of changed and unchanged ones, from which weights are learnt
PRIOR_LOOKS = 100  # decisions that the fixed weights count as when others are learnt
PRIOR, STRENGTH = (
    0.1,
    5.0,
)  # share of records that a look changes before anybody looked, and how many looks it counts as
OPTIMISM = 0.9  # quantile of a slice's share of changes that stands for it: what nobody looked at may be bad
DIMENSIONS = 256
MOST_BEFORE = 1000  # of the records looked at that novelty is measured against
POOL = 10  # records for every one of the budget that novelty chooses from


@dataclass(frozen=True)
class Look:
    """One place in the queue. why: its parts, the weightiest first, each with what a sentence about it needs."""

    row: int
    id: str
    value: float
    why: tuple[Mapping[str, Any], ...]

    def plain(self) -> dict[str, Any]:
        return {"row": self.row, "id": self.id, "value": round(self.value, 4), "why": [dict(one) for one in self.why]}


def slice_rates(
    slices: Mapping[str, Sequence[Any]], decided: Mapping[int, bool]
) -> tuple[Floats, list[tuple[str, Any, int, int] | None], dict[str, list[dict[str, Any]]]]:
    """For every record the largest upper bound of the share of changes in a slice it is in, 0..1.

    decided: row -> whether a look changed it. Returns the bounds (n,), (column, value, looked, changed) of the slice that
    gave each, and every slice with its counts.
    """
    from scipy.stats import beta

    count = len(next(iter(slices.values()), []))
    best: Floats = np.zeros(count)
    by: list[tuple[str, Any, int, int] | None] = [None] * count
    table: dict[str, list[dict[str, Any]]] = {}
    overall = (sum(decided.values()) + PRIOR * STRENGTH) / (len(decided) + STRENGTH)
    for column, values in slices.items():
        looked, wrong = Counter(values[row] for row in decided), Counter(values[row] for row in decided if decided[row])
        sizes = Counter(values)
        bound = {}
        for value in sizes:
            a, b = wrong[value] + overall * STRENGTH, looked[value] - wrong[value] + (1 - overall) * STRENGTH
            bound[value] = float(beta.ppf(OPTIMISM, a, b))
        table[column] = [
            {"value": value, "records": size, "looked": looked[value], "changed": wrong[value]}
            for value, size in sizes.most_common(50)
        ]
        for row, value in enumerate(values):
            if value is not None and bound[value] > best[row]:
                best[row], by[row] = bound[value], (column, value, looked[value], wrong[value])
    return best, by, table


@dataclass(frozen=True)
class Model:
    """How parts become p(change). coefficients: of a logistic regression, with its intercept last; None: the weights."""

    coefficients: Floats | None
    decisions: int

    def chances(self, parts: Floats) -> tuple[Floats, Floats]:
        """p(change) (n,) of parts (n, 4), and what each part adds (n, 4), not negative."""
        if self.coefficients is None:
            weighed = np.minimum(parts * [WEIGHTS[one] for one in PARTS], 0.999)
            # disagreement and uncertainty tell the same doubt twice: the stronger of them counts
            weaker = weighed[:, :2].argmin(axis=1)
            weighed[np.arange(len(weighed)), weaker] = 0.0
            hidden = -np.log1p(-weighed)
            return 1 - np.exp(-hidden.sum(1)), hidden
        slopes, start = self.coefficients[:-1], self.coefficients[-1]
        return 1 / (1 + np.exp(-(parts @ slopes + start))), np.maximum(parts * slopes, 0)

    @property
    def about(self) -> str:
        return "defaults" if self.coefficients is None else "decisions"


def learn(parts: Floats, decided: Mapping[int, bool]) -> Model:
    """The model that the decisions so far are for; parts (n, 4) of all records."""
    rows = np.fromiter(decided, dtype=np.int64, count=len(decided))
    changed = np.array([decided[row] for row in rows.tolist()], dtype=bool)
    if len(rows) < LEAST_DECIDED or min(changed.sum(), (~changed).sum()) < LEAST_EACH:
        return Model(None, len(rows))
    from sklearn.linear_model import LogisticRegression

    # Looks come from the top of the queue, where records are alike: alone they would say nothing of the others. What the
    # fixed weights say of all records stands beside them, and counts as PRIOR_LOOKS.
    some = np.unique(np.linspace(0, len(parts) - 1, 1000).astype(np.int64))
    before, _ = Model(None, 0).chances(parts[some])
    share = PRIOR_LOOKS / len(some)
    x = np.concatenate([parts[rows], parts[some], parts[some]])
    y = np.concatenate([changed, np.ones(len(some), dtype=bool), np.zeros(len(some), dtype=bool)])
    counts = np.concatenate([np.ones(len(rows)), share * before, share * (1 - before)])
    fitted = LogisticRegression(C=10.0).fit(x, y, sample_weight=counts)
    return Model(np.concatenate([fitted.coef_[0], fitted.intercept_]), len(rows))


def order(
    signals: Signals,
    decided: Mapping[int, bool],
    looked: NDArray[np.bool_],
    *,
    budget: int,
    vectors: Any = None,
    first: Sequence[int] = (),
) -> tuple[list[Look], Model, dict[str, list[dict[str, Any]]]]:
    """The `budget` records whose look is worth most, best first; `first` rows (disputed ones) stand before all.

    looked: (n,) who was looked at already, and is not asked for again. vectors: rows -> (m, d) of length 1, or None for
    no novelty. Cost: budget x pool x d; pool is POOL x budget of the likeliest, 1,000 at least.
    """
    rates, by, table = slice_rates(signals.slices, decided)
    if not decided:  # nobody looked anywhere: slices tell nothing apart
        rates = np.zeros(len(signals))
    columns = (signals.disagreement, signals.uncertainty, signals.suspicion, rates)
    parts = np.stack(columns, axis=1)
    model = learn(parts, decided)
    chance, adds = model.chances(parts)
    open_rows = np.flatnonzero(~looked & signals.waiting)
    by_chance = open_rows[np.argsort(-chance[open_rows], kind="stable")]
    pool = by_chance[: max(POOL * budget, 1000)]
    chosen = [row for row in first if not looked[row] or signals.waiting[row]][:budget]
    likeness = np.zeros(len(pool))
    inside = None
    if vectors is not None and len(pool):
        before = np.concatenate([np.flatnonzero(looked)[-MOST_BEFORE:], np.asarray(chosen, dtype=np.int64)])
        every = vectors(np.concatenate([pool, before]))
        inside = every[: len(pool)]
        if len(before):
            likeness = np.maximum(0, (inside @ every[len(pool) :].T).max(1))
    left = ~np.isin(pool, chosen)
    looks = [Look(row, signals.ids[row], 1.0, ({"part": "disputed", "share": 1.0},)) for row in chosen]
    while len(looks) < budget and left.any():
        worth = np.where(left, chance[pool] * (1 - likeness**2), -1.0)
        at = int(worth.argmax())
        row = int(pool[at])
        others = inside is not None and bool(looks or looked.any())
        why = _why(row, parts[row], adds[row], signals, by[row] if by else None, likeness[at], others)
        looks.append(Look(row, signals.ids[row], float(worth[at]), why))
        left[at] = False
        if inside is not None:
            likeness = np.maximum(likeness, inside @ inside[at])
    return looks, model, table


def _why(
    row: int, parts: Floats, adds: Floats, signals: Signals, by: Any, likeness: float, novel: bool
) -> tuple[Mapping[str, Any], ...]:
    """The parts that made a place, with their share of it and what is to be said."""
    total = float(adds.sum()) or 1.0
    told = signals.told.get(row, {})
    made: list[dict[str, Any]] = []
    for at in np.argsort(-adds, kind="stable"):
        name, share = PARTS[at], float(adds[at]) / total
        if share < 0.05 or not parts[at]:
            continue
        one: dict[str, Any] = {"part": name, "score": round(float(parts[at]), 3), "share": round(share, 3)}
        if name == "disagreement":
            one["sides"] = told.get("sides", {})
        elif name == "uncertainty":
            one["targeted"] = bool(signals.targeted[row])
        elif name == "suspicion":
            one |= told.get("finding", {})
        elif by is not None:
            one |= dict(zip(("column", "value", "looked", "changed"), by, strict=True))
        made.append(one)
    if not made:
        made.append({"part": "nothing", "share": 0.0})
    if novel:
        made.append({"part": "diversity", "score": round(float(1 - likeness), 3), "share": 0.0})
    return tuple(made)


def hashed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (n, DIMENSIONS) of length 1 by signed hashing of shingles (Weinberger et al. 2009): no weights, no cache."""
    from burnish.text.normalise import normalise
    from burnish.text.shingles import shingles

    hashes, starts = shingles([normalise(text) for text in texts])
    rows = np.repeat(np.arange(len(texts)), np.diff(starts))
    sign = np.where(hashes >> np.uint32(31), 1.0, -1.0)
    made = np.zeros((len(texts), DIMENSIONS))
    np.add.at(made, (rows, hashes % np.uint32(DIMENSIONS)), sign)
    made = np.sign(made) * np.sqrt(np.abs(made))  # a repeated phrase is not the whole text
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (made / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
