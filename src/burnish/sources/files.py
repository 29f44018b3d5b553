"""Sources that are files: JSONL, CSV and TSV, Parquet, plain text. core.files reads them; here they become stages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from burnish.core import files
from burnish.core.artifacts import Records
from burnish.core.rows import MAX_CHARS
from burnish.core.stage import Context, Count, Positive, stage
from burnish.core.tasktypes import targets_of


@stage("sources.jsonl")
def jsonl(
    context: Context,
    *,
    path: Path,
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
) -> Records:
    """Read JSON objects, one a line, also compressed (.gz, .zst, .bz2, .xz).

    path: a file, a folder or a glob (raw/*.jsonl); read in sorted order.
    fields: record field -> key in the file, dotted for nested objects (user.id); "" leaves a field unread. A field that
    is not named here is found under its own name (text, label, time, group, …); all other keys are kept in meta.
    name: of this source, in every record; the path when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    encoding: of the file.
    """
    read = files.read(
        path,
        format="jsonl",
        fields=fields,
        source=name,
        licence=licence,
        limit=limit,
        label_names=label_names,
        max_chars=max_chars,
        encoding=encoding,
        base=context.base,
        targets=targets_of(context.task),
    )
    return Records.stream(read)


@stage("sources.csv")
def csv(
    context: Context,
    *,
    path: Path,
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
    delimiter: str = "",
    columns: list[str] | None = None,
) -> Records:
    """Read comma- or tab-separated rows with a header, also compressed.

    path: a file, a folder or a glob; read in sorted order.
    fields: record field -> column; "" leaves a field unread. A field that is not named here is found under its own name;
    all other columns are kept in meta.
    name: of this source, in every record; the path when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    encoding: of the file: utf-8, gb18030, latin-1, …
    delimiter: one character; by default a tab for .tsv and .tab, else a comma. A field that starts with a quote may hold
    newlines, but not where tabs separate.
    columns: the names of the columns of a file without a header.
    """
    read = files.read(
        path,
        format="csv",
        fields=fields,
        source=name,
        licence=licence,
        limit=limit,
        label_names=label_names,
        max_chars=max_chars,
        encoding=encoding,
        delimiter=delimiter,
        columns=columns,
        base=context.base,
        targets=targets_of(context.task),
    )
    return Records.stream(read)


@stage("sources.parquet")
def parquet(
    context: Context,
    *,
    path: Path,
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
) -> Records:
    """Read Parquet files; `line` of a record is its row.

    path: a file, a folder or a glob; read in sorted order.
    fields: record field -> column, dotted for structs; "" leaves a field unread. A field that is not named here is found
    under its own name; all other columns are kept in meta.
    name: of this source, in every record; the path when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    """
    read = files.read(
        path,
        format="parquet",
        fields=fields,
        source=name,
        licence=licence,
        limit=limit,
        label_names=label_names,
        max_chars=max_chars,
        base=context.base,
        targets=targets_of(context.task),
    )
    return Records.stream(read)


@stage("sources.text")
def text(
    context: Context,
    *,
    path: Path,
    unit: Literal["line", "paragraph", "file"] = "line",
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
) -> Records:
    """Read plain text: a record a line, a paragraph, or a file.

    path: a file, a folder (every file in it) or a glob; read in sorted order.
    unit: what one record is; a paragraph ends at an empty line.
    name: of this source, in every record; the path when empty.
    licence: of the records.
    limit: records at most; 0 for all.
    max_chars: a longer record is set aside.
    encoding: of the files: utf-8, gb18030, latin-1, …
    """
    read = files.read(
        path,
        format="text",
        source=name,
        licence=licence,
        limit=limit,
        max_chars=max_chars,
        encoding=encoding,
        unit=unit,
        base=context.base,
        targets=targets_of(context.task),
    )
    return Records.stream(read)
