"""HTTP/1.1 over asyncio: bytes to `Request`, `Response` to bytes, and nobody may wait or send without bound.

The parser is httptools' (llhttp, strict). A framework between it and the model cost a fifth of the throughput.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import httptools

log = logging.getLogger("burnish.serve")

MAX_HEAD_BYTES = 32 * 1024
MAX_PIPELINED = 16
LINGER_S = 1.0
SECURITY_HEADERS = (
    b"X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
    b"X-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n"
)
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    method: str
    path: str  # without the query, as sent
    headers: dict[bytes, bytes]  # names in lower case; of a repeated header the last
    body: bytes
    keep_alive: bool
    chunks: bool = True  # does the client understand an answer in chunks (HTTP/1.1)
    model: str = ""  # who answers it, once that is known
    began: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    stream: AsyncGenerator[bytes, None] | None = None  # instead of `body`: pieces that are sent as they come


Answer = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[int, str, str, str], Response]  # status, type, message, path


@dataclass(frozen=True)
class Limits:
    """What one client may take: bytes of a body, seconds for sending a request, idle seconds, connections in all."""

    max_body_bytes: int
    read_timeout_s: float = 10.0
    keep_alive_s: float = 30.0
    max_connections: int = 1024


class Hub:
    """All connections of a server: what they share, and the clock that ends the ones that dawdle."""

    def __init__(self, answer: Answer, refuse: Refuse, limits: Limits) -> None:
        self.answer, self.refuse, self.limits = answer, refuse, limits
        self.connections: set[Connection] = set()
        self.in_flight = 0
        self.draining = False
        self.tick()

    def tick(self) -> None:
        """Refresh the date and end connections past their deadline: called twice a second."""
        self.date = b"Date: " + formatdate(usegmt=True).encode() + b"\r\n"
        now = time.monotonic()
        for connection in [c for c in self.connections if c.deadline < now]:
            connection.expire()

    def connect(self) -> Connection:
        return Connection(self)


class Connection(asyncio.Protocol):
    """One client: requests are answered in the order they came, one at a time."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.transport: Any = None
        self.parser = httptools.HttpRequestParser(self)
        self.ready: deque[Request] = deque()
        self.task: asyncio.Task[None] | None = None
        self.closing = False
        self.writable: asyncio.Future[None] | None = None  # while the client reads more slowly than we write
        self.deadline = time.monotonic() + hub.limits.read_timeout_s
        self._clear()

    def _clear(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        self.head_bytes = self.body_bytes = 0
        self.in_head, self.reading = True, False

    # -- asyncio calls these

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.hub.connections.add(self)
        if len(self.hub.connections) > self.hub.limits.max_connections:
            self._end_with(503, "overloaded", "too many connections")

    def connection_lost(self, error: Exception | None) -> None:
        self.hub.connections.discard(self)
        self.closing = True
        self.ready.clear()
        if self.task:
            self.task.cancel()  # nobody is there to read the answer

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self.in_head:
            self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.closing = True  # we speak nothing else; the request that asked is answered as plain HTTP
        except httptools.HttpParserError as error:
            if not self.closing:
                self._end_with(400, "bad_request", f"this is not HTTP/1.1: {error}")
            return
        if self.in_head and self.head_bytes > MAX_HEAD_BYTES:
            self._end_with(431, "headers_too_large", f"the headers are larger than {MAX_HEAD_BYTES} bytes")

    def pause_writing(self) -> None:
        self.deadline = time.monotonic() + self.hub.limits.read_timeout_s
        self.writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self.writable and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None
        if self.task:
            self.deadline = float("inf")
        self._rest()

    def eof_received(self) -> bool:
        return bool(self.task)  # a client may close its half and still read its answer

    # -- the parser calls these

    def on_message_begin(self) -> None:
        self.reading = True
        if not self.task:
            self.deadline = time.monotonic() + self.hub.limits.read_timeout_s

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.in_head = False
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > self.hub.limits.max_body_bytes:
            self._too_large()
        elif self.headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.body_bytes > self.hub.limits.max_body_bytes:
            if not self.closing:
                self._too_large()
            return
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        if self.closing:
            return
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        path = self.url.partition(b"?")[0].decode("latin-1")
        self.ready.append(
            Request(
                self.parser.get_method().decode("latin-1"),
                path,
                self.headers,
                body,
                self.parser.should_keep_alive(),
                self.parser.get_http_version() != "1.0",
            )
        )
        self._clear()
        if not self.task:
            self._next()
        elif len(self.ready) >= MAX_PIPELINED:
            self.transport.pause_reading()

    # -- answers

    def _next(self) -> None:
        request = self.ready.popleft()
        self.deadline = float("inf")  # from here on the clock is the server's own
        self.hub.in_flight += 1
        self.task = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self.hub.answer(request)
            if response.stream is None:
                self._write(response, request)
            else:
                await self._send(response, response.stream, request)
        finally:
            self.hub.in_flight -= 1
            self.task = None
            if not self.transport.is_closing():
                self._rest()

    def _rest(self) -> None:
        """After an answer: the next request, if one is here, else wait for it."""
        if self.task:
            return
        if self.ready:
            self.transport.resume_reading()
            self._next()
        elif self.reading:
            self.deadline = time.monotonic() + self.hub.limits.read_timeout_s
        else:
            self.deadline = time.monotonic() + self.hub.limits.keep_alive_s

    async def _send(self, response: Response, stream: AsyncGenerator[bytes, None], request: Request) -> None:
        """Write pieces as they come, no faster than the client reads; a client that goes ends the stream."""
        close = response.close or self.closing or self.hub.draining or not request.keep_alive or not request.chunks
        length = b"Transfer-Encoding: chunked\r\n" if request.chunks else b""
        self.transport.write(self._head(response, length, close=close))
        whole = False
        try:
            async for piece in stream:
                self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if request.chunks else piece)
                if self.writable:
                    await self.writable
            whole = True
        except Exception:
            log.exception("%s %s failed half way", request.method, request.path)
        finally:
            await stream.aclose()
        if whole and request.chunks:
            self.transport.write(b"0\r\n\r\n")
        if close or not whole:  # without its last chunk, nobody takes half an answer for a whole one
            self.closing = True
            self.transport.close()

    def _head(self, response: Response, length: bytes, *, close: bool) -> bytes:
        extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers).encode("latin-1")
        return b"HTTP/1.1 %d %b\r\n%bContent-Type: %b\r\n%b%b%b%b\r\n" % (
            response.status,
            REASONS.get(response.status, b"Unknown"),
            self.hub.date,
            response.content_type.encode("latin-1"),
            length,
            SECURITY_HEADERS,
            extra,
            b"Connection: close\r\n" if close else b"",
        )

    def _write(self, response: Response, request: Request | None, *, linger: bool = False) -> None:
        close = response.close or self.closing or self.hub.draining or not (request and request.keep_alive)
        head = self._head(response, b"Content-Length: %d\r\n" % len(response.body), close=close)
        headless = request is not None and request.method == "HEAD"
        self.transport.write(head if headless else head + response.body)
        if close:
            self.closing = True
            if linger and self.transport.can_write_eof():
                # hanging up on a client that still sends resets the connection, and the answer with it: let it
                # finish, unread, for a second
                self.transport.write_eof()
                self.deadline = time.monotonic() + LINGER_S
            else:
                self.transport.close()  # after what has been written has left

    def _too_large(self) -> None:
        limit = self.hub.limits.max_body_bytes
        self._end_with(413, "body_too_large", f"the body is larger than {limit} bytes: send fewer inputs a request")

    def _end_with(self, status: int, kind: str, message: str) -> None:
        """Answer what cannot be read any further, after what was read before it, and hang up."""
        if self.task:  # the answer to an earlier request is still to come: it goes out with Connection: close
            self.closing = True
            self.ready.clear()
            return
        path = self.url.partition(b"?")[0].decode("latin-1")
        self._write(self.hub.refuse(status, kind, message, path), None, linger=True)

    def expire(self) -> None:
        if self.closing or self.transport.get_write_buffer_size():
            self.transport.abort()
        elif self.reading:
            self._end_with(408, "timeout", f"the request did not arrive within {self.hub.limits.read_timeout_s:g} s")
        else:
            self.closing = True
            self.transport.close()
