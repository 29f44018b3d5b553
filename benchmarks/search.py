"""The automatic settings beside a search, on small sets: test scores and what each cost.

    python benchmarks/search.py run sst2 --seed 0         one set: auto, then search; a row of results/search.json
    python benchmarks/search.py table                     results/search.md

Both learn from the same records and choose on the same validation side; the test side is seen once, at the end, by
the model of each. CPU-seconds are those of training and judging.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
VALIDATION, TEST = 200, 1000
SETS: dict[str, tuple[str, str, int]] = {  # backbone, language, training records
    "sst2": ("minilm", "en", 800),
    "trec": ("minilm", "en", 800),
    "thucnews": ("e5-small-zhen", "zh", 600),
}


def rows_of(name: str, shared: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training and test rows of a set."""
    import sets_en
    import sets_zh

    if name == "trec":
        return trec(shared)
    reader = {"sst2": sets_en.sst2, "thucnews": sets_zh.thucnews}[name]
    sides = reader(shared)
    return sides.train, sides.test


def trec(shared: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Questions by what they ask for, six classes."""
    from construct import read_trec

    folder = shared / "trec6-sms-lf-en" / "TREC"
    train, test = (
        [{"text": text, "label": label} for text, label in read_trec(folder, side)] for side in ("train", "test")
    )
    return train, test


def run(name: str, *, seed: int, trials: int, shared: Path, scratch: Path) -> dict[str, Any]:
    """auto and search on one set with one seed."""
    from burnish.core.artifacts import Records, Split
    from burnish.core.progress import Plain
    from burnish.core.records import Record, to_table
    from burnish.core.stage import Context, TaskSpec
    from burnish.tasks import predictor
    from burnish.train.search import search
    from burnish.train.tune import tune

    backbone, language, count = SETS[name]
    train, test = rows_of(name, shared)
    draw = random.Random(seed)
    taught = draw.sample(train, count + VALIDATION)
    judged = random.Random(0).sample(test, min(TEST, len(test)))
    labels = tuple(sorted({row["label"] for row in train}))
    table = {side: to_table(Record(text=row["text"], label=row["label"]) for row in rows) for side, rows in
             (("train", taught[:count]), ("validation", taught[count:]), ("test", judged))}  # fmt: skip
    split = Split(*(Records.from_table(one) for one in table.values()))
    row: dict[str, Any] = kept(name, seed) or {"set": name, "seed": seed, "backbone": backbone, "train": count}
    row |= {"validation": VALIDATION, "test": len(judged), "trials": trials}
    task = TaskSpec("classification", labels, languages=(language,))
    ways: dict[str, Callable[[Context], Any]] = {
        "auto": lambda context: tune(split, None, context, backbone=backbone),
        "search": lambda context: search(split, None, context, tune={"backbone": backbone}, trials=trials),
    }
    for way, make in ways.items():
        if way in row:
            continue
        place = scratch / f"{name}-{seed}-{way}"  # a run that was killed goes on
        place.mkdir(parents=True, exist_ok=True)
        model = make(Context(task, seed, place, place, scratch / "cache", Plain(), "benchmark0000"))
        model.save(model.folder)
        opened = predictor.load(model.folder)
        answers = opened.answers(opened.task.inputs(table["test"]))
        figures = opened.task.figures(opened.task.tally(table["test"], answers).sum(0))
        row[way] = {
            "test": {key: round(float(figures[key]), 4) for key in ("accuracy", "macro_f1")},
            **told(model.info),
        }
        keep(row)
        shutil.rmtree(place)
    return row


def told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of the choice."""
    history = info["history"]["tune"]
    scores = [(one["validation_score"], -one["validation_loss"]) for one in history["epochs"]]
    found = {"validation": round(max(scores)[0], 4), "resolved": history["resolved"]}
    return found | ({"history": info["search"]} if "search" in info else {})


def kept(name: str, seed: int) -> dict[str, Any] | None:
    """The row of a set and seed, as far as it was measured."""
    path = RESULTS / "search.json"
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return next((one for one in rows if (one["set"], one["seed"]) == (name, seed)), None)


def keep(row: dict[str, Any]) -> None:
    """Put a row into results/search.json in place of the one of the same set and seed."""
    path = RESULTS / "search.json"
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    rows = [one for one in rows if (one["set"], one["seed"]) != (row["set"], row["seed"])] + [row]
    rows.sort(key=lambda one: (list(SETS).index(one["set"]), one["seed"]))
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def table() -> str:
    """results/search.md."""
    rows = [row for row in json.loads((RESULTS / "search.json").read_text("utf-8")) if "search" in row]
    lines = ["# The automatic settings beside a search", ""]
    lines += [
        "Made by `python benchmarks/search.py run SET --seed N`; one thread, other work on the machine. Accuracy; the search",
        "varies learning rate, epochs, batch and layer-wise rates (`space: auto`) and chooses on the validation side.",
        "",
        "| set, seed | train / validation / test | auto: rate, epochs | validation, test | search: rate, epochs | validation, test | search − auto on test, points (standard error) | trials, stopped | CPU-s: auto, search |",
        "|---|--:|---|---|---|---|--:|--:|--:|",
    ]
    for row in rows:
        auto, found = row["auto"], row["search"]
        costs = [one["cpu_seconds"] for one in found["history"]["trials"]]  # the first is what auto does
        states = [one["state"] for one in found["history"]["trials"]]
        gain = 100 * (found["test"]["accuracy"] - auto["test"]["accuracy"])
        share = auto["test"]["accuracy"]
        spread = 100 * (share * (1 - share) / row["test"]) ** 0.5
        lines.append(
            f"| {row['set']}, {row['seed']} | {row['train']} / {row['validation']} / {row['test']} | {chosen(auto)} | {scores(auto)} | {chosen(found)} | {scores(found)} | "
            f"{gain:+.1f} ({spread:.1f}) | {len(states)}, {states.count('pruned')} | {costs[0]:.0f}, {sum(costs):.0f} |"
        )
    mean = {way: 100 * np.mean([row[way]["test"]["accuracy"] for row in rows]) for way in ("auto", "search")}
    rose = 100 * np.mean([row["search"]["validation"] - row["auto"]["validation"] for row in rows])
    lines += [
        "",
        f"Mean test accuracy: auto {mean['auto']:.1f}, search {mean['search']:.1f}. On validation the search rose by {rose:.1f} points, "
        f"on the test side by {mean['search'] - mean['auto']:.1f} ({len(rows)} run{'s' * (len(rows) > 1)}).",
        "The standard error is that of one test score; both models answer the same records.",
    ]
    return "\n".join(lines) + "\n"


def chosen(way: Mapping[str, Any]) -> str:
    return f"{way['resolved']['learning_rate']:.2g}, {way['resolved']['epochs']}"


def scores(way: Mapping[str, Any]) -> str:
    return f"{way['validation']:.3f}, {way['test']['accuracy']:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("set", nargs="?", choices=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "burnish-search")
    given = parser.parse_args()
    if given.what == "run":
        began = time.monotonic()
        run(given.set, seed=given.seed, trials=given.trials, shared=given.shared, scratch=given.scratch)
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    (RESULTS / "search.md").write_text(table(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
