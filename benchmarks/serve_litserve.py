"""The LitServe peers of serve.py: the same ONNX file and tokenizer, one worker of one thread per core, batches of up to 32."""

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
        self.tags = (card.get("head") or {}).get("labels")  # of a tagger: O, B-PER, I-PER, ...
        self.session = onnxruntime.InferenceSession(str(self.deploy / "model.onnx"), options)
        self.inputs = [node.name for node in self.session.get_inputs()]
        self.tokenizer = Tokenizer.from_file(str(self.deploy / "tokenizer.json"))
        self.tokenizer.enable_truncation(card["max_length"])
        self.tokenizer.enable_padding()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation makes LitServe look for a model
        return request["inputs"][0]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def logits(self, texts: list[str]) -> tuple[list[Any], Any]:
        """The encoded texts, and what the network says of them, (n, labels) or (n, tokens, tags)."""
        encoded = self.tokenizer.encode_batch(texts)
        rows = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        feed = {name: self.np.array([getattr(e, rows[name]) for e in encoded]) for name in self.inputs}
        return encoded, self.session.run(None, feed)[0]

    def shares(self, logits: Any) -> Any:
        scores = self.np.exp(logits - logits.max(-1, keepdims=True))
        return scores / scores.sum(-1, keepdims=True)

    def predict(self, texts: list[str]) -> Any:
        return self.shares(self.logits(texts)[1])

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        scores = dict(zip(self.labels, map(float, output), strict=True))
        return {"predictions": [{"label": max(scores, key=scores.__getitem__), "scores": scores}]}


class Tag(Classify):
    """A word has the tag of its first token, as the pipeline of transformers reads it (aggregation_strategy="first")."""

    def predict(self, texts: list[str]) -> Any:
        encoded, logits = self.logits(texts)
        shares = self.shares(logits)
        best = shares.argmax(-1)
        return [
            self.spans(text, one, tags.tolist(), sure)
            for text, one, tags, sure in zip(texts, encoded, best, shares.max(-1).tolist(), strict=True)
        ]

    def spans(self, text: str, encoded: Any, best: list[int], sure: list[float]) -> list[dict[str, Any]]:
        """B begins a span and so does I of another type; a word goes on with its span when it says I of the same."""
        made: list[dict[str, Any]] = []
        word, open_label = None, ""
        for at, (of, (start, end)) in enumerate(zip(encoded.word_ids, encoded.offsets, strict=True)):
            if of is None:
                continue
            if of == word:
                if open_label:
                    made[-1]["end"] = end
                continue
            word = of
            begin, _, label = self.tags[best[at]].partition("-")
            if label and begin == "I" and label == open_label:
                made[-1] |= {"end": end, "score": min(made[-1]["score"], sure[at])}
            elif label:
                made.append({"start": start, "end": end, "label": label, "score": sure[at]})
            open_label = label
        return [{**one, "text": text[one["start"] : one["end"]]} for one in made]

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"predictions": [{"spans": output}]}


APIS = {"classification": Classify, "tagging": Tag}


def run(deploy: Path, port: int, batch_timeout: float) -> None:
    task = json.loads((deploy / "burnish.json").read_text("utf-8"))["task"]["type"]
    api = APIS[task](deploy, max_batch_size=32, batch_timeout=batch_timeout, api_path="/v1/predict")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)))
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False, access_log=False)
