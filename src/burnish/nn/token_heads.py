"""A head that gives every token its scores: tags, or the first and last token of an answer.

The network is the stock model of transformers for the job (`AutoModelForTokenClassification`; for labels start and end
`AutoModelForQuestionAnswering`), so every encoder family that has one works and plain transformers loads what is saved.
Where the stock model is a backbone, dropout and one linear layer, those are run here one by one, so that the linear
layer may stay fp32 beside a backbone in bf16; a family with more in between runs as a whole.

A CRF adds three small arrays (`crf.safetensors`). They are no part of forward: the objective asks the model for them
(`model.crf`), and the decoder finds them in the model's burnish.json (`model.facts()`), so the exported network is the
same with and without.

B texts, L tokens, D hidden, C labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading
from burnish.nn.token_linear import TokenLinear

BORDERS = ("start", "end")  # labels of a head that answers questions
CRF_FILE = "crf.safetensors"
CRF_SPEED = 30.0  # Adam moves a number by about the rate a step: 3e-4 would take transitions 3,000 steps to reach 1


class Crf(nn.Module):
    """What a linear-chain CRF adds to the scores of single tokens: log-potentials of the first, next and last label.

    Kept divided by CRF_SPEED, so that the rate that suits the encoder moves them that many times as fast.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))  # (from, to)
        self.first = nn.Parameter(torch.zeros(num_labels))
        self.last = nn.Parameter(torch.zeros(num_labels))

    def values(self) -> dict[str, Tensor]:
        """transitions (C, C) from row to column, first (C), last (C); fp32."""
        return {name: CRF_SPEED * value.float() for name, value in self.named_parameters()}

    @torch.no_grad()
    def take(self, values: dict[str, Tensor]) -> None:
        """Become the CRF with these values."""
        for name, parameter in self.named_parameters():
            parameter.copy_(values[name] / CRF_SPEED)


class TokenHead(nn.Module):
    """A stock model seen as (B, L, C) fp32 scores. crf: None, or what joins the labels of neighbours."""

    def __init__(self, stock: Any, *, labels: Sequence[str], crf: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.stock, self.labels, self.config = stock, tuple(labels), stock.config
        self.crf = Crf(len(labels)) if crf else None
        parts = [(name, part) for name, part in stock.named_children() if name != stock.base_model_prefix]
        linear = [name for name, part in parts if isinstance(part, nn.Linear)]
        self.split = len(linear) == 1 and all(isinstance(part, nn.Linear | nn.Dropout) for _, part in parts)
        self.linear_name = linear[0] if self.split else ""
        if self.split:
            plain = getattr(stock, self.linear_name)
            made = TokenLinear(plain.in_features, plain.out_features, seed=seed)
            setattr(stock, self.linear_name, made)
        dropout = [part for _, part in parts if isinstance(part, nn.Dropout)]
        # the stock model of questions has none in some families; it has no weights, so the file does not change
        self.dropout = dropout[0] if dropout else nn.Dropout(float(getattr(stock.config, "hidden_dropout_prob", 0.1)))
        self.typed = "token_type_ids" in inspect.signature(stock.forward).parameters

    @property
    def exact(self) -> tuple[str, ...]:
        """Modules that may stay fp32 when the backbone does not."""
        return (*((f"stock.{self.linear_name}",) if self.split else ()), *(("crf",) if self.crf is not None else ()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        if not self.split:
            more = {} if token_type_ids is None or not self.typed else {"token_type_ids": token_type_ids}
            return _scores(self.stock(input_ids=input_ids, attention_mask=attention_mask, **more)).float()
        states_BLD = self.states(input_ids, attention_mask, token_type_ids)
        scores_BLC: Tensor = self.linear.scores(states_BLD, self.dropout)
        return scores_BLC

    @property
    def linear(self) -> TokenLinear:
        """The layer on top, of a head that is split from its backbone."""
        layer: TokenLinear = getattr(self.stock, self.linear_name)
        return layer

    def states(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, L, D): what the backbone gives for every token."""
        more = {} if token_type_ids is None or not self.typed else {"token_type_ids": token_type_ids}
        made: Tensor = self.stock.base_model(input_ids=input_ids, attention_mask=attention_mask, **more)[0]
        return made

    def standardise(self, states_ND: Tensor) -> None:
        """Start where the states of some tokens lie; nothing for a family that runs as a whole."""
        if self.split and len(states_ND) > 1:
            self.linear.standardise(states_ND)

    def facts(self) -> dict[str, Any]:
        """What a decoder must know beside the outputs, for the model's card: the CRF's values as lists."""
        if self.crf is None:
            return {}
        return {"crf": {name: value.detach().tolist() for name, value in self.crf.values().items()}}


def _scores(out: Any) -> Tensor:
    """(B, L, C) of an output of transformers."""
    logits: Tensor = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
    return logits


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> TokenHead:
    """The encoder in `folder` under a fresh linear layer drawn from `seed`; ValueError for a family without such a model.

    head.labels: of the outputs; ("start", "end") makes the stock model of questions. head.more: {"crf": bool}.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {name: at for at, name in enumerate(head.labels)}
    kind = _stock_class(head)
    if type(config) not in kind._model_mapping:
        raise ValueError(f"transformers has no model of {config.model_type} that gives every token its scores")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # stock parts between backbone and linear layer draw from the global generator
        stock = kind.from_pretrained(folder, config=config, dtype=torch.float32)
    return TokenHead(stock, labels=head.labels, crf=bool(head.more.get("crf")), seed=seed)


def _stock_class(head: Head) -> Any:
    from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

    return AutoModelForQuestionAnswering if tuple(head.labels) == BORDERS else AutoModelForTokenClassification


@silent_loading()
def save(model: TokenHead, folder: Path, *, tokenizer: Any) -> None:
    """Write the layout of save_pretrained, with `crf.safetensors` beside it where there is a CRF; load it, and compare.

    The folder should be new: making it appear whole is the caller's rename. Raises WeightsError when what was written
    does not give the scores of what is in memory.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    if model.split:
        model.linear.fold()
    model.stock.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if model.crf is not None:
        save_file({name: value.detach().contiguous() for name, value in model.crf.values().items()}, folder / CRF_FILE)
    again = load(folder, Head("token", model.labels, {"crf": model.crf is not None}))
    ids_BL, mask_BL = samples.tokens(model.config.vocab_size)
    with samples.at_rest(model):
        ours, theirs = (_everything(one, ids_BL, mask_BL) for one in (model, again))
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its scores")


def _everything(model: TokenHead, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """What a decoder would read, in one row; positions that are padding mean nothing and are left out."""
    values = [] if model.crf is None else [value.flatten() for value in model.crf.values().values()]
    return torch.cat([model(ids_BL, mask_BL)[mask_BL.bool()].flatten(), *values])


@silent_loading()
def load(folder: str | Path, head: Head) -> TokenHead:
    """What `save` wrote, ready to predict."""
    from safetensors.torch import load_file

    folder = Path(folder)
    stock = _stock_class(head).from_pretrained(folder, dtype=torch.float32)
    held = {name: value.clone() for name, value in stock.state_dict().items()}
    model = TokenHead(stock, labels=head.labels, crf=bool(head.more.get("crf")))
    stock.load_state_dict(held)  # the layer on top was made anew
    if model.crf is not None:
        model.crf.take(load_file(folder / CRF_FILE))
    return model.eval()
