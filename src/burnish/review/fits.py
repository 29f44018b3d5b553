"""Whether what a page sends has the shape of a target; what the task itself asks of it, the task says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from burnish.tasks.editors import Editor

SHAPES: Mapping[str, tuple[type[Any], str]] = {
    "label": (str, "a label"),
    "labels": (list, "a list of labels"),
    "spans": (list, "a list of spans"),
    "relations": (list, "a list of relations"),
    "answer": (dict, "an answer {text, start}"),
    "output": (str, "a text"),
    "messages": (list, "a list of turns"),
}


def misfit(value: Any, editor: Editor, row: Mapping[str, Any]) -> str | None:
    """What is wrong with the shape of a value, None when it fits; None as a value says that there is none."""
    if value is None:
        return None
    text = row.get(editor.over) or ""
    if editor.kind == "value":
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits:
            return "a number is wanted"
        low, high = editor.low, editor.high
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{value:g} is not within {low} to {high}"
        return None
    if not isinstance(value, SHAPES[editor.kind][0]):
        return f"{SHAPES[editor.kind][1]} is wanted"
    match editor.kind:
        case "label" if editor.labels and value not in editor.labels:
            return f"{value!r} is no label of the task"
        case "labels" if not all(isinstance(one, str) and one in editor.labels for one in value):
            return "a list of labels of the task is wanted"
        case "spans":
            for one in value:
                if not _has(one, start=int, end=int, label=str):
                    return "spans are {start, end, label}"
                if not 0 <= one["start"] < one["end"] <= len(text):
                    return f"the span {one['start']}-{one['end']} is outside the text of {len(text)} characters"
                if not editor.open and one["label"] not in editor.labels:
                    return f"{one['label']!r} is no label of the task"
        case "answer":
            start, said_text = value.get("start"), value.get("text")
            if not isinstance(said_text, str):
                return "an answer is {text, start}"
            if said_text and (
                not isinstance(start, int) or start < 0 or text[start : start + len(said_text)] != said_text
            ):
                return "the answer does not stand where it says"
        case "messages":
            if not all(_has(one, role=str, content=str) for one in value):
                return "turns are {role, content}"
        case "relations":
            if not all(_has(one, head=int, tail=int, label=str) for one in value):
                return "relations are {head, tail, label}"
    return None


def _has(one: Any, **fields: type) -> bool:
    """Whether an object has these fields, of these types; a truth value is no number."""
    return isinstance(one, dict) and all(
        isinstance(one.get(name), kind) and not isinstance(one[name], bool) for name, kind in fields.items()
    )
