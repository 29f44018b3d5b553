"""What the checks of data quality find of what was planted in real text, what a choice is worth, and what they cost.

    python benchmarks/checks.py --data ../shared/data learning entities translated select speed

learning    a tenth of the labels turned: precision, recall, AUROC of four judges (SST-2; Chinese shopping reviews)
entities    5% of the sentences with one entity taken away or of another type (CoNLL-2003; CLUENER)
translated  Chinese by a machine (STS-B, test side) against written Chinese (OCNLI, reviews): share that is marked
select      30% of the records, with a tenth of the labels turned, after an audit: probe accuracy beside random
speed       every check on 50,000 Chinese reviews without vectors: CPU seconds
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import lzma
import random
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from burnish.core.artifacts import Records
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality.audit import audit
from burnish.quality.checks import CHECKS, COLUMNS, Material
from burnish.quality.noise_text import MT_EVIDENCE, translated_evidence
from burnish.quality.select import select

NAMES = ("negative", "positive")
SCRATCH = Path(tempfile.mkdtemp())


def here(task: TaskSpec) -> Context:
    return Context(task, 0, SCRATCH, SCRATCH, Path.home() / ".cache/burnish/benchmark-checks", Silent())


def material(rows: list[Record], task: TaskSpec, embed: str = "none") -> Material:
    return Material(Records.from_rows(rows).table(COLUMNS), here(task), near=0.8, folds=5, backbone="auto", embed=embed)  # type: ignore[arg-type]


def shopping(data: Path) -> list[Record]:
    csv.field_size_limit(10**9)
    packed = zipfile.ZipFile(data / "online-shopping-10-zh/online_shopping_10_cats.zip")
    rows = list(csv.DictReader(io.TextIOWrapper(packed.open("online_shopping_10_cats.csv"), "utf-8")))
    random.Random(0).shuffle(rows)
    return [
        Record(text=row["review"], id=f"r{at}", label=NAMES[int(row["label"])], meta={"category": row["cat"]})
        for at, row in enumerate(rows)
    ]


def films(data: Path) -> list[Record]:
    with lzma.open(data / "sst2-en/train.tsv.xz", "rt", encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").rsplit("\t", 1) for line in lines]
    return [Record(text=text, id=f"r{at}", label=NAMES[int(label)]) for at, (text, label) in enumerate(pairs)]


def turned(rows: list[Record], seed: int = 2) -> tuple[list[Record], np.ndarray]:
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[np.random.default_rng(seed).choice(len(rows), len(rows) // 10, replace=False)] = True
    return [
        replace(row, label=NAMES[1 - NAMES.index(row.label or "")]) if bad else row
        for row, bad in zip(rows, wrong, strict=True)
    ], wrong


SETS: dict[str, tuple[str, Callable[[Path], list[Record]]]] = {
    "sst2-en": ("en", films),
    "online-shopping-10-zh": ("zh", shopping),
}


def learning(data: Path) -> dict[str, Any]:
    made = {}
    for name, (language, read) in SETS.items():
        rows, wrong = turned(read(data)[:3000])
        seen = material(rows, TaskSpec(labels=NAMES, languages=(language,)), "auto")
        for check in ("label_errors", "neighbour_disagreement", "training_dynamics", "area_under_margin"):
            found = CHECKS[check].run(seen)
            made[f"{name} {check}"] = {
                "precision": round(float(wrong[found.flagged].mean()), 3), "recall": round(float(found.flagged[wrong].mean()), 3),
                "auroc": round(float(roc_auc_score(wrong, found.score)), 3),
            }  # fmt: skip
    return made


def conll(data: Path) -> list[Record]:
    made: list[Record] = []
    with lzma.open(data / "conll2003-en/eng.testa.xz", "rt") as file:
        for block in file.read().split("\n\n"):
            text, spans, last = "", [], None
            for line in block.split("\n"):
                parts = line.split()
                if not parts or parts[0] == "-DOCSTART-":
                    continue
                start = len(text) + bool(text)
                text = f"{text} {parts[0]}" if text else parts[0]
                kind, _, label = parts[-1].partition("-")
                if kind == "O":
                    last = None
                elif last and last["label"] == label and kind != "B":
                    last["end"] = len(text)
                else:
                    last = {"start": start, "end": len(text), "label": label}
                    spans.append(last)
            if text:
                made.append(Record(text=text, spans=spans))
    return made


def cluener(data: Path) -> list[Record]:
    with lzma.open(data / "cluener-zh/train.json.xz", "rt", encoding="utf-8") as file:
        rest, made, read = file.read(), [], json.JSONDecoder()
    at = 0
    while at < len(rest):
        one, at = read.raw_decode(rest, at)
        at = re.compile(r"\s*").match(rest, at).end()  # type: ignore[union-attr]
        spans = [
            {"start": start, "end": end + 1, "label": label}
            for label, said in one["label"].items()
            for places in said.values()
            for start, end in places
        ]
        made.append(Record(text=one["text"], spans=sorted(spans, key=lambda span: span["start"])))
    return made


def entities(data: Path) -> dict[str, Any]:
    made = {}
    for name, language, read in (("conll2003-en testa", "en", conll), ("cluener-zh train", "zh", cluener)):
        rows = read(data)
        labels = sorted({one["label"] for row in rows for one in row.spans or ()})
        rng, bad = np.random.default_rng(0), np.zeros(len(rows), dtype=bool)
        able = [at for at, row in enumerate(rows) if row.spans]
        for at in rng.choice(able, len(rows) // 20, replace=False):
            spans = rows[at].spans or []
            one = int(rng.integers(len(spans)))
            if rng.random() < 0.5:
                spans.pop(one)
            else:
                spans[one]["label"] = str(rng.choice([label for label in labels if label != spans[one]["label"]]))
            bad[at] = True
        found = CHECKS["entity_errors"].run(material(rows, TaskSpec("tagging", tuple(labels), {}, (language,))))
        worst = np.argsort(-found.score, kind="stable")[: int(bad.sum())]
        made[name] = {
            "records": len(rows), "planted": int(bad.sum()), "flagged": int(found.flagged.sum()), "recall": round(float(found.flagged[bad].mean()), 3),
            "precision": round(float(bad[found.flagged].mean()), 3), "precision_of_worst": round(float(bad[worst].mean()), 3),
            "auroc": round(float(roc_auc_score(bad, found.score)), 3),
        }  # fmt: skip
    return made


def translated(data: Path) -> dict[str, Any]:
    han = re.compile("[\u4e00-\u9fff]")

    def some(texts: list[str]) -> list[str]:
        kept = [text for text in dict.fromkeys(texts) if 12 <= len(han.findall(text)) <= 80]
        random.Random(1).shuffle(kept)
        return kept[:2000]

    with open(data / "stsb-en-zh/stsb-zh-test.csv", encoding="utf-8") as file:
        machine = some([text for row in csv.reader(file) for text in row[:2]])
    with lzma.open(data / "ocnli-zh/dev.json.xz", "rt", encoding="utf-8") as file:
        premises = some([json.loads(line)["sentence1"] for line in file])
    written = {
        "ocnli-zh dev": premises,
        "online-shopping-10-zh": some([row.text or "" for row in shopping(data)[-20_000:]]),
    }
    evidence = {
        name: np.array([translated_evidence(text) for text in texts])
        for name, texts in {"stsb-zh test": machine, **written}.items()
    }
    made: dict[str, Any] = {
        name: {"texts": len(values), "marked": round(float((values >= MT_EVIDENCE).mean()), 4)}
        for name, values in evidence.items()
    }
    for name in written:
        both = np.concatenate([evidence["stsb-zh test"], evidence[name]])
        made[name]["auroc"] = round(float(roc_auc_score(np.arange(len(both)) < len(machine), both)), 3)
    return made


def selected(data: Path) -> dict[str, Any]:
    """The held-out quarter keeps its turned labels, as the user's would."""
    made = {}
    for name, (language, read) in SETS.items():
        rows, _ = turned(read(data)[:3000])
        context = here(TaskSpec(labels=NAMES, languages=(language,)))
        audited = audit(Records.from_rows(rows), context, checks=["label_errors", "training_dynamics"], effect="none")
        for by in ("diversity", "facility_location", "k_center", "quality"):
            made[f"{name} {by}"] = select(audited, context, share=0.3, by=by).facts["select"]["measured"]  # type: ignore[arg-type]
    return made


def speed(data: Path) -> dict[str, Any]:
    seen = material(shopping(data)[:50_000], TaskSpec(labels=NAMES, languages=("zh",)))
    took: dict[str, Any] = {}
    for name in ("languages", "same", "alike", "bag", "slices"):
        began = time.process_time()
        getattr(seen, name)
        took[f"material {name}"] = round(time.process_time() - began, 2)
    for name, one in CHECKS.items():
        began = time.process_time()
        one.run(seen)
        took[name] = round(time.process_time() - began, 2)
    return {"records": len(seen), "cpu_s": round(sum(took.values()), 1), "each": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/checks.json"))
    parts = {"learning": learning, "entities": entities, "translated": translated, "select": selected, "speed": speed}
    parser.add_argument("parts", nargs="+", choices=parts)
    asked = parser.parse_args()
    known = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    for name in asked.parts:
        known[name] = parts[name](asked.data)
        print(json.dumps({name: known[name]}, ensure_ascii=False, indent=1), flush=True)
        asked.out.write_text(json.dumps(known, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
