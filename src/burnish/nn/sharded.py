"""Processes that hold a part of the network each (FSDP2), for networks too large for one.

Weights, gradients and moments are cut along the first axis; a layer's weights are whole only while it computes. The
modules are the network's own, and bf16 comes by autocast. Checkpoints are safetensors, a file a process (no pickle is
read), and are taken up by any number of processes, or by one without FSDP.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn import checkpoints
from burnish.nn.anatomy import layers
from burnish.nn.devices import local
from burnish.nn.distributed import Replicas
from burnish.nn.kernels import Installed, Kernels, installed, stock
from burnish.nn.strategies.base import Strategy

T = TypeVar("T")
COUNT = "n:"  # before a weight's name: how often the optimiser has moved it, a number (`AdamW.state`)


class _Whole(nn.Module):
    """The root that FSDP gathers around: whatever is called inside its forward finds the weights outside layers whole."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, run: Callable[..., Any], *inputs: Any) -> Any:
        return run(*inputs)


class Shards(Replicas):
    """FSDP2 over all processes of torch.distributed."""

    parts = True

    def __init__(self) -> None:
        super().__init__()
        self._root: Any = None
        self._device = torch.device("cpu")
        self._parts: dict[str, nn.Parameter] = {}  # what learns, as FSDP holds it

    def check(self, objective: Any, strategies: Sequence[Any], regularisers: Sequence[Any]) -> None:
        """A regulariser reads and changes whole weights, and here nobody has them; nor can FSDP close a weight on the way."""
        changing = [one for one in strategies if one.adds or type(one).opens is not Strategy.opens]
        named = [one.name for one in (*regularisers, *changing)]
        if named:
            raise BurnishError(
                f"{', '.join(named)} needs whole weights, and parallel: fsdp leaves each process a part",
                where="train.tune",
                hint="engine.parallel: ddp, or leave it out",
            )

    def kernels(self, chosen: Kernels) -> Kernels:
        return self.told(stock(chosen, f"stock modules: each of {self.size} processes holds a part of the weights"))

    def share(self, count: int) -> Iterator[tuple[int, bool]]:
        """As many batches in every process, for all gather weights together: who has none left computes one for nothing."""
        for start in range(0, count, self.size):
            place = start + self.rank
            yield (place, True) if place < count else (count - 1, False)

    def failed(self, error: BurnishError) -> None:
        raise error  # the others are somewhere inside the network, and end when this process does

    def sum_gradients(self, operators: Installed) -> None:
        """FSDP has done it on the way back."""

    def squares(self, own: float) -> float:
        from torch import distributed

        total = torch.tensor(own, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)

    def judged(self, score: Callable[[], T]) -> T:
        figures = self.within(score)
        self._root.reshard()  # without a way back the root would keep whole weights, and soon old ones
        return self.told(figures)

    def within(self, run: Callable[..., T], *inputs: Any) -> T:
        made: T = self._root(run, *inputs)
        return made

    def place(self, model: nn.Module, device: torch.device) -> None:
        """It stays where it is: its parts go to the device one after the other, for there the whole has no room."""
        self._device = device

    @contextmanager
    def installed(self, model: nn.Module, kernels: Kernels, **settings: Any) -> Iterator[tuple[nn.Module, Installed]]:
        """Train a copy in parts; `model` gives its storage up for the time, and has all weights afterwards."""
        from torch import distributed
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        with torch.no_grad():
            for value in model.state_dict().values():
                distributed.broadcast(value, src=0)
        held = [weight.data for weight in model.parameters()]
        for weight in model.parameters():
            weight.data = weight.data.new_empty(0)
        network = copy.deepcopy(model)  # without numbers, which go over to it
        for weight, data in zip(network.parameters(), held, strict=True):
            weight.data = data
        del held
        self._root = _Whole(network)
        mesh = init_device_mesh(self._device.type, (self.size,))
        parts = [*layers(network), self._root]
        for part in parts:
            fully_shard(part, mesh=mesh)
            part.set_force_sum_reduction_for_comms(True)  # gloo knows no other
            part.set_gradient_divide_factor(1.0)  # a sum, for each loss is weighed by its share of the step already
        for (
            part
        ) in parts:  # room made now is of use later, whether or not a judge is the first to fill it (inference mode)
            part.unshard()
            part.reshard()
        try:
            with installed(network, kernels, **settings) as operators:
                self._parts = operators.working
                yield network, operators
        finally:
            self._root.reshard()
            learnt = dict(network.named_parameters())
            for name, weight in model.named_parameters():
                given: Any = learnt[name].detach()
                weight.data = (given.full_tensor() if hasattr(given, "full_tensor") else given).cpu()
            for name, value in network.named_buffers():
                model.get_buffer(name).copy_(value)
            self._root = None

    def saves(self, due: bool) -> bool:
        return self.told(due)

    def write(self, scratch: Path, *, name: str, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        import torch.distributed.checkpoint as checkpoint
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

        making = self.told(checkpoints.begin(scratch, name) if self.writes else scratch)
        flat = {
            f"{group}/{key}": self._shared(key, value)
            for group, members in tensors.items()
            for key, value in members.items()
        }
        checkpoint.save(  # type: ignore[attr-defined]
            flat, storage_writer=HuggingFaceStorageWriter(str(making / checkpoints.SHARDS), save_distributed=True)
        )
        if self.writes:
            checkpoints.finish(making, state)

    def _shared(self, key: str, value: Tensor) -> Any:
        """A part as FSDP sees it, so that it can be cut anew; counts and what a loss remembers are the same in all."""
        from torch.distributed.tensor import DTensor

        if key.startswith(COUNT):
            return value.reshape(1)
        if _weight(key) not in self._parts:
            return value
        like: Any = self._parts[_weight(key)].detach()
        return DTensor.from_local(
            value, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )

    def tensors(self, folder: Path, operators: Installed) -> dict[str, dict[str, Tensor]]:
        """This process's part of every tensor. The folder must be on a disk that all processes see."""
        import torch.distributed.checkpoint as checkpoint
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

        shards = str(folder / checkpoints.SHARDS)
        found: dict[str, dict[str, Tensor]] = {}
        if not Path(shards).is_dir():  # each process of before had the whole
            for group, members in checkpoints.tensors(folder).items():
                found[group] = {key: self._part(key, value) for key, value in members.items()}
            return found
        flat = {}
        about: Any = HuggingFaceStorageReader(shards).read_metadata().state_dict_metadata
        for name, kept in about.items():
            group, _, key = name.partition("/")
            if key.startswith(COUNT):
                own = torch.zeros((), dtype=torch.int64)
            elif _weight(key) in self._parts:
                own = torch.empty_like(self._own(key))
            else:
                own = torch.empty(tuple(kept.size), dtype=kept.properties.dtype)
            found.setdefault(group, {})[key] = own
            flat[name] = self._shared(key, own)
        checkpoint.load(flat, storage_reader=HuggingFaceStorageReader(shards))  # type: ignore[attr-defined]
        return found

    def _own(self, key: str) -> Tensor:
        return local(self._parts[_weight(key)].detach())

    def _part(self, key: str, value: Tensor) -> Tensor:
        if key.startswith(COUNT) or _weight(key) not in self._parts:
            return value
        pieces = value.chunk(self.size)
        piece = pieces[self.rank] if self.rank < len(pieces) else value[:0]
        assert piece.shape == self._own(key).shape, f"{key}: {tuple(piece.shape)}"
        return piece.clone()


def _weight(key: str) -> str:
    """The weight that a tensor of a checkpoint is of: itself, or m:NAME, v:NAME of its moments."""
    return key.removeprefix("m:").removeprefix("v:")


def whole(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint that several processes wrote, put together."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    reader = HuggingFaceStorageReader(str(folder))
    about: Any = reader.read_metadata().state_dict_metadata
    found = {name: torch.empty(tuple(one.size), dtype=one.properties.dtype) for name, one in about.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is")  # that is what is wanted
        checkpoint.load(found, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)  # type: ignore[attr-defined]
    return {name: value.reshape(()) if f"/{COUNT}" in name else value for name, value in found.items()}
