"""Answer for every line of a file: `burnish predict`.

A chunk of lines goes through one thread from its bytes to its answers: parsed, encoded, computed in batches of like length,
written out as JSON. While one thread of each core computes, which holds no lock, the others parse and write.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from burnish.core.errors import DataError
from burnish.core.progress import Progress, Silent

CHUNK_LINES = 2048
# Bytes of a chunk: long enough to find texts of like length for every batch, and near the end of the file a share of what
# is left, so that no core ends long before the others.
CHUNK_BYTES = (16 << 10, 1 << 20)
WRITTEN_LINES = 32  # of a chunk whose answers are written token by token: progress should be seen


@dataclass(frozen=True)
class Chunk:
    """Lines as they stand in the file (a string), or rows of a table (a dict); `kind` says how to read a string."""

    kind: str
    rows: list[Any]


@dataclass(frozen=True)
class Done:
    """The answered lines of a chunk, as bytes of JSONL."""

    written: bytes
    lines: int
    bad: int


def predict_file(
    model: Path, read: Path, out: Path, *, text: str = "text", progress: Progress | None = None
) -> dict[str, Any]:
    """Write one JSON line per input line, in order, with `prediction` added; return what was done.

    An input is named as in any file of records (text, text_b; question, context; query, candidates; messages; source), or
    `text` names the field that holds it. A line that cannot be answered keeps its place with `prediction: null` and
    `error`. JSONL (.gz, .zst), plain text (a text a line), CSV, TSV and Parquet (a row a line) are streamed: memory holds a
    few chunks of at most CHUNK_LINES lines or a megabyte. The output appears whole under its name.
    """
    from burnish.nn.runtime import usable_cores
    from burnish.serve.inputs import Inputs
    from burnish.serve.models import opened

    progress = progress or Silent()
    if not read.is_file():
        raise DataError("no such file", where=str(read), hint="give the file to answer for with -i")
    predictor = opened(model)
    generates = predictor.task.engine == "generator"
    own_threads = generates or predictor.info.get("format") != "onnx"  # one batch is computed on all cores
    workers = 1 if own_threads else usable_cores()
    most = WRITTEN_LINES if generates else CHUNK_LINES
    reader = Inputs(predictor.task)
    began, lines, bad = time.perf_counter(), 0, 0
    half = out.with_name(f".{out.name}.{os.getpid()}")

    def answer(chunk: Chunk) -> Done:
        return _answered(chunk, predictor, reader, text, read.parent)

    try:
        with half.open("wb") as target, progress.bar("answering", None, "lines") as bar:
            for done in _in_order(answer, _chunks(read, text, workers=workers, most=most), workers=workers):
                target.write(done.written)
                lines += done.lines
                bad += done.bad
                bar.advance(done.lines)
            target.flush()
            os.fsync(target.fileno())
        os.replace(half, out)
    finally:
        half.unlink(missing_ok=True)
    seconds = time.perf_counter() - began
    return {
        "output": str(out),
        "lines": lines,
        "not_answered": bad,
        "seconds": round(seconds, 2),
        "lines_per_s": round(lines / seconds, 1),
    }


def _in_order(work: Any, chunks: Iterable[Chunk], *, workers: int) -> Iterator[Done]:
    """Results in the order of the chunks, at most two chunks ahead of the workers."""
    waiting: deque[Future[Done]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for at, chunk in enumerate(chunks):
            waiting.append(pool.submit(work, chunk))
            if at == 0:
                waiting[0].result()  # the first, a small one, alone: the tokenizer is set up by whoever uses it first
            while len(waiting) > workers + 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _answered(chunk: Chunk, predictor: Any, reader: Any, text: str, folder: Path) -> Done:
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    inputs = []
    for one in chunk.rows:
        row, error = _row(one, chunk.kind, text)
        if error is None:
            try:
                inputs.append(reader.of_row(row, text=text, folder=folder))
            except ValueError as wrong:
                error = str(wrong)
        rows.append(row)
        errors.append(error)
    answers = iter(predictor.answers(inputs, chunk=len(inputs)).items if inputs else ())
    written = []
    for row, error in zip(rows, errors, strict=True):
        said = {"prediction": next(answers)} if error is None else {"prediction": None, "error": error}
        written.append(json.dumps({**row, **said}, ensure_ascii=False, default=str))
    written.append("")
    # half of a surrogate pair, which JSON can hold and UTF-8 cannot, goes out escaped as it came
    return Done("\n".join(written).encode("utf-8", "backslashreplace"), len(rows), sum(e is not None for e in errors))


def _row(one: Any, kind: str, text: str) -> tuple[dict[str, Any], str | None]:
    """A line as an object, and what is wrong with it."""
    if not isinstance(one, str):
        return one, None
    if kind == "txt":
        return {text: one}, None
    try:
        row = json.loads(one)
    except (ValueError, RecursionError) as error:
        return {"raw": one[:2000]}, f"not JSON: {error}"
    return (row, None) if isinstance(row, dict) else ({"raw": one[:2000]}, "not an object")


def _chunks(path: Path, text: str, *, workers: int, most: int) -> Iterator[Chunk]:
    """The file in chunks of at most `most` lines, of a share of the bytes that are left."""
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2].lower()
    packed = path.suffix in (".gz", ".zst") or kind == "parquet"
    left = float("inf") if packed else path.stat().st_size
    low, high = CHUNK_BYTES
    rows: list[Any] = []
    size, room = 0, low
    for row, length in _rows(path, kind):
        rows.append(row)
        size += length
        if size >= room or len(rows) == most:
            yield Chunk(kind, rows)
            left -= size
            rows, size, room = [], 0, int(min(high, max(low, left / (3 * workers))))
    if rows:
        yield Chunk(kind, rows)


def _rows(path: Path, kind: str) -> Iterator[tuple[Any, int]]:
    """(line or row, its bytes, about) of the file, whatever is in it."""
    if kind == "parquet":
        yield from ((row, 256) for row in _parquet(path))
        return
    with _open(path) as handle:
        if kind in ("csv", "tsv"):
            for row in _csv(handle, kind):
                yield row, sum(len(value) for value in row.values() if isinstance(value, str))
            return
        for line in handle:
            yield line.rstrip("\r\n"), len(line) if line.isascii() else len(line.encode("utf-8", "replace"))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    """Text of a file, plain or compressed; bytes that are not UTF-8 become marked characters, so no line is lost."""
    if path.name.endswith(".zst"):
        import pyarrow as pa

        raw: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        with raw, io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="\n") as handle:
            yield handle
    else:
        opener = gzip.open if path.name.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as handle:
            yield handle


def _csv(handle: IO[str], kind: str) -> Iterator[dict[str, Any]]:
    import csv

    yield from csv.DictReader(handle, delimiter="\t" if kind == "tsv" else ",")


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK_LINES):
        yield from batch.to_pylist()
