"""A model behind an endpoint that speaks OpenAI's chat completions: what it is, what it may cost, how it is asked."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from burnish.construct.teachers.family import TEACHERS
from burnish.core.stage import Count, Positive

Money = Annotated[float, Ge(0)]
Seconds = Annotated[float, Gt(0)]
Temperature = Annotated[float, Ge(0)]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")  # in capitals, as is the custom: what has small letters may be a key
PACE = ("concurrency", "timeout", "retries", "api_key_env")  # these change no answer


@TEACHERS.part("openai")
@dataclass(frozen=True)
class OpenAI:
    """A model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, burnish serve, the hosted ones).

    base_url: up to and with /v1. model: its name there.
    api_key_env: the environment variable that holds the key; a key itself never stands in a spec.
    max_cost: the most that all answers of this step may cost, in the money of the prices; it stops before it pays more.
    max_requests: the most requests. max_total_tokens: the most tokens, read and written.
    price_in: money for a million tokens read. price_out: for a million written; a server on this machine costs nothing.
    max_tokens: the most an answer may have. temperature: 0 for the likeliest answer, higher for variety.
    top_p: the share of likely words that are drawn from. seed: sent with every question, so that a server that can
        gives the same again.
    concurrency: the most requests in flight; fewer when the server says that it is too fast.
    timeout: seconds for one answer. retries: how often one question is tried again after a fault of server or network.
    structured: whether the server is held to the form of the answer; auto tries it, and says so when it cannot.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    max_cost: Money | None = None
    max_requests: Positive | None = None
    max_total_tokens: Positive | None = None
    price_in: Money | None = None
    price_out: Money | None = None
    max_tokens: Positive = 512
    temperature: Temperature = 0.0
    top_p: Annotated[float, Gt(0)] | None = None
    seed: Count | None = 0
    concurrency: Positive = 16
    timeout: Seconds = 120.0
    retries: Count = 6
    structured: bool = True

    name: ClassVar[str]
    pace: ClassVar[tuple[str, ...]] = PACE

    @property
    def local(self) -> bool:
        """Whether it runs on this machine, and so costs nothing."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def priced(self) -> bool:
        """Whether it is known what it costs."""
        return self.local or (self.price_in is not None and self.price_out is not None)

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Money for tokens read and written."""
        return (tokens_in * (self.price_in or 0.0) + tokens_out * (self.price_out or 0.0)) / 1e6

    def problems(self) -> list[tuple[str, str]]:
        """(message, hint) of what is wrong; never with a secret in it."""
        found = []
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            found.append(("base_url is no http address", 'base_url: "http://127.0.0.1:8000/v1"'))
        if parts.username or parts.password or parts.query:
            hint = "take them out; api_key_env names the environment variable that holds the key"
            found.append(("base_url holds credentials or a query", hint))
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            hint = "api_key_env: OPENAI_API_KEY, and the key in that variable, not in the spec"
            found.append(("api_key_env is no name of an environment variable", hint))
        if self.max_cost is not None and not self.priced:
            hint = "price_in and price_out, money for a million tokens; 0 for a server that costs nothing"
            found.append((f"max_cost cannot hold without the prices of {self.model}", hint))
        return found

    def identity(self) -> dict[str, Any]:
        """What an answer depends on, beside the messages: it is in the key of the cache."""
        wanted = ("base_url", "model", "max_tokens", "temperature", "top_p", "seed")
        return {name: getattr(self, name) for name in wanted} | {"base_url": self.base_url.rstrip("/")}
