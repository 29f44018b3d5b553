"""Checks of labels: which are probably wrong."""

from __future__ import annotations

import numpy as np

from burnish.core.records import PEOPLE
from burnish.measures.doubt import Doubt, doubt, standard
from burnish.quality.checks import Array, Found, Material, check
from burnish.text.words import terms

LEAST_LABELLED = 30  # below this a cross-validated probe says more about chance than about labels
WRONG = 0.5  # probability from which a label is doubted: likelier wrong than right
SURE = 0.9  # probability from which a suggestion is one to follow and not only to look at


@check("label_errors", dimension="noise", auto="drop", of_labels=True)
def errors(material: Material) -> Found:
    """Labels that a model trained on the other records does not believe.

    A linear probe on frozen embeddings and naive Bayes on words, out of sample by stratified cross-validation with
    near-duplicates in one fold (twins must not vouch for each other), learn the wrong labels too. So what is true and how
    labels go wrong are fitted together: the scale of each view, a shift for each class, and how often each class is
    labelled as each other one, by maximum likelihood of the given labels (Patrini et al. 2017; Bootkrajang and Kaban
    2012). The probe then learns once more, from the likely labels. Score: the probability that the label is wrong, by
    text and label together; flagged above 0.5. Rate: its mean; where classes are easily taken for each other part of
    that is the probe's own. Unlabelled records, and classes with fewer members than folds, are not judged.
    """
    from burnish.nn.probe import judgeable

    rows, names = material.labelled, material.names
    given = material.labels[rows]
    enough = judgeable(given, num_classes=len(names), folds=material.folds) if len(rows) else np.zeros(0, dtype=bool)
    if enough.sum() < LEAST_LABELLED or len(np.unique(given[enough])) < 2:
        return material.nothing(
            f"needs {LEAST_LABELLED} labelled records in two classes of {material.folds} or more, there are {int(enough.sum())}"
        )
    rows, given = rows[enough], given[enough]
    found = _doubt(material, enough)
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = found.wrong, found.wrong > WRONG
    others = np.where(np.arange(len(names)) == given[:, None], -1.0, found.shares)
    at = {int(row): position for position, row in enumerate(rows)}

    def suggestion(row: int) -> tuple[str, float, float]:
        position = at[row]
        better = int(others[position].argmax())
        return names[better], float(others[position, better]), 1 - float(found.wrong[position])

    def reason(row: int) -> str:
        better, chance, own = suggestion(row)
        return f"labelled {names[material.labels[row]]} ({own:.0%} likely); {better} is {chance:.0%} likely"

    def action(row: int) -> str:
        better, chance, _ = suggestion(row)
        return f"relabel:{better}" if chance >= SURE else "review"

    facts = {
        "judged": len(rows),
        "by_labellers": _by_labellers(material, rows),
        "rate": {name: round(getattr(found.rate, name), 5) for name in ("value", "low", "high")},
        "agreement": float((found.clean.argmax(axis=1) == given).mean()),
        "confused": _confused(found.joint, names),
        "not_judged": [names[one] for one in np.unique(material.labels[material.labelled][~enough])],
    }
    return Found(score, flagged, reason, action, facts)


def _by_labellers(material: Material, rows: Array) -> float:
    """Share of the judged labels that labellers made, each in a way of its own, which a probe taught by them learns as well."""
    made_by = material.column("label_from")
    return float(np.mean([made_by[row] not in PEOPLE for row in rows]))


def _confused(joint: Array, names: tuple[str, ...], most: int = 10) -> list[dict[str, object]]:
    """The pairs of classes that are taken for each other most, as estimated shares of all records."""
    pairs = [
        (float(joint[i, j]), i, j) for i in range(len(names)) for j in range(len(names)) if i != j and joint[i, j] > 0
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [{"given": names[i], "probably": names[j], "share": round(share, 5)} for share, i, j in pairs[:most]]


def _doubt(material: Material, enough: Array) -> Doubt:
    """How likely each label is wrong, of the labelled records that `enough` (l,) marks.

    The probe's penalty is chosen once, by all records: choosing it anew in every fold costs four times as much and finds
    the same. The second time it learns from what the first made of the labels, which half undoes the mistakes it learnt.
    """
    from burnish.nn.probe import Probe, assign_folds, out_of_sample

    rows = material.labelled[enough]
    given, groups, seed = material.labels[rows], material.alike.label[rows], material.context.seed
    views = []
    documents = [terms(material.texts[row]) for row in rows]
    if any(documents) or material.embed == "none":
        fold = assign_folds(given, folds=material.folds, groups=groups, seed=seed)
        views.append(np.log(_by_words(documents, given, fold, len(material.names))))
    if material.embed == "none":
        return doubt(given, views, seed=seed)
    vectors, targets, classes = material.vectors[enough], material.targets[enough], len(material.names)
    l2 = Probe(classes, seed=seed).fit(vectors, targets).chosen_l2

    def learnt(from_: Array) -> Array:
        chances = out_of_sample(
            vectors, from_, num_classes=classes, folds=material.folds, groups=groups, seed=seed, l2=l2
        )
        return standard(np.log(chances), given)

    first = learnt(targets)
    likely = doubt(given, [first, *views], seed=seed).shares
    return doubt(given, [first + learnt(likely.astype(np.float32)), *views], seed=seed)


def _by_words(documents: list[list[str]], given: Array, fold: Array, classes: int) -> Array:
    """Probabilities (m, k) by multinomial naive Bayes on TF-IDF of terms, fold by fold; costs a 20th of the probe."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB

    counted = TfidfVectorizer(analyzer=lambda document: document, sublinear_tf=True).fit_transform(documents)
    chances = np.full((len(given), classes), 1e-7)
    for one in np.unique(fold):
        outside = fold == one
        model = MultinomialNB(alpha=0.5).fit(counted[~outside], given[~outside])
        chances[np.ix_(outside, model.classes_)] = np.maximum(model.predict_proba(counted[outside]), 1e-7)
    return chances
