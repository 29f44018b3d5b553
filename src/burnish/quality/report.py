"""The page of the quality room, made of the records and the facts that audit and curation left."""

from __future__ import annotations

from typing import Literal

from burnish.core.artifacts import Records, Report, write_json
from burnish.core.stage import Context, Count, stage
from burnish.quality.ledger import ledger
from burnish.quality.page import draw
from burnish.quality.page_walk import list_findings

LISTED = "findings.jsonl"


@stage("quality.report", version=4, closing=True)
def report(
    records: Records, context: Context, *, examples: Count = 8, language: Literal["auto", "en", "zh"] = "auto"
) -> Report:
    """Say how good the data is: a verdict, what to do next, findings by effect, five dimensions with records.

    examples: records shown for each check, worst first; all of them lie in findings.jsonl beside the page.
    language: of the page; auto takes Chinese where it is the task's first language, else English.

    ledger.json: the data version in one table (performance, fairness, safety, reliability), to be laid beside others.
    """
    table = ledger(records, context)
    numbers, page = draw(records, context, examples=examples, ledger=table, language=language, listed_in=LISTED)
    write_json(context.scratch / "ledger.json", table)
    files = {"ledger.json": context.scratch / "ledger.json", LISTED: list_findings(records, context.scratch / LISTED)}
    return Report(numbers, page, files)
