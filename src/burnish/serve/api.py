"""What the server answers: routes, what a request may say, and an error for all the rest.

POST /v1/predict   {"inputs": [...], "model"?} -> {"predictions": [...], "model", "version"}
GET  /v1/models    which models are served
GET  /healthz      the process lives; /readyz: it takes requests; /metrics: Prometheus; /: a page to try it
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from burnish.serve.batching import Full, Job, Late, Stopped, Text
from burnish.serve.metrics import Metrics
from burnish.serve.models import ServedModel
from burnish.serve.page import PAGE, PAGE_HEADERS
from burnish.serve.protocol import Request, Response

log = logging.getLogger("burnish.serve")
LOCAL_HOSTS = {b"localhost", b"127.0.0.1", b"[::1]"}


class ApiError(Exception):
    """An answer that is not 200: status, a type a program can switch on, a message for its author."""

    def __init__(self, status: int, kind: str, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers


def error_response(status: int, kind: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """The one shape of every error: {"error": {"type", "message"}}."""
    return Response(status, _json({"error": {"type": kind, "message": message}}), headers=headers)


class Api:
    """The routes of one server over its models.

    models: by name; the first is the one that answers when a request names none.
    token: what `Authorization: Bearer` must carry; None asks for nothing, and then, against web pages that point
    their own name at this machine, only requests addressed to it by a local name are answered (unless `any_host`).
    max_inputs: texts in a request. timeout_s: seconds until an answer, waiting included.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        *,
        metrics: Metrics,
        token: str | None = None,
        any_host: bool = False,
        max_inputs: int = 256,
        timeout_s: float = 30.0,
    ) -> None:
        self.models, self.metrics = dict(models), metrics
        self.digest = _digest(token.encode()) if token else None
        self.any_host, self.max_inputs, self.timeout_s = any_host, max_inputs, timeout_s
        self.stopping = False
        self.gauges: Callable[[], tuple[int, int]] = lambda: (0, 0)  # requests in flight, connections
        self.routes = {
            "/v1/predict": ("POST", self.predict),
            "/v1/models": ("GET", self.list_models),
            "/healthz": ("GET", self.health),
            "/readyz": ("GET", self.ready),
            "/metrics": ("GET", self.show_metrics),
            "/": ("GET", self.page),
        }

    async def __call__(self, request: Request) -> Response:
        """Answer any request; nothing but cancellation escapes."""
        route = request.path if request.path in self.routes else "other"
        try:
            response = await self._route(request)
        except ApiError as error:
            response = self.refuse(error.status, error.kind, error.message, error.headers)
        except Exception:
            log.exception("%s %s failed", request.method, route)
            response = self.refuse(500, "internal", "the server could not answer; its log says why")
        self.metrics.request(route, response.status, time.perf_counter() - request.began)
        return response

    def refuse(self, status: int, kind: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self.metrics.error(kind)
        return error_response(status, kind, message, headers)

    async def _route(self, request: Request) -> Response:
        if not (self.digest or self.any_host) and _host(request) not in LOCAL_HOSTS:
            raise ApiError(421, "wrong_host", "without a token only requests to localhost are answered")
        if request.path not in self.routes:
            raise ApiError(404, "not_found", f"there is no {request.path[:200]} here; see /")
        method, answer = self.routes[request.path]
        if request.method != method and not (method == "GET" and request.method == "HEAD"):
            raise ApiError(405, "method_not_allowed", f"{request.path} takes {method}", ("Allow", method))
        if request.path not in ("/", "/healthz", "/readyz"):
            self._check_token(request)
        return await answer(request)

    def _check_token(self, request: Request) -> None:
        if self.digest is None:
            return
        scheme, _, sent = request.headers.get(b"authorization", b"").partition(b" ")
        # digests have one length, so the time of the comparison tells nothing about the token
        if scheme.lower() != b"bearer" or not hmac.compare_digest(_digest(sent.strip()), self.digest):
            raise ApiError(
                401,
                "unauthorized",
                "send the server's token: Authorization: Bearer TOKEN",
                ("WWW-Authenticate", "Bearer"),
            )

    # -- routes

    async def predict(self, request: Request) -> Response:
        """Predict what the body asks for, with the batches of everybody who asks at this moment."""
        model, texts = self._read(request)
        try:
            predictions = await self._compute(model, texts)
        except Full:
            message = f"{model.batcher.waiting} texts wait already: come back in a second"
            raise ApiError(503, "overloaded", message, ("Retry-After", "1")) from None
        except Stopped:
            raise ApiError(503, "stopping", "the server is stopping", ("Retry-After", "5")) from None
        except (Late, TimeoutError):
            message = f"no answer within {self.timeout_s:g} s: the server has more to do than it can"
            raise ApiError(504, "deadline", message, ("Retry-After", "5")) from None
        return Response(200, _json({"predictions": predictions, "model": model.name, "version": model.version}))

    async def _compute(self, model: ServedModel, texts: list[Text]) -> list[Any]:
        if self.stopping:
            raise Stopped
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Any]] = loop.create_future()

        def settle(job: Job) -> None:
            if answered.done():  # cancelled: the client has gone
                return
            if job.failed:
                answered.set_exception(job.failed)
            else:
                answered.set_result(job.answers)

        def done(job: Job) -> None:
            loop.call_soon_threadsafe(settle, job)

        job = Job(texts, done, time.monotonic() + self.timeout_s)
        model.batcher.submit(job)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await answered
        finally:
            job.withdrawn = True

    async def list_models(self, request: Request) -> Response:
        """List names, versions and tasks in the shape OpenAI clients expect."""
        data = [
            {"id": m.name, "object": "model", "owned_by": "burnish", "version": m.version, "task": m.task}
            for m in self.models.values()
        ]
        return Response(200, _json({"object": "list", "data": data}))

    async def health(self, request: Request) -> Response:
        return Response(200, b'{"status":"alive"}')

    async def ready(self, request: Request) -> Response:
        if self.stopping:
            raise ApiError(503, "stopping", "the server is stopping", ("Retry-After", "5"))
        return Response(200, _json({"status": "ready", "models": list(self.models)}))

    async def show_metrics(self, request: Request) -> Response:
        in_flight, connections = self.gauges()
        queued = {model.name: model.batcher.waiting for model in self.models.values()}
        text = self.metrics.page(queued=queued, in_flight=in_flight, connections=connections)
        return Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def page(self, request: Request) -> Response:
        return Response(200, PAGE, "text/html; charset=utf-8", PAGE_HEADERS)

    # -- reading a prediction request

    def _read(self, request: Request) -> tuple[ServedModel, list[Text]]:
        headers = request.headers
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            raise ApiError(411, "length_required", "send Content-Length")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise ApiError(415, "unsupported_media_type", "send Content-Type: application/json")
        body = _parse(request.body)
        if unknown := sorted(body.keys() - {"inputs", "model"}):
            raise ApiError(422, "invalid_request", f"unknown field {_show(unknown[0])}; known are inputs and model")
        return self._model(body.get("model")), self._texts(body)

    def _model(self, name: Any) -> ServedModel:
        if name is None:
            return next(iter(self.models.values()))
        if not isinstance(name, str):
            raise ApiError(422, "invalid_request", "model must be a string")
        if name not in self.models:
            raise ApiError(404, "unknown_model", f"no model {_show(name)}; served are {', '.join(self.models)}")
        return self.models[name]

    def _texts(self, body: dict[str, Any]) -> list[Text]:
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not inputs:
            raise ApiError(422, "invalid_inputs", "inputs must be a list of at least one text")
        if len(inputs) > self.max_inputs:
            raise ApiError(413, "too_many_inputs", f"{len(inputs)} inputs; one request takes up to {self.max_inputs}")
        return [_text(index, value) for index, value in enumerate(inputs)]


