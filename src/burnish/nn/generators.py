"""Models that write: decoders and encoder-decoders of transformers, from a backbone or from nothing.

A saved folder is a stock one: `AutoModelForCausalLM` or `AutoModelForSeq2SeqLM` opens it, generation_config.json says how
it writes, and the tokenizer carries the chat template.

Settings of the head (Head.more): generation (of transformers' GenerationConfig: max_new_tokens, num_beams, ...).
B examples, L tokens, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn import models
from burnish.nn.conversations import Messages, gathered, prompt_tokens, tokens_and_targets, with_template
from burnish.nn.examples import Examples, encode
from burnish.nn.fresh import fresh, is_fresh
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading
from burnish.nn.warm import is_warm
from burnish.nn.writing import sound, write

__all__ = ["Generator", "GeneratorEngine", "Reply", "answer_of", "build", "fresh", "load", "save", "write"]

NEW_TOKENS = 128


class Generator(nn.Module):
    """A network of transformers that writes; forward gives logits, as for any model."""

    exact = ()

    def __init__(self, network: nn.Module, *, start: str = "pretrained") -> None:
        super().__init__()
        self.start = start  # pretrained | behind an encoder | nothing: how fast it should learn
        self.network: Any = network
        self.config: Any = self.plain.config

    @property
    def plain(self) -> Any:
        """The model of transformers; adapters are inside its layers."""
        return self.network

    @property
    def reads_first(self) -> bool:
        """Whether an encoder reads the input: what is written is then an output of its own."""
        return bool(self.config.is_encoder_decoder)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, L, V) logits of a decoder; (B, 1, V) of the first token that an encoder-decoder would write."""
        more = {}
        if self.reads_first:
            start = self.config.decoder_start_token_id
            more["decoder_input_ids"] = torch.full_like(input_ids[:, :1], start)
        logits: Tensor = self.plain(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **more).logits
        return logits


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> Generator:
    """The network of a backbone folder. It has no fresh weights, so nothing is drawn from `seed`."""
    network = _network(folder)
    _settle_generation(network, folder, head.more.get("generation", {}))
    start = "nothing" if is_fresh(folder) else "behind an encoder" if is_warm(folder) else "pretrained"
    return Generator(network, start=start)


def _network(folder: str | Path) -> Any:
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    config = AutoConfig.from_pretrained(folder)
    both = config.is_encoder_decoder
    family: Any = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
    writes = type(config) in (MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if both else MODEL_FOR_CAUSAL_LM_MAPPING)
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if not writes or (masked and not both):  # transformers would put an untrained head on BERT
        raise WeightsError(
            f"{config.model_type} is not a model that writes",
            where=str(folder),
            hint="train.tune.backbone: a decoder or encoder-decoder (`burnish backbones`), or auto",
        )
    return family.from_pretrained(folder, dtype=torch.float32)


def _settle_generation(network: Any, folder: str | Path, wanted: Mapping[str, Any]) -> None:
    """Where writing ends, and how it goes unless a request says otherwise; kept in generation_config.json."""
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    before = network.generation_config
    ends = before.eos_token_id if before.eos_token_id is not None else network.config.eos_token_id
    stops = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
    if not network.config.is_encoder_decoder:
        stops |= {_end_of_turn(with_template(tokenizer))} - {None}
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops, default=0)
    starts = {
        name: value
        for name in ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
        if (value := getattr(before, name, None)) is not None
    }
    settings = {"max_new_tokens": NEW_TOKENS, **starts, **sound(wanted)}
    made: Any = GenerationConfig
    network.generation_config = made(eos_token_id=sorted(stops), pad_token_id=padding, **settings)
    network.config.pad_token_id = padding


