"""The certificate's interval: how often it holds the truth, and what it costs beside simple random sampling.

    python benchmarks/certificate.py simulate [--runs 1000]      a grid of populations whose mistakes are known
    python benchmarks/certificate.py real --data ../shared/data  labels that rules constructed, gold as the person who checks
    python benchmarks/certificate.py table                       both as benchmarks/results/certificate.md

simulate: 20,000 constructed labels with known mistakes; a person checks as the certificate says, look after look, until the
95% interval is narrow enough; 1,000 times with other draws. Coverage: share of runs whose last interval holds the true
accuracy. Beside it simple random sampling under the same stop rule with Wilson's interval.
real: SMS spam and TREC-6 with the rules of awasthiabhijeet/Learning-From-Rules, ChnSentiCorp with the dictionary and
patterns of examples/chnsenticorp; records that no rule covers have no label and are left out. The same 1,000 runs, the
coverage of the intervals of each label's precision and recall at the last look of 300 runs, and one certificate in words.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from burnish.certify import certify, opened
from burnish.core import pipeline
from burnish.core.progress import Silent
from burnish.core.tasktypes import open_task
from burnish.measures import certificate as measures
from burnish.measures import certificate_design as design
from burnish.measures.certificate_intervals import look_often, stratified
from burnish.review import drawing

RECORDS = 20_000
EXAMPLES = Path(__file__).parents[1] / "examples"
Array = np.ndarray


def population(accuracy: float, classes: int, skew: bool, calibration: str, seed: int) -> tuple[Array, Array, Array]:
    """labels (N,) names, confidence (N,), right (N,) bool. The chance of each record is Beta around the accuracy."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1) if skew else np.ones(classes)
    label = rng.choice(classes, RECORDS, p=share / share.sum())
    by_label = rng.normal(0, 0.7, classes)[label]
    base = np.clip(rng.beta(2.5 * accuracy, 2.5 * (1 - accuracy), RECORDS), 1e-4, 1 - 1e-4)
    logit = np.log(base / (1 - base)) + by_label
    low, high = -8.0, 8.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(logit + middle)))).mean() < accuracy else (low, middle)
    chance = 1 / (1 + np.exp(-(logit + low)))
    right = np.zeros(RECORDS, dtype=bool)
    wrong = round((1 - accuracy) * RECORDS)  # the asked accuracy exactly, by the most doubtful draws
    key = np.log(rng.random(RECORDS)) / np.maximum(1 - chance, 1e-9)
    right[np.argsort(key, kind="stable")[: RECORDS - wrong]] = True
    own = np.log(chance / (1 - chance))
    said = {
        "calibrated": own,
        "overconfident": 3 * own + 2,
        "underconfident": 0.4 * own,
        "uninformative": rng.permutation(own),
    }[calibration]
    return np.array([f"c{one}" for one in label]), np.clip(1 / (1 + np.exp(-said)), 0, 1), right


