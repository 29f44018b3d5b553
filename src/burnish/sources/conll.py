"""CoNLL columns as a source: formats.conll reads them; here they become a stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.core.artifacts import Records
from burnish.core.formats import find_files, shown_name
from burnish.core.lines import lines
from burnish.core.records import Reject
from burnish.core.rows import MAX_CHARS, Chunk, Wanted, chunks, to_records
from burnish.core.stage import Context, Count, Positive, stage
from burnish.formats.conll import Join, sentences


@stage("sources.conll")
def conll(
    context: Context,
    *,
    path: Path,
    token: int = 0,
    tag: int = -1,
    join: Join = "auto",
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
) -> Records:
    """Read tagged tokens in columns as texts with spans; IOB1, BIO, BIOES, BMES and BILOU are all understood.

    A -DOCSTART- line begins a document, and its sentences share a group. The tags are those of the file: a B begins a
    span, any other prefix continues an open span of the same label, else begins one (as conlleval counts).

    path: a file, a folder (every file in it) or a glob; read in sorted order.
    token: column of the token, counted from 0; negative from the end.
    tag: column of the tag.
    join: what stands between two tokens: "blank", "none", or "auto": a blank, but in a sentence with Chinese characters
    nothing, except between two words in Latin letters.
    name: of this source, in every record; the path when empty.
    licence: of the records.
    limit: records at most; 0 for all.
    max_chars: a longer sentence is set aside.
    encoding: of the files.
    """
    wanted = Wanted({}, name or shown_name(path, context.base), licence, None, max_chars)

    def every() -> Iterator[Chunk | Reject]:
        for file, _ in find_files(path, "text"):
            shown = shown_name(file, context.base)
            text = lines(file, shown=shown, encoding=encoding, max_bytes=1 << 20)
            yield from chunks(shown, sentences(text, shown, token, tag, join, max_chars))

    return Records.stream(to_records(every(), wanted, limit=limit))
