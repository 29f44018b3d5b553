"""Targets of records as reviewers see them: read, changed, said in a few words, laid down as votes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from burnish.core.records import VOTE, Record
from burnish.tasks.editors import Editor, put, reach

LONGEST = 60  # characters of a value in a few words
FIELDS = tuple(VOTE.field(at).name for at in range(VOTE.num_fields))


def open_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of records with its meta as a mapping."""
    meta = row.get("meta")
    return {**row, "meta": json.loads(meta) if isinstance(meta, str) and meta else dict(meta or {})}


def shown(row: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """The target fields of an open row, nested as the row is: {"label": "x"}, {"meta": {"topic": "food"}}."""
    made: dict[str, Any] = {}
    for editor in editors:
        value = editor.shown(row)
        if value is None:
            value = next(
                (_as(editor.kind, reach(row, one)) for one in editor.clears if reach(row, one) is not None), None
            )
        put(made, editor.path, value)
    return made


def _as(kind: str, value: Any) -> Any:
    """A target found in another place of the record, in the shape of an editor."""
    if kind == "labels" and isinstance(value, str):
        return [value]
    if kind == "answer":
        return _answer(value)
    if kind == "value" and isinstance(value, str):
        known = {"relevant": 1.0, "irrelevant": 0.0}
        try:
            return known[value] if value in known else float(value)
        except ValueError:
            return None
    return None


def _answer(value: Any) -> Any:
    """The first of other gold answers, as {text, start}: a list, the two lists of the datasets library, or true for none."""
    if value is True:
        return {"text": "", "start": None}
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        starts = value.get("answer_start") or value.get("start") or []
        value = [{"text": text, "start": start} for text, start in zip_longest(value["text"], starts)]
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, str):
        return {"text": first, "start": None}
    if isinstance(first, Mapping) and isinstance(first.get("text"), str):
        return {"text": first["text"], "start": first.get("start", first.get("answer_start"))}
    return None


def blank(target: Mapping[str, Any] | None, editors: Sequence[Editor]) -> bool:
    """Whether a target says nothing at all."""
    return target is None or all(reach(target, one.path) is None for one in editors)


def changed(row: dict[str, Any], target: Mapping[str, Any], editors: Sequence[Editor]) -> dict[str, Any]:
    """An open row with the target it should have; other places of the same target are emptied."""
    made = {**row, "meta": dict(row.get("meta") or {})}
    for editor in editors:
        put(made, editor.path, reach(target, editor.path))
        for other in editor.clears:
            if reach(made, other) is not None:
                put(made, other, None)
    made["meta"] = {key: value for key, value in made["meta"].items() if value is not None}
    return made


def record_of(row: Mapping[str, Any]) -> Record:
    """An open row as a record."""
    return Record(**{name: value for name, value in row.items() if value is not None and name != "votes"})


def said(value: Any, kind: str, row: Mapping[str, Any], editor: Editor | None = None) -> str:
    """A value of a target in a few words."""
    if value is None:
        return "?"
    text = row.get(editor.over if editor else "text") or ""
    match kind:
        case "labels":
            return ", ".join(value) or "∅"
        case "spans":
            return _short("; ".join(f"{text[one['start'] : one['end']]} [{one['label']}]" for one in value) or "∅")
        case "relations":
            spans = row.get("spans") or []
            ends = [text[one["start"] : one["end"]] for one in spans]
            told = (f"{_at(ends, one['head'])} {one['label']} {_at(ends, one['tail'])}" for one in value)
            return _short("; ".join(told) or "∅")
        case "answer":
            return _short(value.get("text") or "∅")
        case "value":
            return f"{value:g}"
        case "messages":
            return _short(next((one["content"] for one in reversed(value) if one["role"] == "assistant"), "∅"))
    return _short(str(value))


def _at(ends: Sequence[str], place: int) -> str:
    return ends[place] if 0 <= place < len(ends) else "?"


def in_words(target: Mapping[str, Any] | None, row: Mapping[str, Any], editors: Sequence[Editor]) -> str:
    """A whole target in a few words: "positive"; "tone: good, topic: food"."""
    if target is None:
        return "?"
    seen = {**row, **{key: value for key, value in target.items() if key == "spans"}}
    told = [(editor.name, said(reach(target, editor.path), editor.kind, seen, editor)) for editor in editors]
    if any(editor.kind == "relations" for editor in editors):  # spans stand in what is related
        told = [one for one, editor in zip(told, editors, strict=True) if editor.kind != "spans"]
    return ", ".join(f"{name}: {words}" if name else words for name, words in told)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def votes(labeller: str, target: Mapping[str, Any], editors: Sequence[Editor]) -> list[dict[str, Any]]:
    """What a reviewer said, as the votes a record keeps. An empty list of spans is no vote: votes say what there is."""
    made = [one for editor in editors for one in _votes(editor, reach(target, editor.path), target)]
    return [{**dict.fromkeys(FIELDS), "labeller": labeller, "confidence": 1.0, **one} for one in made]


def _votes(editor: Editor, value: Any, target: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    match editor.kind:
        case "label" if value is not None:
            made = [{"label": value}]
        case "labels":
            made = [{"label": one} for one in value or ()]
        case "spans":
            made = [{"label": one["label"], "start": one["start"], "end": one["end"]} for one in value or ()]
        case "relations":
            spans = target.get("spans") or []
            made = [
                {"label": one["label"]}
                | {side: spans[one["head"]][side] for side in ("start", "end")}
                | {f"tail_{side}": spans[one["tail"]][side] for side in ("start", "end")}
                for one in value or ()
                if max(one["head"], one["tail"]) < len(spans)
            ]
        case "answer" if value and value.get("text"):
            start = value.get("start")
            placed = {} if start is None or start < 0 else {"start": start, "end": start + len(value["text"])}
            made = [{"text": value["text"], **placed}]
        case "value" if value is not None:
            made = [{"label": f"{value:g}"}]
        case "output" if value:
            made = [{"text": value}]
        case "messages" if value:
            made = [{"text": one["content"]} for one in value[-1:] if one["role"] == "assistant"]
    for one in made:
        if set(one) <= set(FIELDS):
            yield one