class Runs:
    """`runs` draws side by side: the order in which each would check the records of each stratum."""

    def __init__(self, number: Array, right: Array, strata: int, runs: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.found = []  # a stratum: (runs, most) cumulated right
        for h in range(strata):
            inside = right[number == h]
            most = min(len(inside), 4000)
            drawn = np.stack([rng.choice(inside, most, replace=False) for _ in range(runs)])
            self.found.append(np.concatenate([np.zeros((runs, 1), int), drawn.cumsum(1)], axis=1))

    def right(self, rows: Array, checked: Array) -> Array:
        """(r, H) found right among the first checked (r, H)."""
        return np.stack([one[rows, checked[:, h]] for h, one in enumerate(self.found)], axis=1)


def simulate(
    number: Array, sizes: Array, guess: Array, right: Array, width: float, runs: int, seed: int, often: bool = True
) -> dict[str, Any]:
    truth = float(right.mean())
    draws = Runs(number, right, len(sizes), runs, seed)
    checked = np.tile(design.first_look(sizes, guess, width), (runs, 1))
    planned = design.needed(sizes, guess, width)
    low, high, value = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    always = np.ones(runs, dtype=bool)
    active = np.arange(runs)
    while len(active):
        seen = draws.right(active, checked[active])
        value[active], low[active], high[active] = stratified(seen, checked[active], sizes)
        if often:
            bounds = np.array([look_often(one, planned) for one in checked[active].sum(1)])
            _, under, over = stratified(seen, checked[active], sizes, z=bounds)
            always[active] &= (under <= truth) & (truth <= over)
        wide = (high[active] - low[active]) / 2 > width
        checked[active[wide]] = design.next_look(sizes, seen[wide], checked[active[wide]], guess)
        active = active[wide]
    held = (low <= truth) & (truth <= high)
    return {
        "coverage": float(held.mean()), "always": float(always.mean()), "checks": float(checked.sum(1).mean()),
        "bias": float(value.mean() - truth), "strata": len(sizes), "missed_low": float((high < truth).mean()),
        "missed_high": float((low > truth).mean()),
    }  # fmt: skip


def cell(accuracy: float, classes: int, skew: bool, calibration: str, width: float, runs: int) -> dict[str, Any]:
    labels, confidence, right = population(accuracy, classes, skew, calibration, seed=classes)
    chance = design.guessed(confidence)
    checks = design.simple_needed(RECORDS, float(chance.mean()), width)
    strata = design.divide(chance, labels, [""] * RECORDS, checks=checks)
    ours = simulate(strata.number, strata.sizes, strata.guess, right, width, runs, 1)
    whole = np.array([RECORDS])
    simple = simulate(np.zeros(RECORDS, int), whole, np.array([chance.mean()]), right, width, runs, 2, often=False)
    return {
        "accuracy": accuracy, "classes": classes, "skew": skew, "calibration": calibration, "width": width,
        "ours": ours, "simple": simple,
    }  # fmt: skip


GRID = [
    (accuracy, classes, skew, calibration, width)
    for width in (0.02, 0.05)
    for accuracy in (0.7, 0.85, 0.95, 0.99)
    for classes, skew in ((2, False), (6, True), (77, True))
    for calibration in ("calibrated", "overconfident", "uninformative")
]


def real_sets(data: Path) -> dict[str, tuple[dict[str, Any], list[tuple[str, str]]]]:
    """name -> (spec without its source, [(text, true label)])."""
    from constructed import chnsenticorp, shuffled

    folder = data / "trec6-sms-lf-en"
    names = {
        "DESC": "DESCRIPTION",
        "ENTY": "ENTITY",
        "HUM": "HUMAN",
        "ABBR": "ABBREVIATION",
        "LOC": "LOCATION",
        "NUM": "NUMERIC",
    }
    with (folder / "SMS/train.csv").open(encoding="latin-1", newline="") as file:
        sms = [(row["v2"].strip().lower(), row["v1"]) for row in csv.DictReader(file)]
    lines = [line.partition(":") for line in (folder / "TREC/train.txt").read_text("latin-1").splitlines()]
    trec = [(rest.strip().lower(), names[name]) for name, _, rest in lines]

    def rules(name: str) -> list[dict[str, str]]:
        rows = [line.split("\t")[:2] for line in (folder / name / "rule.txt").read_text("latin-1").splitlines()]
        return [{"use": "regex", "label": label, "pattern": pattern} for label, pattern in rows]

    example = EXAMPLES / "chnsenticorp"
    steps = yaml.safe_load((example / "burnish.yaml").read_text("utf-8"))["construct"]
    chinese = [
        {**one, **({"path": str(example / one["path"])} if one["use"] == "dictionary" else {})}
        for one in steps
        if one["use"] in ("dictionary", "regex")
    ]
    train, _ = chnsenticorp(data)
    return {
        "sms": ({"task": {"type": "classification", "labels": ["ham", "spam"], "languages": ["en"]}, "construct": rules("SMS")}, shuffled(sms)),
        "trec": ({"task": {"type": "classification", "labels": sorted(names.values()), "languages": ["en"]}, "construct": rules("TREC")}, shuffled(trec)),
        "chnsenticorp": ({"task": {"type": "classification", "labels": ["negative", "positive"], "languages": ["zh"]}, "construct": chinese}, shuffled(train)),
    }  # fmt: skip


def real(name: str, spec: dict[str, Any], pairs: list[tuple[str, str]], runs: int, folder: Path) -> dict[str, Any]:
    from burnish.core.spec import load

    truth = dict(pairs)
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in truth)
    (folder / "raw.jsonl").write_text("".join(lines), "utf-8")
    whole = {"burnish": 1, "name": name, "sources": {"use": "jsonl", "path": "raw.jsonl"}, **spec}
    (folder / "burnish.yaml").write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False), "utf-8")
    run = pipeline.run(load(folder / "burnish.yaml"), to="construct")
    records, _, context = opened(run, Silent())
    found = drawing.population(records, open_task(context.task))
    rows = {row["id"]: row for row in records.table(["id", "text", "label"]).to_pylist()}
    right = np.array([truth[rows[one]["text"]] == rows[one]["label"] for one in found.ids])
    made: dict[str, Any] = {
        "records": len(found),
        "covered": len(found) / len(truth),
        "accuracy": float(right.mean()),
        "widths": [],
    }
    for width in (0.02, 0.03, 0.05):
        cut, _ = drawing.strata(found, width=width, confidence=0.95)
        ours = simulate(cut.number, cut.sizes, cut.guess, right, width, runs, 1)
        guess = np.array([float(cut.guess @ cut.sizes) / len(found)])
        simple = simulate(np.zeros(len(found), int), np.array([len(found)]), guess, right, width, runs, 2, often=False)
        made["widths"].append({"width": width, "ours": ours, "simple": simple})
    made["by_label"] = labels_held(found, rows, truth, right, 0.03)
    made["certificate"] = one_certificate(run, rows, truth)
    return made


