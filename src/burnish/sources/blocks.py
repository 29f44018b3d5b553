"""A document as blocks in reading order, and blocks as sections: the structure that people gave a text, kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from burnish.text.scripts import UNSPACED_CLASS

_BETWEEN_HAN = re.compile(rf"(?<=[{UNSPACED_CLASS}，。；：、！？）》”])\s*\n\s*(?=[{UNSPACED_CLASS}（《“])")


@dataclass(frozen=True, slots=True)
class Block:
    """kind: heading, text, list, table, code. level: of a heading, from 1. page: from 1, line: from 1, None where unknown."""

    kind: str
    text: str
    level: int = 0
    page: int | None = None
    line: int | None = None


@dataclass(slots=True)
class Section:
    """What stands under a heading. path: the headings above it and its own, outermost first."""

    path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n\n".join(block.text for block in self.blocks)

    @property
    def pages(self) -> list[int]:
        return sorted({block.page for block in self.blocks if block.page is not None})


def sections(blocks: Iterable[Block], *, max_chars: int) -> Iterator[Section]:
    """Sections in order, those with nothing but a heading left out; longer ones are cut between blocks."""
    path: list[tuple[int, str]] = []
    held = Section(())
    size = 0
    for block in blocks:
        if block.kind == "heading" or (size and size + len(block.text) > max_chars):
            if held.blocks:
                yield held
            if block.kind == "heading":
                path = [one for one in path if one[0] < block.level] + [(block.level, block.text)]
            held, size = Section(tuple(name for _, name in path)), 0
        if block.kind != "heading":
            held.blocks.append(block)
            size += len(block.text) + 2
    if held.blocks:
        yield held


def unbroken(text: str) -> str:
    """Lines of one paragraph as one line: joined without a blank between Chinese characters."""
    return " ".join(_BETWEEN_HAN.sub("", text).split())


def table_text(rows: Iterable[Iterable[Any]]) -> str:
    """A table that people and models can read: a row a line, cells apart by " | "; empty rows left out."""
    lines = []
    for row in rows:
        cells = [" ".join(str(cell or "").split()) for cell in row]
        if any(cells):
            lines.append(" | ".join(cells))
    return "\n".join(lines)


def of_markdown(text: str) -> Iterator[Block]:
    """Blocks of CommonMark with tables: emphasis, links and images are read as their words."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(_without_front_matter(text))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        line = token.map[0] + 1 if token.map else None
        if token.type == "heading_open":
            said = _words(tokens[at + 1])
            if said:
                yield Block("heading", said, level=int(token.tag[1]), line=line)
            at += 3
        elif token.type in ("fence", "code_block"):
            yield Block("code", token.content.rstrip(), line=line)
            at += 1
        elif token.nesting == 1:
            end = next(
                i for i in range(at + 1, len(tokens)) if tokens[i].nesting == -1 and tokens[i].level == token.level
            )
            if made := _group(tokens[at : end + 1], line):
                yield made
            at = end + 1
        else:
            said = re.sub(r"<!--.*?-->|<[^>]+>", " ", token.content, flags=re.S) if token.type == "html_block" else ""
            if said.strip():
                yield Block("text", unbroken(said), line=line)
            at += 1


def _group(tokens: list[Any], line: int | None) -> Block | None:
    """A paragraph, list, quotation or table."""
    kind = {"table_open": "table", "bullet_list_open": "list", "ordered_list_open": "list"}.get(tokens[0].type, "text")
    if kind == "table":
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_words(token))
        said = table_text(rows)
    elif kind == "list":
        said = "\n".join(f"- {_words(token)}" for token in tokens if token.type == "inline" and _words(token))
    else:
        said = "\n".join(found for token in tokens if token.type == "inline" and (found := _words(token)))
    return Block(kind, said, line=line) if said.strip() else None


def _words(inline: Any) -> str:
    parts: list[str] = []
    for child in inline.children or ():
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
    return unbroken("".join(parts))


def _without_front_matter(text: str) -> str:
    """Metadata between two lines of --- at the top become empty lines, so that line numbers stay."""
    found = re.match(r"---\r?\n.*?\r?\n---\r?\n", text, re.S)
    return "\n" * found[0].count("\n") + text[found.end() :] if found else text
