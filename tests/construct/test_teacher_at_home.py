"""burnish asks burnish: a generator behind our own server, which knows neither forms nor log probabilities, as the teacher."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from burnish.construct.teachers import OpenAI, Question, ask
from burnish.core.progress import Silent
from burnish.core.stage import Context

RUN = """
import sys
from burnish.serve.http import serve
serve([sys.argv[1]], port=0, on_ready=lambda address: print(address, flush=True))
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small untrained decoder that our server answers with."""
    from transformers import AutoTokenizer

    from burnish.nn import generators
    from burnish.nn.models import Head

    folder = tmp_path_factory.mktemp("served")
    texts = ["the cat sat on the mat", "hello you there", "你好 世界 我们"] * 20
    backbone = generators.fresh(folder / "backbone", texts, architecture="decoder", hidden=32, layers=1, vocabulary=340)
    generators.save(
        generators.build(backbone, Head("generator"), seed=0),
        folder / "model",
        tokenizer=AutoTokenizer.from_pretrained(backbone),
    )
    task = {"type": "chat", "labels": [], "descriptions": {}, "languages": ["en"]}
    card = {"name": "tiny", "version": "1", "task": task, "max_length": 256, "head": {"kind": "generator"}}
    (folder / "model" / "burnish.json").write_text(json.dumps(card), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder / "model")], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    address = process.stdout.readline().strip()
    assert address.startswith("http")
    yield f"{address}/v1"
    process.terminate()
    process.communicate(timeout=20)


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, message: str) -> None:
        self.lines.append(message)


def test_our_own_server_is_asked_without_what_it_does_not_know(served: str, context: Context) -> None:
    told = Told()
    schema = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}}
    questions = [Question(str(i), [{"role": "user", "content": f"the cat {i}"}], schema=schema) for i in range(6)]
    asking = ask(
        OpenAI(served, "tiny", max_tokens=5, seed=1, concurrency=4),
        questions,
        context=replace(context, progress=told),
        name="t",
        read=lambda text, _: text,
        logprobs=True,
    )
    replies = list(asking)
    assert [reply.key for reply in replies] == [str(i) for i in range(6)]
    assert all(reply.tokens_in > 0 and reply.confidence is None for reply in replies)
    assert asking.weather["answered"] >= 6
    said = "\n".join(told.lines)
    assert "refuses" in said and "response_format" in said and "logprobs" in said
