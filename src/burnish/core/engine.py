"""Where the steps of a run are computed: in this process, in several of this machine, or on many machines.

Only a stage that says so (`@stage(..., distributed=True)`) runs in several processes. Each of them runs the very same
function with torch.distributed initialised; the first one's artefact is kept. What is made is the same up to the order of
addition, so an engine is in no key (docs/decisions/distributed.md).

    {use: local, processes: N}                 this machine; the processes are started and watched here
    {use: torchrun}                            inside torchrun: every process runs `burnish run`, the first leads
    {use: ray, address: auto, workers: N}      a Ray cluster, by Ray Train; the store must be on a disk all nodes see

    parallel: ddp | fsdp | auto                how the processes share a network (`nn.distributed.open_group`)
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.core.errors import BurnishError, MissingExtra, UsageError
from burnish.core.progress import Silent, for_stderr

ENGINES = ("local", "torchrun", "ray")
SETTINGS = ("use", "processes", "workers", "address", "parallel")
PARALLEL = ("auto", "ddp", "fsdp")
PATIENCE = datetime.timedelta(hours=24)  # the others wait while the first prepares data, or judges
GRACE_S = 5.0  # for the others to say what they saw, once one has failed


@dataclass(frozen=True)
class Job:
    """One step to make: what `core.pipeline.perform` needs, to be sent to other processes."""

    planned: Any
    spec: Any
    again: bool
    quiet: bool


@dataclass(frozen=True)
class _Order:
    """A job as one process gets it. meet: where the processes find each other; "" where somebody has seen to it."""

    job: Job
    meet: str
    out: Path
    folder: str = field(default_factory=os.getcwd)  # that relative paths start from


def problems(engine: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, message, hint) of what is wrong with the engine section, its keys known."""
    found = []
    use = engine.get("use", "local")
    for key in ("processes", "workers"):
        value = engine.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            found.append((key, f"engine.{key} must be a whole number from 1, got {value!r}", ""))
        elif key in engine and use == "torchrun":
            found.append((key, f"engine.{key}: torchrun says how many", f"leave {key} out"))
    if "processes" in engine and "workers" in engine:
        found.append(("workers", "engine.workers is another name of engine.processes: give one", ""))
    if "address" in engine and (use != "ray" or not isinstance(engine["address"], str)):
        found.append(("address", "engine.address is the address of a Ray cluster", "engine: {use: ray, address: auto}"))
    if engine.get("parallel", "auto") not in PARALLEL:
        found.append(("parallel", f"engine.parallel must be one of {', '.join(PARALLEL)}", ""))
    return found


def processes(engine: Mapping[str, Any]) -> int:
    """How many processes a distributed step runs in."""
    if engine.get("use") == "torchrun":
        return int(os.environ.get("WORLD_SIZE", 1))
    return int(engine.get("workers", engine.get("processes", 1)))


def many(engine: Mapping[str, Any]) -> bool:
    """Whether a distributed step leaves this process."""
    return engine.get("use", "local") != "local" or processes(engine) > 1 or engine.get("parallel") == "fsdp"


def follows(engine: Mapping[str, Any]) -> bool:
    """Whether this process was started by torchrun beside one that leads."""
    return engine.get("use") == "torchrun" and int(os.environ.get("RANK", 0)) > 0


def launch(job: Job, scratch: Path) -> dict[str, Any]:
    """Make a step in several processes; return its counts. The first error of any of them is raised here."""
    engine = job.spec.engine
    if engine.get("use") == "torchrun":
        return _lead(job)
    run = _on_ray if engine.get("use") == "ray" else _here
    out = scratch / f"processes-{uuid.uuid4().hex[:8]}"
    out.mkdir()
    return run(job, out, processes(engine))


def _here(job: Job, out: Path, count: int) -> dict[str, Any]:
    """Processes of this machine, each with its share of the cores; they end when this one does."""
    order = _Order(job, (out / "meet").resolve().as_uri(), out)
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    path = os.pathsep.join(part for part in sys.path if part)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            place = _place(rank, count, rank, count)
            environment = {**os.environ, **place, "PYTHONPATH": path, "OMP_NUM_THREADS": threads}
            command = [sys.executable, "-m", "burnish.core.engine"]
            child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=2)
            started.append(child)
            assert child.stdin
            with contextlib.suppress(BrokenPipeError):  # it died at birth: its exit says so below
                child.stdin.write(pickle.dumps(order))
                child.stdin.flush()  # and stays open: its end tells the child that we are gone
        _wait(started)
    finally:
        for child in started:
            child.kill()
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()  # type: ignore[union-attr]
    return _told(out, count, [child.returncode for child in started])


def _wait(started: list[subprocess.Popen[bytes]]) -> None:
    """Until all are done, or a while after one has failed."""
    failed_at: float | None = None
    while any(child.poll() is None for child in started):
        if any(child.returncode for child in started):
            failed_at = failed_at or time.monotonic()
            if time.monotonic() - failed_at > GRACE_S:
                return
        time.sleep(0.02)


def _told(out: Path, count: int, codes: list[int | None]) -> dict[str, Any]:
    """The first process's counts. Raises what went wrong first, not what it made the others say."""
    told: list[dict[str, Any]] = []
    for rank in range(count):
        path = out / f"{rank}.json"
        told.append(json.loads(path.read_text("utf-8")) if path.exists() else {"rank": rank, "gone": True})
    errors = [one for one in told if "error" in one]
    gone = [at for at, one in enumerate(told) if "gone" in one and codes[at] not in (None, 0, -9)]
    killed = [at for at, one in enumerate(told) if "gone" in one and codes[at] == -9]
    first = min(errors, key=lambda one: (one["echo"], one["at"]), default=None)
    if first and not (first["echo"] and (gone or killed)):
        if first["error"] is None:
            raise RuntimeError(f"process {first['rank']} of {count} failed:\n{first['traceback']}")
        raise BurnishError(**first["error"])
    if gone or killed:
        at = (gone or killed)[0]
        raise BurnishError(
            f"process {at} of {count} ended by itself (exit code {codes[at]})",
            hint="out of memory? fewer processes, a smaller batch_tokens, or activation_checkpointing: true",
        )
    return dict(told[0]["counts"])


