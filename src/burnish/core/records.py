"""The one thing that flows through the house: a record, one Arrow schema for every task.

input       text, text_b (the second of a pair, a context, a candidate), messages (a conversation)
target      label, labels, probs, value, spans, relations, answer, output: a task uses the one or two that are its own
meta        source, file, line, time, group, language, licence, meta (everything else, a JSON object as text)
provenance  votes (who said what), trail (what was done to the record), label_from, confidence
quality     findings (check, score, reason, action), keep (False: set aside by curation, with its reason in findings)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

_quoted = json.encoder.encode_basestring
FORMAT = 2  # of SCHEMA: part of every key, so that nothing stored under another one is read as this
# what a vote says: a label; of a span, start and end; of a relation, also the tail's; of an answer or output, its text
SAID = (
    ("label", pa.string()),
    ("confidence", pa.float32()),
    ("start", pa.int32()),
    ("end", pa.int32()),
    ("tail_start", pa.int32()),
    ("tail_end", pa.int32()),
    ("text", pa.string()),
)
VOTE = pa.struct([("labeller", pa.string()), *SAID])
DOUBT = "doubt"  # the labeller, among a record's votes, of spans that were named and are not said: kept out of the loss
FINDING = pa.struct([("check", pa.string()), ("score", pa.float32()), ("reason", pa.string()), ("action", pa.string())])

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("text_b", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("label", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("probs", pa.list_(pa.float32())),  # one per label of the task, in the task's order; sums to 1
        ("value", pa.float64()),
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())]))),
        ("relations", pa.list_(pa.struct([("head", pa.int32()), ("tail", pa.int32()), ("label", pa.string())]))),
        ("answer", pa.struct([("text", pa.string()), ("start", pa.int32())])),
        ("output", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("group", pa.string()),
        ("language", pa.string()),
        ("licence", pa.string()),
        ("meta", pa.string()),
        ("votes", pa.list_(VOTE)),
        ("trail", pa.list_(pa.string())),
        ("label_from", pa.string()),  # the step that set the target: "given", "aggregate:weighted", "gold", ...
        ("confidence", pa.float32()),  # of the target, 0..1
        ("findings", pa.list_(FINDING)),
        ("keep", pa.bool_()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
INPUT = ("text", "text_b", "messages")
TARGETS = ("label", "labels", "value", "spans", "relations", "answer", "output")


@dataclass(slots=True)
class Record:
    """One row as Python sees it; `meta` is a dict here and JSON text on disk. None means absent."""

    text: str | None = None
    id: str | None = None
    text_b: str | None = None
    messages: list[dict[str, str]] | None = None
    label: str | None = None
    labels: list[str] | None = None
    probs: list[float] | None = None
    value: float | None = None
    spans: list[dict[str, Any]] | None = None
    relations: list[dict[str, Any]] | None = None
    answer: dict[str, Any] | None = None
    output: str | None = None
    source: str | None = None
    file: str | None = None
    line: int | None = None
    time: Any = None
    group: str | None = None
    language: str | None = None
    licence: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    votes: list[dict[str, Any]] = field(default_factory=list)
    trail: list[str] = field(default_factory=list)
    label_from: str | None = None
    confidence: float | None = None
    findings: list[dict[str, Any]] = field(default_factory=list)
    keep: bool = True

    def row(self) -> dict[str, Any]:
        """As a dict that fits SCHEMA."""
        row = {name: getattr(self, name) for name in COLUMNS}
        row["meta"] = json.dumps(self.meta, ensure_ascii=False, sort_keys=True) if self.meta else None
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Record:
        """From a row of SCHEMA, whole or in part."""
        known = {name: value for name, value in row.items() if name in COLUMNS and value is not None}
        known["meta"] = json.loads(row["meta"]) if row.get("meta") else {}
        if known.get("votes"):  # what a vote does not say is left out
            known["votes"] = [{key: said for key, said in vote.items() if said is not None} for vote in known["votes"]]
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not become a record: it is set aside in quarantine.jsonl, never dropped in silence.

    file: name as the user wrote it. line: 1-based, None where the format has no lines. raw: at most 2,000 characters.
    """

    file: str
    line: int | None
    reason: str
    raw: str = ""


