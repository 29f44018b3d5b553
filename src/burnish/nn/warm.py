"""A model that writes out of an encoder that only reads: a decoder of a few of its layers is put behind it.

The decoder's layers start as the encoder's, evenly taken, and its words as the encoder's words; what looks at the source is
new, and starts as the layer's look at its own text (Rothe, Narayan, Severyn 2020, "Leveraging pre-trained checkpoints for
sequence generation"). What comes out is a stock EncoderDecoderModel of transformers.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from burnish.core.errors import WeightsError
from burnish.nn.architectures import MARK
from burnish.nn.quiet import silent_loading
from burnish.nn.vocabulary import trim

FAMILIES = ("bert", "roberta", "xlm-roberta")  # whose layers transformers can make look at a source
WARM = "warm"  # the name in the mark of a folder


def only_reads(folder: str | Path) -> bool:
    """Whether a backbone folder holds an encoder, which cannot write as it is."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    config = AutoConfig.from_pretrained(folder)
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING
    return bool(masked and not config.is_encoder_decoder and not getattr(config, "is_decoder", False))


def is_warm(folder: str | Path) -> bool:
    """Whether a backbone folder holds weights of `warm`."""
    mark = Path(folder) / MARK
    return mark.is_file() and json.loads(mark.read_text("utf-8")).get("name") == WARM


@silent_loading()
def warm(folder: str | Path, encoder: str | Path, texts: Iterable[str], *, layers: int = 3, seed: int = 0) -> Path:
    """Write a backbone folder: the encoder, a decoder of `layers` of its layers behind it, and its tokenizer.

    texts: pieces of the vocabulary that they do not use are left out, but for single characters, for each token written
    costs a product with the whole vocabulary. Raises WeightsError for an encoder of another family.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer, EncoderDecoderModel, GenerationConfig

    folder, config = Path(folder), AutoConfig.from_pretrained(encoder)
    shutil.rmtree(folder, ignore_errors=True)
    if config.model_type not in FAMILIES:
        raise WeightsError(
            f"no decoder can be put behind {config.model_type}",
            where=str(encoder),
            hint=f"train.tune.backbone: an encoder of {', '.join(FAMILIES)}, a model that writes, or fresh",
        )
    small = folder / "encoder"
    trim(encoder, small, texts)
    known: Any = EncoderDecoderModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = known.from_encoder_decoder_pretrained(str(small), str(small))
        _shorten(model.decoder, layers)
    tokenizer = AutoTokenizer.from_pretrained(small)
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    named = {"decoder_start_token_id": start, "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    size = model.encoder.config
    sizes = ("vocab_size", "hidden_size", "max_position_embeddings")
    for name, value in {**named, **{one: getattr(size, one) for one in sizes}}.items():
        setattr(model.config, name, value)
    model.config.num_hidden_layers = size.num_hidden_layers + layers
    made: Any = GenerationConfig
    model.generation_config = made(**named)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(small)
    (folder / MARK).write_text(json.dumps({"name": WARM, "seed": seed}), "utf-8")
    return folder


def sketched(encoder: Any, *, layers: int = 3) -> Any:
    """The configuration of what `warm` writes behind an encoder of this configuration, with its whole vocabulary."""
    from transformers import EncoderDecoderConfig

    decoder = copy.deepcopy(encoder)
    decoder.num_hidden_layers = min(layers, encoder.num_hidden_layers)
    decoder.is_decoder = decoder.add_cross_attention = True
    made = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    for name in ("hidden_size", "intermediate_size", "num_attention_heads"):
        setattr(made, name, getattr(encoder, name))
    made.num_hidden_layers = encoder.num_hidden_layers + decoder.num_hidden_layers
    return made


def _shorten(decoder: Any, layers: int) -> None:
    """Keep `layers` of its layers, evenly taken, the last among them; each looks at the source as at its own text."""
    import torch

    stack = decoder.base_model.encoder
    whole = len(stack.layer)
    kept = [round((at + 1) * whole / layers) - 1 for at in range(min(layers, whole))]
    stack.layer = torch.nn.ModuleList([stack.layer[at] for at in kept])
    for at, layer in enumerate(stack.layer):
        layer.crossattention.load_state_dict(layer.attention.state_dict())
        for part in layer.modules():  # each keeps its values for the tokens written before under its own number
            if hasattr(part, "layer_idx"):
                part.layer_idx = at
    decoder.config.num_hidden_layers = len(stack.layer)
