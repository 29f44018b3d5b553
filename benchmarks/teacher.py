"""How many answers a second the teacher's client takes in, beside OpenAI's own client, and what faults cost it.

    python benchmarks/teacher.py --count 1000

The server and the proxy that spoils answers are those of the tests (tests/construct/upstream.py), each a process of its own on
this machine, so what is measured is the client. OpenAI's client caches nothing, keeps no budget and asks as often as it is
told; it is given the same concurrency and its own two retries. The two take turns; the best of `--times` counts. Rates are on
the clock and a CPU-second of the client's process: where others share the cores, the latter are the ones to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.construct.teachers import OpenAI, Question, ask
from burnish.core.pipeline import machine
from burnish.core.progress import Silent
from burnish.core.stage import Context, TaskSpec

HERE = Path(__file__).parent
UPSTREAM = HERE.parent / "tests" / "construct" / "upstream.py"
CONCURRENCY = 16


def text(number: int) -> str:
    return f"Which colour is it?\nText:\nthing {number} is {('red', 'green', 'blue')[number % 3]}\nAnswer in JSON."


@contextmanager
def listening(folder: Path, name: str, *arguments: str) -> Iterator[str]:
    """A process of upstream.py; gives its port."""
    port_file = folder / name
    process = subprocess.Popen([sys.executable, str(UPSTREAM), arguments[0], str(port_file), *arguments[1:]])
    try:
        while not port_file.exists():
            time.sleep(0.02)
        yield port_file.read_text()
    finally:
        process.kill()
        process.wait()


def rates_of(count: int, began: float, spent: float) -> tuple[float, float]:
    """A second on the clock, and a CPU-second."""
    return round(count / (time.perf_counter() - began), 1), round(count / (time.process_time() - spent), 1)


def ours(port: str, count: int, folder: Path) -> tuple[tuple[float, float], dict[str, Any]]:
    """Answers a second of `ask`; what happened on the wire."""
    context = Context(TaskSpec(), 0, folder, folder / "scratch", folder / "cache", Silent())
    teacher = OpenAI(f"http://127.0.0.1:{port}/v1", "m", concurrency=CONCURRENCY, timeout=3.0)
    questions = (Question(str(i), [{"role": "user", "content": text(i)}]) for i in range(count))
    began, spent = time.perf_counter(), time.process_time()
    replies = ask(teacher, questions, context=context, name="bench", read=lambda said, _: json.loads(said)["label"])
    labels = [reply.value for reply in replies]
    rates = rates_of(count, began, spent)
    assert labels == [("red", "green", "blue")[i % 3] for i in range(count)]
    return rates, replies.weather


def theirs(port: str, count: int) -> tuple[float, float]:
    """Answers a second of openai.AsyncOpenAI with as many at once."""
    import openai

    async def run() -> list[str]:
        gate = asyncio.Semaphore(CONCURRENCY)
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:

            async def one(number: int) -> str:
                async with gate:
                    made = await client.chat.completions.create(
                        model="m",
                        messages=[{"role": "user", "content": text(number)}],
                        temperature=0,
                        extra_headers={"idempotency-key": f"{time.time()} {number}"},
                    )
                return str(made.choices[0].message.content)

            return await asyncio.gather(*(one(number) for number in range(count)))

    began, spent = time.perf_counter(), time.process_time()
    said = asyncio.run(run())
    assert len(said) == count
    return rates_of(count, began, spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--times", type=int, default=3)
    settings = parser.parse_args()
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "openai": [], "ours, cached": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with listening(root, "server", "serve") as port:
            for turn in range(settings.times):
                folder = root / f"ours-{turn}"
                runs["ours"].append(ours(port, settings.count, folder)[0])
                runs["openai"].append(theirs(port, settings.count))
                runs["ours, cached"].append(ours(port, settings.count, folder)[0])
            with listening(root, "proxy", "spoil", port, "7", "0.06") as spoiled:
                one, wire = ours(spoiled, settings.count, root / "spoiled")
                runs["ours, 6% spoiled"] = [one]
    rates = {what: [max(column) for column in zip(*found, strict=True)] for what, found in runs.items()}
    command = f"python benchmarks/teacher.py --count {settings.count} --times {settings.times}"
    made = {
        "command": command,
        "machine": machine(),
        "python": platform.python_version(),
        "concurrency": CONCURRENCY,
        "answers_per_s_and_cpu_s": rates,
        "ratio_to_openai": [round(a / b, 2) for a, b in zip(rates["ours"], rates["openai"], strict=True)],
        "faults": wire["faults"],
        "tried_again": wire["tried_again"],
    }
    (HERE / "results" / "teacher.json").write_text(
        json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    rows = "\n".join(f"| {what} | {wall:,.1f} | {cpu:,.1f} |" for what, (wall, cpu) in rates.items())
    faults = ", ".join(f"{number} {what}" for what, number in sorted(wire["faults"].items()))
    page = f"""# The teacher's client

`{command}`, {machine()}, {CONCURRENCY} at once, {settings.count:,} questions, best of {settings.times}, server and proxy on the same machine.

| client | answers a second | answers a CPU-second |
|---|---|---|
{rows}

Beside OpenAI's client: {made["ratio_to_openai"][1]} times as many a CPU-second, with cache, budget and ledger. Spoiled: {faults};
every question got its answer.
"""
    (HERE / "results" / "teacher.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
