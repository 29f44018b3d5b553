"""Labellers that people write in Python: every public function of a file."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from burnish.construct.voting import Ballot, check_label, task_problems, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import Record, iterate
from burnish.core.stage import Context, stage

Rule = Callable[[Record], "str | tuple[str, float] | None"]


@stage("construct.functions", check=task_problems)
def functions(records: Records, gold: Gold | None, context: Context, *, path: Path) -> Votes:
    """Let every public function of a Python file vote.

    path: the file. Functions whose names begin with an underscore and imported ones do not vote.

    The file is your own code and runs with your rights. An exception stops the run and names function, record and line.
    """
    rules = load_rules(path)
    ballot = Ballot()
    said: dict[str, set[str]] = {name: set() for name in rules}
    for rows, batch in walk(records, gold):
        for row, record in zip(rows, iterate([batch]), strict=True):
            for name, rule in rules.items():
                answer = _ask(rule, name, record, path)
                if answer is None:
                    continue
                label, sure = _vote(answer, name, record, path, context)
                said[name].add(label)
                ballot.add(row[None], f"functions:{name}", label, sure)
    return ballot.votes(
        [
            Labeller(
                f"functions:{name}", "functions", tuple(sorted(said[name])), (inspect.getdoc(rule) or "").split("\n")[0]
            )
            for name, rule in rules.items()
        ]
    )


def load_rules(path: Path) -> dict[str, Rule]:
    """The public functions defined in a file, in the order they are written."""
    module = _load(path)
    found: dict[str, Any] = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == module.__name__
    }
    if not found:
        raise BurnishError(
            "no public function in it", where=str(path), hint="def refund(record): return 'complaint' if … else None"
        )
    for name, rule in found.items():
        needed = [
            one
            for one in inspect.signature(rule).parameters.values()
            if one.default is one.empty
            and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        ]
        if len(needed) != 1:
            raise BurnishError(
                f"{name} must take one record, it takes {len(needed)} arguments",
                where=f"{path}:{rule.__code__.co_firstlineno}",
                hint="begin the names of functions that are no labellers with an underscore",
            )
    return found


def _load(path: Path) -> ModuleType:
    name = f"burnish_rules_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BurnishError("is not a Python file", where=str(path), hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BurnishError(
            f"cannot be read: {_said(error)}", where=_place(error, path), hint="mend the file"
        ) from error
    finally:
        del sys.modules[name]
    return module


def _ask(rule: Rule, name: str, record: Record, path: Path) -> Any:
    try:
        return rule(record)
    except Exception as error:
        raise BurnishError(
            f"{name} failed on record {record.id or '?'}: {_said(error)}",
            where=_place(error, path),
            hint="return None where the function has nothing to say",
        ) from error


def _vote(answer: Any, name: str, record: Record, path: Path, context: Context) -> tuple[str, float]:
    label, sure = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, 1.0)
    if not isinstance(label, str) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
        raise BurnishError(
            f"{name} returned {answer!r} for record {record.id or '?'}",
            where=str(path),
            hint="return a label, a label with a confidence in 0..1, or None",
        )
    return check_label(label, context, f"{path}: {name}, record {record.id or '?'}"), float(sure)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _place(error: Exception, path: Path) -> str:
    """path:line of the deepest frame inside the file."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)
