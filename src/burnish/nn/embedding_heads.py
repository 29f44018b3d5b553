"""A vector for each text: the mean over its tokens, of length 1. Both towers of a retriever are this one network.

On disk it is a stock AutoModel with the three small files by which sentence-transformers knows how to pool
(modules.json, 1_Pooling, 2_Normalize), so that either library loads the folder and gives the same vectors.

B texts, L tokens, D hidden.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


class EncoderEmbedder(nn.Module):
    """An encoder of transformers under mean pooling. forward gives (B, D), rows of length 1."""

    exact = ()  # nothing stands on the encoder
    pooling = "mean"

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.config: Any = encoder.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden_BLD = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        mask_BL1 = attention_mask.unsqueeze(-1).float()
        mean_BD = (hidden_BLD.float() * mask_BL1).sum(1) / mask_BL1.sum(1).clamp(min=1.0)
        return functional.normalize(mean_BD, dim=-1)


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int = 0) -> nn.Module:
    """The encoder in `folder` under mean pooling. It has no fresh weights, so nothing is drawn from `seed`."""
    return EncoderEmbedder(_encoder(folder))


def _encoder(folder: str | Path) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    # families that pool would save a pooler of random weights, which nobody reads
    family = AutoConfig.from_pretrained(folder).model_type
    without = {"add_pooling_layer": False} if family in POOLERS else {}
    with torch.random.fork_rng(devices=[]):
        encoder: nn.Module = AutoModel.from_pretrained(folder, dtype=torch.float32, **without)
    return encoder


POOLERS = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet", "ernie")


@silent_loading()
def save(model: nn.Module, folder: Path, *, tokenizer: Any) -> None:
    """Write the encoder as save_pretrained does, the tokenizer and sentence-transformers' files; load again and compare.

    Raises WeightsError when what was written does not give the vectors of what is in memory.
    """
    folder = Path(folder)
    encoder: Any = model.encoder
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    width = int(encoder.config.hidden_size)
    longest = min(int(tokenizer.model_max_length), int(getattr(encoder.config, "max_position_embeddings", 512)))
    modes = ("cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    pooling |= {f"pooling_mode_{mode}": False for mode in modes} | {"include_prompt": True}
    written: dict[str, Any] = {
        "modules.json": MODULES,
        "sentence_bert_config.json": {"max_seq_length": longest, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": pooling,
    }
    for name, value in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    (folder / "2_Normalize").mkdir(exist_ok=True)
    (folder / "2_Normalize" / "config.json").write_text("{}\n", "utf-8")  # a folder without a file is lost in a copy
    _compare(model, load(folder, Head("embedding")), folder)


def _compare(model: nn.Module, again: nn.Module, folder: Path) -> None:
    config: Any = model.config
    ids_BL, mask_BL = samples.tokens(config.vocab_size)
    with samples.at_rest(model):
        least = float((model(ids_BL, mask_BL) * again(ids_BL, mask_BL)).sum(1).min())
    if least < 0.9999:
        raise WeightsError(
            f"{folder}: the saved model differs from the trained one: cosine {least:.5f} of their vectors"
        )


@silent_loading()
def load(folder: str | Path, head: Head | None = None) -> nn.Module:
    """What `save` wrote, ready to predict."""
    return EncoderEmbedder(_encoder(folder)).eval()
