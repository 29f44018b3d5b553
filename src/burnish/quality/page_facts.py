"""The facts of a check on the page, whatever they are, under the names that its language has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named_in, said_in
from burnish.quality.page_words import fact_of

MOST = 60  # rows of one list
KEYS = {"kinds": "kind", "records": "kind", "have": "field"}  # fact -> what its keys name
Facts = Mapping[str, Any]


def figures(facts: Facts, language: str) -> p.Part:
    """The facts of a check, whatever they are: single figures in two columns, lists and tables as tables."""
    single = [
        (fact_of(name, language), said_in(language, value) if isinstance(value, str) else value)
        for name, value in facts.items()
        if isinstance(value, str | int | float | bool)
    ]
    parts: list[p.Part] = [p.facts(single)] if single else []
    for name, value in facts.items():
        if name not in ("notes", "map") and isinstance(value, list | dict) and value:
            parts.append(_listed(name, value, language))
    return p.together(*parts)


def _listed(name: str, value: Any, language: str) -> p.Part:
    caption = fact_of(name, language)
    rows = list(value.items()) if isinstance(value, dict) else value
    if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
        rows = [{"": key, **one} for key, one in value.items()]
    if isinstance(rows[0], dict):
        heads = list(dict.fromkeys(key for one in rows if isinstance(one, dict) for key in one))
        cells = [[_plain(one.get(key), language) for key in heads] for one in rows if isinstance(one, dict)]
        return p.table([fact_of(head, language) for head in heads], cells, caption=caption, limit=MOST)
    if isinstance(rows[0], tuple):
        named = [(named_in(language, KEYS.get(name, name), str(key)), _plain(one, language)) for key, one in rows]
        return p.table([caption, ""], named, limit=MOST)
    return p.table([caption], [(said_in(language, one) if isinstance(one, str) else _plain(one, language),) for one in rows], limit=MOST)  # fmt: skip


def _plain(value: Any, language: str) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{fact_of(str(name), language)}: {_plain(one, language)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_plain(one, language)) for one in value)
    return round(value, 4) if isinstance(value, float) else value
