"""A backbone under a head, built, saved and loaded: one place that knows which module serves which kind of head.

A head is a module of this package with three functions:
    build(folder, head, *, seed) -> nn.Module      the backbone in `folder` under a fresh head
    save(model, folder, *, tokenizer) -> None      a folder that `load` opens; stock transformers where there is such a model
    load(folder, head) -> nn.Module                what `save` wrote, ready to predict
The module it builds has `config` (of transformers), `exact` (names of its parts that may stay fp32 when the rest does
not), and forward(input_ids, attention_mask, token_type_ids=None) -> Tensor (B, ...) or, for several heads, a dict of them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {
    "sequence": "burnish.nn.heads",  # (B, C): classes, numbers
    "token": "burnish.nn.token_heads",  # (B, L, C): tags, with or without a CRF; answer borders
    "pointer": "burnish.nn.pointer_heads",  # (B, C, L, L): a score for every span and class
    "markers": "burnish.nn.marker_heads",  # (B, C): classes of a pair of marked spans
    "embedding": "burnish.nn.embedding_heads",  # (B, D): a vector for each text
    "pattern": "burnish.nn.pattern_heads",  # (B, C): what a language model would write in a hole
    "vision": "burnish.nn.vision",  # (B, C): classes of a text with an image
    "several": "burnish.nn.several_heads",  # {name: (B, ...)}: heads that share a backbone
    "generator": "burnish.nn.generators",  # a decoder or encoder-decoder
}

# How the output of a kind is cut to one window of l tokens: which of its axes are tokens.
TOKEN_AXES = {"token": (0,), "pointer": (1, 2)}


@dataclass(frozen=True)
class Head:
    """What stands on the backbone. kind: of KINDS; labels: of the outputs, in order; more: settings of it, JSON."""

    kind: str
    labels: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"labels": list(self.labels), "more": dict(self.more)}

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Head:
        """The head that a model's burnish.json names; a model of before heads were named classifies sequences."""
        named = card.get("head") or {"kind": "sequence", "labels": card["task"].get("labels", ())}
        return cls(named["kind"], tuple(named.get("labels", ())), named.get("more", {}))


def per_window(outputs: Any, head: Head, lengths: np.ndarray) -> Any:
    """Outputs of one batch as one array a window, without padding: (B, ...) itself where no axis is tokens, else a list.

    lengths: (B) tokens of each window. Outputs of several heads become a list of dicts.
    """
    if isinstance(outputs, Mapping):
        parts = {name: Head(**one) for name, one in head.more["heads"].items()}
        cut = {name: per_window(outputs[name], parts[name], lengths) for name in parts}
        return [{name: value[i] for name, value in cut.items()} for i in range(len(lengths))]
    axes = TOKEN_AXES.get(head.kind)
    if axes is None:
        return outputs
    return [
        row[tuple(slice(length) if at in axes else slice(None) for at in range(row.ndim))]
        for row, length in zip(outputs, lengths, strict=True)
    ]


def gathered(count: int, stream: Iterable[tuple[Any, Any]]) -> Any:
    """Outputs of `count` windows in order, from batches of (rows, outputs): (count, C) or a list."""
    whole: Any = None
    for rows, outputs in stream:
        if whole is None:
            array = isinstance(outputs, np.ndarray)
            whole = np.empty((count, *outputs.shape[1:]), outputs.dtype) if array else [None] * count
        if isinstance(whole, np.ndarray):
            whole[rows] = outputs
        else:
            for row, output in zip(rows, outputs, strict=True):
                whole[row] = output
    return [] if whole is None else whole


def build(folder: str | Path, head: Head, *, seed: int) -> Any:
    """The backbone in `folder` under a fresh head, its weights drawn from `seed`."""
    return _module(head).build(folder, head, seed=seed)


ADAPTER = "adapter"  # folder beside the model: what a strategy put into the network


def save(model: Any, folder: Path, head: Head, *, tokenizer: Any, strategies: Sequence[Any] = ()) -> None:
    """Write a model folder, load it again, and compare; WeightsError when it differs.

    strategies: of `nn.strategies`, as they were placed; what they put in is folded into the weights, or written beside.
    """
    for one in strategies:
        if one.adds:
            one.keep(model, folder / ADAPTER)
        one.fold(model)
    _module(head).save(model, folder, tokenizer=tokenizer)
    for one in strategies:
        if not one.folds:
            one.take_up(model, folder / ADAPTER)


def facts(model: Any) -> dict[str, Any]:
    """What a decoder must know of a network beside its outputs, for the model's card, JSON: a CRF's values."""
    return dict(getattr(model, "facts", dict)())


def load(folder: str | Path) -> Any:
    """The network of a model folder, ready to predict."""
    from burnish.nn.strategies.base import strategies

    card = json.loads((Path(folder) / "burnish.json").read_text("utf-8"))
    head = Head.of(card)
    model = _module(head).load(folder, head)
    for one in strategies.open(card.get("strategy", "full")):
        if not one.folds:
            one.take_up(model, Path(folder) / ADAPTER)
    return model


def _module(head: Head) -> Any:
    return importlib.import_module(KINDS[head.kind])
