"""Checks of fields: what is missing, broken, or a word for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.quality.checks import Array, Found, Material, check
from burnish.quality.traits import Block, told

MOST_HAVE = 0.5  # share of the records with a field from which a record without it lacks something
FIELDS = ("text", "text_b", "messages", "label", "probs", "spans", "relations", "time")
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


def faults(block: Block) -> pa.Array:
    """What contradicts itself or says nothing in each record: (worth, kind, reason), in the order it is met."""
    names = set(block.asked.labels)
    columns = ("text", "text_b", "messages", "label", "probs", "spans", "relations")
    rows = zip(*(block.column(name) for name in columns), strict=True)
    made = [list(_faults(dict(zip(columns, row, strict=True)), names)) for row in rows]
    said = [[{"worth": worth, "kind": kind, "reason": reason} for worth, kind, reason in of] or None for of in made]
    return pa.array(
        said, pa.list_(pa.struct([("worth", pa.float64()), ("kind", pa.string()), ("reason", pa.string())]))
    )


def _faults(one: dict[str, Any], names: set[str]) -> Iterator[tuple[float, str, str]]:
    for name in ("text", "text_b"):
        if one[name] and one[name].strip().lower() in NOTHING:
            yield 0.75, "a word for nothing", f"{name} is “{one[name].strip()}”, a word for nothing"
    if names and one["label"] is not None and not _known(one["label"], names):
        yield 1.0, "label", f"the task has no label {one['label']!r}"
    if one["probs"] is not None and abs(sum(one["probs"]) - 1) > 0.01:
        yield 1.0, "probs", f"its soft labels sum to {sum(one['probs']):.2f}, not to 1"
    spans = one["spans"] or ()
    for kind, reason in _spans(one["text"] or "", one["spans"] or []):
        yield 1.0, kind, reason
    for relation in one["relations"] or ():
        ends = (relation["head"], relation["tail"])
        if any(end is None or not 0 <= end < len(spans) for end in ends):
            said = f"relation {relation['label']} joins spans {ends[0]} and {ends[1]}; there are {len(spans)}"
            yield 1.0, "relation", said
        elif ends[0] == ends[1]:
            yield 1.0, "relation", f"relation {relation['label']} joins span {ends[0]} with itself"
    for turn in one["messages"] or ():
        if not (turn["content"] or "").strip():
            yield 1.0, "turn", f"a turn of the {turn['role']} is empty"
            break


@check("broken_fields", dimension="noise", auto="report", reads=[faults])
def fields(material: Material) -> Found:
    """Fields that are missing, contradict each other, or say nothing: null, N/A, 暂无, [deleted].

    Missing: a second text, conversation or time that half of the records have. Broken: a label the task does not have; soft labels
    that do not sum to 1; a span outside its text, empty, with blanks at its ends, over another one, or through a word; a relation
    between spans that are not there; a turn without content. Score: 1 broken, 0.75 a word for nothing, 0.5 missing. Facts: share of the
    records with each field.
    """
    score: Array = np.zeros(len(material))
    why: dict[int, str] = {}
    kinds: Counter[str] = Counter()
    there = {name: _there(material.select(FIELDS)[name]) for name in FIELDS}
    have = {name: int(one.sum()) for name, one in there.items()}
    wanted = [name for name in ("text", "text_b", "messages", "time") if MOST_HAVE * len(material) < have[name] < len(material)]  # fmt: skip
    broken = dict(told(material.trait(faults)))
    lacking = np.any([~there[name] for name in wanted], axis=0) if wanted else material.blank & False
    for row in sorted({*broken, *np.flatnonzero(lacking).tolist()}):
        for name in wanted:
            if not there[name][row]:
                kinds[f"no {name}"] += 1
                score[row] = 0.5
                why.setdefault(row, f"it has no {name}, as {have[name] / len(material):.0%} of the records do")
        for one in broken.get(row, ()):
            kinds[one["kind"]] += 1
            if one["worth"] > score[row]:
                score[row], why[row] = one["worth"], one["reason"]
    facts = {
        "have": {name: round(count / max(len(material), 1), 4) for name, count in have.items() if count},
        "kinds": dict(kinds.most_common()),
    }
    return Found(score, score > 0, lambda row: why[row], lambda row: "review", facts)


def _there(column: pa.ChunkedArray) -> Array:
    """(n,) which records have the field, and something in it."""
    if pa.types.is_string(column.type):
        column = pc.greater(pc.binary_length(column), 0)
        return np.asarray(pc.fill_null(column, False).to_numpy(), dtype=bool)
    return np.asarray(column.is_valid().to_numpy(), dtype=bool)


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
