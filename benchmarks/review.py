"""The review page at 1,000 and 100,000 records, and what the order of its queue is worth.

    python benchmarks/review.py --data ../shared/data [--records 1000 100000] [--out benchmarks/results/review]

Speed: real texts (SST-2, ChnSentiCorp), repeated with a number behind them, three votes and probabilities each; a server of
our own on loopback answers 100 requests of each kind, a decision with its fsync among them. ms: median and 95th percentile
as a client sees them. Memory: what the process holds more once the records are open.
Worth: 4,000 real texts with their true labels; five simulated labellers (accuracy 0.85 to 0.6, coverage 0.3 to 0.8, one of
them wrong on one kind of text) vote, majority labels, a person who is always right looks at 300 records in rounds of 50.
Which share of looks changed something: in the order of the file, drawn at random, in the order of the queue, by
uncertainty alone.
"""

from __future__ import annotations

import argparse
import json
import lzma
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from burnish.core.artifacts import Records, write_json
from burnish.core.progress import Silent
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, TaskSpec
from burnish.core.tasktypes import open_task
from burnish.review._web import server
from burnish.review.queue import queue
from burnish.review.session import Session
from burnish.review.shelf import Shelf
from burnish.review.verdicts import Verdict, append

LABELS = ("negative", "positive")
TASK = TaskSpec("classification", LABELS, {}, ("en", "zh"))
REQUESTS = 100
LOOKS, ROUND = 300, 50
HEADERS = {"X-Burnish": "review"}
LABELLERS = ((0.85, 0.3), (0.8, 0.5), (0.75, 0.8), (0.7, 0.8), (0.6, 0.6))


def texts(data: Path) -> list[tuple[str, int, str]]:
    """(text, label, language), English and Chinese by turns."""
    made = []
    for folder, language, turn in (("sst2-en", "en", False), ("chnsenticorp-zh", "zh", True)):
        with lzma.open(data / folder / "train.tsv.xz", "rt", encoding="utf-8") as lines:
            pairs = [
                line.rstrip("\n").rsplit("\t", 1) if not turn else line.rstrip("\n").split("\t", 1)[::-1]
                for line in lines
                if "\t" in line
            ]
        made.append([(text, int(label), language) for text, label in pairs if label in ("0", "1")])
    return [one for both in zip(*made, strict=False) for one in both]


def voted(rng: np.random.Generator, text: str, label: int) -> list[dict[str, Any]]:
    """What simulated labellers say; the last is wrong on every text with a question mark."""
    votes = []
    for number, (accuracy, coverage) in enumerate(LABELLERS):
        if rng.random() < coverage:
            right = rng.random() < accuracy and not (number == 4 and ("?" in text or "？" in text))
            votes.append(
                {"labeller": f"rule{number}", "label": LABELS[label if right else 1 - label], "confidence": 1.0}
            )
    return votes


def labelled(rows: list[tuple[str, int, str]], seed: int) -> list[Record]:
    rng = np.random.default_rng(seed)
    made = []
    for text, label, language in rows:
        votes = voted(rng, text, label)
        share = (sum(vote["label"] == LABELS[1] for vote in votes) + 0.5) / (len(votes) + 1)
        said = int(share > 0.5) if share != 0.5 else int(rng.integers(2))
        made.append(
            Record(
                text,
                label=LABELS[said],
                probs=[1 - share, share],
                confidence=max(share, 1 - share),
                votes=votes,
                language=language,
                source=language,
                label_from="aggregate:majority",
            )
        )
    return made


def context(folder: Path) -> Context:
    return Context(TASK, 0, folder, folder / "scratch", folder / "cache", Silent(), name="bench")


