"""What training will need before it is begun: bytes and seconds, from a backbone's configuration and this machine.

The network is built without its weights (`nn.outlines`), and how often and in which batches it will learn is asked of what
decides it in training: the strategy that `auto` means (`nn.strategies.auto`), then `nn.training.decide`. Bytes are counted one
array after the other, as nn/kernels.py, nn/stack.py and nn/optimise.py hold them. Seconds are floating point operations (6 a
weight and token: Kaplan et al. 2020, arXiv:2001.08361, table 1) over the speed that the probe of this processor measured; how
much of that speed training reaches is measured too (docs/en/distributed.md says how well it fits).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from burnish.nn.outlines import Network, network_of, outline

LIBRARIES = 560e6  # resident bytes of a process in which torch, transformers and the rest have woken
POOL = 1 << 22  # numbers of the dropout pool
REACHED = 0.25  # share of the probe's GFLOP/s that a whole step reaches (MiniLM, SST-2: 277 of 1,214 on one core)
LOADING_S = 12.0  # libraries, weights, tokens
TRAINED = 0.8  # share of the records that a split leaves to training


@dataclass(frozen=True)
class Pace:
    """How much is learnt: passes over the records in batches of so many tokens; steps: in all, None where passes count."""

    epochs: int
    batch_tokens: int
    steps: int | None = None

    def tokens(self, held: int) -> float:
        """That are learnt from in all, where the records hold so many."""
        return held * self.epochs if self.steps is None else self.steps * min(self.batch_tokens, held)


@dataclass(frozen=True)
class Estimate:
    """seconds, bytes: of a whole run, and of its fullest moment; basis: where they come from; pace: what they stand on."""

    seconds: float
    bytes: int
    basis: str
    pace: Pace


def pace_of(model: Any, task: Any, settings: Mapping[str, Any], *, records: int, tokens: int) -> Pace:
    """As training decides it. model: of `outline`; task: opened; tokens: of the records' texts.

    Not known before there are records, and taken for granted: a window a record, as many tokens written as read, labels that
    people gave.
    """
    from burnish.nn.strategies.auto import Taught, plain, settled
    from burnish.nn.strategies.base import strategies
    from burnish.nn.training import Evidence, Training, aims, decide

    head, objective = task.head(), task.objective()
    records = max(1, records)
    taught = Taught(records, len(head.labels), one_label=_one_label(objective), plain=plain(settings))
    parts, _ = settled(strategies.open(settings["strategy"]), model, taught)
    start = next((one.start for one in parts if one.start), getattr(model, "start", "pretrained"))
    reads_first = getattr(model, "reads_first", None)  # None of what does not write, False of a decoder
    read = 2 * tokens if reads_first is False else tokens  # what a decoder writes stands behind what it reads
    aim = aims(objective, start=start)
    targets = head.kind in ("token", "several") or reads_first is False
    evidence = Evidence(
        count=records,
        tokens=read,
        longest=math.ceil(read / records),
        hidden=int(model.config.hidden_size),
        layers=int(model.config.num_hidden_layers),
        written=tokens if reads_first else None,
        start=start,
        by_token=targets and (start == "pretrained" or aim["tags"]),
        **aim,
    )
    accumulate = settings["accumulate"] if settings["accumulate"] != "auto" else 1
    wanted = {name: settings[name] for name in ("epochs", "learning_rate", "batch_tokens")}
    decided, _ = decide(Training(accumulate=accumulate, **wanted), evidence)
    for one in parts:
        decided = one.paced(decided, count=records, longest=evidence.longest)
    if taught.one_label and taught.plain and any(one.solves for one in parts):
        decided = replace(decided, steps=0)
    return Pace(int(decided.epochs), int(decided.batch_tokens), decided.steps)


def _one_label(objective: Any) -> bool:
    from burnish.nn.objectives import CrossEntropy

    return type(objective) is CrossEntropy


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
    pace: Pace,
    *,
    records: int,
    tokens: int,
    settings: Mapping[str, Any],
    figures: Mapping[str, float],
    otherwise: float,
) -> Estimate:
    """A run of train.tune on the training side of so many records. otherwise: trained tokens a second of a network of
    10 million body weights, where this machine's speed is not known."""
    from burnish.nn.training import MAX_LENGTH

    length = min(tokens / max(1, records), MAX_LENGTH if settings["max_length"] == "auto" else settings["max_length"])
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
    seconds = LOADING_S + pace.tokens(tokens) * operations / speed
    fullest = _bytes(network, batch=pace.batch_tokens, length=length, bf16=bf16, settings=settings)
    return Estimate(seconds, fullest, basis, pace)


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
    """The estimate of a step of train.tune; None where the backbone is not on this machine, or is made on the way.

    task: the spec's section. Wakes torch.
    """
    from burnish.core.tasktypes import open_task

    opened = open_task(task)
    model = outline(opened, str(settings["backbone"]))
    network = network_of(model) if model is not None else None
    if network is None:
        return None
    sides = {"records": round(records * TRAINED), "tokens": round(tokens * TRAINED)}
    pace = pace_of(model, opened, settings, **sides)
    if network.halves or opened.engine == "generator":
        sides["tokens"] *= 2  # read and written
    figures = figures_of(network)
    return tuning(network, pace, **sides, settings=settings, figures=figures, otherwise=otherwise)
