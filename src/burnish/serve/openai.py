"""OpenAI's endpoints over models of ours: chat and completions of generators, embeddings of encoders that make vectors.

A request may say everything that has its neutral value; what would change the answer and is not done here is an error,
never ignored.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.serve.bodies import ApiError, as_json, error_response, openai_error, read_json
from burnish.serve.inputs import ascii_of
from burnish.serve.models import ServedModel
from burnish.serve.protocol import Request, Response
from burnish.serve.writing import TOGETHER, Messages, Piece, Sampling, Talk

if TYPE_CHECKING:
    from burnish.serve.api import Api, Route

log = logging.getLogger("burnish.serve")

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MAX_STOPS = 4
# Settings of OpenAI's that nothing here does, with the values that mean nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
IGNORED = {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"}  # they change no answer
SAMPLING = {"max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream", "stream_options"}


def routes(api: Api) -> list[Route]:
    """Chat, completions, embeddings."""
    from burnish.serve.api import Route

    asked = OpenAI(api)
    return [
        Route("POST", "/v1/chat/completions", asked.chat, shape=openai_error),
        Route("POST", "/v1/completions", asked.complete, shape=openai_error),
        Route("POST", "/v1/embeddings", asked.embed, shape=openai_error),
    ]


@dataclass(frozen=True)
class Style:
    """How chat and completions differ in what they send. first, more, last: of a stream; whole: of an answer."""

    prefix: str
    kind: str
    kind_of_chunk: str
    whole: Callable[[str], dict[str, Any]]
    piece: Callable[[str], dict[str, Any]]
    first: dict[str, Any] | None = None
    last: dict[str, Any] | None = None


CHAT = Style(
    "chatcmpl-",
    "chat.completion",
    "chat.completion.chunk",
    whole=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None},
    piece=lambda text: {"delta": {"content": text}, "logprobs": None},
    first={"delta": {"role": "assistant", "content": ""}, "logprobs": None},
    last={"delta": {}, "logprobs": None},
)
COMPLETION = Style(
    "cmpl-",
    "text_completion",
    "text_completion",
    whole=lambda text: {"text": text, "logprobs": None},
    piece=lambda text: {"text": text, "logprobs": None},
    last={"text": "", "logprobs": None},
)


class OpenAI:
    """Those endpoints over the models of an `Api`."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        body = read_json(request, '{"model": "...", "messages": [{"role": "user", "content": "..."}]}')
        model = self._generator(body, request)
        _known(body, {"model", "messages"})
        messages = _messages(body.get("messages"))
        try:
            prompt = model.prompt(messages)
        except ValueError as error:
            raise ApiError(422, "invalid_messages", str(error)) from None
        return await self._write(CHAT, model, [prompt], body)

    async def complete(self, request: Request) -> Response:
        """Go on with a text, or with each of several."""
        body = read_json(request, '{"model": "...", "prompt": "..."}')
        model = self._generator(body, request)
        _known(body, {"model", "prompt"})
        prompts = body.get("prompt")
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) and one for one in prompts):
            raise ApiError(
                422, "invalid_prompt", "prompt must be a text or a list of texts; token numbers are not read"
            )
        self._check_count("prompt", prompts)
        return await self._write(COMPLETION, model, [_sound("prompt", one) for one in prompts], body)

    async def embed(self, request: Request) -> Response:
        """Vectors of texts."""
        body = read_json(request, '{"model": "...", "input": ["..."]}')
        model = self.api.model(body.get("model"), request)
        known = {"model", "input", "encoding_format", "dimensions", "user"}
        if unknown := sorted(body.keys() - known):
            raise ApiError(422, "unknown_field", f"unknown field {ascii_of(unknown[0])}")
        if model.vectors is None:
            raise ApiError(
                422,
                "no_embeddings",
                f"{model.name} makes no vectors: its head is for {model.task.get('type')}; serve a model with an "
                "embedding head, such as a two-tower ranking model",
            )
        texts = body.get("input")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
            raise ApiError(422, "invalid_input", "input must be a text or a list of texts; token numbers are not read")
        self._check_count("input", texts)
        encoding = body.get("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            raise ApiError(422, "invalid_request", "encoding_format must be float or base64")
        inputs, tokens = self.api.read_inputs(model, texts, _text)
        found = await self.api.compute(model.vectors, inputs, tokens)
        vectors = _shortened(np.stack([vector for vector, _ in found]), body.get("dimensions"))
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding)}
            for index, vector in enumerate(vectors)
        ]
        read = sum(length for _, length in found)
        usage = {"prompt_tokens": read, "total_tokens": read}
        return Response(200, as_json({"object": "list", "data": data, "model": model.name, "usage": usage}))

    def _check_count(self, name: str, given: list[Any]) -> None:
        if len(given) > self.api.max_inputs:
            message = f"{name} has {len(given)} texts; one request takes up to {self.api.max_inputs}"
            raise ApiError(413, "too_many_inputs", message)

    def _generator(self, body: dict[str, Any], request: Request) -> ServedModel:
        model = self.api.model(body.get("model"), request)
        if model.writer is None:
            able = [one.name for one in self.api.models.values() if one.writer]
            instead = f"; of those served these do: {', '.join(able)}" if able else ""
            raise ApiError(
                422, "not_a_generator", f"{model.name} writes no text: its task is {model.task.get('type')}{instead}"
            )
        return model

    # -- writing

    async def _write(self, style: Style, model: ServedModel, prompts: list[Any], body: dict[str, Any]) -> Response:
        sampling = _sampling(body)
        head = {"id": style.prefix + uuid.uuid4().hex, "created": int(time.time()), "model": model.name}
        stream = _boolean(body, "stream")
        streams = [self._pieces(model, prompt, sampling, whole=not stream) for prompt in prompts]
        options = body.get("stream_options")
        if options is not None and (not stream or not isinstance(options, dict) or options.keys() - {"include_usage"}):
            raise ApiError(422, "invalid_request", "stream_options is for streams, and holds include_usage")
        if stream:
            first = await anext(streams[0])  # what can be refused is refused before a status has been sent
            events = self._events(style, model, head, streams, first, _boolean(options or {}, "include_usage"))
            return Response(200, b"", "text/event-stream; charset=utf-8", stream=events)
        choices: list[dict[str, Any]] = []
        usage = _Usage()
        assert model.writer
        together = min(TOGETHER, model.writer.max_queue)
        for start in range(0, len(streams), together):
            for text, last in await _whole(streams[start : start + together]):
                usage.add(last)
                choices.append({"index": len(choices), **style.whole(text), "finish_reason": last.finish})
        return Response(200, as_json(head | {"object": style.kind, "choices": choices, "usage": usage.plain()}))

    async def _events(
        self,
        style: Style,
        model: ServedModel,
        head: dict[str, Any],
        streams: list[AsyncGenerator[Piece, None]],
        first: Piece,
        with_usage: bool,
    ) -> AsyncGenerator[bytes, None]:
        """Server-sent events: chunks as they are written, at the end [DONE]; an error half way is an event of its own."""
        head = head | {"object": style.kind_of_chunk}
        absent = {"usage": None} if with_usage else {}

        def event(index: int, choice: dict[str, Any], finish: str | None = None) -> bytes:
            return _event(head | {"choices": [{"index": index, **choice, "finish_reason": finish}]} | absent)

        usage = _Usage()
        try:
            for index, pieces in enumerate(streams):
                if style.first:
                    yield event(index, style.first)
                piece = first if index == 0 else await anext(pieces)
                while True:
                    if piece.text:
                        yield event(index, style.piece(piece.text))
                    if piece.finish:
                        break
                    piece = await anext(pieces)
                usage.add(piece)
                yield event(index, style.last or {}, piece.finish)
            if with_usage:
                yield _event(head | {"choices": [], "usage": usage.plain()})
            yield b"data: [DONE]\n\n"
        except ApiError as error:
            self.api.metrics.error(error.kind)
            yield b"data: " + error_response(openai_error, error).body + b"\n\n"
        finally:
            for pieces in streams:
                await pieces.aclose()

    async def _pieces(
        self, model: ServedModel, prompt: Messages | str, sampling: Sampling, *, whole: bool
    ) -> AsyncGenerator[Piece, None]:
        """What the model's writer writes, as it writes; to stop listening stops the writing."""
        assert model.writer
        api, loop = self.api, asyncio.get_running_loop()
        if api.stopping:
            api.check_ready()
        arrived: asyncio.Queue[Piece | BaseException] = asyncio.Queue()

        def deliver(piece: Piece | BaseException) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, piece)

        talk = Talk(prompt, sampling, deliver, whole=whole)
        try:
            model.writer.submit(talk)
            while True:
                async with asyncio.timeout(api.timeout_s):  # until the next piece: a long text may take long
                    piece = await arrived.get()
                if isinstance(piece, ValueError):
                    raise ApiError(422, "invalid_request", str(piece))
                if isinstance(piece, BaseException):
                    raise ApiError(500, "internal", "the text could not be written; the server's log says why")
                yield piece
                if piece.finish:
                    return
        except Exception as error:
            if isinstance(error, ApiError):
                raise
            raise api.unanswered(error, model.writer.waiting) from None
        finally:
            talk.withdrawn = True


