"""A decoder behind an encoder that only reads: what it starts as, what stays of the vocabulary, that it learns and is kept."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from burnish.core.errors import WeightsError
from burnish.core.progress import Silent
from burnish.nn.architectures import config, make
from burnish.nn.examples import encode
from burnish.nn.fresh import fresh
from burnish.nn.generation_objectives import NextToken
from burnish.nn.generators import GeneratorEngine, build, save
from burnish.nn.loop import fit
from burnish.nn.models import Head
from burnish.nn.pieces import learn
from burnish.nn.training import Training, settle
from burnish.nn.warm import is_warm, only_reads, warm

WORDS = ["cat", "dog", "mat", "sat", "ran", "hat", "sun"]
HEAD = Head("generator", (), {"generation": {"max_new_tokens": 12}})


def lines(count: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 4))) for _ in range(count)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    texts = [*lines(200), *(["never read again elsewhere"] * 20)]
    tokenizer = learn(texts, kind="wordpiece", vocabulary=120, architecture="encoder")
    size = config("encoder", "4x64", vocabulary=len(tokenizer), positions=64, tokenizer=tokenizer)
    return make(tmp_path_factory.mktemp("encoder"), size, tokenizer, seed=0)


def test_it_starts_as_the_encoder_says(encoder: Path, tmp_path: Path) -> None:
    made = build(warm(tmp_path / "x", encoder, lines(50), layers=2, seed=0), HEAD, seed=0)
    read = AutoModel.from_pretrained(encoder)
    ours = made.plain.decoder.bert.encoder.layer
    assert len(ours) == 2 and made.start == "behind an encoder" and made.reads_first
    for at, source in enumerate((1, 3)):  # every second of four, the last among them
        theirs = read.encoder.layer[source]
        assert torch.equal(ours[at].output.dense.weight, theirs.output.dense.weight)
        assert torch.equal(ours[at].crossattention.self.query.weight, theirs.attention.self.query.weight)
    tokenizer, before = AutoTokenizer.from_pretrained(tmp_path / "x"), AutoTokenizer.from_pretrained(encoder)
    assert "never" in before.get_vocab() and "never" not in tokenizer.get_vocab()
    for words in ("the cat sat", "dog"):
        inside = tokenizer(words)["input_ids"], before(words)["input_ids"]
        assert [tokenizer.decode([one]) for one in inside[0]] == [before.decode([one]) for one in inside[1]]
        rows = made.plain.encoder.get_input_embeddings().weight[inside[0]]
        assert torch.equal(rows, read.get_input_embeddings().weight[inside[1]])
    again = warm(tmp_path / "y", encoder, lines(50), layers=2, seed=0)
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "x/model.safetensors").read_bytes()


def test_it_learns_is_kept_and_writes_the_same_alone_and_in_company(encoder: Path, tmp_path: Path) -> None:
    said = lines(120)
    folder = warm(tmp_path / "x", encoder, said, layers=2, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = build(folder, HEAD, seed=0)
    examples = replace(encode(said, tokenizer, max_length=32), output=encode(said, tokenizer, max_length=32))
    settings = Training(epochs=14, learning_rate=3e-3, batch_tokens=128, precision="fp32")
    history = fit(
        model, examples, None, settings=settings, scratch=None, progress=Silent(), seed=0, objective=NextToken()
    )
    assert history.losses[-1] < 0.8 < 2 < history.losses[0]
    save(model, tmp_path / "model", tokenizer=tokenizer)
    assert not is_warm(tmp_path / "model") and is_warm(folder)
    engine, asked = GeneratorEngine(tmp_path / "model"), said[:5]
    for beams in (1, 3):
        alone = [engine.complete(one, temperature=0.0, num_beams=beams).text for one in asked]
        together = engine.replies([engine.read(one) for one in asked], temperature=0.0, num_beams=beams)
        assert [one.text for one in together] == alone
    assert sum(a == b for a, b in zip(alone, asked, strict=True)) >= 2  # it has learnt where to look


def test_which_folders_only_read(encoder: Path, tmp_path: Path) -> None:
    for shape in ("decoder", "encoder-decoder"):
        made = fresh(tmp_path / shape, WORDS, architecture=shape, hidden=32, layers=1, vocabulary=300)
        assert not only_reads(made) and not is_warm(made)
    assert only_reads(encoder)


def test_another_family_is_refused_with_what_would_do(tmp_path: Path) -> None:
    from transformers import MPNetConfig

    MPNetConfig().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no decoder can be put behind mpnet"):
        warm(tmp_path / "x", tmp_path, WORDS)


def test_what_is_put_behind_learns_longer_than_what_is_whole(encoder: Path) -> None:
    said = lines(300)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    read = encode(said, tokenizer, max_length=32)
    pairs = replace(read, output=read)
    asked = {"train": pairs, "hidden": 384, "layers": 15}
    whole, behind = (settle(Training(), start=start, **asked)[0] for start in ("pretrained", "behind an encoder"))
    assert behind.epochs > whole.epochs and behind.learning_rate == 3e-4 > whole.learning_rate
    # from nothing: five million tokens at most, and never fewer than five passes
    assert settle(Training(), train=pairs, hidden=256, layers=3, start="nothing")[0].epochs == 51
