"""Text written in a thread: what wants its answer whole in batches, what wants it piece by piece one after the other.

A step of a network of this size reads all its weights whether it writes one token or sixteen, so whole answers that wait
together are written together, where nothing is drawn by chance: each is what it would have been alone. The queue is bounded,
and who has gone, or has read the words it wanted to stop at, ends a streamed text at the next token.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from burnish.serve.batching import Full, Stopped

log = logging.getLogger("burnish.serve")

Messages = Sequence[Mapping[str, str]]
TOGETHER = 32  # whole answers written in one batch


@dataclass(frozen=True)
class Sampling:
    """How text is drawn; None is the model's own setting (generation_config.json).

    temperature: 0 takes the likeliest token. top_p: share of probability drawn from, 0..1. stop: texts before which
    writing ends.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0

    @property
    def drawing(self) -> dict[str, Any]:
        """What the network is told; the stop is looked for in its text."""
        return {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}


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
    """One text to be written. deliver: told every piece, or what went wrong, from the writer's thread.

    whole: in one piece, for which the network may look ahead (beams), as in its evaluation.
    """

    __slots__ = ("deliver", "prompt", "sampling", "whole", "withdrawn")

    def __init__(
        self,
        prompt: Messages | str,
        sampling: Sampling,
        deliver: Callable[[Piece | BaseException], None],
        *,
        whole: bool = False,
    ) -> None:
        self.prompt, self.sampling, self.deliver, self.whole = prompt, sampling, deliver, whole
        self.withdrawn = False  # the client has gone: writing ends at the next token


class Writer:
    """Writes what `Talk`s ask for, in the order they came; those that go together at once.

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
                talks = self._take()
            try:
                with self.busy:
                    if talks and talks[0].whole:
                        write_together(self.engine, talks)
                    elif talks:
                        write_pieces(self.engine, talks[0])
            except Exception as error:
                if not isinstance(error, ValueError):  # a ValueError is the caller's: turns that the template refuses
                    log.exception("a text could not be written")
                for talk in talks:
                    talk.deliver(error)

    def _take(self) -> list[Talk]:
        """The first that waits, and who may be written with it; nobody where the first has gone."""
        first = self._talks.popleft()
        if first.withdrawn:
            return []
        beside = [talk for talk in self._talks if self._together(first, talk)][: TOGETHER - 1]
        for talk in beside:
            self._talks.remove(talk)
        return [first, *(talk for talk in beside if not talk.withdrawn)]

    def _together(self, one: Talk, other: Talk) -> bool:
        """Whether both may be written in one batch: whole, by the same settings, without chance and without stops."""
        sampling = one.sampling
        drawn = self.engine.draws if sampling.temperature is None else sampling.temperature > 0
        alike = one.whole and other.whole and replace(sampling, seed=other.sampling.seed) == other.sampling
        return bool(alike and not sampling.stop and not drawn)


def write_together(engine: Any, talks: Sequence[Talk]) -> None:
    """Deliver the answers of talks that go together, or of one; a prompt that is refused is that talk's own error."""
    if len(talks) == 1:
        talks[0].deliver(write_whole(engine, talks[0].prompt, talks[0].sampling))
        return
    prompts: list[Any] = []
    sound: list[Talk] = []
    for talk in talks:
        try:
            prompts.append(engine.read(talk.prompt))
        except ValueError as error:
            talk.deliver(error)
        else:
            sound.append(talk)
    sampling = talks[0].sampling
    replies = engine.replies(prompts, max_tokens=sampling.max_tokens, **sampling.drawing) if prompts else []
    for talk, reply in zip(sound, replies, strict=True):
        talk.deliver(Piece(reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens))


def write_whole(engine: Any, prompt: Messages | str, sampling: Sampling) -> Piece:
    """The engine's answer in one piece."""
    write = engine.complete if isinstance(prompt, str) else engine.chat
    reply = write(prompt, max_tokens=sampling.max_tokens, stop=list(sampling.stop), **sampling.drawing)
    return Piece(reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens)


class _Enough(Exception):
    """What a streamer raises to end the writing."""


def write_pieces(engine: Any, talk: Talk) -> None:
    """The engine's answer as it is written, without beams."""
    from transformers import TextStreamer  # a generator has woken it already

    examples = engine.read(talk.prompt)
    read = int(examples.lengths[0])
    ends = _ends(engine)
    held = Held(talk.sampling.stop)

    class Streamer(TextStreamer):
        written = 0
        ended = False

        def put(self, value: Any) -> None:
            if talk.withdrawn:
                raise _Enough
            tokens = value.reshape(-1).tolist()
            if not self.next_tokens_are_prompt:
                self.ended = tokens[-1] in ends
                self.written += len(tokens) - self.ended
            super().put(value)  # type: ignore[no-untyped-call]

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            sure, found = held.add(text)
            if found:
                talk.deliver(Piece(sure, "stop", read, self.written))
                raise _Enough
            if sure:
                talk.deliver(Piece(sure, None, read, self.written))

    streamer = Streamer(engine.tokenizer, skip_prompt=True, skip_special_tokens=True)
    limit = {} if talk.sampling.max_tokens is None else {"max_new_tokens": talk.sampling.max_tokens}
    try:
        for _ in engine.stream(examples, streamer=streamer, num_beams=1, **limit, **talk.sampling.drawing):
            pass
    except _Enough:
        return
    talk.deliver(Piece(held.rest, "stop" if streamer.ended else "length", read, streamer.written))


def _ends(engine: Any) -> set[int]:
    ends = engine.network.generation_config.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}


class Held:
    """Text up to the first of some stops; what may be the beginning of one is held back until it is decided."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops, self.rest = stops, ""

    def add(self, text: str) -> tuple[str, bool]:
        """What is sure to stand before any stop, and whether a stop has been found."""
        self.rest += text
        found = [at for stop in self.stops if (at := self.rest.find(stop)) >= 0]
        if found:
            return self.rest[: min(found)], True
        size = len(self.rest) - max((_begun(self.rest, stop) for stop in self.stops), default=0)
        sure, self.rest = self.rest[:size], self.rest[size:]
        return sure, False


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of the stop."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)
