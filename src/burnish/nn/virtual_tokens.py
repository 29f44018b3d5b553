"""Learnt tokens that stand before a text, and learnt keys and values that every layer of it may look at.

    prompt, P-tuning   P vectors before the embeddings of a text
    prefix             P keys and values before those of every layer's attention

They are hooks on the network that turns tokens into states, so what stands on it (a head, the vocabulary, a KV cache, a
packed row) sees as many states as there are real tokens: the virtual ones never enter a mean, a span or a logit. peft
makes and keeps the weights; `PeftModel.from_pretrained(base, folder)` opens what is kept, whose outputs begin with the
virtual tokens that are taken off here.

An encoder-decoder has its prompt before what the encoder reads, and the decoder looks at those states too, as in peft.
B texts, L tokens, P virtual tokens, D hidden.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import BurnishError
from burnish.nn import adapters, anatomy

PART = "burnish_virtual"  # the submodule of the body that holds the weights
HOOKS = "burnish_hooks"


def put_in(model: Any, config: Any, *, seed: int, first: Callable[[Any, Any, torch.Generator], None]) -> None:
    """Give the body virtual tokens; all else in it stands still.

    config: of peft; first: sets the first weights, given peft's module of them, the body and a generator of `seed`.
    Raises BurnishError where this network cannot have them.
    """
    body = anatomy.body(model)
    if adapters.held(body) is not None:
        raise BurnishError("this network has adapters already", hint="name one of these strategies")
    _possible(model, body, prefix=config.peft_type == "PREFIX_TUNING")
    with adapters.drawn(seed), adapters.peft_is_quiet():
        made = adapters.library("virtual tokens").get_peft_model(body, config)
    for weight in body.parameters():
        weight.requires_grad_(False)
    made.active_peft_config.base_model_name_or_path = Path(str(config.base_model_name_or_path or "")).name
    first(made.prompt_encoder["default"], body, torch.Generator().manual_seed(seed))
    _install(body, made)
    for weight in (*made.prompt_encoder.parameters(), *adapters.poolers(body)):
        weight.requires_grad_(True)


def take_up(model: Any, folder: Path) -> None:
    """Put back what `adapters.keep` wrote."""
    body = anatomy.body(model)
    states = {id(weight): weight.requires_grad for weight in model.parameters()}
    with adapters.peft_is_quiet():
        device = str(next(body.parameters()).device)
        made = adapters.library("virtual tokens").PeftModel.from_pretrained(body, str(folder), torch_device=device)
    _install(body, made)
    for weight in model.parameters():
        weight.requires_grad_(states.get(id(weight), False))
    made.train(model.training)


def take_out(model: Any) -> None:
    """The network as it was without them."""
    body = anatomy.body(model)
    for hook in body.__dict__.pop(HOOKS):
        hook.remove()
    delattr(body, PART)
    adapters.forget(body)


def _install(body: Any, made: Any) -> None:
    body.__dict__[adapters.HELD] = made
    setattr(body, PART, made.prompt_encoder)
    prefix = made.active_peft_config.peft_type == "PREFIX_TUNING"
    if body.config.is_encoder_decoder:
        encoder = body.get_encoder()
        scale = _scale(encoder)
        hooks = [
            encoder.register_forward_pre_hook(_Before(made, encoder, scale=scale), with_kwargs=True),
            body.register_forward_pre_hook(_Seen(made), with_kwargs=True),
        ]
    else:
        trunk = trunk_of(body)
        if prefix:
            hooks = [trunk.register_forward_pre_hook(_Prefix(made, trunk), with_kwargs=True)]
        else:
            hooks = [
                trunk.register_forward_pre_hook(_Before(made, trunk, scale=_scale(trunk)), with_kwargs=True),
                trunk.register_forward_hook(_Without(made), with_kwargs=True),
            ]
    body.__dict__[HOOKS] = hooks


def trunk_of(body: Any) -> Any:
    """What turns tokens into states: the body, or of a decoder what lies under its vocabulary."""
    return body.base_model if adapters.task_type(body) == "CAUSAL_LM" else body


def _possible(model: Any, body: Any, *, prefix: bool) -> None:
    kind, where = body.config.model_type, "train.tune.strategy"
    if hasattr(model, "image_tokens"):
        raise BurnishError("a model that reads images has no room for virtual tokens", where=where, hint="lora")
    if prefix and body.config.is_encoder_decoder:
        raise BurnishError("prefix is for encoders and decoders", where=where, hint="prompt, p_tuning or lora")
    if prefix and "past_key_values" not in inspect.signature(trunk_of(body).forward).parameters:
        raise BurnishError(
            f"the attention of {kind} takes no keys and values from outside", where=where, hint="prompt or p_tuning"
        )


@torch.no_grad()
def _scale(trunk: Any) -> float:
    """By what the network multiplies the embeddings of tokens and not those it is given (Marian, Pegasus do)."""
    table = trunk.get_input_embeddings()
    device = next(trunk.parameters()).device
    ids_BL = torch.arange(5, 9, device=device)[None]
    mask_BL = torch.ones_like(ids_BL)
    training = trunk.training
    trunk.eval()
    try:
        wanted = trunk(input_ids=ids_BL, attention_mask=mask_BL)[0]
        for scale in (1.0, float(getattr(trunk, "embed_scale", 1.0) or 1.0)):
            found = trunk(inputs_embeds=scale * table(ids_BL), attention_mask=mask_BL)[0]
            if torch.allclose(found, wanted, rtol=1e-3, atol=1e-4):
                return scale
    finally:
        trunk.train(training)
    raise BurnishError(
        f"{trunk.config.model_type} does not give from embeddings what it gives from tokens",
        where="train.tune.strategy",
        hint="lora, which needs no virtual tokens",
    )


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return dict(kwargs)
    return dict(zip(inspect.signature(type(module).forward).parameters, (module, *args), strict=False)) | kwargs


def _seen(given: dict[str, Any]) -> int:
    """Places that a cache holds already."""
    cache = given.get("past_key_values")
    return int(cache.get_seq_length()) if cache is not None else 0


def _widened(mask: Tensor | None, count: int) -> Tensor | None:
    """A mask with `count` places before the others, which all may look at: (B, L), or (B, 1, L, L) added to scores."""
    if mask is None:
        return None
    if mask.ndim == 2:
        return torch.cat([mask.new_ones(mask.shape[0], count), mask], 1)
    yes, no = (True, False) if mask.dtype == torch.bool else (0.0, torch.finfo(mask.dtype).min)
    B, H, L, _ = mask.shape
    beside = torch.cat([mask.new_full((B, H, L, count), yes), mask], 3)
    if mask.shape[2] == 1 or mask.shape[3] != L:
        return beside
    among = torch.full((count, count + L), no, dtype=mask.dtype, device=mask.device)
    among.masked_fill_(torch.ones_like(among, dtype=torch.bool).tril(), yes)
    return torch.cat([among.expand(B, H, -1, -1), beside], 2)


class _Before:
    """Put the prompt before the embeddings, and room for it into all that goes with them."""

    def __init__(self, made: Any, trunk: Any, *, scale: float) -> None:
        self.made, self.scale = made, scale
        self.causal = "past_key_values" in inspect.signature(trunk.forward).parameters

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        given, count = _named(module, args, kwargs), self.made.active_peft_config.num_virtual_tokens
        given.pop("self", None)
        mask, places = given.get("attention_mask"), given.get("position_ids")
        begins = _seen(given) == 0
        ids = given.pop("input_ids", None)
        length = (ids if ids is not None else given["inputs_embeds"]).shape[1]
        if mask is not None and (mask.shape[-1] == length or not begins):  # an encoder-decoder has widened it already
            given["attention_mask"] = _widened(mask, count)
        if places is not None:
            given["position_ids"] = places + count
        if not begins:
            given["input_ids"] = ids
            return (), given
        if places is not None:
            first = torch.arange(count, device=places.device).expand(places.shape[0], -1)
            given["position_ids"] = torch.cat([first, given["position_ids"]], 1)
        if given.get("token_type_ids") is not None:
            types = given["token_type_ids"]
            given["token_type_ids"] = torch.cat([types.new_zeros(types.shape[0], count), types], 1)
        text_BLD = given.get("inputs_embeds")
        if text_BLD is None:
            text_BLD = self.scale * module.get_input_embeddings()(ids)
        prompt_BPD = self.made.get_prompt(batch_size=text_BLD.shape[0]).to(text_BLD.dtype)[:, :count]
        given["inputs_embeds"] = torch.cat([prompt_BPD, text_BLD], 1)
        return (), given


class _Without:
    """Take the states of the prompt off again."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self, module: Any, args: Any, kwargs: dict[str, Any], out: Any) -> Any:
        if kwargs.get("inputs_embeds") is not None:
            out.last_hidden_state = out.last_hidden_state[:, self.made.active_peft_config.num_virtual_tokens :]
        return out


