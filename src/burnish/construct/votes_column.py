"""Votes as the records carry them: a list a record, of every vote on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import BATCH_ROWS, Records
from burnish.core.records import VOTE


def votes_of_rows(records: Records, table: pa.Table) -> Iterator[tuple[int, pa.Table, pa.Array]]:
    """(number of the first row, batch, its votes as a list array), batch by batch. table: votes sorted by row."""
    rows = table["row"].to_numpy()
    ballot = pa.StructArray.from_arrays(
        [table[field.name].combine_chunks().cast(field.type) for field in VOTE],
        fields=list(VOTE),
    )
    at = 0
    for whole in records.batches():
        for batch in (whole.slice(start, BATCH_ROWS) for start in range(0, len(whole), BATCH_ROWS)):
            edges = np.searchsorted(rows, np.arange(at, at + len(batch) + 1))
            cast = pa.ListArray.from_arrays(
                pa.array(edges - edges[0], pa.int32()), ballot.slice(edges[0], edges[-1] - edges[0])
            )
            yield at, batch, cast.cast(batch.schema.field("votes").type)
            at += len(batch)
