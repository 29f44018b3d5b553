"""A deployed model as the server sees it: a Predictor with a queue in front of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from burnish.core.errors import BurnishError
from burnish.nn.runtime import OnnxRuntimeEngine, read_card
from burnish.serve.batching import Batcher, Text
from burnish.serve.metrics import Metrics
from burnish.tasks.predictor import Predictor, load, model_folder


class ServedModel:
    """One model, open: its name, version, task, and the sessions that answer.

    folder: a run folder (its accepted deployed model, else the PyTorch one) or a model folder.
    sessions: threads that compute batches; PyTorch, which has threads of its own, always gets one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        metrics: Metrics,
        sessions: int,
        max_batch_tokens: int,
        max_queue: int,
        max_wait_s: float,
    ) -> None:
        folder = model_folder(Path(folder))
        card = read_card(folder)
        if card.get("format") == "onnx":
            self.predictor = Predictor(folder, card, OnnxRuntimeEngine(folder, sessions=1))
        else:
            self.predictor, sessions = load(folder), 1
        self.engine = self.predictor.engine
        self.name, self.version = self.predictor.name, self.predictor.version
        self.task: dict[str, Any] = dict(card["task"])
        self._warm(folder)
        self.batcher = Batcher(
            self.compute,
            sessions=sessions,
            max_batch_tokens=max_batch_tokens,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            watch=partial(metrics.batch, self.name),
        )

    def compute(self, texts: Sequence[Text]) -> Iterator[tuple[Sequence[int], list[dict[str, Any]]]]:
        """Predict batch after batch: positions of its texts, and their predictions."""
        return self.predictor.stream([{"text": first, "text_b": second} for first, second in texts])

    def _warm(self, folder: Path) -> None:
        """Ask once: what does not fit shows here, and the first run, which plans memory, is not on a user's time."""
        try:
            list(self.compute([("warm up", None)]))
        except (IndexError, ValueError) as error:
            raise BurnishError(
                f"the network does not answer what burnish.json says: {error}",
                where=str(folder),
                hint="export the model again",
            ) from error