def _end_of_turn(tokenizer: Any) -> int | None:
    """The special token that ends an answer in this tokenizer's template."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    tokens, written = tokens_and_targets(tokenizer, turns)
    last = int(tokens[written][-1]) if written.any() else None
    token = tokenizer.added_tokens_decoder.get(last)
    return last if token is not None and token.special else None


@silent_loading()
def save(model: Generator, folder: Path, *, tokenizer: Any) -> None:
    """Write the layout of save_pretrained, load it again, and compare the logits."""
    model.plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ours, theirs = (_sample_logits(one) for one in (model.plain, _network(folder)))
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * max(1.0, float(ours.abs().max()))):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its logits")


@torch.no_grad()
def _sample_logits(network: Any) -> Tensor:
    was_training = network.training
    network.eval()
    generator = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    ids_BL = torch.randint(0, network.config.vocab_size, (4, 12), generator=generator).to(device)
    mask_BL = (torch.arange(12)[None] < torch.tensor([12, 9, 5, 2])[:, None]).long().to(device)
    more = {"decoder_input_ids": ids_BL.flip(1)} if network.config.is_encoder_decoder else {}
    logits: Tensor = network(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False, **more).logits.float().cpu()
    network.train(was_training)
    return logits if more else logits[mask_BL.bool().cpu()]


@silent_loading()
def load(folder: str | Path, head: Head | None = None) -> Generator:
    """What `save` wrote, ready to write."""
    return Generator(_network(folder)).eval()


@dataclass(frozen=True)
class Reply:
    """One answer. finish_reason: "stop" where the model or a stop string ended it, "length" where max_tokens did."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


