"""Checks of labels: how they are spread, which are probably wrong."""

from __future__ import annotations

import numpy as np

from burnish.measures.distribution import label_spread
from burnish.measures.noise import label_errors
from burnish.quality.checks import Array, Found, Material, check

LEAST_LABELLED = 30  # below this a cross-validated probe says more about chance than about labels
SURE = 0.9  # probability from which a suggestion is one to follow and not only to look at
RARE = 10  # records of a class below which neither a probe nor a test can say much
SKEWED = 20.0  # largest class over smallest from which macro scores and class weights are needed


@check("label_distribution", dimension="labels", auto="report")
def distribution(material: Material) -> Found:
    """How labels are spread: classes that are missing, rare, or swamped by another.

    Facts: counts, imbalance (largest over smallest), effective number of classes exp(entropy) (Hill 1973). Flags no record.
    """
    spread = label_spread(material.labels, len(material.names))
    counts = {name: int(count) for name, count in zip(material.names, spread.counts, strict=True)}
    notes = []
    if missing := [material.names[one] for one in spread.missing]:
        notes.append(f"no record has the label {', '.join(missing)}")
    if rare := [name for name, count in counts.items() if 0 < count < RARE]:
        notes.append(f"fewer than {RARE} records: {', '.join(rare)}")
    if spread.imbalance > SKEWED:
        notes.append(f"the largest class is {spread.imbalance:.0f} times the smallest")
    if material.foreign:
        notes.append(f"labels that the task does not have: {', '.join(map(repr, material.foreign[:5]))}")
    return material.nothing(
        counts=counts, unlabelled=int((material.labels < 0).sum()), imbalance=round(spread.imbalance, 2),
        effective=round(spread.effective, 2), notes=notes,
    )  # fmt: skip


@check("label_errors", dimension="labels", auto="drop")
def errors(material: Material) -> Found:
    """Labels that a model trained on the other records does not believe.

    Probabilities: a linear probe on frozen embeddings, out of sample by stratified cross-validation with near-duplicates in
    one fold (twins must not vouch for each other). Suspects: confident learning (Northcutt, Jiang and Chuang 2021). Score:
    1 - normalised margin, (1 - p[label] + max p[other]) / 2. Unlabelled records, and classes with fewer members than folds,
    are not judged.
    """
    from burnish.nn.probe import judgeable, out_of_sample

    rows, names = material.labelled, material.names
    given = material.labels[rows]
    enough = judgeable(given, num_classes=len(names), folds=material.folds) if len(rows) else np.zeros(0, dtype=bool)
    if enough.sum() < LEAST_LABELLED or len(np.unique(given[enough])) < 2:
        least = f"{LEAST_LABELLED} labelled records in two classes of {material.folds} or more"
        return material.nothing(f"needs {least}, there are {int(enough.sum())}")
    rows, given = rows[enough], given[enough]
    chances = out_of_sample(
        material.vectors[enough], material.targets[enough], num_classes=len(names), folds=material.folds,
        groups=material.alike.label[rows], seed=material.context.seed, calibrate=True,
    )  # fmt: skip
    noise = label_errors(given, chances, seed=material.context.seed)
    score = np.zeros(len(material))
    score[rows] = 1 - noise.score
    flagged = np.zeros(len(material), dtype=bool)
    flagged[rows] = noise.suspect
    at = {int(row): position for position, row in enumerate(rows)}

    def suggestion(row: int) -> tuple[str, float, float]:
        position = at[row]
        better = int(noise.suggestion[position])
        return names[better], float(chances[position, better]), float(chances[position, given[position]])

    def reason(row: int) -> str:
        better, chance, own = suggestion(row)
        return f"labelled {names[material.labels[row]]} ({own:.0%} likely); {better} is {chance:.0%} likely"

    def action(row: int) -> str:
        better, chance, _ = suggestion(row)
        return f"relabel:{better}" if chance >= SURE else "review"

    facts = {
        "judged": len(rows),
        "rate": {"value": noise.rate.value, "low": noise.rate.low, "high": noise.rate.high},
        "agreement": float((chances.argmax(axis=1) == given).mean()),
        "confused": _confused(noise.joint, names),
        "not_judged": [names[one] for one in np.unique(material.labels[material.labelled][~enough])],
    }
    return Found(score, flagged, reason, action, facts)


def _confused(joint: Array, names: tuple[str, ...], most: int = 10) -> list[dict[str, object]]:
    """The pairs of classes that are taken for each other most, as estimated shares of all records."""
    pairs = [
        (float(joint[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and joint[i, j] > 0
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [{"given": names[i], "probably": names[j], "share": round(share, 5)} for share, i, j in pairs[:most]]
