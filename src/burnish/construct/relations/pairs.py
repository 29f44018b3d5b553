"""Ordered pairs of a record's spans: which are asked about, which types may stand in a relation, what stands round them.

A pair is (head, tail), places in the record's spans. Its words are cut by `text.words`, so that Chinese is read by
characters and English by words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from burnish.core.errors import BurnishError
from burnish.core.stage import TaskSpec, nearest
from burnish.core.tasktypes import open_task
from burnish.text.words import placed

Types = dict[str, list[Any]]  # relation -> [head type or types, tail type or types]
Words = tuple[list[str], list[str], list[str]]  # before, between, after
HEAD, TAIL = "X", "Y"  # how patterns write the two
NEAR = 3  # words on either side that are looked at
MOST_BETWEEN = 40  # words between two spans from which they are too far apart to tell a pattern


def none_of(task: TaskSpec) -> str:
    """The task's name of "no relation"."""
    name: str = open_task(task).settings["no_relation"]
    return name


def relations_of(task: TaskSpec) -> list[str]:
    """The task's labels that are relations."""
    none = none_of(task)
    return [label for label in task.labels if label != none]


def directed(task: TaskSpec) -> bool:
    return bool(open_task(task).settings["directed"])


def pairs_of(row: Mapping[str, Any], spans: Sequence[Mapping[str, Any]], task: TaskSpec) -> list[tuple[int, int]]:
    """The pairs that can stand in a relation: of spans that share no character.

    Where the task names its pairs, those that `relations` names, and each two in the order they are listed where it names
    none; else all in both orders, or the first before the second where direction does not count.
    """
    settings = open_task(task).settings
    if settings["pairs"] == "named" and row.get("relations"):
        return list(dict.fromkeys((one["head"], one["tail"]) for one in row["relations"]))
    both = settings["pairs"] != "named" and settings["directed"]
    in_text = settings["pairs"] != "named"
    order = sorted(range(len(spans)), key=lambda i: (spans[i]["start"], spans[i]["end"], i) if in_text else (i, 0, 0))
    found = []
    for at, one in enumerate(order):
        for other in order[at + 1 :]:
            if apart(spans[one], spans[other]):
                found += [(one, other), (other, one)] if both else [(one, other)]
    return found


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two spans share no character."""
    return bool(one["end"] <= other["start"] or other["end"] <= one["start"])


def read_types(types: Types | None, task: TaskSpec, where: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Type constraints as sets. BurnishError for a relation the task does not have, or what is not two sides."""
    made = {}
    for relation, sides in (types or {}).items():
        if relation not in task.labels:
            raise BurnishError(
                f"{relation!r} is not a relation of the task",
                where=where,
                hint=nearest(relation, task.labels, "it has"),
            )
        if not isinstance(sides, list | tuple) or len(sides) != 2:
            raise BurnishError(
                f"types of {relation} are {sides!r}", where=where, hint="types: {born_in: [person, [city, country]]}"
            )
        head, tail = (frozenset([side] if isinstance(side, str) else side) for side in sides)
        made[relation] = (head, tail)
    return made


def fits(
    relation: str,
    head: Mapping[str, Any],
    tail: Mapping[str, Any],
    types: Mapping[str, tuple[frozenset[str], frozenset[str]]],
) -> bool:
    """Whether the types of two spans allow a relation; a span without a type fits everything."""
    allowed = types.get(relation)
    return allowed is None or all(
        span.get("label") is None or span["label"] in kinds for span, kinds in zip((head, tail), allowed, strict=True)
    )


def words_round(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> Words:
    """Words before the first span, between the two, behind the second, in lower case."""
    first, second = sorted((head, tail), key=lambda one: int(one["start"]))
    before: list[str] = []
    between: list[str] = []
    after: list[str] = []
    for start, end in placed(text):
        word = text[start:end].lower()
        if end <= first["start"]:
            before.append(word)
        elif start >= first["end"] and end <= second["start"]:
            between.append(word)
        elif start >= second["end"]:
            after.append(word)
            if len(after) == NEAR:
                break
    return before[-NEAR:], between, after


def masked(text: str, head: Mapping[str, Any], tail: Mapping[str, Any], names: tuple[str, str]) -> str:
    """The text with the two spans written as `names`, so that who they are cannot be learnt."""
    ends = sorted(((head["start"], head["end"], names[0]), (tail["start"], tail["end"], names[1])))
    (a, b, first), (c, d, second) = ends
    return f"{text[:a]}{first}{text[b:c]}{second}{text[d:]}"


def surfaces(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> tuple[str, str]:
    """The characters of both spans."""
    return text[head["start"] : head["end"]], text[tail["start"] : tail["end"]]


def patterns_of(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> list[str]:
    """Patterns that a pair stands in: the words between as they are, runs of them, and the words next to the two.

    "X 's wife Y", "X … married … Y", "Y … X". Empty where they are too far apart.
    """
    before, between, after = words_round(text, head, tail)
    if len(between) > MOST_BETWEEN:
        return []
    first, second = (HEAD, TAIL) if head["start"] <= tail["start"] else (TAIL, HEAD)
    found = []
    if len(between) <= 10:
        found.append(" ".join([first, *between, second]))
    found += [f"{first} … {run} … {second}" for run in _runs(between)]
    found += [f"{' '.join(before[-size:])} {first} … {second}" for size in range(1, len(before) + 1)]
    found += [f"{first} … {second} {' '.join(after[:size])}" for size in range(1, len(after) + 1)]
    return list(dict.fromkeys(found))


def _runs(words: Sequence[str]) -> Iterator[str]:
    for size in range(1, 5):
        for at in range(len(words) - size + 1):
            yield " ".join(words[at : at + size])
