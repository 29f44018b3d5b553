"""Sentence pairs that cannot be translations of each other are set aside, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.construct.gathering import filtered
from burnish.construct.texts.align import two_languages
from burnish.core.artifacts import Records
from burnish.core.stage import Context, Share, stage
from burnish.nn.backbones import Backbone
from burnish.text.normalise import normalise

BY = "construct.pair_filter"
STRANGERS = 500  # targets beside which a pair's own is judged
Reasons = dict[int, tuple[str, float]]


@stage(BY, check=two_languages)
def pair_filter(
    records: Records,
    context: Context,
    *,
    max_ratio: float = 2.5,
    duplicates: Literal["pair", "source", "target", "either", "none"] = "either",
    unlike: Share = 0.0,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Set sentence pairs aside that cannot be translations of each other.

    max_ratio: a target so many times longer or shorter than usual is refused, above 1; usual is the median of all pairs.
    duplicates: a pair is refused when the pair, its source, its target, or either of them was there before.
    unlike: a pair is refused when this share of other pairs' targets, or more, is nearer in meaning to its source than its
        own target is, 0..1; 0.02 is strict, 0 asks no encoder.
    backbone: whose vectors are compared; it must speak both languages.

    A pair is a kept record with text and output, whoever made it. Reasons: empty side, copy, script, language, length
    ratio, addresses and placeholders, numbers (in figures, words or Chinese numerals), entities that are written alike in
    any language, duplicates, unlike in meaning; each is counted in the facts. Memory: all pairs.
    """
    from burnish.measures.translation_pairs import problem, usual_ratio

    first, second = (*context.task.languages, "und", "und")[:2]
    table = records.table(["text", "output", "keep"])
    rows = [
        at
        for at, (text, output, keep) in enumerate(
            zip(*(table[one].to_pylist() for one in table.column_names), strict=True)
        )
        if keep and text is not None and output is not None
    ]
    sources, targets = ([table[name][at].as_py() for at in rows] for name in ("text", "output"))
    ratio = usual_ratio(sources, targets)
    reasons: Reasons = {}
    seen: dict[str, set[Any]] = {"source": set(), "target": set(), "pair": set()}
    with context.progress.bar(BY, len(rows), "pairs") as bar:
        for row, source, target in zip(rows, sources, targets, strict=True):
            if wrong := problem(source, target, spoken=(first, second), ratio=ratio, most=max_ratio):
                reasons[row] = (wrong, 1.0)
            bar.advance(1)
    if unlike:
        left = [at for at, row in enumerate(rows) if row not in reasons]
        shares = _nearer(left, sources, targets, context, backbone)
        reasons |= {
            rows[at]: (f"unlike in meaning: {share:.1%} of others are nearer", float(share))
            for at, share in zip(left, shares, strict=True)
            if share >= unlike
        }
    for row, source, target in zip(rows, sources, targets, strict=True):  # last: of a good and a bad one the good stays
        if row not in reasons and (repeat := _repeated(source, target, seen, duplicates)):
            reasons[row] = (repeat, 1.0)
    told = {"seen": len(rows), "usual_ratio": round(ratio, 3)}
    return filtered(records, _by_batch(records, reasons), context, by=BY, told=told)


def _repeated(source: str, target: str, seen: Mapping[str, set[Any]], which: str) -> str | None:
    keys = {"source": normalise(source), "target": normalise(target)}
    keys["pair"] = (keys["source"], keys["target"])  # type: ignore[assignment]
    asked = {"none": (), "either": ("source", "target")}.get(which, (which,))
    known = next((name for name in asked if keys[name] in seen[name]), None)
    if known is None:
        for name in asked:
            seen[name].add(keys[name])
        return None
    return f"duplicate {known}"


def _nearer(
    left: list[int], sources: list[str], targets: list[str], context: Context, backbone: Backbone
) -> np.ndarray:
    """(left,) share of other targets that are nearer to a source than its own, vectors centred by language."""
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import centre, embed

    if not left:
        return np.zeros(0)
    folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
    source, target = (
        centre(embed([side[at] for at in left], folder, cache=context.cache, progress=context.progress))
        for side in (sources, targets)
    )
    drawn = np.random.default_rng(context.seed).permutation(len(left))[:STRANGERS]
    own = (source * target).sum(1)
    nearer = [
        (source[at : at + 1024] @ target[drawn].T > own[at : at + 1024, None] + 1e-6).mean(1)
        for at in range(0, len(left), 1024)
    ]
    return np.concatenate(nearer)


def _by_batch(records: Records, reasons: Reasons) -> Iterator[tuple[pa.Table, Reasons]]:
    at = 0
    for batch in records.batches():
        yield batch, {row - at: reasons[row] for row in range(at, at + len(batch)) if row in reasons}
        at += len(batch)
