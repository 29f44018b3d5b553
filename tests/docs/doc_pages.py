"""The documentation as tests see it: pages, their fenced blocks, links, commands.

A block is marked by its fence: ```yaml is a whole spec; ```yaml fragment stands for the README's spec with the sections
of the fragment in place of its own; ```yaml wrong must be refused, in the words of the block behind it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import yaml

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "zh")
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh.md"}


def chapters(language: str) -> list[Path]:
    return sorted((ROOT / "docs" / language).glob("*.md"))


def pages() -> list[Path]:
    """Everything a user reads."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    return [*READMES.values(), *(page for language in LANGUAGES for page in chapters(language)), *decisions]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block. info: what stands behind the fence. line: of the fence."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def blocks(page: Path, info: str | None = None) -> list[Block]:
    found: list[Block] = []
    fence: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        if line.startswith("```"):
            if fence is None:
                fence, inside = (number, line[3:].strip()), []
            else:
                found.append(Block(page, *fence, "\n".join(inside) + "\n"))
                fence = None
        elif fence is not None:
            inside.append(line)
    assert fence is None, f"{name(page)}:{fence}: a fence that nobody closes"
    return [block for block in found if info in (None, block.info)]


def every(info: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page, info)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def readme_spec() -> dict[str, Any]:
    (block,) = blocks(READMES["en"], "yaml")
    return dict(yaml.safe_load(block.text))


def completed(fragment: str) -> str:
    """The README's spec with the sections of a fragment in place of its own."""
    whole = readme_spec() | yaml.safe_load(fragment)
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False)


@cache
def command_line() -> Any:
    from burnish.cli import app

    return typer.main.get_command(app)


def commands_in(block: Block) -> Iterator[tuple[str, list[str]]]:
    """(line, arguments) of every `burnish ...` in a block for the shell."""
    for line in block.text.splitlines():
        for piece in re.split(r"\|\||&&|\||>", re.split(r"\s#", line)[0]):
            if piece.strip().startswith("burnish "):
                yield line, shlex.split(piece)[1:]


def inline_commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The same for commands between backticks in running text."""
    for code in re.findall(r"`(burnish [^`]+)`", prose(page)):
        yield code, shlex.split(re.split(r"\|\||&&", code)[0])[1:]


def parses(arguments: list[str], *, whole: bool) -> str:
    """Why the command line would refuse these arguments; "" when it would not. whole: also what is missing."""
    root = command_line()
    if arguments[0].startswith("-"):
        return ""
    if arguments[0] not in root.commands:
        return f"there is no command {arguments[0]}"
    context = root.make_context("burnish", [], resilient_parsing=True)
    try:
        root.commands[arguments[0]].make_context(
            arguments[0], list(arguments[1:]), parent=context, resilient_parsing=not whole
        )
    except Exception as error:
        said = getattr(error, "format_message", None)  # the parser's own errors; anything else is a fault
        if said is None:
            raise
        return str(said())
    return ""


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))
