"""The automatic learning rate beside a test of rates and a search, on small sets: test scores and what each cost.

    python benchmarks/search.py run sst2 --seed 0         one set: auto, probe, search; a row of results/search.json
    python benchmarks/search.py table                     results/search.md

All three learn from the same records and choose on the same validation side; the test side is seen once, at the end, by
the model of each. CPU-seconds are those of the training process and its children.
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
    """auto, probe and search on one set with one seed."""
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
    found = {
        "validation": round(max(scores)[0], 4),
        "resolved": history["resolved"],
        "train_cpu_seconds": round(history["cpu_seconds"], 1),
    }
    found |= {"why": history["reasons"]["learning_rate"]} if "learning_rate" in history["reasons"] else {}
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
    rows = json.loads((RESULTS / "search.json").read_text("utf-8"))
    lines = ["# The automatic learning rate beside a search", ""]
    lines += [
        "Made by `python benchmarks/search.py run SET --seed N`, then `table`; one thread, other work on the machine.",
        "",
    ]
    lines += [
        "| set, seed | train / test | auto: rate, test | probe: rate, test | search: validation best (defaults), test | search − auto, points | CPU-s: auto, probe, search |"
    ]
    lines += ["|---|--:|---|---|---|--:|---|"]
    for row in rows:
        rate = {way: row[way]["resolved"]["learning_rate"] for way in ("auto", "probe", "search")}
        test = {way: row[way]["test"]["accuracy"] for way in rate}
        first = row["search"]["history"]["trials"][0]["score"]
        costs = ", ".join(f"{row[way]['cpu_seconds']:.0f}" for way in rate)
        lines.append(
            f"| {row['set']}, {row['seed']} | {row['train']} / {row['test']} | {rate['auto']:.2g}, {test['auto']:.3f} | {rate['probe']:.2g}, {test['probe']:.3f} | "
            f"{row['search']['validation']:.3f} ({first:.3f}), {test['search']:.3f} | {100 * (test['search'] - test['auto']):+.1f} | {costs} |"
        )
    mean = {way: np.mean([row[way]["test"]["accuracy"] for row in rows]) for way in ("auto", "probe", "search")}
    rose = np.mean([row["search"]["validation"] - row["search"]["history"]["trials"][0]["score"] for row in rows])
    gain = 100 * (mean["search"] - mean["auto"])
    lines += ["", "Mean test accuracy: " + ", ".join(f"{way} {value:.4f}" for way, value in mean.items()) + "."]
    lines += [
        f"The search rose {100 * rose:.1f} points on validation and {gain:.1f} on the test side: the rest is selection."
    ]
    states = [one["state"] for row in rows for one in row["search"]["history"]["trials"]]
    lines += [f"Of {len(states)} trials {states.count('pruned')} were stopped early."]
    return "\n".join(lines) + "\n"


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
