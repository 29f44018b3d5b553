"""A saved model that answers through torch: for models that were not exported, and to check those that were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.nn import models
from burnish.nn.devices import device_of
from burnish.nn.examples import Examples
from burnish.nn.predict import predict_outputs, stream_outputs
from burnish.nn.runtime import read_card


@dataclass(frozen=True)
class Live:
    """A model in memory that answers as a saved one does: for what a task writes beside the model it has just trained."""

    module: Any
    head: models.Head
    tokenizer: Any
    max_length: int

    def outputs(self, examples: Examples) -> Any:
        """float32 (W, C), or a list of one array a window (`nn.models.per_window`)."""
        return predict_outputs(self.module, examples, self.head)


class TorchEngine:
    """Outputs of windows in fp32, in their order; tokenizer: of transformers. device: of `nn.devices`, "auto" is the GPU
    where there is one."""

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        from transformers import AutoTokenizer

        card = read_card(folder)
        self.head = models.Head.of(card)
        self.module: Any = models.load(folder).to(device_of(device))
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.max_length = int(card.get("max_length", 512))

    def outputs(self, examples: Examples) -> Any:
        """float32 (W, C), or a list of one array a window (`nn.models.per_window`)."""
        return predict_outputs(self.module, examples, self.head)

    def stream(self, examples: Examples) -> Iterator[tuple[Any, Any]]:
        """(rows, outputs) of batch after batch."""
        return stream_outputs(self.module, examples, self.head)
