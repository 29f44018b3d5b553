"""Runs of the loop in several gloo processes, and what each of them gives, for the tests of this folder.

Processes are forked from the one that tests: the libraries are there already, and no thread of theirs has started.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _child(run: Callable[..., Any], settings: dict[str, Any], rank: int, size: int, meet: Path, out: Path) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    try:
        distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=size)
        told = {"told": run(**settings)}
        distributed.destroy_process_group()
    except BaseException:
        told = {"failed": traceback.format_exc()}
    out.with_name(f"{out.name}-{rank}").write_text(json.dumps(told), encoding="utf-8")


def together(processes: int, run: Callable[..., Any], tmp: Path, **settings: Any) -> list[Any]:
    """What `run(**settings)` gives in each of so many processes. Errors of any come as AssertionError."""
    meet, out = (tmp / f"{name}-{os.urandom(4).hex()}" for name in ("meet", "out"))
    forked = multiprocessing.get_context("fork")
    started = [
        forked.Process(target=_child, args=(run, settings, rank, processes, meet, out)) for rank in range(processes)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of later Pythons, for a fork beside threads
        for one in started:
            one.start()
    for one in started:
        one.join(120)
        one.kill()
    told = [json.loads(out.with_name(f"{out.name}-{rank}").read_text("utf-8")) for rank in range(processes)]
    assert all("told" in one for one in told), "\n".join(one.get("failed", "") for one in told)
    return [one["told"] for one in told]
