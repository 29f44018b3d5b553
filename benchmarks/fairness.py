"""Fairness and robustness of small tuned models on two real sets, as `burnish run` reports them.

    python benchmarks/fairness.py --data ../shared/data --work FOLDER [--records 2000]

cold-zh: offensive or not, Chinese; groups are the topics the set names (race, region, gender) and the people its texts speak
of. hate-offensive-en: tweets, offensive language against the rest, groups by the people they speak of. A head on a frozen
backbone, the same for all, so that it runs in minutes on two cores. Writes results/fairness.{json,md}.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SPEC = """burnish: 1
name: {name}
seed: 0
task: {{type: classification, labels: [fine, offensive], languages: [{language}]}}
sources: [{{use: jsonl, path: {name}.jsonl}}]
quality: [{{use: audit, checks: [groups, licences], effect: none}}]
split: {{use: stratified, test: 0.3, validation: 0.1}}
train: {{use: tune, strategy: head, epochs: 3}}
evaluate:
  - {{use: report, draws: 300}}
  - {{use: fairness, by: {by}, selected: offensive}}
  - {{use: robustness, draws: 300}}
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8"))))


def cold(data: Path) -> list[dict[str, Any]]:
    return [
        {"text": one["TEXT"], "label": "offensive" if one["label"] == "1" else "fine", "meta": {"topic": one["topic"]}}
        for one in rows_of(data / "cold-zh" / "train.csv.xz")
    ]


def tweets(data: Path) -> list[dict[str, Any]]:
    return [
        {"text": one["tweet"], "label": "fine" if one["class"] == "2" else "offensive"}
        for one in rows_of(data / "hate-offensive-en" / "labeled_data.csv.xz")
    ]


SETS = {
    "cold-zh": (cold, "zh", "[meta.topic, 'mentions:gender', 'mentions:region']"),
    "hate-offensive-en": (tweets, "en", "['mentions:gender', 'mentions:ethnicity']"),
}


def run(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    reader, language, by = SETS[name]
    rows = reader(asked.data)
    random.Random(0).shuffle(rows)
    folder = asked.work
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text(
        "\n".join(json.dumps(one, ensure_ascii=False) for one in rows[: asked.records])
    )
    (folder / f"{name}.yaml").write_text(SPEC.format(name=name, language=language, by=by))
    subprocess.run(
        [sys.executable, "-m", "burnish", "run", f"{name}.yaml"], cwd=folder, check=True, env=dict(os.environ)
    )
    evaluation = folder / "runs" / name / "evaluation"
    report, fair, robust = (
        json.loads((evaluation / f"{one}.json").read_text()) for one in ("report", "fairness", "robustness")
    )
    return {
        "records": asked.records, "test": report["n"], "accuracy": report["accuracy"], "macro_f1": report["macro_f1"],
        "by": [
            {"by": one["by"], "gap": one.get("gap"), "worst_group": one.get("worst_group"), "left_out": one["left_out"],
             "figures": one["labels"].get("offensive", {}).get("figures"),
             "rates": {group: [told["n"], round(told["selection_rate"], 3), round(told["true_positive_rate"], 3), round(told["false_positive_rate"], 3)]
                       for group, told in one["labels"].get("offensive", {}).get("groups", {}).items()}}
            for one in fair["by"]
        ],
        "swaps": {key: value for key, value in (fair["swaps"] or {}).items() if key != "examples"},
        "robustness": [
            {"name": one["name"], "n": one["n"], "clean": one["clean"]["accuracy"], "changed": one["changed"]["accuracy"],
             "difference": one["difference"]["accuracy"], "stay": one["answers_that_stay"]}
            for one in robust["variants"]
        ],
        "skipped": robust["skipped"],
    }  # fmt: skip


def table(told: dict[str, Any]) -> str:
    lines = ["# Fairness and robustness", "", f"`{told['command']}`; what is run stands at its head."]
    for name, one in told["sets"].items():
        lines += ["", f"## {name}: {one['test']} test records, accuracy {one['accuracy']:.3f}, macro F1 {one['macro_f1']:.3f}", "",
                  "| by | figure | value | 95% interval | by chance |", "|---|---|--:|---|--:|"]  # fmt: skip
        for by in one["by"]:
            for figure, value in (by["figures"] or {}).items():
                if value["value"] is not None and figure in (
                    "demographic_parity_difference",
                    "equalized_odds_difference",
                ):
                    lines.append(
                        f"| {by['by']} | {figure} | {value['value']:.3f} | {value['interval'][0]:.3f} to {value['interval'][1]:.3f} | {value['by_chance']:.3f} |"
                    )
            if by["worst_group"]:
                worst = by["worst_group"]
                lines.append(
                    f"| {by['by']} | worst group: {worst['name']} ({worst['n']}) | {worst['value']:.3f} | {worst['interval'][0]:.3f} to {worst['interval'][1]:.3f} | |"
                )
        swaps = one["swaps"]
        if "flip_rate" in swaps:
            lines.append(
                f"| he, she swapped ({swaps['n']}) | answers that turn | {swaps['flip_rate']:.3f} | {swaps['interval'][0]:.3f} to {swaps['interval'][1]:.3f} | |"
            )
        lines += [
            "",
            "| variant | records | clean accuracy | changed | difference | answers that stay |",
            "|---|--:|--:|--:|---|--:|",
        ]
        for row in one["robustness"]:
            gap = row["difference"]
            lines.append(
                f"| {row['name']} | {row['n']} | {row['clean']:.3f} | {row['changed']:.3f} | {gap['value']:+.3f} ({gap['interval'][0]:+.3f} to {gap['interval'][1]:+.3f}) | {row['stay']:.1%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    asked = parser.parse_args()
    asked.data = asked.data.resolve()
    told: dict[str, Any] = {"command": f"python benchmarks/fairness.py --records {asked.records}", "sets": {}}
    earlier = RESULTS / "fairness.json"
    if earlier.exists() and json.loads(earlier.read_text())["command"] == told["command"]:
        told["sets"] = json.loads(earlier.read_text())["sets"]  # the sets of an earlier call stay
    for name in asked.sets:
        told["sets"][name] = run(name, asked)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "fairness.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        (RESULTS / "fairness.md").write_text(table(told))
    print(table(told))


if __name__ == "__main__":
    main()
