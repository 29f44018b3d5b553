"""A million short texts and twenty labellers through `burnish run --to construct`: records a second, peak memory.

    python benchmarks/construct_scale.py [--records 1000000] [--data ../shared/data]

Texts: Chinese product reviews and English sentences of the data folder, cut to 80 characters and repeated with a number
behind them until there are enough, so that every text is its own. Labellers: keywords, regular expressions and a
dictionary for two labels in both languages, then `aggregate: auto`. Runs in a process of its own, as a user would; its
peak resident memory is what the operating system says of it.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import lzma
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

RESULTS = Path(__file__).parent / "results" / "construct-scale.json"
GOOD_EN = ["good", "great", "best", "funny", "moving", "enjoyable", "charming", "love*", "fresh", "solid"]
BAD_EN = ["bad", "worst", "dull", "boring", "mess", "tired", "flat", "unfunny", "waste", "poor*"]
GOOD_ZH = ["不错", "很好", "喜欢", "满意", "推荐", "好评", "值得", "质量好", "正品", "实惠"]
BAD_ZH = ["差", "失望", "退货", "不好", "太慢", "假货", "后悔", "垃圾", "坏了", "难吃"]


def texts(data: Path) -> list[str]:
    with zipfile.ZipFile(data / "online-shopping-10-zh" / "online_shopping_10_cats.zip") as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".csv"))
        with archive.open(inner) as file:
            chinese = [row["review"] for row in csv.DictReader(io.TextIOWrapper(file, "utf-8"))]
    with lzma.open(data / "sst2-en" / "train.tsv.xz", "rt", encoding="utf-8") as file:
        english = [line.split("\t")[0] for line in file]
    both = [one for pair in itertools.zip_longest(chinese, english) for one in pair if one]
    return [" ".join(one.split())[:80] for one in both if one.strip()]


def labellers() -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for label, english, chinese in (("positive", GOOD_EN, GOOD_ZH), ("negative", BAD_EN, BAD_ZH)):
        for half in (slice(0, 5), slice(5, 10)):
            made.append({"use": "keywords", "label": label, "words": english[half], "name": f"{label}-en-{half.start}"})
            made.append({"use": "keywords", "label": label, "words": chinese[half], "name": f"{label}-zh-{half.start}"})
        for at, word in enumerate([*english[:3], *chinese[:2]]):
            made.append({"use": "regex", "label": label, "pattern": word.rstrip("*"), "name": f"{label}-re-{at}"})
    made += [{"use": "dictionary", "path": "words.tsv"}]
    return [*made, {"use": "regex", "label": "positive", "pattern": r"!$|！$", "name": "shout"}]


def write(folder: Path, count: int, pool: list[str]) -> int:
    """The texts and the spec; bytes of the texts."""

    def lines() -> Iterator[str]:
        for number, text in zip(range(count), itertools.cycle(pool), strict=False):
            yield json.dumps(
                {"text": f"{text} {number // len(pool)}" if number >= len(pool) else text}, ensure_ascii=False
            )

    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for line in lines():
            file.write(line + "\n")
    words = [(word.rstrip("*"), "positive") for word in GOOD_EN + GOOD_ZH]
    words += [(word.rstrip("*"), "negative") for word in BAD_EN + BAD_ZH]
    (folder / "words.tsv").write_text("".join(f"{word}\t{label}\t1.0\n" for word, label in words), "utf-8")
    spec = {
        "name": "scale",
        "task": {"type": "classification", "labels": ["negative", "positive"], "languages": ["en", "zh"]},
        "sources": {"use": "jsonl", "path": "texts.jsonl"},
        "construct": [*labellers(), {"use": "aggregate"}],
    }
    (folder / "burnish.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), "utf-8")
    return (folder / "texts.jsonl").stat().st_size


def page(found: dict[str, Any]) -> str:
    steps = "\n".join(f"| {name} | {seconds:.1f} |" for name, seconds in found["seconds_by_step"].items())
    return f"""# Construct at scale

`{found["command"]}`, {found["machine"]}

{found["records"]:,} texts ({found["megabytes"]} MB), {found["labellers"]} labellers: {found["wall_s"]} s by the clock, {found["cpu_s"]} CPU-seconds,
{found["records_per_cpu_s"]:,} records a CPU-second, {found["peak_gib"]} GiB at most, {found["labelled"]:,} labelled.

| step | seconds |
|---|--:|
{steps}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        size = write(folder, asked.records, texts(asked.data))
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "burnish", "run", "burnish.yaml", "--to", "construct", "--json"]
        done = subprocess.run(command, cwd=folder, env={**os.environ}, capture_output=True, text=True, check=False)
        wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        run = json.loads((folder / "runs" / "scale" / "run.json").read_text("utf-8"))
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    steps = {f"{step['room']}.{step['use']}": 0.0 for step in run["steps"]}
    for step in run["steps"]:
        steps[f"{step['room']}.{step['use']}"] += step["seconds"] or 0.0
    found = {
        "command": f"python benchmarks/construct_scale.py --records {asked.records}",
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "records": asked.records,
        "megabytes": round(size / 1e6, 1),
        "labellers": len(labellers()),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "records_per_cpu_s": round(asked.records / cpu_s),
        "peak_gib": round(after.ru_maxrss / 2**20, 2),
        "seconds_by_step": {name: round(seconds, 1) for name, seconds in steps.items()},
        "labelled": run["steps"][-1]["counts"].get("labelled"),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    RESULTS.with_suffix(".md").write_text(page(found), "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
