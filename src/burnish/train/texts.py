"""The texts that pre-training may read: all that was gathered, and nothing that will judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Records, Split
from burnish.core.errors import BurnishError
from burnish.core.progress import Progress
from burnish.text.inputs import said

COLUMNS = ("id", "text", "text_b", "messages", "group", "keep")
NEAR = 0.8  # Jaccard similarity of shingles from which two texts are the same, as in split.stratified


def readable(
    records: Records | None, split: Split | None, gold: Gold | None, *, progress: Progress
) -> tuple[Records, dict[str, Any]]:
    """(records to read, counts of what was left out and why).

    Labels are not looked at, so records without one are read too. Set aside records are not. Without a split all kept
    records are read; behind one those of the training side, and of the records that are on no side (unlabelled ones)
    those that neither equal nor resemble (Jaccard 0.8) a text of the validation or test side. Gold judges unless the
    spec trains on it: what resembles it is left out too. Memory: all texts, where something judges.
    """
    if records is None and split is None:
        raise BurnishError("there are no texts to learn from", hint="sources: [{use: text, path: raw/*.txt}]")
    judging = gold.table(["text", "text_b", "messages"]) if gold is not None and not gold.facts.get("train") else None
    judges = said(judging, system=False) if judging is not None else []
    left_out = {"set aside": 0, "like a text that judges": 0, "of the validation or test side": 0}
    if split is None and not judges:  # nothing to compare with: as large as the disk holds
        assert records is not None
        return Records(lambda columns: (one.filter(one["keep"]) for one in records.batches(columns))), {}
    if split is None:
        assert records is not None
        table = _kept(records.table(COLUMNS), left_out)
        table = _apart(table, judges, left_out)
    else:
        sides = [side.table(COLUMNS) for side in (split.train, split.validation, split.test)]
        train = _apart(sides[0], judges, left_out)  # the split has kept its own sides apart
        others = _kept(records.table(COLUMNS), left_out) if records is not None else sides[0].slice(0, 0)
        judged = pa.concat_tables(sides[1:])
        ids = np.array(others["id"].to_pylist(), dtype=object)
        of_judges = np.isin(ids.astype(str), np.array(judged["id"].to_pylist(), dtype=str))
        of_train = np.isin(ids.astype(str), np.array(sides[0]["id"].to_pylist(), dtype=str))
        left_out["of the validation or test side"] = int(of_judges.sum())
        others = others.filter(pa.array(~of_judges & ~of_train))
        table = pa.concat_tables([train, _apart(others, [*judges, *said(judged, system=False)], left_out)])
    told = {reason: count for reason, count in left_out.items() if count}
    for reason, count in told.items():
        progress.tell(f"  not read, {reason}: {count:,}")
    if not len(table):
        raise BurnishError("no text is left to learn from", hint="see construct/records.parquet: what is kept?")
    return Records.from_table(table), {"records": len(table), "left_out": told}


def documents(records: Records) -> Iterator[dict[str, Any]]:
    """Each record as a document of `nn.corpus`: text, second text and turns one below the other, and its group."""
    for batch in records.batches(COLUMNS):
        for text, group in zip(said(batch), batch["group"].to_pylist(), strict=True):
            yield {"text": text, "group": group}


def _kept(table: pa.Table, left_out: dict[str, int]) -> pa.Table:
    left_out["set aside"] += len(table) - int(np.sum(table["keep"].to_pylist()))
    return table.filter(table["keep"])


def _apart(table: pa.Table, judges: list[str], left_out: dict[str, int]) -> pa.Table:
    """Without what equals or resembles a text that judges."""
    if not judges or not len(table):
        return table
    from burnish.measures.duplicates import leaks

    near = np.unique(leaks(judges, said(table, system=False), threshold=NEAR).pairs[:, 1])
    left_out["like a text that judges"] += len(near)
    return table.take(pa.array(np.setdiff1d(np.arange(len(table)), near)))