def labels_held(
    found: Any, rows: Any, truth: dict[str, str], right: Array, width: float, runs: int = 300
) -> dict[str, float]:
    """Coverage of the intervals of precision and recall of labels with at least 10 checks, at what is planned for `width`."""
    names = sorted({rows[one]["label"] for one in found.ids} | {truth[rows[one]["text"]] for one in found.ids})
    given = np.array([names.index(rows[one]["label"]) for one in found.ids])
    true = np.array([names.index(truth[rows[one]["text"]]) for one in found.ids])
    cut, _ = drawing.strata(found, width=width, confidence=0.95)
    checks = design.allocate(cut.sizes, cut.guess, design.needed(cut.sizes, cut.guess, width))
    belief = design.guessed(found.confidence)
    exact = {
        "precision": [float(right[given == k].mean()) if (given == k).any() else np.nan for k in range(len(names))],
        "recall": [
            float((given == true)[true == k].mean()) if (true == k).any() else np.nan for k in range(len(names))
        ],
    }
    held: dict[str, list[bool]] = {"precision": [], "recall": []}
    rng = np.random.default_rng(3)
    for _ in range(runs):
        drawn = np.concatenate(
            [rng.choice(np.flatnonzero(cut.number == h), n, replace=False) for h, n in enumerate(checks)]
        )
        some = measures.Checks(cut.number[drawn], cut.sizes, cut.guess, right[drawn], belief[drawn])
        for k, row in enumerate(measures.by_label(some, given[drawn], true[drawn], names)):
            for name, count in (("precision", "checked"), ("recall", "of_it")):
                if row[count] >= 10:
                    held[name].append(row[name]["low"] - 1e-9 <= exact[name][k] <= row[name]["high"] + 1e-9)
    return {name: float(np.mean(values)) for name, values in held.items()} | {"checks": int(checks.sum())}


def one_certificate(run: Path, rows: Any, truth: dict[str, str]) -> dict[str, Any]:
    """The certificate in words at +-3 points, with gold as the person who checks."""
    certify(run, width=0.03, worth=False)
    draws = [
        json.loads(line) for line in (run.parent.parent / f"{run.name}.draws.jsonl").read_text("utf-8").splitlines()
    ]
    lines = [
        {"id": one["id"], "reviewer": "gold", "verdict": "change", "target": {"label": truth[rows[one["id"]]["text"]]}, "was": {"label": rows[one["id"]]["label"]}}
        for one in draws
    ]  # fmt: skip
    (run.parent.parent / f"{run.name}.verdicts.jsonl").write_text(
        "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8"
    )
    numbers = certify(run, width=0.03)
    return {
        "verdict": numbers["verdict"],
        "next": numbers["next"],
        "grounds": numbers["grounds"],
        "worth": numbers["worth"],
    }


