"""What goes over the wire to a server that speaks OpenAI's chat completions, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.construct.teachers.endpoint import OpenAI
from burnish.construct.teachers.memory import Answer, Sum
from burnish.construct.teachers.sureness import TOP, sureness


@dataclass(frozen=True)
class Request:
    """What goes over the wire. key: of the cache, and of idempotency for servers that know that."""

    key: str
    messages: Sequence[Mapping[str, str]]
    schema: Mapping[str, Any] | None
    sample: int = 0

    def worst(self, teacher: OpenAI) -> Sum:
        """The most it can cost: no tokenizer makes more tokens than bytes, and a template adds a few to each message."""
        read = 256 + sum(16 + len(turn["content"].encode("utf-8", "replace")) for turn in self.messages)
        read += len(json.dumps(self.schema, ensure_ascii=False).encode()) if self.schema else 0
        return Sum(1, read + teacher.max_tokens, teacher.cost(read, teacher.max_tokens))

    def body(self, teacher: OpenAI, dropped: frozenset[str]) -> dict[str, Any]:
        """As OpenAI's servers take it, less what is not to be sent."""
        body: dict[str, Any] = {"model": teacher.model, "messages": [dict(turn) for turn in self.messages]}
        most = "max_completion_tokens" if "max_tokens" in dropped else "max_tokens"
        body |= {most: teacher.max_tokens, "temperature": teacher.temperature, "logprobs": True}
        body |= {name: value for name in ("top_p", "seed") if (value := getattr(teacher, name)) is not None}
        if self.sample and teacher.seed is not None:
            body["seed"] = teacher.seed + self.sample
        if self.schema:
            form = {"name": "answer", "schema": dict(self.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if "logprobs" not in dropped:
            body["top_logprobs"] = TOP
        return {name: value for name, value in body.items() if name not in dropped}


@dataclass
class Fault:
    """Why a request brought no answer.

    paid: maybe. counts: as one of the tries. told: the server said how long to wait. end: raised, for trying again is of no
    use. guess: settings that may be why.
    """

    said: str
    paid: bool = False
    too_fast: bool = False
    counts: bool = True
    told: bool = False
    end: Exception | None = None
    guess: frozenset[str] = frozenset()


def read_answer(body: Any, request: Request, teacher: OpenAI) -> Answer | Fault:
    """The answer in the body of a chat completion."""
    try:
        choice = body["choices"][0]
        said = choice["message"]
        text = said.get("content") or ""
        if not isinstance(text, str):  # some servers send a list of parts
            text = "".join(part.get("text", "") for part in text)
        text = text.encode("utf-8", "replace").decode()  # half an emoji, cut at max_tokens, has no place in a file
        usage = body.get("usage") or {}
        finish = "refusal" if said.get("refusal") else str(choice.get("finish_reason") or "stop")
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        sure = sureness(text, tokens, request.schema) if tokens else None
        worst = request.worst(teacher).tokens - teacher.max_tokens
        return Answer(
            text or str(said.get("refusal") or ""),
            finish,
            str(body.get("model") or "") or None,
            int(usage.get("prompt_tokens") or worst),
            int(
                usage["completion_tokens"]
                if "completion_tokens" in usage
                else min(len(text.encode()), teacher.max_tokens)
            ),
            float(usage["cost"]) if isinstance(usage.get("cost"), int | float) else None,
            *(sure or (None, None)),
        )
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        return Fault("broken answer: it is not what OpenAI's servers send", paid=True)


def message_of(body: Any, response: Any) -> str:
    """What a server says went wrong, in a line."""
    said = body.get("error", body) if isinstance(body, dict) else response.text
    if isinstance(said, dict):
        said = " ".join(str(said[name]) for name in ("message", "code", "param", "detail") if said.get(name)) or str(
            said
        )
    return " ".join(str(said).split())[:500]
