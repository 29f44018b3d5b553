"""The network that training would build, before there are weights: its modules on the meta device, and its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Network:
    """What of a network decides. weights: in all; table: those of them that are looked up and not multiplied; hidden, inner:
    widths; halves: half of the tokens pass one half of its layers, and half the other (an encoder-decoder)."""

    weights: int
    table: int
    hidden: int
    layers: int
    inner: int
    heads: int
    halves: bool = False

    @property
    def body(self) -> int:
        """Weights that every token is multiplied with."""
        return max(1, self.weights - self.table) // (2 if self.halves else 1)


def outline(task: Any, backbone: str) -> Any | None:
    """The network that training would build, its weights on the meta device: shapes, no numbers.

    task: opened. None where the backbone is not on this machine, is made on the way, or is of an unknown kind.
    """
    from transformers import AutoConfig

    from burnish.nn import architectures
    from burnish.nn.backbones import AUTO, FRESH

    name = task.automatic() if backbone == AUTO else backbone
    writes = task.engine == "generator"
    if name == FRESH:
        if not writes:
            return None
        from burnish.nn.pieces import POSITIONS

        own = task.settings
        size = f"{own['layers']}x{own['hidden']}"
        config = architectures.config(task.shape, size, vocabulary=own["vocabulary"], positions=POSITIONS)
        return _generator(config, start="nothing")
    folder = _folder(name)
    if folder is None:
        return None
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError):
        return None
    if writes:
        from burnish.nn import warm

        if warm.only_reads(folder):
            behind = config.model_type in warm.FAMILIES
            layers = task.settings["layers"]
            return _generator(warm.sketched(config, layers=layers), start="behind an encoder") if behind else None
        start = "nothing" if architectures.is_fresh(folder) else "pretrained"
        return _generator(config, start="behind an encoder" if warm.is_warm(folder) else start)
    return _encoder(config, task, folder)


def _encoder(config: Any, task: Any, folder: Path) -> Any:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from burnish.nn.heads import FAMILIES, EncoderClassifier

    task.tokenizer(AutoTokenizer.from_pretrained(folder))  # some heads are made of its words
    head = task.head()
    pooled = head.kind == "sequence" and config.model_type in FAMILIES and not getattr(config, "is_decoder", False)
    more = {"add_pooling_layer": False} if pooled else {}
    with torch.device("meta"):
        encoder = AutoModel.from_config(config, **more)  # type: ignore[no-untyped-call]
    return EncoderClassifier(encoder, labels=head.labels or ("?",)) if pooled else encoder


def _generator(config: Any, *, start: str) -> Any:
    import torch

    from burnish.nn.architectures import network
    from burnish.nn.generators import Generator

    with torch.device("meta"):
        return Generator(network(config), start=start)


def _folder(name: str) -> Path | None:
    """Where a backbone's files lie, without fetching any."""
    from burnish.nn.backbones import have, known

    if Path(name).is_dir():
        return Path(name)
    return next((one.home for one in known() if one.name == name and have(name)), None)


def network_of(model: Any) -> Network | None:
    """The sizes of a network; None where its configuration names none."""
    import torch

    config = model.config
    try:
        hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
    except AttributeError:
        return None
    heads = int(getattr(config, "num_attention_heads", hidden // 32))
    stock = getattr(model, "plain", model)
    out = stock.get_output_embeddings() if hasattr(stock, "get_output_embeddings") else None
    looked_up = {
        id(part.weight): part.weight.numel()
        for part in stock.modules()
        if isinstance(part, torch.nn.Embedding) and (out is None or part.weight is not out.weight)
    }
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    weights = sum(weight.numel() for weight in model.parameters())
    halves = bool(getattr(config, "is_encoder_decoder", False))
    return Network(weights, sum(looked_up.values()), hidden, layers, inner, heads, halves)