def _text(index: int, value: Any) -> Text:
    """Read one input: a string, or {"text"} or {"text", "text_b"}."""
    at = f"inputs[{index}]"
    if isinstance(value, str):
        return _sound(at, value), None
    if not isinstance(value, dict):
        raise ApiError(422, "invalid_inputs", f'{at} must be a string or {{"text": ...}}, not {type(value).__name__}')
    if unknown := sorted(value.keys() - {"text", "text_b"}):
        raise ApiError(422, "invalid_inputs", f"{at} has an unknown field {_show(unknown[0])}")
    if "text" not in value:
        raise ApiError(422, "invalid_inputs", f"{at} has no text")
    second = value.get("text_b")
    return _sound(f"{at}.text", value["text"]), None if second is None else _sound(f"{at}.text_b", second)


def _sound(at: str, text: Any) -> str:
    if not isinstance(text, str):
        raise ApiError(422, "invalid_inputs", f"{at} must be a string, not {type(text).__name__}")
    if not text or text.isspace():
        raise ApiError(422, "invalid_inputs", f"{at} is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(422, "invalid_inputs", f"{at} has half of a surrogate pair at character {error.start}") from None
    return text


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ApiError(400, "bad_json", f"the body is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ApiError(400, "bad_json", f"the body is not JSON: {error.msg} at {place}") from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of more digits than Python reads
        raise ApiError(400, "bad_json", f"the body is not usable JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise ApiError(422, "invalid_request", 'the body must be an object: {"inputs": [...]}')
    return value


def _host(request: Request) -> bytes:
    host = request.headers.get(b"host", b"").lower()
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _show(value: str) -> str:
    """A value of the client's in a message: short, and in ASCII where it might not print."""
    return json.dumps(value[:80])


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
