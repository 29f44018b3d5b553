"""Distant supervision: pairs that a knowledge base relates, where a text names both (Mintz et al. 2009)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from burnish.construct.forms import Said, checks, votes_on
from burnish.construct.relations.bags import by_vectors, by_words, expressed
from burnish.construct.relations.mentions import find_names
from burnish.construct.relations.pairs import (
    Types,
    fits,
    masked,
    none_of,
    pairs_of,
    patterns_of,
    read_types,
    relations_of,
    surfaces,
)
from burnish.construct.relations.triples import UNKNOWN, Triples, name_keys
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, TaskSpec, nearest, stage
from burnish.nn.backbones import Backbone

Ratio = Annotated[float, Ge(0)]
MASKS = {"zh": ("某甲", "某乙"), "en": ("Alpha", "Beta")}  # names that stand for the two while a mention is read
ON_PAIRS = votes_on("relations")


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: relations that the settings name must be the task's."""
    named = {
        "mapping": list((settings["mapping"] or {}).values()),
        "symmetric": list(settings["symmetric"]),
        "types": list(settings["types"] or {}),
    }
    return [
        (key, f"{label!r} is not a relation of the task", nearest(label, task.labels, "it has"))
        for key, labels in named.items()
        for label in labels
        if label not in task.labels
    ]


@stage("construct.knowledge_base", check=checks(ON_PAIRS, _problems))
def knowledge_base(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    path: Path,
    aliases: Path | None = None,
    mapping: dict[str, str] | None = None,
    symmetric: list[str] = [],  # noqa: B006
    types: Types | None = None,
    at_least_one: Literal["off", "words", "vectors"] = "words",
    leak: Share = 0.1,
    min_expressed: Share = 0.5,
    deny: Share = 0.1,
    negatives: Literal["none", "local", "all"] = "local",
    negative_ratio: Ratio = 1.0,
    backbone: Backbone = Backbone("auto"),
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Vote for a relation where a text names two entities that a knowledge base relates by it.

    path: triples, head TAB relation TAB tail, one a line, without a header; also compressed.
    aliases: other names, entity TAB alias, one a line.
    mapping: relation in the file -> label of the task; relations it does not name only say that a pair is no negative.
        Without it relations that are labels count.
    symmetric: relations that hold both ways, though the file has them one way.
    types: relation -> [types of head, types of tail], a name or a list each: {born_in: [person, [city, country]]}. A pair
        of other types gets no vote; a span without a type fits all.
    at_least_one: off believes every sentence that names the pair; else the sentences about a pair share its relation, and
        expectation-maximisation says which tell of it, by the words around the two or by frozen vectors of the sentence.
    leak: the chance that no sentence about a related pair tells of the relation, 0..1; 0 believes one of each pair's.
    min_expressed: a sentence is not voted on when it tells of the relation with less than this chance, 0..1.
    deny: under this chance a sentence about a related pair is voted to have no relation; 0 never votes so.
    negatives: votes for no relation: local, for pairs of which the knowledge base relates the first to somebody else by a
        relation of the task (local closed world, Dong et al. 2014); all, for every pair it knows both of; none.
    negative_ratio: votes for no relation to one for a relation, at most; which ones, the seed draws.
    backbone: for at_least_one: vectors; "auto" goes by the task's languages.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; the file's name by default.

    Records without spans are searched for the knowledge base's names. Memory: 26 bytes a triple and its names, and the
    words around each pair that is voted on.
    """
    where = "construct.knowledge_base"
    called, none = name or f"knowledge_base:{path.stem}", none_of(context.task)
    if strange := [label for label in symmetric if label not in context.task.labels]:
        raise BurnishError(f"{strange[0]!r} is not a relation of the task", where=f"{where}: symmetric")
    allowed = read_types(types, context.task, f"{where}: types")
    known = Triples(
        path, relations=relations_of(context.task), mapping=mapping or {}, symmetric=symmetric, aliases=aliases
    )
    found = _Found()
    total = len(records) + (len(gold) if gold is not None else 0)
    with context.progress.bar(called, total) as bar:
        for rows, batch in walk(records, gold, ["text", "spans", "relations"]):
            for row, one, spans in _with_spans(rows, batch, known):
                _match(row, one, spans, known, allowed, found, context.task)
            bar.advance(len(batch))
    if not found.relation.count(0) < len(found.relation):
        raise BurnishError(
            f"no text names two entities that {path.name} relates ({known.count:,} triples, {found.met:,} names met)",
            where=where,
            hint="look at names and aliases, and at mapping: relations in the file that the task does not have are "
            + (", ".join(f"{one!r} ({n:,})" for one, n in known.ignored.most_common(5)) or "none"),
        )
    keep = _negatives(found, negatives, negative_ratio, context.seed)
    belief = _believed(found, keep, at_least_one, leak, len(known.relations), backbone, context)
    ballot, cast = Ballot(), Counter[str]()
    for at in np.flatnonzero(keep).tolist():
        label = known.relations[found.relation[at] - 1] if found.relation[at] else none
        sure = float(belief[at])
        if sure < deny:
            label, sure = none, 1 - sure
        if sure >= min_expressed:
            cast[label] += 1
            head, tail = found.ends[at]
            said = Said(label, sure, head["start"], head["end"], tail["start"], tail["end"])
            ballot.cast(found.row[at], called, [said])
    for line in _told(called, known, found, keep, belief, min_expressed, cast):
        context.progress.tell(f"  {line}")
    about = f"{known.count:,} triples of {path.name}"
    return ballot.votes([Labeller(called, "knowledge_base", tuple(sorted(cast)), about, trust)])


@dataclass
class _Found:
    """Mentions of pairs, a position each. relation: 0 for pairs without one, else 1 + its place in the knowledge base's."""

    row: list[int] = field(default_factory=list)
    ends: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)
    relation: list[int] = field(default_factory=list)
    bag: list[int] = field(default_factory=list)
    head_known: list[bool] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    bags: dict[tuple[int, int, int], int] = field(default_factory=dict)
    met: int = 0
    several: int = 0
    of_other_types: int = 0

    def add(self, row: int, text: str, ends: Any, relation: int, key: tuple[int, int], head_known: bool) -> None:
        self.row.append(row)
        self.texts.append(text)
        self.ends.append(ends)
        self.relation.append(relation)
        self.bag.append(self.bags.setdefault((*key, relation), len(self.bags)))
        self.head_known.append(head_known)


