"""Checks of distribution: classes, slices, the two together, shifts between them, and lengths."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np

from burnish.measures.association import contingency, evenness, holm
from burnish.measures.distribution import QUANTILES, jensen_shannon, size_outliers
from burnish.quality.checks import NOT_HERE, Array, Found, Material, check
from burnish.quality.material import Slices, measured
from burnish.quality.traits import field

LENGTH_LIMIT = 3.5  # modified z-score, Iglewicz and Hoaglin 1993
RARE = 10  # records of a class below which neither a probe nor a test can say much
SKEWED = 20.0  # largest class over smallest from which macro scores and class weights are needed
SMALL_SLICE = 0.2  # of the mean size of a slice: below it a slice hardly counts in training or in a score
SURE = 0.01  # level of a test, after Holm's correction for all tests of the check
MOST_WEIGHT = 4.0  # that a record of a small slice may count: more would teach its noise by heart
FEW = 0.25  # observed over expected below which a cell of labels and slices is thin
LEAST_EXPECTED = 8.0  # of a cell that is judged
SHIFTED = 0.1  # Cramer's V from which a shift of labels is worth a word


@check("label_distribution", dimension="distribution", auto="report")
def labels(material: Material) -> Found:
    """How labels are spread: classes that are missing, rare, or swamped by another.

    Facts: counts (labels of spans and relations too), imbalance (largest over smallest), effective number of classes
    exp(entropy) (Hill 1973), Gini coefficient, and head, the share of the classes that hold 80% of the labels. Score, of records
    in a long tail: 1 - count / 10 where a class has fewer than 10 records; they are flagged to be kept, and more collected.
    """
    names = material.names
    if not names:
        return material.nothing(f"{NOT_HERE}: {material.context.task.type} names no labels")
    counted = Counter(label for row in material.named for label in row)
    counts = {name: counted[name] for name in names}
    held = np.array(list(counts.values()))
    spread = evenness(held)
    notes = []
    if missing := [name for name, count in counts.items() if not count]:
        notes.append(f"no record has the label {', '.join(missing)}")
    rare = {name: count for name, count in counts.items() if 0 < count < RARE}
    if rare:
        notes.append(f"fewer than {RARE} records: {', '.join(rare)}")
    if spread["imbalance"] > SKEWED:
        notes.append(f"the largest class is {spread['imbalance']:.0f} times the smallest")
    if len(names) >= 5 and spread["head"] <= 0.4:
        notes.append(f"long tail: {spread['head']:.0%} of the classes hold 80% of the labels")
    if material.foreign:
        notes.append(f"labels that the task does not have: {', '.join(map(repr, material.foreign[:5]))}")
    score, worst = np.zeros(len(material)), {}
    if len(material) >= RARE * 3:
        for row, named in enumerate(material.named):
            if own := [name for name in named if name in rare]:
                worst[row] = min(own, key=lambda name: rare[name])
                score[row] = 1 - rare[worst[row]] / RARE
    return Found(
        score, score > 0, lambda row: f"one of {rare[worst[row]]} records with {worst[row]}: too few to learn or to judge by",
        lambda row: "keep",
        {"counts": counts, "unlabelled": int((~material.taught).sum()), "imbalance": round(spread["imbalance"], 2),
         "effective": round(spread["effective"], 2), "gini": round(spread["gini"], 4), "head": round(spread["head"], 4), "notes": notes},
    )  # fmt: skip


@check("slice_balance", dimension="distribution", auto="report")
def slices(material: Material) -> Found:
    """How records are spread over sources, languages, licences and the fields of meta: slices that hardly count.

    A field is a slice where it has 2 to 50 values. Facts per field: counts, effective number exp(entropy) (Hill 1973), Gini
    coefficient, largest over smallest. Flagged: records of a slice with less than a fifth of the mean size. Score:
    1 - size / (a fifth of the mean size) / 2, so 0.5 or more. Suggested: reweigh by the mean size / size (inverse frequency),
    at most 4 times; whether that helps the worst group is measured, and more such records help more.
    """
    score, why, weight, facts, notes = np.zeros(len(material)), {}, {}, {}, []
    for name, one in material.slices.items():
        counts = one.counts
        spread = evenness(counts)
        facts[name] = {
            "counts": dict(zip(one.values, counts.tolist(), strict=True)), "none": int((one.number < 0).sum()),
            **{key: round(value, 4) for key, value in spread.items()},
        }  # fmt: skip
        limit = SMALL_SLICE * counts.sum() / len(counts)
        if small := [(value, int(count)) for value, count in zip(one.values, counts, strict=True) if count < limit]:
            notes.append(f"{name}: {', '.join(f'{value} ({count})' for value, count in small[:5])} hardly count")
        for row in np.flatnonzero((one.number >= 0) & (counts[one.number] < limit)):
            own = 1 - counts[one.number[row]] / limit / 2
            if own > score[row]:
                score[row] = own
                size = int(counts[one.number[row]])
                why[int(row)] = f"one of {size:,} records whose {name} is {one.values[one.number[row]]}"
                weight[int(row)] = min(MOST_WEIGHT, counts.sum() / len(counts) / size)
    return Found(
        score,
        score > 0,
        lambda row: why[row],
        lambda row: f"reweigh:{weight[row]:.2f}",
        {"slices": facts, "notes": notes},
    )


@check("joint_balance", dimension="distribution", auto="report", of_labels=True)
def joint(material: Material) -> Found:
    """Labels that hardly occur in a slice where they should: there, a model can learn the slice instead of the label.

    For each field: Pearson's chi-square of label and slice, Cramer's V (Bergsma 2013). A cell is thin where fewer than a
    quarter of the records expected from the margins (8 or more) are there and its adjusted residual is significant
    (Haberman 1973; 1% after Holm 1979). Score: 1 - observed / expected. Suggested: reweigh by expected / observed, as
    Kamiran and Calders (2012) do against discrimination. Empty cells are in the notes.
    """
    from scipy.stats import norm

    score, why, facts, notes = np.zeros(len(material)), {}, {}, []
    for name, one in material.slices.items():
        table = cross(one, material.labels, len(material.names))
        found = contingency(table)
        cells = np.argwhere(found.expected >= LEAST_EXPECTED)
        corrected = holm([2 * norm.sf(abs(found.residual[r, c])) for r, c in cells])
        thin = [
            (int(r), int(c))
            for (r, c), p in zip(cells, corrected, strict=True)
            if p < SURE and table[r, c] < FEW * found.expected[r, c]
        ]
        facts[name] = {
            "table": {value: table[at].tolist() for at, value in enumerate(one.values)}, "labels": list(material.names),
            "chi_square": round(found.statistic, 3), "freedom": found.freedom, "p_value": found.p_value, "v": round(found.v, 4),
            "thin": [
                {"slice": one.values[r], "label": material.names[c], "found": int(table[r, c]), "expected": round(found.expected[r, c], 1)}
                for r, c in thin
            ],
        }  # fmt: skip
        for r, c in thin:
            expected, observed = found.expected[r, c], int(table[r, c])
            said = f"{observed} of the records whose {name} is {one.values[r]} are {material.names[c]}; {expected:.0f} would be usual"
            if not observed:
                notes.append(said)
            for row in np.flatnonzero((one.number == r) & (material.labels == c)):
                if 1 - observed / expected > score[row]:
                    score[row], why[int(row)] = 1 - observed / expected, (said, expected / observed)
    return Found(
        score,
        score > 0,
        lambda row: why[row][0],
        lambda row: f"reweigh:{why[row][1]:.2f}",
        {"slices": facts, "notes": notes},
    )


@check("label_shift", dimension="distribution", auto="report", of_labels=True)
def shift(material: Material) -> Found:
    """Labels that are spread otherwise in one source, split or test set than in the others.

    For each two slices of source, file and a field of meta called split, subset or fold, and for the data against every named
    test set (`against`) and the target population (`reference`): chi-square, p-value (Holm 1979), Cramer's V, Jensen-Shannon
    divergence in bits (Lin 1991). Score of a record: divergence of its slice from the other records. Flags none: the remedy is
    to sample or weigh, not to remove.
    """
    score, found = np.zeros(len(material)), []
    for name, one in material.slices.items():
        if name not in ("source", "file") and name.rsplit(".", 1)[-1] not in ("split", "subset", "fold", "set"):
            continue
        table = cross(one, material.labels, len(material.names))
        for r in range(len(table)):
            rest = table.sum(0) - table[r]
            if table[r].any() and rest.any():
                score[one.number == r] = np.maximum(score[one.number == r], jensen_shannon(table[r], rest))
        for r, s in combinations(range(len(table)), 2):
            found.append((name, one.values[r], one.values[s], table[r], table[s]))
    own = np.bincount(material.labels[material.labelled], minlength=len(material.names))
    others = [*material.test_sets, *([material.population] if material.population else [])]
    for other in others:
        theirs = np.bincount(other.labels[other.labels >= 0], minlength=len(material.names))
        found.append(("file", "these records", other.name, own, theirs))
    compared = [_compared(*one) for one in found if one[3].any() and one[4].any()]
    for pair, p in zip(compared, holm([pair["p_value"] for pair in compared]), strict=True):
        pair["p_value"] = float(p)
    compared.sort(key=lambda one: -one["v"])
    notes = [
        f"{one['a']} and {one['b']} differ in labels (V {one['v']:.2f})"
        for one in compared[:5]
        if one["p_value"] < SURE and one["v"] > SHIFTED
    ]
    return Found(score, np.zeros(len(material), dtype=bool), facts={"shifts": compared[:50], "notes": notes})


@check("length", dimension="distribution", auto="report", reads=[measured])
def length(material: Material) -> Found:
    """Texts far longer or shorter than is usual in their language here.

    Modified z-score of log length in words (Chinese: characters), 0.6745 (x - median) / MAD, limit 3.5 (Iglewicz and
    Hoaglin 1993). Score: |z| / (|z| + 3.5), so 0.5 at the limit.
    """
    codes = material.languages.code
    sizes = size_outliers(field(material.trait(measured), "words").astype(np.int64), codes, limit=LENGTH_LIMIT)
    z = np.where(np.isfinite(sizes.score), np.abs(sizes.score), 0)
    flagged = sizes.outlier & ~material.blank
    middle = {code: float(values[QUANTILES.index(0.5)]) for code, values in sizes.quantiles.items()}

    def reason(row: int) -> str:
        return f"{sizes.words[row]:,} words or characters; half of the {codes[row]} texts have {middle[codes[row]]:.0f} or fewer"

    quantiles = {
        code: dict(zip(map(str, QUANTILES), values.tolist(), strict=True)) for code, values in sizes.quantiles.items()
    }
    facts = {"quantiles": quantiles, "histogram": _histogram(sizes.words)}
    return Found(np.where(flagged, z / (z + LENGTH_LIMIT), 0), flagged, reason, lambda row: "review", facts)


def cross(one: Slices, labels: Array, num_classes: int) -> Array:
    """Records by slice and label (slices, classes); those without either are left out."""
    both = (one.number >= 0) & (labels >= 0)
    table = np.zeros((len(one.values), num_classes), dtype=np.int64)
    np.add.at(table, (one.number[both], labels[both]), 1)
    return table


def _compared(name: str, a: str, b: str, one: Array, other: Array) -> dict[str, Any]:
    found = contingency(np.stack([one, other]))
    return {
        "by": name, "a": a, "b": b, "chi_square": round(found.statistic, 3), "freedom": found.freedom, "p_value": found.p_value,
        "v": round(found.v, 4), "divergence": round(jensen_shannon(one, other), 5),
    }  # fmt: skip


def _histogram(words: Array) -> dict[str, list[float]]:
    """Counts over 24 equal bins up to the length that 99% stay below; the longer ones count in the last."""
    if not len(words):
        return {"edges": [], "counts": []}
    edges = np.linspace(0, max(float(np.quantile(words, 0.99)), 24.0), 25)
    counts, _ = np.histogram(np.minimum(words, edges[-1]), bins=edges)
    return {"edges": np.round(edges, 2).tolist(), "counts": counts.tolist()}
