"""Labellers that compare vectors: the nearest labelled examples, and descriptions of the labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from burnish.construct.forms import votes_on
from burnish.construct.voting import Ballot, all_texts, check_label, texts_of
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import DataError
from burnish.core.stage import Context, Count, Share, stage
from burnish.nn.backbones import Backbone, embedding_seconds

Part = Annotated[float, Ge(0), Lt(1)]

TEMPLATES = {
    "en": ("{}", "This text is about {}.", "A text that expresses {}.", "Topic: {}"),
    "zh": ("{}", "这段话是关于{}的。", "这段话表达的是{}。", "主题：{}"),
}
_NEIGHBOURS = 5
_COMMON_TEXTS = 50_000  # of the records: enough to know the mean vector and the spread of similarities


@stage("construct.examples", cost=embedding_seconds, check=votes_on("label"))
def examples(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    path: Path,
    min_confidence: Share = 0.6,
    backbone: Backbone = Backbone("auto"),
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for the label of the nearest labelled examples, where they are clear enough.

    path: a file of records with text and label, a few a label.
    min_confidence: it abstains below this probability of its best label, 0..1. Probabilities are calibrated on the
        examples themselves, each judged without itself.
    backbone: whose vectors are compared; "auto" goes by the task's languages.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the file's name by default.

    Similarity to a label: cosine to the mean of its examples and to its 5 nearest ones, half and half, centred. A text
    that is an example itself is judged without it. Memory: one vector a record.
    """
    from burnish.core.files import read_table

    seeds = read_table(path, base=context.base)
    called = name or f"examples:{path.stem}"
    targets = _seed_targets(seeds["label"].to_pylist(), context, path)
    seed_texts = texts_of(seeds)
    rows, texts = all_texts(records, gold)
    vectors = _centred([*texts, *seed_texts], backbone, context)
    found, seed_vectors = vectors[: len(texts)], vectors[len(texts) :]
    place = {text: i for i, text in enumerate(seed_texts)}
    itself = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
    k = len(context.task.labels)
    alone = similarity(seed_vectors, seed_vectors, targets, k, itself=np.arange(len(targets)))
    judged = (
        np.bincount(targets, minlength=k)[targets] > 1
    )  # the only example of a label cannot be judged without itself
    temperature = _temperature(alone[judged], targets[judged])
    chances = _softmax(similarity(found, seed_vectors, targets, k, itself=itself) / temperature)
    best, sure = chances.argmax(1), chances.max(1)
    votes = sure >= min_confidence
    ballot = Ballot()
    ballot.add(rows[votes], called, [context.task.labels[y] for y in best[votes]], sure[votes])
    right = float((alone.argmax(1) == targets)[judged].mean()) if judged.any() else float("nan")
    context.progress.tell(f"  {called}: {right:.0%} of {judged.sum()} examples get their label from the others")
    says = tuple(context.task.labels[y] for y in sorted(set(targets.tolist())))
    return ballot.votes([Labeller(called, "examples", says, f"{len(targets)} examples of {path.name}", trust)])


def _seed_targets(labels: Sequence[str | None], context: Context, path: Path) -> np.ndarray:
    missing = [i for i, label in enumerate(labels, start=1) if label is None]
    if missing or not labels:
        where = f"record {missing[0]} has no label" if missing else "holds no example"
        raise DataError(where, where=str(path), hint='a line each: {"text": ..., "label": ...}')
    return np.array([context.task.labels.index(check_label(str(label), context, str(path))) for label in labels])


def similarity(
    vectors: np.ndarray, seeds: np.ndarray, targets: np.ndarray, num_labels: int, *, itself: np.ndarray
) -> np.ndarray:
    """(n, k) similarity of vectors (n, d) to the labels that seeds (s, d) with targets (s,) have, -1..1.

    itself: (n,) which seed a row is, -1 when none: that seed does not count for the row. A label without a seed: -1.
    """
    near = vectors @ seeds.T  # (n, s)
    same = np.flatnonzero(itself >= 0)
    near[same, itself[same]] = np.nan
    out = np.full((len(vectors), num_labels), -1.0)
    for label in np.unique(targets):
        members = targets == label
        inside = near[:, members]
        mean = seeds[members].sum(0)[None] - np.where(
            (itself >= 0)[:, None] & members[np.maximum(itself, 0)][:, None], seeds[np.maximum(itself, 0)], 0.0
        )
        prototype = (vectors * mean).sum(1) / np.maximum(np.linalg.norm(mean, axis=1), 1e-9)
        closest = -np.sort(-np.nan_to_num(inside, nan=-1.0), axis=1)[:, :_NEIGHBOURS]
        out[:, label] = (prototype + closest[:, : max(1, min(_NEIGHBOURS, members.sum() - 1))].mean(1)) / 2
    return out