def memory() -> float:
    """MiB that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def speed(rows: list[tuple[str, int, str]], count: int, folder: Path) -> dict[str, Any]:
    many = [
        (f"{text} {at // len(rows)}" if at >= len(rows) else text, label, language)
        for at in range(count)
        for text, label, language in [rows[at % len(rows)]]
    ]
    table = assign_ids(to_table(labelled(many, 0)), SeenCounts())
    Records.from_table(table).save(folder)
    del table
    records = Records.from_parquet(folder / "records.parquet")
    began = time.perf_counter()
    looks = queue(records, context(folder), budget=200).facts["queue"]
    queued = time.perf_counter() - began
    before = memory()
    began = time.perf_counter()
    task = open_task(TASK)
    session = Session(
        Shelf(records, task, task.editors(), ["label", "source", "language"]),
        folder / "bench.verdicts.jsonl",
        looks=looks,
    )
    opened = time.perf_counter() - began
    held = memory() - before
    listener = server._listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(server.application(session), log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    rng = np.random.default_rng(1)
    words = [text.split()[0] if " " in text else text[2:5] for text, _, _ in rows]
    found: dict[str, Any] = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:

        def times(name: str, ask: Any) -> None:
            taken = []
            for _ in range(REQUESTS):
                start = time.perf_counter()
                answer = ask()
                taken.append(1000 * (time.perf_counter() - start))
                assert answer.status_code == 200, answer.text
            found[name] = {
                "median_ms": round(statistics.median(taken), 2),
                "p95_ms": round(sorted(taken)[int(0.95 * REQUESTS)], 2),
            }

        some = lambda: session.shelf.ids[int(rng.integers(count))]  # noqa: E731
        get = lambda **query: client.get("/api/records", params={"reviewer": "ann", **query})  # noqa: E731
        times("list, open", lambda: get(queue="all", state="open"))
        times("list, any place", lambda: get(queue="all", cursor=int(rng.integers(count))))
        times(
            "list, by label and slice",
            lambda: get(queue="all", label="positive", slice="language=zh", cursor=int(rng.integers(count))),
        )
        times("search, new words", lambda: get(queue="all", search=words[int(rng.integers(len(words)))]))
        times("record", lambda: client.get("/api/record", params={"id": some(), "reviewer": "ann"}))
        times(
            "decision, on disk",
            lambda: client.post(
                "/api/verdict",
                headers=HEADERS,
                json={
                    "id": some(),
                    "reviewer": "ann",
                    "verdict": "change",
                    "target": {"label": LABELS[int(rng.integers(2))]},
                },
            ),
        )
        times("progress", lambda: client.get("/api/progress", params={"reviewer": "ann"}))
    running.should_exit = True
    thread.join(10)
    listener.close()
    return {
        "records": count,
        "queue_s": round(queued, 2),
        "open_s": round(opened, 2),
        "memory_mib": round(held, 1),
        "requests": found,
    }


def worth(rows: list[tuple[str, int, str]], seeds: int, folder: Path) -> dict[str, Any]:
    """Share of looks that changed something, by order: mean and spread over seeds, after each round."""
    found: dict[str, list[list[float]]] = {"random": [], "uncertainty": [], "queue": []}
    base = 0.0
    for seed in range(seeds):
        made = labelled(rows, seed)
        for at, one in enumerate(made):
            one.id = str(at)
        records = Records.from_rows(made)
        wrong = np.array([one.label != LABELS[label] for one, (_, label, _) in zip(made, rows, strict=True)])
        base += wrong.mean() / seeds
        rng = np.random.default_rng(seed)
        orders = {
            "random": rng.permutation(len(rows)),
            "uncertainty": np.argsort([one.confidence for one in made], kind="stable"),
        }
        for name, order in orders.items():
            found[name].append([float(wrong[order[:looks]].mean()) for looks in range(ROUND, LOOKS + 1, ROUND)])
        path = folder / f"bench{seed}.verdicts.jsonl"
        hits: list[bool] = []
        after = []
        for _ in range(LOOKS // ROUND):
            facts = queue(records, context(folder), budget=ROUND, verdicts=path.name, slices=["label", "source"]).facts
            chosen = [one["row"] for one in facts["queue"]]
            hits += [bool(wrong[row]) for row in chosen]
            after.append(float(np.mean(hits)))
            append(
                path,
                [
                    Verdict(str(row), "ann", "change" if wrong[row] else "accept", {"label": LABELS[rows[row][1]]})
                    for row in chosen
                ],
            )
        found["queue"].append(after)
    return {
        "texts": len(rows), "wrong": round(base, 4), "seeds": seeds, "after": list(range(ROUND, LOOKS + 1, ROUND)),
        "share_changed": {name: {"mean": np.mean(runs, 0).round(3).tolist(), "deviation": np.std(runs, 0, ddof=1).round(3).tolist()} for name, runs in found.items()},
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    lines = [
        "# The review page",
        "",
        f"`{found['command']}`",
        "",
        "| | " + " | ".join(f"{one['records']:,} records" for one in found["speed"]) + " |",
        "|---|" + "--:|" * len(found["speed"]),
    ]
    for key, name in (("queue_s", "queue made, s"), ("open_s", "page opened, s"), ("memory_mib", "memory held, MiB")):
        lines.append(f"| {name} | " + " | ".join(f"{one[key]:g}" for one in found["speed"]) + " |")
    for name in found["speed"][0]["requests"]:
        told = [one["requests"][name] for one in found["speed"]]
        lines.append(
            f"| {name}, ms (95th) | "
            + " | ".join(f"{one['median_ms']:.1f} ({one['p95_ms']:.1f})" for one in told)
            + " |"
        )
    value = found["worth"]
    lines += [
        "",
        f"{value['wrong']:.1%} of {value['texts']:,} labels are wrong. Share of looks that changed something, mean of {value['seeds']} seeds (deviation):",
        "",
        "| order | " + " | ".join(f"{looks} looks" for looks in value["after"]) + " |",
        "|---|" + "--:|" * len(value["after"]),
    ]
    for name, one in value["share_changed"].items():
        lines.append(
            f"| {name} | "
            + " | ".join(
                f"{mean:.3f} ({spread:.3f})" for mean, spread in zip(one["mean"], one["deviation"], strict=True)
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = texts(given.data)
    found: dict[str, Any] = {"command": "python benchmarks/review.py --data ../shared/data", "speed": []}
    for count in given.records:
        with tempfile.TemporaryDirectory() as folder:
            found["speed"].append(speed(rows, count, Path(folder)))
            print(json.dumps(found["speed"][-1]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found["worth"] = worth(rows[:4000], given.seeds, Path(folder))
    print(as_text(found))
    if given.out:
        write_json(given.out.with_suffix(".json"), found)
        given.out.with_suffix(".md").write_text(as_text(found), encoding="utf-8")


if __name__ == "__main__":
    main()
