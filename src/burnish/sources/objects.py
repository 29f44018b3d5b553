"""A source in an object store: the formats of files, read as streams."""

from __future__ import annotations

import itertools
from typing import Any

from burnish.core.artifacts import Records
from burnish.core.formats import Format, format_of, parse
from burnish.core.objects import ObjectUrl, find_objects
from burnish.core.rows import MAX_CHARS, Wanted, to_records
from burnish.core.stage import Context, Count, Positive, stage
from burnish.core.tasktypes import targets_of


@stage("sources.objects")
def objects(
    context: Context,
    *,
    url: ObjectUrl,
    format: Format = "auto",
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
    encoding: str = "utf-8",
) -> Records:
    """Read records from an object store (s3://, gs://, …), streamed and never copied to disk.

    JSONL, CSV, TSV, Parquet or plain lines, also compressed.

    url: s3://, gs://, abfs://, hdfs://, or a scheme that fsspec knows: an object, a folder, or a glob (s3://bucket/raw/*.jsonl.gz).
    format: auto goes by the suffix.
    fields: record field -> key or column, as for sources.jsonl.
    name: of this source, in every record; the URL when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none.
    max_chars: a text of more characters is set aside.
    encoding: of text formats.

    The step is made again when the listing (names, sizes, times) changes.
    """
    wanted = Wanted(fields or {}, name or str(url), licence, label_names, max_chars, targets_of(context.task))
    found: list[Any] = [(one, format_of(one, format)) for one in find_objects(str(url))]
    parsed = (parse(one, its, shown=str(one), max_chars=max_chars, encoding=encoding) for one, its in found)
    return Records.stream(to_records(itertools.chain.from_iterable(parsed), wanted, limit=limit))
