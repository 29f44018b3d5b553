"""The page of the quality room, made of the records and the facts that audit and curation left."""

from __future__ import annotations

from burnish.core.artifacts import Records, Report
from burnish.core.stage import Context, Count, stage
from burnish.quality.page import draw


@stage("quality.report", closing=True)
def report(records: Records, context: Context, *, examples: Count = 8) -> Report:
    """Say how good the data is: a verdict, findings by check with examples and their effect, labels, lengths.

    examples: records shown for each check, worst first.
    """
    numbers, page = draw(records, context, examples=examples)
    return Report(numbers, page)
