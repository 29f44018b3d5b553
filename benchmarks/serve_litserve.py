"""The LitServe peer of serve.py: the same ONNX file, one worker of one thread per core, batches of up to 32."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import litserve as ls


class Classify(ls.LitAPI):
    def __init__(self, deploy: Path, **settings: Any) -> None:
        super().__init__(**settings)
        self.deploy = deploy

    def setup(self, device: str) -> None:
        import numpy as np
        import onnxruntime
        from tokenizers import Tokenizer

        card = json.loads((self.deploy / "burnish.json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.np, self.labels = np, card["task"]["labels"]
        self.session = onnxruntime.InferenceSession(str(self.deploy / "model.onnx"), options)
        self.inputs = [node.name for node in self.session.get_inputs()]
        self.tokenizer = Tokenizer.from_file(str(self.deploy / "tokenizer.json"))
        self.tokenizer.enable_truncation(card["max_length"])
        self.tokenizer.enable_padding()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation makes LitServe look for a model
        return request["inputs"][0]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, texts: list[str]) -> Any:
        encoded = self.tokenizer.encode_batch(texts)
        rows = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        feed = {name: self.np.array([getattr(e, rows[name]) for e in encoded]) for name in self.inputs}
        logits = self.session.run(None, feed)[0]
        scores = self.np.exp(logits - logits.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        scores = dict(zip(self.labels, map(float, output), strict=True))
        return {"predictions": [{"label": max(scores, key=scores.__getitem__), "scores": scores}]}


def run(deploy: Path, port: int, batch_timeout: float) -> None:
    api = Classify(deploy, max_batch_size=32, batch_timeout=batch_timeout, api_path="/v1/predict")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)))
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False, access_log=False)
