"""A saved model gives a text the same logits alone and beside longer texts: padding is masked after loading, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from burnish.nn import heads
from burnish.nn.models import Head


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    config = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    torch.manual_seed(0)
    BertModel(config).save_pretrained(tmp_path / "base")
    model = heads.build(tmp_path / "base", Head("sequence", tuple(["a", "b"])))
    words = {"[PAD]": 0, "[UNK]": 1, **{f"w{at}": at for at in range(2, 64)}}
    raw = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]")
    heads.save(model, tmp_path / "saved", tokenizer=tokenizer)
    return tmp_path / "saved"


def test_padding_does_not_change_a_loaded_models_logits(saved: Path) -> None:
    model = heads.load(saved)
    assert isinstance(model, heads.EncoderClassifier)
    short = torch.tensor([[5, 6, 7]])
    padded = torch.cat([short, torch.zeros(1, 9, dtype=torch.long)], dim=1)
    mask = (padded != 0).long()
    with torch.no_grad():
        alone = model(short, torch.ones_like(short))
        beside = model(padded, mask)
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-5)
