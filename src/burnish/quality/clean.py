"""The standard pass over raw text: mend what is only dirty, set aside what is no text, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import FINDING, Reject
from burnish.core.spread import spread
from burnish.core.stage import Context, Count, Positive, Share, nearest, stage
from burnish.measures.hygiene import REASONS, RULES, Limits, faults
from burnish.text.inputs import said
from burnish.text.normalise import mended

_OFFSETS = ("spans", "relations", "answer")  # what a changed text would put out of place


def _cost(records: int, tokens: int, settings: dict[str, Any]) -> float:
    """Seconds on two cores."""
    return 1 + tokens * 4 / 10e6


@stage("quality.clean", cost=_cost)
def clean(
    records: Records,
    context: Context,
    *,
    languages: list[str] | None = None,
    mend: bool = False,
    min_words: Count = 2,
    max_words: Positive = 100_000,
    judged_from: Count = 50,
    mojibake: Share = 0.01,
    markup: Share = 0.2,
    letters: Share = 0.7,
    symbols: Share = 0.1,
    word_length: tuple[float, float] = (3.0, 10.0),
    stop_words: Count = 2,
    bullets: Share = 0.9,
    ellipses: Share = 0.3,
    repeated_lines: Share = 0.3,
    unended: Share = 0.12,
    repetition: float = 1.0,
    off: list[str] | None = None,
) -> Records:
    """Set aside what is no running text: the rules of web corpora (Gopher, C4, FineWeb), right for Chinese.

    languages: to keep; those of the task by default, [] for any. A text whose language cannot be told stays.
    mend: take out control and unseen characters and runs of blanks, where no target counts characters.
    min_words: a Chinese character is a word.
    max_words: of a text.
    judged_from: words from which the rules below `markup` are asked; a share of a short text says nothing.
    mojibake: share of characters that were lost or read in the wrong encoding, at most.
    markup: share of characters in tags and entities, at most.
    letters: share of words with a letter, at least.
    symbols: number signs and ellipses a word, at most.
    word_length: letters a word, mean, at least and at most; of texts that are mostly not Chinese.
    stop_words: in an English or Chinese text, at least.
    bullets: share of lines that begin with one, at most.
    ellipses: share of lines that end with one, at most.
    repeated_lines: share of lines, at most.
    unended: share of lines that must end with a mark, where there are five or more.
    repetition: factor on Gopher's limits for repeated sequences of words; 2 is twice as lenient.
    off: rules that are not asked, of language, words, mojibake, markup, placeholder, letters, symbols, word_length,
    stop_words, bullets, ellipses, repeated_lines, unended, top_ngram, repeated_ngrams.

    A record that is set aside stays in the file with keep: false, a finding clean.RULE and its reason. A batch at a time is
    in memory; batches are worked on wherever `engine` says.
    """
    for name in off or ():
        if name not in RULES:
            raise BurnishError(f"quality.clean has no rule {name!r}", hint=nearest(name, RULES, "rules are"))
    wanted = context.task.languages if languages is None else tuple(languages)
    limits = Limits(
        wanted, min_words, max_words, judged_from, mojibake, markup, letters, symbols, word_length, stop_words, bullets,
        ellipses, repeated_lines, unended, repetition, tuple(off or ()),
    )  # fmt: skip
    facts: dict[str, Any] = {}

    def walk(columns: Sequence[str] | None) -> Iterator[pa.Table | Reject]:
        tally: Counter[str] = Counter()
        aside: Counter[str] = Counter()
        for batch, counted, reasons in spread(
            partial(cleaned, limits=limits, mend=mend), records.batches(), context.engine
        ):
            tally.update(counted)
            aside.update(reasons)
            yield batch.select(list(columns)) if columns else batch
        facts.clear()
        facts.update(tally, set_aside=dict(aside.most_common()), languages=list(wanted))

    made = Records(walk, len(records))
    made.facts = {**records.facts, "clean": facts}  # filled by the walk, which `save` does before it writes them
    return made


def cleaned(batch: pa.Table, *, limits: Limits, mend: bool = True) -> tuple[pa.Table, dict[str, int], dict[str, int]]:
    """One batch of records, clean; counts (records, mended, set aside) and how many were set aside by each rule."""
    keep = np.array(batch["keep"].to_pylist(), dtype=bool)
    trail = batch["trail"].to_pylist()
    changed = np.zeros(len(keep), dtype=bool)
    if mend:
        batch, changed = _mended(batch, keep)
    rule, value = faults(said(batch), limits)
    gone = keep & (rule >= 0)
    findings = batch["findings"].to_pylist()
    for row in np.flatnonzero(changed):
        trail[row] = [*(trail[row] or ()), "quality.clean: characters nobody sees and runs of blanks taken out"]
    for row in np.flatnonzero(gone):
        name = RULES[rule[row]]
        reason = REASONS[name].format(value[row])
        finding = {"check": f"clean.{name}", "score": 1.0, "reason": reason, "action": "drop"}
        findings[row] = [*(findings[row] or ()), finding]
        trail[row] = [*(trail[row] or ()), f"quality.clean: set aside, {name}: {reason}"]
    for name, values in (
        ("keep", pa.array(keep & ~gone)), ("findings", pa.array(findings, pa.list_(FINDING))),
        ("trail", pa.array(trail, pa.list_(pa.string()))),
    ):  # fmt: skip
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), values)
    reasons = Counter(RULES[number] for number in rule[gone])
    return batch, {"records": len(keep), "mended": int(changed.sum()), "aside": int(gone.sum())}, dict(reasons)


def _mended(batch: pa.Table, keep: np.ndarray[Any, Any]) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """Texts without what nobody sees, and which of them changed; a text whose characters a target counts stays."""
    free = keep.copy()
    for name in _OFFSETS:
        free &= np.array(batch[name].is_null())
    before = batch["text"]
    after = mended(before)
    changed = free & ~np.array(before.is_null()) & np.array((after != _series(before)).fill_null(False))
    if changed.any():
        text = pa.array(np.where(changed, after.to_numpy(), _series(before).to_numpy()), pa.string())
        batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), text)
    return batch, changed


def _series(column: pa.ChunkedArray) -> Any:
    import polars as pl

    return pl.Series(values=column)
