"""What the server answers: routes, what a request may say, and an error for all the rest.

POST /v1/predict   {"inputs": [...], "model"?} -> {"predictions": [...], "model", "version"}
GET  /v1/models    which models are served, and what each takes and gives
GET  /healthz      the process lives; /readyz: it takes requests; /metrics: Prometheus; /: a page to try it
/v2/...            the Open Inference Protocol (`inference`)
/v1/chat/completions, /v1/completions, /v1/embeddings   as OpenAI's (`openai`)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.serve import bodies
from burnish.serve.batching import Batcher, Full, Input, Job, Late, Stopped
from burnish.serve.bodies import ApiError, as_json
from burnish.serve.inputs import ascii_of, estimated_tokens, placed
from burnish.serve.metrics import Metrics
from burnish.serve.models import ServedModel
from burnish.serve.page import PAGE, PAGE_HEADERS
from burnish.serve.protocol import Request, Response

log = logging.getLogger("burnish.serve")
LOCAL_HOSTS = {b"localhost", b"127.0.0.1", b"[::1]"}
EXAMPLE = '{"inputs": [...]}'

Answer = Callable[..., Awaitable[Response]]  # the request, and the names in its path


@dataclass(frozen=True)
class Route:
    """One thing to ask for. path: with {names} for the parts that vary; open: answered without a token."""

    method: str
    path: str
    answer: Answer
    open: bool = False
    shape: bodies.Shape = bodies.burnish_error

    def names(self, parts: Sequence[str]) -> list[str] | None:
        """The varying parts of a path, None where it is not this route's."""
        own = self.path.split("/")
        if len(own) != len(parts):
            return None
        if any(mine != theirs for mine, theirs in zip(own, parts, strict=True) if mine[:1] != "{"):
            return None
        return [urllib.parse.unquote(theirs) for mine, theirs in zip(own, parts, strict=True) if mine[:1] == "{"]