def _temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The temperature by which scores (s, k) of the seeds are best calibrated; drawn a little to 0.1.

    Examples that do not find each other make it large, and the labeller silent.
    """
    grid = np.geomspace(0.02, 5.0, 40)
    if not len(targets):
        return 0.1

    def loss(temperature: float) -> float:
        chance = _softmax(scores / temperature)[np.arange(len(targets)), targets]
        return float(-np.log(chance + 1e-9).sum() + 0.2 * np.log(temperature / 0.1) ** 2)

    return float(min(grid, key=loss))


@stage("construct.descriptions", cost=embedding_seconds, check=votes_on("label"))
def descriptions(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    abstain: Part = 0.3,
    rounds: Count = 5,
    templates: list[str] | None = None,
    backbone: Backbone = Backbone("auto"),
    trust: Share | None = None,
    name: str = "descriptions",
) -> Votes:
    """Vote for the label whose description is nearest in meaning: labels without a single example.

    abstain: share of records, the least clear, on which it does not vote, 0..1.
    rounds: of refinement: labels move to the mean of the texts nearest to them, half way, and are compared again.
    templates: sentences with {} for the description; by default several in each of the task's languages.
    backbone: whose vectors are compared; "auto" goes by the task's languages.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    Descriptions come from the task (labels: {name: description}), else label names stand in; several, separated by
    "; ", are averaged. Texts are centred on their mean, labels on theirs, and each label's similarities are brought to
    the same mean and spread over the records, so that no label wins by lying near the middle. Confidence is not
    calibrated: gold weighs it. Memory: one vector a record.
    """
    task = context.task
    said = [task.descriptions.get(label, label) for label in task.labels]
    patterns = templates or [one for language in task.languages for one in TEMPLATES.get(language, ("{}",))]
    sentences = [
        [
            pattern.replace("{}", part.strip())
            for part in text.replace("；", ";").split(";")
            if part.strip()
            for pattern in patterns
        ]
        for text in said
    ]
    rows, texts = all_texts(records, gold)
    flat = [one for group in sentences for one in group]
    vectors = _centred(texts, backbone, context)
    about = _embed(flat, backbone, context)
    edges = np.cumsum([0, *map(len, sentences)])
    anchors = _unit(np.stack([about[a:b].mean(0) for a, b in itertools.pairwise(edges)]))
    anchors = _unit(anchors - anchors.mean(0))
    scores = refine(vectors, anchors, rounds=rounds)
    chances = _softmax(2.0 * scores)
    ordered = np.sort(scores, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    votes = margin >= np.quantile(margin[rows >= 0], abstain) if abstain else np.ones(len(rows), dtype=bool)
    best, sure = chances.argmax(1), chances.max(1)
    ballot = Ballot()
    ballot.add(rows[votes], name, [task.labels[y] for y in best[votes]], sure[votes])
    return ballot.votes([Labeller(name, "descriptions", task.labels, "; ".join(said)[:300], trust)])


def refine(vectors: np.ndarray, anchors: np.ndarray, *, rounds: int) -> np.ndarray:
    """(n, k) standardised similarity of vectors (n, d) to anchors (k, d), after anchors moved towards their texts.

    Each round an anchor becomes the mean of where it was described and where the clearest third of its texts lies.
    """
    sample = vectors if len(vectors) <= _COMMON_TEXTS else vectors[:: len(vectors) // _COMMON_TEXTS + 1]
    moved = anchors
    for _ in range(rounds):
        scores = _standard(sample @ moved.T, sample @ moved.T)
        best = scores.argmax(1)
        ordered = np.sort(scores, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        towards = anchors.copy()
        for label in range(len(anchors)):
            mine = np.flatnonzero(best == label)
            if len(mine):
                clear = mine[np.argsort(-margin[mine], kind="stable")[: max(1, len(mine) // 3)]]
                towards[label] = _unit(sample[clear].mean(0))
        moved = _unit(anchors + towards)
    return _standard(vectors @ moved.T, sample @ moved.T)


def _standard(scores: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Each column to the mean 0 and spread 1 that `common` has."""
    spread: np.ndarray = (scores - common.mean(0)) / np.maximum(common.std(0), 1e-6)
    return spread


def _centred(texts: Sequence[str], backbone: Backbone, context: Context) -> np.ndarray:
    from burnish.nn.embeddings import centre

    return centre(_embed(texts, backbone, context))


def _embed(texts: Sequence[str], backbone: Backbone, context: Context) -> np.ndarray:
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    return embed(texts, folder, cache=context.cache, progress=context.progress)


def _unit(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return scaled


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    chances: np.ndarray = raised / raised.sum(1, keepdims=True)
    return chances
