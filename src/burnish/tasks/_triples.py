"""Relations as triples (head, relation, tail): what counts as right, in which figure, and where it went wrong.

A span is its characters (start, end). A triple is right when both spans and the label are ("boundaries"), and right in the
strict sense when the types of both spans are too (Bekoulis et al. 2018; Taillé et al. 2020 say why to name which one).
With spans that were given the first is the micro F1 of relation classification without its no-relation class, as TACRED's
scorer has it; the mean over relations is SemEval-2010 task 8's official figure: "(9+1)-way with directionality".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from burnish.text.words import words

Span = tuple[int, int]
Key = tuple[Span, Span]
Spans = list[dict[str, Any]]  # {start, end, label} of one text
Pairs = list[tuple[int, int]]  # head and tail, positions in its spans
NEAR = 3  # words on each side that the baseline looks at
DISTANCES = ((0, "0-2 words between"), (3, "3-9"), (10, "10-19"), (20, "20 and more"))


def triples(
    spans: Sequence[Mapping[str, Any]] | None,
    relations: Sequence[Mapping[str, Any]] | None,
    *,
    directed: bool,
    none: str | None,
) -> dict[tuple[Key, str], tuple[Any, Any]]:
    """(head, tail), label -> the types of both; undirected pairs stand in the order of the text."""
    made = {}
    for one in relations or ():
        if one["label"] == none:
            continue
        head, tail = (spans or ())[one["head"]], (spans or ())[one["tail"]]
        if not directed and (head["start"], head["end"]) > (tail["start"], tail["end"]):
            head, tail = tail, head
        key = ((int(head["start"]), int(head["end"])), (int(tail["start"]), int(tail["end"])))
        made[key, one["label"]] = (head.get("label"), tail.get("label"))
    return made


def tally(gold: Mapping[Any, Any], said: Mapping[Any, Any], labels: Sequence[str]) -> np.ndarray:
    """(3k + 1): for each label how many triples were hit, said and true; and how many were hit strictly."""
    at = {label: i for i, label in enumerate(labels)}
    row = np.zeros(3 * len(labels) + 1)
    for triple, types in said.items():
        row[len(labels) + at[triple[1]]] += 1
        if triple in gold:
            row[at[triple[1]]] += 1
            row[-1] += gold[triple] == types
    for _, label in gold:
        row[2 * len(labels) + at[label]] += 1
    return row


def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Scores (...) of sums (..., 3k + 1): NaN where there is neither a true nor a said triple."""
    sums = np.asarray(sums, dtype=np.float64)
    hit, said, true = np.split(sums[..., :-1], 3, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(said + true > 0, 2 * hit / (said + true), np.nan)
        seen = ~np.isnan(f1)
        macro = np.where(seen, f1, 0).sum(-1) / seen.sum(-1)
        all_hit, all_said, all_true = hit.sum(-1), said.sum(-1), true.sum(-1)
        return {
            "micro_f1": 2 * all_hit / (all_said + all_true),
            "macro_f1": macro,
            "precision": np.where(all_said > 0, all_hit / all_said, 0.0 * all_true / all_true),
            "recall": all_hit / all_true,
            "triple_f1": 2 * sums[..., -1] / (all_said + all_true),
        }


def per_class(sums: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each relation, 0 where there is nothing to divide."""
    hit, said, true = np.split(np.asarray(sums, dtype=np.float64)[:-1], 3)
    return {
        label: {
            "precision": float(hit[i] / max(said[i], 1)),
            "recall": float(hit[i] / max(true[i], 1)),
            "f1": float(2 * hit[i] / max(said[i] + true[i], 1)),
            "support": int(true[i]),
        }
        for i, label in enumerate(labels)
    }


def confused(
    gold: Sequence[Mapping[Any, Any]], said: Sequence[Mapping[Any, Any]], none: str, most: int = 30
) -> list[dict[str, Any]]:
    """What was said of pairs instead of what is true, the most frequent first; `none` stands for no relation.

    A relation said the wrong way round is a relation too many one way and one missed the other way.
    """
    counts: Counter[tuple[str, str]] = Counter()
    support: Counter[str] = Counter()
    for true_of, said_of in zip(gold, said, strict=True):
        true, made = dict(true_of.keys()), dict(said_of.keys())
        support.update(true.values())
        for key in true.keys() | made.keys():
            if true.get(key) != made.get(key):
                counts[true.get(key, none), made.get(key, none)] += 1
    return [
        {"target": target, "prediction": prediction, "count": count, "share": count / max(support[target], 1)}
        for (target, prediction), count in counts.most_common(most)
        if target != none
    ] + [
        {"target": none, "prediction": prediction, "count": count, "share": None}
        for (target, prediction), count in counts.most_common(most)
        if target == none
    ]


def by_distance(
    texts: Sequence[str], gold: Sequence[Mapping[Any, Any]], said: Sequence[Mapping[Any, Any]]
) -> list[dict[str, Any]]:
    """Recall and precision of triples by the words (characters in Chinese) between the two spans."""
    counts: Counter[tuple[str, str]] = Counter()
    for text, true, made in zip(texts, gold, said, strict=True):
        for triple in {*true, *made}:
            bin_ = distance(text, *triple[0])
            counts[bin_, "true"] += triple in true
            counts[bin_, "said"] += triple in made
            counts[bin_, "hit"] += triple in true and triple in made
    rows = []
    for _, name in DISTANCES:
        hit, made_, true_ = (counts[name, what] for what in ("hit", "said", "true"))
        if made_ or true_:
            rows.append({"distance": name, "support": true_, "said": made_, "f1": 2 * hit / (made_ + true_)})
    return rows


def between(text: str, head: Span, tail: Span) -> str:
    """What stands between two spans; nothing where they touch or overlap."""
    first, second = sorted((head, tail))
    return text[first[1] : second[0]] if first[1] < second[0] else ""


def distance(text: str, head: Span, tail: Span) -> str:
    """The name of the bin of DISTANCES."""
    count = len(words(between(text, head, tail)))
    return next(name for least, name in reversed(DISTANCES) if count >= least)


def span_problem(spans: Sequence[Mapping[str, Any]], text: str) -> str | None:
    for at, one in enumerate(spans):
        start, end = one.get("start"), one.get("end")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            return f"span {at} goes from {start} to {end} in a text of {len(text)} characters"
        if one.get("label") is not None and not isinstance(one["label"], str):
            return f"the label of span {at} is not a string"
    return None


def characters(span: Mapping[str, Any]) -> tuple[int, int]:
    return int(span["start"]), int(span["end"])


def quoted(text: str, span: Mapping[str, Any]) -> str:
    return text[span["start"] : span["end"]]


def clues(inputs: Sequence[Mapping[str, Any]], spans: Sequence[Spans], pairs: Sequence[Pairs]) -> list[list[str]]:
    """What the baseline knows of each pair: words before, between and after, words and types of both, and their order."""
    made = []
    for one, own, asked in zip(inputs, spans, pairs, strict=True):
        text = one["text"].lower()
        for head, tail in asked:
            (a, b), (c, d) = sorted((characters(own[head]), characters(own[tail])))
            middle = words(text[b:c], han="both")
            kinds = f"{own[head].get('label')}>{own[tail].get('label')}"
            order = "forwards" if own[head]["start"] <= own[tail]["start"] else "backwards"
            found = [f"kinds={kinds}", f"order={order}", f"{kinds} {order}", f"gap={min(len(middle), 10)}"]
            found += [f"{order} {word}" for word in middle]
            found += [f"{order} {one} {two}" for one, two in pairwise(middle)]
            found += [f"before={word}" for word in words(text[max(0, a - 60) : a])[-NEAR:]]
            found += [f"after={word}" for word in words(text[d : d + 60])[:NEAR]]
            found += [f"head={word}" for word in words(quoted(text, own[head]))]
            found += [f"tail={word}" for word in words(quoted(text, own[tail]))]
            made.append(found)
    return made
