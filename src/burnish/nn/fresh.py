"""A small model that writes, from nothing: random weights in a stock architecture, and a tokenizer learnt from the texts.

The tokenizer is BPE over words that keep the blank before them, Chinese runs and figures each for themselves; what it has
never seen is written as bytes, so that any text comes back as it went in (Sennrich et al. 2016; byte fallback as in
SentencePiece). The encoder-decoder is Pegasus' (norm first, fixed positions: it learns from scratch without care), the
decoder is llama's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from burnish.nn.conversations import CHATML
from burnish.nn.quiet import silent_loading
from burnish.text.scripts import UNSPACED_CLASS

PAD, END, UNKNOWN, TURN, TURN_END = "<pad>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, END, UNKNOWN, TURN, TURN_END)
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
POSITIONS = 1024
MARK = "backbone.json"  # beside every backbone of ours: what it is
LEARNT_CHARS = 20_000_000  # of the texts are enough to learn a vocabulary from


@silent_loading()
def fresh(
    folder: str | Path,
    texts: Iterable[str],
    *,
    architecture: str = "encoder-decoder",
    hidden: int = 256,
    layers: int = 3,
    vocabulary: int = 8000,
    seed: int = 0,
) -> Path:
    """Write a backbone folder: config, random weights, tokenizer learnt from `texts`.

    architecture: encoder-decoder or decoder.
    hidden: width, a multiple of 8; layers: of the decoder and, where there is one, as many of the encoder.
    vocabulary: pieces at most, those of 256 bytes among them; fewer where the texts have no more.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

    if architecture not in ("encoder-decoder", "decoder"):
        raise ValueError(f"architecture is encoder-decoder or decoder, not {architecture!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    learnt = learn_tokenizer(texts, vocabulary=vocabulary)
    family: Any = AutoModelForSeq2SeqLM if architecture == "encoder-decoder" else AutoModelForCausalLM
    end = END if architecture == "encoder-decoder" else TURN_END
    if architecture == "encoder-decoder":
        _end_with(learnt, END)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=learnt,
        pad_token=PAD,
        eos_token=end,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=POSITIONS,
        padding_side="right" if architecture == "encoder-decoder" else "left",
    )
    if architecture == "decoder":
        tokenizer.chat_template = CHATML
    config = _config(architecture, hidden=hidden, layers=layers, pieces=learnt.get_vocab_size())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / MARK).write_text(json.dumps({"name": "fresh", "seed": seed}), "utf-8")
    return folder


def is_fresh(folder: str | Path) -> bool:
    """Whether a backbone folder holds random weights of `fresh`."""
    mark = Path(folder) / MARK
    return mark.is_file() and json.loads(mark.read_text("utf-8")).get("name") == "fresh"


def _config(architecture: str, *, hidden: int, layers: int, pieces: int) -> Any:
    from transformers import LlamaConfig, PegasusConfig

    # about 64 numbers a head, and an even number of them, for rotary positions turn pairs
    heads = next(n for n in range(max(1, hidden // 64), 0, -1) if hidden % (2 * n) == 0)
    rows = -(-pieces // 8) * 8
    names: dict[str, Any] = {"vocab_size": rows, "pad_token_id": 0, "max_position_embeddings": POSITIONS}
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
            bos_token_id=None,
            eos_token_id=SPECIAL.index(TURN_END),
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
        eos_token_id=SPECIAL.index(END),
        forced_eos_token_id=None,
        decoder_start_token_id=0,
    )


def learn_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Any:
    """A `tokenizers.Tokenizer` that gives every text back as it was. vocabulary: pieces at most, special ones included."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

    empty = Tokenizer(models.BPE())
    # a Chinese or Japanese run, figures one by one, a word with the blank before it, marks, blanks
    pattern = rf"[{UNSPACED_CLASS}]+|\d| ?[^\W\d_{UNSPACED_CLASS}]+| ?[^\s\w]+|_+|\s"
    empty.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary, len(SPECIAL) + len(BYTES)),
        min_frequency=2,
        special_tokens=[*SPECIAL, *BYTES],
        limit_alphabet=max(64, vocabulary // 2),
        max_token_length=16,
        show_progress=False,
    )
    empty.train_from_iterator(_limited(texts), trainer=trainer)
    content = json.loads(empty.to_str())
    # the bytes are pieces like any other: a text that says <0x41> must not turn into an A
    content["added_tokens"] = []
    content["model"] |= {"byte_fallback": True, "unk_token": UNKNOWN, "fuse_unk": False}
    content["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    made = Tokenizer.from_str(json.dumps(content))
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return made


def _limited(texts: Iterable[str]) -> Iterator[str]:
    total = 0
    for text in texts:
        yield text
        total += len(text)
        if total >= LEARNT_CHARS:
            return


def _end_with(tokenizer: Any, token: str) -> None:
    """Put `token` behind every text."""
    from tokenizers import processors

    number = tokenizer.token_to_id(token)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {token}", pair=f"$A {token} $B {token}", special_tokens=[(token, number)]
    )
