"""Several heads on one backbone: a text is read once, and every head says its part.

Saved as the plain backbone (which `AutoModel` loads) with `heads.safetensors` beside it, which holds all that is not
backbone. A part reads the hidden states (B, L, D) and the mask:
    sequence   (B, C): the mean-pooled head of `nn.heads`
    token      (B, L, C): dropout and one linear layer, with the CRF of `nn.token_heads` where head.more says crf

B texts, L tokens, D hidden, C classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.heads import MeanHead
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading
from burnish.nn.token_linear import TokenLinear

HEADS_FILE = "heads.safetensors"
PARTS = ("sequence", "token")  # kinds of head that can share a backbone
# Adam moves a number by about the rate a step: at 3e-4 a log variance would need thousands of steps to reach 1.
BALANCE_SPEED = 30.0


class TokenPart(nn.Module):
    """Scores of every token (B, L, C), fp32. crf: None, or what joins the labels of neighbours."""

    def __init__(self, config: Any, head: Head, *, seed: int) -> None:
        super().__init__()
        rate = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if rate is None else rate)
        self.linear = TokenLinear(config.hidden_size, len(head.labels), seed=seed)
        self.crf: Any = None
        if head.more.get("crf"):
            from burnish.nn.token_heads import Crf

            self.crf = Crf(len(head.labels))

    @property
    def exact(self) -> tuple[str, ...]:
        """Modules that may stay fp32 when the encoder does not."""
        return ("linear", *(("crf",) if self.crf is not None else ()))

    def forward(self, hidden_BLD: Tensor, attention_mask: Tensor) -> Tensor:
        return self.linear.scores(hidden_BLD, self.dropout)

    def facts(self) -> dict[str, Any]:
        """What a decoder must know beside the outputs: the CRF's values as lists."""
        if self.crf is None:
            return {}
        return {"crf": {name: value.detach().tolist() for name, value in self.crf.values().items()}}


class Balance(nn.Module):
    """The log variance of each head's loss, learnt with the rest (Kendall, Gal & Cipolla 2018); starts at 0.

    Kept divided by BALANCE_SPEED, so that the rate that suits the encoder moves it that many times as fast.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(count))

    def log_variances(self) -> Tensor:
        """(H) fp32, in the order of the heads."""
        return BALANCE_SPEED * self.raw.float()


class SeveralHeads(nn.Module):
    """An encoder of transformers under heads that have names. forward gives {name: Tensor}.

    balanced: it learns how much each head's loss weighs (`Balance`), for an objective that asks for that.
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, Head], *, balanced: bool = False, seed: int = 0) -> None:
        super().__init__()
        config: Any = encoder.config
        self.encoder = encoder
        self.config: Any = config
        self.plan = dict(heads)
        self.heads = nn.ModuleDict()
        for at, (name, head) in enumerate(heads.items()):
            if head.kind not in PARTS:
                raise ValueError(f"a head of kind {head.kind!r} cannot share a backbone; these can: {', '.join(PARTS)}")
            made = MeanHead(config, len(head.labels), seed=seed + at) if head.kind == "sequence" else None
            self.heads[name + "_"] = made or TokenPart(config, head, seed=seed + at)  # "type" is a word of nn.Module
        self.balance = Balance(len(heads)) if balanced else None
        self.typed = "token_type_ids" in inspect.signature(encoder.forward).parameters

    @property
    def exact(self) -> tuple[str, ...]:
        """Modules that may stay fp32 when the encoder does not."""
        parts: Any = self.heads.items()
        names = [f"heads.{key}.{inner}" for key, part in parts for inner in part.exact]
        return (*names, *(("balance",) if self.balance is not None else ()))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        hidden_BLD = self.states(input_ids, attention_mask, token_type_ids)
        return {name: self.part(name)(hidden_BLD, attention_mask) for name in self.plan}

    def part(self, name: str) -> Any:
        """The head of that name: `MeanHead` or `TokenPart`."""
        return self.heads[name + "_"]

    def pooled(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, D): what a mean-pooled head reads."""
        hidden_BLD = self.states(input_ids, attention_mask, token_type_ids)
        any_mean = next((part for part in self.heads.values() if isinstance(part, MeanHead)), None)
        if any_mean is None:
            raise ValueError("no head of this model reads the mean")
        return any_mean.pooled(hidden_BLD, attention_mask)

    @property
    def reads_mean(self) -> bool:
        """Whether any head reads the mean of the states."""
        return any(isinstance(part, MeanHead) for part in self.heads.values())

    def centre(self, mean_D: Tensor) -> None:
        """Start every mean-pooled head at the deviation from `mean_D` (`MeanHead.centre`)."""
        for part in self.heads.values():
            if isinstance(part, MeanHead):
                part.centre(mean_D)

    def standardise(self, states_ND: Tensor) -> None:
        """Start every head over tokens where the states of some tokens lie (`TokenLinear.standardise`)."""
        for part in self.heads.values():
            if isinstance(part, TokenPart) and len(states_ND) > 1:
                part.linear.standardise(states_ND)

    def facts(self) -> dict[str, Any]:
        """What decoders must know beside the outputs, for the model's card: {"learnt": {name of a head: its facts}}."""
        found = {name: self.part(name).facts() for name, head in self.plan.items() if head.kind == "token"}
        learnt: dict[str, Any] = {name: facts for name, facts in found.items() if facts}
        if self.balance is not None:
            spread = self.balance.log_variances().detach().tolist()
            weights = torch.exp(-self.balance.log_variances()).detach().tolist()
            for name, variance, weight in zip(self.plan, spread, weights, strict=True):
                learnt.setdefault(name, {})["loss"] = {"log_variance": variance, "weight": weight}
        return {"learnt": learnt} if learnt else {}

    def states(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, L, D): what the encoder gives for every token."""
        more = {} if token_type_ids is None or not self.typed else {"token_type_ids": token_type_ids}
        hidden_BLD: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        return hidden_BLD


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> SeveralHeads:
    """The encoder in `folder` under fresh heads. head.more: {"heads": {name: Head.plain()}, "balanced": bool}."""
    return SeveralHeads(_encoder(folder), parts_of(head), balanced=bool(head.more.get("balanced")), seed=seed)


def parts_of(head: Head) -> dict[str, Head]:
    """The heads by name."""
    return {name: Head(one["kind"], tuple(one["labels"]), one["more"]) for name, one in head.more["heads"].items()}


def _encoder(folder: str | Path) -> Any:
    """The backbone without a pooling layer, which nothing here reads, where its family can leave it out."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        try:
            return AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
        except TypeError:  # this family has none
            return AutoModel.from_pretrained(folder, dtype=torch.float32)


