"""A classification head that reads the mean of all tokens, and is still a stock model of transformers on disk.

A small sentence encoder keeps its meaning in the mean over tokens; the stock classifier of BERT and RoBERTa reads the
first token only, and learns slowly from it (docs/decisions/pooling.md has the figures). No setting of theirs pools by
mean, but one more layer of their own kind can: with zero queries and keys its attention is the exact mean over the
tokens that are not padding, with values SHARE x identity it adds SHARE x mean to the first token, with a zero
feed-forward it does nothing more. So the head here computes, directly,

    pooled = normalise(first + SHARE x mean);  logits = W2 dropout(tanh(W1 pooled + b1)) + b2

and `save` writes the same function as a stock model with one layer more, which plain
`AutoModelForSequenceClassification` loads and which gives the same logits.

B texts, L tokens, D hidden, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading

SHARE = 64.0  # weight of the mean against the first token's residual, which the stock layer cannot leave out


class _Family:
    """Where an architecture keeps what the mean layer and the head need: names as in its state dict."""

    def __init__(self, prefix: str, dense: str, out: str) -> None:
        self.prefix, self.dense, self.out = prefix, dense, out


FAMILIES = {
    "bert": _Family("bert", "bert.pooler.dense", "classifier"),
    "roberta": _Family("roberta", "classifier.dense", "classifier.out_proj"),
    "xlm-roberta": _Family("roberta", "classifier.dense", "classifier.out_proj"),
    "camembert": _Family("roberta", "classifier.dense", "classifier.out_proj"),
}


class MeanHead(nn.Module):
    """The mean-pooled head alone: hidden states (B, L, D) of any encoder become (B, C) logits."""

    exact = ("dense", "out")  # modules that may stay fp32 when the encoder does not

    def __init__(self, config: Any, num_labels: int, *, seed: int = 0) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.eps = float(getattr(config, "layer_norm_eps", 1e-12))
        rate = getattr(config, "classifier_dropout", None)
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws first weights that nobody will see
            self.dense = nn.Linear(hidden, hidden)
            self.out = nn.Linear(hidden, num_labels)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if rate is None else rate)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():  # identity, so that the first steps already see the encoder's own space
            self.dense.weight.copy_(torch.eye(hidden))
            self.dense.bias.zero_()
            self.out.weight.normal_(0.0, 0.02, generator=generator)
            self.out.bias.zero_()

    def pooled(self, hidden_BLD: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, D): normalised mean of the tokens that are not padding."""
        mask_BL1 = attention_mask.unsqueeze(-1).to(hidden_BLD.dtype)
        mean_BD = (hidden_BLD * mask_BL1).float().sum(1) / mask_BL1.float().sum(1)
        mixed_BD = hidden_BLD[:, 0].float() + SHARE * mean_BD
        return functional.layer_norm(mixed_BD, mixed_BD.shape[-1:], eps=self.eps)

    def forward(self, hidden_BLD: Tensor, attention_mask: Tensor) -> Tensor:
        pooled_BD = self.pooled(hidden_BLD, attention_mask).to(self.dense.weight.dtype)
        logits_BC: Tensor = self.out(self.dropout(torch.tanh(self.dense(pooled_BD))))
        return logits_BC

    @torch.no_grad()
    def centre(self, mean_D: Tensor) -> None:
        """Start at the deviation from `mean_D`, the mean of `pooled` over some texts.

        Some encoders (e5) put all texts into one narrow cone: without this every text looks alike to the head.
        """
        self.dense.bias.copy_(-(self.dense.weight @ mean_D))


