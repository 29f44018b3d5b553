"""A network that writes as ONNX graphs: what it has read and written stays in a cache of flat tensors, and is never read again.

    decoder           decoder.onnx   input_ids, attention_mask, position_ids, keep, past.* -> logits, present.*
    encoder-decoder   encoder.onnx   input_ids, attention_mask -> cross.*
                      decoder.onnx   decoder_input_ids, attention_mask, cross.*, past.* -> logits, present.*

past.0, past.1 are keys and values of the first layer, and so on; a past of no tokens begins a text, so one graph serves
the first step and all others. cross.* are keys and values of what the encoder read, for each layer of the decoder: they are
computed once a text by the encoder's graph, and a step multiplies nothing with the source again. keep: (K) places of this
step whose logits are wanted, for those of a whole prompt would be V numbers for each of its tokens.
Inputs that a network does not look at are not in its graph. Virtual tokens before a decoder's text (a prompt or a prefix that
was learnt) are a past that every text begins with: begin.npz, keys and values of one text in the order of past.*.

B texts, L tokens of a step, P tokens before it, S tokens of a source, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn import graphs
from burnish.nn.export import ready_for_tracing
from burnish.nn.quantise import quiet
from burnish.nn.runtime import BEGIN, DECODER, ENCODER

FREE = torch.export.Dim.DYNAMIC
BOUND = torch.export.Dim.AUTO  # a source's mask and its states, which virtual tokens make longer than the mask
NEAR = 1e-3  # of the largest logit: what a graph may differ by from the network it was made from


class _Decoder(nn.Module):
    """A decoder whose cache is tensors by position."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        known = inspect.signature(network.forward).parameters
        self.placed, self.keeps = "position_ids" in known, "logits_to_keep" in known

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, keep: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """(B, L), (B, P + L), (B, L), (K), each (B, heads, P, size) -> (B, K, V) and each (B, heads, P + L, size)."""
        cache = _cache(past)
        more: dict[str, Any] = {"position_ids": position_ids} if self.placed else {}
        more |= {"logits_to_keep": keep} if self.keeps else {}
        logits = self.network(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **more
        ).logits
        return (logits if self.keeps else logits[:, keep], *_flat(cache))


class _Reader(nn.Module):
    """The encoder, and what every layer of the decoder makes of what it read."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """(B, S), (B, S) -> each (B, heads, S, size). The decoder's own step is cut off with what nobody asks for."""
        from transformers import EncoderDecoderCache

        cache = EncoderDecoderCache(_cache(()), _cache(()))
        start = torch.full_like(input_ids[:, :1], self.network.config.decoder_start_token_id)
        self.network(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=start,
            past_key_values=cache,
            use_cache=True,
        )
        return _flat(cache.cross_attention_cache)


