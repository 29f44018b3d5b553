"""Summaries that say what their text does not are set aside; how far the others are taken from it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.construct.gathering import filtered
from burnish.construct.texts.summaries import writes_outputs
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, nearest, stage

BY = "construct.faithful"
Reasons = dict[int, tuple[str, float]]


@stage(BY, check=writes_outputs)
def faithful(
    records: Records,
    context: Context,
    *,
    numbers: bool = True,
    names: bool = True,
    min_support: Share = 0.5,
    max_novel: Share = 1.0,
    nli: Path | None = None,
    contradiction: str = "contradiction",
) -> Records:
    """Set summaries aside that say what their text does not, and tell how far the others are taken from it.

    numbers: a number of the summary must be in the text, in figures, words or Chinese numerals.
    names: a name of the summary must be in the text.
    min_support: share of the summary's content words that the text must have, 0..1.
    max_novel: a summary with a larger share of word pairs that the text has not is refused, 0..1.
    nli: a run or model folder of a pair classifier (text, text_b); each sentence of the summary is read beside the three
        sentences of the text that share most words with it.
    contradiction: its label for a pair that cannot both be true; a summary with such a sentence is refused.

    A summary is the output of a kept record, whoever made it. The facts hold quantiles of coverage, density and compression
    (Grusky et al. 2018) and of the novel pairs of words, of what came and of what is kept.
    """
    judge = _judge(nli, contradiction, context) if nli else None
    rows: dict[str, list[tuple[float, ...]]] = {"before": [], "after": []}
    told: dict[str, Any] = {"seen": 0}

    def judged() -> Iterator[tuple[pa.Table, Mapping[int, tuple[str, float]]]]:
        with context.progress.bar(BY, len(records)) as bar:
            for batch in records.batches():
                yield batch, _refused(batch, rows, told, judge, (numbers, names, min_support, max_novel))
                bar.advance(len(batch))
        told.update({name: _quantiles(found) for name, found in rows.items()})

    return filtered(records, judged(), context, by=BY, told=told)


def _refused(
    batch: pa.Table, rows: dict[str, list[tuple[float, ...]]], told: dict[str, Any], judge: Any, limits: Any
) -> Reasons:
    from burnish.measures.summaries import extracted

    reasons: Reasons = {}
    pairs: list[tuple[int, str, str, tuple[float, ...]]] = []
    for at, (text, output, keep) in enumerate(
        zip(*(batch[name].to_pylist() for name in ("text", "output", "keep")), strict=True)
    ):
        if not (text and output and keep):
            continue
        told["seen"] += 1
        measured = extracted(text, output)
        figures = (measured.coverage, measured.density, measured.compression, measured.novel_bigrams)
        rows["before"].append(figures)
        if wrong := _wrong(text, output, measured.novel_bigrams, *limits):
            reasons[at] = wrong
        else:
            pairs.append((at, text, output, figures))
    against = judge([(text, output) for _, text, output, _ in pairs]) if judge and pairs else [None] * len(pairs)
    for (at, _, _, measures), found in zip(pairs, against, strict=True):
        if found:
            reasons[at] = found
        else:
            rows["after"].append(measures)
    return reasons


def _wrong(
    text: str, output: str, novel: float, numbers: bool, names: bool, min_support: float, max_novel: float
) -> tuple[str, float] | None:
    from burnish.measures.summaries import names_missing, supported
    from burnish.text.numerals import unsaid

    for kind, missing in (
        ("number", unsaid(output, text) if numbers else []),
        ("name", names_missing(text, output) if names else []),
    ):
        if missing:
            return f"{kind} not in the text: {', '.join(missing)}"[:200], 1.0
    if (support := supported(text, output)) < min_support:
        return f"words not in the text: {1 - support:.0%}", 1 - support
    if novel > max_novel:
        return f"too much is new: {novel:.0%} of its word pairs", novel
    return None


def _quantiles(found: list[tuple[float, ...]]) -> dict[str, dict[str, float]]:
    """Mean and quartiles of each figure."""
    if not found:
        return {}
    table = np.array(found)
    made = {}
    for at, name in enumerate(("coverage", "density", "compression", "novel_bigrams")):
        low, middle, high = np.quantile(table[:, at], (0.25, 0.5, 0.75))
        made[name] = {
            "mean": round(float(table[:, at].mean()), 4), "q25": round(float(low), 4),
            "median": round(float(middle), 4), "q75": round(float(high), 4),
        }  # fmt: skip
    return made


def _judge(path: Path, label: str, context: Context) -> Any:
    """A function from (text, summary) pairs to the reasons against them."""
    from burnish.measures.generation import rouge_tokens
    from burnish.tasks import predictor
    from burnish.text.sentences import sentences

    loaded = predictor.load(path)
    if label not in loaded.labels:
        raise BurnishError(
            f"the model has no label {label!r}",
            where=f"{BY}.contradiction",
            hint=nearest(label, loaded.labels, "it has"),
        )

    def judge(pairs: list[tuple[str, str]]) -> list[tuple[str, float] | None]:
        asked, owner = [], []
        for at, (text, output) in enumerate(pairs):
            said = [text[start:end] for start, end in sentences(text)]
            bags = [set(rouge_tokens(one)) for one in said]
            for start, end in sentences(output):
                words = set(rouge_tokens(output[start:end]))
                near = sorted(range(len(said)), key=lambda k: -len(bags[k] & words) / (1 + len(bags[k]) ** 0.5))[:3]
                asked.append({"text": " ".join(said[k] for k in sorted(near)), "text_b": output[start:end]})
                owner.append(at)
        found: list[tuple[str, float] | None] = [None] * len(pairs)
        for at, answer, one in zip(owner, loaded.predict(asked, progress=context.progress), asked, strict=True):
            if answer["label"] == label:
                found[at] = (f"contradicts the text: {one['text_b']}"[:200], float(answer["score"]))
        return found

    return judge
