"""What a teacher's answer looks like for each kind of target, and how it becomes an answer of the task.

One `Kind` a record column that votes fill (`construct.forms`): the JSON Schema that the server is held to, and what reads
the text: as much as can be understood is taken, offsets are searched for and never counted by the teacher.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.construct.teachers.questions import Question
from burnish.construct.teachers.reading import (
    UNDECIDED,
    Partly,
    as_json,
    as_label,
    as_labels,
    as_number,
    find_quote,
    find_quotes,
    fold,
)
from burnish.core.stage import TaskSpec

Answer = dict[str, Any]
Read = Callable[[str, Question], Any]


@dataclass(frozen=True)
class Kind:
    """schema: of the answer. read: from its text and the question (whose `about` is the record's row) to an answer, None
    where the teacher cannot tell. tokens: an answer has about, and for each token of the text."""

    schema: Mapping[str, Any] | None
    read: Callable[[str, Mapping[str, Any]], Answer | None]
    tokens: float
    tokens_each: float = 0.0


def kind_of(column: str, task: Any, spec: TaskSpec) -> Kind:
    """The kind of a target. task: opened."""
    made: Kind = _KINDS[column](task, spec)
    return made


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _label(task: Any, spec: TaskSpec) -> Kind:
    names, synonyms = list(spec.labels), _synonyms(spec)
    extra = [] if "unknown" in names else ["unknown"]

    def read(text: str, row: Mapping[str, Any]) -> Answer | None:
        label = as_label(text, names, synonyms=synonyms, undecided=True)
        return None if label is None else {"label": label}

    return Kind(_object(label={"type": "string", "enum": names + extra}), read, 12)


def _labels(task: Any, spec: TaskSpec) -> Kind:
    names, synonyms = list(spec.labels), _synonyms(spec)

    def read(text: str, row: Mapping[str, Any]) -> Answer:
        return {"labels": as_labels(text, names, synonyms=synonyms)}

    return Kind(_object(labels={"type": "array", "items": {"type": "string", "enum": names}}), read, 20)


def _spans(task: Any, spec: TaskSpec) -> Kind:
    names = list(spec.labels)
    item = _object(text={"type": "string"}, label={"type": "string", "enum": names})

    def read(text: str, row: Mapping[str, Any]) -> Answer:
        return {"spans": spans_of(_listed(text), row.get("text") or "", names)}

    return Kind(_object(spans={"type": "array", "items": item}), read, 20, 0.6)


def spans_of(found: Sequence[Any], text: str, labels: Sequence[str]) -> list[Answer]:
    """Spans {start, end, label, text} of quotes {text, label} in their order; the second quote of the same words is their
    second place. Raises Partly for those that are not there or have no label of the task."""
    spans: list[Answer] = []
    wrong: list[str] = []
    taken: set[tuple[int, int, str]] = set()
    at = 0
    for one in found:
        try:
            quote, label = (
                _first(one, "text", "span", "entity", "word", "name"),
                _first(one, "label", "type", "category", "class"),
            )
            named = as_label(label, labels)
            assert named is not None
            places = [place for place in find_quotes(text, str(quote)) if (*place, named) not in taken]
        except ValueError as error:
            wrong.append(str(error))
            continue
        if not places:  # said more often than it stands there
            continue
        near = one.get("start") if isinstance(one.get("start"), int) else None
        ahead = [place for place in places if place[0] >= at]
        place = min(places, key=lambda where: abs(where[0] - near)) if near is not None else (ahead or places)[0]
        taken.add((*place, named))
        at = max(at, place[0])
        spans.append({"start": place[0], "end": place[1], "label": named, "text": text[slice(*place)]})
    spans.sort(key=lambda one: (one["start"], one["end"], one["label"]))
    if wrong:
        raise Partly({"spans": spans}, "; ".join(dict.fromkeys(wrong)))
    return spans


def _relations(task: Any, spec: TaskSpec) -> Kind:
    names = list(getattr(task, "relations", spec.labels))
    item = _object(head={"type": "string"}, relation={"type": "string", "enum": names}, tail={"type": "string"})

    def read(text: str, row: Mapping[str, Any]) -> Answer:
        return relations_of(_listed(text), row.get("text") or "", row.get("spans"), names)

    return Kind(_object(relations={"type": "array", "items": item}), read, 25, 0.6)


def relations_of(
    found: Sequence[Any], text: str, spans: Sequence[Mapping[str, Any]] | None, labels: Sequence[str]
) -> Answer:
    """Relations between given spans that read like head and tail, else between new spans where those words stand."""
    known = [dict(one) for one in spans or ()]
    relations: list[Answer] = []
    wrong: list[str] = []
    for one in found:
        try:
            label = as_label(_first(one, "relation", "label", "type"), labels)
            ends = [_end(_first(one, *names), text, known, fixed=spans is not None) for names in _ENDS]
        except ValueError as error:
            wrong.append(str(error))
            continue
        if ends[0] == ends[1]:
            wrong.append(f"{json.dumps(one, ensure_ascii=False)[:80]} relates a thing to itself")
            continue
        made = {"head": ends[0], "tail": ends[1], "label": label}
        if made not in relations:
            relations.append(made)
    answer = {"relations": relations, "spans": known}
    if wrong:
        raise Partly(answer, "; ".join(dict.fromkeys(wrong)))
    return answer


_ENDS = (("head", "subject", "from"), ("tail", "object", "to"))


def _end(quote: Any, text: str, known: list[Answer], *, fixed: bool) -> int:
    """The place among the known spans of one that reads like the quote; a new one unless they are fixed."""
    said = fold(str(quote))
    for at, span in enumerate(known):
        if fold(text[span["start"] : span["end"]]) == said:
            return at
    start, end = find_quote(text, str(quote))
    over = [(min(end, span["end"]) - max(start, span["start"]), at) for at, span in enumerate(known)]
    if over and max(over)[0] > 0:
        return max(over)[1]
    if fixed:
        raise ValueError(f"{str(quote)[:80]!r} is none of the things named")
    known.append({"start": start, "end": end, "label": "thing"})
    return len(known) - 1


def _answer(task: Any, spec: TaskSpec) -> Kind:
    schema = _object(answer={"type": ["string", "null"]})

    def read(text: str, row: Mapping[str, Any]) -> Answer:
        try:
            found = as_json(text)
            said = _first(found, "answer", "text", "答案")
        except ValueError:
            if text[:1] in "{[":
                raise
            said = text
        if said is None or fold(str(said)).strip(" .。") in {"", "null", *UNDECIDED}:
            return {"text": "", "start": None, "end": None}
        context = row.get("text_b") or ""
        start, end = find_quote(context, str(said))
        return {"text": context[start:end], "start": start, "end": end}

    return Kind(schema, read, 20)


def _output(task: Any, spec: TaskSpec) -> Kind:
    def read(text: str, row: Mapping[str, Any]) -> Answer:
        if not text.strip():
            raise ValueError("it is empty")
        return {"text": text.strip()}

    return Kind(None, read, 10, 0.8)


def _value(task: Any, spec: TaskSpec) -> Kind:
    settings = task.settings
    low, high = settings.get("minimum"), settings.get("maximum")
    if "highest" in settings:
        low, high = 0.0, float(settings["highest"])

    def read(text: str, row: Mapping[str, Any]) -> Answer:
        return {"value": as_number(text, low=low, high=high)}

    return Kind(_object(value={"type": "number"}), read, 8)


_KINDS: dict[str, Callable[[Any, TaskSpec], Kind]] = {
    "label": _label,
    "labels": _labels,
    "spans": _spans,
    "relations": _relations,
    "answer": _answer,
    "output": _output,
    "value": _value,
}


def _listed(text: str) -> list[Any]:
    """The list in an answer; "none" is an empty one."""
    if fold(text).strip(" .。") in UNDECIDED:
        return []
    found = as_json(text, wanted=list)
    strange = [one for one in found if not isinstance(one, Mapping)]
    if strange:
        raise ValueError(f"a list of objects is wanted, got {json.dumps(strange[0], ensure_ascii=False)[:80]}")
    return list(found)


def _first(one: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        if name in one:
            return one[name]
    raise ValueError(f"{names[0]!r} is missing in {json.dumps(one, ensure_ascii=False)[:80]}")


def _synonyms(spec: TaskSpec) -> dict[str, str]:
    """Other words for labels that the task's descriptions give: each part of "sports; games", where one label alone has it."""
    words: dict[str, str | None] = {}
    for label, about in spec.descriptions.items():
        for part in about.replace("；", ";").split(";"):
            word = fold(part)
            if 0 < len(word) <= 40:
                words[word] = label if words.get(word, label) == label else None
    return {word: label for word, label in words.items() if label is not None}
