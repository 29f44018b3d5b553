"""Requests per second, latency, cold start and memory of burnish and its peers, same model, same texts, one run.

    python benchmarks/serve.py --deploy runs/x/deploy --model runs/x/model [--texts texts.txt] [--seconds 8]

--deploy: a folder with model.onnx, tokenizer.json, burnish.json. --model: the same network as transformers saves it,
for the pipeline; without it that peer is left out. A classifier or a tagger. Peers: pip install fastapi litserve uvicorn.
Every request carries one text of 5 to 60 words; clients keep their connection and ask again when they are answered.
Load comes from a process of its own, over the loopback only, and shares the cores with the server, for everybody alike.
Servers take turns, --rounds times, and each cell is the median over rounds: what else the machine does falls on all of
them. CPU-seconds are those of the server and all it started, for 1,000 requests; the load's own are not among them.
The limit is ONNX Runtime on the same texts, sorted into batches, one thread per core, without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import lzma
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

CLIENTS = (1, 8, 32)
COMPARED = 200  # texts whose answers are laid beside those of the first server
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "sst2-en" / "train.tsv.xz"


def read_texts(path: Path | None, count: int = 4096) -> list[str]:
    """Texts of 5 to 60 words: lines of a file, else SST-2 where it lies beside the repository, else made-up ones."""
    if path:
        lines = path.read_text("utf-8").splitlines()
    elif SHARED.exists():
        with lzma.open(SHARED, "rt", encoding="utf-8") as file:
            lines = [line.rsplit("\t", 1)[0] for line in file]
    else:
        words = "the film a plot is was great dull bright slow actor scene story and of with without never always"
        draw = random.Random(0)
        lines = [" ".join(draw.choices(words.split(), k=draw.randint(5, 60))) for _ in range(count)]
    lines = [line for line in lines if 5 <= len(line.split()) <= 60]
    random.Random(0).shuffle(lines)
    return lines[:count]


# What answers for a task of ours in transformers.
PIPELINES: dict[str, tuple[str, dict[str, Any]]] = {
    "classification": ("text-classification", {"top_k": None}),
    "tagging": ("token-classification", {"aggregation_strategy": "first"}),
}


def task_of(folder: Path) -> str:
    return str(json.loads((folder / "burnish.json").read_text("utf-8"))["task"]["type"])


def plain(value: Any) -> Any:
    """Numbers of numpy, which FastAPI does not write, as Python's."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else getattr(value, "item", lambda: value)()


# -- servers; each runs in its own process: `serve.py --contender NAME`


def burnish(args: argparse.Namespace) -> None:
    from burnish.serve.http import serve

    serve(args.deploy, port=args.port)


def pipeline(args: argparse.Namespace) -> None:
    import fastapi
    import transformers
    import uvicorn

    kind, settings = PIPELINES[task_of(args.model)]
    answer = transformers.pipeline(kind, model=str(args.model), device="cpu", **settings)
    app = fastapi.FastAPI()

    @app.post("/v1/predict")
    async def predict(body: dict) -> dict:  # type: ignore[type-arg]
        return {"predictions": plain(answer(body["inputs"]))}

    uvicorn.run(app, port=args.port, log_level="warning", access_log=False)


def litserve(args: argparse.Namespace) -> None:
    import serve_litserve  # a file of its own: LitServe pickles the class into its workers

    serve_litserve.run(args.deploy, args.port, args.batch_timeout)


CONTENDERS = {"burnish": burnish, "pipeline": pipeline, "litserve": litserve}


# -- load: `serve.py --load`


class Client(asyncio.Protocol):
    """Ask, wait for the whole answer, ask again; bytes only, so that the load takes little of the cores."""

    def __init__(self, requests: list[bytes], start: int, step: int, end: float, took: list[float]) -> None:
        self.requests, self.at, self.step, self.end, self.took = requests, start, step, end, took
        self.buffer, self.done, self.failed = b"", asyncio.get_running_loop().create_future(), 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.requests[self.at % len(self.requests)])
        self.at += self.step

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self.took.append(now - self.began)
        self.buffer = body[length:]
        if now < self.end:
            self.ask()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server hung up"))


