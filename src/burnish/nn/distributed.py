"""Processes that train one network together: who has which batch of a step, how gradients are added up, who writes.

A step is the same batches with the same seeds however many processes there are; a group shares them out. So the loss
curve is that of one process up to the order in which numbers are added. `Group` is one process alone; `Replicas` hold a
whole copy each; `nn.sharded.Shards` hold a part each. Why not torch's DDP: docs/decisions/distributed.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn import checkpoints
from burnish.nn.costs import Memory
from burnish.nn.kernels import Installed, Kernels, installed
from burnish.nn.optimise import merged

BUCKET = 1 << 23  # numbers summed at once: 32 MB, enough to hide what a message costs
PARALLEL = ("auto", "ddp", "fsdp")
T = TypeVar("T")


class Group:
    """One process alone. rank: of this process, 0 judges and writes; size: of all; parts: each holds a part of every weight."""

    rank, size, parts = 0, 1, False

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def check(self, objective: Any, strategies: Sequence[Any], regularisers: Sequence[Any]) -> None:
        """Raise BurnishError for what cannot be trained in this group."""

    def kernels(self, chosen: Kernels) -> Kernels:
        """The operators of all processes, from those that this one chose."""
        return chosen

    def share(self, count: int) -> Iterator[tuple[int, bool]]:
        """(place, whether it counts) of the batches that this process computes, of the `count` batches of a step."""
        for place in range(self.rank, count, self.size):
            yield place, True

    def told(self, value: T) -> T:
        """What the first process says, in every process."""
        return value

    def failed(self, error: BurnishError) -> None:
        """Something went wrong in this process's share of a step."""
        raise error

    def agreed(self, losses: list[float], tokens: int) -> tuple[list[float], int]:
        """Losses of all batches of a step, each from whom it came, and the tokens of all. Raises what failed anywhere."""
        return losses, tokens

    def sum_gradients(self, operators: Installed) -> None:
        """Leave the sum over all processes where this process's gradients were."""

    def remembered(self, memories: Sequence[Memory]) -> None:
        """Leave what losses remember of the texts of a step the same in every process."""
        for memory in memories:
            memory.moved()

    def squares(self, own: float) -> float:
        """The sum of squares of all gradients, from that of the gradients that this process keeps."""
        return own

    def judged(self, score: Callable[[], T]) -> T:
        """The judge's figures, the same in every process."""
        return score()

    def within(self, run: Callable[..., T], *inputs: Any) -> T:
        """Call what needs the network's weights."""
        return run(*inputs)

    def place(self, model: nn.Module, device: torch.device) -> None:
        """Bring the network where it will be trained."""
        model.to(device)

    @contextmanager
    def installed(self, model: nn.Module, kernels: Kernels, **settings: Any) -> Iterator[tuple[nn.Module, Installed]]:
        """The network to train and its operators; afterwards `model` holds what was learnt. settings: of `kernels.installed`."""
        with installed(model, kernels, **settings) as operators:
            yield model, operators

    def saves(self, due: bool) -> bool:
        """Whether this process takes part in writing a checkpoint now. due: its own clock says so."""
        return due and self.writes

    def write(self, scratch: Path, *, name: str, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all (`checkpoints.write`)."""
        checkpoints.write(scratch, name=name, tensors=tensors, state=state)

    def read(self, found: tuple[Path, dict[str, Any]] | None) -> tuple[Path, dict[str, Any]] | None:
        """The checkpoint to go on from, in every process. found: (folder, state) in the first."""
        return found

    def tensors(self, folder: Path, operators: Installed) -> dict[str, dict[str, Tensor]]:
        """What of a checkpoint this process keeps."""
        return checkpoints.tensors(folder)


class Replicas(Group):
    """Processes with a whole copy of the network each: each computes its batches, gradients are added up after the
    backward pass, and every optimiser makes the same step. Needs torch.distributed to be initialised."""

    def __init__(self) -> None:
        from torch import distributed

        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._error: BurnishError | None = None

    def check(self, objective: Any, strategies: Sequence[Any], regularisers: Sequence[Any]) -> None:
        alone = [one.name for one in regularisers if not one.shares]
        if alone:
            raise BurnishError(
                f"{', '.join(alone)} remembers every batch it has seen, and here each of {self.size} processes sees a share",
                where="train.tune",
                hint="leave it out, or train in one process",
            )

    def kernels(self, chosen: Kernels) -> Kernels:
        return self.told(chosen)

    def told(self, value: T) -> T:
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def failed(self, error: BurnishError) -> None:
        self._error = error  # the others wait in `agreed`: told there, all stop with its message

    def agreed(self, losses: list[float], tokens: int) -> tuple[list[float], int]:
        from torch import distributed

        told = torch.tensor([float(self._error is not None), float(tokens), *losses], dtype=torch.float64)
        distributed.all_reduce(told)
        if told[0]:
            raise self._first_error()
        return told[2:].tolist(), int(told[1])

    def _first_error(self) -> BurnishError:
        from torch import distributed

        mine = self._error
        box: list[Any] = [None] * self.size
        distributed.all_gather_object(box, (mine.message, mine.where, mine.hint) if mine else None)
        rank, (message, where, hint) = next((at, one) for at, one in enumerate(box) if one)
        return BurnishError(f"{message} (process {rank} of {self.size})", where=where, hint=hint)

    def sum_gradients(self, operators: Installed) -> None:
        _sum_dense(operators.working)
        for table in operators.rows.values():
            weight = table.module.weight
            rows, grads = merged(table.touched) if table.touched else _no_rows(weight)
            rows, grads = _gathered_rows(rows, grads, self.size)
            leaf = torch.empty_like(grads)
            leaf.grad = grads
            table.touched[:] = [(rows, leaf)] if len(rows) else []

    def remembered(self, memories: Sequence[Memory]) -> None:
        for (
            memory
        ) in memories:  # a row is in one batch of a step, so that the sum over processes is what one of them says
            rows = memory.moved()
            rows, values = _gathered_rows(rows, memory.values[rows], self.size)
            memory.values[rows] = values

    def judged(self, score: Callable[[], T]) -> T:
        figures: Any = score() if self.writes else None
        told: T = self.told(figures)
        return told

    @contextmanager
    def installed(self, model: nn.Module, kernels: Kernels, **settings: Any) -> Iterator[tuple[nn.Module, Installed]]:
        from torch import distributed

        with torch.no_grad():
            for value in model.state_dict().values():  # copies begin alike, whatever each process drew
                distributed.broadcast(value, src=0)
        with super().installed(model, kernels, **settings) as both:
            yield both

    def read(self, found: tuple[Path, dict[str, Any]] | None) -> tuple[Path, dict[str, Any]] | None:
        return self.told(found)

    def tensors(self, folder: Path, operators: Installed) -> dict[str, dict[str, Tensor]]:
        return self.told(checkpoints.tensors(folder) if self.writes else {})


def open_group(parallel: str = "auto", model: nn.Module | None = None) -> Group:
    """The group this process belongs to: alone, unless torch.distributed was initialised.

    parallel: "ddp" a copy of the network in each process; "fsdp" a part in each; "auto" ddp, unless `model` with its
    gradients and moments is larger than 80% of the memory that a process has.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        if parallel == "fsdp":
            raise BurnishError(
                "parallel: fsdp needs processes", hint="engine: {use: local, processes: 2, parallel: fsdp}"
            )
        return Group()
    if parallel == "fsdp" or (parallel == "auto" and model is not None and _too_large(model)):
        from burnish.nn.sharded import Shards

        return Shards()
    return Replicas()


def _too_large(model: nn.Module) -> bool:
    """Whether weights, gradients and two moments leave no room in this process's memory; the first process decides."""
    from burnish.nn.devices import memory

    needed = sum(4 * weight.numel() * (4 if weight.requires_grad else 1) for weight in model.parameters())
    return Replicas().told(needed > 0.8 * memory())


def _sum_dense(working: dict[str, nn.Parameter]) -> None:
    """Add the gradients of all processes up, in fp32, a bucket at a time; a weight that no process has taught keeps none."""
    from torch import distributed

    names = list(working)
    if not names:
        return
    device = working[names[0]].device
    taught = torch.tensor([float(working[name].grad is not None) for name in names], device=device)
    distributed.all_reduce(taught)
    bucket: list[nn.Parameter] = []
    for name, count in zip(names, taught.tolist(), strict=True):
        if not count:
            continue
        weight = working[name]
        if bucket and sum(one.numel() for one in bucket) + weight.numel() > BUCKET:
            _sum_bucket(bucket)
            bucket = []
        bucket.append(weight)
    if bucket:
        _sum_bucket(bucket)


def _sum_bucket(weights: list[nn.Parameter]) -> None:
    from torch import distributed

    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    grads = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([grad.reshape(-1).float() for grad in grads])
    distributed.all_reduce(flat)
    for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view(grad.shape))


