"""Exports of models that write, judged by what they write: the same answers, and nearly the same logits at every step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.nn.runtime import DECODER, ENCODER
from burnish.tasks.base import Answers, Input
from burnish.tasks.predictor import Predictor

JUDGED = 100  # records whose answers both models write: a second for each where reading takes a millisecond
GREEDY = {"num_beams": 1, "temperature": 0.0}


@dataclass(frozen=True)
class Written:
    """What two models wrote for the same records.

    before, after: as they would be served. searches: share of equal answers by how they were searched for (greedy, 4
    beams). changed: the first answer that is another, as a sentence; "" where none is. logit_difference: the largest, of
    any token at any step of the greedy answers (`nn.forcing`). speedup: of writing.
    """

    before: Answers
    after: Answers
    searches: Mapping[str, float]
    changed: str
    logit_difference: float
    speedup: float


def bundle(engine: Any, folder: Path, *, eight_bits: bool) -> None:
    """Write graphs, tokenizer, configuration and settings of writing of a `GeneratorEngine` into a folder."""
    from burnish.nn import quantise
    from burnish.nn.writing_graphs import export_writer

    export_writer(engine.network, folder)
    if eight_bits:
        for path in (folder / ENCODER, folder / DECODER):
            if path.is_file():
                quantise.blocks(path, path)
    engine.network.config.save_pretrained(folder)
    engine.network.generation_config.save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)


def some(records: pa.Table) -> pa.Table:
    """At most JUDGED records, evenly taken."""
    if len(records) <= JUDGED:
        return records
    return records.take(pa.array(np.linspace(0, len(records) - 1, JUDGED).astype(np.int64)))


def compare(ours: Predictor, theirs: Predictor, inputs: Sequence[Input]) -> Written:
    """Write greedily, and as the models are set to where that is a search with beams, with both."""
    import torch

    from burnish.nn.forcing import largest_difference

    engine: Any = ours.engine
    chosen = engine.network.generation_config
    ways: dict[str, dict[str, Any]] = {"greedy": GREEDY}
    if not chosen.do_sample and (chosen.num_beams or 1) > 1:
        ways[f"{chosen.num_beams} beams"] = {}
    searches, changed, spent = {}, "", [0.0, 0.0]
    examples = ours.encode(inputs)
    first: list[np.ndarray] = []
    with torch.inference_mode():
        for name, settings in ways.items():
            said = []
            for at, one in enumerate((ours, theirs)):
                began = time.perf_counter()
                tokens = one.engine.outputs(one.encode(inputs), **settings)
                spent[at] += time.perf_counter() - began
                first = first or tokens
                said.append(one.task.decode(inputs, examples, tokens, one.info))
            before, after = said
            same = ours.task.agreement(before, after)
            searches[name] = float(same.mean())
            changed = changed or _changed(name, before, after, same)
    difference = largest_difference(engine.network, theirs.engine.network, examples, first)  # type: ignore[attr-defined]
    return Written(before, after, searches, changed, difference, spent[0] / max(spent[1], 1e-9))


def _changed(search: str, before: Answers, after: Answers, same: np.ndarray) -> str:
    others = np.flatnonzero(same < 1)
    if not len(others):
        return ""
    was, now = (one.items[int(others[0])]["text"] for one in (before, after))
    return f"the first to change ({search}) is number {int(others[0]) + 1}: {was[:60]!r} became {now[:60]!r}"
