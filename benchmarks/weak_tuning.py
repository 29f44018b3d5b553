"""How to tune where labellers made the labels: the examples' own specs, with one loss and start of the head and another.

    python benchmarks/constructed.py prepare --data ../shared/data
    python benchmarks/weak_tuning.py sst2 agnews chnsenticorp thucnews --limit 2400
    python examples/reviews-zh/prepare.py && python benchmarks/weak_tuning.py reviews-zh

Construction, audit, curation and split are the example's and the same for all; no training label is used. Judged on the
example's test file: who chooses by this table chooses by these test files.
results/weak-tuning.{json,md}; what is there is not run again.
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
from burnish.core.stage import find

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = Path(__file__).parent / "results" / "weak-tuning"
FIRST = {"strategy": "probe_first"}
ARMS: dict[str, dict[str, str]] = {
    "full": {"strategy": "full", "loss": "cross_entropy"},
    "gce": {"strategy": "full", "loss": "gce"},
    "elr": {"strategy": "full", "loss": "elr"},
    "probe_first": FIRST | {"loss": "cross_entropy"},
    "probe_first gce": FIRST | {"loss": "gce"},
    "probe_first elr": FIRST | {"loss": "elr"},
}


def run(name: str, arm: str, limit: int | None, seed: int) -> dict[str, Any]:
    """One example tuned in one way: accuracy on its test file, and CPU-seconds of what was not made before."""
    sections = yaml.safe_load((EXAMPLES / name / "burnish.yaml").read_text("utf-8"))
    kept = {key: value for key, value in sections.items() if key not in ("compress", "serve")}
    tune = {"use": "tune", "backbone": "auto", "epochs": "auto", "learning_rate": "auto", **ARMS[arm]}
    kept |= {
        "name": f"{name}-{arm.replace(' ', '-')}",
        "train": [tune],
        "evaluate": [{"use": "report", "data": "data/test.jsonl"}],
    }
    kept["seed"] = seed
    path = EXAMPLES / name / f".weak-{arm.replace(' ', '-')}.yaml"
    path.write_text(yaml.safe_dump(kept, allow_unicode=True), "utf-8")
    began = time.process_time()
    try:
        folder = burnish.run(burnish.load_spec(path, limit=limit), progress=Plain(every_s=60))
    finally:
        path.unlink()
    report = json.loads((folder / "evaluation" / "report.json").read_text("utf-8"))
    split = json.loads((folder / "model" / "burnish.json").read_text("utf-8"))["data"]
    return {
        "set": name, "arm": arm, "seed": seed, "limit": limit, "accuracy": report["accuracy"],
        "audit": find("quality", "audit").version, "train": split["train"], "test": report["n"], "cpu_s": round(time.process_time() - began),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    said = {(row["set"], row["seed"], row["audit"], row["arm"]): row for row in rows}
    lines = [
        "# Tuning where labellers made the labels",
        "",
        "Made by `python benchmarks/weak_tuning.py sst2 agnews chnsenticorp thucnews --limit 2400` and"
        " `python benchmarks/weak_tuning.py reviews-zh`. Test accuracy in %; constructed labels alone, one run a cell.",
        "audit: version of `quality.audit`, by which curation takes records away. The rows of 2 were run step by step from the same"
        " specs, before this script was there; it makes rows of today's version.",
        "",
        f"| data | seed | audit | learnt from | judged on | {' | '.join(ARMS)} |",
        f"|---|--:|--:|--:|--:|{'--:|' * len(ARMS)}",
    ]
    for name, seed, audit in dict.fromkeys((row["set"], row["seed"], row["audit"]) for row in rows):
        cells = [said.get((name, seed, audit, arm)) for arm in ARMS]
        first = next(one for one in cells if one)
        shown = " | ".join(f"{100 * one['accuracy']:.1f}" if one else "-" for one in cells)
        lines.append(f"| {name} | {seed} | {audit} | {first['train']:,} | {first['test']:,} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    path = RESULTS.with_suffix(".json")
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    audit = find("quality", "audit").version
    have = {(row["set"], row["arm"], row["seed"], row["audit"]) for row in rows}
    for name in args.sets:
        for arm in args.arms:
            if (name, arm, args.seed, audit) not in have:
                rows.append(run(name, arm, args.limit, args.seed))
                print(rows[-1], flush=True)
                path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    RESULTS.with_suffix(".md").write_text(table(rows), "utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
