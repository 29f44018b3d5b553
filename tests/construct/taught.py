"""A teacher on loopback that answers as a function says, and a backbone that knows words by their looks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[list[dict[str, str]]], str]


@contextmanager
def teacher(answer: Answer) -> Iterator[tuple[dict[str, Any], list[list[dict[str, str]]]]]:
    """A teacher setting, and the messages of every request it saw."""
    seen: list[list[dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"]
            seen.append(asked)
            choice = {"index": 0, "message": {"role": "assistant", "content": answer(asked)}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 5}
            body = json.dumps({"id": "x", "model": "stub", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield {"base_url": f"http://127.0.0.1:{server.server_port}/v1", "model": "stub"}, seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def backbone(folder: Path, texts: Sequence[str]) -> Path:
    """A BERT that averages random vectors of words, its vocabulary learnt of the texts: those that share words are near."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import AutoModel, BertConfig, BertTokenizerFast

    learner = BertWordPieceTokenizer(lowercase=True)
    learner.train_from_iterator(list(texts), vocab_size=600, min_frequency=1, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=600, hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
    with torch.no_grad():  # neither places nor neighbours count: the mean of a text's words is left
        model.embeddings.position_embeddings.weight.zero_()
        model.encoder.layer[0].attention.output.dense.weight.zero_()
        model.encoder.layer[0].output.dense.weight.zero_()
    model.save_pretrained(folder)
    return folder
