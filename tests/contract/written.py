"""The sentences that code writes beside records, read from the code itself: what a catalogue must know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from types import ModuleType

NUMBER, SHARE = "7", "7%"
CHOICES = ("choose", "_choose", "_decide")  # functions that say why they choose
PROBLEMS = ("problem", "_problem", "_unseen", "span_problem", "misfit")  # functions that say what is wrong
MOST = 16  # ways of one sentence that are tried
UNSAID = (
    "tell",
    "bar",
    "compile",
    "BurnishError",
    "ValueError",
    "GateError",
    "RuntimeError",
    "TypeError",
    "TeacherError",
)


def sentences(module: ModuleType) -> Iterator[tuple[int, str]]:
    """(line, sentence) of every text of two words or more that a module writes, with "7" where a value would stand.

    Left out: docstrings, what is raised, told to the terminal, or a pattern; defaults and comparisons. Constants in capitals
    are read from the module.
    """
    yield from _below(ast.parse(Path(str(module.__file__)).read_text("utf-8")), vars(module))


def beside_records(module: ModuleType, *, problems: bool) -> Iterator[tuple[int, str]]:
    """The same, of what a module puts into a record alone: a reason, a line of a trail, the why of a record that it makes;
    with `problems` what is wrong with one, too."""
    known = vars(module)
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
        values: Sequence[ast.AST] = []
        match node:
            case ast.Assign(targets=[target], value=value) if _told(target):
                values = [value]
            case ast.keyword(arg="why" | "reason" | "trail", value=value):
                values = [value]
            case ast.Dict(keys=keys):
                values = [
                    value for key, value in zip(keys, node.values, strict=True) if getattr(key, "value", "") == "reason"
                ]
            case ast.FunctionDef(name=name, body=body) if name in CHOICES or (problems and name in PROBLEMS):
                values = body
            case ast.Call(func=ast.Attribute(attr="append", value=ast.Name(id="trail")), args=values):
                pass
        for value in values:
            yield from _below(value, known)


def baseline_names(module: ModuleType) -> Iterator[str]:
    """What the functions called `baselines` of a module call what they yield."""
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "baselines":
            for one in ast.walk(node):
                match one:
                    case ast.Yield(value=ast.Tuple(elts=[ast.Constant(value=str(said)), *_])):
                        yield said


def _told(target: ast.expr) -> bool:
    """A name like reason, or new["trail"][row]."""
    return ast.unparse(target) in ("why", "reason") or "'trail'" in ast.unparse(target)


def _below(node: ast.AST, known: Mapping[str, object]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Raise | ast.Assert | ast.arguments | ast.Compare):
        return
    if isinstance(node, ast.Call) and _name(node.func) in UNSAID:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Constant) and (said := _ways(node, known)) is not None:
        for one in said:
            if len(re.findall(r"[A-Za-z]{2,}", one)) > 1 and re.search(r"[a-z] [a-z]|[a-z] 7|7 [a-z]", one):
                yield node.lineno, one
        return
    for child in ast.iter_child_nodes(node):
        yield from _below(child, known)


def _ways(node: ast.AST, known: Mapping[str, object]) -> list[str] | None:
    """Everything that an expression of texts can say; None where it is no text."""
    match node:
        case ast.Constant(value=str(said)):
            return [re.sub(r"\{:[^{}]*%\}", SHARE, re.sub(r"\{:[^{}]*f\}", NUMBER, said))]  # for str.format
        case ast.Name(id=name) if name.isupper() and isinstance(known.get(name), str):
            return [str(known[name])]
        case ast.JoinedStr(values=values):
            parts = [_ways(one, known) or [NUMBER] for one in values]
            return ["".join(way) for way in list(product(*parts))[:MOST]]
        case ast.FormattedValue(value=value, format_spec=spec):
            inside = _ways(value, known) if isinstance(value, ast.IfExp | ast.Constant | ast.Name) else None
            percent = isinstance(spec, ast.JoinedStr) and "%" in str(getattr(spec.values[0], "value", ""))
            return inside or [SHARE if percent else NUMBER]
        case ast.IfExp(body=body, orelse=other):
            one, two = _ways(body, known), _ways(other, known)
            return None if one is None and two is None else [*(one or [NUMBER]), *(two or [NUMBER])]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            one, two = _ways(left, known), _ways(right, known)
            if one is None and two is None:
                return None
            return [a + b for a in one or [NUMBER] for b in two or [NUMBER]][:MOST]
    return None


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
