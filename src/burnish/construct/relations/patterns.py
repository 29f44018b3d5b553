"""Labellers that read the words about a pair: patterns learnt from pairs others voted on, and patterns people write."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.construct.forms import Said, checks, votes_on
from burnish.construct.labellers.words import check_pattern
from burnish.construct.relations.pairs import Types, fits, none_of, pairs_of, patterns_of, read_types, surfaces
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Positive, Share, TaskSpec, nearest, stage

ON_PAIRS = votes_on("relations")
MOST_MENTIONS = 50_000  # that patterns are learnt from; of more the seed draws
SHOWN = 3  # patterns a relation
_HEAD, _TAIL = "\ue000", "\ue001"  # stand for the two names while an expression is matched
Bag = tuple[str, str]


def _type_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    try:
        read_types(settings["types"], task, "")
    except BurnishError as error:
        return [("types", error.message, error.hint)]
    return []


@stage("construct.relation_patterns", check=checks(ON_PAIRS, _type_problems))
def relation_patterns(
    records: Records,
    votes: list[Votes],
    gold: Gold | None,
    context: Context,
    *,
    min_precision: Share = 0.6,
    min_pairs: Positive = 2,
    smoothing: Positive = 2,
    unvoted: Share = 0.2,
    types: Types | None = None,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    """Learn which words express which relation from the votes before it, and vote on every pair that stands in them.

    min_precision: share of the pairs of a pattern that have its relation, smoothed, from which it votes, 0..1.
    min_pairs: different pairs of names that a pattern must be seen with in its relation.
    smoothing: pairs that the share of the relation over all counts for in a pattern's precision.
    unvoted: what a pair that nobody voted on counts for against a pattern that it stands in, 0..1: most pairs of a text have
        no relation, and those that have one are not all known.
    types: relation -> [types of head, types of tail] that may stand in it.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports.

    A pattern is what stands between two names, a run of up to four words of it, or the words next to them. It is scored
    as RlogF (Riloff 1996): precision times log2(1 + pairs), over different pairs of names, each judged without itself, so
    that no vote comes back as its own confirmation. The best pattern of a pair votes; none tells of no relation. Memory: the patterns of at most
    50,000 mentions.
    """
    called = name or "relation_patterns"
    allowed = read_types(types, context.task, "construct.relation_patterns: types")
    seen = _voted(votes)
    if not seen:
        context.progress.tell(
            f"  {called}: no relation was voted on before it, so it learns nothing; put it behind a labeller of relations: "
            "knowledge_base, pair_regex, functions, existing, model"
        )
        return Ballot().votes([Labeller(called, "relation_patterns", (), "no pattern", trust)])
    learnt = _learn(records, seen, context)
    score = _Scores(learnt, float(smoothing), min_precision, min_pairs, none_of(context.task))
    if unvoted:
        score.count_against(_elsewhere(records, seen, set(score.good), context), unvoted)
    ballot, cast = Ballot(), Counter[str]()
    with context.progress.bar(called, len(records)) as bar:
        for rows, batch in walk(records, gold, ["text", "spans", "relations"]):
            for row, one in zip(rows.tolist(), batch.to_pylist(), strict=True):
                text, spans = one["text"] or "", one["spans"] or []
                spans = spans or _voted_spans(seen.get(row, {}))
                for head, tail in pairs_of(one, spans, context.task):
                    ends = spans[head], spans[tail]
                    found = score.best(patterns_of(text, *ends), _bag(text, *ends))
                    if found and fits(found[0], *ends, allowed):
                        cast[found[0]] += 1
                        said = Said(*found, ends[0]["start"], ends[0]["end"], ends[1]["start"], ends[1]["end"])
                        ballot.cast(row, called, [said])
            bar.advance(len(batch))
    shown = list(score.shown())
    for line in (f"{called}: {len(score.good):,} patterns of {len(learnt.pairs):,}", *shown):
        context.progress.tell(f"  {line}")
    return ballot.votes([Labeller(called, "relation_patterns", tuple(sorted(cast)), "; ".join(shown)[:4000], trust)])


def _voted(votes: Sequence[Votes]) -> dict[int, dict[tuple[int, ...], Counter[str]]]:
    """Row -> place of a pair -> confidence of what was voted about it, on records alone."""
    seen: dict[int, dict[tuple[int, ...], Counter[str]]] = {}
    for one in votes:
        for vote in one.table.to_pylist():
            if vote["row"] >= 0 and vote["tail_start"] is not None:
                place = (vote["start"], vote["end"], vote["tail_start"], vote["tail_end"])
                said = seen.setdefault(vote["row"], {}).setdefault(place, Counter())
                said[vote["label"]] += vote["confidence"]
    return seen


def _voted_spans(seen: Mapping[tuple[int, ...], Any]) -> list[dict[str, Any]]:
    """Spans that votes are on, where the record has none of its own."""
    places = sorted({(start, end) for a, b, c, d in seen for start, end in ((a, b), (c, d))})
    return [{"start": start, "end": end, "label": None} for start, end in places]


def _bag(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> Bag:
    one, other = surfaces(text, head, tail)
    return one.lower(), other.lower()


@dataclass
class _Learnt:
    """pairs: pattern -> {names of a pair: what was voted about it}; examples: pattern -> a pair and its text."""

    pairs: dict[str, dict[Bag, str]]
    examples: dict[str, str]
    shares: Counter[str]


def _learn(records: Records, seen: Mapping[int, Mapping[tuple[int, ...], Counter[str]]], context: Context) -> _Learnt:
    rows = np.array(sorted(seen))
    if len(rows) > MOST_MENTIONS:
        rows = np.sort(np.random.default_rng(context.seed).permutation(rows)[:MOST_MENTIONS])
    wanted, at = set(rows.tolist()), 0
    pairs: dict[str, dict[Bag, str]] = defaultdict(dict)
    examples: dict[str, str] = {}
    by_bag: dict[Bag, str] = {}
    for batch in records.batches(["text"]):
        for text in batch["text"].to_pylist():
            for (a, b, c, d), said in seen[at].items() if at in wanted else ():
                head, tail = {"start": a, "end": b}, {"start": c, "end": d}
                bag, label = _bag(text, head, tail), said.most_common(1)[0][0]
                by_bag[bag] = label
                for pattern in patterns_of(text, head, tail):
                    pairs[pattern][bag] = label
                    examples.setdefault(pattern, f"{text[a:b]}, {text[c:d]}")
            at += 1
    return _Learnt(dict(pairs), examples, Counter(by_bag.values()))


def _elsewhere(
    records: Records, seen: Mapping[int, Mapping[tuple[int, ...], Any]], patterns: set[str], context: Context
) -> Counter[str]:
    """In how many pairs that nobody voted on each pattern stands; a pair that was voted on the other way round is none."""
    count: Counter[str] = Counter()
    at = 0
    for batch in records.batches(["text", "spans", "relations"]):
        for one in batch.to_pylist():
            voted = seen.get(at, {})
            either = {*voted, *((c, d, a, b) for a, b, c, d in voted)}
            text, spans = one["text"] or "", one["spans"] or []
            for head, tail in pairs_of(one, spans, context.task):
                a, b = spans[head], spans[tail]
                if (a["start"], a["end"], b["start"], b["end"]) not in either:
                    count.update(patterns.intersection(patterns_of(text, a, b)))
            at += 1
    return count


class _Scores:
    """What each pattern is worth. good: (pattern, relation) that may vote -> (pairs with it, pairs of the pattern)."""

    def __init__(self, learnt: _Learnt, smoothing: float, min_precision: float, min_pairs: int, none: str) -> None:
        self.learnt, self.smoothing, self.least, self.min_pairs = learnt, smoothing, min_precision, min_pairs
        total = sum(learnt.shares.values())
        self.share = {label: count / total for label, count in learnt.shares.items()}
        self.against: dict[str, float] = {}
        self.good: dict[str, tuple[str, int, int]] = {}
        for pattern, bags in learnt.pairs.items():
            label, count = Counter(bags.values()).most_common(1)[0]
            if (
                label != none
                and count >= min_pairs
                and self._precision(pattern, label, count, len(bags)) >= min_precision
            ):
                self.good[pattern] = label, count, len(bags)

    def _precision(self, pattern: str, label: str, count: int, of: int) -> float:
        other = self.against.get(pattern, 0.0)
        return (count + self.smoothing * self.share.get(label, 0.0)) / (of + other + self.smoothing)

    def count_against(self, elsewhere: Mapping[str, int], weight: float) -> None:
        """Take pairs that nobody voted on into account, each for `weight` of a pair."""
        self.against = {pattern: weight * count for pattern, count in elsewhere.items()}
        self.good = {
            pattern: found for pattern, found in self.good.items() if self._precision(pattern, *found) >= self.least
        }

    def best(self, patterns: Sequence[str], bag: Bag) -> tuple[str, float] | None:
        """The relation and precision of the best pattern of a pair, judged without the pair itself."""
        found: tuple[float, str, float] | None = None
        for pattern in patterns:
            if pattern not in self.good:
                continue
            label, count, of = self.good[pattern]
            own = self.learnt.pairs[pattern].get(bag)
            count, of = count - (own == label), of - (own is not None)
            precision = self._precision(pattern, label, count, of)
            score = precision * math.log2(1 + max(count, 0))
            if count >= self.min_pairs and precision >= self.least and (found is None or score > found[0]):
                found = score, label, precision
        return None if found is None else (found[1], found[2])

    def shown(self) -> Iterator[str]:
        """The best patterns of each relation, with how many pairs they were seen with and one of them."""
        by_label: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
        for pattern, (label, count, of) in self.good.items():
            score = self._precision(pattern, label, count, of) * math.log2(1 + count)
            by_label[label].append((-score, -len(pattern), pattern))  # of equal ones the longest says most
        for label in sorted(by_label):
            said = []
            for *_, pattern in sorted(by_label[label])[:SHOWN]:
                _, count, of = self.good[pattern]
                said.append(f"“{pattern}” {count} of {of} pairs ({self.learnt.examples[pattern]})")
            yield f"{label}: " + "; ".join(said)


def _regex_problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    found = _type_problems({"types": settings["types"]}, task)
    if settings["label"] not in {*task.labels, none_of(task)}:
        hint = nearest(settings["label"], task.labels, "its labels are")
        found.append(("label", f"the task has no relation {settings['label']!r}", hint))
    if not all(part in settings["pattern"] for part in ("{head}", "{tail}")):
        found.append(("pattern", "the pattern must name {head} and {tail}", 'pattern: "{head}.{0,9}妻子{tail}"'))
    try:
        check_pattern(_with_places(settings["pattern"]), settings["pattern"])
    except BurnishError as error:
        found.append(("pattern", error.message, error.hint))
    return found


def _with_places(pattern: str) -> str:
    return "(?i)" + pattern.replace("{head}", _HEAD).replace("{tail}", _TAIL)


@stage("construct.pair_regex", check=checks(ON_PAIRS, _regex_problems))
def pair_regex(
    records: Records,
    gold: Gold | None,
    context: Context,
    *,
    label: str,
    pattern: str,
    types: Types | None = None,
    trust: Share | None = None,
    name: str | None = None,
) -> Votes:
    r"""Vote for a relation of two spans where a regular expression matches the text about them.

    label: the relation it votes for, or the task's name of no relation.
    pattern: names {head} and {tail}, which stand for the two: "{head}'s (wife|husband),? {tail}". Both orders of every two
        spans are tried. Syntax of Rust's regex, capitals do not count; its time is linear in the text.
    types: relation -> [types of head, types of tail] that may stand in it.
    trust: how often it is right, 0..1, when you know; gold decides more as it grows.
    name: in votes and reports; label and pattern by default.
    """
    import polars as pl

    check_pattern(_with_places(pattern), pattern)
    called, compiled = name or f"pair_regex:{label}:{pattern[:40]}", _with_places(pattern)
    allowed = read_types(types, context.task, "construct.pair_regex: types")
    ballot = Ballot()
    for rows, batch in walk(records, gold, ["text", "spans", "relations"]):
        texts: list[str] = []
        said: list[tuple[int, Said]] = []
        for row, one in zip(rows.tolist(), batch.to_pylist(), strict=True):
            text, spans = one["text"] or "", one["spans"] or []
            for head, tail in pairs_of(one, spans, context.task):
                a, b = spans[head], spans[tail]
                if fits(label, a, b, allowed):
                    texts.append(_placed(text, a, b))
                    sure = 1.0 if trust is None else trust
                    said.append((row, Said(label, sure, a["start"], a["end"], b["start"], b["end"])))
        for at in np.flatnonzero(pl.Series(texts, dtype=pl.String).str.contains(compiled).to_numpy()):
            ballot.cast(said[at][0], called, [said[at][1]])
    return ballot.votes([Labeller(called, "pair_regex", (label,), pattern, trust)])


def _placed(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> str:
    ends = sorted(((head["start"], head["end"], _HEAD), (tail["start"], tail["end"], _TAIL)))
    (a, b, first), (c, d, second) = ends
    return f"{text[:a]}{first}{text[b:c]}{second}{text[d:]}"
