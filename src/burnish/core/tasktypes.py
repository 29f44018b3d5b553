"""Which task types there are, asked by name so that the core imports nothing upstairs.

A task is a module `burnish.tasks.NAME`, or an entry point NAME of the group `burnish.tasks`, with a class `Task`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from typing import Any

from burnish.core.stage import TaskSpec


@functools.cache
def _own() -> tuple[str, ...]:
    package = importlib.import_module("burnish.tasks")
    names = (found.name for found in pkgutil.iter_modules(package.__path__))
    return tuple(
        sorted(
            name
            for name in names
            if name not in ("base", "baselines", "editors", "predictor") and not name.startswith("_")
        )
    )


def _foreign() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group="burnish.tasks")}


def known_types() -> list[str]:
    return sorted({*_own(), *_foreign()})


def task_class(name: str) -> Any:
    """The class `Task` of a task type."""
    if name in _own():
        return importlib.import_module(f"burnish.tasks.{name}").Task
    return _foreign()[name].load()


def open_task(spec: TaskSpec) -> Any:
    """The task that a spec asks for."""
    return task_class(spec.type)(spec)


def targets_of(spec: TaskSpec) -> tuple[str, ...]:
    """Record fields that hold the task's target."""
    return tuple(open_task(spec).target)  # of the task itself: an option may ask for another column


def one_label(spec: TaskSpec) -> bool:
    """Whether a target of the task is one of its labels. A section with mistakes has those to mend first: true."""
    return bool(option_problems(spec)) or bool(getattr(open_task(spec), "one_label", True))


def option_problems(spec: TaskSpec) -> list[tuple[str, str, str]]:
    """(key, message, hint) for what the task type finds wrong with its section."""
    found: list[tuple[str, str, str]] = task_class(spec.type).problems(spec)
    return found


def task_files(spec: TaskSpec) -> dict[str, str]:
    """The files that the task section names, by option: models are made of them, so their content is part of the key."""
    found: dict[str, str] = getattr(task_class(spec.type), "files", lambda spec: {})(spec)
    return found
