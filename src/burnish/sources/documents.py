"""Documents cut along their structure: a record a section, with the headings it stands under."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.errors import DataError, MissingExtra
from burnish.core.formats import find_files, shown_name
from burnish.core.records import Reject
from burnish.core.rows import Chunk, Wanted, chunks, to_records
from burnish.core.stage import Context, Count, Positive, stage
from burnish.sources.blocks import Block, of_markdown, sections
from burnish.sources.pdf import of_pdf

KINDS = {".md": "md", ".markdown": "md", ".txt": "md", ".html": "html", ".htm": "html", ".docx": "docx", ".pdf": "pdf"}
UNPACKED = 20  # times its size that a DOCX, a zip of XML, may unpack to
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


@stage("sources.documents")
def documents(
    context: Context,
    *,
    path: Path,
    max_chars: Positive = 4000,
    min_chars: Count = 40,
    max_bytes: Positive = 50_000_000,
    max_pages: Positive = 2000,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
) -> Records:
    """Read Markdown, HTML, DOCX and PDF as sections: a record is what stands under one heading.

    path: a file, a folder or a glob (docs/*.{md,html,pdf,docx}); read in sorted order.
    max_chars: a longer section is cut between its paragraphs.
    min_chars: a shorter section is set aside.
    max_bytes: a larger file is set aside.
    max_pages: a PDF of more pages is set aside.
    name: of this source, in every record; the path when empty.
    licence: of the records.
    limit: records at most; 0 for all.

    `group` is the document. meta: headings (outermost first), section (its number in the document), kinds (text, list,
    table, code), and pages where the file has them. Tables stay as rows of cells; scripts and styles are not read, nothing
    is fetched, pictures are left out. HTML and DOCX are read by markitdown, PDF by pdfplumber: pip install
    burnish[documents]. Memory: one document.
    """
    files = [(file, kind) for file in _found(path) if (kind := KINDS.get(file.suffix.lower()))]
    if not files:
        raise DataError("holds no document", where=str(path), hint=f"files that end in {', '.join(KINDS)}")
    wanted = Wanted({}, name or shown_name(path, context.base), licence, None, max(max_chars * 4, 100_000))

    def every() -> Iterator[Chunk | Reject]:
        with context.progress.bar("documents", len(files)) as bar:
            for file, kind in files:
                shown = shown_name(file, context.base)
                try:
                    if file.stat().st_size > max_bytes:
                        raise ValueError(f"too long: {file.stat().st_size:,} bytes, the limit is {max_bytes:,}")
                    blocks = _blocks(file, kind, max_pages, max_bytes)
                    yield from chunks(shown, _rows(blocks, shown, max_chars, min_chars))
                except ValueError as error:
                    yield Reject(shown, None, str(error))
                bar.advance(1)

    return Records.stream(to_records(every(), wanted, limit=limit))


def _found(path: Path) -> list[Path]:
    """Files of a path; braces in a name are alternatives: *.{md,pdf}."""
    braces = re.search(r"\{([^{}]*)\}", path.name)
    if not braces:
        return [file for file, _ in find_files(path, "text")]
    found: set[Path] = set()
    for one in braces[1].split(","):
        try:
            found |= set(_found(path.with_name(path.name[: braces.start()] + one + path.name[braces.end() :])))
        except DataError:
            continue  # none of this kind: others may be there
    return sorted(found)


def _blocks(file: Path, kind: str, max_pages: int, max_bytes: int) -> Iterable[Block]:
    if kind == "pdf":
        return of_pdf(file, max_pages=max_pages)
    if kind == "md":
        raw = file.read_bytes()
        return of_markdown(raw.decode(_encoding(raw)).removeprefix("\ufeff"))
    return of_markdown(_converted(file, kind, max_bytes))


def _converted(file: Path, kind: str, max_bytes: int) -> str:
    """HTML and DOCX as Markdown. ValueError says what is wrong with the file."""
    try:
        from markitdown import StreamInfo
        from markitdown.converters import DocxConverter, HtmlConverter
    except ImportError as error:
        raise MissingExtra("reading HTML and DOCX", "documents") from error
    if kind == "docx":
        _check_zip(file, max_bytes)
    charset = _encoding(file.read_bytes()) if kind == "html" else None
    try:
        with file.open("rb") as stream:
            converter: Any = (DocxConverter if kind == "docx" else HtmlConverter)()
            how: dict[str, Any] = {"strict": True} if kind == "html" else {}
            said: str = converter.convert(stream, StreamInfo(extension=f".{kind}", charset=charset), **how).markdown
            return said
    except RecursionError as error:
        raise ValueError("too deep: its elements are nested too deeply") from error
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"broken {kind.upper()}: {error!r}"[:200]) from error


def _check_zip(file: Path, max_bytes: int) -> None:
    try:
        with zipfile.ZipFile(file) as packed:
            size = sum(one.file_size for one in packed.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError("broken DOCX: it is no zip") from error
    if size > max(UNPACKED * file.stat().st_size, 10_000_000) or size > UNPACKED * max_bytes:
        raise ValueError(f"too long: it unpacks to {size:,} bytes")


def _encoding(raw: bytes) -> str:
    """UTF-8 where the bytes are that, else what the file declares, else GB 18030."""
    for name in ("utf-8", *(found.decode("ascii") for found in _CHARSET.findall(raw[:4096])), "gb18030"):
        try:
            raw.decode(name)
            return str(name)
        except (UnicodeDecodeError, LookupError):
            continue
    raise ValueError("not Unicode: neither UTF-8 nor what it declares nor GB 18030")


def _rows(
    blocks: Iterable[Block], shown: str, max_chars: int, min_chars: int
) -> Iterator[tuple[int, dict[str, Any], str] | Reject]:
    number = 0
    for section in sections(blocks, max_chars=max_chars):
        text, first = section.text, section.blocks[0]
        if len(text) < min_chars:
            yield Reject(shown, first.line, f"too short: a section of fewer than {min_chars} characters", text)
            continue
        number += 1
        meta: dict[str, Any] = {
            "headings": list(section.path),
            "section": number,
            "kinds": sorted({block.kind for block in section.blocks}),
        }
        if section.pages:
            meta["pages"] = section.pages
        yield first.line or number, {"text": text, "group": shown, "meta": meta}, text
    if not number:
        yield Reject(shown, None, "no text: no section that is long enough")
