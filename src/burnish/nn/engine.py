"""A saved classifier that answers through torch: for models that were not exported, and to check those that were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from burnish.nn import heads
from burnish.nn.batches import encode
from burnish.nn.predict import predict_logits


class TorchEngine:
    """logits (n, k) float32 of texts, in their order, in fp32."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.module: Any = heads.load(folder)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.max_length = int(json.loads((folder / "burnish.json").read_text("utf-8"))["max_length"])

    def logits(self, texts: Sequence[str], pairs: Sequence[str | None] | None = None) -> np.ndarray:
        second = [pair or "" for pair in pairs] if pairs is not None else None
        return predict_logits(self.module, encode(texts, self.tokenizer, pairs=second, max_length=self.max_length))
