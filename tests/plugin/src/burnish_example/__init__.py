"""Other people's stages: found by the entry point, checked by the same suite as ours."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.stage import Context, Count, stage


@stage("quality.shout")
def shout(records: Records, context: Context, *, minimum: Count = 3) -> Records:
    """Note in the trail which texts shout.

    minimum: exclamation marks from which a text shouts.
    """

    def noted() -> Iterator[pa.Table]:
        for batch in records.batches():
            loud = [text is not None and text.count("!") >= minimum for text in batch["text"].to_pylist()]
            trails = [
                [*(trail or []), "shout: loud"] if is_loud else trail
                for trail, is_loud in zip(batch["trail"].to_pylist(), loud, strict=True)
            ]
            at = batch.schema.get_field_index("trail")
            yield batch.set_column(at, "trail", pa.array(trails, batch.schema.field("trail").type))

    return Records.stream(noted())


@stage("quality.slow")
def slow(records: Records, context: Context, *, seconds: float = 0.0, once: bool = True) -> Records:
    """Sleep before every record: for the tests of killing and waiting.

    seconds: how long a record. once: leave a mark in the scratch folder for every start, to count them.
    """
    if once:
        marks = context.scratch / "starts"
        marks.write_text(f"{int(marks.read_text()) + 1 if marks.exists() else 1}")

    def walked() -> Iterator[pa.Table]:
        for batch in records.batches():
            for row in range(len(batch)):
                time.sleep(seconds)
                yield batch.slice(row, 1)

    return Records.stream(walked())