class Api:
    """The routes of one server over its models.

    models: by name; the first is the one that answers when a request names none.
    token: what `Authorization: Bearer` must carry; None asks for nothing, and then, against web pages that point
    their own name at this machine, only requests addressed to it by a local name are answered (unless `any_host`).
    max_inputs: inputs in a request. timeout_s: seconds until an answer, waiting included.
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
        from burnish.serve import inference, openai  # they answer through this class

        self.models, self.metrics = dict(models), metrics
        self.digest = _digest(token.encode()) if token else None
        self.any_host, self.max_inputs, self.timeout_s = any_host, max_inputs, timeout_s
        self.stopping = False
        self.gauges: Callable[[], tuple[int, int]] = lambda: (0, 0)  # requests in flight, connections
        routes = [
            Route("POST", "/v1/predict", self.predict),
            Route("GET", "/v1/models", self.list_models, shape=bodies.openai_error),
            Route("GET", "/v1/models/{model}", self.show_model, shape=bodies.openai_error),
            Route("GET", "/healthz", self.health, open=True),
            Route("GET", "/readyz", self.ready, open=True),
            Route("GET", "/metrics", self.show_metrics),
            Route("GET", "/", self.page, open=True),
            *inference.routes(self),
            *openai.routes(self),
        ]
        self.fixed = {route.path: route for route in routes if "{" not in route.path}
        self.varying = [route for route in routes if "{" in route.path]

    async def __call__(self, request: Request) -> Response:
        """Answer any request; nothing but cancellation escapes."""
        route, names = self.find(request.path)
        shape = route.shape if route else _shape(request.path)
        try:
            response = await self._answer(request, route, names)
        except ApiError as error:
            response = self.error(error, shape)
        except Exception:
            log.exception("%s %s failed", request.method, route.path if route else "other")
            response = self.error(ApiError(500, "internal", "the server could not answer; its log says why"), shape)
        seconds = time.perf_counter() - request.began
        self.metrics.request(route.path if route else "other", response.status, seconds)
        if request.model and route:
            self.metrics.answered(request.model, route.path, response.status, seconds)
        return response

    def find(self, path: str) -> tuple[Route | None, list[str]]:
        """The route of a path, and what stands in the places of its {names}."""
        if path in self.fixed:
            return self.fixed[path], []
        parts = path.split("/")
        for route in self.varying:
            if (names := route.names(parts)) is not None:
                return route, names
        return None, []

    def refuse(self, status: int, kind: str, message: str, path: str) -> Response:
        """What is said of a request that cannot be read to its end."""
        route, _ = self.find(path)
        return self.error(ApiError(status, kind, message), route.shape if route else _shape(path))

    def error(self, error: ApiError, shape: bodies.Shape) -> Response:
        self.metrics.error(error.kind)
        return bodies.error_response(shape, error)

    async def _answer(self, request: Request, route: Route | None, names: list[str]) -> Response:
        if not (self.digest or self.any_host) and _host(request) not in LOCAL_HOSTS:
            raise ApiError(421, "wrong_host", "without a token only requests to localhost are answered")
        if route is None:
            raise ApiError(404, "not_found", f"there is no {request.path[:200]} here; see /")
        method = route.method
        if request.method != method and not (method == "GET" and request.method == "HEAD"):
            raise ApiError(405, "method_not_allowed", f"{route.path} takes {method}", ("Allow", method))
        if not route.open:
            self._check_token(request)
        return await route.answer(request, *names)

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
        body = bodies.read_json(request, EXAMPLE)
        if unknown := sorted(body.keys() - {"inputs", "model"}):
            raise ApiError(422, "invalid_request", f"unknown field {ascii_of(unknown[0])}; known are inputs and model")
        model = self.model(body.get("model"), request)
        inputs, tokens = self.read_inputs(model, body.get("inputs"))
        answers = await self.compute(model.batcher, inputs, tokens)
        return Response(200, as_json({"predictions": answers, "model": model.name, "version": model.version}))

    async def list_models(self, request: Request) -> Response:
        """List names, versions, tasks, what they take and what they answer."""
        data = [model.describe() for model in self.models.values()]
        return Response(200, as_json({"object": "list", "data": data}))

    async def show_model(self, request: Request, name: str) -> Response:
        """One of that list."""
        return Response(200, as_json(self.model(name, request).describe()))

    async def health(self, request: Request) -> Response:
        return Response(200, b'{"status":"alive"}')

    async def ready(self, request: Request) -> Response:
        """Every model is open and warm before the server listens: only a stop makes it unready."""
        self.check_ready()
        return Response(200, as_json({"status": "ready", "models": list(self.models)}))

    def check_ready(self) -> None:
        """Raise once the server is stopping."""
        if self.stopping:
            raise ApiError(503, "stopping", "the server is stopping", ("Retry-After", "5"))

    async def show_metrics(self, request: Request) -> Response:
        in_flight, connections = self.gauges()
        queued = {model.name: model.waiting for model in self.models.values()}
        text = self.metrics.page(queued=queued, in_flight=in_flight, connections=connections)
        return Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def page(self, request: Request) -> Response:
        return Response(200, PAGE, "text/html; charset=utf-8", PAGE_HEADERS)

    # -- what all protocols share

    def model(self, name: Any, request: Request) -> ServedModel:
        """The model that a request names, the first where it names none."""
        if name is None:
            model = next(iter(self.models.values()))
        elif not isinstance(name, str):
            raise ApiError(422, "invalid_request", "model must be a string")
        elif name not in self.models:
            raise ApiError(404, "unknown_model", f"no model {ascii_of(name)}; served are {', '.join(self.models)}")
        else:
            model = self.models[name]
        request.model = model.name
        return model

    def read_inputs(
        self, model: ServedModel, given: Any, read: Callable[[Any], Input] | None = None
    ) -> tuple[list[Input], list[int]]:
        """What was sent as the task's inputs, and estimated tokens of each. read: instead of the task's own reading."""
        if not isinstance(given, list) or not given:
            raise ApiError(422, "invalid_inputs", "inputs must be a list of at least one input")
        if len(given) > self.max_inputs:
            raise ApiError(413, "too_many_inputs", f"{len(given)} inputs; one request takes up to {self.max_inputs}")
        read = read or model.inputs.read
        inputs, tokens = [], []
        for index, value in enumerate(given):
            at = f"inputs[{index}]"
            try:
                tokens.append(estimated_tokens(at, value))
            except ValueError as error:
                raise ApiError(422, "invalid_inputs", str(error)) from None
            except RecursionError:
                raise ApiError(422, "invalid_inputs", f"{at} is nested too deep") from None
            try:
                inputs.append(read(value))
            except ValueError as error:
                raise ApiError(422, "invalid_inputs", placed(at, value, str(error))) from None
        return inputs, tokens

    async def compute(self, batcher: Batcher, inputs: Sequence[Input], tokens: Sequence[int]) -> list[Any]:
        """Answers of a model's queue, or the error for a queue that is full, a stop, or a deadline."""
        try:
            return await self._compute(batcher, inputs, tokens)
        except (Full, Stopped, Late, TimeoutError) as error:
            raise self.unanswered(error, batcher.waiting) from None

    def unanswered(self, error: BaseException, waiting: int) -> ApiError:
        """What a client is told whose request was not computed."""
        if isinstance(error, Full):
            message = f"{waiting} inputs wait already: come back in a second"
            return ApiError(503, "overloaded", message, ("Retry-After", "1"))
        if isinstance(error, Stopped):
            return ApiError(503, "stopping", "the server is stopping", ("Retry-After", "5"))
        message = f"no answer within {self.timeout_s:g} s: the server has more to do than it can"
        return ApiError(504, "deadline", message, ("Retry-After", "5"))

    async def _compute(self, batcher: Batcher, inputs: Sequence[Input], tokens: Sequence[int]) -> list[Any]:
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

        job = Job(inputs, tokens, done, time.monotonic() + self.timeout_s)
        batcher.submit(job)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await answered
        finally:
            job.withdrawn = True


def _shape(path: str) -> bodies.Shape:
    """The error shape of a path that is no route."""
    return bodies.inference_error if path == "/v2" or path.startswith("/v2/") else bodies.burnish_error


def _host(request: Request) -> bytes:
    host = request.headers.get(b"host", b"").lower()
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
