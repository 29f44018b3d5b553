"""A model small enough to be made in a test, whose answer can be worked out by hand, and a server that holds it.

The network: labels a, b, c; the score of a label is how often its letter stands alone among the tokens of the text.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

LABELS = ["a", "b", "c"]
VOCABULARY = {"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3, "c": 4, "甲": 5}

RUN = """
import sys, json
from burnish.serve.http import serve
settings = json.loads(sys.argv[2])
serve(json.loads(sys.argv[1]), port=0, on_ready=lambda address: print(address, flush=True), **settings)
"""


def make_model(folder: Path, *, name: str = "letters", delay: int = 0, labels: list[str] = LABELS) -> Path:
    """Write a deployed folder. delay: matrix products of 256 x 256 that every batch does for nothing, one by one."""
    folder.mkdir(parents=True)
    table = np.zeros((len(VOCABULARY), 3), np.float32)
    for row in range(3):
        table[row + 2, row] = 1.0
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["rows", "mask3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["counts"], keepdims=0),
    ]
    tensors = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    value = "counts"
    if delay:
        tensors.append(numpy_helper.from_array(np.eye(256, dtype=np.float32), "eye"))
        tensors.append(numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
        nodes.append(helper.make_node("ReduceMax", [value], ["top"], keepdims=0))
        nodes.append(helper.make_node("Mul", ["eye", "top"], ["w0"]))
        for step in range(delay):
            nodes.append(helper.make_node("MatMul", [f"w{step}", "eye"], [f"w{step + 1}"]))
        nodes.append(helper.make_node("ReduceMax", [f"w{delay}"], ["slow"], keepdims=0))
        nodes.append(helper.make_node("Mul", ["slow", "zero"], ["nothing"]))
        nodes.append(helper.make_node("Add", [value, "nothing"], ["out"]))
        value = "out"
    nodes.append(helper.make_node("Identity", [value], ["logits"]))
    inputs = [
        helper.make_tensor_value_info(each, TensorProto.INT64, ["batch", "sequence"])
        for each in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "letters", inputs, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    card = {
        "burnish": 1,
        "task": {"type": "classification", "labels": labels, "languages": ["en", "zh"]},
        "name": name,
        "version": "v-" + name,
        "max_length": 64,
        "temperature": 1.0,
        "format": "onnx",
    }
    (folder / "burnish.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


class Server:
    """A server in its own process."""

    def __init__(self, folders: list[Path], **settings: object) -> None:
        command = [sys.executable, "-c", RUN, json.dumps([str(folder) for folder in folders]), json.dumps(settings)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(self.process.communicate(timeout=10)[1])
        self.port = int(self.url.rsplit(":", 1)[1])

    def end(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.terminate()
        code = self.process.wait(20)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "letters")


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "slow", name="slow", delay=150)


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    other = make_model(tmp_path_factory.mktemp("models") / "other", name="other")
    started = Server([model, other], max_inputs=64, max_body_bytes=20_000)
    yield started
    started.end()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def begin(*folders: Path, **settings: object) -> Server:
        started.append(Server(list(folders), **settings))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.end()
