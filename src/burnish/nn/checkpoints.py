"""A training run on disk: safetensors and JSON, whole or absent, checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor


def write(scratch: Path, *, name: str, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write scratch/NAME/ with one safetensors file per group and state.json that holds their checksums.

    The folder is made under another name, flushed to the disk and renamed as the last act.
    """
    from safetensors.torch import save_file

    scratch.mkdir(parents=True, exist_ok=True)
    making = scratch / f".making-{name}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    sums = {}
    for group, members in tensors.items():
        path = making / f"{group}.safetensors"
        save_file({key: value.detach().contiguous() for key, value in members.items()}, path)
        _flush(path)
        sums[path.name] = _checksum(path)
    text = json.dumps({"files": sums, "state": state}, sort_keys=True, ensure_ascii=False)
    path = making / "state.json"
    path.write_text(json.dumps({"sha256": _text_sum(text), "body": text}), encoding="utf-8")
    _flush(path)
    _flush(making)
    target = scratch / name
    if target.exists():
        shutil.rmtree(target)
    os.rename(making, target)
    _flush(scratch)
    return target


def read(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | str:
    """(tensors by group, state), or a sentence that says what is wrong with the folder."""
    from safetensors.torch import load_file

    try:
        outer = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if _text_sum(outer["body"]) != outer["sha256"]:
            return f"{folder.name}: state.json does not have the checksum it was written with"
        body = json.loads(outer["body"])
        for name, expected in body["files"].items():
            if _checksum(folder / name) != expected:
                return f"{folder.name}: {name} does not have the checksum it was written with"
        groups = {Path(name).stem: load_file(folder / name) for name in body["files"]}
    except (OSError, KeyError, ValueError) as error:
        return f"{folder.name}: cannot be read ({error})"
    return groups, body["state"]


def names(scratch: Path, prefix: str) -> list[str]:
    """Finished folders scratch/PREFIX*, the newest (highest number) first."""
    return sorted((path.name for path in scratch.glob(f"{prefix}*") if path.is_dir()), reverse=True)


def prune(scratch: Path, prefix: str, *, keep: int) -> None:
    """Remove all but the newest `keep`."""
    for name in names(scratch, prefix)[keep:]:
        shutil.rmtree(scratch / name)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text_sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
