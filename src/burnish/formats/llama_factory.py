"""dataset_info.json: where LLaMA-Factory looks up how the columns and tags of a file are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.core.artifacts import write_json
from burnish.core.errors import DataError
from burnish.formats.base import Told

NAME = "dataset_info.json"


def entry_for(path: Path) -> dict[str, Any] | None:
    """What the dataset_info.json beside a file says about it; None where there is none, or it does not name the file."""
    found = path.with_name(NAME)
    if not found.is_file():
        return None
    try:
        known = json.loads(found.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"broken JSON: {error}", where=str(found), hint="mend it or move it away") from error
    entries = known.values() if isinstance(known, dict) else ()
    return next((one for one in entries if isinstance(one, dict) and one.get("file_name") == path.name), None)


def write_entry(out: Path, about: dict[str, Any], told: Told) -> None:
    """Name a file that was written in the dataset_info.json beside it; other entries stay."""
    beside = out.with_name(NAME)
    known: dict[str, Any] = {}
    if beside.is_file():
        try:
            known = json.loads(beside.read_text("utf-8"))
        except ValueError as error:
            raise DataError(f"broken JSON: {error}", where=str(beside), hint="mend it or move it away") from error
    write_json(beside, known | {out.stem: {"file_name": out.name, **about}})
    if NAME not in told.files:
        told.files.append(NAME)
