"""Serve deployed models over HTTP until told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from burnish.core.errors import BurnishError
from burnish.nn.runtime import usable_cores
from burnish.serve.api import Api
from burnish.serve.metrics import Metrics
from burnish.serve.models import ServedModel
from burnish.serve.protocol import Hub, Limits
from burnish.tasks.predictor import Predictor

MIN_TOKEN = 16
NAMES = "a model is served by its run's name: give one spec another `name:`, or change `name` in one burnish.json"
IDLE_GRACE_S = 0.25  # a request may already be on its way when the server begins to stop: it is told so


def serve(
    folders: Path | str | Predictor | Sequence[Path | str | Predictor],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token_file: Path | None = None,
    max_batch_tokens: int = 512,
    max_wait_ms: float = 0.0,
    max_queue: int = 2048,
    max_body_bytes: int = 1_000_000,
    max_inputs: int = 256,
    request_timeout_s: float = 30.0,
    read_timeout_s: float = 10.0,
    stop_timeout_s: float = 30.0,
    workers: int | Literal["auto"] = "auto",
    on_ready: Callable[[str], Any] | None = None,
) -> None:
    """Answer over HTTP with one or more models, until SIGTERM or SIGINT.

    folders: run or model folders, or open Predictors; each answers under the name in its burnish.json, the first also
    when a request names none. All are open and warm before the server listens.
    host, port: where to listen; beyond this machine only with a token. Port 0 takes a free one.
    token_file: a file whose content every request must send as `Authorization: Bearer ...`.
    max_batch_tokens: tokens that a session takes from the queue at a time.
    max_wait_ms: how long a free session may hold back a text to fill its batch; 0 answers at once.
    max_queue: inputs that may wait, per model; beyond it requests get 503 and Retry-After.
    max_body_bytes, max_inputs: the largest request.
    request_timeout_s: seconds until a request is given up. read_timeout_s: seconds a client may take to send one.
    stop_timeout_s: how long a stop waits for the last answers.
    workers: sessions per model, of one thread each; "auto" is one per core.
    on_ready: called with the server's address when it listens.
    After a signal: no new connections, /readyz says 503, what is in flight is finished, new requests are refused.
    """
    token = _read_token(token_file)
    _check_exposure(host, token)
    if max_inputs > max_queue:
        raise BurnishError(
            f"max_inputs {max_inputs} is more than max_queue {max_queue}: the largest request could never be taken",
            hint=f"set max_queue to {max_inputs} or more",
        )
    metrics = Metrics()
    models = _open_models(
        [folders] if isinstance(folders, (str, Path, Predictor)) else folders,
        metrics,
        sessions=usable_cores() if workers == "auto" else workers,
        max_batch_tokens=max_batch_tokens,
        max_queue=max_queue,
        max_wait_s=max_wait_ms / 1000,
    )
    api = Api(
        models,
        metrics=metrics,
        token=token,
        any_host=not _is_loopback(host),
        max_inputs=max_inputs,
        timeout_s=request_timeout_s,
    )
    listener = _listen(host, port)
    # a session that has finished a batch needs the interpreter for a moment to hand it out: 5 ms is long for that
    sys.setswitchinterval(0.0005)
    limits = Limits(max_body_bytes=max_body_bytes, read_timeout_s=read_timeout_s)
    _run(_serve(api, listener, limits, stop_timeout_s=stop_timeout_s, on_ready=on_ready))
    for model in models.values():
        model.stop()


async def _serve(
    api: Api, listener: socket.socket, limits: Limits, *, stop_timeout_s: float, on_ready: Callable[[str], Any] | None
) -> None:
    loop = asyncio.get_running_loop()
    hub = Hub(api, api.refuse, limits)
    api.gauges = lambda: (hub.in_flight, len(hub.connections))
    server = await loop.create_server(hub.connect, sock=listener, backlog=1024)
    stop = asyncio.Event()
    for name in ("SIGTERM", "SIGINT"):
        loop.add_signal_handler(getattr(signal, name), stop.set)
    ticking = loop.create_task(_tick(hub))
    if on_ready:
        on_ready(_address(listener))
    await stop.wait()
    api.stopping = hub.draining = True
    server.close()
    await _drain(hub, stop_timeout_s)
    ticking.cancel()


async def _tick(hub: Hub) -> None:
    while True:
        await asyncio.sleep(0.5)
        hub.tick()


async def _drain(hub: Hub, timeout_s: float) -> None:
    """Let answers in flight leave, then the connections."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    await asyncio.sleep(IDLE_GRACE_S)
    while hub.in_flight and loop.time() < end:
        await asyncio.sleep(0.01)
    for connection in list(hub.connections):
        connection.transport.close()
    end = loop.time() + 1.0
    while hub.connections and loop.time() < end:
        await asyncio.sleep(0.01)


def _run(main: Any) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


def _open_models(
    folders: Sequence[Path | str | Predictor], metrics: Metrics, **settings: Any
) -> dict[str, ServedModel]:
    models: dict[str, ServedModel] = {}
    for folder in folders:
        model = ServedModel(folder, metrics=metrics, **settings)
        if model.name in models:
            raise BurnishError(f"two models are called {model.name!r}", where=str(folder), hint=NAMES)
        models[model.name] = model
    if not models:
        raise BurnishError("no model to serve", hint="name a model folder, such as runs/NAME/deploy")
    return models


def _read_token(token_file: Path | None) -> str | None:
    if token_file is None:
        return None
    try:
        token = Path(token_file).read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise BurnishError("no such token file", where=str(token_file), hint=_how_to_make_one(token_file)) from error
    except UnicodeDecodeError as error:
        raise BurnishError("a token is ASCII", where=str(token_file), hint=_how_to_make_one(token_file)) from error
    if len(token) < MIN_TOKEN or any(character.isspace() for character in token):
        raise BurnishError(
            f"a token is one word of {MIN_TOKEN} characters or more",
            where=str(token_file),
            hint=_how_to_make_one(token_file),
        )
    return token


def _how_to_make_one(path: Path | str) -> str:
    return f'python -c "import secrets; print(secrets.token_urlsafe(32))" > {path} && chmod 600 {path}'


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_exposure(host: str, token: str | None) -> None:
    if token is None and not _is_loopback(host):
        raise BurnishError(
            f"host {host} lets other machines in, and no token is asked of them",
            hint=f"make one and name it as token_file: {_how_to_make_one('token.txt')}",
        )


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener:
            listener.close()
        raise BurnishError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            hint="choose another port, or 0 for a free one",
        ) from error
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
