"""Every strategy, loss and regulariser of `train.tune` on three tasks: quality, weights that learn, speed, memory.

    python benchmarks/strategies.py --sets sst2 thucnews conll2003 --seeds 3
    python benchmarks/strategies.py --sets sst2 thucnews --seeds 3 --noise 0.2 --methods full gce symmetric elr co_teaching
    python benchmarks/strategies.py --table

Each run is a spec of its own (sources, split, train.tune) in a process of its own, judged on test records of the set, and
on the same records mistyped (`typos`: in one word of ten two neighbouring characters change places; offsets stay).
--noise plants wrong labels in the training and the validation side. Epochs and rates are what `auto` makes of them.
examples/CPU-s: of the training steps, nan where there are none; learn: weights that moved; MB: peak memory of the process.
results/strategies.{json,md}
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[2] / "shared" / "data"
SETS: dict[str, dict[str, Any]] = {
    "sst2": {"reader": sets_en.READERS["sst2-supervised"], "train": 400, "language": "en", "type": "classification"},
    "thucnews": {
        "reader": sets_zh.READERS["thucnews-supervised"],
        "train": 250,
        "language": "zh",
        "type": "classification",
    },
    "conll2003": {"reader": sets_en.READERS["conll2003"], "train": 400, "language": "en", "type": "tagging"},
}
METHODS: dict[str, dict[str, Any]] = {
    **{name: {"strategy": name} for name in ("full", "head", "gradual", "layer_wise", "reinit", "frozen", "bitfit", "layer_norm")},
    "gradual + layer_wise": {"strategy": ["gradual", "layer_wise"]},
    **{name: {"strategy": name} for name in ("lora", "adalora", "dora", "ia3", "prefix", "prompt", "p_tuning", "houlsby", "pfeiffer")},
    "contrastive": {"strategy": "contrastive"},
    "label_smoothing": {"strategy": "full", "label_smoothing": 0.1},
    **{name: {"strategy": "full", "loss": name} for name in ("focal", "class_balanced", "gce", "symmetric", "elr")},
    **{
        name: {"strategy": "full", "regularise": name}
        for name in ("mixout", "r_drop", "manifold_mixup", "fgm", "pgd", "freelb", "smart", "ema", "average", "l2_sp", "co_teaching")
    },
}  # fmt: skip


def data(name: str, seed: int, noise: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """(training records, test records, labels): drawn by the seed, `noise` of the training labels wrong."""
    about = SETS[name]
    sides = about["reader"](SHARED)
    train, test = list(sides.train), list(sides.test)
    random.Random(0).shuffle(test)
    draw = random.Random(seed)
    draw.shuffle(train)
    train, test = train[: about["train"]], test[:600]
    if about["type"] == "tagging":
        labels = sorted({span["label"] for row in train for span in row["spans"]})
    else:
        labels = sorted({row["label"] for row in train})
        for row in (wrong := draw.sample(train, round(noise * len(train)))):
            row["label"] = draw.choice([label for label in labels if label != row["label"]])
        assert len(wrong) == round(noise * len(train))
    return [dict(row) for row in train], [dict(row) for row in test], labels


def mistyped(text: str, language: str, seed: int) -> str:
    """Two neighbouring characters of one word in ten change places; of Chinese, of one character in ten."""
    draw, chars = random.Random(f"{seed} {text}"), list(text)
    at = 0
    while at < len(chars) - 1:
        inside = chars[at].isalpha() and chars[at + 1].isalpha()
        if inside and draw.random() < (0.1 if language == "zh" else 0.025):
            chars[at], chars[at + 1] = chars[at + 1], chars[at]
            at += 1
        at += 1
    return "".join(chars)


def one(name: str, method: str, seed: int, noise: float) -> dict[str, Any]:
    """A row: one run from records to figures."""
    import pyarrow as pa
    import yaml

    import burnish
    from burnish.core.pipeline import run
    from burnish.core.progress import Silent
    from burnish.core.records import Record, to_table
    from burnish.core.spec import load

    about = SETS[name]
    train, test, labels = data(name, seed, noise)
    with tempfile.TemporaryDirectory(prefix="burnish-strategies-") as folder:
        base = Path(folder)
        (base / "train.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in train), "utf-8")
        spec = {
            "burnish": 1,
            "name": "one",
            "seed": seed,
            "task": {"type": about["type"], "labels": labels, "languages": [about["language"]]},
            "sources": [{"use": "jsonl", "path": "train.jsonl"}],
            "split": {"use": "stratified", "test": 0, "validation": 0.15},
            "train": [{"use": "tune", **METHODS[method]}],
        }
        (base / "burnish.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
        run(load(base / "burnish.yaml"), to="train", progress=Silent())
        predictor = burnish.load(base / "runs" / "one")
        card = json.loads((base / "runs" / "one" / "model" / "burnish.json").read_text("utf-8"))
        task = predictor.task
        found = {}
        for kind in ("clean", "typos"):
            rows = (
                test
                if kind == "clean"
                else [{**row, "text": mistyped(row["text"], about["language"], 0)} for row in test]
            )
            kept = ("text", "text_b", "label", "spans")
            table: pa.Table = to_table(Record(**{key: row[key] for key in kept if key in row}) for row in rows)
            answers = predictor.answers(task.inputs(table))
            found[kind] = float(task.figures(task.tally(table, answers).sum(0))[task.figure])
    history = card["history"]["tune"]
    return {
        "set": name, "method": method, "seed": seed, "noise": noise, "figure": task.figure, **found,
        "learn": card["parameters_learnt"], "weights": card["parameters"], "cpu_seconds": history["cpu_seconds"],
        "examples_per_cpu_s": history["examples"] / max(history["cpu_seconds"], 1e-9), "train": len(train),
        "test": len(test), "resolved": history["resolved"],
    }  # fmt: skip


def apart(*arguments: Any) -> dict[str, Any]:
    """`one` in a process of its own, with its peak memory."""
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as story:
        process = subprocess.Popen(command, stdout=said, stderr=story)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0), story.seek(0)
        if process.returncode:
            return {"error": (story.read().strip().splitlines() or ["nothing was said"])[-1]}
        return {**json.loads(said.read()), "peak_mb": round(used.ru_maxrss / 1024)}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--table", action="store_true", help="write the table of what has run, and stop")
    parser.add_argument("--out", type=Path, default=RESULTS / "strategies.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(one(*json.loads(given.one))))
        return
    rows: list[dict[str, Any]] = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else []
    if not given.table:
        import transformers  # noqa: F401

        import burnish.nn.loop
        import burnish.tasks.predictor  # noqa: F401

        keys = ("set", "method", "seed", "noise")
        for seed in range(given.seeds):
            for name in given.sets:
                for method in given.methods:
                    what = (name, method, seed, given.noise)
                    if any(tuple(row[key] for key in keys) == what for row in rows):
                        continue
                    row = apart(*what)
                    if "error" in row:
                        print(*what, row["error"], file=sys.stderr, flush=True)
                        continue
                    rows.append(row)
                    given.out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
                    shown = {key: round(row[key], 3) for key in ("clean", "typos", "cpu_seconds")}
                    print(*what, shown, file=sys.stderr, flush=True)
    given.out.with_suffix(".md").write_text(table(rows), "utf-8")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: one part a set and noise, methods by their figure."""
    lines = ["# Strategies, losses and regularisers side by side", "", *(__doc__ or "").strip().splitlines()[2:-1]]
    for name, noise in sorted({(row["set"], row["noise"]) for row in rows}, key=str):
        mine = [row for row in rows if (row["set"], row["noise"]) == (name, noise)]
        planted = f", {noise:.0%} of the labels it learns from are wrong" if noise else ""
        lines += ["", f"## {name}{planted}", ""]
        first = mine[0]
        lines += [f"{first['train']:,} records to learn from (15% of them validate), {first['test']:,} judge; {first['figure'].replace('_', ' ')} in %, mean ± standard deviation over the seeds.", ""]  # fmt: skip
        lines += [
            "| method | clean | typos | seeds | learn | share | examples/CPU-s | MB |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        by: dict[str, list[dict[str, Any]]] = {}
        for row in mine:
            by.setdefault(row["method"], []).append(row)
        for method, some in sorted(by.items(), key=lambda item: -np.mean([row["clean"] for row in item[1]])):
            learn, weights = some[0]["learn"], some[0]["weights"]
            lines.append(
                f"| {method} | {_spread(some, 'clean')} | {_spread(some, 'typos')} | {len(some)} | {learn:,} | {learn / weights:.2%} | "
                f"{np.mean([row['examples_per_cpu_s'] for row in some]) or float('nan'):.0f} | {max(row['peak_mb'] for row in some):,} |"
            )
    return "\n".join(lines) + "\n"


def _spread(rows: Sequence[dict[str, Any]], key: str) -> str:
    points = 100 * np.array([row[key] for row in rows])
    return f"{points.mean():.1f}" + (f" ± {points.std(ddof=1):.1f}" if len(points) > 1 else "")


if __name__ == "__main__":
    main(sys.argv[1:])
