"""Wrong labels planted in sets that settings were chosen by: who finds them, how many, and what curation wins back.

    python benchmarks/doubt.py --data ../shared/data [--draws 2] [--sets trec agnews phrasebank tnews cold chnsenticorp]

TRAIN records a set, their labels turned: evenly (any record, any other class) or by class (each class into one other, at
its own rate, at most 45% of a class); TEST clean ones judge. The sets that report are those of benchmarks/planted.py.

found    AUROC, precision, recall and estimated rate of label_errors; and of cleanlab's find_label_issues (its defaults) on
         the out-of-sample probabilities of the same probe on the same vectors
won      accuracy on the clean test side of a probe that learns from the records as they are (dirty), as `curate: auto` leaves
         them, as `actions: {label_errors: reweigh}` does, as cleanlab's filter does, without the wrong ones, and clean; the
         probe chooses its penalty by the records it is given; mean over draws
seconds  CPU seconds of label_errors, and of cleanlab with its probabilities
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh
from duplicates import english_rows
from planted import World, context_of, material_of
from sets import Row, by_content
from sklearn.metrics import roc_auc_score

from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.nn.probe import Probe, out_of_sample
from burnish.quality.audit import audit
from burnish.quality.checks import CHECKS, Material
from burnish.quality.curate import curate
from construct import read_trec

TRAIN, TEST, MOST = 600, 1000, 0.45
CELLS = (("even", 0), ("even", 5), ("even", 10), ("even", 20), ("by class", 20))
WAYS = ("dirty", "auto", "reweigh", "cleanlab", "oracle", "clean")
RESULTS = Path(__file__).parent / "results"


def trec(data: Path) -> tuple[list[Row], list[Row]]:
    def side(name: str) -> list[Row]:
        return [{"text": text, "label": label} for text, label in read_trec(data / "trec6-sms-lf-en/TREC", name)]

    return side("train"), side("test") + side("valid")


def agnews(data: Path) -> tuple[list[Row], list[Row]]:
    rows = [{"text": text, "label": str(label)} for text, label in zip(*english_rows(data, 7600), strict=True)]
    rows.sort(key=lambda row: by_content(row["text"]))
    return rows[:3000], rows[3000:]


def official(reader: Callable[[Path], Any]) -> Callable[[Path], tuple[list[Row], list[Row]]]:
    def sides(data: Path) -> tuple[list[Row], list[Row]]:
        found = reader(data)
        return found.train, found.test

    return sides


SETS = {
    "trec": (trec, "en"), "agnews": (agnews, "en"), "phrasebank": (official(sets_en.phrasebank), "en"),
    "tnews": (official(sets_zh.tnews), "zh"), "cold": (official(sets_zh.cold), "zh"), "chnsenticorp": (official(sets_zh.chnsenticorp), "zh"),
}  # fmt: skip


def clean(name: str, data: Path) -> World:
    """The first TRAIN and TEST records in an order by content; no text on both sides."""
    reader, language = SETS[name]

    def ordered(rows: list[Row]) -> list[Row]:
        return sorted(
            {row["text"]: row for row in rows if row.get("label")}.values(), key=lambda row: by_content(row["text"])
        )

    train, test = map(ordered, reader(data))
    test = test[:TEST]
    held = {row["text"] for row in test}
    train = [row for row in train if row["text"] not in held][:TRAIN]
    labels = tuple(sorted({row["label"] for row in train}))
    spec = TaskSpec("classification", labels, {}, (language,))
    sides = [
        [Record(id=str(at), text=row["text"], label=row["label"]) for at, row in enumerate(side)]
        for side in (train, [row for row in test if row["label"] in labels])
    ]
    return World(name, "clean", spec, *sides)


def turned(world: World, kind: str, percent: int, draw: int) -> World:
    """The world with that share of its labels turned; its rows are the turned ones."""
    labels, count = world.spec.labels, len(world.train)
    random = np.random.default_rng([draw, percent, len(kind), int(1e6 * by_content(world.name))])
    given = np.array([labels.index(one.label or "") for one in world.train])
    number = count * percent // 100
    if kind == "even":
        rows = random.choice(count, number, replace=False)
        to = (given[rows] + random.integers(1, len(labels), number)) % len(labels)
    else:
        into = (np.arange(len(labels)) + random.integers(1, len(labels), len(labels))) % len(labels)
        weight, size = random.random(len(labels)) ** 2 + 0.05, np.bincount(given, minlength=len(labels))
        scale = np.linspace(0, 1000, 100_001)[:, None]  # the least that turns enough, no class more than MOST
        wanted = np.minimum(scale * weight / weight.sum(), MOST) * size
        taken = np.round(wanted[np.searchsorted(wanted.sum(1), min(number, MOST * count - 1e-6))]).astype(int)
        rows = np.concatenate(
            [random.choice(np.flatnonzero(given == one), taken[one], replace=False) for one in range(len(labels))]
        )
        to = into[given[rows]]
    train = list(world.train)
    for at, other in zip(rows.tolist(), to.tolist(), strict=True):
        train[at] = replace(train[at], label=labels[other])
    return replace(world, fault=f"{kind} {percent}", train=train, rows=set(rows.tolist()))


def probed(records: list[Record], test: Any, context: Context) -> float:
    """Accuracy on the test side of a probe that learns from records, as often as each counts."""
    material = material_of(Records.from_rows(records), context)
    targets = material.targets
    l2 = Probe(targets.shape[1], seed=0).fit(material.vectors, targets).chosen_l2
    weights = np.array([one.meta.get("weight", 1.0) for one in records], dtype=np.float32)
    probe = Probe(targets.shape[1], seed=0, l2=l2).fit(material.vectors, targets, weights=weights)
    return float((probe.probabilities(test.vectors).argmax(1) == test.labels).mean())


def cleanlabs(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """(issues, scores), as its users do it: cross-validated probabilities, prune_by_noise_rate."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    classes = len(material.names)
    chances = out_of_sample(material.vectors, material.targets, num_classes=classes, seed=0, calibrate=True)
    issues = find_label_issues(material.labels, chances, n_jobs=1)
    return issues, 1 - get_label_quality_scores(material.labels, chances)


