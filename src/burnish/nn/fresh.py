"""A small model that writes, from nothing: random weights in a stock architecture, and a tokenizer learnt from the texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from burnish.nn.architectures import Architecture, config, is_fresh, make
from burnish.nn.pieces import POSITIONS, learn

__all__ = ["fresh", "is_fresh"]


def fresh(
    folder: str | Path,
    texts: Iterable[str],
    *,
    architecture: str = "encoder-decoder",
    hidden: int = 256,
    layers: int = 3,
    vocabulary: int = 8000,
    seed: int = 0,
) -> Path:
    """Write a backbone folder: config, random weights, tokenizer learnt from `texts` (BPE, Chinese as it occurs together).

    hidden: width, a multiple of 8; layers: of the decoder and, where there is one, as many of the encoder.
    vocabulary: pieces at most, those of 256 bytes among them; fewer where the texts have no more.
    """
    shape = cast(Architecture, architecture)  # `config` refuses another
    tokenizer = learn(texts, vocabulary=vocabulary, architecture=shape, chinese="none")
    size = config(shape, f"{layers}x{hidden}", vocabulary=len(tokenizer), positions=POSITIONS, tokenizer=tokenizer)
    return make(folder, size, tokenizer, seed=seed)
