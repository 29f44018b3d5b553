"""Many clients, little room, a stop in the middle, and who is let in."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from burnish.core.errors import BurnishError
from burnish.serve.http import serve

JSON = {"Content-Type": "application/json"}


async def converse(port: int, body: bytes, *, times: int = 1) -> list[tuple[int, bytes]]:
    """One client on one connection: status and body of each answer; status 0 when the server hung up instead."""
    answers: list[tuple[int, bytes]] = []
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return answers
    try:
        for _ in range(times):
            writer.write(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            answers.append((int(head[9:12]), await reader.readexactly(length)))
            if b"connection: close" in head.lower():
                break
    except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
        answers.append((0, b""))
    finally:
        writer.close()
    return answers


def body_of(*texts: str) -> bytes:
    return json.dumps({"inputs": texts}).encode()


def test_two_hundred_clients_each_get_their_own_answer(server: Any) -> None:
    texts = [" ".join(["abc"[n % 3]] * (1 + n % 7) + ["x"] * (n % 11)) for n in range(200)]

    async def everybody() -> list[list[tuple[int, bytes]]]:
        return await asyncio.gather(*(converse(server.port, body_of(text, "b"), times=3) for text in texts))

    for n, answers in enumerate(asyncio.run(everybody())):
        assert len(answers) == 3
        for status, body in answers:
            assert status == 200
            mine, other = json.loads(body)["predictions"]
            counts = 2.718281828 ** (1 + n % 7)
            assert mine["label"] == "abc"[n % 3] and other["label"] == "b"
            assert mine["score"] == pytest.approx(counts / (counts + 2), abs=1e-4)


def test_a_stop_under_load_loses_nothing(slow_model: Path, start: Callable[..., Any]) -> None:
    server = start(slow_model)

    async def press() -> list[list[tuple[int, bytes]]]:
        clients = [asyncio.create_task(converse(server.port, body_of("a b b"), times=100_000)) for _ in range(40)]
        await asyncio.sleep(1.0)
        server.process.terminate()
        return await asyncio.wait_for(asyncio.gather(*clients), 20)

    answers = [answer for each in asyncio.run(press()) for answer in each]
    statuses = {status for status, _ in answers}
    assert statuses <= {200, 503}  # finished, or told to go elsewhere: never hung up on
    assert sum(status == 200 for status, _ in answers) > 40
    assert server.end() == 0


def test_a_full_queue_says_when_to_come_back(slow_model: Path, start: Callable[..., Any]) -> None:
    server = start(slow_model, max_queue=8, max_inputs=8, workers=1, max_batch_tokens=16)

    async def press() -> list[list[tuple[int, bytes]]]:
        return await asyncio.gather(*(converse(server.port, body_of(*["a"] * 4)) for _ in range(60)))

    answers = [answer for each in asyncio.run(press()) for answer in each]
    assert {status for status, _ in answers} == {200, 503}
    refused = next(json.loads(body) for status, body in answers if status == 503)
    assert refused["error"]["type"] == "overloaded"
    assert httpx.post(server.url + "/v1/predict", content=body_of("a"), headers=JSON).status_code == 200
    assert server.end() == 0


def test_a_request_past_its_deadline_is_given_up(slow_model: Path, start: Callable[..., Any]) -> None:
    server = start(slow_model, workers=1, max_batch_tokens=16, request_timeout_s=0.05)

    async def press() -> list[list[tuple[int, bytes]]]:
        return await asyncio.gather(*(converse(server.port, body_of(*["a"] * 50)) for _ in range(10)))

    statuses = [status for each in asyncio.run(press()) for status, _ in each]
    assert 504 in statuses and set(statuses) <= {200, 504}
    assert httpx.get(server.url + "/healthz").status_code == 200
    page = httpx.get(server.url + "/metrics").text
    assert 'burnish_errors_total{type="deadline"}' in page


def test_a_client_that_never_ends_its_request_does_not_hold_up_the_others(
    model: Path, start: Callable[..., Any]
) -> None:
    server = start(model, read_timeout_s=1.0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        assert httpx.post(server.url + "/v1/predict", content=body_of("a"), headers=JSON).status_code == 200
        began = time.monotonic()
        assert slow.recv(65536).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 5


def test_the_process_wakes_neither_torch_nor_transformers(server: Any, model: Path) -> None:
    assert httpx.post(server.url + "/v1/predict", content=body_of("a"), headers=JSON).status_code == 200
    mapped = Path(f"/proc/{server.process.pid}/maps")
    if mapped.exists():
        assert "libtorch" not in mapped.read_text()
    script = (
        "import sys, burnish.serve.http, burnish.nn.runtime as r\n"
        "import burnish.tasks.predictor as p\n"
        f"p.load({str(model)!r}).predict(['a'])\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'pydantic', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_beyond_this_machine_a_token_is_required_and_the_error_says_how(model: Path) -> None:
    with pytest.raises(BurnishError, match="token_urlsafe") as raised:
        serve(model, host="0.0.0.0")
    assert "other machines" in str(raised.value)


def test_a_short_token_is_refused(model: Path, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret\n", encoding="ascii")
    with pytest.raises(BurnishError, match="16 characters"):
        serve(model, token_file=token_file)


def test_only_who_knows_the_token_is_answered(model: Path, tmp_path: Path, start: Callable[..., Any]) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("correct-horse-battery\n", encoding="ascii")
    os.chmod(token_file, stat.S_IRUSR)
    server = start(model, token_file=str(token_file))

    def ask(path: str, **headers: str) -> int:
        if path == "/v1/predict":
            return httpx.post(server.url + path, content=body_of("a"), headers={**JSON, **headers}).status_code
        return httpx.get(server.url + path, headers=headers).status_code

    for path in ("/v1/predict", "/metrics", "/v1/models"):
        assert ask(path) == ask(path, Authorization="Bearer correct-horse-batterz") == 401
        assert ask(path, Authorization="Basic correct-horse-battery") == 401
        assert ask(path, Authorization="Bearer correct-horse-battery") == 200
    assert ask("/healthz") == ask("/readyz") == ask("/") == 200
    assert server.end() == 0


def test_a_port_in_use_and_two_models_of_one_name_are_told(model: Path, server: Any) -> None:
    with pytest.raises(BurnishError, match="cannot listen"):
        serve(model, port=server.port)
    with pytest.raises(BurnishError, match="two models are called"):
        serve([model, model])
    with pytest.raises(BurnishError, match="max_queue"):
        serve(model, max_inputs=10, max_queue=5)
