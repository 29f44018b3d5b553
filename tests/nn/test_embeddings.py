"""Texts to vectors: what they must equal, what the cache may and may not do."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from burnish.core.errors import BurnishError, WeightsError
from burnish.core.progress import Silent
from burnish.nn import embeddings
from burnish.nn.embeddings import centre, embed

TEXTS = ["a good film", "", "the story was very dull .", "很好的酒店", "书很差", "a good film", "zzz " * 80, "good"]


def plain(texts: list[str], folder: Path, max_length: int = 64) -> np.ndarray:
    """The definition, one text at a time and in fp32."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        read = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            mean = model(**read).last_hidden_state[0].mean(0)
        rows.append((mean / mean.norm()).numpy())
    return np.array(rows)


def test_vectors_are_the_mean_over_real_tokens_in_input_order(tiny_backbone: Path) -> None:
    vectors = embed(TEXTS, tiny_backbone, cache=None, progress=Silent())
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors * plain(TEXTS, tiny_backbone)).sum(axis=1).min() > 0.999


def test_fp32_is_used_where_bf16_moves_vectors(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "LEAST_COSINE", 1.01)
    vectors = embed(TEXTS, tiny_backbone, cache=None, progress=Silent())
    assert np.allclose(vectors, plain(TEXTS, tiny_backbone), atol=1e-5)


def test_a_cached_text_is_never_embedded_again(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed(TEXTS, tiny_backbone, cache=tmp_path, progress=Silent())

    def refuse(*_: object) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(embeddings, "_Encoder", refuse)
    again = embed(list(reversed(TEXTS)), tiny_backbone, cache=tmp_path, progress=Silent())
    assert (again[::-1] == first).all()


def test_equal_texts_cost_once(tiny_backbone: Path, tmp_path: Path) -> None:
    embed(["good"] * 50 + ["bad"], tiny_backbone, cache=tmp_path, progress=Silent())
    (file,) = (tmp_path / "embeddings").glob("*.sqlite")
    assert sqlite3.connect(file).execute("SELECT count(*) FROM vectors").fetchone() == (2,)


def test_another_length_prefix_or_weight_is_another_vector(tiny_backbone: Path, tmp_path: Path) -> None:
    def one(folder: Path, **settings: object) -> np.ndarray:
        return embed(["the story was very dull"], folder, cache=tmp_path, progress=Silent(), **settings)[0]  # type: ignore[arg-type]

    whole = one(tiny_backbone)
    assert not np.allclose(whole, one(tiny_backbone, max_length=4))
    assert not np.allclose(whole, one(tiny_backbone, prefix="query: "))
    other = tmp_path / "other"
    shutil.copytree(tiny_backbone, other)
    (other / "backbone.json").write_text(json.dumps({"prefix": "query: "}), "utf-8")
    assert np.allclose(one(other), one(tiny_backbone, prefix="query: "), atol=1e-2)


def test_a_killed_run_ends_with_the_same_bits(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "CHUNK", 4)
    texts = [f"the {one} film" for one in "abcdefghijkl"]
    whole = embed(texts, tiny_backbone, cache=tmp_path / "a", progress=Silent())
    real = embeddings._Cache.put
    calls = []

    def die(self: embeddings._Cache, made: dict[bytes, np.ndarray]) -> None:
        calls.append(len(made))
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(self, made)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings._Cache, "put", die)
        with pytest.raises(KeyboardInterrupt):
            embed(texts, tiny_backbone, cache=tmp_path / "b", progress=Silent())
    resumed = embed(texts, tiny_backbone, cache=tmp_path / "b", progress=Silent())
    assert (whole == resumed).all()


def _worker(folder: Path, cache: Path, texts: list[str]) -> None:
    embed(texts, folder, cache=cache, progress=Silent())


def test_two_processes_may_write_at_once(tiny_backbone: Path, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    texts = [f"good {a} {b}" for a in "abcdefgh" for b in "abcdefgh"]
    both = [spawn.Process(target=_worker, args=(tiny_backbone, tmp_path, part)) for part in (texts, texts[::-1])]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    vectors = embed(texts, tiny_backbone, cache=tmp_path, progress=Silent())
    assert (vectors * embed(texts, tiny_backbone, cache=None, progress=Silent())).sum(axis=1).min() > 0.999


def test_a_damaged_cache_says_what_to_do(tiny_backbone: Path, tmp_path: Path) -> None:
    embed(["good"], tiny_backbone, cache=tmp_path, progress=Silent())
    (file,) = (tmp_path / "embeddings").glob("*.sqlite")
    file.write_bytes(b"no database at all " * 100)
    with pytest.raises(BurnishError, match="delete that file"):
        embed(["good"], tiny_backbone, cache=tmp_path, progress=Silent())


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        embed(["good"], tmp_path, cache=None, progress=Silent())


def test_a_folder_of_two_models_is_refused(tiny_backbone: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(tiny_backbone, tmp_path / "half")
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, tmp_path / "half" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 of its tensors, encoder\.layer\.1\.output\.dense\.weight"):
        embed(["good"], tmp_path / "half", cache=None, progress=Silent())


def test_no_texts_give_no_rows(tiny_backbone: Path) -> None:
    assert embed([], tiny_backbone, cache=None, progress=Silent()).shape == (0, 32)


def test_cached_texts_do_not_wake_torch(tiny_backbone: Path, tmp_path: Path) -> None:
    embed(["good"], tiny_backbone, cache=tmp_path, progress=Silent())
    said = (
        "import sys; from pathlib import Path; from burnish.nn.embeddings import embed;"
        "from burnish.core.progress import Silent;"
        f"embed(['good'], Path({str(tiny_backbone)!r}), cache=Path({str(tmp_path)!r}), progress=Silent());"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_centring_opens_a_narrow_cone() -> None:
    random = np.random.default_rng(0)
    narrow = random.normal(size=(200, 16)) * 0.1 + 1
    narrow /= np.linalg.norm(narrow, axis=1, keepdims=True)
    assert (narrow @ narrow.T).min() > 0.9
    opened = centre(narrow.astype(np.float32))
    assert np.allclose(np.linalg.norm(opened, axis=1), 1, atol=1e-4) and (opened @ opened.T).min() < -0.5
