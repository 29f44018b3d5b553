"""Documents as tokens become windows of at most one length: what a step of pre-training reads.

A window is a frame ([CLS] before, [SEP] behind, where the tokenizer has them) around content. Three ways to fill it:
one document behind the other (nothing is padded: Brown et al. 2020; FULL-SENTENCES of Liu et al. 2019), each document for
itself, or whole sentences of one document (what next-sentence and sentence-order prediction need: Devlin et al. 2019,
Lan et al. 2020).

Positions are places in the flow of all windows, one after the other, frames included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

Packing = Literal["concatenate", "documents", "sentences"]


@dataclass(frozen=True)
class Frame:
    """Tokens before and behind every window; before, behind every document where windows have none; between documents."""

    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    opens: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.before) + len(self.behind)


def frame_of(tokenizer: Any, *, packing: Packing) -> Frame:
    """What a tokenizer of transformers puts around a text.

    Where it has CLS and SEP they go around a window, and documents that share one have SEP between them. Else a document
    begins with what the tokenizer puts first (bos, if it does) and ends with eos.
    """
    whole, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    before, behind = tuple(whole[:at]), tuple(whole[at + len(bare) :])
    if tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None and (before or behind):
        return Frame(before, behind, (), (tokenizer.sep_token_id,) if packing == "concatenate" else ())
    end = tokenizer.eos_token_id
    return Frame((), (), before, behind or (() if end is None else (end,)))


@dataclass
class Windows:
    """Some windows: tokens (T), lengths (W), positions at which documents and sentences begin."""

    tokens: list[np.ndarray] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    sentences: list[int] = field(default_factory=list)
    dropped_windows: int = 0
    dropped_tokens: int = 0


class Packer(Protocol):
    """Documents in, windows out; what has not filled a window yet is `pending`, JSON."""

    def add(self, sentences: Sequence[np.ndarray], into: Windows) -> None: ...

    def finish(self, into: Windows) -> None: ...

    def pending(self) -> dict[str, Any]: ...

    def restore(self, pending: dict[str, Any]) -> None: ...


def packer(packing: Packing, frame: Frame, *, length: int, least: int) -> Packer:
    """length: tokens of a window, frame included. least: tokens of content under which a window is dropped."""
    if length <= len(frame) + 1:
        raise ValueError(f"windows of {length} tokens have no room beside a frame of {len(frame)}")
    if packing == "concatenate":
        return _Flow(frame, length, least)
    return _Whole(frame, length, least, by_sentence=packing == "sentences")


@dataclass
class _Flow:
    """Documents one behind the other, cut wherever a window is full."""

    frame: Frame
    length: int
    least: int
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))  # fewer than fill a window
    passed: int = 0  # windows before them

    @property
    def room(self) -> int:
        return self.length - len(self.frame)

    def add(self, sentences: Sequence[np.ndarray], into: Windows) -> None:
        filled = len(self.held)
        window, at = self.passed + filled // self.room, filled % self.room
        # what begins with a window owns its frame too
        into.documents.append(window * self.length + (len(self.frame.before) + at if at else 0))
        whole = np.concatenate([self.held, _ids(self.frame.opens), *sentences, _ids(self.frame.ends)])
        count = len(whole) // self.room
        self.held = whole[count * self.room :]
        if count:
            self._put(whole[: count * self.room].reshape(count, self.room), into)

    def finish(self, into: Windows) -> None:
        if len(self.held) >= self.least:
            self._put(self.held[None], into)
        elif len(self.held):
            into.dropped_windows += 1
            into.dropped_tokens += len(self.held)
        self.held = self.held[:0]

    def _put(self, content: np.ndarray, into: Windows) -> None:
        count, width = content.shape
        before, behind = np.tile(_ids(self.frame.before), (count, 1)), np.tile(_ids(self.frame.behind), (count, 1))
        into.tokens.append(np.concatenate([before, content, behind], axis=1).ravel())
        into.lengths += [width + len(self.frame)] * count
        self.passed += count

    def pending(self) -> dict[str, Any]:
        return {"held": self.held.tolist(), "passed": self.passed}

    def restore(self, pending: dict[str, Any]) -> None:
        self.held, self.passed = np.array(pending["held"], np.uint32), int(pending["passed"])


@dataclass
class _Whole:
    """Windows of one document each: as many whole sentences as fit, or tokens wherever the window is full."""

    frame: Frame
    length: int
    least: int
    by_sentence: bool
    position: int = 0

    @property
    def room(self) -> int:
        return self.length - len(self.frame)

    def add(self, sentences: Sequence[np.ndarray], into: Windows) -> None:
        first, last = [_ids(self.frame.opens)] * bool(self.frame.opens), [_ids(self.frame.ends)] * bool(self.frame.ends)
        if not self.by_sentence:
            sentences = [np.concatenate([*first, *sentences, *last])]
        elif sentences:
            parts = [*sentences]
            parts[0], parts[-1] = np.concatenate([*first, parts[0]]), parts[-1]
            parts[-1] = np.concatenate([parts[-1], *last])
            sentences = parts
        begin, kept = self.position, False
        held: list[np.ndarray] = []
        filled = 0
        for sentence in sentences:
            for start in range(0, len(sentence), self.room):
                piece = sentence[start : start + self.room]
                if filled + len(piece) > self.room:
                    kept |= self._put(held, into)
                    held, filled = [], 0
                held.append(piece)
                filled += len(piece)
        kept |= self._put(held, into)
        if kept:
            into.documents.append(begin)

    def _put(self, held: list[np.ndarray], into: Windows) -> bool:
        content = sum(map(len, held))
        if content < max(self.least, 1):
            into.dropped_windows += bool(content)
            into.dropped_tokens += content
            return False
        into.tokens.append(np.concatenate([_ids(self.frame.before), *held, _ids(self.frame.behind)]))
        into.lengths.append(content + len(self.frame))
        if self.by_sentence:
            at = self.position + len(self.frame.before)
            for piece in held:
                into.sentences.append(at)
                at += len(piece)
        self.position += content + len(self.frame)
        return True

    def finish(self, into: Windows) -> None:
        pass

    def pending(self) -> dict[str, Any]:
        return {"position": self.position}

    def restore(self, pending: dict[str, Any]) -> None:
        self.position = int(pending["position"])


def _ids(numbers: Sequence[int]) -> np.ndarray:
    return np.array(numbers, np.uint32)
