"""Requests in, batches out: whatever waits when a session falls free is its next batch.

There is no fixed wait. An idle server answers a lone request at once; a busy one finds, each time a session is
done, everything that came in meanwhile. Jobs take turns: a request with a thousand inputs gives way, one share at a
time, to the small ones behind it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

log = logging.getLogger("burnish.serve")

Input = dict[str, Any]  # as the task's `input` made it


class Full(Exception):
    """The queue has no room for this job."""


class Late(Exception):
    """The job waited past its deadline."""


class Stopped(Exception):
    """The server is stopping and takes nothing new."""


Watch = Callable[[int, float], None]  # told after every batch: inputs in it, seconds it took


class Job:
    """Inputs of one request; `answers[i]` belongs to `inputs[i]`. `done` is called once, from a session's thread.

    tokens: estimated, of each input.
    """

    __slots__ = ("answers", "deadline", "done", "failed", "inputs", "left", "sent", "tokens", "withdrawn")

    def __init__(
        self, inputs: Sequence[Input], tokens: Sequence[int], done: Callable[[Job], None], deadline: float
    ) -> None:
        self.inputs, self.tokens, self.done, self.deadline = inputs, tokens, done, deadline
        self.answers: list[Any] = [None] * len(inputs)
        self.sent, self.left = 0, len(inputs)
        self.failed: BaseException | None = None
        self.withdrawn = False  # the client has gone: what is not computed yet never will be


Place = tuple[Job, int]  # an input of a job
Compute = Callable[[Sequence[Input]], Iterable[tuple[Sequence[int], Sequence[Any]]]]


class Batcher:
    """Sessions, each a thread, that compute batches of inputs taken from one bounded queue.

    compute: inputs -> batch after batch, positions and answers of its inputs; called from several threads at once.
    sessions: threads. max_batch_tokens: estimated tokens that one session takes at a time.
    max_queue: inputs that may wait before `submit` raises Full. max_wait_s: how long a session may hold back the
    oldest input to fill its batch; 0 takes what is there.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        sessions: int,
        max_batch_tokens: int,
        max_queue: int,
        max_wait_s: float = 0.0,
        watch: Watch | None = None,
    ) -> None:
        self.compute, self.max_batch_tokens, self.max_queue = compute, max_batch_tokens, max_queue
        self.max_wait_s, self.watch = max_wait_s, watch
        self.waiting = 0
        self._jobs: deque[Job] = deque()
        self._oldest = 0.0
        self._free = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name=f"session-{n}", daemon=True) for n in range(sessions)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job, or raise Full or Stopped. Never blocks for longer than a lock is held."""
        with self._free:
            if self._stopping:
                raise Stopped
            if self.waiting + len(job.inputs) > self.max_queue:
                raise Full
            if not self._jobs:
                self._oldest = time.monotonic()
            self._jobs.append(job)
            self.waiting += len(job.inputs)
            self._free.notify()

    def stop(self) -> None:
        """Compute what waits, then end the threads."""
        with self._free:
            self._stopping = True
            self._free.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while places := self._take():
            began = time.perf_counter()
            try:
                # what is ready goes out before the rest is computed: a short text does not wait for a long one
                for positions, answers in self.compute([job.inputs[index] for job, index in places]):
                    self._hand_out([places[position] for position in positions], answers)
            except BaseException as error:
                log.exception("a batch of %d inputs failed", len(places))
                for job in {id(job): job for job, _ in places}.values():
                    self._fail(job, error)
            if self.watch:
                self.watch(len(places), time.perf_counter() - began)

    def _take(self) -> list[Place]:
        """Wait for work and take a batch of it; nothing means that the batcher has stopped and all is computed."""
        late: list[Job] = []
        try:
            with self._free:
                while True:
                    while not self._jobs:
                        if self._stopping:
                            return []
                        self._free.wait()
                    held_s = self._oldest + self.max_wait_s - time.monotonic()
                    if self.max_wait_s and held_s > 0 and not self._stopping and not self._enough():
                        self._free.wait(held_s)
                        continue
                    if places := self._fill(late):
                        if self._jobs:
                            self._free.notify()
                        return places
        finally:
            for job in late:
                self._fail(job, Late())

    def _enough(self) -> bool:
        budget = self.max_batch_tokens
        for job in self._jobs:
            for tokens in job.tokens[job.sent :]:
                budget -= tokens
                if budget <= 0:
                    return True
        return False

    def _fill(self, late: list[Job]) -> list[Place]:
        budget = self.max_batch_tokens
        places: list[Place] = []
        now = time.monotonic()
        while self._jobs and budget > 0:
            job = self._jobs.popleft()
            if job.withdrawn or job.deadline < now:
                self.waiting -= len(job.inputs) - job.sent
                if not job.withdrawn:
                    late.append(job)
                continue
            start = job.sent
            while job.sent < len(job.inputs) and budget > 0:
                budget -= job.tokens[job.sent]
                job.sent += 1
            places += [(job, index) for index in range(start, job.sent)]
            self.waiting -= job.sent - start
            if job.sent < len(job.inputs):
                self._jobs.append(job)
        self._oldest = now
        return places

    def _hand_out(self, places: Sequence[Place], answers: Sequence[Any]) -> None:
        whole: list[Job] = []
        with self._free:
            for (job, index), answer in zip(places, answers, strict=True):
                job.answers[index] = answer
                job.left -= 1
                if job.left == 0 and not job.withdrawn:
                    whole.append(job)
        for job in whole:
            job.done(job)

    def _fail(self, job: Job, error: BaseException) -> None:
        with self._free:
            if job.withdrawn or job.left == 0:
                return
            job.withdrawn = True
        job.failed = error
        job.done(job)
