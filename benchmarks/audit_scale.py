"""The audit without vectors on one core, on several and on Ray: the same bytes, at what price; and its memory as data grows.

    python benchmarks/audit_scale.py speed --data ../shared/data [--texts 50000] [--out benchmarks/results]
    python benchmarks/audit_scale.py memory --data ../shared/data [--megabytes 20 80 320] [--out benchmarks/results]

Corpus: the articles and reviews of benchmarks/quality.py in two languages, over and over, each time with three in ten
words (Chinese: characters) changed for others of the corpus; no labels. Every run is a process of its own that reads
Parquet, audits and writes Parquet. Ray: two nodes on loopback, one core each. CPU seconds: of all processes of the run;
`alone` is what the process that leads took, the rest is spread. Memory: the largest resident set of the process that
leads without mapped files (sampled 20 times a second), less that of the same run on 200 texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ENGINES: dict[str, dict[str, Any]] = {
    "1 process": {}, "2 processes": {"use": "local", "processes": 2}, "Ray, 2 nodes": {"use": "ray"}
}  # fmt: skip


MARK = "BURNISH_BENCHMARK"


def changed(base: list[list[str]], seed: int) -> Iterator[str]:
    """Texts without end: every one of `base` in turn, three in ten of its words others of its language."""
    rng = random.Random(seed)
    pools = [[word for words in texts[:3000] for word in words] for texts in (base[0::2], base[1::2])]
    while True:
        for at, words in enumerate(base):
            pool = pools[at % 2]
            yield "".join(pool[rng.randrange(len(pool))] if rng.random() < 0.3 else word for word in words)


def write(path: Path, data: Path, *, texts: int = 1 << 60, megabytes: float = 1e9) -> tuple[int, float]:
    """Records until there are so many or so many megabytes; how many there are of both."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import quality as speed
    from burnish.core.records import SCHEMA, conform

    both = speed.english(data, 6)[:8000], speed.chinese(data, 6)[:8000]
    cut = [[re.findall(r"\w+\W*|\W+", text) for text in both[0]], [list(text) for text in both[1]]]
    base = [words for pair in zip(*cut, strict=False) for words in pair]
    number, held, made = 0, 0, changed(base, 7)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while number < texts and held < megabytes * 1e6:
            some = [next(made) for _ in range(min(1000, texts - number))]
            ids = [f"r{number + at}" for at in range(len(some))]
            writer.write_table(conform(pa.table({"id": ids, "text": some, "source": ["abc"[at % 3] for at in range(len(some))]})))  # fmt: skip
            number, held = number + len(some), held + sum(len(text.encode()) for text in some)
    return number, held / 1e6


def child(path: Path, work: Path, engine: dict[str, Any], checks: Any) -> None:
    """One audit in this process; prints what it took."""
    os.environ[MARK] = str(os.getpid())
    from burnish.core.artifacts import Records
    from burnish.core.progress import Silent
    from burnish.core.stage import Context, TaskSpec
    from burnish.quality.audit import audit

    with cluster(engine) as engine:
        context = Context(TaskSpec(labels=("a", "b"), languages=("en", "zh")), 0, work, work, work, Silent(), engine=engine)  # fmt: skip
        peak = Peak()
        began, alone = time.monotonic(), time.process_time()
        made = audit(Records.from_parquet(path), context, embed="none", effect="none", checks=checks)
        made.save(work)
        alone, wall = time.process_time() - alone, time.monotonic() - began
        most, spread = peak.end(), peak.spread()
        known = json.dumps(made.facts["audit"], sort_keys=True).encode() + (work / "records.parquet").read_bytes()
        told = {
            "wall_s": round(wall, 1), "cpu_s": round(alone + spread, 1), "alone_s": round(alone, 1), "peak_mb": round(most),
            "same": hashlib.sha256(known).hexdigest()[:16],
        }  # fmt: skip
    print(json.dumps(told))


class Peak:
    """The largest anonymous resident memory of this process in MB, and what the others take."""

    def __init__(self) -> None:
        self.most, self.going = 0.0, True
        self.before = family()
        self.last = dict(self.before)  # of processes that have ended too: Ray's workers end with the audit
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        looks = 0
        while self.going:
            looks += 1
            if looks % 10 == 0:
                self.last |= family()
            found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
            self.most = max(self.most, int(found[1]) / 1024 if found else 0)
            time.sleep(0.05)

    def end(self) -> float:
        self.going = False
        self.thread.join()
        return self.most

    def spread(self) -> float:
        """CPU seconds of the other processes, to half a second each."""
        return sum(self.last.values()) - sum(self.before.values())


def family() -> dict[int, float]:
    """CPU seconds of each of all processes that were started from this one: Ray's own are found by the mark in their environment,
    for they are no children, and its workers, which write over theirs, as their children."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    of: dict[int, tuple[int, float]] = {}
    ours = {os.getpid()}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            of[int(path.name)] = int(fields[1]), sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
            if mark in (path / "environ").read_bytes():
                ours.add(int(path.name))
        except OSError:
            continue  # it has ended
    while more := {pid for pid, (parent, _) in of.items() if parent in ours} - ours:
        ours |= more
    return {pid: of[pid][1] for pid in ours - {os.getpid()} if pid in of}


@contextmanager
def cluster(engine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Two nodes on loopback where the engine is Ray."""
    if engine.get("use") != "ray":
        yield engine
        return
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 200 << 20}
    started = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    started.add_node(**node)
    started.wait_for_nodes()
    yield {"use": "ray", "address": started.address}
    started.shutdown()


def run(path: Path, engine: dict[str, Any], checks: Any = "all") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, __file__, "--child", str(path), work, json.dumps(engine), json.dumps(checks)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def speed(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    rows = []
    number, held = write(folder / "in.parquet", options.data, texts=options.texts)
    for name, engine in ENGINES.items():
        if options.engines and name not in options.engines:
            continue
        load = os.getloadavg()[0]
        row = {"engine": name, "records": number, "megabytes": round(held, 1), "load_before": round(load, 1), **run(folder / "in.parquet", engine)}  # fmt: skip
        rows.append(row)
        print(json.dumps(row), flush=True)
    assert len({row["same"] for row in rows}) == 1, "engines disagree"
    return rows


def memory(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    rows = []
    write(folder / "in.parquet", options.data, texts=200)
    idle = run(folder / "in.parquet", {})["peak_mb"]
    for megabytes in options.megabytes:
        number, held = write(folder / "in.parquet", options.data, megabytes=megabytes)
        told = run(folder / "in.parquet", {"use": "local", "processes": 2} if options.processes else {}, options.checks or "all")  # fmt: skip
        more = told["peak_mb"] - idle
        row = {"records": number, "megabytes": round(held, 1), "idle_mb": idle, "more_mb": more, "bytes_a_record": round(more * 1e6 / number), "bytes_a_byte": round(more / held, 2), **told}  # fmt: skip
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    if sys.argv[1] == "--child":
        child(Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]), json.loads(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[20, 80, 320])
    parser.add_argument("--checks", nargs="+", help="of the audit; all unless said")
    parser.add_argument("--engines", nargs="+", choices=tuple(ENGINES), help="speed: of these alone")
    parser.add_argument("--processes", action="store_true", help="memory: with two processes beside the one that leads")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {"speed": speed, "memory": memory}[options.what](options, Path(folder))
    if options.out:
        path = options.out / f"audit-{options.what}.json"
        whole = {"command": "python benchmarks/audit_scale.py " + " ".join(sys.argv[1:]), "rows": rows}
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
