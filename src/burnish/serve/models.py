"""A deployed model as the server sees it: a Predictor with a queue in front of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from burnish.core.errors import BurnishError
from burnish.nn.runtime import CARD, OnnxRuntimeEngine, read_card
from burnish.serve.batching import Batcher, Input
from burnish.serve.inputs import Inputs
from burnish.serve.metrics import Metrics
from burnish.serve.writing import Messages, Writer
from burnish.tasks.predictor import Predictor, load, model_folder, writes

log = logging.getLogger("burnish.serve")


class ServedModel:
    """One model, open and warm: its name, version, task, and the sessions that answer.

    source: a run folder (its accepted deployed model, else the PyTorch one), a model folder, or an open Predictor.
    sessions: threads that compute batches; PyTorch and what writes, which have threads of their own, always get one.
    inputs: how its inputs are read. sample: an answer of its own, from which it is known what answers hold.
    vectors: a queue of texts for their embeddings, where its head is one; writer: where it writes text; else None.
    """

    def __init__(
        self,
        source: Path | str | Predictor,
        *,
        metrics: Metrics,
        sessions: int,
        max_batch_tokens: int,
        max_queue: int,
        max_wait_s: float,
    ) -> None:
        self.predictor = opened(Path(source)) if isinstance(source, (str, Path)) else source
        self.engine: Any = self.predictor.engine
        folder, card = self.predictor.folder, self.predictor.info
        if not isinstance(self.engine, OnnxRuntimeEngine):
            sessions = 1
        self.name, self.version = self.predictor.name, self.predictor.version
        self.task: dict[str, Any] = dict(card["task"])
        self.format = str(card.get("format", "torch"))
        self.created = int((folder / CARD).stat().st_mtime) if (folder / CARD).is_file() else 0
        self.inputs = Inputs(self.predictor.task)
        self.busy = threading.Lock()  # a generator keeps what it has read and written so far: one at a time
        self.writes = self.predictor.task.engine == "generator"
        self.sample = self._warm_up(folder)
        batcher = partial(
            Batcher,
            sessions=sessions,
            max_batch_tokens=max_batch_tokens,
            max_queue=max_queue,
            max_wait_s=max_wait_s,
            watch=partial(metrics.batch, self.name),
        )
        self.batcher = batcher(self.compute)
        is_embedding = (card.get("head") or {}).get("kind") == "embedding"
        self.vectors = batcher(self.embed) if is_embedding else None
        self.writer = Writer(self.engine, self.busy, max_queue=max_queue) if self.writes else None

    @property
    def waiting(self) -> int:
        """Inputs in its queues."""
        return sum(one.waiting for one in (self.batcher, self.vectors, self.writer) if one)

    def stop(self) -> None:
        """Compute what waits, then end its threads."""
        for one in (self.batcher, self.vectors, self.writer):
            if one:
                one.stop()

    def compute(self, inputs: Sequence[Input]) -> Iterator[tuple[Sequence[int], Sequence[Any]]]:
        """Predict batch after batch: positions of its inputs, and their answers."""
        if not self.writes:
            yield from self.predictor.stream(inputs)
            return
        with self.busy:
            yield from self.predictor.stream(inputs)

    def embed(self, inputs: Sequence[Input]) -> Iterator[tuple[Sequence[int], list[tuple[np.ndarray, int]]]]:
        """Vectors (D,) of texts, batch after batch, and how many tokens each text has."""
        from burnish.nn.examples import encode

        examples = encode([one["text"] for one in inputs], self.engine.tokenizer, max_length=self.engine.max_length)
        for rows, vectors in self.engine.stream(examples):
            yield rows, list(zip(vectors, examples.lengths[rows].tolist(), strict=True))

    def prompt(self, messages: Messages) -> Messages | str:
        """A conversation as the task puts it to its network: with its system turn, in its own words around the text.

        A task that takes texts, such as translation, is given the last thing said. ValueError where the task refuses.
        """
        task: Any = self.predictor.task
        talks = any(form.name == "chat" for form in self.inputs.forms)
        given = task.input({"messages": list(messages)} if talks else messages[-1]["content"])
        put = getattr(task, "source" if self.engine.reads_first else "turns", None)
        made: Messages | str = put(given) if put else messages
        return made

    def describe(self) -> dict[str, Any]:
        """What a client may know of it, in the shape OpenAI clients expect of a model."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "burnish",
            "version": self.version,
            "task": self.task,
            "labels": list(self.task.get("labels") or ()),
            "format": self.format,
            "inputs": [{"name": form.name, "fields": list(form.fields)} for form in self.inputs.forms],
            "answers": list(self.sample),
            "endpoints": [
                "/v1/predict",
                f"/v2/models/{quote(self.name, safe='')}/infer",
                *(("/v1/embeddings",) if self.vectors else ()),
                *(("/v1/chat/completions", "/v1/completions") if self.writer else ()),
            ],
        }

    def _warm_up(self, folder: Path) -> dict[str, Any]:
        """Ask once: card and network must fit, and the first run, which plans memory, is not on a user's time."""
        if not self.inputs.forms:
            log.warning("%s: no form of input that this server knows suits its task; it starts cold", self.name)
            return {}
        given = self.inputs.read(dict(self.inputs.forms[0].sample))
        try:
            answers = {at: one for rows, some in self.compute([given]) for at, one in zip(rows, some, strict=True)}
            answer: dict[str, Any] = answers[0]
        except (ValueError, IndexError, KeyError) as error:  # as zip, numpy and a missing label say it
            raise BurnishError(
                f"its first answer failed: {type(error).__name__}: {error}",
                where=str(folder),
                hint=f"{CARD} and the network do not fit: export the model again",
            ) from error
        return answer


def opened(path: Path) -> Predictor:
    """The Predictor of a folder, its engine computing one batch in the thread that asks."""
    folder = model_folder(path)
    card = read_card(folder)
    if card.get("format") != "onnx" or writes(card):
        return load(folder)
    return Predictor(folder, card, OnnxRuntimeEngine(folder, sessions=1))