def _place(rank: int, size: int, local_rank: int, local_size: int) -> dict[str, str]:
    """The environment by which torch and its libraries know where they are; the names are torchrun's."""
    named = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local_rank, "LOCAL_WORLD_SIZE": local_size}
    return {name: str(value) for name, value in named.items()}


def join(meet: str = "") -> None:
    """Join the group of processes. meet: a file:// address; "" is torchrun's environment."""
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group(backend, init_method=meet or "env://", rank=rank, world_size=size, timeout=PATIENCE)


def _work(order: _Order) -> bool:
    """Do this process's part of a job, and write what came of it. Returns whether it went well."""
    from burnish.core.pipeline import perform

    rank = int(os.environ["RANK"])
    told: dict[str, Any] = {"rank": rank}
    try:
        if order.meet:
            join(order.meet)
        progress = Silent() if rank or order.job.quiet else for_stderr()
        told["counts"] = perform(order.job, progress, rank=rank)
    except BurnishError as error:
        told["error"] = {"message": error.message, "where": error.where, "hint": error.hint}
    except BaseException as error:
        told |= {"error": None, "traceback": traceback.format_exc()}
        told["echo"] = _is_echo(error)
    told = {"echo": False, "at": time.time(), **told}
    path = order.out / f"{rank}.json"
    path.with_suffix(".half").write_text(json.dumps(told, default=str, ensure_ascii=False), encoding="utf-8")
    os.replace(path.with_suffix(".half"), path)
    return "error" not in told


def _is_echo(error: BaseException) -> bool:
    """Whether an error only says that another process is gone."""
    said = f"{type(error).__name__} {error}".lower()
    return any(sign in said for sign in ("connection closed", "connection reset", "gloo", "nccl", "distbackend"))


def _serve() -> None:
    """What a started process does: read its order, work, and end when the one that started it ends."""
    order: _Order = pickle.load(sys.stdin.buffer)  # from the process that started this one, through its own pipe

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    went_well = _work(order)
    sys.stderr.flush()
    os._exit(0 if went_well else 1)  # threads of libraries must not hold up the others


def begin(engine: Mapping[str, Any]) -> None:
    """Join the others, where torchrun started this process."""
    if engine.get("use") != "torchrun":
        return
    if "RANK" not in os.environ:
        raise UsageError(
            "engine torchrun is for a process that torchrun has started",
            hint="torchrun --nproc-per-node 2 -m burnish.cli run --engine torchrun; or engine: {use: local, processes: 2}",
        )
    join()


_amid = False  # whether those who follow are inside a job, and will not hear what is announced


def _lead(job: Job) -> dict[str, Any]:
    from burnish.core.pipeline import perform

    global _amid
    _announce(job)
    _amid = True
    counts = perform(job, Silent() if job.quiet else for_stderr(), rank=0)
    _amid = False
    return counts


def follow() -> None:
    """Take part in every job that the leading process announces, until it says that there is no more."""
    from burnish.core.pipeline import perform

    while (job := _announce(None)) is not None:
        perform(job, Silent(), rank=int(os.environ["RANK"]))


def dismiss(engine: Mapping[str, Any]) -> None:
    """Tell those who follow that the run is over; amid a job that failed they end when this process does."""
    if engine.get("use") == "torchrun" and not _amid:
        from torch import distributed

        _announce(None)
        distributed.destroy_process_group()


def _announce(job: Job | None) -> Job | None:
    import torch
    from torch import distributed

    box = [job]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def _on_ray(job: Job, out: Path, count: int) -> dict[str, Any]:
    """Workers of Ray Train, which starts them, finds them and joins them; what they do is what processes do here."""
    from burnish.core.spread import connect

    try:
        import ray
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise MissingExtra("engine: {use: ray}", "ray") from error
    import torch

    ours = connect(job.spec.engine, log=not job.quiet, threads=False)
    gpus = torch.cuda.is_available()
    trainer = TorchTrainer(
        _ray_worker,
        train_loop_config={"order": pickle.dumps(_Order(job, "", out.resolve()))},
        scaling_config=ScalingConfig(num_workers=count, use_gpu=gpus),
        run_config=RunConfig(name=out.name, storage_path=str(out.resolve())),
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if gpus else "gloo", timeout_s=int(PATIENCE.total_seconds())
        ),
    )
    failure: Exception | None = None
    try:
        trainer.fit()
    except Exception as error:
        failure = error
    finally:
        if ours:
            ray.shutdown()
    if failure is not None and not any((out / f"{rank}.json").exists() for rank in range(count)):
        raise BurnishError(f"Ray Train failed: {failure}", where="engine") from failure
    return _told(out, count, [None] * count)


def _ray_worker(config: dict[str, Any]) -> None:
    from ray import train

    where = train.get_context()
    place = _place(where.get_world_rank(), where.get_world_size(), where.get_local_rank(), where.get_local_world_size())
    os.environ.update(place)
    order: _Order = pickle.loads(config["order"])  # from the process that started this run, through Ray
    os.chdir(order.folder)
    if not _work(order):
        raise RuntimeError("a worker failed; its message is written beside the others'")


if __name__ == "__main__":
    from burnish.core import engine as _engine  # under its own name, for that is what orders are pickled under

    _engine._serve()
