"""Answer for every line of a file: `burnish predict`."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from burnish.core.errors import DataError
from burnish.core.progress import Progress, Silent

CHUNK_LINES = 4096


def predict_file(
    model: Path, read: Path, out: Path, *, text: str = "text", progress: Progress | None = None
) -> dict[str, Any]:
    """Write one JSON line per input line, in order, with `prediction` added; return what was done.

    A line that cannot be answered keeps its place with `prediction: null` and `error`. JSONL (.gz, .zst), plain text
    (a text a line), CSV and TSV (a row a line) are streamed, so memory holds CHUNK_LINES lines; the output appears
    whole under its name.
    """
    from burnish.tasks.predictor import load

    progress = progress or Silent()
    if not read.is_file():
        raise DataError("no such file", where=str(read), hint="give the file to answer for with -i")
    predictor = load(model)
    began, lines, bad = time.perf_counter(), 0, 0
    half = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8") as target, progress.bar("answering", None, "lines") as bar:
            for chunk in _chunks(_rows(read, text)):
                good = [row for row, error in chunk if error is None]
                answers = iter(predictor.predict([{**row, "text": row[text]} for row in good]))
                for row, error in chunk:
                    answered = (
                        {**row, "prediction": next(answers)}
                        if error is None
                        else {**row, "prediction": None, "error": error}
                    )
                    target.write(json.dumps(answered, ensure_ascii=False) + "\n")
                    bad += error is not None
                lines += len(chunk)
                bar.advance(len(chunk))
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


def _chunks(rows: Iterator[tuple[dict[str, Any], str | None]]) -> Iterator[list[tuple[dict[str, Any], str | None]]]:
    chunk: list[tuple[dict[str, Any], str | None]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _rows(path: Path, text: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    """(row, what is wrong with it) for every line of the file, whatever is in it."""
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2].lower()
    if kind == "parquet":
        yield from ((row, _wrong(row, text)) for row in _parquet(path))
        return
    with _open(path) as handle:
        if kind in ("csv", "tsv"):
            yield from ((row, _wrong(row, text)) for row in _csv(handle, kind))
            return
        for line in handle:
            line = line.rstrip("\r\n")
            row, error = ({text: line}, None) if kind == "txt" else _parsed(line)
            yield row, error or _wrong(row, text)


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


def _parsed(line: str) -> tuple[dict[str, Any], str | None]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return {"raw": line[:2000]}, f"not JSON: {error}"
    return (row, None) if isinstance(row, dict) else ({"raw": line[:2000]}, "not an object")


def _csv(handle: IO[str], kind: str) -> Iterator[dict[str, Any]]:
    import csv

    yield from csv.DictReader(handle, delimiter="\t" if kind == "tsv" else ",")


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK_LINES):
        yield from batch.to_pylist()


def _wrong(row: dict[str, Any], text: str) -> str | None:
    if text not in row:
        return f"no field {text!r} (it has: {', '.join(map(str, row)) or 'none'})"
    return None if isinstance(row[text], str) and row[text].strip() else f"{text} is empty or not text"