def conform(table: pa.Table | pa.RecordBatch) -> pa.Table:
    """Cast to SCHEMA: missing columns become null (keep: true), foreign ones are an error of ours."""
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    foreign = set(table.column_names) - set(COLUMNS)
    assert not foreign, f"columns that the schema does not have: {sorted(foreign)}"
    if table.schema.equals(SCHEMA):
        return table
    columns = []
    for wanted in SCHEMA:
        if wanted.name in table.column_names:
            columns.append(table[wanted.name].cast(wanted.type))
        elif wanted.name == "keep":
            columns.append(pa.chunked_array([pa.array(np.ones(len(table), dtype=bool))]))
        else:
            columns.append(pa.chunked_array([pa.nulls(len(table), wanted.type)]))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def to_table(records: Iterable[Record]) -> pa.Table:
    """Rows to one table of SCHEMA."""
    return pa.Table.from_pylist([record.row() for record in records], schema=SCHEMA)


def iterate(batches: Iterable[pa.RecordBatch | pa.Table]) -> Iterator[Record]:
    """Batches to rows."""
    for batch in batches:
        for row in batch.to_pylist():
            yield Record.from_row(row)


def labels_of(row: Mapping[str, Any], targets: Iterable[str]) -> list[str]:
    """The labels that a record's target names, repeats included. targets: the task's columns; numbers and texts name none."""
    named: list[str] = []
    for name in targets:
        value = row.get(name)
        if name == "label" and value is not None:
            named.append(value)
        elif name == "labels":
            named += value or ()
        elif name in ("spans", "relations"):
            named += [one["label"] for one in value or ()]
    return named


def content_hash(
    text: str | None, text_b: str | None = None, messages: Sequence[Mapping[str, str]] | None = None
) -> str:
    """Hash of what a model would read (20 hexadecimal digits, 80 bits): the same input has the same hash for ever."""
    if text is not None and text_b is None and not messages:
        canonical = f"[{_quoted(text)},null,null]"  # the bytes json.dumps gives below, in a third of the time
    else:
        said = [[turn["role"], turn["content"]] for turn in messages] if messages else None
        canonical = json.dumps([text, text_b, said], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def content_hashes(table: pa.Table | pa.RecordBatch) -> list[str]:
    """`content_hash` of every row."""
    have = set(table.schema.names)
    columns = [table[name].to_pylist() if name in have else [None] * table.num_rows for name in INPUT]
    return [content_hash(*row) for row in zip(*columns, strict=True)]


class SeenCounts:
    """How often each 64-bit hash was met, in about 12 bytes a distinct hash: bounded memory for ids of repeats.

    Sorted runs are merged when two are of like size, as a log-structured merge tree does, so a batch of b hashes
    against n seen costs O(b log² n) look-ups and amortised O(log n) merging.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Take uint64 hashes (n,); return how often each was met before (n,), counting repeats inside the batch."""
        distinct, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        before = np.zeros(len(distinct), dtype=np.int64)
        for run, seen in self._runs:
            at = np.minimum(np.searchsorted(run, distinct), len(run) - 1)
            before += np.where(run[at] == distinct, seen[at], 0)
        order = np.argsort(inverse, kind="stable")
        rank = np.empty(len(hashes), dtype=np.int64)
        starts = np.cumsum(counts) - counts
        rank[order] = np.arange(len(hashes)) - np.repeat(starts, counts)
        self._merge(distinct, counts.astype(np.int32))
        return before[inverse] + rank

    def _merge(self, keys: np.ndarray, counts: np.ndarray) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(keys):
            run, seen = self._runs.pop()
            both, inverse = np.unique(np.concatenate([run, keys]), return_inverse=True)
            counts = np.bincount(inverse, weights=np.concatenate([seen, counts])).astype(np.int32)
            keys = both
        if len(keys):
            self._runs.append((keys, counts))


def assign_ids(table: pa.Table, seen: SeenCounts) -> pa.Table:
    """Give every row its id: its own if it has one, else its content hash; a repeat gets ~1, ~2, … behind it."""
    content = content_hashes(table)
    given = table["id"].to_pylist()
    ids = [own if own is not None else made for own, made in zip(given, content, strict=True)]
    times = seen.add(_hashes(ids))
    # the id that a repeat gets counts as seen too, for somebody's own id may read the same
    while len(repeats := np.flatnonzero(times)):
        for row in repeats:
            ids[row] = f"{ids[row]}~{times[row]}"
        times = np.zeros(len(ids), dtype=np.int64)
        times[repeats] = seen.add(_hashes([ids[row] for row in repeats]))
    return table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids, pa.string()))


def _hashes(ids: Sequence[str]) -> np.ndarray:
    """64 bits of each id."""
    digests = b"".join(hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, dtype=np.uint64)


PEOPLE = frozenset(
    {None, "given", "gold", "review"}
)  # what `label_from` says where no labeller or maker made the target


def from_people(table: pa.Table) -> bool:
    """Whether no target was made by labellers or makers: all were given, or people checked them."""
    return set(table["label_from"].unique().to_pylist()) <= PEOPLE
