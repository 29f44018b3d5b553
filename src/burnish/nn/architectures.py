"""A stock architecture from the name of a size, its random weights, and what it costs.

Encoders are BERT (Devlin et al. 2019: the layers that `nn.stack` trains fastest), decoders llama (Touvron et al. 2023),
encoder-decoders Pegasus (Zhang et al. 2020: norm first and fixed positions, so it learns from scratch without care).
Sizes are layers by width, numbers of 64 to an attention head: tiny, mini, medium, base and large are those of BERT and its
miniatures (Turc et al. 2019), small is MiniLM's (Wang et al. 2020).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args

from burnish.core.errors import BurnishError
from burnish.nn.quiet import silent_loading

Architecture = Literal["encoder", "decoder", "encoder-decoder"]
SIZES = {  # layers, hidden; of an encoder-decoder as many layers each
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (6, 384),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}
MARK = "backbone.json"  # beside every backbone of ours: what it is
ROUNDED = 8  # rows of the embedding are a multiple of it


def layers_and_width(size: str) -> tuple[int, int]:
    """Layers and hidden of a name of SIZES, or of "LAYERSxHIDDEN" (12x768)."""
    if size in SIZES:
        return SIZES[size]
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if not found or int(found[2]) % 8:
        raise BurnishError(
            f"no size {size!r}", hint=f"{', '.join(SIZES)}, or layers x width with a width that 8 divides: 6x384"
        )
    return int(found[1]), int(found[2])


def config(
    architecture: Architecture, size: str, *, vocabulary: int, positions: int = 512, tokenizer: Any = None
) -> Any:
    """A configuration of transformers.

    vocabulary: rows of the embedding, rounded up to a multiple of 8. positions: tokens it can read.
    tokenizer: whose special tokens it names; without one padding is 0 and nothing ends a text.
    Raises BurnishError for a size there is none of.
    """
    from transformers import BertConfig, LlamaConfig, PegasusConfig

    if architecture not in get_args(Architecture):
        raise ValueError(f"architecture is encoder, decoder or encoder-decoder, not {architecture!r}")
    layers, hidden = layers_and_width(size)
    # about 64 numbers a head, and an even number of them, for rotary positions turn pairs
    heads = next(n for n in range(max(1, hidden // 64), 0, -1) if hidden % (2 * n) == 0)
    pad, end = getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None)
    names: dict[str, Any] = {
        "vocab_size": -(-vocabulary // ROUNDED) * ROUNDED,
        "pad_token_id": pad or 0,
        "max_position_embeddings": positions,
    }
    if architecture == "encoder":
        return BertConfig(
            **names,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
        )
    if architecture == "decoder":
        return LlamaConfig(
            **names,
            hidden_size=hidden,
            intermediate_size=hidden * 8 // 3 // 8 * 8,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            tie_word_embeddings=True,
            initializer_range=hidden**-0.5,  # as torch draws a linear layer; 0.02 is for widths of thousands
            bos_token_id=getattr(tokenizer, "bos_token_id", None),
            eos_token_id=end,
        )
    return PegasusConfig(
        **names,
        d_model=hidden,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * hidden,
        decoder_ffn_dim=4 * hidden,
        scale_embedding=True,
        dropout=0.1,
        attention_dropout=0.0,
        activation_dropout=0.0,
        init_std=hidden**-0.5,  # times the scale of the embedding: numbers of size 1, as the positions are
        eos_token_id=end,
        forced_eos_token_id=None,
        decoder_start_token_id=pad or 0,
    )


@silent_loading()
def make(folder: str | Path, config: Any, tokenizer: Any, *, seed: int) -> Path:
    """Write a backbone folder: config, random weights drawn from `seed`, tokenizer; anything of transformers loads it.

    The weights are those of the model that pre-training teaches: masked tokens, the next token, or what was taken out.
    """
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / MARK).write_text(json.dumps({"name": "fresh", "seed": seed}), "utf-8")
    return folder


def is_fresh(folder: str | Path) -> bool:
    """Whether a backbone folder holds random weights of `make`."""
    mark = Path(folder) / MARK
    return mark.is_file() and json.loads(mark.read_text("utf-8")).get("name") == "fresh"


def network(config: Any) -> Any:
    """The model for pre-training of a configuration, its weights as the library draws them."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    family: Any = {
        "encoder": AutoModelForMaskedLM,
        "decoder": AutoModelForCausalLM,
        "encoder-decoder": AutoModelForSeq2SeqLM,
    }[architecture_of(config)]
    return family.from_config(config)


def architecture_of(config: Any) -> Architecture:
    """What kind of network a configuration of transformers describes.

    Raises BurnishError for one that neither fills in masked tokens nor writes (of images, of sound).
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    if getattr(config, "is_encoder_decoder", False):
        return "encoder-decoder"
    named = (getattr(config, "architectures", None) or [""])[0]
    writes = getattr(config, "is_decoder", False) or named.endswith(("ForCausalLM", "LMHeadModel"))
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not writes:
        return "encoder"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "decoder"
    raise BurnishError(
        f"a {config.model_type} model neither fills in nor writes tokens", hint="take a language model as backbone"
    )


def describe(config: Any, *, length: int | None = None) -> dict[str, Any]:
    """What a network of this configuration is and costs, without making its weights.

    parameters: tied ones once. embedding_parameters: of tokens and positions. flops_per_token: of training, forward and
    backward, 6 for each weight that multiplies a token and 12 x layers x width x length for attention (Chowdhery et al.
    2022, appendix B), the product with the whole vocabulary among them; of an encoder-decoder for a token that is read
    and one that is written, half each. length: tokens of a text; None for all that it can read.
    """
    import torch

    with torch.device("meta"):
        model = network(config)
    length = length or int(config.max_position_embeddings)
    hidden = int(config.hidden_size)
    kind = architecture_of(config)
    layers = int(config.num_hidden_layers)
    weights = {id(weight): weight.numel() for weight in model.parameters()}
    tables = [part.weight for part in model.modules() if isinstance(part, torch.nn.Embedding)]
    embedding = sum(weight.numel() for weight in {id(weight): weight for weight in tables}.values())
    total, attended = sum(weights.values()), 12 * layers * hidden * length
    multiplied = total - embedding
    out = model.get_output_embeddings()
    tied = out is not None and any(out.weight is table for table in tables)
    multiplied += out.weight.numel() if tied else 0
    if kind == "encoder-decoder":
        # half the tokens pass the encoder, half the decoder and the vocabulary; layers are those of both halves
        attended = 12 * (int(config.encoder_layers) + 2 * int(config.decoder_layers)) * hidden * length // 2
        multiplied = multiplied // 2
    return {
        "architecture": kind,
        "layers": layers,
        "hidden": hidden,
        "parameters": total,
        "embedding_parameters": embedding,
        "flops_per_token": 6 * multiplied + attended,
        "length": length,
    }
