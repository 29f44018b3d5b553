"""What each augmentation is worth on 200 training records: what the probe says beforehand, and what tuning gives.

    python benchmarks/augment.py sst2 tnews --data ../shared/data

For each set 200 training, 200 validation and 600 test records, drawn by content. probe: the trial of `keep: auto` on the
validation side (three repeats; 95%, for this augmentation alone). tuned: test accuracy of the model of `train.tune` after
four epochs, taught with a copy of every record more (keep: always), less that of the plain model; mean of two seeds, an
interval by paired bootstrap over test records with the seeds added up. copied: every record twice, unchanged: what further
steps alone give. --probe-only leaves the tuning out.
Masked and back-translated copies are not here: no weights for them come with burnish.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sets_en
import sets_zh
from sets import by_content

from burnish.core.artifacts import Records, Split
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.measures.intervals import bootstrap_sums
from burnish.nn.backbones import resolve
from burnish.tasks import predictor
from burnish.testing import sample_context
from burnish.train import worth
from burnish.train.sides import Sides
from burnish.train.tune import tune

SETS = {"sst2": (sets_en.sst2, "en"), "tnews": (sets_zh.tnews, "zh")}
FLIP = {"positive": "negative", "negative": "positive"}
PARTS: dict[str, Any] = {
    "eda": "eda",
    "aeda": "aeda",
    "characters": "characters",
    "counterfactual": "counterfactual",
    "invert": {"use": "invert", "flip": FLIP},
    "homophones": "homophones",
}
ONLY = {"homophones": "zh"}
COUNTS = {"train": 200, "validation": 200, "test": 600}
SEEDS, EPOCHS = (0, 1), 4
RESULTS = Path(__file__).parent / "results"


def split_of(name: str, data: Path) -> Split:
    """The set's own sides, each cut to its first records by a hash of content."""
    read, _ = SETS[name]
    found = read(data)
    train = sorted(found.train, key=lambda row: by_content(row["text"]))
    rest = sorted(found.validation, key=lambda row: by_content(row["text"])) or train[COUNTS["train"] :]
    test = sorted(found.test, key=lambda row: by_content(row["text"]))
    sides = {"train": train, "validation": rest, "test": test}
    return Split(
        *(
            Records.from_rows(
                [
                    Record(text=row["text"], label=row["label"], id=f"{side}{at}")
                    for at, row in enumerate(rows[: COUNTS[side]])
                ]
            )
            for side, rows in sides.items()
        )
    )


def tuned(split: Split, spec: TaskSpec, augment: Any) -> tuple[np.ndarray, float, int]:
    """Test tally with the seeds added up, seconds of one run, and the records that were made."""
    total: np.ndarray | None = None
    began, test, made = time.monotonic(), split.test.table(), 0
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            context = replace(sample_context(Path(folder), spec), seed=seed)
            model = tune(split, None, context, augment=augment, epochs=EPOCHS, checkpoint_every_s=3600.0)
            model.save(model.folder)
            made = model.info["data"].get("augmented", 0)
            one = predictor.load(model.folder)
            tally = one.task.tally(test, one.answers(one.task.inputs(test)))
        total = tally if total is None else total + tally
    assert total is not None
    return total, (time.monotonic() - began) / len(SEEDS), made


def probed(split: Split, spec: TaskSpec, part: Any) -> dict[str, Any]:
    """What `keep: auto` would be told."""
    from burnish.train.augment.base import augmentations

    folder = resolve("auto", languages=spec.languages, progress=Silent())
    with tempfile.TemporaryDirectory() as scratch:
        context = sample_context(Path(scratch), spec)
        sides = Sides(open_task(spec), folder, split, max_length="auto", soft=True)
        told = worth.chosen(
            augmentations.open(part),
            sides,
            test=split.test.table(),
            folder=folder,
            learn=lambda *_: (None, {}),
            context=context,
        )[1][0]
    return told


