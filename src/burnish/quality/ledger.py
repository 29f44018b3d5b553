"""The ledger of a data version: performance, fairness, safety and reliability in one table, the same for every version.

Measured by a probe on the records that curation kept, so that two versions of the data can be laid beside each other
before anybody has trained anything. A version is named by its content: the same kept records have the same name.

performance  accuracy, macro F1, log loss on held-out records (mean over splits; as `quality.effect` judges)
fairness     largest differences between groups, by the definitions of fairlearn: demographic parity, equal opportunity,
             equalized odds, and accuracy; over every way to group the records and every label
safety       share of kept records with personal data, with what a model would learn by heart, with toxic language
reliability  calibration error, accuracy of the worst group, accuracy on disturbed texts, share of wrong labels
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from burnish.core.artifacts import Records
from burnish.core.records import INPUT, TARGETS
from burnish.core.stage import Context
from burnish.quality.bench import GROUPS, LEAST_GROUP, Bench, bench, why_not
from burnish.quality.checks import COLUMNS, Material
from burnish.quality.effect import measure
from burnish.quality.material import Array

SAFETY = ("pii", "memorisation", "toxicity")
PERFORMANCE = ("accuracy", "macro_f1", "f1", "pearson", "absolute_error", "log_loss")
PARTS = ("performance", "fairness", "safety", "reliability")


def version(records: Records) -> str:
    """Twelve hexadecimal digits of what the kept records say, whatever their order, ids and findings."""
    whole = np.zeros(4, dtype=np.uint64)
    for batch in records.batches([*INPUT, *TARGETS, "probs", "keep"]):
        for row in batch.to_pylist():
            if row.pop("keep"):
                said = json.dumps(row, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")
                whole += np.frombuffer(hashlib.sha256(said).digest(), dtype=np.uint64)  # a sum has no order
    return hashlib.sha256(whole.tobytes()).hexdigest()[:12]


def ledger(records: Records, context: Context) -> dict[str, Any]:
    """{"version", "records", "by", performance: {figure: value}, fairness, safety, reliability}; a part that was not
    measured is empty, and `not_measured` says why.

    Cost: a probe on at most 3,000 records, seconds; vectors come from the cache that the audit filled.
    """
    audit = records.facts.get("audit", {})
    about = audit.get("bench", {})
    made: dict[str, Any] = {"version": version(records), "records": sum(records.column("keep")), "by": "probe"}
    made |= {part: {} for part in PARTS} | {"not_measured": {}}
    made["safety"] = _safety(records, audit, made["not_measured"])
    if about.get("effect", "none") == "none":
        made["not_measured"]["performance"] = "the audit was asked for no effect"
        return made
    material = Material(
        records.table(COLUMNS), context, near=about["near"], folds=5, backbone=about["backbone"], embed="auto"
    )
    if why := why_not(material):
        made["not_measured"]["performance"] = why
        return made
    board = bench(material)
    _, plain, _ = measure(board, material, {}, {})
    made["performance"] = {name: plain[name] for name in PERFORMANCE if name in plain}
    made["reliability"] = {
        name: value for name, value in plain.items() if name in ("ece", "worst_group") or name.startswith("robustness")
    }
    rate = audit.get("checks", {}).get("label_errors", {}).get("facts", {}).get("rate")
    if rate:
        made["reliability"]["label_noise"] = rate["value"]
    if board.learn == "one":
        made["fairness"] = _fairness(board)
        if not made["fairness"]:
            made["not_measured"]["fairness"] = f"no column names 2 to {GROUPS} groups of {LEAST_GROUP} records"
    return made


def flat(made: dict[str, Any]) -> dict[str, float]:
    """The table as part.figure -> number, as gates name them."""
    return {
        f"{part}.{name}": float(value)
        for part in PARTS
        for name, value in made.get(part, {}).items()
        if isinstance(value, int | float)
    }


def _safety(records: Records, audit: dict[str, Any], missing: dict[str, str]) -> dict[str, float]:
    """Share of kept records with a finding of each check of safety that ran."""
    checks = audit.get("checks", {})
    ran = [name for name in SAFETY if name in checks and not checks[name]["skipped"]]
    missing |= {
        f"safety.{name}": checks.get(name, {}).get("skipped") or "its check did not run"
        for name in SAFETY
        if name not in ran
    }
    found, kept = dict.fromkeys(ran, 0), 0
    for batch in records.batches(["findings", "keep"]):
        for row in batch.to_pylist():
            if row["keep"]:
                kept += 1
                for name in {one["check"] for one in row["findings"] or ()} & found.keys():
                    found[name] += 1
    return {name: round(count / max(kept, 1), 5) for name, count in found.items()}


def _fairness(board: Bench) -> dict[str, float | str]:
    """The largest difference of each kind, and where it is; groups of fewer than LEAST_GROUP records are not compared."""
    from burnish.measures.fairness import cells, gaps, rates
    from burnish.nn.probe import out_of_sample

    classes = board.targets.shape[1]
    slices = {name: codes for name, codes in board.slices.items() if name in board.values}
    ready = {name: some for name, codes in slices.items() if len(np.unique((some := _large(codes))[some >= 0])) > 1}
    if not ready:
        return {}
    chances = out_of_sample(
        board.vectors, board.targets, num_classes=classes, groups=board.groups, seed=board.seed, l2=board.l2
    )
    said, true = chances.argmax(axis=1), board.targets.argmax(axis=1)
    worst: dict[str, float | str] = {}
    for name, codes in ready.items():
        here = codes >= 0
        number = np.unique(codes[here], return_inverse=True)[1]
        for label in range(classes):
            of = rates(cells(number, true[here], said[here], count=int(number.max()) + 1, label=label))
            figures = {key: float(value) for key, value in gaps(of).items() if key.endswith("difference")}
            for key, value in figures.items():
                if value > float(worst.get(key, -1.0)):
                    worst |= {key: round(value, 5), f"{key}.where": f"{name}, {board.names[label]}"}
        right = np.array([(said == true)[here][number == one].mean() for one in range(int(number.max()) + 1)])
        gap = float(right.max() - right.min())
        if gap > float(worst.get("accuracy_difference", -1.0)):
            worst |= {"accuracy_difference": round(gap, 5), "accuracy_difference.where": name}
    return worst


def _large(codes: Array) -> Array:
    """Codes with -1 for groups that are too small to compare."""
    counts = np.bincount(codes[codes >= 0]) if (codes >= 0).any() else np.zeros(0, dtype=np.int64)
    large: Array = (
        np.where((codes >= 0) & (counts[np.maximum(codes, 0)] >= LEAST_GROUP), codes, -1) if len(counts) else codes
    )
    return large
