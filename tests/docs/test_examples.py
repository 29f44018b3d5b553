"""Every example of the README and the docs is one that works: specs, commands, Python."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

import burnish
from burnish.core.errors import SpecError
from burnish.core.spec import Spec, dump, fill, load

from .doc_pages import READMES, ROOT, Block, blocks, commands_in, completed, every, inline_commands, name, pages, parses

INFOS = {"yaml", "yaml fragment", "yaml wrong", "bash", "python", "text", "toml", ""}
SPECS = [*every("yaml"), *every("yaml fragment")]


def written(folder: Path, text: str, as_name: str = "burnish.yaml") -> Path:
    path = folder / as_name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("block", SPECS, ids=str)
def test_every_spec_is_well_formed(block: Block, tmp_path: Path) -> None:
    text = block.text if block.info == "yaml" else completed(block.text)
    spec = load(written(tmp_path, text))
    again = load(written(tmp_path, dump(fill(spec)), "filled.yaml"))
    assert [step.address for step in again.steps] == [step.address for step in spec.steps]


def test_a_fragment_that_is_wrong_would_be_noticed(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no setting 'treshold'"):
        load(written(tmp_path, completed("quality: [{use: audit, treshold: 0.8}]")))


@pytest.mark.parametrize("block", every("yaml wrong"), ids=str)
def test_wrong_specs_are_refused_in_the_words_shown(block: Block, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, block.text, "bad.yaml")
    shown = next(one for one in blocks(block.page) if one.line > block.line and "check bad.yaml" in one.text)
    with pytest.raises(SpecError) as refused:
        load("bad.yaml")
    assert shown.text == f"$ burnish check bad.yaml\nburnish: {refused.value}\n"


def test_no_spec_hides_behind_an_unknown_fence() -> None:
    strange = [f"{block}: {block.info!r}" for page in pages() for block in blocks(page) if block.info not in INFOS]
    assert not strange, strange


def test_the_readme_spec_has_thirty_lines_and_every_room() -> None:
    from burnish.core.stage import ROOMS, stages

    for page in READMES.values():
        (block,) = blocks(page, "yaml")
        assert len(block.text.splitlines()) <= 30
        assert set(yaml.safe_load(block.text)) >= {room for room in ROOMS if stages(room)}


@pytest.mark.parametrize("block", every("bash"), ids=str)
def test_every_command_line_parses(block: Block) -> None:
    wrong = [f"{line}: {why}" for line, arguments in commands_in(block) if (why := parses(arguments, whole=True))]
    assert not wrong, wrong


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_command_in_running_text_exists(page: Path) -> None:
    wrong = [f"{code}: {why}" for code, arguments in inline_commands(page) if (why := parses(arguments, whole=False))]
    assert not wrong, wrong


def test_every_override_shown_fits_the_readme_spec(tmp_path: Path) -> None:
    spec = written(tmp_path, blocks(READMES["en"], "yaml")[0].text)
    seen = 0
    for block in [*every("bash"), *every("text")]:
        for override in re.findall(r"--set '?([\w.\[\]]+=[^\s']+)", block.text):
            assert isinstance(load(spec, overrides=[override]), Spec)
            seen += 1
    assert seen > 5


def test_shell_blocks_name_files_of_the_repository_that_are_there() -> None:
    named = {
        path
        for page in pages()
        for path in re.findall(r"\b((?:benchmarks|scripts|examples)/[\w./-]+\.(?:py|md|yaml))", page.read_text("utf-8"))
    }
    missing = sorted(path for path in named if not (ROOT / path).is_file())
    assert named and not missing, missing


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    asked = {
        found for page in pages() for found in re.findall(r"^make ([\w-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "demo-zh", "test"} <= asked <= targets


def test_the_first_screen_says_what_to_type() -> None:
    for page in READMES.values():
        first = "\n".join(page.read_text("utf-8").splitlines()[:12])
        assert all(f"make {target} " in first for target in ("demo", "demo-zh", "test"))


@pytest.mark.parametrize("block", every("python"), ids=str)
def test_python_compiles_and_its_names_exist(block: Block) -> None:
    tree = ast.parse(block.text, filename=str(block))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "burnish":
            assert node.attr in burnish.__all__, f"{block}: burnish.{node.attr}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "burnish":
            module = importlib.import_module(node.module or "")
            for imported in node.names:
                assert hasattr(module, imported.name), f"{block}: {node.module}.{imported.name}"


def test_the_rules_file_of_the_docs_votes(tmp_path: Path) -> None:
    from burnish.construct.labellers.functions import load_rules
    from burnish.core.records import Record

    for language in ("en", "zh"):
        (block,) = blocks(ROOT / "docs" / language / "construct.md", "python")
        rules = load_rules(written(tmp_path, block.text, f"rules_{language}.py"))
        assert {name: rule(Record(text="no!!!")) for name, rule in rules.items()} == {"angry": "negative"}


def test_the_plug_in_of_the_docs_passes_the_suite(monkeypatch) -> None:
    """Register it as the block says, check it, and forget it again."""
    from burnish.core import stage as registry
    from burnish.testing import check_stage

    monkeypatch.setattr(registry, "_STAGES", dict(registry._STAGES))
    for language in ("en", "zh"):
        example, suite = blocks(ROOT / "docs" / language / "plugins.md", "python")
        module = type(ast)("docs_plugin")
        exec(
            compile(example.text.replace("quality.shout", "quality.shout_of_the_docs"), str(example), "exec"),
            module.__dict__,
        )
        monkeypatch.setitem(__import__("sys").modules, "docs_plugin", module)
        module.shout.__module__ = "docs_plugin"
        assert "check_stage" in suite.text
        assert check_stage("quality.shout_of_the_docs", {"minimum": 2}) == 7
