"""PDF as blocks: headings by the size and weight of their letters, tables by their lines, running heads left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.core.errors import MissingExtra
from burnish.sources.blocks import Block, table_text, unbroken

LARGER = 1.12  # times the size of the body from which a line is a heading
LONGEST_HEADING = 120  # characters
LEVELS = 4  # sizes of headings that are told apart
_ENDS = re.compile(r"[.。!！?？:：;；]\s*$")


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    size: float
    bold: bool
    top: float
    bottom: float
    page: int
    at_edge: bool  # the first or last of its page


def of_pdf(path: Path, *, max_pages: int) -> Iterator[Block]:
    """Blocks with their pages. ValueError where it is encrypted, longer than `max_pages`, or holds no text (a scan)."""
    try:
        import pdfplumber
        from pdfminer.pdfdocument import PDFPasswordIncorrect
        from pdfplumber.utils.exceptions import PdfminerException
    except ImportError as error:
        raise MissingExtra("reading PDF", "documents") from error
    lines: list[_Line | Block] = []
    try:
        with pdfplumber.open(path) as pdf:
            if len(pdf.pages) > max_pages:
                raise ValueError(f"too long: {len(pdf.pages):,} pages, the limit is {max_pages:,}")
            for number, page in enumerate(pdf.pages, start=1):
                lines += _page(page, number)
                page.close()
    except PdfminerException as error:
        locked = isinstance(error.args[0] if error.args else None, PDFPasswordIncorrect)
        raise ValueError("encrypted: it asks for a password" if locked else f"broken PDF: {error!r}"[:200]) from error
    if not any(isinstance(one, _Line) for one in lines):
        raise ValueError("no text: it holds pictures of pages, which need character recognition first")
    return _blocks(lines)


def _page(page: Any, number: int) -> list[_Line | Block]:
    """Lines and tables of a page from top to bottom."""
    tables = [table for table in page.find_tables() if len(table.rows) > 1]
    found: list[tuple[float, _Line | Block]] = [
        (table.bbox[1], Block("table", said, page=number)) for table in tables if (said := table_text(table.extract()))
    ]
    outside = [
        line
        for line in page.extract_text_lines(return_chars=True)
        if not any(t.bbox[1] <= (line["top"] + line["bottom"]) / 2 <= t.bbox[3] for t in tables)
    ]
    for at, line in enumerate(outside):
        sizes = Counter(round(char["size"], 1) for char in line["chars"])
        bold = all("bold" in char["fontname"].lower() for char in line["chars"] if char["text"].strip())
        edge = at in (0, len(outside) - 1)
        size = sizes.most_common(1)[0][0]
        found.append((line["top"], _Line(line["text"], size, bold, line["top"], line["bottom"], number, edge)))
    return [one for _, one in sorted(found, key=lambda one: one[0])]


def _blocks(lines: list[_Line | Block]) -> Iterator[Block]:
    told = [line for line in lines if isinstance(line, _Line)]
    body = Counter[float]()
    for one in told:
        body[one.size] += len(one.text)
    usual = body.most_common(1)[0][0]
    running = _running_heads(told)
    larger = sorted({line.size for line in told if line.size >= LARGER * usual and len(line.text) <= LONGEST_HEADING})
    level = {size: min(at, LEVELS) for at, size in enumerate(reversed(larger), start=1)}
    bold_level = min(len(larger), LEVELS) + 1
    held: list[_Line] = []

    def paragraph() -> Iterator[Block]:
        if held:
            yield Block("text", unbroken(_mended("\n".join(one.text for one in held))), page=held[0].page)
            held.clear()

    for line in lines:
        if isinstance(line, Block):
            yield from paragraph()
            yield line
        elif _shape(line) in running and line.at_edge:
            continue
        elif line.size in level or (
            line.bold and line.size >= usual and len(line.text) <= 80 and not _ENDS.search(line.text)
        ):
            yield from paragraph()
            yield Block("heading", unbroken(line.text), level=level.get(line.size, bold_level), page=line.page)
        else:
            if (
                held
                and (line.page != held[-1].page or line.top - held[-1].bottom > 0.8 * (line.bottom - line.top))
                and (line.page == held[-1].page or _ENDS.search(held[-1].text))
            ):
                yield from paragraph()
            held.append(line)
    yield from paragraph()


def _running_heads(lines: list[_Line]) -> set[str]:
    """What stands at the edge of most pages, figures aside: heads, feet, page numbers."""
    pages = len({line.page for line in lines})
    seen = Counter(shape for _, shape in {(line.page, _shape(line)) for line in lines if line.at_edge})
    return {shape for shape, count in seen.items() if pages >= 3 and count > pages / 2} | {"", "#"}


def _shape(line: _Line) -> str:
    return re.sub(r"\d+", "#", line.text).strip(" -–—|第页Pageof/").strip()


def _mended(text: str) -> str:
    """Words that a line end cut are whole again."""
    return re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)
