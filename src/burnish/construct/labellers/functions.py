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

from burnish.construct.forms import Form, Said, form_of, votes_on
from burnish.construct.voting import Ballot, walk
from burnish.core.artifacts import Gold, Labeller, Records, Votes
from burnish.core.errors import BurnishError
from burnish.core.records import Record, iterate
from burnish.core.stage import Context, stage

Rule = Callable[
    [Record], Any
]  # a label, (label, confidence), spans ...: what the form of the task reads; None abstains


@stage("construct.functions", check=votes_on())
def functions(records: Records, gold: Gold | None, context: Context, *, path: Path) -> Votes:
    """Let every public function of a Python file vote.

    path: the file. Functions whose names begin with an underscore and imported ones do not vote.

    A function takes a record and returns None, or what its target is: a label, or (label, confidence); where a text may
    have several, a list of labels or {label: confidence}; for tagging a list of (start, end, label); for relations a list
    of (head, tail, label) with places of the record's spans; for an answer or an output its text.
    The file is your own code and runs with your rights. An exception stops the run and names function, record and line.
    """
    rules, form = load_rules(path), form_of(context.task)
    ballot = Ballot()
    heard: dict[str, set[str]] = {name: set() for name in rules}
    for rows, batch in walk(records, gold):
        for row, record in zip(rows.tolist(), iterate([batch]), strict=True):
            for name, rule in rules.items():
                answer = _ask(rule, name, record, path)
                if answer is None:
                    continue
                said = _said_by(answer, name, record, form, path, context)
                heard[name].update(one.label for one in said if one.label is not None)
                ballot.cast(row, f"functions:{name}", said)
    return ballot.votes(
        [
            Labeller(
                f"functions:{name}",
                "functions",
                tuple(sorted(heard[name])),
                (inspect.getdoc(rule) or "").split("\n")[0],
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


def _said_by(answer: Any, name: str, record: Record, form: Form, path: Path, context: Context) -> list[Said]:
    """What a function returned, as votes of the task's form."""
    try:
        return form.said(form.returned(answer), record.row(), context.task)
    except ValueError as error:
        raise BurnishError(
            f"{name} returned {answer!r} for record {record.id or '?'}", where=str(path), hint=str(error)
        ) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _place(error: Exception, path: Path) -> str:
    """path:line of the deepest frame inside the file."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)