def measured(name: str, data: Path, known: dict[str, dict[str, Any]], *, tune_too: bool) -> Iterator[dict[str, Any]]:
    """Row after row, probes first; what is known is not measured again, so a run that was cut short goes on."""
    language = SETS[name][1]
    split = split_of(name, data)
    labels = tuple(sorted(set(split.train.column("label"))))
    spec = TaskSpec("classification", labels, {}, (language,))
    task = open_task(spec)
    parts = {
        part: {"use": setting} if isinstance(setting, str) else setting
        for part, setting in PARTS.items()
        if ONLY.get(part, language) == language and (part != "invert" or set(labels) == set(FLIP))
    }
    rows = {part: known.get(part, {"set": name, "augmentation": part}) for part in ("none", "copied", *parts)}
    for part, given in parts.items():
        if "kept" not in rows[part]:
            told = probed(split, spec, given)
            rows[part] |= {key: told.get(key) for key in ("difference", "kept", "tried", "seconds")}
            yield rows[part]
    kept = Path(tempfile.gettempdir()) / f"burnish-augment-{name}.npy"  # the plain model's test tally
    for part, row in rows.items() if tune_too else ():
        if "accuracy" in row and (part != "none" or kept.is_file()):
            continue
        given = [parts[part] | {"keep": "always"}] if part in parts else []
        twice = pa.concat_tables([split.train.table()] * 2)
        own = Split(Records.from_table(twice), split.validation, split.test) if part == "copied" else split
        tally, row["tuned_seconds"], row["made"] = tuned(own, spec, given)
        row["accuracy"] = float(task.figures(tally.sum(0))["accuracy"])
        if part == "none":
            np.save(kept, tally, allow_pickle=False)
        else:
            plain = np.load(kept, allow_pickle=False)
            gap = bootstrap_sums(tally, task.figures, against=plain, seed=0, draws=2000)["accuracy"]
            row["tuned"] = {"value": gap.value, "low": gap.low, "high": gap.high}
        yield row


def _points(gap: dict[str, float] | None) -> str:
    if gap is None:
        return ""
    return f"{100 * gap['value']:+.1f} ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"


def page(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    names = " ".join(dict.fromkeys(row["set"] for row in rows))
    probed_only = "" if any("accuracy" in row for row in rows) else " --probe-only"
    lines = [
        f"# Augmentation on {COUNTS['train']} records\n",
        f"`python benchmarks/augment.py {names} --data ../shared/data{probed_only}`\n",
        f"Points of accuracy with 95% intervals; {COUNTS['validation']} validation and {COUNTS['test']} test records. Tuned: "
        f"{EPOCHS} epochs, mean of {len(SEEDS)} seeds. Copied: every record twice, unchanged. Empty: not measured.\n",
        "| set | augmentation | records made | probe on validation | auto keeps it | accuracy, tuned | beside none, test |",
        "|---|---|--:|---|---|--:|---|",
    ]
    for row in rows:
        kept = {True: "yes", False: "no"}.get(row.get("kept"), "")
        accuracy = f"{100 * row['accuracy']:.1f}" if "accuracy" in row else ""
        made = row.get("tried", row.get("made")) or ""
        lines.append(
            f"| {row['set']} | {row['augmentation']} | {made} | {_points(row.get('difference'))} | {kept} | {accuracy} "
            f"| {_points(row.get('tuned'))} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--probe-only", action="store_true")
    given = parser.parse_args()
    file = RESULTS / "augment.json"
    for name in given.sets:
        rows = json.loads(file.read_text("utf-8")) if file.is_file() else []
        own = {row["augmentation"]: row for row in rows if row["set"] == name}
        for row in measured(name, given.data, own, tune_too=not given.probe_only):
            own[row["augmentation"]] = row
            print(json.dumps(row, ensure_ascii=False), flush=True)
            order = (
                [*own]
                if "none" not in own
                else ["none", "copied", *(one for one in own if one not in ("none", "copied"))]
            )
            rows = [one for one in rows if one["set"] != name] + [own[one] for one in order if one in own]
            file.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", "utf-8")
            (RESULTS / "augment.md").write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
