"""What a ranker finds: the entries of its index, of records or of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from burnish.nn.index import Index
from burnish.tasks._ranking_lists import queries_of


def relevant_entries(*tables: pa.Table | None) -> Index:
    """All that is relevant to something in these records, with the `reply` beside it."""
    texts: list[str] = []
    replies: list[str | None] = []
    for table in tables:
        if table is None:
            continue
        metas = table["meta"].to_pylist() if "meta" in table.column_names else [None] * len(table)
        for query in queries_of(table):
            for row, text, value in zip(query.rows, query.candidates, query.relevance, strict=True):
                if value > 0:
                    texts.append(text)
                    replies.append(_reply(metas[row]))
    return Index.of(texts, replies)


def entries_of(path: Path) -> Index:
    """The entries of a file of records: their texts, and what their `reply` field says."""
    from burnish.core.files import read

    texts: list[str] = []
    replies: list[str | None] = []
    for part in read(path):
        if isinstance(part, pa.Table):
            texts += part["text"].to_pylist()
            replies += [_reply(meta) for meta in part["meta"].to_pylist()]
    return Index.of(texts, replies)


def _reply(meta: str | None) -> str | None:
    said = json.loads(meta).get("reply") if meta else None
    return str(said) if said else None
