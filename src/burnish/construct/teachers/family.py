"""The setting that names a teacher, for every stage that asks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from burnish.core.parts import Family
from burnish.core.stage import TaskSpec


class Teachers(Family):
    """A teacher or none: `teacher: {base_url: "http://127.0.0.1:8000/v1", model: m, max_cost: 5}`.

    How fast it is asked does not change what it says, so its pace stands in no key.
    """

    def open(self, value: Any, *, base: Path | None = None) -> list[Any]:
        """The teacher in a list, [] for none."""
        return super().open(_used(value), base=base)

    def one(self, value: Any) -> Any:
        """The teacher that a setting names, or None."""
        return next(iter(self.open(value)), None)

    def plain(self, value: Any) -> Any:
        return None if value is None else super().plain(_used(value))

    def identity(self, value: Any, digest: Callable[[Path], str]) -> Any:
        """What stands in the key: all but the pace."""
        plain = self.plain(value)
        pace = type(self.one(value)).pace if isinstance(plain, Mapping) else ()
        return {name: said for name, said in plain.items() if name not in pace} if isinstance(plain, Mapping) else plain

    def shown(self, value: Any) -> str:
        """A value for messages, without what may be a key that somebody wrote where none belongs."""
        if not isinstance(value, Mapping):
            return f"{type(value).__name__}"
        safe = set(self.settings("openai")) - {"api_key_env", "base_url"}
        return str({name: said if name in safe else "…" for name, said in value.items()})

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        made = super().__get_pydantic_json_schema__(schema, handler)
        return {**made, "anyOf": [*made["anyOf"], {"type": "null"}]}


class NotInKey:
    """Annotates a setting that changes no answer, as a timeout does."""

    def identify_for(self, value: Any, task: TaskSpec) -> str:
        return "not in the key"


def _used(value: Any) -> Any:
    """An object without `use` is the one kind of teacher there is so far."""
    if not isinstance(value, Mapping | None):
        raise ValueError('a teacher is {base_url: "http://127.0.0.1:8000/v1", model: NAME, ...}, or null')
    return {"use": "openai", **value} if isinstance(value, Mapping) and "use" not in value else value


TEACHERS = Teachers("teacher", "burnish.construct.teachers", single=True)


def teacher_problems(value: Any, *, setting: str = "teacher", needed_for: str = "") -> list[tuple[str, str, str]]:
    """For `burnish check`: (key, message, hint) of what is wrong with a teacher that types cannot tell.

    needed_for: what cannot be done without one, when there must be one.
    """
    if value is None:
        example = '{base_url: "http://127.0.0.1:8000/v1", model: NAME}'
        return [(setting, f"{needed_for} needs a teacher", f"{setting}: {example}")] if needed_for else []
    return [(setting, message, hint) for message, hint in TEACHERS.one(value).problems()]
