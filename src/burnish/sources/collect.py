"""The end of the room: all sources as one stream of records, and one quarantine."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.records import SCHEMA, Reject, SeenCounts, content_hashes
from burnish.core.stage import Context, stage

# an id that assign_ids made: the content's hash, and a number for a repeat
MADE = re.compile(r"([0-9a-f]{20})~\d+")


@stage("sources.collect", closing=True)
def collect(records: list[Records], context: Context, *, exact: bool = False, language: bool = True) -> Records:
    """Put all sources one after another, in the order written, with ids that no two records share.

    Rows that the sources set aside stay in the quarantine. Counts per source, language and licence are kept as facts.
    Memory: a batch, and 12 bytes a record (24 with `exact`). Raises DataError when no source gave a record.

    exact: set aside a record whose whole input was met before; by default repeats stay, and quality.audit judges them.
    language: name the language of the records that do not say theirs.
    """
    facts: dict[str, Any] = {}
    collected = Records.stream(_walk(records, context, exact, language, facts))
    collected.facts = facts  # filled while the stream is walked
    return collected


def _walk(
    sources: list[Records], context: Context, exact: bool, language: bool, facts: dict[str, Any]
) -> Iterator[pa.Table | Reject]:
    ids, inputs = SeenCounts(), SeenCounts()
    by_source: dict[str, Counter[str]] = {}
    languages: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    aside = 0
    for position, source in enumerate(sources, start=1):
        for table in source.batches():
            if exact:
                again = inputs.add(_hashes(content_hashes(table))) > 0
                yield from _repeats(table.filter(pa.array(again)))
                aside += int(again.sum())
                table = table.filter(pa.array(~again))
            table = _with_ids(table, ids)
            if language:
                table = _with_language(table, context.task.languages)
            for name in table["source"].to_pylist():
                by_source.setdefault(name or f"source {position}", Counter())["records"] += 1
            languages.update(one or "unknown" for one in table["language"].to_pylist())
            licences.update(one or "not stated" for one in table["licence"].to_pylist())
            yield table
        for reject in _quarantined(source):
            aside += 1
            yield reject
    total = sum(count["records"] for count in by_source.values())
    if not total:
        reasons = Counter(r.reason.split(":")[0] for source in sources for r in _quarantined(source))
        often = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3))
        raise DataError(
            f"no source gave a record; {aside:,} rows were set aside" + (f": {often}" if often else ""),
            where="sources",
            hint="see quarantine.jsonl of the sources; `fields` says which column holds the text",
        )
    facts |= {
        "sources": {name: count["records"] for name, count in by_source.items()},
        "languages": dict(languages.most_common()),
        "licences": dict(licences.most_common()),
        "set_aside": aside,
    }


def _hashes(keys: list[str]) -> np.ndarray:
    return np.array([int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) for key in keys], dtype=np.uint64)


def _with_ids(table: pa.Table, seen: SeenCounts) -> pa.Table:
    """Number repeats on (a~1, a~2 …), until no id was met before: a source may itself hold an a~1."""
    ids = table["id"].to_pylist()
    repeats = np.flatnonzero(seen.add(_hashes(ids)))
    if not len(repeats):
        return table
    bases = {i: made[1] if (made := MADE.fullmatch(ids[i])) else ids[i] for i in repeats.tolist()}
    tries = dict.fromkeys(bases, 0)
    rivals: Counter[str] = Counter()
    pending = list(bases)
    while pending:
        for i in pending:
            rivals[bases[i]] += 1
            tries[i] = rivals[bases[i]]
            ids[i] = f"{bases[i]}~{tries[i]}"
        met = seen.add(_hashes([ids[i] for i in pending]))
        pending = [i for i, times in zip(pending, met, strict=True) if times]
    return table.set_column(SCHEMA.get_field_index("id"), "id", pa.array(ids, pa.string()))


def _with_language(table: pa.Table, among: tuple[str, ...]) -> pa.Table:
    """`among` settles texts too short to tell; a text without letters stays without a language."""
    from burnish.text.language import UNKNOWN, languages

    stated = table["language"].to_pylist()
    missing = [i for i, one in enumerate(stated) if one is None]
    if not missing:
        return table
    rows = table.select(["text", "messages"]).take(pa.array(missing))
    texts = [
        text if text is not None else " ".join(turn["content"] for turn in messages or [])
        for text, messages in zip(rows["text"].to_pylist(), rows["messages"].to_pylist(), strict=True)
    ]
    for i, code in zip(missing, languages(texts, among=among).code.tolist(), strict=True):
        stated[i] = None if code == UNKNOWN else code
    return table.set_column(SCHEMA.get_field_index("language"), "language", pa.array(stated, pa.string()))


def _repeats(table: pa.Table) -> Iterator[Reject]:
    for row in table.select(["file", "line", "id", "text"]).to_pylist():
        yield Reject(
            row["file"] or "", row["line"], f"repeat: the input of {row['id']} was met before", row["text"] or ""
        )


def _quarantined(source: Records) -> Iterator[Reject]:
    if path := source.quarantine():
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield Reject(**json.loads(line))