async def _whole(streams: list[AsyncGenerator[Piece, None]]) -> list[tuple[str, Piece]]:
    """Each one's text and last piece; all of them wait at the same time, so that they are written together."""

    async def one(pieces: AsyncGenerator[Piece, None]) -> tuple[str, Piece]:
        parts: list[str] = []
        last = Piece("")
        async for last in pieces:
            parts.append(last.text)
        return "".join(parts), last

    found = await asyncio.gather(*map(one, streams), return_exceptions=True)
    done = [result for result in found if not isinstance(result, BaseException)]
    if len(done) < len(found):
        raise next(result for result in found if isinstance(result, BaseException))
    return done


class _Usage:
    def __init__(self) -> None:
        self.read = self.written = 0

    def add(self, last: Piece) -> None:
        self.read += last.read
        self.written += last.written

    def plain(self) -> dict[str, int]:
        total = self.read + self.written
        return {"prompt_tokens": self.read, "completion_tokens": self.written, "total_tokens": total}


def _event(value: Any) -> bytes:
    return b"data: " + as_json(value) + b"\n\n"


# -- reading


def _known(body: dict[str, Any], own: set[str]) -> None:
    for name, value in body.items():
        if name in own or name in SAMPLING or name in IGNORED or value is None:
            continue
        if name not in NEUTRAL:
            raise ApiError(422, "unknown_field", f"unknown field {ascii_of(name)}")
        if value not in NEUTRAL[name]:
            allowed = " or ".join(json.dumps(one) for one in NEUTRAL[name])
            raise ApiError(422, "unsupported", f"{name} is not supported here: leave it out, or send {allowed}")


