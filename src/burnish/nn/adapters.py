"""What peft puts into a network's layers: LoRA and its kin, put in, kept, merged.

peft wraps single layers in place, so the network under our head stays the object it was: its forward, its attention and
the fast operators of `nn.operators` go on as before. The model of peft that holds the bookkeeping lies beside the body
(`held`), not around it. What is kept is peft's own layout: `PeftModel.from_pretrained(base, folder)` opens it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish.core.errors import BurnishError, MissingExtra
from burnish.nn import anatomy

HELD = "burnish_peft"  # in the body's __dict__, where torch does not look for modules
ALL_LINEAR = "all-linear"
# Which layers of attention make keys and values, and which one ends a feed-forward, by the last words of their names.
KEYS = ("key", "k_proj", "k_lin", "key_proj", "attn.k", "SelfAttention.k", "EncDecAttention.k")
VALUES = ("value", "v_proj", "v_lin", "value_proj", "attn.v", "SelfAttention.v", "EncDecAttention.v")
ATTENTION_ENDS = (
    "attention.output.dense",
    "attention.dense",
    "attn.o",
    "o_proj",
    "out_proj",
    "out_lin",
    "attn.c_proj",
    "SelfAttention.o",
)
FEED_FORWARD_ENDS = (
    "output.dense",
    "down_proj",
    "fc2",
    "lin2",
    "wo",
    "mlp.c_proj",
    "mlp.Wo",
    "w2",
    "dense_4h_to_h",
    "ffn_output",
)


def library(what: str) -> Any:
    """The library peft; MissingExtra where it is not installed."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtra(what, "peft") from error
    return peft


def task_type(body: Any) -> str:
    """What peft calls the kind of network: it decides which of its models opens what is kept."""
    if not body.can_generate():
        return "FEATURE_EXTRACTION"
    return "SEQ_2_SEQ_LM" if body.config.is_encoder_decoder else "CAUSAL_LM"


def put_in(model: Any, config: Any, *, seed: int) -> Any:
    """Put adapters into the body of a model; all else in the body stands still. Returns the model of peft.

    config: of peft. seed: of their first weights. Raises BurnishError where they find no layer to adapt.
    """
    body = anatomy.body(model)
    if held(body) is not None:
        raise BurnishError("this network has adapters already", hint="name one of these strategies")
    learnt = poolers(body)
    if learnt and hasattr(config, "exclude_modules"):
        config.exclude_modules = sorted(name for name, _ in _linears(body) if name.startswith("pooler."))
    with drawn(seed), peft_is_quiet():
        try:
            made = library("a strategy of adapters").get_peft_model(body, config)
        except ValueError as error:
            raise BurnishError(
                f"no layer of this {body.config.model_type} can be adapted: {str(error).splitlines()[0]}",
                where="train.tune.strategy",
                hint=f"targets: {ALL_LINEAR}, or names out of {', '.join(last_words(body))}",
            ) from error
    for one in made.peft_config.values():
        one.base_model_name_or_path = Path(str(one.base_model_name_or_path or "")).name
    body.__dict__[HELD] = made
    for weight in learnt:  # a part of the head that lies in the body
        weight.requires_grad_(True)
    return made


def held(body: Any) -> Any:
    """The model of peft around this body, or None."""
    return body.__dict__.get(HELD)


def keep(model: Any, folder: Path) -> None:
    """Write what was put in as peft does; its README is left out, which would name this machine's folders."""
    made = held(anatomy.body(model))
    with peft_is_quiet():
        made.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def merge(model: Any) -> None:
    """Fold what was put in into the weights, and forget it: the network is a stock one again."""
    body = anatomy.body(model)
    with peft_is_quiet():
        held(body).merge_and_unload()
    forget(body)


def forget(body: Any) -> None:
    """Take peft's bookkeeping away."""
    body.__dict__.pop(HELD, None)
    body.__dict__.pop("peft_config", None)


@contextlib.contextmanager
def peft_is_quiet() -> Iterator[None]:
    """peft reads names that transformers is about to drop, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@contextlib.contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Inside the block random numbers come from `seed`; the global generator is as before after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def poolers(body: Any) -> list[nn.Parameter]:
    """Weights of a pooler: it lies in the body of some families, but reads the text for the head and is often fresh."""
    pooler = getattr(body, "pooler", None)
    return list(pooler.parameters()) if isinstance(pooler, nn.Module) else []


def _linears(body: nn.Module) -> list[tuple[str, nn.Module]]:
    from transformers.pytorch_utils import Conv1D

    return [(name, part) for name, part in body.named_modules() if isinstance(part, nn.Linear | Conv1D)]


def last_words(body: nn.Module) -> list[str]:
    """Last parts of the names of linear layers, which a list of targets may hold."""
    return sorted({name.rpartition(".")[2] for name, _ in _linears(body)})


def layers_named(body: nn.Module, endings: Sequence[str], *, not_those: Sequence[str] = ()) -> list[str]:
    """Names of the linear layers whose names end in one of some words, and in none of others."""

    def ends(name: str, some: Sequence[str]) -> bool:
        return any(f".{name}".endswith(f".{one}") for one in some)

    return [name for name, _ in _linears(body) if ends(name, endings) and not ends(name, not_those)]


def sublayer_ends(model: Any) -> tuple[list[str], list[str]]:
    """Names within the body of the linear layers that end attention, and of those that end a feed-forward.

    Raises BurnishError for a family whose layers have other names.
    """
    body = anatomy.body(model)
    attention = layers_named(body, ATTENTION_ENDS)
    forward = layers_named(body, FEED_FORWARD_ENDS, not_those=(*ATTENTION_ENDS, "crossattention.output.dense"))
    if not attention or not forward:
        raise BurnishError(
            f"the layers of {body.config.model_type} are not named as those of any family known here",
            where="train.tune.strategy",
            hint="lora and dora adapt the linear layers of any network",
        )
    return attention, forward
