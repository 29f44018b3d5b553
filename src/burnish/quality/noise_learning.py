"""Checks of labels by how they are learnt: by their neighbours, by training dynamics, by the area under the margin."""

from __future__ import annotations

import numpy as np

from burnish.measures.dynamics import margin_threshold, training_dynamics
from burnish.measures.neighbours import disagreement
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.material import NO_VECTORS

LEAST_LABELLED = 60
DISAGREE = 0.8  # share of the neighbours, by cosine
HARD = 1 / 3  # correctness and confidence below which a record is hard to learn
SURE_OTHER = 0.7  # share of neighbours in one other class from which it is suggested


@check("neighbour_disagreement", dimension="noise", auto="report", of_labels=True)
def neighbours(material: Material) -> Found:
    """Labels that the nearest records in meaning do not share.

    Ten nearest neighbours by cosine of centred embeddings, near-duplicates left out. Score: share of the neighbours with another
    label, weighed by cosine (edited nearest neighbours, Wilson 1972; on frozen vectors, Zhu et al. 2022). Flagged from 0.8, and twice
    what is usual in its class: where a class lies among another, its records are no errors.
    """
    if refused := _refused(material):
        return material.nothing(refused)
    rows, labels, places, cosines = _labelled(material)
    share, likely = disagreement(labels, places, cosines)
    usual = np.array(
        [np.median(share[labels == one]) if (labels == one).any() else 0 for one in range(len(material.names))]
    )
    doubted = (share >= DISAGREE) & (share >= 2 * usual[labels]) & (likely != labels)
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = share, doubted
    at = {int(row): number for number, row in enumerate(rows)}

    def action(row: int) -> str:
        number = at[row]
        theirs = labels[places[number][places[number] >= 0]]
        return (
            f"relabel:{material.names[likely[number]]}" if (theirs == likely[number]).mean() >= SURE_OTHER else "review"
        )

    def reason(row: int) -> str:
        number = at[row]
        theirs = labels[places[number][places[number] >= 0]]
        nearest = material.ids[rows[places[number][0]]]
        return (
            f"{(theirs != labels[number]).sum()} of its {len(theirs)} nearest records are labelled otherwise, most of them "
            f"{material.names[likely[number]]}; nearest is {nearest}"
        )

    facts = {"judged": len(rows), "agreement": round(float(1 - share.mean()), 4),
             "by_label": {name: round(float(1 - share[labels == at].mean()), 4) for at, name in enumerate(material.names) if (labels == at).any()}}  # fmt: skip
    return Found(score, flagged, reason, action, facts)


@check("training_dynamics", dimension="noise", auto="report", of_labels=True)
def dynamics(material: Material) -> Found:
    """Labels that a model does not come to believe however long it trains on them.

    A softmax layer on frozen vectors, 12 epochs of stochastic gradient descent; after each the probability of the label.
    Confidence is its mean, variability its standard deviation, correctness the share of the epochs in which the label is likeliest
    (dataset cartography, Swayamdipta et al. 2020). Score: 1 - confidence. Flagged as hard to learn: confidence and correctness below a
    third, where most wrong labels lie. Facts: records easy, ambiguous (the third with the largest variability) and hard.
    """
    if refused := _refused(material):
        return material.nothing(refused)
    rows, labels = material.labelled, material.labels[material.labelled]
    found = training_dynamics(material.vectors, labels, len(material.names), seed=material.context.seed)
    hard = (found.confidence < HARD) & (found.correctness < HARD)
    ambiguous = ~hard & (found.variability >= np.quantile(found.variability, 2 / 3))
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = 1 - found.confidence, hard
    at = {int(row): number for number, row in enumerate(rows)}

    def reason(row: int) -> str:
        number = at[row]
        return (
            f"{found.confidence[number]:.0%} believed while learning it, right in {found.correctness[number]:.0%} of the epochs; "
            f"{material.names[found.other[number]]} was likelier"
        )

    sample = np.random.default_rng(material.context.seed).permutation(len(rows))[:500]
    facts = {
        "judged": len(rows), "hard": int(hard.sum()), "ambiguous": int(ambiguous.sum()),
        "easy": int(len(rows) - hard.sum() - ambiguous.sum()),
        "map": [[round(float(found.variability[one]), 3), round(float(found.confidence[one]), 3), int(rows[one])] for one in sorted(sample)],
    }  # fmt: skip
    return Found(score, flagged, reason, lambda row: "review", facts)


@check("area_under_margin", dimension="noise", auto="report", of_labels=True)
def margins(material: Material) -> Found:
    """Labels that are learnt like labels known to be wrong.

    Area under the margin: the mean over epochs of the label's logit less the largest other one. Threshold: some records are given
    a class of their own that nobody belongs to; a label whose area lies below the 99th percentile of theirs, and below 0, is
    doubted (Pleiss et al. 2020; a linear model learns the class of nobody too well for the percentile alone). Score: 1 at the lowest area, 0.5 at the threshold, 0 at the highest.
    """
    if refused := _refused(material):
        return material.nothing(refused)
    rows, labels = material.labelled, material.labels[material.labelled]
    area, limit = margin_threshold(material.vectors, labels, len(material.names), seed=material.context.seed)
    doubted = (area < limit) & (area < 0)
    low, high = float(min(area.min(), limit - 1e-9)), float(max(area.max(), limit + 1e-9))
    scaled = np.where(area < limit, 1 - (area - low) / (limit - low) / 2, (high - area) / (high - limit) / 2)
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = np.clip(scaled, 0, 1), doubted
    at = {int(row): number for number, row in enumerate(rows)}

    def reason(row: int) -> str:
        return f"its label lost by {-area[at[row]]:.2f} on average while learning it; labels made wrong on purpose reach {limit:.2f}"

    return Found(score, flagged, reason, lambda row: "review", {"judged": len(rows), "threshold": round(limit, 4)})


def _refused(material: Material) -> str:
    if material.embed == "none":
        return NO_VECTORS
    present = len(np.unique(material.labels[material.labelled]))
    if len(material.labelled) < LEAST_LABELLED or present < 2:
        return f"needs {LEAST_LABELLED} labelled records of two labels, there are {len(material.labelled)}"
    return ""


def _labelled(material: Material) -> tuple[Array, Array, Array, Array]:
    """Rows (l,), labels (l,), neighbours among them (l, k) and cosines: unlabelled neighbours do not count."""
    rows, labels = material.labelled, material.labels[material.labelled]
    places, cosines = material.neighbours
    if material.embed == "all":
        position = np.full(len(material), -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        own = places[rows]
        places = np.where(own >= 0, position[np.maximum(own, 0)], -1)
        cosines = cosines[rows]
        order = np.argsort(places < 0, axis=1, kind="stable")  # those without a label last
        places, cosines = np.take_along_axis(places, order, axis=1), np.take_along_axis(cosines, order, axis=1)
    return rows, labels, places, cosines