class _Seen:
    """Let the decoder of an encoder-decoder look at the states of the prompt."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        given = _named(module, args, kwargs)
        given.pop("self", None)
        given["attention_mask"] = _widened(given.get("attention_mask"), self.made.active_peft_config.num_virtual_tokens)
        return (), given


class _Prefix:
    """Fill the cache of every layer's attention before the text."""

    def __init__(self, made: Any, trunk: Any) -> None:
        self.made = made

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        given, count = _named(module, args, kwargs), self.made.active_peft_config.num_virtual_tokens
        given.pop("self", None)
        begins = _seen(given) == 0
        read = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
        mask = given.get("attention_mask")
        if mask is None and begins and not hasattr(module, "rotary_emb"):
            mask = torch.ones(read.shape[:2], dtype=torch.long, device=read.device)
        if mask is not None and mask.ndim == 4 and begins:
            mask = _widened(mask, count)[:, :, -read.shape[1] :]  # type: ignore[index]
        else:
            mask = _widened(mask, count)
        given["attention_mask"] = mask
        if given.get("position_ids") is not None:
            given["position_ids"] = given["position_ids"] + count
        if begins:
            filled = self.made.get_prompt(read.shape[0], max_cache_len=read.shape[1] + count)
            cache = given.get("past_key_values")
            if cache is None:
                given["past_key_values"] = filled
            else:
                for at, layer in enumerate(filled.layers):
                    cache.update(layer.keys, layer.values, at)
        return (), given
