"""Bank questions as FAQ matching: webank's pairs of questions, each said to ask the same or not.

    python benchmarks/faq_zh.py prepare OUT [--data ../shared/data/webank-sim-zh] [--limit N]
    burnish run OUT/burnish.yaml

Pairs of the same meaning make a graph; its connected components are the questions of a FAQ in all their wordings. One
wording of each component (the one met most often, then the shortest) is its entry; the others ask for it. Pairs said to
differ are kept as irrelevant candidates where one side asks and the other is an entry. Components are dealt to train and
test by a hash, so that no question of the test was ever taught in another wording; the index holds the entries of both,
as a bank's FAQ would.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import lzma
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SPEC = """\
burnish: 1
name: faq-zh
seed: 0
task: {type: ranking, model: two-tower, negatives: in_batch, candidates: faq.jsonl, languages: [zh]}
sources:
  - {use: jsonl, path: train.jsonl, licence: MIT}
split: {use: stratified, test: 0, validation: 0.1}
train: {use: tune, max_length: 48}
compress: {use: onnx}
evaluate: {use: report, data: test.jsonl}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "webank-sim-zh")
    parser.add_argument("--limit", type=int, help="the first so many pairs")
    args = parser.parse_args()
    counts = prepare(args.data / "sim_webank.csv.xz", args.out, limit=args.limit)
    (args.out / "burnish.yaml").write_text(SPEC, "utf-8")
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()), f"-> {args.out}")


def prepare(path: Path, out: Path, *, limit: int | None = None) -> dict[str, int]:
    """Write train.jsonl, test.jsonl and faq.jsonl; return what is in them."""
    with lzma.open(path, "rt", encoding="gb18030", newline="") as file:
        pairs = [(a.strip(), b.strip(), label) for a, b, label in csv.reader(file)][1:]
    pairs = [(a, b, label) for a, b, label in pairs[:limit] if a and b and a != b]
    same = [(a, b) for a, b, label in pairs if label == "1"]
    met = Counter(text for pair in same for text in pair)
    entry_of = {
        text: min(component, key=lambda one: (-met[one], len(one), one))
        for component in components(same)
        for text in component
    }
    entries = sorted(set(entry_of.values()))
    rows = [
        {"query": text, "candidate": entry, "label": "1", "group": entry}
        for text, entry in entry_of.items()
        if text != entry
    ]
    for a, b, label in pairs:
        for text, other in ((a, b), (b, a)):
            known = entry_of.get(text)
            if label == "0" and known not in (None, text) and other in set(entries) and other != known:
                rows.append({"query": text, "candidate": other, "label": "0", "group": known})
    tested = {entry for entry in entries if int(hashlib.sha256(entry.encode()).hexdigest(), 16) % 5 == 0}
    out.mkdir(parents=True, exist_ok=True)
    sides = {name: [row for row in rows if (row["group"] in tested) == (name == "test")] for name in ("train", "test")}
    for name, side in sides.items():
        write(out / f"{name}.jsonl", side)
    write(out / "faq.jsonl", ({"text": entry} for entry in entries))
    return {f"{name} pairs": len(side) for name, side in sides.items()} | {"entries": len(entries)}


def components(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Connected components of pairs."""
    leader: dict[str, str] = {}

    def find(text: str) -> str:
        while leader.setdefault(text, text) != text:
            leader[text] = leader[leader[text]]
            text = leader[text]
        return text

    for a, b in pairs:
        leader[find(a)] = find(b)
    found: dict[str, list[str]] = {}
    for text in list(leader):
        found.setdefault(find(text), []).append(text)
    return list(found.values())


def write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
