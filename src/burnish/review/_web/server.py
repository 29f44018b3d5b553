"""The review page over HTTP, for people at this machine; beyond it only with a token.

Every answer with data needs the token where there is one (`Authorization: Bearer`; the page takes it from the address's
fragment, which browsers send to nobody). What changes something must be JSON, carry the page's own header and come from the
page's own origin, so that no other page can make a browser decide records; an unknown Host is refused, so that no other
name can be pointed here. Nothing is fetched from elsewhere, and nothing inside a record is ever markup.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from burnish.core.chinese import said_in
from burnish.core.errors import BurnishError
from burnish.review.session import Ask, Refused, Session

PAGE = Path(__file__).with_name("page")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {path.name: path for path in PAGE.iterdir() if path.suffix in KINDS}
MAX_BODY = 2_000_000  # bytes of a decision: a long text written anew, with what it was
MAX_QUERY = 4_000  # characters of an address
MAX_SEARCH = 200
OUR_HEADER, OUR_VALUE = "x-burnish", "review"
SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Who may ask what: host, token, origin, size; and the headers of every answer."""

    def __init__(self, app: ASGIApp, token: str | None, any_host: bool) -> None:
        self.app, self.token, self.any_host = app, token, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def safe(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in SAFE.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        wrong = self.refuses(Request(scope))
        if wrong is not None:
            await error(*wrong)(scope, receive, safe)
        else:
            await self.app(scope, receive, safe)

    def refuses(self, request: Request) -> tuple[int, str] | None:
        """Status and sentence for a request that is not let in."""
        host = request.headers.get("host", "")
        if not self.any_host and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 421, "this page answers to localhost alone"
        if len(str(request.url)) > MAX_QUERY:
            return 414, "the address is too long"
        if not request.url.path.startswith("/api/"):
            return None
        if self.token is not None:
            kind, _, given = request.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), self.token.encode()):
                return 401, "the token is missing or wrong: open the address that `burnish review` printed"
        if request.method == "POST":
            origin = request.headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                return 403, "another page asked for this"
            if request.headers.get(OUR_HEADER) != OUR_VALUE:
                return 403, f"the header {OUR_HEADER}: {OUR_VALUE} is missing"
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return 415, "send Content-Type: application/json"
        return None


def error(status: int, message: str) -> Response:
    """An answer that is not 200."""
    return JSONResponse({"error": {"type": "review", "message": message}}, status)


def spoken(request: Request) -> str:
    """The language of the page that asks."""
    return "zh" if request.headers.get("accept-language", "").startswith("zh") else "en"


def application(session: Session, *, token: str | None = None, any_host: bool = False) -> Starlette:
    """The page and its questions, as an ASGI application. any_host: other machines may name this one as they like."""
    lock = threading.Lock()  # one question at a time: what a session knows is shared, and a decision is one act

    def answered(ask: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def of(request: Request) -> Response:
            try:
                request.state.body = await read_body(request)

                def locked() -> Any:
                    with lock:
                        return ask(request)

                return JSONResponse(await run_in_threadpool(locked))
            except Refused as refused:
                return error(refused.status, said_in(spoken(request), refused.message))
            except ClientDisconnect:
                return error(400, "the request was cut off")

        return of

    def reviewer(request: Request) -> str:
        return request.query_params.get("reviewer", "").strip()

    def about(request: Request) -> Any:
        return session.about()

    def records(request: Request) -> Any:
        return session.page(ask_of(request))

    def record(request: Request) -> Any:
        query = request.query_params
        return session.record(
            query.get("id", ""),
            reviewer(request),
            language=query.get("language", "en"),
            adjudicate=query.get("adjudicate") == "1",
        )

    def progress(request: Request) -> Any:
        return session.progress(reviewer(request))

    def agreement(request: Request) -> Any:
        return session.agreement()

    def verdict(request: Request) -> Any:
        return session.decide(request.state.body)

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in FILES:
            return error(404, "there is no such page")
        path = FILES[name]
        return Response(path.read_bytes(), media_type=f"{KINDS[path.suffix]}; charset=utf-8")

    routes = [
        Route("/", page),
        Route("/assets/{name}", page),
        *(Route(f"/api/{ask.__name__}", answered(ask)) for ask in (about, records, record, progress, agreement)),
        Route("/api/verdict", answered(verdict), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, token=token, any_host=any_host)])


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a POST; {} of others. No more is read than may be sent."""
    if request.method != "POST":
        return {}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, f"a decision has at most {MAX_BODY:,} bytes")
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as wrong:
        raise Refused(400, f"the body is not JSON: {str(wrong)[:100]}") from None
    if not isinstance(value, dict):
        raise Refused(422, "the body must be an object")
    return value


def ask_of(request: Request) -> Ask:
    """The question that an address asks. Refused names what it cannot read."""
    query = request.query_params
    try:
        cursor, limit = int(query.get("cursor", "0")), int(query.get("limit", "50"))
    except ValueError:
        raise Refused(422, "cursor and limit are whole numbers") from None
    column, equals, value = query.get("slice", "").partition("=")
    return Ask(
        query.get("queue", "review"),
        query.get("reviewer", "").strip(),
        query.get("state", "any"),
        query.get("label"),
        query.get("labeller"),
        (column, value) if equals else None,
        query.get("suspect") == "1",
        query.get("search", "")[:MAX_SEARCH],
        max(0, cursor),
        limit,
    )


def serve(
    session: Session,
    *,
    host: str = "127.0.0.1",
    port: int = 8090,
    token: str | None = None,
    on_ready: Callable[[str], Any] | None = None,
) -> None:
    """Answer until SIGINT or SIGTERM. on_ready: told the address to open, with the token in its fragment.

    Beyond this machine a token is needed; where none is given one is made.
    """
    import uvicorn

    beyond = not is_loopback(host)
    token = token or (secrets.token_urlsafe(24) if beyond else None)
    listener = _listen(host, port)
    bound, at = listener.getsockname()[:2]
    shown = f"[{bound}]" if ":" in bound else bound
    app = application(session, token=token, any_host=beyond)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, server.handle_exit)
    if on_ready:
        on_ready(f"http://{shown}:{at}/" + (f"#token={token}" if token else ""))
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as wrong:
        if listener:
            listener.close()
        raise BurnishError(
            f"cannot listen on {host} port {port}: {wrong.strerror or wrong}",
            hint="choose another port, or 0 for a free one",
        ) from wrong
    return listener
