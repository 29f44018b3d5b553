"""The certificate's interval in simulation: how often it holds the truth, and what it costs beside simple random sampling.

    python benchmarks/certificate.py [--runs 1000]

A population of 20,000 constructed labels with known mistakes; a person checks as the certificate says, look after look,
until the 95% interval is narrow enough; 1,000 times with other draws. Coverage: share of runs whose last interval holds
the true accuracy. Beside it simple random sampling under the same stop rule with Wilson's interval.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from burnish.measures import certificate_design as design
from burnish.measures.certificate_intervals import look_often, stratified

RECORDS = 20_000
Array = np.ndarray


def population(accuracy: float, classes: int, skew: bool, calibration: str, seed: int) -> tuple[Array, Array, Array]:
    """labels (N,) names, confidence (N,), right (N,) bool. The chance of each record is Beta around the accuracy."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1) if skew else np.ones(classes)
    label = rng.choice(classes, RECORDS, p=share / share.sum())
    by_label = rng.normal(0, 0.7, classes)[label]
    base = np.clip(rng.beta(2.5 * accuracy, 2.5 * (1 - accuracy), RECORDS), 1e-4, 1 - 1e-4)
    logit = np.log(base / (1 - base)) + by_label
    low, high = -8.0, 8.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(logit + middle)))).mean() < accuracy else (low, middle)
    chance = 1 / (1 + np.exp(-(logit + low)))
    right = np.zeros(RECORDS, dtype=bool)
    wrong = round((1 - accuracy) * RECORDS)  # the asked accuracy exactly, by the most doubtful draws
    key = np.log(rng.random(RECORDS)) / np.maximum(1 - chance, 1e-9)
    right[np.argsort(key, kind="stable")[: RECORDS - wrong]] = True
    own = np.log(chance / (1 - chance))
    said = {
        "calibrated": own,
        "overconfident": 3 * own + 2,
        "underconfident": 0.4 * own,
        "uninformative": rng.permutation(own),
    }[calibration]
    return np.array([f"c{one}" for one in label]), np.clip(1 / (1 + np.exp(-said)), 0, 1), right


class Runs:
    """`runs` draws side by side: the order in which each would check the records of each stratum."""

    def __init__(self, number: Array, right: Array, strata: int, runs: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.found = []  # a stratum: (runs, most) cumulated right
        for h in range(strata):
            inside = right[number == h]
            most = min(len(inside), 4000)
            drawn = np.stack([rng.choice(inside, most, replace=False) for _ in range(runs)])
            self.found.append(np.concatenate([np.zeros((runs, 1), int), drawn.cumsum(1)], axis=1))

    def right(self, rows: Array, checked: Array) -> Array:
        """(r, H) found right among the first checked (r, H)."""
        return np.stack([one[rows, checked[:, h]] for h, one in enumerate(self.found)], axis=1)


def simulate(
    number: Array, sizes: Array, guess: Array, right: Array, width: float, runs: int, seed: int
) -> dict[str, Any]:
    truth = float(right.mean())
    draws = Runs(number, right, len(sizes), runs, seed)
    checked = np.tile(design.first_look(sizes, guess, width), (runs, 1))
    planned = design.needed(sizes, guess, width)
    low, high, value = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    always = np.ones(runs, dtype=bool)
    active = np.arange(runs)
    while len(active):
        seen = draws.right(active, checked[active])
        value[active], low[active], high[active] = stratified(seen, checked[active], sizes)
        bounds = np.array([look_often(one, planned) for one in checked[active].sum(1)])
        for at in np.unique(bounds):
            some = bounds == at
            _, under, over = stratified(seen[some], checked[active][some], sizes, z=at)
            always[active[some]] &= (under <= truth) & (truth <= over)
        wide = (high[active] - low[active]) / 2 > width
        for row, found in zip(active[wide], seen[wide], strict=True):
            checked[row] = design.next_look(sizes, found, checked[row], guess, width)
        active = active[wide]
    held = (low <= truth) & (truth <= high)
    return {
        "coverage": float(held.mean()), "always": float(always.mean()), "checks": float(checked.sum(1).mean()),
        "bias": float(value.mean() - truth), "strata": len(sizes), "missed_low": float((high < truth).mean()),
        "missed_high": float((low > truth).mean()),
    }  # fmt: skip


def cell(accuracy: float, classes: int, skew: bool, calibration: str, width: float, runs: int) -> dict[str, Any]:
    labels, confidence, right = population(accuracy, classes, skew, calibration, seed=classes)
    chance = design.guessed(confidence)
    checks = design.simple_needed(RECORDS, float(chance.mean()), width)
    strata = design.divide(chance, labels, [""] * RECORDS, checks=checks)
    ours = simulate(strata.number, strata.sizes, strata.guess, right, width, runs, 1)
    whole = np.array([RECORDS])
    simple = simulate(np.zeros(RECORDS, int), whole, np.array([chance.mean()]), right, width, runs, 2)
    return {
        "accuracy": accuracy, "classes": classes, "skew": skew, "calibration": calibration, "width": width,
        "ours": ours, "simple": simple,
    }  # fmt: skip


GRID = [
    (accuracy, classes, skew, calibration, width)
    for width in (0.02, 0.05)
    for accuracy in (0.7, 0.85, 0.95, 0.99)
    for classes, skew in ((2, False), (6, True), (77, True))
    for calibration in ("calibrated", "overconfident", "underconfident", "uninformative")
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/certificate.json"))
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    rows = kept.setdefault("simulation", [])
    done = {(r["accuracy"], r["classes"], r["skew"], r["calibration"], r["width"]) for r in rows}
    for one in GRID:
        if one in done:
            continue
        row = cell(*one, asked.runs)
        rows.append(row)
        o, s = row["ours"], row["simple"]
        print(
            *one,
            f"H {o['strata']} coverage {o['coverage']:.3f} always {o['always']:.3f} checks {o['checks']:.0f}, simple {s['coverage']:.3f} {s['checks']:.0f}",
            flush=True,
        )
        asked.out.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
