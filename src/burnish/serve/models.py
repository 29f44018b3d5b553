"""A deployed model as the server sees it: texts to predictions, by several sessions at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.errors import BurnishError
from burnish.nn.runtime import OnnxRuntimeEngine
from burnish.serve.batching import Batcher, Text
from burnish.serve.metrics import Metrics


class ServedModel:
    """One model folder, open: its name, version, task, and a queue in front of its sessions."""

    def __init__(
        self,
        folder: Path,
        *,
        sessions: int,
        max_batch_tokens: int,
        max_queue: int,
        max_wait_s: float,
        metrics: Metrics,
    ) -> None:
        self.engine = OnnxRuntimeEngine(folder, sessions=1)
        card = self.engine.card
        self.task: dict[str, Any] = card["task"]
        if self.task.get("type") != "classification":
            raise BurnishError(
                f"a model for {self.task.get('type')!r} cannot be served",
                where=str(folder),
                hint="serve answers with classification models",
            )
        labels = self.task.get("labels")
        self.labels: list[str] = list(labels or [])
        if len(self.labels) != self.engine.num_outputs:
            raise BurnishError(
                f"burnish.json names {len(self.labels)} labels, the network has {self.engine.num_outputs} outputs",
                where=str(folder),
                hint="export the model again",
            )
        self.name = str(card.get("name") or Path(folder).resolve().name)
        self.version = str(card.get("version", ""))
        self.temperature = float(card.get("temperature", 1.0))
        list(self.compute([("warm up", None)]))  # the first run plans memory: not on a user's time
        self.batcher = Batcher(
            self.compute,
            sessions=sessions,
            max_batch_tokens=max_batch_tokens,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            watch=partial(metrics.batch, self.name),
        )

    def compute(self, texts: Sequence[Text]) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
        """Predict batch after batch: positions of its texts, and their predictions."""
        firsts = [first for first, _ in texts]
        seconds = [second for _, second in texts]
        pairs = seconds if any(second is not None for second in seconds) else None
        for rows, logits in self.engine.stream(firsts, pairs):
            yield rows, decode(logits, self.labels, temperature=self.temperature)


def decode(logits: np.ndarray, labels: Sequence[str], *, temperature: float = 1.0) -> list[dict[str, Any]]:
    """Turn logits (N, C) into label, its score, and all scores: softmax(logits / temperature), six decimals."""
    scaled = logits.astype(np.float64) / temperature
    scores = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    best = scores.argmax(axis=1).tolist()
    rows = scores.round(6).tolist()
    return [
        {"label": labels[top], "score": row[top], "scores": dict(zip(labels, row, strict=True))}
        for top, row in zip(best, rows, strict=True)
    ]