def table(found: dict[str, Any]) -> str:
    rows = found["simulation"]
    held = [row["ours"]["coverage"] for row in rows]
    inside = sum(0.93 <= one <= 0.97 for one in held)
    saved = [row["ours"]["checks"] / row["simple"]["checks"] for row in rows]
    knows = [row["ours"]["checks"] / row["simple"]["checks"] for row in rows if row["calibration"] != "uninformative"]
    lines = [
        "# The certificate: coverage and checks", "", "`python benchmarks/certificate.py simulate`", "",
        f"{len(rows)} populations, {found['runs']:,} runs each. Coverage of the 95% interval at the last look: mean {np.mean(held):.1%}, "
        f"{min(held):.1%} to {max(held):.1%}, within 93-97% in {inside} of {len(rows)}. Checks beside simple random sampling: "
        f"{np.mean(saved):.2f} times as many on average, {np.mean(knows):.2f} where confidence says anything ({min(saved):.2f} to {max(saved):.2f}).",
        "", "Where coverage lies above 97% the accuracy is 95% or more: the stop rule asks for so many checks that the low end cannot pass the "
        f"truth (it did in {np.mean([r['ours']['missed_high'] for r in rows if r['accuracy'] >= 0.95]):.1%} of those runs), and the high end misses it in "
        f"{np.mean([r['ours']['missed_low'] for r in rows if r['accuracy'] >= 0.95]):.1%}, as its half of 5% should.",
        "", "At any look: share of runs in which the interval that is made for looking often held the truth at every look.", "",
        "| width | accuracy | classes | confidence | strata | coverage | at any look | checks | simple: coverage | simple: checks | ratio |",
        "|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for row in rows:
        o, s = row["ours"], row["simple"]
        lines.append(
            f"| ±{row['width']} | {row['accuracy']} | {row['classes']}{' skewed' if row['skew'] else ''} | {row['calibration']} | {o['strata']} | {o['coverage']:.1%} | {o['always']:.1%} | {o['checks']:.0f} | {s['coverage']:.1%} | {s['checks']:.0f} | {o['checks'] / s['checks']:.2f} |"
        )
    lines += ["", "## Labels that rules constructed, gold as the person who checks", "", "`python benchmarks/certificate.py real --data ../shared/data`", "", "| set | records with a label | true accuracy | width | strata | coverage | checks | simple: coverage | simple: checks |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, one in found.get("real", {}).items():
        for row in one["widths"]:
            o, s = row["ours"], row["simple"]
            lines.append(
                f"| {name} | {one['records']:,} | {one['accuracy']:.1%} | ±{row['width']} | {o['strata']} | {o['coverage']:.1%} | {o['checks']:.0f} | {s['coverage']:.1%} | {s['checks']:.0f} |"
            )
    for name, one in found.get("real", {}).items():
        by = one["by_label"]
        said = [one["certificate"]["verdict"], *one["certificate"]["next"]]
        lines += [
            "",
            f"**{name}**: intervals of each label held its precision in {by['precision']:.1%} and its recall in {by['recall']:.1%} of 300 runs of {by['checks']} checks. "
            + " ".join(said),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("simulate", "real", "table"))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=["sms", "trec", "chnsenticorp"])
    parser.add_argument("--part", default="0/1", help="i/n: every n-th population, beginning with the i-th.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/certificate.json"))
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    kept["runs"] = asked.runs if asked.what != "table" else kept["runs"]
    rows = kept.setdefault("simulation", [])
    done = {(r["accuracy"], r["classes"], r["skew"], r["calibration"], r["width"]) for r in rows}
    part, parts = map(int, asked.part.split("/"))
    for one in [one for one in GRID[part::parts] if one not in done] if asked.what == "simulate" else ():
        rows.append(cell(*one, asked.runs))
        o, s = rows[-1]["ours"], rows[-1]["simple"]
        print(
            *one,
            f"coverage {o['coverage']:.3f}, checks {o['checks']:.0f}; simple {s['coverage']:.3f}, {s['checks']:.0f}",
            flush=True,
        )
        asked.out.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    for name in asked.sets if asked.what == "real" else ():
        spec, pairs = real_sets(asked.data)[name]
        with tempfile.TemporaryDirectory() as folder:
            kept.setdefault("real", {})[name] = real(name, spec, pairs, asked.runs, Path(folder))
        print(name, json.dumps(kept["real"][name]["widths"]), kept["real"][name]["certificate"]["verdict"], flush=True)
        asked.out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if asked.what == "table":
        asked.out.with_suffix(".md").write_text(table(kept), "utf-8")


if __name__ == "__main__":
    main()
