"""What a task tells besides its figures, drawn by its shape: a fact, bars, a table, a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say
from burnish.core.figures import title, word


def details(numbers: Mapping[str, Any], names: Sequence[str], about: Mapping[str, str]) -> list[p.Part]:
    """What a task tells besides, each under its name with what it says; single figures together at the top."""
    plain = [name for name in names if isinstance(one := numbers[name], str | int | float) and "\n" not in str(one)]
    single = [(word(name), _told(numbers[name], about.get(name, ""))) for name in plain]
    drawn = [(name, _detail(name, numbers[name])) for name in names if name != "tasks"]
    return [
        p.facts(single) if single else "",
        *(p.together(p.heading(title(name)), lead_of(about.get(name, "")), part) for name, part in drawn if part),
    ]


def _told(value: object, about: str) -> object:
    """A figure, and what it is where that is not in its name."""
    said = p.figure(value) if isinstance(value, int | float) else named("part", str(value))
    return f"{said} · {say(about)}" if about else said


def lead_of(said: str) -> p.Part:
    return p.lead(say(said)) if said else ""


def _detail(name: str, value: Any) -> p.Part:
    """A mapping or list of rows as a table, counts and shares as bars, a long text as it stands."""
    if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) for row in value.values()):
        if all(row == next(iter(value.values())) for row in value.values()):
            return ""  # nothing is told apart
        return rows_of(("", *columns_of(value.values())), [(_part(name, key), row) for key, row in value.items()])
    if isinstance(value, Mapping):
        plain = [(word(str(key)), one) for key, one in value.items() if isinstance(one, str | int | float)]
        counts = [(said, float(one)) for said, one in plain if not isinstance(one, str)]
        if counts and not any(one for _, one in counts):
            return ""
        if len(counts) < len(plain) or len(plain) < 2 or any(one < 0 for _, one in counts):
            return p.facts(plain) if plain else ""
        whole = all(isinstance(one, int) for one in value.values())
        top = 1.0 if max(one for _, one in counts) <= 1 and not whole else None
        return p.bars(counts, maximum=top, show=_count if whole else None)
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        return rows_of(columns_of(value), [(None, {key: _own(one) for key, one in row.items()}) for row in value])
    return p.fold(say("As text"), p.code(value)) if isinstance(value, str) and "\n" in value else ""


def _part(detail: str, key: str) -> str:
    """A row of a detail by burnish's own name for it: of that detail, else of all."""
    said = named(detail, key)
    return said if said != key else named("part", key)


def _own(value: object) -> object:
    """A part that has a name of burnish's own, by it."""
    return named("part", value) if isinstance(value, str) else value


def _count(value: float) -> str:
    return f"{value:,.0f}"


def columns_of(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(name for row in rows for name, one in row.items() if not isinstance(one, list | Mapping))
    )


def rows_of(columns: Sequence[str], rows: Sequence[tuple[str | None, Mapping[str, Any]]]) -> p.Html:
    names = [name for name in columns if name]
    cells = [tuple([*([key] if key is not None else []), *(row.get(name) for name in names)]) for key, row in rows]
    return p.table([word(name) for name in columns], cells)
