"""One function over many items, wherever the engine says: in this process, in several, or on a Ray cluster.

For data: what a stage does to a batch does not depend on other batches, so results come in the order of the items and are
the same bytes on every engine. No more than a few items a worker are under way, which bounds memory. A worker that dies
takes no result with it: its items are computed again.

    {use: local, processes: N}        processes of this machine
    {use: ray, address: auto}         tasks of a Ray cluster, on all its cores (workers: N for fewer)
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any, TypeVar

from burnish.core import engine as engines
from burnish.core.errors import BurnishError, MissingExtra

Item = TypeVar("Item")
Made = TypeVar("Made")
AHEAD = 2  # items a worker under way: one at work, one waiting
TRIES = 4  # a batch that kills so many workers is at fault itself


Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


def spread(function: Callable[[Item], Made], items: Iterable[Item], engine: Mapping[str, Any]) -> Iterator[Made]:
    """Yield function(item) for every item, in order.

    function: importable, or a functools.partial of such; pure, for an item may be computed twice.
    Raises what the function raises, and BurnishError when an item ends its worker again and again.
    """
    return _once(function, items, engine) if elsewhere(engine) else map(function, items)


def _once(function: Callable[[Item], Made], items: Iterable[Item], engine: Mapping[str, Any]) -> Iterator[Made]:
    with spreading(engine) as run:
        yield from run(function, items)


def elsewhere(engine: Mapping[str, Any]) -> bool:
    """Whether work leaves this process."""
    use = engine.get("use", "local")
    return use == "ray" or (use == "local" and engines.processes(engine) > 1)


@contextmanager
def spreading(engine: Mapping[str, Any]) -> Iterator[Spread]:
    """The same for many calls: `run(function, items)`. Processes start with the first call and stay until the end."""
    if not elsewhere(engine):
        yield map
    elif engine.get("use") == "ray":
        ours = connect(engine)
        try:
            yield partial(_on_ray, engine=engine)
        finally:
            if ours:
                import ray

                ray.shutdown()
    else:
        processes = _Processes(engines.processes(engine))
        try:
            yield processes.run
        finally:
            processes.end()


class _Processes:
    """Processes that are started anew when one of them dies; what was under way is handed out again."""

    def __init__(self, count: int) -> None:
        self.count, self.pool = count, _pool(count)  # none of them runs before it is given work

    def run(self, function: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        waiting = iter(items)
        under_way: deque[tuple[Item, Future[Made]]] = deque()
        tries = 0
        with _handed(function) as job:
            try:
                while True:
                    while len(under_way) < AHEAD * self.count and (item := next(waiting, _END)) is not _END:
                        under_way.append((item, self._submit(job, item)))
                    if not under_way:
                        return
                    try:
                        made = under_way[0][1].result()
                    except BrokenProcessPool as error:
                        tries += 1
                        if tries >= TRIES:
                            raise BurnishError(
                                f"a process ended by itself {TRIES} times at the same batch",
                                hint="out of memory? fewer processes: engine.processes",
                            ) from error
                        self.end()
                        self.pool = _pool(self.count)
                        under_way = deque((item, self._submit(job, item)) for item, _ in under_way)
                        continue
                    tries = 0
                    under_way.popleft()
                    yield made
            finally:
                for _, future in under_way:
                    future.cancel()

    def _submit(self, job: Callable[[Item], Made], item: Item) -> Future[Made]:
        try:
            return self.pool.submit(job, item)
        except BrokenProcessPool as error:  # it died between two results: told when this one is asked for
            failed: Future[Made] = Future()
            failed.set_exception(error)
            return failed

    def end(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


_END: Any = object()
LARGE = 1 << 16  # bytes of a function with what it carries from which it goes by a file, once, and not with every item


@contextmanager
def _handed(function: Callable[[Item], Made]) -> Iterator[Callable[[Item], Made]]:
    """The function as it is sent with each item."""
    packed = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
    if len(packed) < LARGE:
        yield function
        return
    with tempfile.NamedTemporaryFile(prefix="burnish-") as file:
        file.write(packed)
        file.flush()
        yield partial(_from_file, file.name)


def _from_file(path: str, item: Any) -> Any:
    return _unpacked(path)(item)


@lru_cache(maxsize=1)
def _unpacked(path: str) -> Callable[[Any], Any]:
    """Names of such files are drawn at random: the one that is there is the one that was read."""
    with open(path, "rb") as file:
        function: Callable[[Any], Any] = pickle.load(file)
    return function


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    """Processes share the cores; libraries that start threads of their own would only wait for each other."""
    os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _on_ray(function: Callable[[Item], Made], items: Iterable[Item], engine: Mapping[str, Any]) -> Iterator[Made]:
    import ray

    count = engine.get("workers") or engine.get("processes") or int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    task: Any = ray.remote(num_cpus=1, max_retries=TRIES)(_run)
    shared = ray.put(function)
    under_way: deque[Any] = deque()
    for item in items:
        if len(under_way) >= AHEAD * count:
            yield _result(under_way.popleft())
        under_way.append(task.remote(shared, item))
    while under_way:
        yield _result(under_way.popleft())


def _run(function: Callable[[Item], Made], item: Item) -> Made:
    return function(item)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise BurnishError(
            f"a batch could not be computed on the Ray cluster: {error}", where="engine",
            hint="`ray status` says what is left of the cluster",
        ) from error  # fmt: skip


def connect(engine: Mapping[str, Any], *, log: bool = False, threads: bool = True) -> bool:
    """Join the Ray cluster that the engine section names. Returns whether it was joined here, and is ours to leave.

    threads: every worker is one thread of work, as tasks on batches are; training takes the threads it is given.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("engine: {use: ray}", "ray") from error
    if ray.is_initialized():
        return False
    address = engine.get("address", "auto")
    path = os.pathsep.join(part for part in sys.path if part)
    alone = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"} if threads else {}
    try:
        ray.init(
            address=None if address == "local" else address,
            runtime_env={"env_vars": {"PYTHONPATH": path, **alone}},
            include_dashboard=False if address == "local" else None,
            log_to_driver=log,
        )
    except ConnectionError as error:
        hint = "`ray start --head` starts one; engine.address: local runs one for this command alone"
        raise BurnishError(f"no Ray cluster at {address}: {error}", where="engine.address", hint=hint) from error
    return True
