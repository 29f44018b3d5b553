"""A training run on disk: safetensors and JSON, whole or absent, checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

MAKING = ".making-"  # before the name of a folder that is not whole yet
SHARDS = "shards"  # folder of a checkpoint that several processes wrote a part of each


def write(scratch: Path, *, name: str, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write scratch/NAME/ with one safetensors file per group and state.json that holds their checksums.

    The folder is made under another name, flushed to the disk and renamed as the last act.
    """
    from safetensors.torch import save_file

    making = begin(scratch, name)
    for group, members in tensors.items():
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in members.items()}, making / f"{group}.safetensors"
        )
    return finish(making, state)


def begin(scratch: Path, name: str) -> Path:
    """An empty folder to write the files of a checkpoint into."""
    making = scratch / f"{MAKING}{name}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    return making


def finish(making: Path, state: dict[str, Any]) -> Path:
    """Put state.json with the checksums of all files beside them, and give the folder its name."""
    files = sorted(path for path in making.rglob("*") if path.is_file())
    for path in files:
        _flush(path)
    sums = {path.relative_to(making).as_posix(): _checksum(path) for path in files}
    text = json.dumps({"files": sums, "state": state}, sort_keys=True, ensure_ascii=False)
    path = making / "state.json"
    path.write_text(json.dumps({"sha256": _text_sum(text), "body": text}), encoding="utf-8")
    _flush(path)
    _flush(making)
    target = making.with_name(making.name.removeprefix(MAKING))
    if target.exists():
        shutil.rmtree(target)
    os.rename(making, target)
    _flush(target.parent)
    return target


def state_of(folder: Path) -> dict[str, Any] | str:
    """The state of a sound checkpoint, or a sentence that says what is wrong with the folder."""
    try:
        outer = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if _text_sum(outer["body"]) != outer["sha256"]:
            return f"{folder.name}: state.json does not have the checksum it was written with"
        body = json.loads(outer["body"])
        for name, expected in body["files"].items():
            if _checksum(folder / name) != expected:
                return f"{folder.name}: {name} does not have the checksum it was written with"
    except (OSError, KeyError, ValueError) as error:
        return f"{folder.name}: cannot be read ({error})"
    return dict(body["state"])


def tensors(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint by group, whole, also where several processes wrote a part each."""
    from safetensors.torch import load_file

    found = {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
    if (folder / SHARDS).is_dir():
        from burnish.nn.sharded import whole

        for name, value in whole(folder / SHARDS).items():
            group, _, key = name.partition("/")
            found.setdefault(group, {})[key] = value
    return found


def read(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | str:
    """(tensors by group, state), or a sentence that says what is wrong with the folder."""
    state = state_of(folder)
    return state if isinstance(state, str) else (tensors(folder), state)


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
