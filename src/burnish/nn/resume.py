"""From which checkpoint a run goes on: the newest sound one of this very run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish.core.progress import Progress
from burnish.nn import checkpoints
from burnish.nn.examples import Examples
from burnish.nn.training import Training

CHECKPOINTS = 5  # what a checkpoint holds; another number is another run
NAME = "checkpoint-"  # before steps and epoch, in the name of a checkpoint's folder


def newest(
    scratch: Path | None, print_of_run: str, processes: int, progress: Progress
) -> tuple[Path, dict[str, Any]] | None:
    """Folder and state of the newest sound checkpoint of this very run; of as many threads, unless the number of
    processes is another, for then the bits are others anyway."""
    for name in checkpoints.names(scratch, NAME) if scratch is not None and scratch.is_dir() else []:
        assert scratch is not None
        state = checkpoints.state_of(scratch / name)
        if isinstance(state, str):
            progress.tell(f"  checkpoint not used: {state}")
        elif state["print"] != print_of_run or (
            state["processes"] == processes and state["threads"] != torch.get_num_threads()
        ):
            progress.tell(f"  {name} belongs to other data, settings or versions: not used")
        else:
            return scratch / name, state
    return None


def print_of(
    model: nn.Module,
    train: Examples,
    validation: Examples | None,
    settings: Training,
    seed: int,
    parts: Sequence[Any],
) -> str:
    """A checksum of all that decides how a run ends. parts: objective, strategies, regularisers."""
    total = hashlib.sha256()
    decisive = {
        key: value for key, value in asdict(settings).items() if key not in ("checkpoint_every_s", "keep_checkpoints")
    }
    facts = [
        CHECKPOINTS,
        decisive,
        seed,
        train.digest(),
        validation.digest() if validation else None,
        torch.__version__,
        [repr(part) for part in parts],
    ]
    total.update(json.dumps(facts, sort_keys=True).encode())
    for name, value in model.state_dict().items():
        total.update(name.encode())
        total.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return total.hexdigest()
