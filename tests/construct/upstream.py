"""A fast server that speaks OpenAI's chat completions, and a proxy before it that makes faults, each in a process of its own.

    python upstream.py serve PORT_FILE          the server: answers with the last word of the text, bills by key
    python upstream.py spoil PORT_FILE UPSTREAM SEED RATE  the proxy: of all requests, RATE meet a fault

Both write every request they see as one line of JSON into PORT_FILE.log: what a test counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAULTS = ("429", "500", "503", "cut_before", "cut_amid", "broken", "truncated", "slow") * 3 + ("silence",)


async def read_message(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    """Start line, headers and body of a request or a response; None at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return first, headers, await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def response(status: int, body: bytes, **headers: str) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def completion(text: str, tokens_in: int = 10, tokens_out: int = 2) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return json.dumps({"id": "x", "model": "stub", "choices": [choice], "usage": usage}).encode()


class Log:
    def __init__(self, path: Path) -> None:
        self.file = path.open("a", buffering=1)

    def __call__(self, **line: object) -> None:
        self.file.write(json.dumps(line) + "\n")


class Server:
    """Bills each idempotency key once, as gateways that know it do; a key seen again gets the same bytes."""

    def __init__(self, log: Log) -> None:
        self.log, self.told = log, Counter[str]()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while got := await read_message(reader):
            _, headers, body = got
            asked = json.loads(body)["messages"][-1]["content"].split("Text:\n")[-1].split("\n")[0]
            key = headers["idempotency-key"]
            self.told[key] += 1
            self.log(key=key, asked=asked, billed=self.told[key] == 1)
            writer.write(response(200, completion(json.dumps({"label": asked.split()[-1]}))))
            await writer.drain()
        writer.close()


class Spoiler:
    """Hands requests on and spoils some of them; what it does to one hangs on the seed and how often it was asked."""

    def __init__(self, upstream: int, seed: int, rate: float, log: Log) -> None:
        self.upstream, self.seed, self.rate, self.log = upstream, seed, rate, log
        self.times = Counter[str]()
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def fault(self, key: str) -> str:
        self.times[key] += 1
        draw = random.Random(f"{self.seed} {key} {self.times[key]}")
        return draw.choice(FAULTS) if draw.random() < self.rate else ""

    async def passed_on(self, headers: dict[str, str], body: bytes) -> bytes:
        link = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.upstream)
        link[1].write(
            f"POST / HTTP/1.1\r\nidempotency-key: {headers['idempotency-key']}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        got = await read_message(link[0])
        assert got
        self.idle.append(link)
        return got[2]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while got := await read_message(reader):
            _, headers, body = got
            key = headers["idempotency-key"]
            fault = self.fault(key)
            self.log(key=key, fault=fault, began=True)
            if not await self.answer(fault, headers, body, writer):
                break
            if fault in ("", "slow"):
                self.log(key=key, delivered=True)
        writer.close()

    async def answer(self, fault: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection lives on."""
        if fault in ("429", "500", "503"):
            wait = {"retry_after": "0.02"} if fault != "500" else {}
            writer.write(response(int(fault), b'{"error": {"message": "made by the test"}}', **wait))
        elif fault == "cut_before":
            return False
        else:
            said = await self.passed_on(headers, body)
            if fault == "silence":
                await asyncio.sleep(30)  # longer than the client waits
                return False
            if fault == "slow":
                await asyncio.sleep(0.2)
            whole = response(200, said)
            if fault == "cut_amid":
                writer.write(whole[: len(whole) - len(said) // 2])
                await writer.drain()
                return False
            if fault == "broken":
                whole = response(200, b"<html>" + said[: len(said) // 2])
            elif fault == "truncated":
                whole = response(200, said[: len(said) - 20])
            writer.write(whole)
        await writer.drain()
        return True


class Answering:
    """A server in a thread of this process. answer: from the body of a request and its number to what is said: a text, or
    (status, JSON, headers); bodies and headers of all that came are in `asked` and `headers`. After the first `free`
    requests it answers nobody until `crowd` were here at once."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Any]) -> None:
        self.answer, self.asked, self.headers = answer, [], []
        self.away = self.most_away = 0
        self.delay_s, self.crowd, self.free = 0.0, 0, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while got := await read_message(reader):
            _, headers, body = got
            self.asked.append(json.loads(body))
            self.headers.append(headers)
            self.away += 1
            self.most_away = max(self.most_away, self.away)
            said = self.answer(self.asked[-1], len(self.asked))
            await asyncio.sleep(self.delay_s)
            while len(self.asked) > self.free and self.most_away < self.crowd:
                await asyncio.sleep(0.001)  # nobody is answered until as many are here: no clock decides who overlaps
            self.away -= 1
            status, content, extra = said if isinstance(said, tuple) else (200, completion(said), {})
            writer.write(
                response(status, content if isinstance(content, bytes) else json.dumps(content).encode(), **extra)
            )
            await writer.drain()


@contextmanager
def answering(answer: Callable[..., Any]) -> Iterator[Answering]:
    """A server that says what `answer(body, number)` gives."""
    server, loop, ready = Answering(answer), asyncio.new_event_loop(), threading.Event()

    async def begin() -> None:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        server.port, server.listening = listening.sockets[0].getsockname()[1], listening
        ready.set()

    loop.create_task(begin())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:

        async def end() -> None:
            server.listening.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # transports close in the next turn of the loop

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def run(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port_file: Path) -> None:
    old = port_file.with_suffix(".port")
    server = await asyncio.start_server(handle, "127.0.0.1", int(old.read_text()) if old.exists() else 0)
    half = port_file.with_suffix(".half")
    half.write_text(str(server.sockets[0].getsockname()[1]))
    os.replace(half, port_file)
    await server.serve_forever()


def main() -> None:
    what, port_file = sys.argv[1], Path(sys.argv[2])
    log = Log(port_file.with_suffix(".log"))
    if what == "serve":
        asyncio.run(run(Server(log).handle, port_file))
    else:
        spoiler = Spoiler(int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]), log)
        asyncio.run(run(spoiler.handle, port_file))


if __name__ == "__main__":
    main()
