"""One wrapper for every family of transformers that keeps keys and values; the export itself compares logits and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from burnish.core.errors import BurnishError
from burnish.nn.quiet import silent_loading
from burnish.nn.writing_graphs import export_writer

WORDS, PLACES = {"vocab_size": 96}, {"max_position_embeddings": 64}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    **WORDS,
    **PLACES,
}
GROUPED = {"num_key_value_heads": 2}
BOTH = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 0, "pad_token_id": 0, **WORDS, **PLACES,
}  # fmt: skip


def bert_behind_bert() -> Any:
    reader, writer = hf.BertConfig(**SMALL), hf.BertConfig(**SMALL, is_decoder=True, add_cross_attention=True)
    made = hf.EncoderDecoderModel(hf.EncoderDecoderConfig.from_encoder_decoder_configs(reader, writer))
    made.config.decoder_start_token_id, made.config.pad_token_id = 2, 0
    return made


FAMILIES = {
    "a window that slides": lambda: hf.MistralForCausalLM(hf.MistralConfig(**SMALL, **GROUPED, sliding_window=4)),
    "learnt positions": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **WORDS)
    ),
    "no positions": lambda: hf.BloomForCausalLM(hf.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **WORDS)),
    "two kinds of layers": lambda: hf.Gemma2ForCausalLM(
        hf.Gemma2Config(**SMALL, **GROUPED, head_dim=8, sliding_window=4)
    ),
    "norms of queries": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**SMALL, **GROUPED, head_dim=8)),
    "positions of a share": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SMALL)),
    "positions out of the mask": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32, **WORDS
        )
    ),
    "relative positions": lambda: hf.T5ForConditionalGeneration(
        hf.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, **WORDS)
    ),
    "a decoder behind BERT": bert_behind_bert,
    "marian": lambda: hf.MarianMTModel(hf.MarianConfig(**BOTH)),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_exported_and_comes_back_as_it_was(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FAMILIES[family]().train()
    before = network.config._attn_implementation
    export_writer(network, tmp_path)  # raises where a logit differs by a thousandth
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"decoder.onnx"} | ({"encoder.onnx"} if network.config.is_encoder_decoder else set())
    assert network.training and network.config._attn_implementation == before


def test_what_keeps_no_keys_and_values_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with silent_loading():
        network = hf.RwkvForCausalLM(hf.RwkvConfig(hidden_size=32, num_hidden_layers=2, **WORDS))
    with pytest.raises(BurnishError, match="rwkv keeps something else of what it has read than keys and values"):
        export_writer(network, tmp_path)
    assert not list(tmp_path.iterdir())
