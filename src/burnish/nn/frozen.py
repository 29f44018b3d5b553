"""What the frozen bottom of an encoder gives, computed once a text instead of once a step.

Lower layers that do not learn give the same states for a text in every epoch, when dropout is left out of them. So the
states of every window under the lowest layer that learns are computed once, kept in a file, and training, validation
and judging begin above them. Windows are found by what they say (their tokens and types), so whoever calls the network
with ids need not know: heads, objectives and tasks stay as they are.

The file is a memory map of bf16 numbers, windows one after the other without padding: one window of t tokens takes
2 t D bytes, and a step reads its own windows alone. It lies in the scratch folder of the step with a checksum, so a run
that was killed goes on with it. Where the disk has no room the states are computed in every step, to the same numbers.

Encoders whose layers run as one operator (`nn.stack`) begin there at flat states; those of other families keep their
modules, of which the frozen ones hand the kept states on. What cannot be kept (images beside the text, decoders,
regularisers that look into layers) says so, and runs as it is.

B texts, L tokens, N flat rows, T tokens of all windows, D hidden, W windows.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.artifacts import write_json
from burnish.core.progress import Progress
from burnish.nn import anatomy
from burnish.nn.batches import batches_of
from burnish.nn.examples import Examples
from burnish.nn.kernels import Installed, Kernels
from burnish.nn.predict import READ_TOKENS, pad_token_of
from burnish.nn.stack import Plan

STATES, CARD = "states.bf16", "states.json"
ROOM = 0.8  # of the free disk that the file may take


@contextlib.contextmanager
def known(
    model: nn.Module,
    operators: Installed,
    kernels: Kernels,
    examples: Sequence[Examples],
    *,
    scratch: Path | None,
    progress: Progress,
) -> Iterator[str]:
    """Inside the block the frozen layers of `model` are not run for windows of `examples`. Gives a sentence for the report.

    To be entered inside `kernels.installed`. scratch: where the file lies, which goes when the block ends well; None
    takes a temporary folder.
    """
    cut = cut_of(model)
    if isinstance(cut, str):
        progress.tell(f"  frozen layers are computed in every step: {cut}")
        yield f"computed in every step: {cut}"
        return
    with contextlib.ExitStack() as closing:
        bottom = Bottom(model, cut, operators, kernels)
        windows = Windows.of(examples, typed=cut.typed)
        folder = scratch / "frozen" if scratch else Path(closing.enter_context(tempfile.TemporaryDirectory()))
        said = f"{cut.count} of {cut.layers} layers, for {windows.tokens:,} tokens of {len(windows):,} texts"
        size = 2 * windows.tokens * cut.hidden
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > ROOM * free:
            said = f"computed in every step ({said}): {_mib(size)} are wanted and {_mib(free)} of disk are free"
        else:
            said = f"computed once ({said}): {_mib(size)} of disk"
        progress.tell(f"  frozen: {said}")
        if size <= ROOM * free:
            bottom.states = _kept(bottom, windows, examples, folder, progress)
        closing.callback(bottom.give_back)
        bottom.take_over()
        yield said
        if bottom.missed:
            progress.tell(
                f"  frozen: {bottom.missed:,} batches held texts that were not foreseen, and were computed anew"
            )
        bottom.states = None
        shutil.rmtree(folder, ignore_errors=True)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


@dataclass(frozen=True)
class Cut:
    """Where the frozen part ends. body: of the network; count: of its `layers` layers, from the bottom, that are frozen.

    hands_on: makes what a frozen layer returns out of states (B, L, D): these, or a tuple of them.
    """

    body: Any
    count: int
    layers: int
    hidden: int
    hands_on: Callable[[Tensor], Any]

    @property
    def typed(self) -> bool:
        """Whether the body reads token types."""
        return "token_type_ids" in inspect.signature(self.body.forward).parameters


def cut_of(model: nn.Module) -> Cut | str:
    """Where the frozen bottom of a network ends, or why there is none whose states could be kept."""
    body: Any = anatomy.body(model)
    config: Any = getattr(body, "config", None)
    writes = getattr(body, "get_output_embeddings", lambda: None)() is not None
    if (
        writes
        or not hasattr(config, "hidden_size")
        or getattr(config, "is_decoder", False)
        or config.is_encoder_decoder
    ):
        return "the network is no encoder"
    if "input_ids" not in inspect.signature(body.forward).parameters or hasattr(model, "image_tokens"):
        return "it reads more than the tokens of a text"
    several = anatomy.layers(model)
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if learning & anatomy.below(model):
        return "what lies under the first layer learns"
    count = next(
        (at for at, layer in enumerate(several) if learning & anatomy.weights_of(model, [layer])), len(several)
    )
    if count == 0:
        return "its first layer learns"
    given = _given(model, body, several[count - 1])
    states = given[0] if isinstance(given, tuple) and given else given
    if not isinstance(states, Tensor) or states.ndim != 3:
        return "its layers hand on something else than states"
    if isinstance(given, tuple) and any(one is not None for one in given[1:]):
        return "its layers hand on more than states"
    if states.requires_grad:
        return "something inside its frozen layers learns"
    more = given[1:] if isinstance(given, tuple) else None
    return Cut(body, count, len(several), states.shape[-1], lambda x: x if more is None else (x, *more))


class _EnoughError(Exception):
    """The frozen part has run; nothing above it is wanted."""


def _given(model: nn.Module, body: Any, layer: nn.Module) -> Any:
    """What a layer returns for two tokens, by the network's own modules and with gradients: whether it depends on a
    weight that learns is autograd's to say."""
    ids = torch.tensor([[1, 1]])
    walkers = {part: part.__dict__.pop("forward") for part in body.modules() if "forward" in part.__dict__}
    try:
        with torch.enable_grad(), _stopped(layer) as found, contextlib.suppress(_EnoughError):
            body(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (RuntimeError, TypeError, ValueError):
        return None
    finally:
        for part, forward in walkers.items():
            part.__dict__["forward"] = forward
    return found[0] if found else None


@contextlib.contextmanager
def _stopped(layer: nn.Module) -> Iterator[list[Any]]:
    """Keep what `layer` returns, and go no further."""
    found: list[Any] = []

    def caught(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output)
        raise _EnoughError

    handle = layer.register_forward_hook(caught)
    try:
        yield found
    finally:
        handle.remove()


@dataclass(frozen=True)
class Windows:
    """The distinct windows of some examples: where the states of each lie.

    keys_W: sorted checksums of what they say; starts_W: their first row, in the same order; places: (number of the
    examples, row in them) of each in the order in which their states lie.
    """

    keys_W: np.ndarray
    starts_W: np.ndarray
    places: np.ndarray
    tokens: int

    @classmethod
    def of(cls, examples: Sequence[Examples], *, typed: bool) -> Windows:
        """Of each examples the longest first, as they are best computed. typed: the network reads types."""
        keys = [_keys(one.tokens, one.types if typed else None, one.offsets) for one in examples]
        whole = np.concatenate(keys)
        number = np.repeat(np.arange(len(examples)), [len(one) for one in examples])
        row = np.concatenate([np.arange(len(one)) for one in examples])
        lengths = np.concatenate([one.lengths for one in examples])
        sorted_keys, first = np.unique(whole, return_index=True)
        order = np.lexsort((first, -lengths[first], number[first]))
        first = first[order]
        starts = np.cumsum(lengths[first]) - lengths[first]
        places = np.stack([number[first], row[first]], 1)
        tokens = int(lengths[first].sum())
        back = np.empty(len(order), np.int64)
        back[order] = starts
        return cls(sorted_keys, back, places, tokens)

    def __len__(self) -> int:
        return len(self.keys_W)

    def starts(self, keys_B: np.ndarray) -> np.ndarray | None:
        """The first row of each, or None when one is not known."""
        at = np.minimum(np.searchsorted(self.keys_W, keys_B), len(self.keys_W) - 1)
        return self.starts_W[at] if bool((self.keys_W[at] == keys_B).all()) else None


def _keys(tokens: np.ndarray, types: np.ndarray | None, offsets: np.ndarray) -> np.ndarray:
    """64 bits for each window of a ragged array; two different windows out of a million share them once in 30 million
    runs. No types are types of 0."""
    tokens = np.ascontiguousarray(tokens, np.int32)
    types = None if types is None or not types.any() else np.ascontiguousarray(types, np.int8)
    made = np.empty(len(offsets) - 1, np.uint64)
    bounds = offsets.tolist()
    for at, (start, end) in enumerate(itertools.pairwise(bounds)):
        sum_ = hashlib.blake2b(tokens[start:end].tobytes(), digest_size=8)
        if types is not None and types[start:end].any():
            sum_.update(types[start:end].tobytes())
        made[at] = int.from_bytes(sum_.digest(), "little")
    return made


@dataclass
class States:
    """Kept states: int16 (T, D) that are bf16, and where the windows lie in them."""

    windows: Windows
    kept_TD: np.ndarray

    def of(self, batch: _Read, rows: int) -> Tensor | None:
        """bf16 (rows, D): those of the batch's windows one after the other, noughts behind; None if one is not known."""
        starts = self.windows.starts(batch.keys_B)
        if starts is None:
            return None
        out = np.empty((rows, self.kept_TD.shape[1]), np.int16)
        at = 0
        for start, length in zip(starts.tolist(), batch.lengths_B.tolist(), strict=True):
            out[at : at + length] = self.kept_TD[start : start + length]
            at += length
        out[at:] = 0
        return torch.from_numpy(out).view(torch.bfloat16)


@dataclass
class _Read:
    """The batch that the network is reading, padded on the right."""

    ids_BL: Tensor
    mask_BL: Tensor
    types_BL: Tensor | None

    @cached_property
    def lengths_B(self) -> np.ndarray:
        return self.mask_BL.sum(1).numpy()

    @cached_property
    def keys_B(self) -> np.ndarray:
        inside = self.mask_BL.bool().numpy()
        types = None if self.types_BL is None else self.types_BL.numpy()[inside]
        return _keys(self.ids_BL.numpy()[inside], types, np.concatenate([[0], np.cumsum(self.lengths_B)]))


class Bottom:
    """The frozen part of a network while it trains. states: what is kept, or None to compute it in every step."""

    def __init__(self, model: nn.Module, cut: Cut, operators: Installed, kernels: Kernels) -> None:
        self.model, self.cut, self.stack, self.dtype = model, cut, operators.layers, kernels.dtype
        self.frozen = anatomy.layers(model)[: cut.count]
        self.states: States | None = None
        self.whole: list[Any] = self.stack.layers if self.stack else []
        self._forward = cut.body.forward
        self._before: list[tuple[nn.Module, Any]] = []
        self._batch: _Read | None = None
        self._signature = inspect.signature(cut.body.forward)
        self._typed = cut.typed
        self.missed = 0  # batches that held a text whose states were not kept

    def take_over(self) -> None:
        """From here on the network's body begins above the frozen layers."""
        self._put(self.cut.body, self._read)
        embeddings = getattr(self.cut.body, "embeddings", None)
        if self.stack is not None:
            self.stack.below, self.stack.first = self._flat, self.cut.count
            if isinstance(embeddings, nn.Module):
                self._put(embeddings, self._nothing)
            return
        for layer in self.frozen[:-1]:
            self._put(layer, self._passed_on)
        self._put(self.frozen[-1], self._given)

    def give_back(self) -> None:
        """Undo `take_over`."""
        for part, forward in reversed(self._before):
            part.__dict__.pop("forward", None)
            if forward is not None:
                part.__dict__["forward"] = forward
        self._before.clear()
        if self.stack is not None:
            self.stack.below, self.stack.first, self.stack.layers = None, 0, self.whole

    def compute(self, batch: _Read) -> Tensor:
        """bf16 (T, D): the states of a batch's tokens by the frozen layers themselves, without dropout."""
        body = self.cut.body
        taken, was_training = bool(self._before), body.training
        if taken:
            self.give_back()
        body.eval()
        more = {} if batch.types_BL is None or not self._typed else {"token_type_ids": batch.types_BL}
        try:
            with torch.no_grad():
                if self.stack is not None:
                    self.stack.layers = self.whole[: self.cut.count]
                    out = self._forward(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, **more)
                    states_BLD: Tensor = out.last_hidden_state
                else:
                    with _stopped(self.frozen[-1]) as found, contextlib.suppress(_EnoughError):
                        self._forward(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, **more)
                    states_BLD = found[0][0] if isinstance(found[0], tuple) else found[0]
                return states_BLD[batch.mask_BL.bool()].to(torch.bfloat16)
        finally:
            if self.stack is not None:
                self.stack.layers = self.whole
            body.train(was_training)
            if taken:
                self.take_over()

    def _read(self, *args: Any, **more: Any) -> Any:
        """The body's forward: remember what it reads."""
        given = self._signature.bind(*args, **more).arguments
        ids, mask, types = (given.get(name) for name in ("input_ids", "attention_mask", "token_type_ids"))
        assert ids is not None, "only texts have states that are kept"
        self._batch = _Read(ids, torch.ones_like(ids) if mask is None else mask, types)
        return self._forward(*args, **more)

    def _states(self, rows: int) -> Tensor:
        """(rows, D) of the batch that is being read, noughts behind its tokens."""
        batch = self._batch
        assert batch is not None
        kept = self.states.of(batch, rows) if self.states else None
        if kept is None:
            self.missed += self.states is not None
            kept = nn.functional.pad(found := self.compute(batch), (0, 0, 0, rows - len(found)))
        return kept.to(self.dtype)

    def _flat(self, plan: Plan) -> Tensor:
        return self._states(plan.N)

    def _nothing(self, *args: Any, **more: Any) -> Tensor:
        """In place of the embeddings: nobody reads their numbers, only their shape."""
        assert self._batch is not None
        return torch.zeros((), dtype=self.dtype).expand(*self._batch.ids_BL.shape, self.cut.hidden)

    def _passed_on(self, hidden_states: Tensor, *args: Any, **more: Any) -> Any:
        return self.cut.hands_on(hidden_states)

    def _given(self, hidden_states: Tensor, *args: Any, **more: Any) -> Any:
        """In place of the last frozen layer: (B, L, D) of what is kept, noughts on padding."""
        assert self._batch is not None
        states_BLD = torch.zeros_like(hidden_states)
        inside_BL = self._batch.mask_BL.bool()
        states_BLD[inside_BL] = self._states(int(inside_BL.sum())).to(hidden_states.dtype)
        return self.cut.hands_on(states_BLD)

    def _put(self, part: nn.Module, forward: Callable[..., Any]) -> None:
        self._before.append((part, part.__dict__.get("forward")))
        part.__dict__["forward"] = forward


def _kept(
    bottom: Bottom, windows: Windows, examples: Sequence[Examples], folder: Path, progress: Progress
) -> States | None:
    """The states of all windows: those on disk where they are of this very network and data, else computed now.

    None where the disk is full after all.
    """
    file, card = folder / STATES, folder / CARD
    shape = (windows.tokens, bottom.cut.hidden)
    print_ = _print(bottom, windows)
    if not _sound(file, card, print_):
        making = folder / f".making-{STATES}"
        try:
            _reserve(making, 2 * shape[0] * shape[1])
            _fill(np.memmap(making, np.int16, "r+", shape=shape), bottom, windows, examples, progress)
        except OSError as error:
            making.unlink(missing_ok=True)
            progress.tell(f"  the disk is full ({error}): frozen layers are computed in every step")
            return None
        os.rename(making, file)
        write_json(card, {"print": print_, "sha256": _checksum(file)})
    return States(windows, np.memmap(file, np.int16, "r", shape=shape))


def _reserve(path: Path, size: int) -> None:
    """A file of that size whose blocks are there: writing into a map of a full disk would end the process."""
    with path.open("wb") as out:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(out.fileno(), 0, size)
        else:
            out.truncate(size)


def _fill(
    kept_TD: np.memmap, bottom: Bottom, windows: Windows, examples: Sequence[Examples], progress: Progress
) -> None:
    """Batch by batch, longest windows first; flushed to the disk."""
    pad = pad_token_of(bottom.model)
    at = 0
    with progress.bar("frozen layers", len(windows), "texts") as bar:
        for one, rows in _runs(windows, examples):
            for batch in batches_of(one, [rows], pad_token=pad):
                states_TD = bottom.compute(_Read(batch.ids_BL, batch.mask_BL, batch.types_BL))
                kept_TD[at : at + len(states_TD)] = states_TD.view(torch.int16).numpy()
                at += len(states_TD)
                bar.advance(len(rows))
    assert at == len(kept_TD)
    kept_TD.flush()


def _runs(windows: Windows, examples: Sequence[Examples]) -> Iterator[tuple[Examples, np.ndarray]]:
    """Batches in the order in which states lie: runs of windows of the same examples within the budget of tokens."""
    number = windows.places[:, 0]
    for start, end in _stretches(number):
        one, rows = examples[int(number[start])], windows.places[start:end, 1]
        held = 0
        while held < len(rows):
            longest = int(one.lengths[rows[held]])
            count = max(1, READ_TOKENS // max(longest, 1))
            yield one, rows[held : held + count]
            held += count


def _stretches(number: np.ndarray) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of equal numbers."""
    borders = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    yield from itertools.pairwise(borders)


def _print(bottom: Bottom, windows: Windows) -> str:
    """A checksum of all that decides what the states are."""
    total = hashlib.sha256()
    facts = [bottom.cut.count, bottom.cut.hidden, str(bottom.dtype), bottom.stack is not None, torch.__version__]
    total.update(repr([*facts, torch.get_num_threads(), str(bottom.cut.body.config)]).encode())
    total.update(windows.keys_W.tobytes() + windows.starts_W.tobytes() + windows.places.tobytes())
    inside = anatomy.below(bottom.model) | anatomy.weights_of(bottom.model, bottom.frozen)
    for name, weight in bottom.model.named_parameters():
        if name in inside:
            total.update(name.encode())
            total.update(weight.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _sound(file: Path, card: Path, print_: str) -> bool:
    """Whether the states on disk are whole, undamaged, and of this network and data."""
    try:
        said = json.loads(card.read_text("utf-8"))
        return bool(said["print"] == print_ and said["sha256"] == _checksum(file))
    except (OSError, ValueError, KeyError):
        return False


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