class GeneratorEngine:
    """A model folder that writes, by torch or, where it was exported, by ONNX Runtime. Settings of writing are those of generation_config.json unless a call says otherwise."""

    @silent_loading()
    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoTokenizer

        card = Path(folder) / "burnish.json"
        self.network: Any = _opened(Path(folder), card)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.reads_first = bool(self.network.config.is_encoder_decoder)
        if not self.reads_first:
            with_template(self.tokenizer)
        limit = int(getattr(self.network.config, "max_position_embeddings", 0) or 512)
        self.max_length = int(json.loads(card.read_text("utf-8"))["max_length"]) if card.is_file() else limit

    @property
    def draws(self) -> bool:
        """Whether it writes by chance unless a request says otherwise."""
        return bool(self.network.generation_config.do_sample)

    def outputs(self, examples: Examples, *, seed: int = 0, **settings: Any) -> list[np.ndarray]:
        """What was written for each window, in order: int64 tokens without the end.

        settings: of transformers' GenerationConfig (max_new_tokens, num_beams, temperature, top_p, ...).
        """
        found: list[Any] = [None] * len(examples)
        for rows, written in self.stream(examples, seed=seed, **settings):
            for row, tokens in zip(rows, written, strict=True):
                found[row] = tokens
        return found

    def stream(self, examples: Examples, *, seed: int = 0, **settings: Any) -> Iterator[tuple[Any, list[np.ndarray]]]:
        """(rows, what was written for them), batch by batch, longest first."""
        return write(self.network, examples, seed=seed, **settings)

    def candidates(self, examples: Examples, *, count: int, seed: int = 0, **settings: Any) -> list[list[np.ndarray]]:
        """`count` different answers for each window, for a reranker: the best beams, or draws where a temperature is set."""
        if not settings.get("temperature"):
            settings = {"num_beams": max(count, settings.get("num_beams") or 1), **settings}
        found: list[list[np.ndarray]] = [[] for _ in range(len(examples))]
        for rows, written in self.stream(examples, seed=seed, num_return_sequences=count, **settings):
            for row, tokens in zip(rows, written, strict=True):
                found[row].append(tokens)
        return found

    def chat(self, messages: Messages, **sampling: Any) -> Reply:
        """Answer a conversation. sampling: as `complete` takes it. ValueError where the template refuses the turns."""
        return self.replies([self.read(messages)], **sampling)[0]

    def complete(self, prompt: str, **sampling: Any) -> Reply:
        """Continue a text (a decoder) or transform it (an encoder-decoder).

        sampling: max_tokens, temperature (0 is greedy), top_p, stop (a string or a list), seed, num_beams.
        """
        return self.replies([self.read(prompt)], **sampling)[0]

    def chat_stream(self, messages: Messages, **sampling: Any) -> Iterator[str]:
        """The pieces of an answer as they are written (no beams); joined they are what `chat` gives."""
        return self._pieces(self.read(messages), **sampling)

    def read(self, prompt: Messages | str) -> Examples:
        """A conversation or a text as `chat` and `complete` give it to the network. ValueError where a template refuses."""
        if isinstance(prompt, str):
            return encode([prompt], self.tokenizer, max_length=self.max_length)
        if self.reads_first:  # it has learnt to transform a text, so it gets the last one said
            return self.read(str(prompt[-1]["content"]))
        return gathered([prompt_tokens(self.tokenizer, prompt, max_length=self.max_length)])

    def replies(
        self,
        prompts: Sequence[Examples],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int = 0,
        num_beams: int | None = None,
    ) -> list[Reply]:
        """Answers to what `read` gave, written in batches; where nothing is drawn, each as if it had been asked alone."""
        stops = [stop] if isinstance(stop, str) else list(stop or ())
        settings = {"max_new_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "num_beams": num_beams}
        more = {"stop_strings": stops, "tokenizer": self.tokenizer} if stops else {}
        examples = gathered([one.tokens for one in prompts])
        limit = max_tokens or self.network.generation_config.max_new_tokens
        made = []
        for one, tokens in zip(prompts, self.outputs(examples, seed=seed, **settings, **more), strict=True):
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            cut = min((at for each in stops if (at := text.find(each)) >= 0), default=None)
            reason = "length" if len(tokens) >= limit and cut is None else "stop"
            made.append(Reply(text if cut is None else text[:cut], int(one.lengths[0]), len(tokens), reason))
        return made

    def _pieces(self, examples: Examples, *, stop: str | Sequence[str] | None = None, **sampling: Any) -> Iterator[str]:
        from transformers import TextIteratorStreamer

        stops = [stop] if isinstance(stop, str) else list(stop or ())
        streamer: Any = TextIteratorStreamer(self.tokenizer, skip_prompt=not self.reads_first, skip_special_tokens=True)
        renamed = {"max_new_tokens" if name == "max_tokens" else name: value for name, value in sampling.items()}
        failed: list[BaseException] = []

        def run() -> None:
            try:
                for _ in self.stream(examples, streamer=streamer, **renamed):
                    pass
            except BaseException as error:  # told to whoever reads the pieces
                failed.append(error)
                streamer.end()

        thread = Thread(target=run, daemon=True)
        thread.start()
        held = ""
        longest = max((len(one) for one in stops), default=0)
        for piece in streamer:
            held += piece
            cut = min((at for one in stops if (at := held.find(one)) >= 0), default=None)
            if cut is not None:
                yield held[:cut]
                return
            ready = len(held) - max(longest - 1, 0)  # what may still become a stop string is held back
            if ready > 0:
                yield held[:ready]
                held = held[ready:]
        thread.join()
        if failed:
            raise failed[0]
        if held:
            yield held


def _opened(folder: Path, card: Path) -> Any:
    """The network of a run's model, of its export, or of a folder of transformers."""
    if not card.is_file():
        return load(folder).plain
    if json.loads(card.read_text("utf-8")).get("format") != "onnx":
        return models.load(folder).plain
    from burnish.nn.writing_runtime import OnnxNetwork  # wakes ONNX Runtime

    return OnnxNetwork(folder)


def answer_of(folder: str | Path, question: str) -> str:
    """A decoder's greedy answer to one question, at most 24 tokens."""
    turns = [{"role": "user", "content": question}]
    return GeneratorEngine(folder).chat(turns, max_tokens=24, temperature=0.0).text