async def press(port: int, texts: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Load a server with `clients` connections; requests/s and latency in ms, the first fifth not counted."""
    bodies = [json.dumps({"inputs": [text]}, ensure_ascii=False).encode() for text in texts]
    head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [head.encode() + b"%d\r\n\r\n" % len(body) + body for body in bodies]
    loop = asyncio.get_running_loop()

    async def phase(length: float) -> tuple[list[float], int, float]:
        took: list[float] = []
        began = time.perf_counter()
        made = [
            await loop.create_connection(
                lambda n=n: Client(requests, n, clients, began + length, took), "127.0.0.1", port
            )
            for n in range(clients)
        ]
        await asyncio.gather(*(client.done for _, client in made))
        return took, sum(client.failed for _, client in made), time.perf_counter() - began

    warm, _, _ = await phase(seconds / 4)
    took, failed, spent = await phase(seconds)
    took.sort()
    return {
        "rps": len(took) / spent,
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[min(len(took) - 1, int(0.99 * len(took)))],
        "failed": failed,
        "asked": len(warm) + len(took),
    }


# -- measuring


def start(name: str, args: argparse.Namespace) -> tuple[subprocess.Popen[bytes], int, float]:
    """Start a server and wait for its first answer; its process, port and the seconds that took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--contender", name, "--port", str(port), "--deploy", str(args.deploy)]
    command += ["--model", str(args.model)] if args.model else []
    command += ["--batch-timeout", str(args.batch_timeout)]
    began = time.perf_counter()
    log = Path(tempfile.gettempdir()) / f"bench-{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
    body = b'{"inputs":["is anybody there at all ?"]}'
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                if client.recv(65536).startswith(b"HTTP/1.1 200"):
                    return process, port, time.perf_counter() - began
        except OSError:
            pass
        if process.poll() is not None or time.perf_counter() - began > 120:
            end(process)
            raise SystemExit(f"{name} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def tree(pid: int) -> list[int]:
    """A process and all it started, from whichever of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(found for one in lists for child in one.read_text().split() for found in tree(int(child)))]


def cpu_s(pid: int) -> float:
    """CPU-seconds that a process and all it started have taken so far."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all it started, in MiB; pages they share are counted once for each."""
    kib = 0
    for one in tree(pid):
        status = Path(f"/proc/{one}/status").read_text()
        kib += int(status.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in status else 0
    return kib / 1024


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One turn of one server: what each number of clients got, and its answers to the first texts."""
    process, port, cold_s = start(name, args)
    row: dict[str, Any] = {"name": name, "cold_s": cold_s}
    try:
        for clients in args.clients:
            load = [
                sys.executable,
                __file__,
                "--load",
                str(clients),
                "--port",
                str(port),
                "--seconds",
                str(args.seconds),
            ]
            load += ["--texts", str(args.texts)] if args.texts else []
            before = cpu_s(process.pid)
            told = json.loads(subprocess.run(load, check=True, capture_output=True).stdout)
            row[str(clients)] = told | {"cpu_s_per_1000": 1000 * (cpu_s(process.pid) - before) / told["asked"]}
        row["resident_mb"] = resident_mb(process.pid)
        row["answers"] = [plainly(said(port, text)) for text in read_texts(args.texts)[:COMPARED]]
    finally:
        end(process)
    return row


def said(port: int, text: str) -> Any:
    body = json.dumps({"inputs": [text]}, ensure_ascii=False).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["predictions"][0]


def plainly(answer: Any) -> Any:
    """An answer as what can be compared: the label, or the spans as (start, end, label). The pipeline has lists of its own."""
    if isinstance(answer, dict) and "label" in answer:
        return answer["label"]
    if isinstance(answer, list) and answer and "score" in answer[0] and "start" not in answer[0]:
        return max(answer, key=lambda one: one["score"])["label"]
    spans = answer["spans"] if isinstance(answer, dict) else answer
    return [(one["start"], one["end"], one.get("label") or one["entity_group"]) for one in spans]


def median(rows: list[dict[str, Any]], clients: list[int]) -> dict[str, Any]:
    """The turns of one server as one row."""
    made: dict[str, Any] = {"name": rows[0]["name"], "answers": rows[0]["answers"]}
    for name in ("cold_s", "resident_mb"):
        made[name] = statistics.median(row[name] for row in rows)
    for n in map(str, clients):
        made[n] = {key: statistics.median(row[n][key] for row in rows) for key in rows[0][n]}
        made[n]["failed"] = sum(row[n]["failed"] for row in rows)
    return made


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server and what it started; some leave their workers behind."""
    processes = tree(process.pid)[1:] if process.poll() is None else []
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in processes:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def limit(args: argparse.Namespace) -> float:
    """Texts per second of the exported model without HTTP, tokenisation included: the better of two passes."""
    from burnish.tasks.predictor import load

    predictor = load(args.deploy)
    inputs = [predictor.task.input(text) for text in read_texts(args.texts)]
    predictor.engine.outputs(predictor.encode(inputs[:256]))
    best = 0.0
    for _ in range(2):
        began = time.perf_counter()
        predictor.engine.outputs(predictor.encode(inputs))
        best = max(best, len(inputs) / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deploy", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(CONTENDERS))
    parser.add_argument("--out", type=Path, help="a page to write, benchmarks/results/serve.md say")
    parser.add_argument(
        "--batch-timeout", type=float, default=0.0, help="LitServe's, in seconds; 0 waits for nobody, as burnish does"
    )
    parser.add_argument("--contender", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        return CONTENDERS[args.contender](args)
    if args.load:
        import uvloop

        print(json.dumps(uvloop.run(press(args.port, read_texts(args.texts), args.load, args.seconds))))
        return None
    if not args.deploy:
        parser.error("--deploy FOLDER")
    names = args.only or [name for name in CONTENDERS if args.model or name != "pipeline"]
    ceiling = limit(args)
    turns = [[measure(name, args) for name in names] for _ in range(args.rounds)]
    rows = [median(list(own), args.clients) for own in zip(*turns, strict=True)]
    shown = table(rows, ceiling, args.clients)
    print(shown, file=sys.stderr)
    if args.out:
        args.out.write_text(page(args, shown), encoding="utf-8")
    print(
        json.dumps({"limit_rps": ceiling, "rows": [{k: v for k, v in row.items() if k != "answers"} for row in rows]})
    )
    return None


def table(rows: list[dict[str, Any]], ceiling: float, clients: list[int]) -> str:
    most, first = str(max(clients)), rows[0]
    heads = [*(f"{n} rps (p50/p99 ms)" for n in clients), f"{first['name']} is faster at {most}"]
    heads += [f"CPU-s per 1,000 at {most}", "of limit", "cold s", "MiB", "same answers"]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for row in rows:
        cells = [f"{row[str(n)]['rps']:.0f} ({row[str(n)]['p50_ms']:.1f}/{row[str(n)]['p99_ms']:.1f})" for n in clients]
        same = sum(a == b for a, b in zip(row["answers"], first["answers"], strict=True)) / len(first["answers"])
        cells += ["" if row is first else f"{first[most]['rps'] / row[most]['rps']:.1f} times"]
        cells += [f"{row[most]['cpu_s_per_1000']:.2f}", f"{row[most]['rps'] / ceiling:.0%}"]
        cells += [f"{row['cold_s']:.2f}", f"{row['resident_mb']:.0f}", f"{same:.1%}"]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    failed = sum(int(row[str(n)]["failed"]) for row in rows for n in clients)
    return "\n".join([*lines, "", f"limit: {ceiling:.0f} texts/s without HTTP; requests that failed: {failed}"])


def named(folder: Path | None) -> str:
    """Where a model lies, without what comes before its project."""
    return "/".join(folder.parts[-5:]) if folder and folder.is_absolute() else str(folder)


def page(args: argparse.Namespace, shown: str) -> str:
    card = json.loads((args.deploy / "burnish.json").read_text("utf-8"))
    names = ("onnxruntime", "torch", "transformers", "fastapi", *(["litserve"] if "litserve" in shown else []))
    note = f" --batch-timeout {args.batch_timeout:g}" if "litserve" in shown else ""
    return f"""# Serving: {card["task"]["type"]}

command: python benchmarks/serve.py --deploy {named(args.deploy)} --model {named(args.model)} --seconds {args.seconds:g} --rounds {args.rounds}{note}  
model: {card["backbone"]}, {card["precision"]}, for burnish and LitServe; PyTorch, fp32, for the pipeline  
date: {time.strftime("%Y-%m-%d")}  
load of the machine at the end, {os.cpu_count()} cores, the load generator's included: {os.getloadavg()[0]:.1f}  
threads: OMP_NUM_THREADS={os.environ.get("OMP_NUM_THREADS", "not set")}  
versions: {", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)}  

Requests a second, one text of 5 to 60 words each; medians of {args.rounds} turns. LitServe: batches of up to 32, a worker a
core. Same answers: the same label, or the same spans, as the first server on {COMPARED} texts; the pipeline has fp32 weights.

{shown}
"""


if __name__ == "__main__":
    main()
