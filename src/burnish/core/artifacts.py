"""What stages hand to each other. Each kind knows how it lies on disk: one folder an artefact.

Records  records.parquet (core.records.SCHEMA) + quarantine.jsonl where rows were set aside
Gold     the same, holding checked records
Votes    votes.parquet, one row a vote + labellers.json
Split    train.parquet, validation.parquet, test.parquet
Model    a folder in transformers' save_pretrained layout (or model.onnx) + burnish.json
Pretrained  a backbone of this run: a folder in transformers' save_pretrained layout + pretraining.json; tuning starts from it
Report   report.json, report.html where there is a page, and files the report names
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.core.records import SAID, SCHEMA, TARGETS, Record, Reject, conform, iterate, to_table

BATCH_ROWS = 8192
SIDES = ("train", "validation", "test")


class Artifact:
    """A thing a stage makes. `save` writes it into an empty folder, `open` reads it back, lazily where it is large."""

    kind: ClassVar[str]

    def save(self, folder: Path) -> dict[str, Any]:
        """Write into `folder`; return the counts that a person wants to see."""
        raise NotImplementedError

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        raise NotImplementedError


KINDS: dict[str, type[Artifact]] = {}


def kind(cls: type[Artifact]) -> type[Artifact]:
    """Register an artefact class under its name."""
    cls.kind = cls.__name__
    KINDS[cls.__name__] = cls
    return cls


@kind
class Records(Artifact):
    """A stream of Arrow record batches under core.records.SCHEMA.

    From disk it can be walked any number of times and never needs more memory than a batch; built from a generator
    (`Records.stream`) it is walked once, by `save`.
    """

    def __init__(
        self, walk: Callable[[Sequence[str] | None], Iterator[pa.Table | Reject]], count: int | None = None
    ) -> None:
        self._walk, self._count = walk, count
        self.folder: Path | None = None
        self.facts: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}  # name -> content of what lies beside them; a walk may fill it to its end

    @classmethod
    def stream(cls, items: Iterable[pa.Table | pa.RecordBatch | Reject]) -> Records:
        """From a generator of batches; a `Reject` among them goes to the quarantine."""
        return cls(lambda columns: (item if isinstance(item, Reject) else conform(item) for item in items))

    @classmethod
    def from_table(cls, table: pa.Table) -> Records:
        """From one table in memory."""
        whole = conform(table)

        def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
            chosen = whole.select(list(columns)) if columns else whole
            return (chosen.slice(at, BATCH_ROWS) for at in range(0, len(chosen), BATCH_ROWS))

        return cls(walk, len(whole))

    @classmethod
    def from_rows(cls, rows: Iterable[Record]) -> Records:
        """From Python records in memory."""
        return cls.from_table(to_table(rows))

    @classmethod
    def from_parquet(cls, path: Path) -> Records:
        """From a parquet file of SCHEMA."""

        def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns) if columns else None):
                    yield pa.Table.from_batches([batch])

        return cls(walk, pq.read_metadata(path).num_rows)

    def __len__(self) -> int:
        if self._count is None:
            raise TypeError("a stream has no length before it is saved")
        return self._count

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables of at most BATCH_ROWS rows, in order."""
        return (item for item in self._walk(columns) if not isinstance(item, Reject))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Everything at once: only where a stage must see all, and its docstring says so."""
        schema = pa.schema([SCHEMA.field(name) for name in columns]) if columns else SCHEMA
        return pa.concat_tables([schema.empty_table(), *self.batches(columns)]).combine_chunks()

    def column(self, name: str) -> list[Any]:
        """One column as Python values."""
        values: list[Any] = self.table([name])[name].to_pylist()
        return values

    def __iter__(self) -> Iterator[Record]:
        return iterate(self.batches())

    def quarantine(self) -> Path | None:
        """The file of rows set aside, where there is one."""
        path = self.folder / "quarantine.jsonl" if self.folder else None
        return path if path and path.exists() else None

    def save(self, folder: Path) -> dict[str, Any]:
        reasons: Counter[str] = Counter()
        aside = None
        count = labelled = kept = 0
        try:
            with pq.ParquetWriter(folder / "records.parquet", SCHEMA, compression="zstd") as writer:
                for item in self._walk(None):
                    if isinstance(item, Reject):
                        aside = aside or (folder / "quarantine.jsonl").open("w", encoding="utf-8")
                        line = {"file": item.file, "line": item.line, "reason": item.reason, "raw": item.raw[:2000]}
                        # surrogates stand for bytes that were not UTF-8: escape them, keep everything else readable
                        said = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
                        aside.write(said + "\n")
                        reasons[item.reason.split(":")[0]] += 1
                    elif item.num_rows:
                        writer.write_table(item)
                        count += item.num_rows
                        labelled += item.num_rows - min(item[name].null_count for name in TARGETS)
                        kept += sum(item["keep"].to_pylist())
        finally:
            if aside:
                aside.close()
        counts: dict[str, Any] = {"records": count}
        if labelled:
            counts["labelled"] = labelled
        if kept != count:
            counts["kept"] = kept
        if reasons:
            counts |= {"quarantined": reasons.total(), "reasons": dict(reasons.most_common())}
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        if self.facts:
            write_json(folder / "facts.json", self.facts)
        return counts

    @classmethod
    def open(cls, folder: Path) -> Records:
        records = cls.from_parquet(folder / "records.parquet")
        records.folder = folder
        facts = folder / "facts.json"
        records.facts = json.loads(facts.read_text("utf-8")) if facts.exists() else {}
        return records


@kind
class Gold(Records):
    """A few checked records. `facts["train"]` says whether the spec allows to train on them."""


@dataclass(frozen=True)
class Labeller:
    """Who votes. kind: the stage that made it; says: labels it can give; about: what a person reads (its words, pattern)."""

    name: str
    kind: str
    says: tuple[str, ...] = ()
    about: str = ""
    trust: float | None = None  # accuracy the user claims, 0..1; None when nothing is claimed


@kind
class Votes(Artifact):
    """Votes of one or more labellers on the rows of a Records artefact; who does not vote on a row abstains.

    table: row (int64, position in the Records), labeller (string, a name in `labellers`), label (string), confidence
    (float32, 0..1; where a record may have several labels, under 0.5 is a vote against), start, end (int32, characters of
    a span or a relation's head; null for votes on the whole record), tail_start, tail_end (of a relation's tail), text
    (of an answer or an output).
    A labeller that takes `Gold | None` votes on the checked records too, so that it can be weighed: row -1 is the first
    gold record, -2 the second, and so on. These votes label nothing.
    files: name -> path of a file that goes with them (a teacher's ledger of failures).
    """

    SCHEMA = pa.schema([("row", pa.int64()), ("labeller", pa.string()), *SAID])

    def __init__(self, labellers: Sequence[Labeller], table: pa.Table) -> None:
        self.labellers, self.table = list(labellers), table
        self.files: Mapping[str, Path] = {}

    @classmethod
    def from_rows(cls, labellers: Sequence[Labeller], rows: Iterable[tuple[int, str, str, float]]) -> Votes:
        """From (row, labeller name, label, confidence): votes on whole records."""
        columns = ("row", "labeller", "label", "confidence")
        return cls(labellers, cls.tabled([dict(zip(columns, row, strict=True)) for row in rows]))

    @classmethod
    def tabled(cls, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Votes under SCHEMA; what a row does not say is null."""
        return pa.Table.from_pylist([dict(row) for row in rows], schema=cls.SCHEMA)

    def save(self, folder: Path) -> dict[str, Any]:
        pq.write_table(self.table.cast(self.SCHEMA), folder / "votes.parquet", compression="zstd")
        write_json(folder / "labellers.json", [vars(labeller) for labeller in self.labellers])
        for name, path in self.files.items():
            shutil.copy2(path, folder / name)
        return {"labellers": len(self.labellers), "votes": len(self.table)}

    @classmethod
    def open(cls, folder: Path) -> Votes:
        stored = json.loads((folder / "labellers.json").read_text("utf-8"))
        labellers = [Labeller(**{**one, "says": tuple(one["says"])}) for one in stored]
        return cls(labellers, pq.read_table(folder / "votes.parquet"))


@kind
@dataclass
class Split(Artifact):
    """Who teaches and who judges. facts: how it was drawn and what was checked."""

    train: Records
    validation: Records
    test: Records
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> dict[str, Any]:
        for side in SIDES:
            records: Records = getattr(self, side)
            with pq.ParquetWriter(folder / f"{side}.parquet", SCHEMA, compression="zstd") as writer:
                for batch in records.batches():
                    writer.write_table(batch)
        write_json(folder / "facts.json", self.facts)
        return {side: pq.read_metadata(folder / f"{side}.parquet").num_rows for side in SIDES}

    @classmethod
    def open(cls, folder: Path) -> Split:
        train, validation, test = (Records.from_parquet(folder / f"{side}.parquet") for side in SIDES)
        return cls(train, validation, test, json.loads((folder / "facts.json").read_text("utf-8")))


@kind
@dataclass
class Model(Artifact):
    """A folder that a Predictor opens. `info` is its burnish.json (task, labels, format, temperature, thresholds, history)."""

    folder: Path
    info: dict[str, Any]

    def save(self, folder: Path) -> dict[str, Any]:
        if self.folder != folder:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        write_json(folder / "burnish.json", self.info)
        return {name: self.info[name] for name in ("format", "parameters", "accepted") if name in self.info}

    @classmethod
    def open(cls, folder: Path) -> Model:
        return cls(folder, json.loads((folder / "burnish.json").read_text("utf-8")))


@kind
@dataclass
class Pretrained(Artifact):
    """A backbone that this run made of text alone: it answers nothing yet. `info` is its pretraining.json."""

    folder: Path
    info: dict[str, Any]

    def save(self, folder: Path) -> dict[str, Any]:
        if self.folder != folder:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        write_json(folder / "pretraining.json", self.info)
        return {name: self.info[name] for name in ("kind", "parameters", "tokens", "loss") if name in self.info}

    @classmethod
    def open(cls, folder: Path) -> Pretrained:
        return cls(folder, json.loads((folder / "pretraining.json").read_text("utf-8")))


@kind
@dataclass
class Report(Artifact):
    """Numbers, and the page that shows them. files: name -> path of a file that goes with it.

    numbers["verdict"]: one sentence a person reads first. numbers["headline"]: {figure: value} for the terminal.
    """

    numbers: dict[str, Any]
    page: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None

    def save(self, folder: Path) -> dict[str, Any]:
        for name, path in self.files.items():
            if path != folder / name:
                shutil.copy2(path, folder / name)
        write_json(folder / "report.json", self.numbers)
        if self.page is not None:
            (folder / "report.html").write_text(self.page, encoding="utf-8")
        return dict(self.numbers.get("headline", {}))

    @classmethod
    def open(cls, folder: Path) -> Report:
        page = folder / "report.html"
        numbers = json.loads((folder / "report.json").read_text("utf-8"))
        return cls(numbers, page.read_text("utf-8") if page.exists() else None, folder=folder)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people read: UTF-8 without escapes, atomically."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(json.dumps(value, ensure_ascii=False, indent=1, default=_plain) + "\n", encoding="utf-8")
    os.replace(half, path)


def _plain(value: Any) -> Any:
    """numpy scalars and arrays, paths and tuples of them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
