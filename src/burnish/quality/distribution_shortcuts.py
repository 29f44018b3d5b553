"""Checks of shortcuts: tokens, fields and parts of the input that give the label away; and records of the test set."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from burnish.measures.association import group_counts, log_odds, pointwise_mutual_information
from burnish.measures.duplicates import leaks
from burnish.measures.intervals import wilson
from burnish.measures.overlap import Runs
from burnish.quality.bag import count_words
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.traits import Block
from burnish.text.inputs import parts
from burnish.text.words import words as cut

LEAST_TOKEN = 15  # records that a token must be in
RARELY_MISSING, LIFTED = 0.5, 3.0  # share of a label's records with a mark, and its label's share there over anywhere
PURE = 0.9  # lower end of the share of its records with one label, from which a token gives it away
ENDS = 0.8  # share of its records where a token stands at the very beginning or end
EDGE = 2  # words from the beginning or the end
ODD = re.compile(
    r"[^\w\s,.!?;:'\"()\-，。！？；：、“”‘’（）《》…—]+|\b[^\W\d]*\d[^\W_]*\b|\b(?:https?|www)\b|\b[bcdfghjklmnpqrstvwxz]{3,}\b"
)
MOST_JUDGED = 20_000
LEAST_JUDGED = 60
GAIN = 0.03  # accuracy above the largest class from which a part of the input is a shortcut
GIVEN_AWAY = 0.9
COMMON = 0.6  # share of a label above which it needs no shortcut to be likely
RUNS_SHARED = 0.5


@check("spurious_tokens", dimension="distribution", auto="report", of_labels=True)
def tokens(material: Material) -> Found:
    """Tokens that give the label away by themselves, as no word of the language should.

    Facts: the words most typical of each label by log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn
    2008), with pointwise mutual information (Church and Hanks 1990). A token is flagged where the Wilson interval of the share
    of its records (15 or more, 0.5%) with one label lies above 90% and half-way from the label's share to 1, and its form or
    place is odd: figures, symbols, letters without a vowel, or at the same end of the text in 80% of its records. Of many labels, an odd form is flagged also where most records of a label bear it
    and the low end is three times the label's share: purer it need not be to beat every word. Score: (low end -
    share of the label) / (1 - share). A question word that says the type of a question is flagged too: a person decides.
    """
    rows = material.labelled
    given = material.labels[rows]
    if len(rows) < LEAST_JUDGED or len(np.unique(given)) < 2:
        return material.nothing(f"needs {LEAST_JUDGED} labelled records of two labels, there are {len(rows)}")
    bag = material.bag
    present = bag.counts[rows]
    present.data[:] = 1
    per = group_counts(present, given, len(material.names))
    score, why = np.zeros(len(material)), {}
    found = []
    texts = [material.texts[row] for row in rows]
    share = np.bincount(given, minlength=len(material.names)) / len(rows)
    for token, counts, holders in _candidates(texts, given, per, bag.words, present, len(material.names)):
        label, total = int(counts.argmax()), int(counts.sum())
        low = wilson(int(counts[label]), total).low
        odd = bool(ODD.search(token))
        pure = low >= max(PURE, (1 + share[label]) / 2)
        worn = counts[label] >= RARELY_MISSING * share[label] * len(rows) and low >= LIFTED * share[label]
        if not pure and not (odd and worn):
            continue
        ends = _ends(token, [texts[at] for at in holders[:200]])
        if not odd and ends < ENDS:
            continue
        found.append(
            {"token": token, "label": material.names[label], "records": total, "share": round(counts[label] / total, 4),
             "odd": odd, "at_an_end": round(ends, 3)}
        )  # fmt: skip
        own = (low - share[label]) / max(1 - share[label], 1e-9)
        for row in rows[holders]:
            if own > score[row]:
                score[row] = min(own, 1.0)
                why[int(row)] = (
                    f"“{token}” alone gives {material.names[label]} away: {counts[label]:.0f} of {total} records with it"
                )
    found.sort(key=lambda one: (-one["records"], one["token"]))
    facts = {"tokens": found[:50], "typical": _typical(material, rows, per)}
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


def _candidates(
    texts: list[str], given: Array, per: Array, words: Sequence[str], present: Any, classes: int
) -> list[tuple[str, Array, Array]]:
    """(token, records by label, positions of the records): words (no pairs of English words) and runs of symbols."""
    least = max(LEAST_TOKEN, len(texts) // 200)
    of_label = np.bincount(given, minlength=classes)[:, None]
    worn = (per >= RARELY_MISSING * of_label) & (per * len(texts) >= LIFTED * of_label * per.sum(0))
    some = np.flatnonzero((per.sum(0) >= least) & ((per.max(0) >= PURE * per.sum(0)) | worn.any(0)))
    columns = present.tocsc()
    made = [
        (words[at], per[:, at], columns.indices[columns.indptr[at] : columns.indptr[at + 1]])
        for at in some.tolist()
        if " " not in words[at]
    ]
    odd: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        for token in {one for one in ODD.findall(text) if not one[0].isalnum()}:
            odd.setdefault(token, []).append(at)
    for token, holders in odd.items():
        if len(holders) >= least:
            rows = np.array(holders)
            made.append((token, np.bincount(given[rows], minlength=classes).astype(float), rows))
    return made


def _ends(token: str, texts: list[str]) -> float:
    """Share of the texts that have the token within EDGE words of their beginning, or of their end, whichever is more."""
    first = last = 0
    for text in texts:
        lowered = text.lower()
        if not token[0].isalnum():
            first += lowered.lstrip().startswith(token)
            last += lowered.rstrip().endswith(token)
            continue
        tokens = cut(lowered)
        size = max(EDGE, len(token) if not token.isascii() else EDGE)
        joint = "".join if not token.isascii() else " ".join
        first += token in joint(tokens[:size])
        last += token in joint(tokens[-size:])
    return max(first, last) / max(len(texts), 1)


def _typical(material: Material, rows: Array, per: Array, most: int = 15) -> dict[str, list[dict[str, Any]]]:
    z, bits = log_odds(per), pointwise_mutual_information(per)
    words = material.bag.words
    made = {}
    for label, name in enumerate(material.names):
        top = [at for at in np.argsort(-z[label], kind="stable")[:most].tolist() if z[label, at] > 1.96]
        made[name] = [
            {"word": words[at], "z": round(float(z[label, at]), 2), "bits": round(float(bits[label, at]), 3), "records": int(per[:, at].sum())}
            for at in top
        ]  # fmt: skip
    return made


@check("artefacts", dimension="distribution", auto="report", of_labels=True)
def artefacts(material: Material) -> Found:
    """Labels that can be told from a part of the input that should not tell them.

    A classifier sees one part alone: fields of metadata; length, punctuation and figures; the first three words of texts
    of 12 or more; of pairs the
    first or the second text (hypothesis only: Poliak et al. 2018, Gururangan et al. 2018). Accuracy out of sample in 5 folds with
    near-duplicates in one fold, against the largest class: the gain with its 95% interval (paired, normal). A part is a shortcut where the low
    end is above 3 points. Flagged: records whose label a shortcut gives 90% or more, and which no more than
    60% of the records have (a commoner one is likely without any shortcut); score: that probability. They may stay
    (adversarial filtering, Le Bras et al. 2020, would thin them out): suggested is half their weight.
    """
    from burnish.nn.probe import assign_folds

    rows = material.labelled[:MOST_JUDGED]
    given = material.labels[rows]
    classes = len(material.names)
    if len(rows) < LEAST_JUDGED or len(np.unique(given)) < 2:
        return material.nothing(f"needs {LEAST_JUDGED} labelled records of two labels, there are {len(rows)}")
    fold = assign_folds(given, folds=5, groups=material.alike.label[rows], seed=material.context.seed)
    share = np.bincount(given, minlength=classes) / len(given)
    largest = int(share.argmax())
    score, why, facts = np.zeros(len(material)), {}, {}
    for name, features in _views(material, rows).items():
        chances = _held_out(features(), given, fold, classes)
        gains = (chances.argmax(1) == given).astype(float) - (given == largest)
        gain, reach = float(gains.mean()), 1.96 * float(gains.std(ddof=1)) / np.sqrt(len(gains))
        shortcut = gain - reach > GAIN
        facts[name] = {
            "accuracy": round(float((chances.argmax(1) == given).mean()), 4), "largest_class": round(float((given == largest).mean()), 4),
            "gain": {"value": round(gain, 4), "low": round(gain - reach, 4), "high": round(gain + reach, 4)}, "shortcut": bool(shortcut),
        }  # fmt: skip
        if shortcut:
            own = chances[np.arange(len(rows)), given]
            for at in np.flatnonzero((own >= GIVEN_AWAY) & (share[given] <= COMMON)):
                if own[at] > score[rows[at]]:
                    score[rows[at]] = own[at]
                    why[int(rows[at])] = f"{name} alone makes {material.names[given[at]]} {own[at]:.0%} likely"
    notes = [
        f"{name} alone is right for {one['accuracy']:.1%}, the largest class for {one['largest_class']:.1%}"
        for name, one in facts.items()
        if one["shortcut"]
    ]
    return Found(
        np.minimum(score, 1),
        score > 0,
        lambda row: why[row],
        lambda row: "reweigh:0.50",
        {"parts": facts, "notes": notes},
    )


def _views(material: Material, rows: Array) -> dict[str, Callable[[], Any]]:
    """Name of a part -> its features (m, f), sparse."""
    texts = [material.texts[row] for row in rows]
    views: dict[str, Callable[[], Any]] = {}
    fields = [one for name, one in material.slices.items()]
    if fields:
        views["metadata"] = lambda: _one_hot(np.stack([one.number[rows] for one in fields], axis=1))
    views["length and punctuation"] = lambda: _one_hot(_shape(texts))
    views["the first three words"] = lambda: count_words([_first(text) for text in texts]).counts
    pair = parts(material._table) if material._table["text_b"].null_count < len(material) else []
    for at, name in enumerate(("the first text", "the second text")[: len(pair)]):
        views[name] = lambda at=at: count_words([pair[at][row] for row in rows]).counts  # type: ignore[misc]
    return views


def _first(text: str) -> str:
    """The first three words of a text of four times as many; of a shorter one they are no part but the most of it."""
    words = cut(text)
    return " ".join(words[:3]) if len(words) >= 12 else ""


def _shape(texts: list[str]) -> Array:
    """Words, and how many of some marks, each in steps that a person would tell apart (m, 7)."""
    marks = ("?？", "!！", ",，、", '"“”「」', "0123456789")
    made = [
        [min(int(2 * np.log2(1 + len(text))), 40), int(text[:1].isupper()) + 2 * int(text[-1:] in ".。!！?？…")]
        + [min(sum(text.count(mark) for mark in some), 5) for some in marks]
        for text in texts
    ]
    return np.array(made, dtype=np.int64).reshape(len(texts), 7)


def _one_hot(numbers: Array) -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore").fit_transform(numbers)


def _held_out(features: Any, given: Array, fold: Array, classes: int) -> Array:
    """Probabilities (m, classes) out of sample: logistic regression on few features, naive Bayes on many."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    from burnish.nn.probe import fit_temperature

    chances = np.full((len(given), classes), 1e-7)
    for one in np.unique(fold):
        out = fold == one
        few = features.shape[1] <= 2000
        model = LogisticRegression(C=1.0, max_iter=500, tol=1e-3) if few else MultinomialNB(alpha=0.5)
        if len(np.unique(given[~out])) < 2 or not features.shape[1]:
            chances[out, given[~out][:1]] = 1.0
            continue
        model.fit(features[~out], given[~out])
        chances[np.ix_(out, model.classes_)] = model.predict_proba(features[out])
    # naive Bayes is far too sure of itself
    logits = np.log(np.maximum(chances, 1e-12))
    logits = logits / fit_temperature(logits, given)
    sure = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(sure / sure.sum(axis=1, keepdims=True))


