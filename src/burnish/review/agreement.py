"""How far reviewers agree, by the measure that fits what they decide: classes, numbers, sets, spans, texts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from burnish.measures.agreement import ABSTAIN, cohen_kappa, fleiss_kappa
from burnish.measures.reliability import (
    alpha,
    by_character,
    f1_apart,
    interval,
    masi,
    nominal,
    ordinal,
    overlap_apart,
    weighted_kappa,
)
from burnish.review.verdicts import OPINIONS, Verdict
from burnish.tasks.editors import Editor, reach

REJECTED = "\0rejected"  # stands for what a reviewer would not keep; as far from any value as two can be
Said = Mapping[str, Verdict]  # reviewer -> the verdict that counts


def agreement(said: Iterable[tuple[Said, int | None]], editors: Sequence[Editor]) -> dict[str, Any]:
    """Agreement on the records that two reviewers or more have an opinion on, for each editor of the task.

    said: a record's verdicts, and the length of its text where that is known (for spans by character). Verdicts that
    adjudicate do not count: who gives them has seen the others.
    """
    units = []
    for one, length in said:
        opinions = {name: v for name, v in one.items() if v.verdict in OPINIONS and not v.adjudicates}
        if len(opinions) > 1:
            units.append((opinions, length))
    reviewers = sorted({name for one, _ in units for name in one})
    if not units:
        return {"records": 0, "reviewers": [], "editors": []}
    return {
        "records": len(units),
        "reviewers": reviewers,
        "editors": [_of_editor(editor, units, reviewers) for editor in editors if _own(editor, editors)],
    }


def _own(editor: Editor, editors: Sequence[Editor]) -> bool:
    """Spans that only carry relations are judged with them."""
    return editor.kind != "spans" or not any(one.kind == "relations" and one.name == editor.name for one in editors)


def _of_editor(editor: Editor, units: Sequence[tuple[Said, int | None]], reviewers: Sequence[str]) -> dict[str, Any]:
    values = [{name: value_of(one, editor) for name, one in said.items()} for said, _ in units]
    pairable = [list(one.values()) for one in values]
    name, difference = _difference(editor, Counter(value for unit in pairable for value in unit))
    pairs = []
    for a, b in combinations(reviewers, 2):
        both = [(one[a], one[b]) for one in values if a in one and b in one]
        if both:
            pairs.append({"a": a, "b": b, "records": len(both), **_pair(both, editor)})
    made = {
        "name": editor.name,
        "kind": editor.kind,
        "difference": name,
        "pairs": pairs,
        "alpha": _number(alpha(pairable, difference)),
        "fleiss": _number(_fleiss(values, editor)),
    }
    if editor.kind == "spans":
        lengths = [
            (length, [one for one in unit if one != REJECTED])
            for unit, (_, length) in zip(pairable, units, strict=True)
            if length
        ]
        made["alpha_by_character"] = _number(by_character(lengths)) if lengths else None
    return made


def value_of(verdict: Verdict, editor: Editor) -> Any:
    """What a verdict says, as a hashable value that its kind is compared by."""
    if verdict.verdict == "reject":
        return REJECTED
    target = verdict.decided or {}
    value = reach(target, editor.path)
    match editor.kind:
        case "labels":
            return frozenset(value or ())
        case "spans":
            return frozenset((one["start"], one["end"], one["label"]) for one in value or ())
        case "relations":
            spans = [(one["start"], one["end"]) for one in target.get("spans") or ()]
            return frozenset(
                (spans[one["head"]], spans[one["tail"]], one["label"])
                for one in value or ()
                if max(one["head"], one["tail"]) < len(spans)
            )
        case "answer":
            text, start = (value or {}).get("text") or "", (value or {}).get("start")
            return (start, start + len(text)) if text and start is not None and start >= 0 else text or None
        case "messages":
            return "\n".join(one["content"] for one in value or () if one["role"] == "assistant")
        case "value":
            return REJECTED if value is None else float(value)
    return "" if value is None else value


def _difference(editor: Editor, counts: Mapping[Any, int]) -> tuple[str, Callable[[Any, Any], float]]:
    """The difference that alpha counts with, and its name."""
    match editor.kind:
        case "label" if editor.ordered:
            return "ordinal", _or_apart(ordinal([*editor.labels], counts), 1.0 * sum(counts.values()) ** 2)
        case "label" if editor.separator:
            return "path", lambda a, b: f1_apart(_above(a, editor.separator), _above(b, editor.separator))
        case "labels":
            return "MASI", _or_apart(masi, 1.0)
        case "spans" | "relations":
            return "1 - F1", _or_apart(f1_apart, 1.0)
        case "answer":
            return "1 - F1 of characters", lambda a, b: _answers_apart(a, b)
        case "value":
            numbers = [one for one in counts if one != REJECTED]
            widest = (max(numbers) - min(numbers)) ** 2 if numbers else 1.0
            return "interval", _or_apart(interval, widest or 1.0)
        case "output" | "messages":
            return "1 - likeness of texts", texts_apart
    return "nominal", nominal


def _or_apart(difference: Callable[[Any, Any], float], most: float) -> Callable[[Any, Any], float]:
    """A difference that knows rejected records: as far as can be from what is not rejected."""

    def of(a: Any, b: Any) -> float:
        if a == REJECTED or b == REJECTED:
            return 0.0 if a == b else most
        return difference(a, b)

    return of


def _above(label: Any, separator: str) -> set[str]:
    parts = str(label).split(separator)
    return {separator.join(parts[: at + 1]) for at in range(len(parts))}


def _answers_apart(a: Any, b: Any) -> float:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return overlap_apart(a, b)
    return float(a != b)


def texts_apart(a: str, b: str) -> float:
    """1 - Jaccard of the character sequences of two texts (5 characters, Chinese 3)."""
    from burnish.text.shingles import shingles

    if a == b:
        return 0.0
    hashes, starts = shingles([a, b])
    first, second = set(hashes[: starts[1]].tolist()), set(hashes[starts[1] :].tolist())
    return 1 - len(first & second) / max(len(first | second), 1)


def _pair(both: Sequence[tuple[Any, Any]], editor: Editor) -> dict[str, Any]:
    """Two reviewers: the share of records on which they say the same, mean likeness, and kappa where there are classes."""
    same = float(np.mean([a == b for a, b in both]))
    found: dict[str, Any] = {"same": same}
    if editor.kind == "label":
        classes = {one: at for at, one in enumerate(dict.fromkeys(value for pair in both for value in pair))}
        coded = np.array([[classes[a], classes[b]] for a, b in both])
        found["kappa"] = _number(cohen_kappa(coded[:, 0], coded[:, 1]))
        if editor.ordered:
            at = {one: place for place, one in enumerate(editor.labels)}
            ranked = [(at[a], at[b]) for a, b in both if a in at and b in at]
            first, second = zip(*ranked, strict=True) if ranked else ((), ())
            found["weighted_kappa"] = _number(weighted_kappa(first, second, len(at)))
    elif editor.kind in ("spans", "relations"):
        kept = [(a, b) for a, b in both if REJECTED not in (a, b)]
        shared, all_ = sum(len(a & b) for a, b in kept), sum(len(a) + len(b) for a, b in kept)
        found["f1"] = 2 * shared / all_ if all_ else None
    return found


def _fleiss(values: Sequence[Mapping[str, Any]], editor: Editor) -> float:
    """Fleiss' kappa of the records that the most reviewers looked at, where two or more always did."""
    if editor.kind != "label":
        return float("nan")
    sizes: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for one in values:
        sizes[len(one)].append(one)
    largest = max(sizes.values(), key=len)
    classes = {one: at for at, one in enumerate(dict.fromkeys(value for row in largest for value in row.values()))}
    names = sorted({name for one in largest for name in one})
    return fleiss_kappa([[classes[one[name]] if name in one else ABSTAIN for name in names] for one in largest])


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else round(float(value), 4)
