"""Which records are drawn at random for the certificate, and the file that says so.

NAME.draws.jsonl beside the spec, one line a record: {"id", "stratum", "weight", "size", "guess", "planned", "frame"}.
weight: how many records it speaks for (size / drawn in its stratum); size: records in the stratum; guess: share right that
was guessed for it; planned: checks by which the strata were cut; frame: of the records that it was drawn from.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.records import INPUT
from burnish.measures import certificate_design as design
from burnish.review.targets import blank, open_row, shown
from burnish.tasks.editors import Editor
from burnish.text.words import words

CHECK = "review"  # the finding of a record that people refused: it was constructed, so it is judged
WORDS_A_SECOND, SECONDS_A_DECISION = 4.0, 2.0  # silent reading (Brysbaert 2019: 238 English words a minute), and a key


@dataclass(frozen=True)
class Population:
    """N constructed records that have a target. ids: N; confidence: (N,) 0..1 or nan; labels, patterns: N, what strata are
    cut by; seconds: what reading one and deciding takes, on average."""

    ids: list[str]
    confidence: np.ndarray
    labels: list[str]
    patterns: list[str]
    seconds: float

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def frame(self) -> str:
        """Twelve digits that change when a record comes, goes, or gets another label or confidence."""
        said = zip(self.ids, self.labels, np.round(np.nan_to_num(self.confidence, nan=-1), 4).tolist(), strict=True)
        digest = hashlib.sha256()
        for one in sorted(said):
            digest.update(repr(one).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:12]


def population(records: Records, task: Any) -> Population:
    """The records with a target that curation kept, and those that only people refused. Memory: some words a record."""
    editors = task.editors()
    ids: list[str] = []
    confidence: list[float] = []
    labels: list[str] = []
    patterns: list[str] = []
    read = count = 0
    for batch in records.batches(columns_of(editors, ["confidence", "votes", "text"])):
        for row in batch.to_pylist():
            if not constructed(row, editors):
                continue
            ids.append(row["id"])
            confidence.append(math.nan if row["confidence"] is None else float(row["confidence"]))
            labels.append(kind_of(open_row(row), editors))
            patterns.append(pattern(row["votes"] or ()))
            if count < 500:  # enough for a mean
                read += len(words(row["text"] or ""))
                count += 1
    seconds = SECONDS_A_DECISION + read / max(count, 1) / WORDS_A_SECOND
    return Population(ids, np.array(confidence, dtype=np.float64), labels, patterns, seconds)


def columns_of(editors: Sequence[Editor], more: Sequence[str] = ()) -> list[str]:
    """Record columns that a target is read from, with what says whether a record counts."""
    own = [one.path[0] for one in editors] + [path[0] for one in editors for path in one.clears]
    return list(dict.fromkeys(["id", "keep", "findings", "label_from", "meta", *own, *more]))


def constructed(row: Mapping[str, Any], editors: Sequence[Editor]) -> bool:
    """Whether a row has a target and is in use, or was until people refused it."""
    kept = row["keep"] or any(one["check"] == CHECK for one in row["findings"] or ())
    return kept and not blank(shown(open_row(row), editors), editors)


def kind_of(row: Mapping[str, Any], editors: Sequence[Editor]) -> str:
    """What strata are cut by beside confidence: the label; else whether anything stands in the record at all."""
    value = next((one for editor in editors if (one := editor.shown(row)) is not None), None)
    kind = editors[0].kind
    if kind == "label":
        return str(value)
    if kind in ("spans", "relations", "labels"):
        return "with" if value else "without"
    return "any"


def pattern(votes: Sequence[Mapping[str, Any]]) -> str:
    """How a record was voted on: none, single (one labeller), agreed or contested."""
    said: dict[str, set[tuple[Any, ...]]] = {}
    for vote in votes:
        what = tuple(value for name, value in sorted(vote.items()) if name not in ("labeller", "confidence"))
        said.setdefault(vote["labeller"], set()).add(what)
    if len(said) < 2:
        return "single" if said else "none"
    first, *others = said.values()
    return "agreed" if all(one == first for one in others) else "contested"


@dataclass(frozen=True)
class Draw:
    """One line of the file."""

    id: str
    stratum: str
    weight: float
    size: int
    guess: float
    planned: int
    frame: str


def strata(
    found: Population, *, width: float, confidence: float, planned: int | None = None
) -> tuple[design.Strata, int]:
    """The strata of a population, and the checks that they were cut by."""
    chance = design.guessed(found.confidence)
    if planned is None:
        planned = design.simple_needed(len(found), float(chance.mean()), width, confidence=confidence)
    return design.divide(chance, found.labels, found.patterns, checks=planned), planned


def drawn(found: Population, cut: design.Strata, checks: np.ndarray, *, planned: int, seed: int) -> list[Draw]:
    """checks (H,) records of each stratum: those with the lowest permanent random numbers.

    In an order of which every beginning has the strata in their shares, so that a person may stop anywhere.
    """
    number = design.order(found.ids, seed=seed)
    frame = found.frame
    lines: list[tuple[float, Draw]] = []
    for h, name in enumerate(cut.names):
        rows = np.flatnonzero(cut.number == h)
        rows = rows[np.argsort(number[rows], kind="stable")][: int(checks[h])]
        weight = float(cut.sizes[h]) / max(len(rows), 1)
        lines += [
            ((at + 0.5) / len(rows), Draw(found.ids[row], name, weight, int(cut.sizes[h]), float(cut.guess[h]), planned, frame))
            for at, row in enumerate(rows)
        ]  # fmt: skip
    return [one for _, one in sorted(lines, key=lambda pair: (pair[0], pair[1].stratum))]


def place(name: str, base: Path) -> Path:
    return base / f"{name}.draws.jsonl"


def write(path: Path, lines: Sequence[Draw]) -> None:
    """Put the file there whole."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with half.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def read(path: Path) -> list[Draw]:
    """The lines of the file; [] where there is none. DataError names the line that is no draw."""
    return list(_read(path)) if path.is_file() else []


def _read(path: Path) -> Iterator[Draw]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            try:
                one = json.loads(line)
                yield Draw(
                    str(one["id"]), str(one["stratum"]), float(one["weight"]), int(one["size"]), float(one["guess"]),
                    int(one["planned"]), str(one["frame"]),
                )  # fmt: skip
            except (ValueError, KeyError, TypeError) as error:
                hint = "`burnish certify` writes this file; take it away and draw again"
                raise DataError(f"this is no draw: {error}", where=f"{path}:{number}", hint=hint) from error


def rows_of(records: Records, wanted: set[str], editors: Sequence[Editor]) -> dict[str, dict[str, Any]]:
    """Open rows of records by id, with what they read and their target."""
    found: dict[str, dict[str, Any]] = {}
    columns = columns_of(editors, ["confidence", *INPUT])
    chosen = pa.array(sorted(wanted), pa.string())
    for batch in records.batches(columns):
        for row in batch.filter(pa.compute.is_in(batch["id"], value_set=chosen)).to_pylist():
            found[row["id"]] = open_row(row)
    return found
