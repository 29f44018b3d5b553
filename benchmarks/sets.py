"""What the readers of real data sets share: rows, sides drawn where there is no official split, and a count of the dirt.

A row is a dict of record fields as a JSONL source reads them. Nothing is repaired in silence: what a reader drops or
mends it counts under a name, and `facts` counts what is left in: repeats, contradictions, test rows that the training
side holds as well. Those stay where they are, for the report shows scores with and without them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TARGETS = ("label", "labels", "value", "spans", "relations", "answer", "output", "target")
NEAR = 0.8  # Jaccard similarity from which a test row counts as being in the training side too


@dataclass
class Sides:
    """One data set, read. dirt: what was dropped or mended, by name. notes: what a reader of the figures must know."""

    train: list[Row]
    test: list[Row]
    validation: list[Row] = field(default_factory=list)
    dirt: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def all(self) -> dict[str, list[Row]]:
        """The sides that are there, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: rows for name, rows in named.items() if rows}


def unpacked(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file that may be compressed; a byte order mark goes."""
    opened = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opened(path, "rb") as file:
        return file.read().decode(encoding).removeprefix("\ufeff")


def lines(path: Path, encoding: str = "utf-8") -> list[str]:
    """Lines as the file ends them: a text may hold what str.splitlines would cut at."""
    return [line.rstrip("\r") for line in unpacked(path, encoding).removesuffix("\n").split("\n")]


def drawn(
    rows: Iterable[Row], shares: dict[str, float], *, group: Callable[[Row], str] | None = None
) -> list[list[Row]]:
    """Rows on sides by a hash of content: the same for ever, and hardly moved by new rows.

    shares: side -> share of all, in the order of the answer. group: rows with an equal one stay together; without it
    near-duplicates (0.8 and more) do.
    """
    rows = list(rows)
    if group is None:
        from burnish.measures.duplicates import near_duplicates

        said = [read(row) for row in rows]
        keys = [said[first] for first in near_duplicates(said, threshold=NEAR).label]
    else:
        keys = [group(row) for row in rows]
    sides: list[list[Row]] = [[] for _ in shares]
    for row, key in zip(rows, keys, strict=True):
        at = by_content(key)
        for side, share in zip(sides, shares.values(), strict=True):
            at -= share
            if at < 0 or side is sides[-1]:
                side.append(row)
                break
    return sides


def by_content(text: str) -> float:
    """Where a text stands in line, 0..1: in an order that says nothing and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def read(row: Row) -> str:
    """The text of a row that a model would read."""
    turns = [turn["content"] for turn in row.get("messages") or ()]
    if turns and row["messages"][-1]["role"] == "assistant":
        turns = turns[:-1]
    return "\n".join([row[name] for name in ("text", "source", "text_b") if row.get(name)] + turns)


def asked(row: Row) -> str:
    """What tells one question from another: the text, and the marked pair where a relation is asked for."""
    marks = [f"{one['start']}-{one['end']}" for one in row["spans"]] if row.get("relations") is not None else []
    return "\n".join([read(row), *marks])


def wanted(row: Row) -> str:
    """What a model should answer, as text."""
    turns = row.get("messages") or ()
    said = {name: row[name] for name in TARGETS if row.get(name) is not None}
    if turns:
        said["turn"] = turns[-1]["content"]
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def facts(sides: Sides) -> dict[str, Any]:
    """Counts of every side and of what is wrong with them; `leaks` are test rows whose input the training side holds."""
    from burnish.measures.duplicates import leaks
    from burnish.text.normalise import normalised

    made: dict[str, Any] = {"records": {name: len(rows) for name, rows in sides.all().items()}}
    forms = {name: normalised([asked(row) for row in rows]) for name, rows in sides.all().items()}
    for name, rows in sides.all().items():
        made[name] = _inside(rows, forms[name])
    said = dict(zip(forms["train"], map(wanted, sides.train), strict=True))
    same = [i for i, form in enumerate(forms["test"]) if form in said]
    near = leaks([read(row) for row in sides.train], [read(row) for row in sides.test], threshold=NEAR)
    made["leaks"] = {
        "test inputs that train has too": len(same),
        "test inputs that train has with another answer": sum(
            said[forms["test"][i]] != wanted(sides.test[i]) for i in same
        ),
        "test texts in train": len({int(row) for row in near.pairs[near.similarity == 1.0, 1]}),
        f"test texts in train, nearly ({NEAR} and more)": len({int(row) for row in near.pairs[:, 1]}),
    }
    labels = {name: _labels(rows) for name, rows in sides.all().items()}
    if labels["train"]:
        made["labels"] = dict(labels["train"].most_common())
        unseen = {label: n for label, n in labels["test"].items() if label not in labels["train"]}
        made["labels only in test"] = unseen
        made["labels that look alike"] = _alike(labels["train"] + labels["test"])
    return made | {"dropped or mended": dict(sides.dirt.most_common()), "notes": sides.notes}


def _inside(rows: list[Row], forms: list[str]) -> dict[str, int]:
    """Of one side: repeats, contradictions, spans that lie wrong."""
    seen: dict[str, str] = {}
    found: Counter[str] = Counter()
    for row, form in zip(rows, forms, strict=True):
        target = wanted(row)
        found["repeats"] += form in seen
        found["repeats with another answer"] += form in seen and seen[form] != target
        seen.setdefault(form, target)
        found["empty input"] += not form.strip()
        found.update(_spans(row))
    return {name: count for name, count in found.items() if count}


def _spans(row: Row) -> Counter[str]:
    found: Counter[str] = Counter()
    last = 0
    for span in sorted(row.get("spans") or (), key=lambda one: (one["start"], one["end"])):
        said = row["text"][span["start"] : span["end"]]
        found["spans"] += 1
        found["spans outside the text"] += not 0 <= span["start"] < span["end"] <= len(row["text"])
        found["spans with blanks at the edge"] += said != said.strip()
        found["spans over another"] += span["start"] < last
        last = max(last, span["end"])
    return found


def _labels(rows: list[Row]) -> Counter[str]:
    """Every label of a side, of whatever kind, with its count."""
    found: Counter[str] = Counter()
    for row in rows:
        many = row["label"] if isinstance(row.get("label"), list) else [row["label"]] if row.get("label") else []
        marked = row["relations"] if row.get("relations") is not None else row.get("spans") or ()
        found.update(many)
        found.update(one["label"] for one in marked)
    return found


def _alike(labels: Counter[str]) -> list[list[str]]:
    """Labels that differ in case, blanks, width or punctuation alone."""
    forms: dict[str, list[str]] = {}
    for label in labels:
        forms.setdefault("".join(one for one in label.casefold() if one.isalnum()), []).append(label)
    return [sorted(same) for same in forms.values() if len(same) > 1]


def write(folder: Path, sides: Sides) -> dict[str, Any]:
    """Write train.jsonl, validation.jsonl, test.jsonl and facts.json, each whole or not at all; return the facts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sides.all().items():
        _whole(folder / f"{name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    made = facts(sides)
    _whole(folder / "facts.json", json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    return made


def _whole(path: Path, text: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
