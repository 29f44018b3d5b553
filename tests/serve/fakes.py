"""Models that answer by a rule, one of every shape of answer, behind the real server."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from burnish.core.stage import TaskSpec
from burnish.nn.examples import Examples
from burnish.tasks import base
from burnish.tasks.predictor import Predictor


class Ruled(base.Task):
    """A task whose answers come of a rule on the input."""

    name = "ruled"
    target = ()
    figure = "none"

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    problem = encode = examples = head = objective = decode = tally = figures = prompt = None  # type: ignore[assignment]


class Names(Ruled):
    reads = ("text",)

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        kinds = {"Marie Curie": "PER", "Warsaw": "LOC", "University of Warsaw": "ORG", "鲁迅": "PER", "绍兴": "LOC"}
        spans = [
            {"start": at.start(), "end": at.end(), "label": kind, "text": name, "score": 0.97}
            for name, kind in kinds.items()
            for at in re.finditer(name, given["text"])
        ]
        return {"spans": sorted(spans, key=lambda one: (one["start"], -one["end"]))}


class Relations(Ruled):
    reads = ("text", "spans")

    def input(self, given: Any) -> dict[str, Any]:
        made = super().input(given)
        if not made["spans"]:
            raise ValueError("spans are missing")
        return made

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [{"head": 0, "tail": 1, "label": "born_in", "score": 0.91}] if len(given["spans"]) > 1 else []
        return {"relations": found, "spans": given["spans"]}


class Questions(Ruled):
    def input(self, given: Any) -> dict[str, Any]:
        if isinstance(given, dict):
            names = {"question": "text", "context": "text_b"}
            given = {names.get(name, name): value for name, value in given.items()}
        made = super().input(given)
        if not made["text_b"]:
            raise ValueError("context is missing or empty")
        return made

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        found = re.search(r"\d{4}", given["text_b"])
        if not found:
            return {"text": "", "score": 0.8}
        return {"text": found.group(), "start": found.start(), "end": found.end(), "score": 0.93}


class Ranks(Ruled):
    def input(self, given: Any) -> dict[str, Any]:
        if not isinstance(given, dict) or "candidates" not in given:
            raise ValueError('give {"query", "candidates": [...]}')
        return super().input({"text": given.get("query", given.get("text"))}) | {"candidates": given["candidates"]}

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = set(given["text"].lower().split())
        scores = [len(asked & set(one.lower().split())) / len(asked) for one in given["candidates"]]
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        return {"ranking": [{"index": at, "text": given["candidates"][at], "score": scores[at]} for at in order]}


class Vectors(Ruled):
    reads = ("text",)

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"text": given["text"], "score": 1.0, "ranking": []}


class Several(Ruled):
    reads = ("text",)

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        scores = {"good": 0.8, "bad": 0.2}
        return {"tone": {"label": "good", "score": 0.8, "scores": scores}, "names": Names(self.spec).answer(given)}


class Chat(Ruled):
    reads = ("messages", "text")
    engine = "generator"

    def input(self, given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            return {"messages": [{"role": "user", "content": given}], "text": given}
        if not isinstance(given.get("messages"), list):
            raise ValueError("messages is missing or empty")
        return {"messages": given["messages"], "text": None}

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"text": Reader.reply_to(given["messages"][-1]["content"])}


class Reader:
    """An engine whose tokens are words; as a generator it says back what was said, word by word."""

    max_length = 64
    reads_first = True  # it reads the last message, so that no template is needed
    draws = False
    pause_s = 0.0
    writing = 0  # how many streams are being written at this moment
    network = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=0))

    def __init__(self) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = [
            "[END]",
            "[UNK]",
            *[
                "you",
                "said",
                ":",
                "the",
                "a",
                "cat",
                "sat",
                "on",
                "mat",
                "one",
                "two",
                "three",
                "four",
                "five",
                "hello",
                "你",
                "好",
            ],
        ]
        self.tokenizer: Any = Tokenizer(
            models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]")
        )
        self.tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer.add_special_tokens(["[END]"])
        self.written: list[int] = []

    @staticmethod
    def reply_to(text: str) -> str:
        return "you said : " + text

    def outputs(self, examples: Examples) -> Any:
        made = [None] * len(examples)
        for rows, some in self.stream(examples):
            for row, one in zip(rows, some, strict=True):
                made[row] = one
        return made

    def stream(
        self, examples: Examples, *, streamer: Any = None, max_new_tokens: int | None = None, **settings: Any
    ) -> Iterator[tuple[Sequence[int], Any]]:
        if streamer is None:  # as an encoder: the vector of a text is how often each of eight tokens is in it
            tokens = [examples.tokens[examples.window(at)] for at in range(len(examples))]
            counts = np.array([np.bincount(one, minlength=40)[2:10] for one in tokens], np.float32)
            yield list(range(len(examples))), counts
            return
        import torch

        ids = self.tokenizer.encode("you said :").ids + examples.tokens.tolist()
        limit = max_new_tokens or 20
        streamer.put(torch.tensor([[0]]))  # what an encoder-decoder begins with
        Reader.writing += 1
        try:
            for token in [*ids, 0][:limit]:
                time.sleep(self.pause_s)
                streamer.put(torch.tensor([token]))
            streamer.end()
        finally:
            Reader.writing -= 1
        yield [0], [ids[:limit]]

    def read(self, prompt: Any) -> Examples:
        from burnish.nn.examples import encode

        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        return encode([text], self.tokenizer, max_length=self.max_length)

    def replies(self, prompts: Sequence[Examples], **sampling: Any) -> list[Any]:
        return [self.complete(self.tokenizer.decode(one.tokens.tolist()), **sampling) for one in prompts]

    def chat(self, messages: Any, **sampling: Any) -> Any:
        return self.complete(messages[-1]["content"], **sampling)

    def complete(self, prompt: str, *, max_tokens: int | None = None, stop: Any = (), **sampling: Any) -> Any:
        if prompt == "refuse":
            raise ValueError("the template wants a user's turn first")
        words = self.reply_to(prompt).split()
        cut = words[:max_tokens]
        text = " ".join(cut)
        found = min((at for one in stop if (at := text.find(one)) >= 0), default=None)
        reason = "length" if len(cut) < len(words) and found is None else "stop"
        return SimpleNamespace(
            text=text[:found], prompt_tokens=len(prompt.split()), completion_tokens=len(cut), finish_reason=reason
        )


class Fake(Predictor):
    """A Predictor over such a task."""

    def __init__(self, task: type[Ruled], name: str, *, labels: Sequence[str] = (), head: str = "sequence") -> None:
        spec = {"type": name, "labels": list(labels), "languages": ["en", "zh"]}
        self.task = task(TaskSpec(name, tuple(labels), {}, ("en", "zh"), {}))
        self.info = {"task": spec, "head": {"kind": head}, "max_length": 64}
        self.name, self.version, self.folder, self.labels = name, "v1", Path("nowhere") / name, list(labels)
        self.engine = Reader()

    def stream(self, inputs: Sequence[dict[str, Any]]) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
        for at in reversed(range(len(inputs))):  # in an order of its own, as engines do
            yield [at], [self.task.answer(inputs[at])]  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Named:
    task: type[Ruled]
    labels: tuple[str, ...] = ()
    head: str = "sequence"


MODELS = {
    "tagging": Named(Names, ("PER", "LOC", "ORG")),
    "relation_extraction": Named(Relations, ("born_in",)),
    "question_answering": Named(Questions),
    "ranking": Named(Ranks),
    "embedding": Named(Vectors, head="embedding"),
    "multitask": Named(Several),
    "chat": Named(Chat, head="generator"),
}


def models(*names: str) -> list[Fake]:
    """Fakes by name, all where none is named."""
    return [
        Fake(one.task, name, labels=one.labels, head=one.head)
        for name, one in MODELS.items()
        if name in names or not names
    ]


if __name__ == "__main__":
    from burnish.serve.http import serve

    Reader.pause_s = float(sys.argv[1])
    serve([*sys.argv[2:], *models()], port=0, on_ready=lambda address: print(address, flush=True))
