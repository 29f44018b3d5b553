"""The constructed path on four data sets whose training labels stay hidden, beside full supervision.

    python benchmarks/constructed.py prepare --data ../shared/data      writes examples/NAME/data
    burnish run examples/NAME/burnish.yaml --to construct
    python benchmarks/constructed.py measure NAME …

prepare: unlabelled training texts, 8 gold records a class out of the training side, the test side. AG News has its
official test side only, here cut in two; THUCNews titles learn from the validation file.
measure: label quality on the hidden training labels (shown, used for nothing), and the test accuracy of one end model,
a probe on the frozen backbone, on: the constructed labels, continued on the gold; gold alone; all true labels.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from burnish.core.progress import Plain
from burnish.nn.backbones import resolve
from burnish.nn.continuing import continued, softmax
from burnish.nn.embeddings import embed
from burnish.nn.probe import Probe

GOLD_PER_CLASS = 8
MOST_TRAIN, MOST_TEST = 6000, 2000
EXAMPLES = Path(__file__).parents[1] / "examples"
Pair = tuple[str, str]


def unpacked(path: Path) -> str:
    return (lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()).decode("utf-8")


def sst2(data: Path) -> tuple[list[Pair], list[Pair]]:
    def read(name: str) -> list[Pair]:
        rows = [line.rsplit("\t", 1) for line in unpacked(data / "sst2-en" / name).splitlines()]
        return [(text, ("negative", "positive")[int(label)]) for text, label in rows]

    return read("train.tsv.xz"), read("test.tsv")


def agnews(data: Path) -> tuple[list[Pair], list[Pair]]:
    names = ("World", "Sports", "Business", "Sci/Tech")
    rows = list(csv.reader(io.StringIO(unpacked(data / "agnews-en/test.csv.xz"))))
    pairs = [(f"{title}. {text}".replace("\\", " "), names[int(label) - 1]) for label, title, text in rows]
    pairs = shuffled(pairs)
    return pairs[MOST_TEST:], pairs[:MOST_TEST]


def chnsenticorp(data: Path) -> tuple[list[Pair], list[Pair]]:
    def read(name: str) -> list[Pair]:
        rows = [line.split("\t", 1) for line in unpacked(data / "chnsenticorp-zh" / name).splitlines()[1:]]
        return [(row[1], ("negative", "positive")[int(row[0])]) for row in rows if len(row) == 2]

    return read("train.tsv.xz"), read("test.tsv")


def thucnews(data: Path) -> tuple[list[Pair], list[Pair]]:
    folder = data / "thucnews-titles-zh"
    names = unpacked(folder / "class.txt").split()

    def read(name: str) -> list[Pair]:
        rows = [line.rsplit("\t", 1) for line in unpacked(folder / name).splitlines() if "\t" in line]
        return [(text, names[int(label)]) for text, label in rows]

    return read("dev.txt"), read("test.txt")


SETS = {"sst2": sst2, "agnews": agnews, "chnsenticorp": chnsenticorp, "thucnews": thucnews}


def shuffled(pairs: Iterable[Pair]) -> list[Pair]:
    """In an order that says nothing and is the same everywhere; the same text once."""
    return sorted(dict(pairs).items(), key=lambda pair: hashlib.sha256(pair[0].encode()).digest())


def sides(name: str, data: Path) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """(train without gold, gold, test); no text of the test side is in the others."""
    train, test = SETS[name](data)
    test = shuffled(test)[:MOST_TEST]
    judged = {text for text, _ in test}
    train = [pair for pair in shuffled(train) if pair[0] not in judged][:MOST_TRAIN]
    labels = sorted({label for _, label in train})
    gold = [pair for label in labels for pair in [one for one in train if one[1] == label][:GOLD_PER_CLASS]]
    return [pair for pair in train if pair not in set(gold)], gold, test


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def prepare(data: Path) -> None:
    for name in SETS:
        train, gold, test = sides(name, data)
        folder = EXAMPLES / name / "data"
        write(folder / "raw.jsonl", ({"text": text} for text, _ in train))
        write(folder / "gold.jsonl", ({"text": text, "label": label} for text, label in gold))
        write(folder / "test.jsonl", ({"text": text, "label": label} for text, label in test))
        print(f"{name}: {len(train):,} texts without labels, {len(gold)} gold, {len(test):,} to judge by")


def measure(name: str, data: Path, cache: Path) -> dict[str, Any]:
    train, gold, test = sides(name, data)
    truth = dict(train)
    table = pq.read_table(
        EXAMPLES / name / "runs" / name / "construct" / "records.parquet", columns=["text", "label", "probs"]
    )
    texts, said, probs = (table[column].to_pylist() for column in ("text", "label", "probs"))
    listed = yaml.safe_load((EXAMPLES / name / "burnish.yaml").read_text("utf-8"))["task"]["labels"]
    labels = [next(iter(one)) for one in listed]  # probs are in the task's order
    folder = resolve("auto", languages=["zh"] if name in ("chnsenticorp", "thucnews") else ["en"], progress=Plain())

    def vectors(some: list[str]) -> np.ndarray:
        return embed(some, folder, cache=cache, progress=Plain())

    all_vectors = vectors(texts)
    middle = all_vectors.mean(0)

    def centred(found: np.ndarray) -> np.ndarray:
        moved = found - middle
        unit: np.ndarray = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return unit

    x, x_gold, x_test = (
        centred(v) for v in (all_vectors, vectors([t for t, _ in gold]), vectors([t for t, _ in test]))
    )
    number = {label: i for i, label in enumerate(labels)}
    y_gold, y_test = (np.array([number[label] for _, label in pairs]) for pairs in (gold, test))
    has = np.array([label is not None for label in said])
    soft = np.array([p for p in probs if p is not None])
    k = len(labels)
    weak = Probe(k, seed=0).fit(x[has], soft)
    move = continued(weak.logits(x_gold), x_gold, y_gold, shares=softmax(weak.logits(x)).mean(0), seed=0)
    full = Probe(k, seed=0).fit(x, np.array([number[truth[text]] for text in texts]))
    few = Probe(k, seed=0).fit(x_gold, y_gold)

    def right(logits: np.ndarray) -> float:
        return float((logits.argmax(1) == y_test).mean())

    scores = {
        "labelled": float(has.mean()),
        "label_accuracy": float(np.mean([a == truth[t] for a, t in zip(said, texts, strict=True) if a is not None])),
        "constructed": right(weak.logits(x_test)),
        "constructed, continued on gold": right(weak.logits(x_test) + move(x_test)),
        "gold alone": right(few.logits(x_test)),
        "all true labels": right(full.logits(x_test)),
    }
    scores["share of full supervision"] = scores["constructed, continued on gold"] / scores["all true labels"]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("runs/.cache"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/constructed.json"))
    asked = parser.parse_args()
    if asked.what == "prepare":
        prepare(asked.data)
        return
    found = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    for name in asked.names or SETS:
        found[name] = measure(name, asked.data, asked.cache)
        print(name, json.dumps(found[name], indent=1))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
