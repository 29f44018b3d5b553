"""A run of five thousand questions through a proxy that spoils one in ten, killed half way: none lost, none paid twice.

The server, the proxy and the run are processes of their own (tests/construct/upstream.py).
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

COUNT, CONCURRENCY, RATE = 5000, 32, 0.1
HERE = Path(__file__).parent
SPEC = """
burnish: 1
name: {name}
task: {{type: classification, labels: [red, green, blue]}}
sources: {{use: jsonl, path: raw.jsonl}}
construct:
  - {{use: teacher, base_url: "http://127.0.0.1:{port}/v1", model: stub, concurrency: {concurrency}, timeout: 3, max_cost: 1}}
store: {{path: {name}-runs}}
"""


def started(folder: Path, name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """A process of upstream.py, and the port it listens at."""
    port_file = folder / name
    what = "serve" if name == "server" else "spoil"
    process = subprocess.Popen([sys.executable, str(HERE / "upstream.py"), what, str(port_file), *arguments])
    began = time.monotonic()
    while not port_file.exists():
        assert process.poll() is None and time.monotonic() - began < 20
        time.sleep(0.02)
    return process, int(port_file.read_text())


@contextmanager
def world(folder: Path) -> Iterator[int]:
    """The server and the proxy; gives the proxy's port."""
    server, port = started(folder, "server")
    proxy, spoiled = started(folder, "proxy", str(port), "7", str(RATE))
    try:
        yield spoiled
    finally:
        for process in (proxy, server):
            process.kill()
            process.wait()


def write(folder: Path, name: str, port: int) -> Path:
    spec = folder / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, port=port, concurrency=CONCURRENCY), encoding="utf-8")
    return spec


def command(spec: Path) -> list[str]:
    return [sys.executable, "-m", "burnish.cli", "run", str(spec), "--to", "construct"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def votes(folder: Path, name: str) -> bytes:
    [found] = (folder / f"{name}-runs" / name / "construct").glob("votes.parquet")
    return found.read_bytes()


@pytest.mark.slow
def test_five_thousand_questions_none_lost_none_paid_twice_killed_half_way(tmp_path: Path) -> None:
    colours = ("red", "green", "blue")
    truth = [colours[(number * 7) % 3] for number in range(COUNT)]
    texts = [f"thing {number} is {colour}" for number, colour in enumerate(truth)]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    with world(tmp_path) as port:
        spec = write(tmp_path, "killed", port)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        first = subprocess.Popen(command(spec), env=os.environ, **quiet)
        database = tmp_path / "killed-runs" / "cache" / "teacher.sqlite"
        while answered(database) < COUNT // 2:
            assert first.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait()
        kept = answered(database)
        sent_before = {line["key"] for line in lines(tmp_path / "server.log")}
        began = time.monotonic()
        second = subprocess.run(command(spec), env=os.environ, capture_output=True, text=True)
        took = time.monotonic() - began
        assert second.returncode == 0, second.stderr
        seen = lines(tmp_path / "proxy.log")

        # the same in one go, without a kill, from its own store: the same bytes
        whole = subprocess.run(command(write(tmp_path, "whole", port)), env=os.environ, capture_output=True, text=True)
        assert whole.returncode == 0, whole.stderr
    print(f"{(COUNT - kept) / took:.0f} answers a second with faults")

    table = pq.read_table(tmp_path / "killed-runs" / "killed" / "construct" / "votes.parquet")
    assert dict(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True)) == dict(enumerate(truth))
    assert votes(tmp_path, "killed") == votes(tmp_path, "whole")

    faults = Counter(line["fault"] for line in seen if line.get("fault"))
    assert set(faults) >= {"429", "500", "503", "silence", "cut_before", "cut_amid", "broken", "truncated"}
    # an answer that came whole is never asked for again; only what was on its way when the kill came may be
    delivered = Counter(line["key"] for line in seen if line.get("delivered"))
    twice = [key for key, times in delivered.items() if times > 1]
    assert len(delivered) == COUNT
    assert len(twice) <= CONCURRENCY
    assert kept >= COUNT // 2 and len(sent_before) >= kept
    # and what was asked again after a fault carried the key of the first time, by which the server bills once
    billed = Counter(line["key"] for line in lines(tmp_path / "server.log") if line["billed"])
    assert set(billed.values()) == {1} and len(billed) == COUNT


def answered(database: Path) -> int:
    """How many answers are committed."""
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as link:
            found = int(link.execute("select count(*) from answers").fetchone()[0])
        link.close()
        return found
    except sqlite3.OperationalError:
        return 0
