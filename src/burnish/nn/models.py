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

from burnish.core.errors import WeightsError

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
    """The backbone in `folder` under a fresh head, its weights drawn from `seed`.

    Raises WeightsError for a model whose strategy lies beside its weights: built on those alone, it would be lost.
    """
    from burnish.nn.strategies.base import strategies

    card = Path(folder) / "burnish.json"
    learnt = json.loads(card.read_text("utf-8")).get("strategy", "full") if card.is_file() else "full"
    if beside := [one.name for one in strategies.open(learnt) if not one.folds]:
        raise WeightsError(
            f"{folder} was tuned by {', '.join(beside)}, which lies beside its weights and would be lost",
            where="train.tune.backbone",
            hint="start from the backbone it came from, or from a model whose adapters were merged (lora)",
        )
    return _module(head).build(folder, head, seed=seed)


ADAPTER = "adapter"  # folder beside the model: what a strategy put into the network


def save(model: Any, folder: Path, head: Head, *, tokenizer: Any, strategies: Sequence[Any] = ()) -> None:
    """Write a model folder, load it again, and compare; WeightsError when it differs.

    strategies: of `nn.strategies`, as they were placed; what they put in is folded into the weights, or written beside.
    Where they put something in, the model as it was trained is compared with the folder as it will be loaded.
    """
    adding = [one for one in strategies if one.adds]
    before = _sample(model, head) if adding else None
    for one in adding:
        one.keep(model, folder / ADAPTER)
    for one in strategies:
        one.fold(model)
    if not all(one.exact for one in adding):
        before = _sample(model, head)
    _module(head).save(model, folder, tokenizer=tokenizer)
    _take_up(model, folder, strategies)
    if before is not None:
        again = _module(head).load(folder, head)
        _take_up(again, folder, strategies)
        _same(before, _sample(again, head), folder)


def _take_up(model: Any, folder: Path, strategies: Sequence[Any]) -> None:
    for one in strategies:
        if one.folds:
            continue
        if not list((folder / ADAPTER).glob("*.safetensors")):  # peft would look for it on a hub, or read a pickle
            raise WeightsError(
                f"{folder / ADAPTER} holds no .safetensors of what {one.name} has learnt",
                hint="copy the whole model folder",
            )
        one.take_up(model, folder / ADAPTER)


def _sample(model: Any, head: Head) -> dict[str, Any]:
    """What a model gives for made-up texts, by output, without padding."""
    from burnish.nn import samples

    given = samples.inputs(model)
    with samples.at_rest(model):
        made = model(**given)
    made = made.logits if hasattr(made, "logits") else made
    whole = made if isinstance(made, Mapping) else {"": made}
    mask = given["attention_mask"].bool()
    parts = {name: Head(**one) for name, one in head.more["heads"].items()} if isinstance(made, Mapping) else {"": head}
    by_token = {
        name: parts[name].kind in ("token", "generator") and value.shape[1] > 1 for name, value in whole.items()
    }
    return {name: (value[mask] if by_token[name] else value).float().cpu() for name, value in whole.items()}


def _same(ours: Mapping[str, Any], theirs: Mapping[str, Any], folder: Path) -> None:
    for name, value in ours.items():
        worst = float((value - theirs[name]).abs().max())
        if not worst <= 1e-3 * (1.0 + float(value.abs().max())):
            raise WeightsError(
                f"{folder}: with what its strategy learnt the saved model differs from the trained one by {worst:.3g}"
            )


def facts(model: Any) -> dict[str, Any]:
    """What a decoder must know of a network beside its outputs, for the model's card, JSON: a CRF's values."""
    return dict(getattr(model, "facts", dict)())


def load(folder: str | Path) -> Any:
    """The network of a model folder, ready to predict."""
    from burnish.nn.strategies.base import strategies

    card = json.loads((Path(folder) / "burnish.json").read_text("utf-8"))
    head = Head.of(card)
    model = _module(head).load(folder, head)
    _take_up(model, Path(folder), strategies.open(card.get("strategy", "full")))
    return model


def _module(head: Head) -> Any:
    return importlib.import_module(KINDS[head.kind])
