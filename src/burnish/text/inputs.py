"""What a model would read of a record, as one text: for comparing, measuring and embedding it."""

from __future__ import annotations

import pyarrow as pa

COLUMNS = ("text", "text_b", "messages")


def said(table: pa.Table) -> list[str]:
    """The text, the second text and the turns of each record, on lines of their own: (n,). Absent parts leave no line."""
    texts = table["text"].to_pylist()
    if table["text_b"].null_count == len(table) and table["messages"].null_count == len(table):
        return [text or "" for text in texts]
    return [
        "\n".join([*(one for one in (text, pair) if one), *(turn["content"] or "" for turn in talk or ())])
        for text, pair, talk in zip(texts, table["text_b"].to_pylist(), table["messages"].to_pylist(), strict=True)
    ]