def _no_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty(0, dtype=torch.long), torch.empty(0, weight.shape[1])


def _gathered_rows(rows: Tensor, grads: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Rows that any process touched with the sum of their gradients (U, D): what travels is the rows, not the table."""
    from torch import distributed

    counts = [torch.zeros(1, dtype=torch.long) for _ in range(size)]
    distributed.all_gather(counts, torch.tensor([len(rows)]))
    numbers = [int(count) for count in counts]
    most = max(numbers)
    if not most:
        return rows, grads
    padded_rows = torch.zeros(most, dtype=torch.long)
    padded_grads = torch.zeros(most, grads.shape[1])
    padded_rows[: len(rows)], padded_grads[: len(rows)] = rows, grads
    all_rows = [torch.empty_like(padded_rows) for _ in range(size)]
    all_grads = [torch.empty_like(padded_grads) for _ in range(size)]
    distributed.all_gather(all_rows, padded_rows)
    distributed.all_gather(all_grads, padded_grads)
    found = torch.cat([one[:number] for one, number in zip(all_rows, numbers, strict=True)])
    parts = torch.cat([one[:number] for one, number in zip(all_grads, numbers, strict=True)])
    rows_U, inverse = torch.unique(found, return_inverse=True)
    return rows_U, torch.zeros(len(rows_U), parts.shape[1]).index_add_(0, inverse, parts)