class _Writer(nn.Module):
    """The decoder of an encoder-decoder. hidden: width of what its encoder gives."""

    def __init__(self, network: Any, hidden: int) -> None:
        super().__init__()
        self.network, self.hidden = network, hidden

    def forward(
        self, decoder_input_ids: Tensor, attention_mask: Tensor, cross: list[Tensor], past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """(B, L), (B, S), each (B, heads, S, size), each (B, heads, P, size) -> (B, L, V), each (B, heads, P + L, size)."""
        from transformers import EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        own, seen = _cache(past), _cache(cross)
        cache = EncoderDecoderCache(own, seen)
        for layer in range(len(past) // 2):
            cache.is_updated[layer] = True  # what the encoder gave is in the cache: only its length is looked at
        shape = (cross[0].shape[0], cross[0].shape[2], self.hidden)
        read: Any = BaseModelOutput(last_hidden_state=torch.zeros(shape))
        logits = self.network(
            encoder_outputs=read,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            past_key_values=cache,
            use_cache=True,
        ).logits
        return (logits, *_flat(own))


def _cache(past: Sequence[Tensor]) -> Any:
    """Keys and values of every layer, all that was read: a window that slides is the mask's business."""
    from transformers import DynamicCache

    made = DynamicCache()
    for layer in range(len(past) // 2):
        made.update(past[2 * layer], past[2 * layer + 1], layer)
    return made


def _flat(cache: Any) -> tuple[Tensor, ...]:
    return tuple(part for layer in cache.layers for part in (layer.keys, layer.values))


def export_writer(network: Any, folder: Path) -> None:
    """Write the graphs of a network of transformers into a folder; batch, length and past stay free.

    The network comes back as it was. Raises BurnishError when it cannot be exported, or a graph disagrees with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ready_for_tracing(network), quiet(), torch.no_grad():
        try:
            (_read_and_write if network.config.is_encoder_decoder else _write_on)(network, folder)
        except BurnishError:
            for name in (ENCODER, DECODER, BEGIN):
                graphs.forget(folder / name)
            raise


def _write_on(network: Any, folder: Path) -> None:
    draw = _Drawn(network)
    cache = _cache(())
    network(input_ids=draw.tokens(2, 3), past_key_values=cache, use_cache=True)
    past = _tensors(cache, network)
    begin = [part[:1, :, : part.shape[2] - 3].cpu().numpy() for part in past]  # what lies before the three tokens
    if begin[0].size:
        np.savez(folder / BEGIN, *begin)
    module = _Decoder(network)
    mask_BL = draw.mask(2, 7, left=True)
    given = (draw.tokens(2, 4), mask_BL, _positions(mask_BL)[:, 3:], torch.tensor([0, 3]), past)
    batch, length, before = (torch.export.Dim(name) for name in ("batch", "length", "past"))
    both = {0: batch, 1: length}
    program = graphs.program_of(
        module,
        given,
        inputs=["input_ids", "attention_mask", "position_ids", "keep", *_names("past", past)],
        outputs=["logits", *_names("present", past)],
        free=(both, {0: batch, 1: FREE}, both, {0: FREE}, [{0: batch, 2: before}] * len(past)),
    )
    session = graphs.session_of(graphs.write(program, folder / DECODER))
    ids_BL, mask_BL = draw.tokens(3, 9), draw.mask(3, 9, left=True)
    places_BL = _positions(mask_BL)
    more = {"position_ids": places_BL} if module.placed else {}
    wanted = network(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False, **more).logits
    held = [np.repeat(part, 3, axis=0) for part in begin]
    for at, end in ((0, 5), (5, 6), (6, 9)):  # a prompt, a token, and several at once
        feed = {"input_ids": ids_BL[:, at:end], "attention_mask": mask_BL[:, :end]}
        feed |= {"position_ids": places_BL[:, at:end], "keep": torch.arange(end - at)}
        logits, *held = _run(session, feed, past=held)
        real = mask_BL[:, at:end].bool()
        _same(torch.from_numpy(logits)[real], wanted[:, at:end][real])


def _read_and_write(network: Any, folder: Path) -> None:
    from transformers import EncoderDecoderCache

    draw = _Drawn(network)
    ids_BS, mask_BS, said_BL = draw.tokens(2, 6), draw.mask(2, 6), draw.tokens(2, 3)
    cache = EncoderDecoderCache(_cache(()), _cache(()))
    seen = network(
        input_ids=ids_BS, attention_mask=mask_BS, decoder_input_ids=said_BL, past_key_values=cache, use_cache=True
    )
    past, cross = (_tensors(one, network) for one in (cache.self_attention_cache, cache.cross_attention_cache))
    batch, source, length, before = (torch.export.Dim(name) for name in ("batch", "source", "length", "past"))
    both = {0: batch, 1: source}
    reader = graphs.program_of(
        _Reader(network),
        (ids_BS, mask_BS),
        inputs=["input_ids", "attention_mask"],
        outputs=_names("cross", cross),
        free=(both, both),
    )
    writer = graphs.program_of(
        _Writer(network, int(seen.encoder_last_hidden_state.shape[-1])),
        (draw.tokens(2, 4), mask_BS, cross, past),
        inputs=["decoder_input_ids", "attention_mask", *_names("cross", cross), *_names("past", past)],
        outputs=["logits", *_names("present", past)],
        free=(
            {0: batch, 1: length},
            {0: batch, 1: BOUND},
            [{0: batch, 2: BOUND}] * len(cross),
            [{0: batch, 2: before}] * len(past),
        ),
    )
    reads = graphs.session_of(graphs.write(reader, folder / ENCODER))
    writes = graphs.session_of(graphs.write(writer, folder / DECODER))
    ids_BS, mask_BS, said_BL = draw.tokens(3, 9), draw.mask(3, 9), draw.tokens(3, 8)
    wanted = network(input_ids=ids_BS, attention_mask=mask_BS, decoder_input_ids=said_BL, use_cache=False).logits
    found = _run(reads, {"input_ids": ids_BS, "attention_mask": mask_BS})
    held = [np.zeros((3, one.shape[1], 0, one.shape[3]), np.float32) for one in past]
    for begin, end in ((0, 1), (1, 2), (2, 8)):
        feed = {"decoder_input_ids": said_BL[:, begin:end], "attention_mask": mask_BS}
        logits, *held = _run(writes, feed, cross=found, past=held)
        _same(torch.from_numpy(logits), wanted[:, begin:end])


class _Drawn:
    """Made-up texts of a network's vocabulary."""

    def __init__(self, network: Any) -> None:
        self.device = network.device
        self.most = int(network.get_input_embeddings().weight.shape[0])
        self.generator = torch.Generator().manual_seed(0)

    def tokens(self, rows: int, length: int) -> Tensor:
        return torch.randint(0, self.most, (rows, length), generator=self.generator).to(self.device)

    def mask(self, rows: int, length: int, *, left: bool = False) -> Tensor:
        """The first row has three tokens of padding, in front where `left`, so that the mask is not all ones."""
        made = torch.ones(rows, length, dtype=torch.long, device=self.device)
        made[0, slice(0, 3) if left else slice(length - 3, length)] = 0
        return made


def _positions(mask_BL: Tensor) -> Tensor:
    """As transformers counts them: padding in front has none."""
    return (mask_BL.cumsum(-1) - 1).clamp(min=0)


def _tensors(cache: Any, network: Any) -> list[Tensor]:
    found = [*_flat(cache)] if all(hasattr(layer, "keys") for layer in cache.layers) else []
    if not found or any(part is None or part.ndim != 4 for part in found):
        kind = network.config.model_type
        raise BurnishError(
            f"{kind} keeps something else of what it has read than keys and values, which the export cannot hold",
            where="compress",
            hint="serve it with PyTorch (compress: []), or choose another backbone",
        )
    return [part.clone() for part in found]


def _names(kind: str, parts: Sequence[Any]) -> list[str]:
    return [f"{kind}.{at}" for at in range(len(parts))]


def _run(session: Any, feed: dict[str, Tensor], **parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    whole = {name: value.cpu().numpy() for name, value in feed.items()}
    whole |= {f"{kind}.{at}": one for kind, some in parts.items() for at, one in enumerate(some)}
    known = {node.name for node in session.get_inputs()}
    made: list[np.ndarray] = session.run(None, {name: value for name, value in whole.items() if name in known})
    return made


def _same(found: Tensor, wanted: Tensor) -> None:
    wanted = wanted.float().cpu()
    worst = float((found - wanted).abs().max())
    if not worst <= NEAR * (1 + float(wanted.abs().max())):
        raise BurnishError(
            f"the exported network disagrees with PyTorch by {worst:.3g} in the logits of its own example",
            hint="serve it with PyTorch (compress: []), or choose another backbone",
        )
