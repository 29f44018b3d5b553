"""Turn pseudonyms back: `burnish reveal runs/NAME --key-env NAME`, for whoever holds the key of the run that redacted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from burnish.core.errors import BurnishError
from burnish.text.pseudonyms import Key
from burnish.text.pseudonyms import reveal as revealed

TABLE = "pseudonyms.enc"


def reveal(run: Path, *, key_env: str, input: Path | None = None, out: Path | None = None) -> int:
    """Write records or a file of texts with the values that pseudonyms stand for; return how many lines.

    run: a run folder, or the table itself. input: JSONL or plain text; the run's redacted records without it. out: a file;
    stdout without it. BurnishError where there is no table, the environment has no key, or it is another one.
    """
    table = run if run.is_file() else next(iter(sorted(run.glob(f"**/{TABLE}"))), run / TABLE)
    if not table.is_file():
        raise BurnishError(
            f"{run} has no {TABLE}", hint="quality: [{use: redact, how: pseudonym, key_env: NAME}] makes one"
        )
    known = Key.of(key_env).open(table.read_bytes())
    lines = _lines(input, table.parent / "records.parquet", known)
    if out is None:
        return sum(print(line) is None for line in lines)
    half = out.with_name(f".{out.name}.{os.getpid()}")
    with half.open("w", encoding="utf-8") as file:
        count = sum(file.write(line + "\n") > 0 for line in lines)
    os.replace(half, out)
    return count


def _lines(file: Path | None, records: Path, table: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if file is None:
        from burnish.core.artifacts import Records

        if not records.is_file():
            raise BurnishError(f"no {records.name} beside the table", hint="-i FILE names what is to be turned back")
        for record in Records.from_parquet(records):
            row = {name: value for name, value in record.row().items() if value not in (None, [])}
            yield json.dumps(_inside(row, table), ensure_ascii=False, default=str)
        return
    for line in file.read_text("utf-8").splitlines():
        if file.suffix in (".jsonl", ".ndjson") and line.strip():
            yield json.dumps(_inside(json.loads(line), table), ensure_ascii=False)
        else:
            yield revealed(line, table)


def _inside(value: Any, table: Mapping[str, Mapping[str, str]]) -> Any:
    """The strings of a value turned back; positions of spans stand for the redacted text and are left out with it."""
    if isinstance(value, str):
        return revealed(value, table)
    if isinstance(value, list):
        return [_inside(one, table) for one in value]
    return {key: _inside(one, table) for key, one in value.items()} if isinstance(value, dict) else value
