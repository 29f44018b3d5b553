"""What a model would read of a record, as one text: for comparing, measuring and embedding it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

COLUMNS = ("text", "text_b", "messages")


def said(table: pa.Table, *, system: bool = True) -> list[str]:
    """The text, the second text and the turns of each record, on lines of their own: (n,). Absent parts leave no line.

    system: with the system turns of conversations; without them for comparing, for many conversations share one.
    """
    texts = table["text"].to_pylist()
    if table["text_b"].null_count == len(table) and table["messages"].null_count == len(table):
        return [text or "" for text in texts]
    return [
        "\n".join([*(one for one in (text, pair) if one), *_turns(talk, system)])
        for text, pair, talk in zip(texts, table["text_b"].to_pylist(), table["messages"].to_pylist(), strict=True)
    ]


def parts(table: pa.Table) -> list[list[str]]:
    """The same apart, a list (n,) each: texts, second texts, turns without the system's. Parts no record has are left out."""
    made = [
        [text or "" for text in table[name].to_pylist()]
        for name in ("text", "text_b")
        if table[name].null_count < len(table)
    ]
    if table["messages"].null_count < len(table):
        made.append(["\n".join(_turns(talk, False)) for talk in table["messages"].to_pylist()])
    return made


def _turns(talk: Sequence[Mapping[str, str]] | None, system: bool) -> list[str]:
    return [turn["content"] or "" for turn in talk or () if system or turn["role"] != "system"]
