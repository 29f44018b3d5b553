"""Requests in, batches out: whatever waits when a session falls free is its next batch.

There is no fixed wait. An idle server answers a lone request at once; a busy one finds, each time a session is
done, everything that came in meanwhile. Jobs take turns: a request with a thousand texts gives way, one share at a
time, to the small ones behind it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Text = tuple[str, str | None]  # a text and, where the task compares two, the other


class Full(Exception):
    """The queue has no room for this job."""


class Late(Exception):
    """The job waited past its deadline."""


class Stopped(Exception):
    """The server is stopping and takes nothing new."""


Watch = Callable[[int, float], None]  # told after every batch: texts in it, seconds it took


class Job:
    """Texts of one request; `answers[i]` belongs to `texts[i]`. `done` is called once, from a session's thread."""

    __slots__ = ("answers", "deadline", "done", "failed", "left", "sent", "texts", "withdrawn")

    def __init__(self, texts: Sequence[Text], done: Callable[[Job], None], deadline: float) -> None:
        self.texts, self.done, self.deadline = texts, done, deadline
        self.answers: list[Any] = [None] * len(texts)
        self.sent, self.left = 0, len(texts)
        self.failed: BaseException | None = None
        self.withdrawn = False  # the client has gone: what is not computed yet never will be

    def fail(self, error: BaseException) -> None:
        self.failed, self.withdrawn = error, True
        self.done(self)


@dataclass(frozen=True)
class _Share:
    job: Job
    start: int
    stop: int


class Batcher:
    """Sessions, each a thread, that compute batches of texts taken from one bounded queue.

    compute: texts -> one answer per text; called from several threads at once.
    sessions: threads. max_batch: texts one session takes at a time. max_batch_tokens: estimated tokens it takes.
    max_queue: texts that may wait before `submit` raises Full. max_wait_s: how long a session may hold back the
    oldest text to fill its batch; 0 takes what is there.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Text]], Sequence[Any]],
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
            if self.waiting + len(job.texts) > self.max_queue:
                raise Full
            if not self._jobs:
                self._oldest = time.monotonic()
            self._jobs.append(job)
            self.waiting += len(job.texts)
            self._free.notify()

    def stop(self) -> None:
        """Compute what waits, then end the threads."""
        with self._free:
            self._stopping = True
            self._free.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while shares := self._take():
            texts = [text for share in shares for text in share.job.texts[share.start : share.stop]]
            began = time.perf_counter()
            try:
                answers = self.compute(texts)
            except BaseException as error:
                self._fail(shares, error)
                continue
            if self.watch:
                self.watch(len(texts), time.perf_counter() - began)
            self._hand_out(shares, answers)

    def _take(self) -> list[_Share]:
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
                    if shares := self._fill(late):
                        if self._jobs:
                            self._free.notify()
                        return shares
        finally:
            for job in late:
                job.fail(Late())

    def _enough(self) -> bool:
        budget = self.max_batch_tokens
        for job in self._jobs:
            for text in job.texts[job.sent :]:
                budget -= estimated_tokens(text)
                if budget <= 0:
                    return True
        return False

    def _fill(self, late: list[Job]) -> list[_Share]:
        budget, shares = self.max_batch_tokens, []
        now = time.monotonic()
        while self._jobs and budget > 0:
            job = self._jobs.popleft()
            if job.withdrawn or job.deadline < now:
                self.waiting -= len(job.texts) - job.sent
                if not job.withdrawn:
                    late.append(job)
                continue
            start = job.sent
            # the first text always goes, however long it is
            while job.sent < len(job.texts) and (budget > 0 or (not shares and job.sent == start)):
                budget -= estimated_tokens(job.texts[job.sent])
                job.sent += 1
            shares.append(_Share(job, start, job.sent))
            self.waiting -= job.sent - start
            if job.sent < len(job.texts):
                self._jobs.append(job)
        self._oldest = now
        return shares

    def _hand_out(self, shares: list[_Share], answers: Sequence[Any]) -> None:
        at = 0
        for share in shares:
            size = share.stop - share.start
            share.job.answers[share.start : share.stop] = answers[at : at + size]
            at += size
            with self._free:
                share.job.left -= size
                whole = share.job.left == 0 and not share.job.withdrawn
            if whole:
                share.job.done(share.job)

    def _fail(self, shares: list[_Share], error: BaseException) -> None:
        for share in shares:
            with self._free:
                again, share.job.withdrawn = share.job.withdrawn, True
            if not again:
                share.job.fail(error)


def estimated_tokens(text: Text) -> int:
    """Guess how many tokens a text will have, without a tokenizer: UTF-8 bytes / 4, and a few for marks.

    English has about four bytes a token; Chinese three bytes a character and about a character a token.
    """
    first, second = text
    return 3 + (len(first.encode()) + (len(second.encode()) if second else 0)) // 4