@silent_loading()
def save(model: SeveralHeads, folder: Path, *, tokenizer: Any) -> None:
    """Write the backbone (save_pretrained), the tokenizer and heads.safetensors, load them again, and compare.

    The folder should be new: making it appear whole is the caller's rename. Raises WeightsError when what was written
    does not give the outputs of what is in memory.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    for part in model.heads.values():
        if isinstance(part, TokenPart):
            part.linear.fold()
    encoder: Any = model.encoder
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    save_file(
        {name: value for name, value in state.items() if not name.startswith("encoder.")},
        folder / HEADS_FILE,
        metadata={"format": "pt"},
    )
    plan = {name: head.plain() for name, head in model.plan.items()}
    again = load(folder, Head("several", (), {"heads": plan, "balanced": model.balance is not None}))
    for name, (ours, theirs) in _compared(model, again).items():
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
            worst = float((ours - theirs).abs().max())
            raise WeightsError(f"{folder}: the saved head {name} differs from the trained one by {worst:.3g}")


def _compared(model: SeveralHeads, again: SeveralHeads) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs of both by head, without padding, and all that is no part of forward."""
    ids_BL, mask_BL = samples.tokens(model.config.vocab_size)
    with samples.at_rest(model):
        ours, theirs = model(ids_BL, mask_BL), again(ids_BL, mask_BL)
    found = {
        name: tuple(out[name][mask_BL.bool()] if out[name].ndim == 3 else out[name] for out in (ours, theirs))
        for name in ours
    }
    outside = dict(again.named_parameters())
    found |= {name: (value, outside[name]) for name, value in model.named_parameters() if ".crf." in name}
    return found


@silent_loading()
def load(folder: str | Path, head: Head) -> SeveralHeads:
    """What `save` wrote, ready to predict; WeightsError when heads.safetensors is not of this head."""
    from safetensors.torch import load_file

    folder = Path(folder)
    model = SeveralHeads(_encoder(folder), parts_of(head), balanced=bool(head.more.get("balanced")))
    held = load_file(folder / HEADS_FILE)
    wanted = {name: value.shape for name, value in model.state_dict().items() if not name.startswith("encoder.")}
    if {name: value.shape for name, value in held.items()} != wanted:
        raise WeightsError(
            f"{folder / HEADS_FILE} holds other tensors than the heads {', '.join(model.plan)} need",
            hint="burnish.json and heads.safetensors must come from the same run",
        )
    model.load_state_dict(held, strict=False)
    return model.eval()