def told(score: np.ndarray, flagged: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    hits = int((flagged & wrong).sum())
    made = {"precision": hits / max(int(flagged.sum()), 1), "recall": hits / max(int(wrong.sum()), 1)}
    made |= {"auroc": float(roc_auc_score(wrong, score))} if wrong.any() else {}
    return {name: round(value, 4) for name, value in made.items()} | {"flagged": int(flagged.sum())}


def row_of(world: World, whole: World, kind: str, percent: int, draw: int, folder: Path) -> dict[str, Any]:
    dirty = turned(world, kind, percent, draw)
    context = context_of(dirty, folder)
    records = Records.from_rows(dirty.train)
    material, test = material_of(records, context), material_of(Records.from_rows(dirty.test), context)
    wrong = np.zeros(len(dirty.train), dtype=bool)
    wrong[list(dirty.rows)] = True
    _ = material.vectors, test.vectors, material.alike
    began = time.process_time()
    found = CHECKS["label_errors"].run(material)
    ours_s = time.process_time() - began
    began = time.process_time()
    issues, score = cleanlabs(material)
    theirs_s = time.process_time() - began
    audited = audit(records, context, checks=["label_errors"], effect="probe")
    auto = curate(audited, context)
    asked = curate(audited, context, actions={"label_errors": "reweigh"}, certain=0.0)
    left = {
        "dirty": dirty.train, "auto": [one for one in auto if one.keep], "reweigh": list(asked),
        "cleanlab": [one for one, bad in zip(dirty.train, issues, strict=True) if not bad],
        "oracle": [one for at, one in enumerate(dirty.train) if at not in dirty.rows], "clean": whole.train,
    }  # fmt: skip
    return {
        "set": world.name, "kind": kind, "percent": percent, "draw": draw, "planted": int(wrong.sum()),
        "rate": found.facts["rate"], "ours": told(found.score, found.flagged, wrong), "cleanlab": told(score, issues, wrong),
        "acted": auto.facts["curate"]["actions"].get("label_errors", ""), "why": auto.facts["curate"]["why"].get("label_errors", ""),
        "seconds": {"ours": round(ours_s, 3), "cleanlab": round(theirs_s, 3)},
        "accuracy": {name: round(probed(kept, test, context), 4) for name, kept in left.items()},
    }  # fmt: skip


def written(rows: list[dict[str, Any]], command: str) -> None:
    """doubt.json and doubt.md."""
    whole = {"command": command, "rows": rows}
    (RESULTS / "doubt.json").write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    lines = ["# Wrong labels: found, and won back", "", f"`{command}`", "", __doc__.split("\n\n", 2)[2].strip(), ""]
    lines += ["Test accuracy (deviation over sets and draws of the difference to dirty):", ""]
    lines += ["| wrong labels | dirty | `curate: auto` | `reweigh` | cleanlab's filter | wrong ones left out | clean | auto acted |"]  # fmt: skip
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    groups = [(f"{kind} {percent}%", [one for one in rows if (one["kind"], one["percent"]) == (kind, percent)]) for kind, percent in CELLS]  # fmt: skip
    groups += [(name, [one for one in rows if one["set"] == name]) for name in dict.fromkeys(r["set"] for r in rows)]
    groups += [("all", rows)]
    for name, some in groups:
        if some:
            acted = sum(bool(one["acted"]) for one in some)
            lines.append(f"| {name} | " + " | ".join(_cell(some, way) for way in WAYS) + f" | {acted} of {len(some)} |")
    lines += ["", "Found (means):", ""]
    lines += ["| wrong labels | estimated rate | AUROC | precision | recall | cleanlab: flagged | AUROC | precision | recall |"]  # fmt: skip
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for name, some in groups:
        if some:
            cells = [f"{100 * np.mean([one['rate']['value'] for one in some]):.1f}%", *_found(some, "ours")]
            cells += [f"{100 * np.mean([one['cleanlab']['flagged'] for one in some]) / TRAIN:.1f}%", *_found(some, "cleanlab")]  # fmt: skip
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ours, theirs = (sum(one["seconds"][who] for one in rows) for who in ("ours", "cleanlab"))
    lines += ["", f"CPU seconds of label_errors, all cells: {ours:.1f}; of cleanlab with its probabilities: {theirs:.1f} (ratio {ours / theirs:.2f}).", ""]  # fmt: skip
    (RESULTS / "doubt.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(rows: list[dict[str, Any]], way: str) -> str:
    gains = [100 * (one["accuracy"][way] - one["accuracy"]["dirty"]) for one in rows]
    mean = 100 * float(np.mean([one["accuracy"][way] for one in rows]))
    return f"{mean:.1f}" if way == "dirty" else f"{mean:.1f} ({np.mean(gains):+.1f} ± {np.std(gains):.1f})"


def _found(rows: list[dict[str, Any]], who: str) -> list[str]:
    some = [one[who] for one in rows if "auroc" in one[who]]
    return [f"{np.mean([one[name] for one in some]):.3f}" if some else "-" for name in ("auroc", "precision", "recall")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    options = parser.parse_args()
    command = f"python benchmarks/doubt.py --data ../shared/data --draws {options.draws}"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for name in options.sets:
            world = clean(name, options.data)
            for kind, percent in CELLS:
                for draw in range(options.draws if percent else 1):
                    rows.append(row_of(world, world, kind, percent, draw, Path(place)))
                    written(rows, command)
                    print(json.dumps(rows[-1], ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
