"""Networks that learn from text alone, as transformers has them: opened, started, saved, looked at from outside.

A saved folder is a stock one (`AutoModelForMaskedLM`, `AutoModelForCausalLM`, `AutoModelForSeq2SeqLM`) and a backbone.
B texts, L tokens, D hidden.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.architectures import MARK
from burnish.nn.batches import Examples, batches_of, reading_order
from burnish.nn.predict import pad_token_of
from burnish.nn.quiet import silent_loading

READ_TOKENS = 4096
KINDS = ("encoder", "decoder", "encoder-decoder")


class LanguageModel(nn.Module):
    """A network of transformers with the head that tells tokens. start: nothing or pretrained, as `loop.settle` reads it.

    fresh_head: its head is new on weights that are not.
    """

    def __init__(self, network: nn.Module, *, kind: str, start: str, fresh_head: bool = False) -> None:
        super().__init__()
        self.network: Any = network
        self.config: Any = self.network.config
        self.kind, self.start, self.fresh_head = kind, start, fresh_head

    @property
    def plain(self) -> Any:
        """The model of transformers."""
        return self.network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, L, V) logits of an encoder or decoder."""
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out = self.network(input_ids=input_ids, attention_mask=attention_mask, **more)
        logits: Tensor = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
        return logits

    def vectors(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D) float32: the mean of the last hidden states over a text's tokens, of an encoder-decoder the encoder's."""
        base = self.network.base_model
        reads = base.get_encoder() if self.kind == "encoder-decoder" else base
        states_BLD = reads(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state.float()
        mask_BL1 = mask_BL.unsqueeze(-1).float()
        mean_BD: Tensor = (states_BLD * mask_BL1).sum(1) / mask_BL1.sum(1).clamp(min=1.0)
        return mean_BD


def kind_of(folder: str | Path) -> str:
    """encoder, decoder or encoder-decoder, by the folder's configuration. WeightsError for what learns no text here."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    config = AutoConfig.from_pretrained(folder)
    if getattr(config, "is_encoder_decoder", False):
        return "encoder-decoder"
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        return "encoder"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "decoder"
    raise WeightsError(f"{config.model_type} is not a network that learns from text alone", where=str(folder))


@silent_loading()
def build(folder: str | Path, *, pairs: bool = False, start: str = "pretrained", seed: int = 0) -> LanguageModel:
    """The network of a backbone folder under the head that pre-training needs; a head it does not have starts anew.

    pairs: it also judges pairs of sentences, which only BERT's own layout has a place for.
    A new head of BERT starts as the identity before the vocabulary's matrix, which is that of the embeddings: what a state
    resembles is what it tells, and training begins where the body is.
    """
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForSeq2SeqLM,
        BertForPreTraining,
    )

    kind = kind_of(folder)
    config = AutoConfig.from_pretrained(folder)
    if pairs and config.model_type != "bert":
        raise WeightsError(
            f"{config.model_type} has no place for a judgement of sentences",
            where=str(folder),
            hint="train.pretrain.objective: masked",
        )
    families = {"decoder": AutoModelForCausalLM, "encoder-decoder": AutoModelForSeq2SeqLM}
    family: Any = BertForPreTraining if pairs else families.get(kind, AutoModelForMaskedLM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, said = family.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    missing = {str(name) for name in said["missing_keys"]}
    fresh_head = any("predictions.transform" in name for name in missing)
    if fresh_head:
        dense = network.cls.predictions.transform.dense
        with torch.no_grad():
            dense.weight.copy_(torch.eye(dense.weight.shape[0]))
            dense.bias.zero_()
    return LanguageModel(network.train(), kind=kind, start=start, fresh_head=fresh_head)


@silent_loading()
def save(model: LanguageModel, folder: Path, *, tokenizer: Any, head: bool = True, about: dict[str, Any]) -> None:
    """Write the layout of save_pretrained, load it again, and compare; WeightsError when it differs.

    head: keep what tells tokens; without it an encoder's folder holds the body alone. about: goes into backbone.json.
    """
    from transformers import AutoModel

    network = model.network if head or model.kind != "encoder" else model.network.base_model
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / MARK).write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")
    ids_BL, mask_BL = samples.tokens(model.config.vocab_size)
    with samples.at_rest(model):
        ours = model.vectors(ids_BL, mask_BL)
        again = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        theirs = LanguageModel.vectors(_Opened(again, model.kind), ids_BL, mask_BL)  # type: ignore[arg-type]
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved network differs from the trained one by {worst:.3g}")


class _Opened:
    """What `LanguageModel.vectors` asks of a model: its body and its kind."""

    def __init__(self, body: Any, kind: str) -> None:
        self.network, self.kind = body, kind


def held_out_loss(model: LanguageModel, objective: Any, examples: Examples, *, seed: int) -> float:
    """Mean loss of held-out windows, nats a told token, with the same draws every time."""
    was_training = model.training
    model.eval()
    total = 0.0
    order = reading_order(np.asarray(examples.lengths), batch_tokens=READ_TOKENS)
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        for at, batch in enumerate(batches_of(examples, order, pad_token=pad_token_of(model))):
            torch.manual_seed(seed + at)
            total += float(objective.loss(objective.forward(model, batch), batch, model).double().sum())
    model.train(was_training)
    return total / max(len(examples), 1)


def vectors_of(model: LanguageModel, examples: Examples) -> np.ndarray:
    """(n, D) float32, of length 1 about their mean: what a linear probe reads."""
    was_training = model.training
    model.eval()
    made = np.empty((len(examples), int(model.config.hidden_size)), np.float32)
    order: Sequence[np.ndarray] = reading_order(examples.lengths, batch_tokens=READ_TOKENS)
    with torch.inference_mode():
        for batch in batches_of(examples, list(order), pad_token=pad_token_of(model)):
            made[batch.rows] = model.vectors(batch.ids_BL, batch.mask_BL).numpy()
    model.train(was_training)
    made -= made.mean(0, keepdims=True)
    made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)
    return made
