"""What must not be torn apart: near-duplicates, records of one document, person or conversation, records made from one
another, and those of one template."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.errors import BurnishError
from burnish.measures.duplicates import near_duplicates
from burnish.text.normalise import normalise, normalised

Array = np.ndarray[Any, np.dtype[Any]]

# What varies in a template: addresses, names of accounts, quoted words, figures.
_SLOTS = re.compile(
    r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.\w[\w.]*|[@#][\w]+|\"[^\"]{1,60}\"|[“「『《][^”」』》]{1,60}[”」』》]|\d+(?:[.,:/-]\d+)*"
)
_LETTERS = re.compile(r"[^\W\d_]")
LEAST_LETTERS = 12  # of what stays of a template; a Chinese character counts as three
_HAN = re.compile("[\u3400-\u9fff]")


def template(form: str) -> str:
    """A normalised text with its slots masked; "" where none is masked or too little stays to be a template."""
    masked, count = _SLOTS.subn("\u0000", form)
    stays = masked.replace("\u0000", "")
    weight = len(_LETTERS.findall(stays)) + 2 * len(_HAN.findall(stays))
    return masked if count and weight >= LEAST_LETTERS else ""


def group_values(table: pa.Table, group: str | None) -> list[str | None]:
    """The values that keep records together: of their own group (None), or of meta.NAME."""
    if group is None:
        own: list[str | None] = table["group"].to_pylist()
        return own
    if not group.startswith("meta."):
        raise BurnishError(
            f"split: no field {group!r} to group by",
            hint="meta.NAME for a field under meta; null for the own group of the records; none to group by nothing",
        )
    name = group.removeprefix("meta.")
    metas = [json.loads(text) if text else {} for text in table["meta"].to_pylist()]
    if not any(name in meta for meta in metas):
        raise BurnishError(
            f"split: no record has {group}",
            hint=f"meta has: {', '.join(sorted(set().union(*metas))[:12]) or 'nothing'}",
        )
    return [None if meta.get(name) is None else json.dumps(meta[name], ensure_ascii=False) for meta in metas]


def links(
    texts: Sequence[str],
    groups: Sequence[Sequence[str | None]],
    *,
    near: float,
    templates: bool,
    origins: Sequence[Sequence[str]] = (),
    talks: Sequence[Sequence[Mapping[str, str]] | None] = (),
) -> dict[str, Array]:
    """Pairs (m, 2) of records that belong together, by reason: near_duplicate, group, template, made_from, conversation.

    origins: ids of a record and of what it was made from (`origins`). talks: conversations, None where there is none.
    """
    pairs = near_duplicates(texts, threshold=near).pairs if len(texts) else np.empty((0, 2), dtype=np.int64)
    forms = normalised(list(texts))
    return {
        "near_duplicate": pairs,
        "group": np.concatenate([np.empty((0, 2), dtype=np.int64), *(_equal(values) for values in groups)]),
        "template": _equal([template(form) or None for form in forms] if templates else []),
        "made_from": _sharing(origins),
        "conversation": _sharing(beginnings(talks)),
    }


def origins(table: pa.Table) -> list[list[str]]:
    """The ids of each record and of those it was made from (`meta.made_from`), so that makers' records stay with their
    parents and with each other, also where the parent itself does not take part."""
    made = []
    for own, text in zip(table["id"].to_pylist(), table["meta"].to_pylist(), strict=True):
        parents = json.loads(text).get("made_from") if text and "made_from" in text else None
        parents = parents if isinstance(parents, list) else [parents] if isinstance(parents, str) else []
        made.append([one for one in (own, *parents) if isinstance(one, str)])
    return made


def beginnings(talks: Sequence[Sequence[Mapping[str, str]] | None]) -> list[list[str]]:
    """What a conversation is known by: its question (all turns before the last answer), and every question in it that is
    another conversation's whole one. Greetings are too short to tell."""
    questions: list[list[str]] = []
    for talk in talks:
        own, said, weight = [], hashlib.blake2b(digest_size=12), 0
        for turn in talk or ():
            if turn["role"] == "system":
                continue
            form = normalise(turn["content"] or "")
            said.update(f"{turn['role']}\0{form}\0".encode("utf-8", "surrogatepass"))
            weight += len(_LETTERS.findall(form)) + 2 * len(_HAN.findall(form))
            if turn["role"] != "assistant" and weight >= LEAST_LETTERS:
                own.append(said.hexdigest())
        questions.append(own)
    whole = {own[-1] for own in questions if own}
    return [[one for one in own if one in whole] for own in questions]


def components(pairs: Array, count: int) -> Array:
    """The smallest member of each record's connected component: (count,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    number, component = connected_components(joined, directed=False)
    first = np.full(number, count)
    np.minimum.at(first, component, np.arange(count))
    smallest: Array = first[component]
    return smallest


def _sharing(keys: Sequence[Sequence[str]]) -> Array:
    """Each record with the first that has one of its keys."""
    first: dict[str, int] = {}
    pairs = [(before, at) for at, own in enumerate(keys) for key in own if (before := first.setdefault(key, at)) != at]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _equal(values: Sequence[str | None]) -> Array:
    """Each record with the first of equal value; None is equal to nothing."""
    first: dict[str, int] = {}
    pairs = [
        (first[value], at) for at, value in enumerate(values) if value is not None and first.setdefault(value, at) != at
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
