"""What is written piece by piece is what is written at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from burnish.serve.batching import Full, Stopped
from burnish.serve.writing import Held, Piece, Sampling, Talk, Writer, write_pieces, write_whole


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("text", "stops", "kept"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("three", "two"), "one "),
        ("aab aaab", ("aaab",), "aab "),
        ("一二三四", ("三四",), "一二"),
        ("one tw", ("two",), "one tw"),
        ("one", (), "one"),
    ],
)
def test_text_ends_before_the_first_stop_however_it_comes(
    size: int, text: str, stops: tuple[str, ...], kept: str
) -> None:
    held, said, found = Held(stops), "", False
    for at in range(0, len(text), size):
        sure, found = held.add(text[at : at + size])
        said += sure
        if found:
            break
    assert said + ("" if found else held.rest) == kept


class Slow:
    """An engine that waits to be let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def chat(self, messages: Any, **sampling: Any) -> Any:
        self.go.wait(5)
        raise RuntimeError("no paper")


def test_a_full_writer_refuses_and_a_stopped_one_takes_nothing() -> None:
    engine, told = Slow(), []
    writer = Writer(engine, threading.Lock(), max_queue=1)
    turns = [{"role": "user", "content": "x"}]
    writer.submit(Talk(turns, Sampling(), told.append, whole=True))
    for _ in range(500):  # until the thread has taken the first
        if not writer.waiting:
            break
        threading.Event().wait(0.01)
    writer.submit(Talk(turns, Sampling(), told.append, whole=True))
    with pytest.raises(Full):
        writer.submit(Talk(turns, Sampling(), told.append))
    engine.go.set()
    writer.stop()
    assert [type(one) for one in told] == [RuntimeError, RuntimeError]
    with pytest.raises(Stopped):
        writer.submit(Talk(turns, Sampling(), told.append))


@pytest.mark.parametrize("architecture", ["decoder", "encoder-decoder"])
def test_a_real_network_streams_what_it_writes_whole(tmp_path: Path, architecture: str) -> None:
    generators = pytest.importorskip("burnish.nn.generators", exc_type=ImportError)
    from transformers import AutoTokenizer

    from burnish.nn.models import Head

    texts = ["the cat sat on the mat", "hello you there", "你好 世界 我们"] * 20
    backbone = generators.fresh(
        tmp_path / "backbone", texts, architecture=architecture, hidden=64, layers=2, vocabulary=340
    )
    made = generators.build(backbone, Head("generator"), seed=0)
    generators.save(made, tmp_path / "model", tokenizer=AutoTokenizer.from_pretrained(backbone))
    engine = generators.GeneratorEngine(tmp_path / "model")
    # an untrained network writes bytes that are no text, and those read differently in company: let it write words
    tokenizer = engine.tokenizer
    wild = [at for at in range(len(tokenizer)) if not tokenizer.decode([at]).isascii() and at != tokenizer.eos_token_id]
    wild += tokenizer.convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in range(256)])
    engine.network.generation_config.suppress_tokens = sorted({at for at in wild if at is not None})
    for prompt in ("the cat", [{"role": "user", "content": "你好"}]):
        for sampling in (Sampling(12, 0.0), Sampling(20, 1.0, 0.9, seed=3)):
            pieces: list[Piece] = []
            write_pieces(engine, Talk(prompt, sampling, pieces.append))
            whole = write_whole(engine, prompt, sampling)
            assert "".join(piece.text for piece in pieces) == whole.text
            assert (pieces[-1].finish, pieces[-1].read, pieces[-1].written) == (
                whole.finish,
                whole.read,
                whole.written,
            )
            cut = whole.text[3:5]
            stopped: list[Piece] = []
            write_pieces(engine, Talk(prompt, Sampling(12, 0.0, stop=(cut,)), stopped.append))
            assert cut not in "".join(piece.text for piece in stopped)


def test_whole_answers_that_wait_are_written_together_and_as_alone(tmp_path: Path) -> None:
    generators = pytest.importorskip("burnish.nn.generators", exc_type=ImportError)
    from transformers import AutoTokenizer

    from burnish.nn.models import Head

    texts = ["the cat sat on the mat", "hello you there"] * 20
    backbone = generators.fresh(
        tmp_path / "backbone", texts, architecture="decoder", hidden=64, layers=2, vocabulary=340
    )
    made = generators.build(backbone, Head("generator", (), {"generation": {"temperature": 0.0}}), seed=0)
    generators.save(made, tmp_path / "model", tokenizer=AutoTokenizer.from_pretrained(backbone))
    engine = generators.GeneratorEngine(tmp_path / "model")
    prompts = ["the cat", [{"role": "user", "content": "hello"}], "you there on the mat", "mat"]
    alone = [write_whole(engine, one, Sampling(9, 0.0)) for one in prompts]
    batches: list[int] = []
    plain = engine.replies

    def counted(some: Any, **sampling: Any) -> Any:
        batches.append(len(some))
        return plain(some, **sampling)

    engine.replies = counted
    engine.read, read = (lambda one: refuse() if one == "!" else read(one)), engine.read

    def refuse() -> Any:
        raise ValueError("a template refuses this")

    busy = threading.Lock()
    writer = Writer(engine, busy, max_queue=20)
    told: list[list[Any]] = [[] for _ in range(9)]
    with busy:  # whoever comes first waits here, the others behind it
        writer.submit(Talk("the", Sampling(2, 0.0), told[8].append, whole=True))
        for _ in range(500):
            if not writer.waiting:
                break
            threading.Event().wait(0.01)
        for at, prompt in enumerate(prompts):
            writer.submit(Talk(prompt, Sampling(9, seed=at), told[at].append, whole=True))  # it draws nothing by itself
        writer.submit(Talk("the", Sampling(9, 1.0), told[4].append, whole=True))  # drawn by chance
        writer.submit(Talk("the", Sampling(5), told[5].append, whole=True))  # of another length
        writer.submit(Talk("the", Sampling(9), told[6].append))  # piece by piece
        writer.submit(Talk("!", Sampling(9, seed=1), told[7].append, whole=True))
    writer.stop()
    assert [one[0] for one in told[:4]] == alone
    assert 4 in batches and all(told) and isinstance(told[7][0], ValueError)
    assert [told[at][-1].finish for at in (4, 5, 6)] == ["length"] * 3