def _with_spans(
    rows: np.ndarray, batch: Any, known: Triples
) -> Iterator[tuple[int, dict[str, Any], list[dict[str, Any]]]]:
    """Rows with their spans: their own, or the names of the knowledge base that stand in them."""
    given = batch.to_pylist()
    bare = [at for at, one in enumerate(given) if not one["spans"]]
    for at, spans in zip(bare, find_names([given[at]["text"] or "" for at in bare], known), strict=True):
        given[at]["spans"] = spans
    for row, one in zip(rows.tolist(), given, strict=True):
        yield row, one, one["spans"] or []


def _match(
    row: int,
    one: Mapping[str, Any],
    spans: list[dict[str, Any]],
    known: Triples,
    allowed: Mapping[str, tuple[frozenset[str], frozenset[str]]],
    found: _Found,
    task: TaskSpec,
) -> None:
    """What the knowledge base says of the pairs of one text."""
    text = one["text"] or ""
    keys = name_keys([text[span["start"] : span["end"]] for span in spans])
    there = known.known(keys)
    found.met += int(there.sum())
    if there.sum() < 2:
        return
    entities = known.entities(keys)
    for head, tail in pairs_of(one, spans, task):
        if not (there[head] and there[tail]) or keys[head] == keys[tail]:
            continue
        kinds = known.between(entities[head], entities[tail])
        fit = {k for k in kinds - {UNKNOWN} if fits(known.relations[k], spans[head], spans[tail], allowed)}
        found.of_other_types += len(kinds - {UNKNOWN}) > len(fit)
        found.several += len(fit) > 1
        key, ends = (int(keys[head]), int(keys[tail])), (spans[head], spans[tail])
        for kind in sorted(fit):
            found.add(row, text, ends, kind + 1, key, True)
        if not kinds and not known.between(entities[tail], entities[head]):
            found.add(row, text, ends, 0, key, known.has_facts(entities[head]))


