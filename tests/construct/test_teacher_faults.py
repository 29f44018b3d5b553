"""A run of five thousand questions through a proxy that spoils one in seventeen, killed half way: none lost, none paid twice.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

CONCURRENCY, RATE = 32, 0.06
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


def ran(spec: Path) -> None:
    """The run to its end."""
    done = subprocess.run(command(spec), cwd=spec.parent, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def killed(spec: Path, database: Path, count: int) -> int:
    """The run until so many answers are there, then SIGKILL; gives how many are kept."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(spec), cwd=spec.parent, env=os.environ, **quiet)
    while answered(database) < count:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return answered(database)


def story(folder: Path, count: int, *, kill_at: Sequence[int]) -> list[dict[str, Any]]:
    """A run that is killed and taken up again; what the proxy saw. All records get their right label, each paid once."""
    colours = ("red", "green", "blue")
    truth = [colours[(number * 7) % 3] for number in range(count)]
    texts = [f"thing {number} is {colour}" for number, colour in enumerate(truth)]
    (folder / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    database = folder / "killed-runs" / ".store" / "cache" / "teacher.sqlite"
    with world(folder) as port:
        spec = write(folder, "killed", port)
        for at in kill_at:
            kept = killed(spec, database, at)
            assert at <= kept < count
        began = time.monotonic()
        ran(spec)
        print(
            f"{(count - kept) / (time.monotonic() - began):.0f} answers a second, with faults and all else of the run"
        )
        if count < 1000:
            ran(write(folder, "whole", port))  # the same in one go, from its own store
    table = pq.read_table(folder / "killed-runs" / "killed" / "construct" / "votes.parquet")
    assert dict(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True)) == dict(enumerate(truth))
    seen = lines(folder / "proxy.log")
    # an answer that came whole is never asked for again; only what was on its way when a kill came may be
    delivered = Counter(line["key"] for line in seen if line.get("delivered"))
    once = 1 if count >= 1000 else 2  # the second run has a store of its own
    assert len(delivered) == count
    assert sum(times > once for times in delivered.values()) <= CONCURRENCY * len(kill_at)
    # and what is asked again after a fault carries the key of the first time, by which the server bills once
    billed = Counter(line["key"] for line in lines(folder / "server.log") if line["billed"])
    assert set(billed.values()) == {1} and len(billed) == count
    return seen


def test_killed_twice_it_makes_the_same_bytes(tmp_path: Path) -> None:
    story(tmp_path, 300, kill_at=(60, 180))
    assert votes(tmp_path, "killed") == votes(tmp_path, "whole")


@pytest.mark.slow
def test_five_thousand_questions_none_lost_none_paid_twice_killed_half_way(tmp_path: Path) -> None:
    seen = story(tmp_path, 5000, kill_at=(2500,))
    faults = Counter(line["fault"] for line in seen if line.get("fault"))
    assert set(faults) == {"429", "500", "503", "silence", "cut_before", "cut_amid", "broken", "truncated", "slow"}
    assert faults.total() > 250


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
