"""What a caller may send: an input of any task, checked in one voice, and how long it is.

Nobody here asks which task it is. A task is offered one sample of every form that an input can have; the forms it takes
whole are its own, and the page, the metadata and the first run of a model go by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.core import values as v
from burnish.core.rows import ALIASES, layout
from burnish.core.stage import nearest

Input = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """One way to write an input. sample: an input of this form; instead: forms that this one is the plainer name of."""

    name: str
    sample: Mapping[str, Any]
    instead: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.sample)


ENTITIES: dict[str, Any] = {
    "text": "first words, second words",
    "spans": [{"start": 0, "end": 11, "label": "other"}, {"start": 13, "end": 25, "label": "other"}],
}
# The order is that of preference: the first form a task takes is the one it is shown with.
FORMS = (
    Form("chat", {"messages": [{"role": "user", "content": "first words"}]}),
    Form("ranking", {"query": "first words", "candidates": ["second words", "third words"]}),
    Form("question", {"question": "first words", "context": "second words"}),
    Form("text", {"text": "first words"}),
    Form("pair", {"text": "first words", "text_b": "second words"}, instead=("ranking", "question")),
    Form("entities", ENTITIES),
    Form("relations", ENTITIES | {"relations": [{"head": 0, "tail": 1}]}),
)


LISTS = {name for form in FORMS for name, value in form.sample.items() if isinstance(value, list)}


class Inputs:
    """How the inputs of one task are read.

    task: of the contract (`input`, `reads`). forms: those it takes, the chief one first; fields: names an input may have.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        needed = {name: value for name, value in task.sends.items() if value is not None}
        offered = [replace(form, sample={**form.sample, **needed}) for form in FORMS]
        taken = [form for form in offered if _takes(task, form)]
        names = {form.name for form in taken}
        self.forms = [form for form in taken if not names.intersection(form.instead)]
        self.fields = tuple(
            dict.fromkeys((*task.reads, *task.sends, *(name for form in taken for name in form.fields)))
        )

    def read(self, given: Any) -> Input:
        """What the task makes of what was sent: its own names first, else those of any file of records (`core.rows`).

        ValueError says what is wrong, without the place.
        """
        if not isinstance(given, Mapping):
            if not isinstance(given, str):
                raise ValueError(f'must be a string or {{"text": ...}}, not {type(given).__name__}')
            made: Input = self.task.input(given)
            return made
        named = {}
        for name, value in given.items():
            own = name if name in self.fields else ALIASES.get(name)
            if own not in self.fields or (own != name and own in given):
                raise ValueError(f"unknown field {ascii_of(name)} ({nearest(name, self.fields, 'known are')})")
            if own == "text_b" and isinstance(value, str) and not value.strip():
                raise ValueError(f"{name} is empty")
            named[own] = value
        made = self.task.input(named)
        return made

    def of_row(self, row: Mapping[str, Any], *, text: str, folder: Path | None = None) -> Input:
        """The input in a row of a file, which may hold much else. text: the field that holds the text; folder: of the files it names."""
        there = ", ".join(map(str, row))[:200] or "none"
        renamed = text != "text"
        if renamed and text not in row:
            raise ValueError(f"no field {text!r} (it has: {there})")
        own = {name: _parsed(name, row[name]) for name in self.fields if _there(row.get(name))}
        if renamed:
            own.pop("text", None)
        found = layout(tuple(row), {"text": text} if renamed else {}).keys
        for name in self.task.reads:
            if name not in own and _there(value := row.get(found.get(name, ""))):
                own[name] = value
        if not own:
            empty = [key for name, key in found.items() if name in self.fields]
            if empty:
                raise ValueError(f"{empty[0]} is empty")
            raise ValueError(f"no field {' or '.join(self.fields)} (it has: {there})")
        for name, value in own.items():
            _bytes(name, value)
        made: Input = self.task.input(own if folder is None else self.task.local(own, folder))
        return made


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _parsed(name: str, value: Any) -> Any:
    """A list out of a cell of a table, where it stands as JSON."""
    return v.parsed(value) if isinstance(value, str) and name in LISTS else value


def _takes(task: Any, form: Form) -> bool:
    """Does the task accept a sample of the form and keep every word of it?"""
    try:
        made = task.input(dict(form.sample))
    except ValueError:
        return False
    kept = set(_strings(made))
    return all(word in kept for word in _strings(form.sample) if "words" in word) and all(
        made.get(name) for name in ("spans", "relations") if name in form.sample
    )


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _strings(one)


def estimated_tokens(at: str, value: Any) -> int:
    """Guess how many tokens an input will have, without a tokenizer: UTF-8 bytes / 4, and a few for marks.

    English has about four bytes a token; Chinese three bytes a character and about a character a token. All strings of
    the input count. ValueError names, from `at` on, the one that is not Unicode.
    """
    return 3 + _bytes(at, value) // 4


def _bytes(at: str, value: Any) -> int:
    if isinstance(value, str):
        try:
            return len(value.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"{at} has half of a surrogate pair at character {error.start}") from None
    if isinstance(value, dict):
        return sum(_bytes(f"{at}.{name}", one) for name, one in value.items() if not isinstance(one, (int, float)))
    if isinstance(value, list):
        return sum(_bytes(f"{at}[{index}]", one) for index, one in enumerate(value))
    return 0


def placed(at: str, value: Any, message: str) -> str:
    """What a task found wrong with a value, with its place: "inputs[0].text_b must be …", "inputs[0]: no …"."""
    first = message.partition(" ")[0]
    if isinstance(value, Mapping) and first in value:
        return f"{at}.{message}"
    return f"{at} {message}" if message.startswith("must be") else f"{at}: {message}"


def ascii_of(value: str) -> str:
    """A name of the client's in a message: short, and in ASCII where it might not print."""
    return json.dumps(value[:80])
