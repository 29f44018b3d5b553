"""A setting that names one or several parts, each with settings of its own: strategies, losses, augmentations.

    strategies = Family("strategy", "burnish.nn.strategies")

    @strategies.part("lora")
    @dataclass(frozen=True)
    class Lora(Strategy):
        \"\"\"Low-rank updates beside frozen matrices (Hu et al. 2022).

        rank: of the update.
        \"\"\"
        rank: Positive = 8

A stage takes it as `strategy: Annotated[Any, strategies] = "full"` and opens it with `strategies.open(strategy)`. A spec
writes it as it writes stages: `lora`, `{use: lora, rank: 4}`, or a list of those. A part is a frozen dataclass whose fields
are its settings, each named in its docstring as a stage's are; an unknown part or key is a mistake with the nearest name.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from burnish.core.stage import Setting, nearest, sentences

T = TypeVar("T")


class Family:
    """Parts that may stand in one setting.

    name: what one of them is called in messages. package: whose modules declare them; they are imported to list the
    family, so they wake nothing heavy on top. single: only one may be named. keyed: whether they change what is made, and so
    stand in the key of the step.
    """

    def __init__(self, name: str, package: str, *, single: bool = False, keyed: bool = True) -> None:
        self.name, self.package, self.single, self.keyed = name, package, single, keyed
        self._parts: dict[str, type[Any]] = {}
        self._opened_package = False

    def part(self, name: str) -> Callable[[type[T]], type[T]]:
        """Register a frozen dataclass under a name; the class gets it as `name`."""

        def register(made: type[T]) -> type[T]:
            assert dataclasses.is_dataclass(made), f"{made.__name__}: a part is a frozen dataclass"
            made.name = name  # type: ignore[attr-defined]
            self._parts[name] = made
            return made

        return register

    def parts(self) -> dict[str, type[Any]]:
        """All of them by name, in alphabetical order; other people's come through their stages' entry point."""
        if not self._opened_package:
            self._opened_package = True
            for found in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                importlib.import_module(f"{self.package}.{found.name}")
        return dict(sorted(self._parts.items()))

    def settings(self, name: str) -> dict[str, Setting]:
        """The settings of one part."""
        made: Any = self.parts()[name]
        return _settings(made)

    def open(self, value: Any, *, base: Path | None = None) -> list[Any]:
        """The parts that a setting names, in its order; files they name are looked for in `base`. ValueError for what
        `plain` refuses."""
        parts = [self._opened(one) for one in _listed(value)]
        if base is None:
            return parts
        return [dataclasses.replace(part, **{name: base / path for name, path in _files(part)}) for part in parts]

    def plain(self, value: Any) -> Any:
        """The shortest way to write the same: defaults left out, a part without settings as its name, one part without
        its list. So a key does not change when a part gets a new setting. ValueError says what is wrong."""
        return self.written(self.open(value))

    def written(self, parts: Sequence[Any]) -> Any:
        """Parts as `plain` writes them."""
        if self.single and len(parts) != 1:
            raise ValueError(f"one {self.name} is wanted")
        said = [_plain(part) for part in parts]
        return said[0] if len(said) == 1 else said

    def identity(self, value: Any, digest: Callable[[Path], str]) -> Any:
        """What stands in the key: the shortest writing, files by their content."""
        if not self.keyed:
            return "not in the key"
        files = [[digest(path) for _, path in _files(part)] for part in self.open(value)]
        return [self.plain(value), files] if any(files) else self.plain(value)

    def _opened(self, value: Any) -> Any:
        given = {"use": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not isinstance(given.get("use"), str):
            raise ValueError(f"a {self.name} is a name or {{use: NAME, ...}}, got {value!r}")
        name = given["use"]
        if name not in self.parts():
            raise ValueError(f"no {self.name} {name!r} ({nearest(name, self.parts(), 'there are')})")
        settings, checked = self.settings(name), {}
        for key, raw in given.items():
            if key == "use":
                continue
            if key not in settings:
                raise ValueError(f"{name} has no setting {key!r} ({nearest(key, settings, 'it has')})")
            checked[key], problem = settings[key].check(raw)
            if problem:
                raise ValueError(f"{name}.{key}: {problem}")
        missing = [key for key, setting in settings.items() if setting.required and key not in checked]
        if missing:
            raise ValueError(f"{name} needs {', '.join(missing)}")
        return self._parts[name](**checked)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.plain)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        one: list[dict[str, Any]] = [{"enum": list(self.parts())}]
        for name in self.parts():
            settings = self.settings(name)
            one.append(
                {
                    "type": "object",
                    "properties": {"use": {"const": name}} | {key: value.schema() for key, value in settings.items()},
                    "required": ["use", *(key for key, value in settings.items() if value.required)],
                    "additionalProperties": False,
                }
            )
        several = "" if self.single else ", or several"
        return {
            "title": f"{self.name}{several}",
            "anyOf": one if self.single else [*one, {"type": "array", "items": {"anyOf": one}}],
        }


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _plain(part: Any) -> Any:
    given = {
        field.name: str(value) if isinstance(value := getattr(part, field.name), Path) else value
        for field in dataclasses.fields(part)
        if field.default is dataclasses.MISSING or getattr(part, field.name) != field.default
    }
    return {"use": part.name, **given} if given else part.name


def _files(part: Any) -> list[tuple[str, Path]]:
    """The files a part names: (field, path)."""
    found = [(field.name, getattr(part, field.name)) for field in dataclasses.fields(part)]
    return [(name, path) for name, path in found if isinstance(path, Path)]


@functools.cache
def _settings(made: type[Any]) -> dict[str, Setting]:
    fields, hints = dataclasses.fields(made), typing.get_type_hints(made, include_extras=True)
    docs = (base.__doc__ for base in made.__mro__ if dataclasses.is_dataclass(base))  # what it inherits is told once
    about = sentences("\n\n".join(doc for doc in docs if doc), [field.name for field in fields])
    empty = Setting.EMPTY
    return {
        field.name: Setting(
            field.name,
            hints[field.name],
            empty if field.default is dataclasses.MISSING else field.default,
            about.get(field.name, ""),
        )
        for field in fields
    }
