"""Checks of diversity: copies in meaning, the map of what is covered, how varied it is, and what of a target population is missing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from burnish.measures.association import group_counts, naming
from burnish.measures.diversity import distinct, entropy, plane, vendi
from burnish.measures.neighbours import nearest
from burnish.quality.bag import count_words
from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.material import NO_VECTORS
from burnish.text.words import words as cut

SAME_MEANING = 0.93  # cosine of centred vectors
ISOLATED = 3.5  # modified z-score of the distance to the neighbours
MOST_DRAWN = 1500  # points of the map
MOST_EIGEN = 2000  # records whose matrix of cosines is taken apart
LEAST = 30
FEW_IN_CLUSTER = 5
WITHIN = 0.95  # quantile of the data's own distances to the nearest neighbour: the radius in which something is covered


@check("semantic_duplicates", dimension="diversity", auto="report")
def meaning(material: Material) -> Found:
    """Texts that say the same as another in other words.

    Cosine of centred embeddings 0.93 or more with one of its ten nearest neighbours, which are no near-duplicates of it (SemDeDup, Abbas et
    al. 2023). Groups are connected components; of each the record of the largest worth is kept (labelled, checked, sure, first). Score: the cosine
    with its nearest relative. Another label: for a person. Opposites lie near each other too (“works”, “does not work”), so nothing is dropped
    by itself.
    """
    if not len(material.seen):
        return material.nothing(NO_VECTORS)
    rows = material.seen
    places, cosines = material.neighbours
    near = (cosines >= SAME_MEANING) & (places >= 0)
    one, which = np.nonzero(near)
    pairs = np.stack([one, places[one, which]], axis=1)
    label = _components(pairs, len(rows))
    best = np.full(len(rows), len(material))
    np.minimum.at(best, label, material.worth[rows])
    kept = np.argsort(material.worth)[best[label]]
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    alone = kept == rows
    score[rows] = np.where(near.any(1) & ~alone, np.minimum(cosines[:, 0], 1), 0)
    flagged[rows] = near.any(1) & ~alone
    position = {int(row): number for number, row in enumerate(rows)}

    def reason(row: int) -> str:
        number = position[row]
        return f"says nearly the same (cosine {cosines[number, 0]:.2f}) as {material.ids[rows[places[number, 0]]]}"

    def action(row: int) -> str:
        both = [other for other in (row, int(kept[position[row]])) if material.taught[other]]
        return "review" if len({material.meant[other][0] for other in both}) > 1 else "drop"

    groups = Counter(label.tolist())
    shown = [
        {"size": size, "records": [material.ids[rows[member]] for member in np.flatnonzero(label == group)[:5]]}
        for group, size in groups.most_common(20)
        if size > 1
    ]
    facts = {
        "judged": len(rows),
        "threshold": SAME_MEANING,
        "groups": sum(size > 1 for size in groups.values()),
        "largest": shown,
    }
    return Found(score, flagged, reason, action, facts)


@check("coverage", dimension="diversity", auto="report")
def coverage(material: Material) -> Found:
    """The map of what the data are about: topics named in words, how even they are, labels that they lack, records that stand alone.

    Embeddings, centred: two principal components for the map, k-means for topics, sqrt(n / 2) of 2 to 24, named by the words most typical of
    them (log-odds with informative prior, Monroe et al. 2008). Gaps: topics without a label that the data have elsewhere (where 5 or more would be
    usual), topics of less than a fifth of the mean size. Score: z / (z + 3.5) of the mean cosine distance to ten neighbours, modified z-score
    (Iglewicz and Hoaglin 1993); flagged from 3.5: isolated records are rare cases or do not belong.
    """
    rows = material.seen
    if len(rows) < LEAST:
        return material.nothing(
            NO_VECTORS if not len(rows) else f"needs {LEAST} records with vectors, there are {len(rows)}"
        )
    number, centres, names = material.topics
    places, cosines = material.neighbours
    known = np.maximum((places >= 0).sum(1), 1)
    distance = 1 - np.where(places >= 0, cosines, 0).sum(1) / known
    middle = np.median(distance)
    z = 0.6745 * (distance - middle) / max(float(np.median(np.abs(distance - middle))), 0.02)
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = np.maximum(z, 0) / (np.maximum(z, 0) + ISOLATED), z > ISOLATED
    drawn = np.sort(np.random.default_rng(material.context.seed).permutation(len(rows))[:MOST_DRAWN])
    spots, _ = plane(material.points)
    sizes = np.bincount(number, minlength=len(centres))
    topics = []
    for one in range(len(centres)):
        inside = np.flatnonzero(number == one)
        typical = rows[inside[int(np.argmax(material.points[inside] @ centres[one]))]]
        topics.append(
            {
                "words": names[one],
                "size": int(sizes[one]),
                "share": round(sizes[one] / len(rows), 4),
                "typical": material.ids[typical],
            }
        )
    gaps = _gaps(material, rows, number, names, sizes)
    facts = {
        "judged": len(rows), "topics": topics, "effective_topics": round(float(2 ** entropy(sizes)), 2), "gaps": gaps,
        "map": [
            {"x": round(float(spots[at, 0]), 3), "y": round(float(spots[at, 1]), 3), "topic": int(number[at]), "label": int(material.labels[rows[at]]),
             "id": material.ids[rows[at]]}
            for at in drawn
        ],
    }  # fmt: skip
    at = {int(row): place for place, row in enumerate(rows)}
    return Found(
        score,
        flagged,
        lambda row: f"nothing near it: its nearest record has a cosine of {cosines[at[row], 0]:.2f}",
        lambda row: "review",
        facts,
    )


def _gaps(material: Material, rows: Array, number: Array, names: list[list[str]], sizes: Array) -> list[str]:
    """What the data lack, in words."""
    found = []
    labels = material.labels[rows]
    given = labels >= 0
    share = np.bincount(labels[given], minlength=max(len(material.names), 1)) / max(int(given.sum()), 1)
    for one, size in enumerate(sizes):
        said = ", ".join(names[one]) or "no word of its own"
        if size < 0.2 * sizes.mean():
            found.append(f"few records about {said}: {size}")
        inside = given & (number == one)
        for label, name in enumerate(material.names):
            usual = share[label] * inside.sum()
            if usual >= FEW_IN_CLUSTER and not (labels[inside] == label).any():
                found.append(f"no {name} about {said}, where {usual:.0f} would be usual")
    return found[:30]


@check("variety", dimension="diversity", auto="report")
def variety(material: Material) -> Found:
    """How many different things there are: words, runs of words, and meanings, in all and for each label.

    Entropy of words in bits; distinct-1 and distinct-2 on 10,000 words (Li et al. 2016: shares fall with length, so the length is fixed); Vendi
    score of centred embeddings, exp of the entropy of the eigenvalues of their cosines / n (Friedman and Dieng 2023), over at most 2,000 records, 1 to n.
    Score of a record, flags none: how usual its words are, 1 - its mean surprise over the largest.
    """
    if not len(material):
        return material.nothing("there are no records")
    total = np.asarray(material.bag.counts.sum(axis=0)).reshape(-1)
    tokens: list[list[str]] = []
    size = 0
    for row in np.random.default_rng(material.context.seed).permutation(len(material)):
        own = cut(material.texts[row])[: 10_000 - size]
        tokens.append(own)
        size += len(own)
        if size >= 10_000:
            break
    facts: dict[str, Any] = {
        "word_entropy": round(entropy(total), 4), "words_looked_at": size,
        "distinct_1": round(distinct(tokens, 1), 4), "distinct_2": round(distinct(tokens, 2), 4),
    }  # fmt: skip
    if len(material.seen) >= 2:
        drawn = np.sort(np.random.default_rng(material.context.seed).permutation(len(material.seen))[:MOST_EIGEN])
        facts["vendi"] = round(vendi(material.points[drawn]), 2)
        facts["vendi_of"] = len(drawn)
        given = material.labels[material.seen[drawn]]
        facts["vendi_by_label"] = {
            name: [round(vendi(material.points[drawn[given == at]]), 2), int((given == at).sum())]
            for at, name in enumerate(material.names)
            if (given == at).sum() >= 2
        }
    surprise = _surprise(material, total)
    score = 1 - surprise / max(float(surprise.max(initial=0)), 1e-9)
    return Found(np.where(surprise > 0, score, 0), np.zeros(len(material), dtype=bool), facts=facts)


def _surprise(material: Material, total: Array) -> Array:
    """(n,) mean bits a word under the data's own word counts; 0 for a text of unknown words."""
    bits = -np.log2(np.maximum(total, 1) / max(float(total.sum()), 1))
    counts = material.bag.counts
    size = np.asarray(counts.sum(axis=1)).reshape(-1)
    mean: Array = np.asarray(counts @ bits).reshape(-1) / np.maximum(size, 1)
    return mean