def _negatives(found: _Found, which: str, ratio: float, seed: int) -> np.ndarray:
    """(i,) bool: every mention of a related pair, and those of unrelated ones that are voted on."""
    relation, head_known = np.array(found.relation), np.array(found.head_known)
    keep: np.ndarray = relation > 0
    can = np.flatnonzero(~keep & (head_known | (which == "all"))) if which != "none" else np.empty(0, dtype=np.int64)
    most = int(ratio * keep.sum())
    keep[np.random.default_rng(seed).permutation(can)[:most]] = True
    return keep


def _believed(
    found: _Found, keep: np.ndarray, how: str, leak: float, num_relations: int, backbone: Backbone, context: Context
) -> np.ndarray:
    """(i,) how likely each mention tells of its pair's relation; 1 for mentions of unrelated pairs and where all are believed."""
    belief = np.ones(len(found.row))
    at = np.flatnonzero(keep)
    if how == "off" or len(at) < 10:
        return belief
    relation, bag = np.array(found.relation)[at], np.array(found.bag)[at]
    if how == "words":
        chances = by_words([patterns_of(found.texts[i], *found.ends[i]) for i in at], seed=context.seed)
    else:
        chances = by_vectors(
            _vectors([_read(found, i, context) for i in at.tolist()], backbone, context), seed=context.seed
        )
    said = expressed(relation, bag, chances, num_relations=num_relations, leak=leak)
    belief[at] = np.where(np.isnan(said), 1.0, said)
    return belief


def _read(found: _Found, at: int, context: Context) -> str:
    chinese = any("㐀" <= one <= "鿿" for one in found.texts[at])
    return masked(found.texts[at], *found.ends[at], MASKS["zh" if chinese else "en"])


def _vectors(texts: list[str], backbone: Backbone, context: Context) -> np.ndarray:
    from burnish.nn import backbones, embeddings

    folder = backbones.resolve(backbone, languages=context.task.languages, progress=context.progress)
    return embeddings.embed(texts, folder, cache=context.cache, progress=context.progress)


def _told(
    called: str,
    known: Triples,
    found: _Found,
    keep: np.ndarray,
    belief: np.ndarray,
    least: float,
    cast: Mapping[str, int],
) -> Iterator[str]:
    relation = np.array(found.relation)
    related = keep & (relation > 0)
    yield (
        f"{called}: {known.count:,} triples; {related.sum():,} mentions of {len({found.bag[i] for i in np.flatnonzero(related)}):,} "
        f"related pairs, {(keep & (relation == 0)).sum():,} of {(relation == 0).sum():,} unrelated ones"
    )
    if doubted := int((related & (belief < least)).sum()):
        at = int(np.flatnonzero(related & (belief < least))[0])
        head, tail = surfaces(found.texts[at], *found.ends[at])
        yield (
            f"{called}: {doubted:,} mentions do not seem to tell of the relation, so they are not voted to: "
            f"{head} … {tail} in {' '.join(found.texts[at].split())[:80]!r}"
        )
    if known.ignored:
        said = ", ".join(f"{one!r} ({count:,})" for one, count in known.ignored.most_common(5))
        yield f"{called}: relations that are no label: {said}"
    if known.broken:
        yield f"{called}: {known.broken:,} lines are no triple"
    if found.of_other_types:
        yield f"{called}: {found.of_other_types:,} pairs are of types that their relation does not take"
    if found.several:
        yield f"{called}: {found.several:,} mentions have several relations, each is voted on"
    yield f"{called}: " + ", ".join(f"{label} {count:,}" for label, count in sorted(cast.items()))
