"""Checks of fields: what is missing, broken, or a word for nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from burnish.quality.checks import Found, Material, check

MOST_HAVE = 0.5  # share of the records with a field from which a record without it lacks something
NOTHING = frozenset(
    [
        "null",
        "none",
        "nan",
        "n/a",
        "na",
        "nil",
        "undefined",
        "unknown",
        "tbd",
        "todo",
        "test",
        "-",
        "--",
        "?",
        "xxx",
        "#n/a",
        "#value!",
        "#ref!",
        "[deleted]",
        "[removed]",
        "无",
        "空",
        "暂无",
        "未知",
        "测试",
        "待定",
        "此用户没有填写评价。",
        "此用户未填写评价内容",
    ]
)


@check("broken_fields", dimension="noise", auto="report")
def fields(material: Material) -> Found:
    """Fields that are missing, contradict each other, or say nothing: null, N/A, 暂无, [deleted].

    Missing: a second text, conversation or time that half of the records have. Broken: a label the task does not have; soft labels
    that do not sum to 1; a span outside its text, empty, with blanks at its ends, over another one, or through a word; a relation
    between spans that are not there; a turn without content. Score: 1 broken, 0.75 a word for nothing, 0.5 missing. Facts: share of the
    records with each field.
    """
    score, why = np.zeros(len(material)), {}
    kinds: Counter[str] = Counter()
    columns = {
        name: material.column(name)
        for name in ("text", "text_b", "messages", "label", "probs", "spans", "relations", "time")
    }
    have = {name: sum(one is not None and one != "" for one in values) for name, values in columns.items()}
    wanted = [
        name
        for name in ("text", "text_b", "messages", "time")
        if MOST_HAVE * len(material) < have[name] < len(material)
    ]
    names = set(material.names)

    def say(row: int, worth: float, kind: str, reason: str) -> None:
        kinds[kind] += 1
        if worth > score[row]:
            score[row], why[row] = worth, reason

    for row in range(len(material)):
        one: dict[str, Any] = {name: values[row] for name, values in columns.items()}
        for name in wanted:
            if one[name] is None or one[name] == "":
                say(row, 0.5, f"no {name}", f"it has no {name}, as {have[name] / len(material):.0%} of the records do")
        for name in ("text", "text_b"):
            if one[name] and one[name].strip().lower() in NOTHING:
                say(row, 0.75, "a word for nothing", f"{name} is “{one[name].strip()}”, a word for nothing")
        if material.one_label and names and one["label"] is not None and not _known(one["label"], names):
            say(row, 1.0, "label", f"the task has no label {one['label']!r}")
        if one["probs"] is not None and abs(sum(one["probs"]) - 1) > 0.01:
            say(row, 1.0, "probs", f"its soft labels sum to {sum(one['probs']):.2f}, not to 1")
        if one["spans"]:
            for kind, reason in _spans(one["text"] or "", one["spans"]):
                say(row, 1.0, kind, reason)
        for relation in one["relations"] or ():
            ends = (relation["head"], relation["tail"])
            if any(end is None or not 0 <= end < len(one["spans"] or ()) for end in ends):
                say(
                    row,
                    1.0,
                    "relation",
                    f"relation {relation['label']} joins spans {ends[0]} and {ends[1]}; there are {len(one['spans'] or ())}",
                )
            elif ends[0] == ends[1]:
                say(row, 1.0, "relation", f"relation {relation['label']} joins span {ends[0]} with itself")
        for turn in one["messages"] or ():
            if not (turn["content"] or "").strip():
                say(row, 1.0, "turn", f"a turn of the {turn['role']} is empty")
                break
    facts = {
        "have": {name: round(count / max(len(material), 1), 4) for name, count in have.items() if count},
        "kinds": dict(kinds.most_common()),
    }
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


def _known(label: str, names: set[str]) -> bool:
    """Whether the task has the label, or labels below it."""
    return label in names or any(name.startswith(f"{label}/") for name in names)


def _spans(text: str, spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(kind, reason) of what is wrong with the spans of a text."""
    found = []
    taken: list[tuple[int, int, str]] = []
    for one in sorted(spans, key=lambda one: (one["start"], one["end"])):
        start, end, label = one["start"], one["end"], one["label"]
        if not 0 <= start < end <= len(text):
            found.append(
                ("span outside", f"{label} from {start} to {end} lies outside a text of {len(text)} characters")
            )
            continue
        said = text[start:end]
        if said != said.strip():
            found.append(("span with blanks", f"{label} “{said}” has blanks at its ends"))
        elif _through(text, start) or _through(text, end):
            found.append(("span through a word", f"{label} “{said}” goes through a word"))
        for first, last, other in taken:
            if (
                start < last
                and first < end
                and not (first <= start and end <= last)
                and not (start <= first and last <= end)
            ):
                found.append(("spans cross", f"{label} “{said}” crosses {other} “{text[first:last]}”"))
            elif (first, last) == (start, end) and other == label:
                found.append(("span twice", f"{label} “{said}” is there twice"))
        taken.append((start, end, label))
    return found


def _through(text: str, at: int) -> bool:
    """Whether a place between two characters is inside a word of letters that stand between blanks."""
    return 0 < at < len(text) and _western(text[at - 1]) and _western(text[at])


def _western(character: str) -> bool:
    return character.isalpha() and ord(character) < 0x2E80