@check("target_population", dimension="diversity", auto="report")
def population(material: Material) -> Found:
    """How much of the texts that the model is for (`reference`) has something like it here; what is missing, in words.

    A reference record is covered where a record lies within the radius: the distance that 95% of the data have to their own nearest neighbour
    (recall of Kynkäänniemi et al. 2019, with one radius). By centred embeddings, else by cosine of TF-IDF. Gaps: reference records not covered, by topic,
    named by the words they have more of. Score of a record: distance to the nearest reference record; flagged where it lies beyond the same radius of the
    reference: it may teach what nobody will ask.
    """
    other = material.population
    if other is None:
        return material.nothing("no target population is named: `reference` names a file")
    if min(len(other.texts), len(material)) < LEAST:
        return material.nothing(f"needs {LEAST} records on both sides")
    rows = material.seen if len(material.seen) >= LEAST else np.arange(len(material))
    own, theirs = _both(material, rows, other.texts)
    own_near, their_near = nearest(own, 1)[1][:, 0], nearest(theirs, 1)[1][:, 0]
    radius, their_radius = float(np.quantile(own_near, 1 - WITHIN)), float(np.quantile(their_near, 1 - WITHIN))
    to_data = nearest(own, 1, of=theirs)[1][:, 0]
    to_reference = nearest(theirs, 1, of=own)[1][:, 0]
    covered = to_data >= radius
    score, flagged = np.zeros(len(material)), np.zeros(len(material), dtype=bool)
    score[rows], flagged[rows] = np.clip(1 - to_reference, 0, 1), to_reference < their_radius
    # what the missing ones are about: their words against the words of the data
    bag = count_words(other.texts, material.bag.words)
    missing = group_counts(bag.counts, np.where(covered, 0, 1), 2)
    held = np.asarray(material.bag.counts.sum(axis=0)).reshape(1, -1)
    spoken = (
        [word for word in naming(np.concatenate([missing[1:], held]), material.bag.words, most=12)[0]]
        if (~covered).any()
        else []
    )
    fresh = Counter(
        token for at in np.flatnonzero(~covered) for token in set(cut(other.texts[at].lower())) if len(token) > 1
    )
    known = set(material.bag.words)
    unknown = [word for word, count in fresh.most_common(200) if count > 1 and word not in known][:10]
    facts = {
        "reference": len(other.texts), "covered": round(float(covered.mean()), 4), "radius": round(1 - radius, 4),
        "by": "vectors" if len(material.seen) >= LEAST else "words",
        "on_target": round(float((to_reference >= their_radius).mean()), 4), "missing_words": spoken, "unknown_words": unknown,
        "missing": [other.texts[at][:200] for at in np.argsort(to_data, kind="stable")[:10].tolist() if not covered[at]],
    }  # fmt: skip
    at = {int(row): place for place, row in enumerate(rows)}
    return Found(
        score, flagged, lambda row: f"nothing like it in the target population: the nearest has a cosine of {to_reference[at[row]]:.2f}",
        lambda row: "review", facts,
    )  # fmt: skip


def _both(material: Material, rows: Array, texts: list[str]) -> tuple[Array, Array]:
    """The data's rows and the texts in one space (m, d), (k, d), rows of length 1."""
    if rows is material.seen:
        from burnish.nn.embeddings import centre

        together = centre(np.concatenate([material.raw_points, material.embedded(texts)]))
        return together[: len(rows)], together[len(rows) :]
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    # counted together: what only the others say is a direction of its own, not nothing
    counts = count_words([*(material.texts[row] for row in rows), *texts]).counts
    weighed = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    width = int(min(128, weighed.shape[1] - 1, weighed.shape[0] - 1))
    few = TruncatedSVD(n_components=width, random_state=material.context.seed).fit_transform(weighed)
    both = normalize(few).astype(np.float32)
    return both[: len(rows)], both[len(rows) :]


def _components(pairs: Array, count: int) -> Array:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found: Array = connected_components(links, directed=False)[1]
    return found
