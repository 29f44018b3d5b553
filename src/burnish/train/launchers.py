"""Where trials run: in processes of this machine, or as actors of a Ray cluster; both call `trials.run` on a folder."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from burnish.core.errors import BurnishError, MissingExtra
from burnish.core.progress import Progress

EVERY_S = 10.0  # between two looks that are told


class Launcher(Protocol):
    """Runs trials; a context that ends all of them when it is left. may_begin: asked before each trial is begun."""

    may_begin: Callable[[], bool]

    def __enter__(self) -> Launcher: ...

    def __exit__(self, *error: Any) -> None: ...

    def results(self, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """Results of these trials, in the order in which they end."""
        ...


def lost(folder: Path, said: str) -> dict[str, Any]:
    """The result of a trial whose worker died. It is not written down: the next run tries again."""
    number = int(folder.name)
    return {
        "number": number,
        "state": "failed",
        "reason": said,
        "score": None,
        "looks": [],
        "rungs": {},
        "seconds": 0.0,
    }


class Processes:
    """Workers that stay: a process each, with its own threads, so that libraries are imported once.

    A worker dies with the search, however that is killed: its stdin ends.
    """

    def __init__(self, *, workers: int, threads: int, logs: Path, progress: Progress) -> None:
        self.workers, self.threads, self.logs, self.progress = workers, threads, logs, progress
        self.may_begin: Callable[[], bool] = lambda: True
        self.told = time.monotonic()
        self.idle: queue.Queue[subprocess.Popen[str] | None] = queue.Queue()
        self.started: list[subprocess.Popen[str]] = []
        for _ in range(workers):
            self.idle.put(None)

    def __enter__(self) -> Processes:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        for worker in self.started:
            worker.kill()
        for worker in self.started:
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe:
                    pipe.close()

    def results(self, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
        pool = ThreadPoolExecutor(self.workers)
        try:
            for done in as_completed([pool.submit(self._one, folder) for folder in folders]):
                result = done.result()
                if result:
                    yield result
        except BaseException:
            for worker in self.started:  # whoever waits for one of them must not wait for its end
                worker.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, folder: Path) -> dict[str, Any] | None:
        if not self.may_begin():
            return None
        worker = self.idle.get()
        worker = worker or self._start()
        result = self._asked(worker, folder)
        self.idle.put(worker if result else None)
        return result or lost(folder, f"its process ended with {worker.wait()}: {self._last_words(worker)}")

    def _asked(self, worker: subprocess.Popen[str], folder: Path) -> dict[str, Any] | None:
        """The result of a trial, or None when its worker died."""
        assert worker.stdin and worker.stdout
        try:
            worker.stdin.write(f"{folder}\n")
            worker.stdin.flush()
        except BrokenPipeError:
            return None
        for line in worker.stdout:
            said = json.loads(line)
            if "result" in said:
                return dict(said["result"])
            if time.monotonic() - self.told > EVERY_S:
                self.told = time.monotonic()
                self.progress.tell(f"  trial {said['number']}, epoch {said['look']}: {said['score']:.3f}")
        return None

    def _start(self) -> subprocess.Popen[str]:
        import burnish

        here = str(Path(str(burnish.__file__)).parents[1])
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
        paths = dict.fromkeys([here, *filter(None, sys.path)])
        environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}
        log = self.logs / f"worker-{len(self.started)}.log"
        with log.open("ab") as stderr:
            worker = subprocess.Popen(
                [sys.executable, "-m", "burnish.train.trials", str(self.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        worker.burnish_log = log  # type: ignore[attr-defined]
        self.started.append(worker)
        return worker

    def _last_words(self, worker: Any) -> str:
        lines = worker.burnish_log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


class Ray:
    """An actor for each worker, on any machine of a cluster; RAY_ADDRESS says which, else one is started here.

    The folder of trials must lie on a file system that every machine sees.
    """

    def __init__(self, *, workers: int, threads: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("train.search with engine: ray", "ray") from error
        self.ray, self.workers, self.threads = ray, workers, threads
        self.may_begin: Callable[[], bool] = lambda: True
        self.started_here = False

    def __enter__(self) -> Ray:
        import burnish

        here = str(Path(str(burnish.__file__)).parents[1])
        if not self.ray.is_initialized():
            self.ray.init(
                runtime_env={
                    "env_vars": {"PYTHONPATH": os.pathsep.join(dict.fromkeys([here, *filter(None, sys.path)]))}
                },
                num_cpus=None if os.environ.get("RAY_ADDRESS") else self.workers * self.threads,
                include_dashboard=False,
                log_to_driver=False,
            )
            self.started_here = True
        self.actors = [self._actor() for _ in range(self.workers)]
        return self

    def _actor(self) -> Any:
        return self.ray.remote(num_cpus=self.threads)(_Actor).remote(self.threads)

    def __exit__(self, *error: Any) -> None:
        for actor in self.actors:
            self.ray.kill(actor)
        if self.started_here:
            self.ray.shutdown()

    def results(self, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
        waiting, idle = list(folders), list(self.actors)
        running: dict[Any, tuple[Any, Path]] = {}
        while waiting or running:
            while waiting and idle:
                if not self.may_begin():
                    waiting.clear()
                    break
                actor, folder = idle.pop(), waiting.pop(0)
                running[actor.run.remote(str(folder))] = (actor, folder)
            if not running:
                return
            done, _ = self.ray.wait(list(running))
            actor, folder = running.pop(done[0])
            try:
                result = dict(self.ray.get(done[0]))
            except self.ray.exceptions.RayActorError as error:
                result = lost(folder, f"its actor died: {error}")
                self.actors[self.actors.index(actor)] = actor = self._actor()
            idle.append(actor)
            yield result


class _Actor:
    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def run(self, folder: str) -> dict[str, Any]:
        from burnish.core.progress import Silent
        from burnish.train import trials

        return trials.run(Path(folder), progress=Silent())


def launcher(engine: str, *, workers: int, threads: int, logs: Path, progress: Progress) -> Launcher:
    """The launcher of an engine, "local" or "ray"."""
    if engine == "ray":
        return Ray(workers=workers, threads=threads)
    if engine != "local":
        raise BurnishError(f"no engine {engine!r} for a search", hint="local or ray")
    return Processes(workers=workers, threads=threads, logs=logs, progress=progress)
