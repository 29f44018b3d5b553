"""The few records that teach nearly as much as all: a part of the data, chosen; and what it is worth beside as many drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.stage import Context, Share, stage
from burnish.measures.diversity import facility_location, farthest_first
from burnish.nn.backbones import Backbone
from burnish.quality.checks import COLUMNS, Array, Material, rewritten

By = Literal["diversity", "facility_location", "k_center", "quality", "random"]
REPEATS = 5
PARTS = 4
LEAST = 60
MOST = 20_000  # records that are chosen from at once: facility location takes time quadratic in them


@stage("quality.select")
def select(
    records: Records,
    context: Context,
    *,
    share: Share = 0.3,
    by: By = "diversity",
    backbone: Backbone = Backbone("auto"),
    measure: bool = True,
) -> Records:
    """Keep the part of the records that stands for all, and set the others aside.

    share: of the kept records that stays, 0..1; of each label as large a share, where records have class labels.
    by: diversity is facility location in which a record counts as much as it is free of findings; facility_location gives everybody somebody
    similar; k_center leaves nobody far away, outliers first; quality takes those with the fewest doubts; random draws.
    backbone: whose frozen vectors say what is similar.
    measure: trains probes on the choice and on as many records at random, on the same held-out records, five times; needs 60 class labels.

    Facts say what the choice is worth: accuracy of the probe with all, with the choice and with a random part, and the gain over random with its
    interval (Nadeau and Bengio 2003). Records set aside stay in the file with keep: false; `trail` says why. Time grows with the square of
    the records of a label (20,000 at most), memory with 2 kB a record.
    """
    if not 0 < share <= 1:
        raise BurnishError(f"quality.select: share is {share}", hint="take a share above 0, up to 1")
    material = Material(records.table(COLUMNS), context, near=0.8, folds=2, backbone=str(backbone), embed="all")
    doubt = _doubts(records)[material.rows]
    vectors = (
        material.points
        if measure or (len(material) and by not in ("quality", "random"))
        else np.zeros((len(material), 1), dtype=np.float32)
    )
    classes = material.labels
    chosen = choose(vectors, classes, doubt, share=share, by=by, seed=context.seed)
    facts: dict[str, Any] = {"by": by, "share": share, "records": len(material), "kept": int(chosen.sum())}
    if measure and len(material.labelled) >= LEAST and len(np.unique(classes[material.labelled])) > 1:
        facts["measured"] = _measured(material, doubt, share, by)
    aside = {int(row) for row in material.rows[~chosen]}
    made = rewritten(records, lambda: _left_out(records, aside, by))
    made.facts = {**records.facts, "select": facts}
    context.progress.tell(f"  kept {int(chosen.sum()):,} of {len(material):,} records, by {by}")
    return made


def choose(vectors: Array, classes: Array, doubt: Array, *, share: float, by: By, seed: int) -> Array:
    """Which rows stay (n,): of each class (-1 is one too) `share`, at least one. vectors: (n, d) of length 1; doubt: (n,) 0..1."""
    kept = np.zeros(len(classes), dtype=bool)
    rng = np.random.default_rng(seed)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        count = max(1, round(share * len(rows)))
        for part in np.array_split(rng.permutation(rows), max(1, -(-len(rows) // MOST))):
            part = np.sort(part)
            kept[part[_picked(vectors[part], doubt[part], max(1, round(count * len(part) / len(rows))), by, seed)]] = (
                True
            )
    return kept


def _picked(vectors: Array, doubt: Array, count: int, by: By, seed: int) -> Array:
    if by == "random":
        return np.random.default_rng(seed).permutation(len(doubt))[:count]
    if by == "quality":
        # of equal doubts those drawn: the order of a file means nothing
        return np.lexsort((np.random.default_rng(seed).permutation(len(doubt)), doubt))[:count]
    if by == "k_center":
        return farthest_first(vectors, count, seed=seed)
    return facility_location(vectors, count, weights=1 - doubt if by == "diversity" else None, seed=seed)


def _doubts(records: Records) -> Array:
    """(all records,) the largest score among a record's findings of noise; copies count as 1."""
    from burnish.quality.checks import CHECKS

    made = []
    for findings in records.table(["findings"])["findings"].to_pylist():
        doubts = [
            one["score"]
            for one in findings or ()
            if one["action"] != "keep"
            and (one["check"] not in CHECKS or CHECKS[one["check"]].dimension in ("noise", "diversity"))
        ]
        made.append(min(0.95, max(doubts, default=0.0)))
    return np.array(made, dtype=np.float64)


def _measured(material: Material, doubt: Array, share: float, by: By) -> dict[str, Any]:
    """Accuracy of a probe with all, with the choice and with as many at random, each on the same held-out quarter."""
    from burnish.nn.probe import Probe, assign_folds
    from burnish.quality.effect import interval

    rows = material.labelled
    given, points = material.labels[rows], material.points[rows]
    vectors = material.raw_points[rows]
    seed, classes = material.context.seed, len(material.names)
    scores: dict[str, list[float]] = {"all": [], "chosen": [], "random": []}
    l2 = Probe(classes, seed=seed).fit(vectors, given).chosen_l2
    for repeat in range(REPEATS):
        out = assign_folds(given, folds=PARTS, groups=material.alike.label[rows], seed=seed + 1 + repeat) == 0
        inside = np.flatnonzero(~out)
        parts = {"all": np.ones(len(inside), dtype=bool)}
        for name, way in (("chosen", by), ("random", "random")):
            parts[name] = choose(
                points[inside], given[inside], doubt[rows][inside], share=share, by=way, seed=seed + repeat
            )
        for name, part in parts.items():
            probe = Probe(classes, seed=seed, l2=l2 / (share if name != "all" else 1)).fit(
                vectors[inside[part]], given[inside[part]]
            )
            scores[name].append(float((probe.probabilities(vectors[out]).argmax(1) == given[out]).mean()))
    gains = [one - other for one, other in zip(scores["chosen"], scores["random"], strict=True)]
    return {
        **{name: round(float(np.mean(values)), 5) for name, values in scores.items()},
        "over_random": interval(gains), "repeats": REPEATS,
    }  # fmt: skip


def _left_out(records: Records, aside: set[int], by: By) -> Iterator[pa.Table]:
    start = 0
    for batch in records.batches():
        touched = [at for at in range(batch.num_rows) if start + at in aside]
        if touched:
            keep, trail = batch["keep"].to_pylist(), batch["trail"].to_pylist()
            for at in touched:
                keep[at] = False
                trail[at] = [*(trail[at] or ()), f"quality.select: left out, by {by}"]
            for name, values in (("keep", keep), ("trail", trail)):
                field = batch.schema.get_field_index(name)
                batch = batch.set_column(
                    field, batch.schema.field(name), pa.array(values, batch.schema.field(name).type)
                )
        start += batch.num_rows
        yield batch
