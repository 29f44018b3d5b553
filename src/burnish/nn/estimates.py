"""What training will need before it is begun: bytes and seconds, from a backbone's configuration and this machine.

Bytes are counted one array after the other, as nn/kernels.py, nn/stack.py and nn/optimise.py hold them. Seconds are floating
point operations (6 a weight and token: Kaplan et al. 2020, arXiv:2001.08361, table 1) over the speed that the probe of this
processor measured; how much of that speed training reaches is measured too (docs/en/distributed.md says how well it fits).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARIES = 560e6  # resident bytes of a process in which torch, transformers and the rest have woken
POOL = 1 << 22  # numbers of the dropout pool
REACHED = 0.25  # share of the probe's GFLOP/s that a whole step reaches (MiniLM, SST-2: 277 of 1,214 on one core)
LOADING_S = 12.0  # libraries, weights, tokens


@dataclass(frozen=True)
class Network:
    """What of a backbone decides: weights in all, of the word table, of one layer; widths."""

    weights: int
    table: int
    hidden: int
    layers: int
    inner: int
    heads: int

    @property
    def body(self) -> int:
        """Weights that every token is multiplied with."""
        return max(1, self.weights - self.table)


@dataclass(frozen=True)
class Estimate:
    """seconds, bytes: of a whole run, and of its fullest moment; basis: where they come from."""

    seconds: float
    bytes: int
    basis: str


def network_of(folder: Path) -> Network | None:
    """Read from config.json and the headers of the weights; None where the configuration names other things."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        heads, vocabulary = int(config["num_attention_heads"]), int(config["vocab_size"])
    except (OSError, KeyError, ValueError):
        return None
    weights = sum(_numbers(path) for path in folder.glob("*.safetensors"))
    inner = int(config.get("intermediate_size") or 4 * hidden)
    return Network(weights, vocabulary * hidden, hidden, layers, inner, heads) if weights else None


def _numbers(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header alone."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    total = 0
    for name, about in header.items():
        if name != "__metadata__":
            count = 1
            for side in about["shape"]:
                count *= side
            total += count
    return total


def figures_of(network: Network, *, threads: int | None = None) -> dict[str, float]:
    """The probe's figures for this width on this processor, or {} where it has not run (`nn.kernels.choose`)."""
    from burnish.core.packages import home

    try:
        known = json.loads((home() / "kernels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    wanted = f"| {threads or _threads()} threads | {network.hidden}/{network.hidden // network.heads}"
    return next((dict(found) for key, found in known.items() if key.endswith(wanted)), {})


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", 0)) or (os.cpu_count() or 2)


def tuning(
    network: Network,
    *,
    records: int,
    tokens: int,
    settings: Mapping[str, Any],
    figures: Mapping[str, float],
    otherwise: float,
) -> Estimate:
    """A run of train.tune on the training side of so many records. otherwise: trained tokens a second of a network of
    10 million body weights, where this machine's speed is not known."""
    epochs = (
        settings["epochs"] if settings["epochs"] != "auto" else min(20, max(2, round(60 / max(1, records) ** 0.35)))
    )
    batch = settings["batch_tokens"]
    if batch == "auto":
        batch = min(2048, max(256, tokens * epochs / 60))
    length = min(tokens / max(1, records), 256 if settings["max_length"] == "auto" else settings["max_length"])
    bf16 = settings["precision"] == "bf16" or (
        settings["precision"] == "auto" and figures.get("bf16_gflops", 0) > 1.25 * figures.get("fp32_gflops", 1e9)
    )
    operations = 6.0 * network.body + 12.0 * network.layers * network.hidden * length
    if settings["activation_checkpointing"]:
        operations *= 4 / 3
    if figures:
        speed = 1e9 * REACHED * figures["bf16_gflops" if bf16 else "fp32_gflops"]
        basis = "weights x tokens at the speed measured here"
    else:
        speed, basis = otherwise * 6.0 * 10e6, "weights x tokens at the speed of two cores with bf16"
    seconds = LOADING_S + tokens * epochs * operations / speed
    return Estimate(seconds, _bytes(network, batch=batch, length=length, bf16=bf16, settings=settings), basis)


def _bytes(network: Network, *, batch: float, length: float, bf16: bool, settings: Mapping[str, Any]) -> int:
    """The fullest moment: the way back from a batch, with the best weights so far kept beside."""
    small = 2 if bf16 else 4
    fixed = LIBRARIES + POOL * small
    fixed += network.weights * (4 + 8 + 4 + 4)  # fp32 weights, two moments, the best so far, the file they came from
    fixed += network.body * (small * 2 if bf16 else small)  # gradients, and in bf16 what forward reads
    hidden, inner, width = network.hidden, network.inner, network.heads * length
    layer = small * (11 * hidden + 2 * inner) + width * (
        4 + small
    )  # a token: what Stack.forward_layer keeps, p in fp32
    back = small * (6 * hidden + 2 * inner) + width * (12 + small)  # what stands beside it while one layer goes back
    again = settings["activation_checkpointing"]
    kept = network.layers * small * hidden + layer if again else network.layers * layer
    return int(fixed + batch * (kept + back))


def for_tune(records: int, tokens: int, settings: Mapping[str, Any], task: Any, *, otherwise: float) -> Estimate | None:
    """The estimate of a step of train.tune; None where the backbone is not on this machine, or is made on the way."""
    folder = _folder(str(settings["backbone"]), task.languages)
    network = network_of(folder) if folder else None
    if network is None:
        return None
    train = 0.8
    return tuning(
        network,
        records=round(records * train),
        tokens=round(tokens * train),
        settings=settings,
        figures=figures_of(network),
        otherwise=otherwise,
    )


def _folder(backbone: str, languages: Sequence[str]) -> Path | None:
    """Where a backbone's files lie, without fetching any."""
    from burnish.nn.backbones import choose, have, known

    if backbone == "fresh":
        return None
    if Path(backbone).is_dir():
        return Path(backbone)
    name = choose(languages) if backbone == "auto" else backbone
    return next((one.home for one in known() if one.name == name and have(name)), None)
