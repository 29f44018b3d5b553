"""Text written piece by piece: one thread, one conversation after the other, and a stop where the caller said so.

B batches would share a step of the network; a small model on two cores gains little from it and its caches are large.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.serve.batching import Full, Stopped

log = logging.getLogger("burnish.serve")

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Sampling:
    """How text is drawn. temperature 0 takes the likeliest token; top_p: share of probability drawn from, 0..1.

    max_tokens: None writes to the end of what the model can hold. stop: texts before which writing ends.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Piece:
    """A stretch of text as it was written. finish: in the last piece why it ended, "stop" or "length".

    read, written: tokens so far.
    """

    text: str
    finish: str | None = None
    read: int = 0
    written: int = 0


class Talk:
    """One text to be written. deliver: told every piece, or what went wrong, from the writer's thread."""

    __slots__ = ("deliver", "prompt", "sampling", "withdrawn")

    def __init__(
        self, prompt: Messages | str, sampling: Sampling, deliver: Callable[[Piece | BaseException], None]
    ) -> None:
        self.prompt, self.sampling, self.deliver = prompt, sampling, deliver
        self.withdrawn = False  # the client has gone: writing ends at the next token


class Writer:
    """Writes what `Talk`s ask for, in the order they came.

    engine: of `nn.generators`. busy: held while it writes, for who else uses the engine.
    """

    def __init__(self, engine: Any, busy: threading.Lock, *, max_queue: int) -> None:
        self.engine, self.busy, self.max_queue = engine, busy, max_queue
        self._talks: deque[Talk] = deque()
        self._free = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._talks)

    def submit(self, talk: Talk) -> None:
        """Queue a talk, or raise Full or Stopped."""
        with self._free:
            if self._stopping:
                raise Stopped
            if len(self._talks) >= self.max_queue:
                raise Full
            self._talks.append(talk)
            self._free.notify()

    def stop(self) -> None:
        """Write what waits, then end the thread."""
        with self._free:
            self._stopping = True
            self._free.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._free:
                while not self._talks:
                    if self._stopping:
                        return
                    self._free.wait()
                talk = self._talks.popleft()
            try:
                with self.busy:
                    self._write(talk)
            except Exception as error:
                if not isinstance(error, ValueError):  # a ValueError is the caller's: too long a prompt
                    log.exception("a text could not be written")
                talk.deliver(error)

    def _write(self, talk: Talk) -> None:
        pieces = until(written(self.engine, talk.prompt, talk.sampling), talk.sampling.stop)
        for piece in pieces:
            if talk.withdrawn:
                return
            talk.deliver(piece)


def written(engine: Any, prompt: Messages | str, sampling: Sampling) -> Iterator[Piece]:
    """The engine's text, piece by piece."""
    raise NotImplementedError


def until(pieces: Iterator[Piece], stops: Sequence[str]) -> Iterator[Piece]:
    """The pieces up to the first of `stops`; what may be the beginning of one is held back until it is decided."""
    held = ""
    for piece in pieces:
        held += piece.text
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        if found:
            yield Piece(held[: min(found)], "stop", piece.read, piece.written)
            return
        if piece.finish:
            yield Piece(held, piece.finish, piece.read, piece.written)
            return
        sure = len(held) - max((_begun(held, stop) for stop in stops), default=0)
        if sure:
            yield Piece(held[:sure], None, piece.read, piece.written)
            held = held[sure:]


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of the stop."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)
