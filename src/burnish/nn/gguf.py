"""Turn a GGUF file of a llama model with a GPT-2 tokenizer into a transformers folder.

Dequantising is exact: a whole number times its block's scale, plus its block's minimum. What llama.cpp lays out
otherwise is put back: the rows of q and k, which it interleaves for its rotary positions. The result must answer a
question before it is accepted (`check`).

The file, little-endian: magic GGUF, version, number of tensors, number of facts; facts (name, type, value); tensors
(name, sides with the innermost first, type, offset); padding to 32; data. Blocks of 32 numbers: Q4_1 is float16 scale d
and minimum m with 16 bytes (low nibble element j, high nibble j + 16; q d + m), Q8_0 is d and 32 int8 (q d).
Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.core.errors import WeightsError

ALIGNMENT, BLOCK = 32, 32
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("nibbles", "u1", BLOCK // 2)])
_Q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", BLOCK)])
_CONTROL = 3  # the type of a token that is never made from text
_NAMES = {  # of a block -> transformers' LlamaForCausalLM
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
QUESTION, ANSWER = "What is the capital of France?", "Paris"


@dataclass(frozen=True)
class Source:
    """A GGUF file, mapped and not read: a tensor comes into memory when it is asked for."""

    data: mmap.mmap
    facts: dict[str, Any]
    directory: dict[str, tuple[tuple[int, ...], int, int]]  # name -> sides (outermost first), type, offset in the file

    def tensor(self, name: str) -> np.ndarray:
        """float32, of the sides the directory names."""
        sides, kind, offset = self.directory[name]
        count = int(np.prod(sides))
        if kind == 0:
            return np.frombuffer(self.data, "<f4", count, offset).reshape(sides).astype(np.float32)
        if kind == 1:
            return np.frombuffer(self.data, "<f2", count, offset).reshape(sides).astype(np.float32)
        if kind == 3:
            blocks = np.frombuffer(self.data, _Q4_1, count // BLOCK, offset)
            values = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], -1).astype(np.float32)
            values = values * blocks["scale"].astype(np.float32)[:, None] + blocks["least"].astype(np.float32)[:, None]
            return values.reshape(sides)
        if kind == 8:
            blocks = np.frombuffer(self.data, _Q8_0, count // BLOCK, offset)
            return (blocks["values"].astype(np.float32) * blocks["scale"].astype(np.float32)[:, None]).reshape(sides)
        raise WeightsError(f"{name} is quantised as GGUF type {kind}; read are F32, F16, Q4_1 and Q8_0")


def read(path: Path) -> Source:
    """Map the file and read its facts and its directory."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[:4] != b"GGUF":
        raise WeightsError(f"{path.name} is no GGUF file", hint="remove it and pull again")
    at = 4

    def take(form: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return value

    def text() -> str:
        nonlocal at
        length = take("Q")
        at += length
        return data[at - length : at].decode("utf-8")

    def value(kind: int) -> Any:
        if kind == _STRING:
            return text()
        if kind == _ARRAY:
            inner, count = take("I"), take("Q")
            return [value(inner) for _ in range(count)]
        return take(_NUMBERS[kind])

    try:
        take("I")
        tensors, facts_count = take("Q"), take("Q")
        facts = {}
        for _ in range(facts_count):
            name = text()
            facts[name] = value(take("I"))
        found = []
        for _ in range(tensors):
            name, sides = text(), tuple(take("Q") for _ in range(take("I")))
            found.append((name, sides[::-1], take("I"), take("Q")))
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path.name} is a broken GGUF file: {error}", hint="remove it and pull again") from error
    start = -(-at // ALIGNMENT) * ALIGNMENT
    return Source(data, facts, {name: (sides, kind, start + offset) for name, sides, kind, offset in found})


def convert(gguf: Path, folder: Path) -> None:
    """Write config.json, model.safetensors (bf16 holds the 4-bit numbers to 3 digits, so fp32) and the tokenizer."""
    from safetensors.numpy import save_file

    source = read(gguf)
    if source.facts.get("general.architecture") != "llama" or source.facts.get("tokenizer.ggml.model") != "gpt2":
        raise WeightsError(f"{gguf.name} is no llama model with a GPT-2 tokenizer")
    heads, key_heads = _fact(source, "attention.head_count"), _fact(source, "attention.head_count_kv")
    tensors = {}
    for name in source.directory:
        if name in _OUTSIDE:
            tensors[_OUTSIDE[name]] = source.tensor(name)
            continue
        _, layer, part, _ = name.split(".")
        value = source.tensor(name)
        if part in ("attn_q", "attn_k"):
            value = _uninterleaved(value, heads if part == "attn_q" else key_heads)
        tensors[f"model.layers.{layer}.{_NAMES[part]}.weight"] = value
    save_file(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    _write(folder / "config.json", _config(source, tied="output.weight" not in source.directory))
    _write_tokenizer(source, folder)


def _uninterleaved(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k as transformers has them: the first halves of a head's pairs, then the second halves."""
    half = value.shape[0] // heads // 2
    return value.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(value.shape)


def _fact(source: Source, name: str) -> Any:
    return source.facts[f"llama.{name}"]


def _config(source: Source, *, tied: bool) -> dict[str, Any]:
    facts, heads = source.facts, _fact(source, "attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _fact(source, "embedding_length"),
        "num_hidden_layers": _fact(source, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _fact(source, "attention.head_count_kv"),
        "intermediate_size": _fact(source, "feed_forward_length"),
        "max_position_embeddings": _fact(source, "context_length"),
        "rope_theta": _fact(source, "rope.freq_base"),
        "rms_norm_eps": round(_fact(source, "attention.layer_norm_rms_epsilon"), 9),
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
        "dtype": "float32",
    }


def _write_tokenizer(source: Source, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json: byte-level BPE, figures one by one, with the chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    facts = source.facts
    pieces: list[str] = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    kinds = facts["tokenizer.ggml.token_type"]
    control = [piece for piece, kind in zip(pieces, kinds, strict=True) if kind == _CONTROL]
    made.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in control])
    made.save(str(folder / "tokenizer.json"))
    named = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    tokens = {f"{ours}_token": pieces[facts[f"tokenizer.ggml.{theirs}_token_id"]] for ours, theirs in named.items()}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": _fact(source, "context_length"),
        "clean_up_tokenization_spaces": False,
        **tokens,
        "chat_template": facts["tokenizer.chat_template"],
    }
    _write(folder / "tokenizer_config.json", config)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), "utf-8")


def check(folder: Path, ask: Callable[[Path, str], str]) -> None:
    """Refuse a converted folder that does not know QUESTION; `ask` gives a model's greedy answer."""
    said = ask(folder, QUESTION)
    if ANSWER not in said:
        raise WeightsError(
            f"the converted model answers {QUESTION!r} with {said!r}; {ANSWER} was expected",
            where=str(folder),
            hint="the conversion is not to be trusted; report it with your versions of numpy and transformers",
        )
