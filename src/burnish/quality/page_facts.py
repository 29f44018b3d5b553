"""The facts of a check on the page, whatever they are, under the names that its language has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named_in, said_in
from burnish.quality.page_words import WORDS, fact_of

MOST = 60  # rows of one list
# fact -> what its keys name: kinds of findings, columns, parts of the input; keys of other facts are names of users
KEYS = {
    "kinds": "kind", "records": "kind", "have": "field", "slices": "field", "parts": "part", "consent": "consent",
    "end_with_a_mark": "language", "quantiles": "language", "rate": "fact", "histogram": "fact", "a_year": "fact",
    "collect_again": "fact", "topics": "fact", "labels": "fact", "balance": "fact",
}  # fmt: skip
CELLS = {"axis": "axis", "group": "group", "groups": "group", "by": "field", "spans": "kind"}
Facts = Mapping[str, Any]


def figures(facts: Facts, language: str) -> p.Part:
    """The facts of a check, whatever they are: single figures in two columns, lists and tables as tables."""
    single = [
        (fact_of(name, language), _plain(said_in(language, value) if isinstance(value, str) else value, language))
        for name, value in facts.items()
        if isinstance(value, str | int | float | bool)
    ]
    parts: list[p.Part] = [p.facts(single)] if single else []
    for name, value in facts.items():
        if name not in ("notes", "map") and isinstance(value, list | dict) and value:
            parts.append(_listed(name, value, language))
    return p.together(*parts)


def _listed(name: str, value: Any, language: str) -> p.Part:
    caption, keys, cells = fact_of(name, language), KEYS.get(name, ""), CELLS.get(name, "")
    rows = list(value.items()) if isinstance(value, dict) else value
    if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
        rows = [{"": named_in(language, keys, str(key)), **one} for key, one in value.items()]
    if isinstance(rows[0], dict):
        heads = list(dict.fromkeys(key for one in rows if isinstance(one, dict) for key in one))
        table = [
            [_plain(one.get(head), language, CELLS.get(head, "")) for head in heads]
            for one in rows
            if isinstance(one, dict)
        ]
        return p.table([fact_of(head, language) for head in heads], table, caption=caption, limit=MOST)
    if isinstance(rows[0], tuple):
        pairs = [(named_in(language, keys, str(key)), _plain(one, language, cells)) for key, one in rows]
        return p.table([caption, ""], pairs, limit=MOST)
    told = [said_in(language, one) if isinstance(one, str) else _plain(one, language, cells) for one in rows]
    return p.table([caption], [(one,) for one in told], limit=MOST)


def _plain(value: Any, language: str, kind: str = "") -> Any:
    """One cell. kind: what a text in it names, "" for words of a user."""
    if isinstance(value, dict):
        return ", ".join(
            f"{fact_of(str(name), language)}: {'–' if one is None else _plain(one, language)}"
            for name, one in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join("–" if one is None else str(_plain(one, language, kind)) for one in value)
    if isinstance(value, bool):
        return WORDS[language]["yes" if value else "no"]
    if isinstance(value, str) and kind:
        return named_in(language, kind, value)
    return round(value, 4) if isinstance(value, float) else value
