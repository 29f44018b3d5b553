"""What a loss is worth where labellers made the labels: the examples' own specs, tuned with one loss and another.

    python benchmarks/constructed.py prepare --data ../shared/data
    python benchmarks/weak_loss.py sst2 agnews chnsenticorp thucnews --limit 2400
    python examples/reviews-zh/prepare.py && python benchmarks/weak_loss.py reviews-zh

Construction, audit, curation and split are the example's and the same for all; no training label is used. Judged on the
example's test file. Choosing a loss by this table is choosing by these test files: another set says more.
results/weak-loss.{json,md}; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import yaml

import burnish
from burnish.core.progress import Plain

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = Path(__file__).parent / "results" / "weak-loss"
LOSSES = ("cross_entropy", "gce", "elr")


def run(name: str, loss: str, limit: int | None, seed: int) -> dict[str, Any]:
    """One example with one loss: accuracy on its test file, and CPU-seconds of what was not made before."""
    sections = yaml.safe_load((EXAMPLES / name / "burnish.yaml").read_text("utf-8"))
    kept = {key: value for key, value in sections.items() if key not in ("compress", "serve")}
    tune = {"use": "tune", "backbone": "auto", "epochs": "auto", "learning_rate": "auto", "loss": loss}
    kept |= {"name": f"{name}-{loss}", "train": [tune], "evaluate": [{"use": "report", "data": "data/test.jsonl"}]}
    kept["seed"] = seed
    path = EXAMPLES / name / f".weak-{loss}.yaml"
    path.write_text(yaml.safe_dump(kept, allow_unicode=True), "utf-8")
    began = time.process_time()
    try:
        folder = burnish.run(burnish.load_spec(path, limit=limit), progress=Plain(every_s=60))
    finally:
        path.unlink()
    report = json.loads((folder / "evaluation" / "report.json").read_text("utf-8"))
    split = json.loads((folder / "model" / "burnish.json").read_text("utf-8"))["data"]
    return {
        "set": name, "loss": loss, "seed": seed, "limit": limit, "accuracy": report["accuracy"],
        "train": split["train"], "test": report["n"], "cpu_s": round(time.process_time() - began),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    said = {(row["set"], row["seed"], row["loss"]): row for row in rows}
    lines = [
        "# The loss where labellers made the labels",
        "",
        "Made by `python benchmarks/weak_loss.py sst2 agnews chnsenticorp thucnews --limit 2400` and"
        " `python benchmarks/weak_loss.py reviews-zh`. Test accuracy in %; constructed labels alone, one run a cell.",
        "",
        f"| data | seed | learnt from | judged on | {' | '.join(LOSSES)} |",
        f"|---|--:|--:|--:|{'--:|' * len(LOSSES)}",
    ]
    for name, seed in dict.fromkeys((row["set"], row["seed"]) for row in rows):
        cells = [said.get((name, seed, loss)) for loss in LOSSES]
        first = next(one for one in cells if one)
        shown = " | ".join(f"{100 * one['accuracy']:.1f}" if one else "-" for one in cells)
        lines.append(f"| {name} | {seed} | {first['train']:,} | {first['test']:,} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--losses", nargs="+", default=LOSSES, choices=LOSSES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    path = RESULTS.with_suffix(".json")
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    have = {(row["set"], row["loss"], row["seed"]) for row in rows}
    for name in args.sets:
        for loss in args.losses:
            if (name, loss, args.seed) not in have:
                rows.append(run(name, loss, args.limit, args.seed))
                print(rows[-1], flush=True)
                path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    RESULTS.with_suffix(".md").write_text(table(rows), "utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