def _sampling(body: dict[str, Any]) -> Sampling:
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ApiError(422, "invalid_request", "max_tokens must be a whole number from 1 up")
    seed = body.get("seed")
    if seed is not None and type(seed) is not int:
        raise ApiError(422, "invalid_request", "seed must be a whole number")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or len(stops) > MAX_STOPS or not all(isinstance(one, str) and one for one in stops):
        raise ApiError(422, "invalid_request", f"stop must be a text or a list of up to {MAX_STOPS}, none empty")
    return Sampling(
        limit,
        _number(body, "temperature", 0.0, 2.0),
        _number(body, "top_p", 0.0, 1.0),
        tuple(stops),
        seed or 0,
    )


def _number(body: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ApiError(422, "invalid_request", f"{name} must be a number from {low:g} to {high:g}")
    return float(value)


def _boolean(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(422, "invalid_request", f"{name} must be true or false")
    return bool(value)


def _messages(given: Any) -> Messages:
    if not isinstance(given, list) or not given:
        raise ApiError(422, "invalid_messages", "messages must be a list of at least one message")
    made = []
    for index, message in enumerate(given):
        at = f"messages[{index}]"
        if not isinstance(message, dict):
            raise ApiError(422, "invalid_messages", f"{at} must be an object with role and content")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise ApiError(422, "invalid_messages", f"{at}.role must be one of {', '.join(ROLES)}")
        made.append({"role": ROLES[role], "content": _sound(f"{at}.content", _content(at, message.get("content")))})
    return made


def _content(at: str, content: Any) -> Any:
    """A message's text: a string, or parts that are all text."""
    if not isinstance(content, list):
        return content
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ApiError(422, "unsupported", f"{at}.content[{index}] must be a part of type text")
    return "".join(part["text"] for part in content)


def _sound(at: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ApiError(422, "invalid_request", f"{at} must be a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"{at} has half of a surrogate pair at character {error.start}"
        raise ApiError(422, "invalid_request", message) from None
    return text


def _text(value: str) -> dict[str, Any]:
    if not value.strip():
        raise ValueError("the text is empty")
    return {"text": value}


def _shortened(vectors: np.ndarray, dimensions: Any) -> np.ndarray:
    """The first `dimensions` of vectors (n, D), again of length one: what a Matryoshka model is trained for."""
    if dimensions is None:
        return vectors
    if type(dimensions) is not int or not 1 <= dimensions <= vectors.shape[1]:
        raise ApiError(422, "invalid_request", f"dimensions must be a whole number from 1 to {vectors.shape[1]}")
    cut = vectors[:, :dimensions]
    shorter: np.ndarray = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
    return shorter


def _encoded(vector: np.ndarray, encoding: str) -> Any:
    if encoding == "base64":
        return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
    return [round(float(value), 7) for value in vector]
