"""Four ways to a tuned classifier without training labels, beside full supervision, on one test set each.

    python benchmarks/constructed.py prepare --data ../shared/data
    python benchmarks/constructed_tuned.py sst2 agnews chnsenticorp thucnews --limit 2400

constructed: `burnish run examples/NAME/burnish.yaml`: labellers, aggregation, self-training, tuning, gold at the end.
all true labels: the same texts with their hidden labels, the same backbone and settings.
gold alone: the same backbone tuned on the gold records (at most 8 a class).
best labeller, majority vote: the rules themselves on the test texts; where they abstain, the most frequent label
they give. The best labeller is the one that is best on the test set, which flatters it.
Accuracy on the test side in percent, one seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from constructed import EXAMPLES, SETS, sides, write

import burnish
from burnish.core.progress import Plain

RESULTS = Path(__file__).parent / "results" / "constructed-tuned"
SIDES_FOR_TRUTH = {"use": "stratified", "test": 0.0, "validation": 0.1}


def spec_of(name: str, **changed: Any) -> dict[str, Any]:
    """The example's sections; None takes one out."""
    sections = yaml.safe_load((EXAMPLES / name / "burnish.yaml").read_text("utf-8"))
    return {key: value for key, value in (sections | changed).items() if value is not None}


def run(name: str, arm: str, sections: dict[str, Any], *, limit: int | None = None, to: str | None = None) -> Path:
    """Run a variant of the example from its own folder; return the run folder."""
    path = EXAMPLES / name / "data" / f"{arm}.yaml"
    moved = json.loads(json.dumps(sections), object_hook=lambda one: _moved(one, EXAMPLES / name, path.parent))
    path.write_text(yaml.safe_dump({**moved, "name": f"{name}-{arm}"}, allow_unicode=True), "utf-8")
    spec = burnish.load_spec(path, limit=limit)
    return burnish.run(spec, to=to, progress=Plain(every_s=60))


def _moved(one: dict[str, Any], before: Path, now: Path) -> dict[str, Any]:
    paths = {key: os.path.relpath(before / one[key], now) for key in ("path", "data") if isinstance(one.get(key), str)}
    return one | paths


def accuracy(folder: Path) -> float:
    return 100 * float(json.loads((folder / "evaluation" / "report.json").read_text("utf-8"))["accuracy"])


def votes_on_test(name: str, truth: dict[str, str]) -> dict[str, float]:
    """Accuracy of the majority vote and of the best single labeller on the test texts."""
    construct = [step for step in spec_of(name)["construct"] if step["use"] not in ("aggregate", "self_training")]
    sections = spec_of(
        name,
        sources={"use": "jsonl", "path": "data/unlabelled_test.jsonl"},
        construct=[*construct, {"use": "aggregate", "method": "majority"}],
        quality=None,
        split=None,
        train=None,
        compress=None,
        evaluate=None,
        serve=None,
    )
    folder = run(name, "votes", sections, to="construct")
    rows = pq.read_table(folder / "construct" / "records.parquet", columns=["text", "label", "votes"]).to_pylist()
    given: dict[str, dict[str, str]] = {}
    for row in rows:
        for vote in row["votes"] or []:
            given.setdefault(vote["labeller"], {})[row["text"]] = vote["label"]

    def right(said: dict[str, str | None]) -> float:
        usual = Counter(label for label in said.values() if label).most_common(1)[0][0]
        return 100 * sum((said.get(text) or usual) == label for text, label in truth.items()) / len(truth)

    singles = {labeller: right(dict(said)) for labeller, said in given.items()}
    best = max(singles, key=lambda labeller: singles[labeller])
    return {
        "majority vote": right({row["text"]: row["label"] for row in rows}),
        f"best labeller ({best})": singles[best],
    }


def measure(name: str, data: Path, limit: int) -> dict[str, Any]:
    train, _, test = sides(name, data)
    folder = EXAMPLES / name / "data"
    write(folder / "labelled.jsonl", ({"text": text, "label": label} for text, label in train))
    write(folder / "unlabelled_test.jsonl", ({"text": text} for text, _ in test))
    judge = [{"use": "report", "data": "data/test.jsonl"}]
    began = time.process_time()
    constructed = accuracy(run(name, "constructed", spec_of(name, evaluate=judge, compress=None), limit=limit))
    seconds = time.process_time() - began
    plain = {"construct": None, "quality": None, "compress": None, "evaluate": judge}
    labelled = {"use": "jsonl", "path": "data/labelled.jsonl"}
    full = accuracy(
        run(name, "supervised", spec_of(name, sources=labelled, gold=None, split=SIDES_FOR_TRUTH, **plain), limit=limit)
    )
    few = {"use": "jsonl", "path": "data/gold.jsonl"}
    unsplit = {"use": "stratified", "test": 0.0, "validation": 0.0}
    alone = accuracy(run(name, "gold", spec_of(name, sources=few, gold=None, split=unsplit, **plain)))
    return {
        "texts": min(limit, len(train)),
        "test": len(test),
        "constructed": constructed,
        "all true labels": full,
        "share of full supervision": 100 * constructed / full,
        "gold alone": alone,
        **votes_on_test(name, dict(test)),
        "CPU seconds of the constructed path": round(seconds),
    }


def table(found: dict[str, Any], command: str) -> str:
    rows = [
        f"| {name} | {one['texts']:,} | {one['constructed']:.1f} | {one['all true labels']:.1f} | {one['share of full supervision']:.1f}% "
        f"| {one['gold alone']:.1f} | {next(f'{v:.1f} ({k[15:-1]})' for k, v in one.items() if k.startswith('best labeller'))} | {one['majority vote']:.1f} |"
        for name, one in found.items()
    ]
    head = "| data | texts | constructed | all true labels | share | gold alone | best labeller | majority vote |"
    return "\n".join(
        [
            "# Tuned on constructed labels",
            "",
            f"command: {command}  ",
            f"date: {datetime.date.today()}  ",
            f"versions: python {platform.python_version()}, burnish {burnish.__version__}  ",
            "test accuracy in percent, one seed",
            "",
            head,
            "|---|--:|--:|--:|--:|--:|--:|--:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*SETS], default=[*SETS])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=2400)
    asked = parser.parse_args()
    stored = RESULTS.with_suffix(".json")
    found = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    for name in asked.names:
        found[name] = measure(name, asked.data, asked.limit)
        print(name, json.dumps(found[name], indent=1, ensure_ascii=False), flush=True)
        stored.parent.mkdir(exist_ok=True)
        stored.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        command = f"python benchmarks/constructed_tuned.py --limit {asked.limit}"
        RESULTS.with_suffix(".md").write_text(table(found, command), "utf-8")


if __name__ == "__main__":
    main()
