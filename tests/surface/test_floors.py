"""The house stands as the plan says: who may import whom, and what stays asleep until it is needed."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import burnish

ROOT = Path(burnish.__file__).parent
FLOORS = [
    {"core"},
    {"text", "formats"},
    {"measures", "nn"},
    {"tasks"},
    {"sources", "gold", "construct", "quality", "review", "split", "train", "compress", "evaluate", "serve", "monitor"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
DOORS = len(FLOORS)  # cli, testing, report, …: everything else


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("burnish."):
            yield node.lineno, (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("burnish."):
                    yield node.lineno, name.name.split(".")[1]


def test_nobody_imports_upstairs_or_next_door() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        me = path.relative_to(ROOT).parts[0].removesuffix(".py")
        mine = FLOOR.get(me, DOORS)
        for line, other in imports(path):
            theirs = FLOOR.get(other, DOORS)
            if other == "relative" or (other != me and mine < DOORS and theirs >= mine):
                wrong.append(f"{path.relative_to(ROOT)}:{line} {me} -> {other}")
    assert not wrong, wrong


def test_init_files_are_nearly_empty() -> None:
    long = [
        path
        for path in ROOT.rglob("__init__.py")
        if path.parent != ROOT and len(path.read_text("utf-8").splitlines()) > 5
    ]
    assert not long, long


def asleep(code: str, *names: str) -> None:
    check = f"import sys\n{code}\nawake = {set(names)!r} & set(sys.modules)\nassert not awake, awake"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


HEAVY = ("torch", "transformers", "pandas", "sklearn", "scipy", "polars", "onnxruntime")


def test_importing_burnish_wakes_nothing() -> None:
    asleep("import burnish; dir(burnish)", *HEAVY, "numpy", "pyarrow", "yaml")


def test_help_wakes_nothing() -> None:
    asleep("import burnish.cli\nassert burnish.cli.main(['--help']) == 0", *HEAVY, "numpy", "pyarrow", "yaml")


def test_checking_a_spec_wakes_no_library_of_tensors() -> None:
    asleep("from burnish.core.stage import stages\nassert len(stages()) > 20", *HEAVY)


def test_public_names_are_those_and_no_others() -> None:
    assert burnish.__all__ == [
        "BurnishError",
        "Context",
        "Gold",
        "Model",
        "Record",
        "Records",
        "Report",
        "Split",
        "Votes",
        "lineage",
        "load",
        "load_spec",
        "plan",
        "run",
        "stage",
        "why",
    ]
    for name in burnish.__all__:
        assert getattr(burnish, name) is not None


def test_every_module_can_be_imported() -> None:
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
