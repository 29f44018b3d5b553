"""A network that writes whose every step is computed by ONNX Runtime: `generate` of transformers drives it as any other.

So greedy and beam search, sampling, stops and streaming are those that the model was judged with, and only the numbers come
from somewhere else. torch holds the tokens and draws; it multiplies nothing. What was read and written so far lies in numpy
arrays that go from one step's outputs to the next one's inputs.

B texts (times beams), L tokens of a step, P tokens before it, S tokens of a source, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutputWithPast

from burnish.nn.runtime import BEGIN, CARD, DECODER, ENCODER, check_whole, open_session


class Kept:
    """Keys and values of everything so far, as `generate` hands them from step to step.

    past: float32 arrays (B, heads, P, size), two a layer. Beams choose their rows at the next step, once.
    """

    def __init__(self, past: list[np.ndarray]) -> None:
        self.past = past
        self.rows: np.ndarray | None = None

    def get_seq_length(self) -> int:
        """P."""
        return int(self.past[0].shape[2])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows of the beams that live on."""
        rows = beam_idx.cpu().numpy()
        self.rows = rows if self.rows is None else self.rows[rows]

    def taken(self) -> list[np.ndarray]:
        """The arrays, in the order that was asked for."""
        if self.rows is not None and not np.array_equal(self.rows, np.arange(len(self.rows))):
            self.past = [part[self.rows] for part in self.past]
        self.rows = None
        return self.past


class _Session:
    """One graph, and which of its inputs it looks at."""

    def __init__(self, path: Path, threads: int) -> None:
        self.session = open_session(path, threads)
        self.inputs = {node.name: node for node in self.session.get_inputs()}

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in their order."""
        made: list[np.ndarray] = self.session.run(None, {name: feed[name] for name in self.inputs})
        return made

    def empty(self, kind: str) -> list[np.ndarray]:
        """A cache of no tokens, for one text."""
        shapes = [node.shape for name, node in self.inputs.items() if name.startswith(f"{kind}.")]
        return [np.zeros((1, shape[1], 0, shape[3]), np.float32) for shape in shapes]


class _Reader(nn.Module):
    """The encoder as `generate` asks for it. Gives keys and values of the source, two a layer, as read.0, read.1, ..."""

    main_input_name = "input_ids"

    def __init__(self, session: _Session) -> None:
        super().__init__()
        self.session = session

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **rest: Any) -> Any:
        made = self.session.run({"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})
        out: Any = BaseModelOutput(last_hidden_state=torch.empty(*input_ids.shape, 0))
        for at, part in enumerate(made):
            out[f"read.{at}"] = torch.from_numpy(part)  # `generate` copies them for its beams
        return out


class OnnxNetwork(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """The graphs of a deployed folder as a model of transformers.

    threads: inside one step; by default as many as torch would use.
    """

    config_class = None
    main_input_name = "input_ids"

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        config = AutoConfig.from_pretrained(folder)
        super().__init__(config)
        made: Any = GenerationConfig
        self.generation_config = made.from_pretrained(folder)
        check_whole(folder, json.loads((folder / CARD).read_text("utf-8")))
        threads = threads or torch.get_num_threads()
        self.steps = _Session(folder / DECODER, threads)
        self.reader = _Reader(_Session(folder / ENCODER, threads)) if config.is_encoder_decoder else None
        self.begin = [*np.load(folder / BEGIN).values()] if (folder / BEGIN).is_file() else self.steps.empty("past")
        self.train(False)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def get_encoder(self, modality: str | None = None) -> Any:
        """What reads the source."""
        return self.reader

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        logits_to_keep: int = 0,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        **rest: Any,
    ) -> Any:
        """One step. Gives logits (B, L, V), of the last `logits_to_keep` tokens where that is not 0, and the cache behind it."""
        tokens_BL = input_ids if self.reader is None else decoder_input_ids
        assert tokens_BL is not None
        known = isinstance(past_key_values, Kept)  # `generate` begins with an empty cache of its own
        kept = past_key_values if known else Kept([np.repeat(part, len(tokens_BL), axis=0) for part in self.begin])
        past = kept.taken()
        if self.reader is None:
            feed = self._continued(
                tokens_BL, attention_mask, position_ids, logits_to_keep, kept.get_seq_length() - self.begin[0].shape[2]
            )
        else:
            read = encoder_outputs if encoder_outputs is not None else self.reader(input_ids, attention_mask)
            feed = self._written(tokens_BL, attention_mask, read)
        feed |= {f"past.{at}": part for at, part in enumerate(past)}
        logits, *present = self.steps.run(feed)
        made: Any = CausalLMOutputWithPast
        return made(logits=torch.from_numpy(logits), past_key_values=Kept(present))

    def _continued(
        self, tokens_BL: Tensor, mask: Tensor | None, places: Tensor | None, logits_to_keep: int, before: int
    ) -> dict[str, np.ndarray]:
        """Inputs of a decoder's step."""
        rows, length = tokens_BL.shape
        mask = torch.ones(rows, before + length, dtype=torch.long) if mask is None else mask
        if places is None:
            places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -length:]
        keep = np.arange(length - logits_to_keep if logits_to_keep else 0, length)
        return {
            "input_ids": tokens_BL.numpy(),
            "attention_mask": mask.numpy(),
            "position_ids": places.expand(rows, -1).numpy(),
            "keep": keep,
        }

    def _written(self, tokens_BL: Tensor, mask: Tensor | None, read: Any) -> dict[str, np.ndarray]:
        """Inputs of a step of an encoder-decoder's decoder."""
        parts = {f"cross.{name.partition('.')[2]}": part.numpy() for name, part in read.items() if "." in name}
        source = parts["cross.0"].shape
        mask = torch.ones(source[0], source[2], dtype=torch.long) if mask is None else mask
        return {"decoder_input_ids": tokens_BL.numpy(), "attention_mask": mask.numpy(), **parts}
