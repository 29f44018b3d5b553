"""Pairs of texts: pairs made of single texts, and a labeller that asks how like the two texts of a pair are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Le

from burnish.construct.forms import checks, votes_on
from burnish.construct.making import made, mark_material, story
from burnish.construct.voting import Ballot, label_problems, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import Record, SeenCounts, assign_ids, iterate, to_table
from burnish.core.stage import Context, Count, Share, TaskSpec, stage
from burnish.nn.backbones import Backbone, embedding_seconds

Cosine = Annotated[float, Ge(-1), Le(1)]
_BLOCK = 2048  # texts compared with all others at a time


def _one_side(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: a labeller votes on one side of one border."""
    if (settings["above"] is None) == (settings["below"] is None):
        return [("above", "give one of above and below", "{use: similarity, label: same, above: 0.9}")]
    return []


@stage("construct.similarity", cost=embedding_seconds, check=checks(votes_on("label"), label_problems, _one_side))
def similarity(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    above: Share | None = None,
    below: Share | None = None,
    by: Literal["meaning", "characters"] = "meaning",
    backbone: Backbone = Backbone("auto"),
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for a label where the two texts of a pair are this like or this unlike.

    label: the label it votes for.
    above: it votes where this share of all pairs is less alike than the pair, 0..1: 0.9 is the tenth most alike.
    below: it votes where the pair is among this share of the least alike, 0..1.
    by: meaning compares vectors by cosine; characters compares sequences of characters (three of Han, five of others) by
        Jaccard similarity.
    backbone: whose vectors are compared; "auto" goes by the task's languages.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; label and measure by default.

    Borders are shares of the pairs and no similarities, which no two backbones measure alike. Confidence is how far
    beyond the border a pair lies. Records without a second text abstain. Memory: two vectors a record.
    """
    rows, first, second = _pairs(records, gold)
    if not len(rows):
        raise BurnishError(
            "no record has two texts",
            where="construct.similarity",
            hint="map text_b in sources, or make pairs: {use: pairs}",
        )
    like = _meaning(first, second, backbone, context) if by == "meaning" else _characters(first, second)
    own = np.sort(like[rows >= 0]) if (rows >= 0).any() else np.sort(like)
    rank = np.searchsorted(own, like, side="left") / max(len(own) - 1, 1)  # share of the pairs that are less alike
    border = above if above is not None else below
    assert border is not None
    beyond = (rank - border) / max(1 - border, 1e-9) if above is not None else (border - rank) / max(border, 1e-9)
    votes = beyond >= 0
    called = name or f"similarity:{label}:{by}"
    ballot = Ballot()
    ballot.add(rows[votes], called, label, 0.5 + 0.5 * np.clip(beyond[votes], 0, 1))
    at = own[min(int(border * len(own)), len(own) - 1)]
    about = f"{by} {'from' if above is not None else 'up to'} {at:.2f}"
    return ballot.votes([Labeller(called, "similarity", (label,), about, trust)])


def _pairs(records: Records, gold: Gold | None) -> tuple[np.ndarray, list[str], list[str]]:
    rows: list[int] = []
    first: list[str] = []
    second: list[str] = []
    for numbers, batch in walk(records, gold, ["text", "text_b"]):
        for row, one, two in zip(numbers.tolist(), batch["text"].to_pylist(), batch["text_b"].to_pylist(), strict=True):
            if one and two:
                rows.append(row)
                first.append(one)
                second.append(two)
    return np.array(rows, dtype=np.int64), first, second


def _vectors(texts: list[str], backbone: Backbone, context: Context) -> np.ndarray:
    """Centred on the mean of the texts: some backbones hold all texts close to one another."""
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import centre, embed

    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    return centre(embed(texts, folder, cache=context.cache, progress=context.progress))


def _meaning(first: list[str], second: list[str], backbone: Backbone, context: Context) -> np.ndarray:
    vectors = _vectors([*first, *second], backbone, context)
    cosines: np.ndarray = (vectors[: len(first)] * vectors[len(first) :]).sum(axis=1)
    return cosines


def _characters(first: list[str], second: list[str]) -> np.ndarray:
    from burnish.measures.duplicates import jaccard

    places = np.arange(len(first), dtype=np.int64)
    found: np.ndarray = jaccard(first, second, np.stack([places, places], axis=1))
    return found


def _no_pairs_yet(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    if settings["near"] + settings["random"] == 0:
        return [("near", "near and random are both 0: no pair would be made", "near: 1")]
    return []


@stage("construct.pairs", cost=embedding_seconds, check=_no_pairs_yet)
def pairs(
    records: Records,
    context: Context,
    *,
    near: Count = 2,
    random: Count = 1,
    most_alike: Cosine = 0.98,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Make pairs of single texts: each text with those nearest in meaning, and with others by chance.

    near: nearest other texts that each text is paired with.
    random: other texts drawn by chance that each text is paired with: pairs that are surely unlike belong to the data too.
    most_alike: texts with a cosine above this are copies of each other and make no pair, -1..1.
    backbone: whose vectors are compared; "auto" goes by the task's languages.

    Pairs have no label: labellers vote on them (`similarity`, `functions`, `teacher`, people). A pair is made once,
    whichever of its texts asked for it; it belongs to the group of both. Records that have a second text, or a target,
    pass as they are. Memory: one vector a text; each text is compared with all.
    """
    singles = [
        one for one in records if one.keep and one.text and one.text_b is None and not one.label and one.value is None
    ]
    if len(singles) < 2:
        raise BurnishError(
            "there are not two single texts to pair", where="construct.pairs", hint="see what came before it"
        )
    vectors = _vectors([one.text or "" for one in singles], backbone, context)
    chosen, refused = _chosen(vectors, near, random, most_alike, context.seed)
    children = Counter(singles[at].id for pair in chosen for at in pair[:2])
    facts = dict(records.facts)

    def walk_all() -> Iterator[pa.Table]:
        seen = SeenCounts()
        for batch in records.batches():
            many = np.array([children.get(one.id, 0) for one in iterate([batch])], dtype=np.int64)
            yield assign_ids(mark_material(batch, many, "construct.pairs"), seen)
        for start in range(0, len(chosen), _BLOCK):
            born = [_pair(singles[a], singles[b], cosine, how) for a, b, cosine, how in chosen[start : start + _BLOCK]]
            yield assign_ids(to_table(born), seen)
        counts = Counter(seen=len(singles), material=len(children), made=len(chosen))
        story(facts, counts, refused, by="construct.pairs", what="pairs", context=context)

    grown = Records.stream(walk_all())
    grown.facts = facts
    return grown


def _pair(one: Record, other: Record, cosine: float, how: str) -> Record:
    return made(
        [one, other], by="construct.pairs", why=f"{how}, cosine {cosine:.2f}", text=one.text, text_b=other.text,
        meta={"cosine": round(cosine, 4)},
    )  # fmt: skip


def _chosen(
    vectors: np.ndarray, near: int, random: int, most_alike: float, seed: int
) -> tuple[list[tuple[int, int, float, str]], Counter[str]]:
    """(a, b, cosine, why) of each pair, a < b, by a; and what was not made."""
    draw = np.random.default_rng(seed)
    n = len(vectors)
    found: dict[tuple[int, int], tuple[float, str]] = {}
    refused: Counter[str] = Counter()
    for start in range(0, n, _BLOCK):
        like = vectors[start : start + _BLOCK] @ vectors.T
        for at, row in enumerate(like, start=start):
            row[at] = -np.inf
            refused["copies of each other"] += int((row[:at] > most_alike).sum())
            row[row > most_alike] = -np.inf
            best: list[int] = np.argpartition(-row, min(near, n - 1) - 1)[:near].tolist() if near else []
            for other in sorted(best, key=lambda one: -float(row[one])):
                if np.isfinite(row[other]):
                    found.setdefault((min(at, int(other)), max(at, int(other))), (float(row[other]), "near in meaning"))
            for other in draw.choice(n, size=min(random, n), replace=False) if random else []:
                if other != at and np.isfinite(row[other]):
                    found.setdefault((min(at, int(other)), max(at, int(other))), (float(row[other]), "drawn by chance"))
    return [(a, b, cosine, how) for (a, b), (cosine, how) in sorted(found.items())], +refused