@check("contamination", dimension="distribution", auto="drop")
def contamination(material: Material) -> Found:
    """Records that are in a named test set (`against`), or nearly: a score on it would be of memory.

    Equal or near texts (Jaccard of character shingles at `near`, verified; Broder 1997), and runs of 13 words (10 Chinese
    characters) of which half stand in one record (Brown et al. 2020, appendix C). Score: similarity, or the share of the test
    text's runs.
    """
    if not material.test_sets:
        return material.nothing("no test set is named: `against` names a file or a folder")
    score, why, facts = np.zeros(len(material)), {}, {}
    for other in material.test_sets:
        seen: set[int] = set()
        pairs = leaks(material.texts, other.texts, threshold=material.near)
        for (row, at), alike in zip(pairs.pairs.tolist(), pairs.similarity.tolist(), strict=True):
            seen.add(at)
            if alike > score[row]:
                score[row], why[row] = alike, f"{alike:.0%} the same as record {at + 1} of {other.name}"
        start = 0
        for size, rows, parts_of, shares in material.walked(functools.partial(_shared, runs=Runs(other.texts))):
            for row, at, part in zip((rows + start).tolist(), parts_of.tolist(), shares.tolist(), strict=True):
                seen.add(at)
                if part > score[row]:
                    said = f"{part:.0%} of the runs of words of record {at + 1} of {other.name} stand in it"
                    score[row], why[row] = part, said
            start += size
        facts[other.name] = {
            "records": len(other.texts),
            "found_here": len(seen),
            "share": round(len(seen) / max(len(other.texts), 1), 5),
        }
    return Found(score, score > 0, lambda row: why[row], lambda row: "drop", {"test_sets": facts})


def _shared(block: Block, *, runs: Runs) -> tuple[int, Array, Array, Array]:
    """How many texts the block has; which of them share RUNS_SHARED of the runs of which test text, and the share."""
    found = runs.find([[text] for text in block.texts])
    many = found.of_part >= RUNS_SHARED
    return len(block), found.text[many], found.part[many], found.of_part[many]
