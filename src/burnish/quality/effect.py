"""What a remedy does to the model: a probe trained with and without it, judged on held-out records.

For each check and each of REPEATS random splits (near-duplicates on one side): one probe learns from the training side as
it is, one from the training side without the records the check would drop. Both are judged on the same held-out records,
those that the check has nothing to say about. The interval is the corrected resampled t interval (Nadeau and Bengio 2003),
because the splits share records.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.quality.checks import Array, Found, Material

REPEATS = 5
PARTS = 4  # one part in four is held out
MOST_ROWS = 6000
LEAST_ROWS = 60


def probe_effects(material: Material, found: dict[str, Found]) -> dict[str, dict[str, Any]]:
    """Check -> {"accuracy": {value, low, high}, "log_loss": ..., "removed", "held_out"}: with the remedy minus without.

    Checks that flag no labelled record have none, nor have data sets too small to split.
    """
    rows = material.labelled
    if material.embed == "none" or len(rows) < LEAST_ROWS or len(np.unique(material.labels[rows])) < 2:
        return {}
    if not any(_removed(material, one)[rows].any() for one in found.values()):
        return {}
    return _measured(material, found, rows)


def _measured(material: Material, found: dict[str, Found], rows: Array) -> dict[str, dict[str, Any]]:
    from burnish.nn.probe import Probe, assign_folds

    seed = material.context.seed
    picked = np.arange(len(rows))
    if len(rows) > MOST_ROWS:
        picked = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    rows = rows[picked]
    vectors, targets, given = material.vectors[picked], material.targets[picked], material.labels[rows]
    groups, classes = material.alike.label[rows], len(material.names)
    l2 = Probe(classes, seed=seed).fit(vectors, targets).chosen_l2
    removed = {name: _removed(material, one)[rows] for name, one in found.items()}
    doubted = {name: one.flagged[rows] for name, one in found.items()}
    gains: dict[str, list[tuple[float, float]]] = {name: [] for name, one in removed.items() if one.any()}
    held_out: dict[str, list[int]] = {name: [] for name in gains}
    with material.context.progress.bar("effect", REPEATS * (len(gains) + 1), "fits") as bar:
        for repeat in range(REPEATS):
            outside = assign_folds(given, folds=PARTS, groups=groups, seed=seed + 1 + repeat) == 0
            plain = Probe(classes, seed=seed, l2=l2).fit(vectors[~outside], targets[~outside])
            bar.advance(1)
            for name in gains:
                inside, judge = ~outside & ~removed[name], outside & ~doubted[name]
                bar.advance(1)
                if not inside.any() or not judge.any():
                    continue
                cured = Probe(classes, seed=seed, l2=l2).fit(vectors[inside], targets[inside])
                before, after = (_scores(one.probabilities(vectors[judge]), given[judge]) for one in (plain, cured))
                gains[name].append((after[0] - before[0], after[1] - before[1]))
                held_out[name].append(int(judge.sum()))
    return {
        name: {
            "accuracy": _interval([accuracy for accuracy, _ in pairs]),
            "log_loss": _interval([loss for _, loss in pairs]),
            "removed": int(removed[name].sum()),
            "held_out": int(np.mean(held_out[name])),
        }
        for name, pairs in gains.items()
        if len(pairs) == REPEATS
    }


def _removed(material: Material, found: Found) -> Array:
    """(n,) what the remedy takes away: every flagged record that the check would not keep."""
    removed = found.flagged.copy()
    for row in np.flatnonzero(removed):
        removed[row] = found.action(int(row)) != "keep"
    return removed


def _scores(chances: Array, given: Array) -> tuple[float, float]:
    own = chances[np.arange(len(given)), given]
    return float((chances.argmax(axis=1) == given).mean()), float(-np.log(own).mean())


def _interval(gains: list[float]) -> dict[str, float]:
    from scipy.stats import t

    values = np.array(gains)
    spread = np.sqrt(values.var(ddof=1) * (1 / len(values) + 1 / (PARTS - 1)))
    reach = float(t.ppf(0.975, len(values) - 1)) * float(spread)
    middle = float(values.mean())
    return {"value": round(middle, 5), "low": round(middle - reach, 5), "high": round(middle + reach, 5)}
