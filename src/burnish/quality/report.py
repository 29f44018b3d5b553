"""The page of the quality room, made of the records and the facts that audit and curation left."""

from __future__ import annotations

from burnish.core.artifacts import Records, Report, write_json
from burnish.core.stage import Context, Count, stage
from burnish.quality.ledger import ledger
from burnish.quality.page import draw


@stage("quality.report", version=2, closing=True)
def report(records: Records, context: Context, *, examples: Count = 8) -> Report:
    """Say how good the data is: a verdict, findings by check with examples and their effect, labels, lengths.

    examples: records shown for each check, worst first.

    ledger.json: the data version in one table (performance, fairness, safety, reliability), to be laid beside others.
    """
    table = ledger(records, context)
    numbers, page = draw(records, context, examples=examples, ledger=table)
    write_json(context.scratch / "ledger.json", table)
    return Report(numbers, page, {"ledger.json": context.scratch / "ledger.json"})