class EncoderClassifier(nn.Module):
    """An encoder of transformers under a mean-pooled head. forward gives (B, C) logits."""

    exact = tuple(f"head.{name}" for name in MeanHead.exact)

    def __init__(self, encoder: nn.Module, *, labels: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        config: Any = encoder.config
        if config.model_type not in FAMILIES:
            raise ValueError(f"no mean head for {config.model_type}; known: {', '.join(FAMILIES)}")
        self.encoder, self.labels = encoder, tuple(labels)
        self.config: Any = config
        self.head = MeanHead(config, len(labels), seed=seed)

    def pooled(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, D): normalised mean of the tokens that are not padding."""
        return self.head.pooled(self._hidden(input_ids, attention_mask, token_type_ids), attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        logits_BC: Tensor = self.head(self._hidden(input_ids, attention_mask, token_type_ids), attention_mask)
        return logits_BC

    def centre(self, mean_D: Tensor) -> None:
        """Start the head at the deviation from `mean_D` (`MeanHead.centre`)."""
        self.head.centre(mean_D)

    def _hidden(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more)
        hidden_BLD: Tensor = out.last_hidden_state
        return hidden_BLD


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int = 0) -> nn.Module:
    """A classifier on the encoder in `folder` (or of that hub name), one output a label of `head`: mean-pooled where the family allows.

    Families that pool by mean themselves are told to; for others the stock head of transformers is used, and the
    model's `pooling` says so ("mean" or "stock").
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    labels = head.labels
    config = AutoConfig.from_pretrained(folder)
    if config.model_type in FAMILIES and not getattr(config, "is_decoder", False):
        with torch.random.fork_rng(devices=[]):
            encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
        model: nn.Module = EncoderClassifier(encoder, labels=labels, seed=seed)
        model.pooling = "mean"  # type: ignore[assignment]
        return model
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    native = hasattr(config, "classifier_pooling")
    if native:
        config.classifier_pooling = "mean"
    for key, value in names.items():
        setattr(config, key, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the stock head draws its weights from the global generator: borrowed, given back
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=torch.float32)
    model.pooling = "mean" if native else "stock"  # type: ignore[assignment]
    return model


def as_stock(model: EncoderClassifier) -> Any:
    """The same function as a stock sequence classifier of transformers with one layer more."""
    from transformers import AutoModelForSequenceClassification

    family = FAMILIES[model.config.model_type]
    config = copy.deepcopy(model.config)
    last = config.num_hidden_layers
    config.num_hidden_layers = last + 1
    config.id2label = dict(enumerate(model.labels))
    config.label2id = {name: i for i, name in enumerate(model.labels)}
    with torch.random.fork_rng(devices=[]):  # its first weights are all overwritten below
        stock: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    state = {f"{family.prefix}.{name}": value for name, value in model.encoder.state_dict().items()}
    state |= {f"{family.dense}.{kind}": getattr(model.head.dense, kind) for kind in ("weight", "bias")} | {
        f"{family.out}.{kind}": getattr(model.head.out, kind) for kind in ("weight", "bias")
    }
    at = f"{family.prefix}.encoder.layer.{last}."
    for name, value in stock.state_dict().items():
        if name.startswith(at):
            state[name] = _mean_layer(name.removeprefix(at), value)
    stock.load_state_dict(state, strict=True)
    return stock.eval()


def _mean_layer(name: str, value: Tensor) -> Tensor:
    """One weight of the layer that adds SHARE x mean to every token and normalises."""
    if name == "attention.self.value.weight":
        return SHARE * torch.eye(value.shape[0])
    if name == "attention.output.dense.weight":
        return torch.eye(value.shape[0])
    if name.endswith("LayerNorm.weight"):
        return torch.ones_like(value)
    return torch.zeros_like(value)


@silent_loading()
def save(model: nn.Module, folder: Path, *, tokenizer: Any) -> None:
    """Write the layout of save_pretrained (model.safetensors, config.json, tokenizer), load it again, and compare.

    The folder should be new: making it appear whole is the caller's rename. Raises WeightsError when what was written
    does not give the logits of what is in memory.
    """
    from transformers import AutoModelForSequenceClassification

    stock: Any = as_stock(model) if isinstance(model, EncoderClassifier) else model
    stock.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    again = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    ids_BL, mask_BL = samples.tokens(stock.config.vocab_size)
    with samples.at_rest(model):
        ours = model(input_ids=ids_BL, attention_mask=mask_BL)
        ours = ours if isinstance(ours, Tensor) else ours.logits
        theirs = again(input_ids=ids_BL, attention_mask=mask_BL).logits
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its logits")


@silent_loading()
def load(folder: str | Path, head: Head | None = None) -> nn.Module:
    """What `save` wrote, for prediction and further training; the extra layer is folded back into the mean head."""
    from transformers import AutoModelForSequenceClassification

    folder = Path(folder)
    stock: nn.Module = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    config: Any = stock.config
    family = FAMILIES.get(config.model_type)
    last = int(getattr(config, "num_hidden_layers", 1)) - 1
    state = stock.state_dict()
    at = f"{family.prefix}.encoder.layer.{last}." if family else ""
    layer = {name.removeprefix(at): value for name, value in state.items() if family and name.startswith(at)}
    if (
        family is None
        or not layer
        or not all(torch.equal(value, _mean_layer(name, value)) for name, value in layer.items())
    ):
        return stock
    encoder: Any = getattr(stock, family.prefix)
    encoder.encoder.layer = encoder.encoder.layer[:last]
    # a copy, not the file read again: it holds the chosen attention, without which padding is not masked
    encoder.config = copy.deepcopy(encoder.config)
    encoder.config.num_hidden_layers = last
    encoder.pooler = None
    labels = [encoder.config.id2label[i] for i in range(len(encoder.config.id2label))]
    model = EncoderClassifier(encoder, labels=labels)
    with torch.no_grad():
        for part, at in ((model.head.dense, family.dense), (model.head.out, family.out)):
            part.weight.copy_(state[f"{at}.weight"])
            part.bias.copy_(state[f"{at}.bias"])
    model.pooling = "mean"  # type: ignore[assignment]
    return model.eval()
