"""The audit: every check on every kept record; findings beside the records, numbers in `facts`, nothing removed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import FINDING
from burnish.core.spread import spreading
from burnish.core.stage import Context, Positive, Share, nearest, stage
from burnish.nn.backbones import Backbone
from burnish.quality import (  # noqa: F401  (they register the checks)
    distribution,
    distribution_shortcuts,
    diversity,
    diversity_copies,
    ethics,
    ethics_groups,
    ethics_toxicity,
    noise_fields,
    noise_form,
    noise_labels,
    noise_learning,
    noise_targets,
    noise_text,
    timeliness,
    timeliness_worth,
)
from burnish.quality.bench import why_not
from burnish.quality.checks import CHECKS, COLUMNS, Array, Check, Found, Material, rewritten
from burnish.quality.effect import ordered, probe_effects
from burnish.quality.told import Purpose, Told
from burnish.quality.tuned import tuned_effects

SECONDS_A_RECORD = 1 / 250  # embedding leads; two cores


def _cost(records: int, tokens: int, settings: dict[str, Any]) -> float:
    """Seconds on two cores."""
    return 5 + records * SECONDS_A_RECORD


@stage("quality.audit", version=4, cost=_cost)
def audit(
    records: Records,
    context: Context,
    *,
    checks: Literal["all"] | list[str] = "all",
    backbone: Backbone = Backbone("auto"),
    near: Share = 0.8,
    folds: Positive = 5,
    effect: Literal["none", "probe", "tune"] = "probe",
    embed: Literal["auto", "all", "none"] = "auto",
    reference: Path | None = None,
    against: Path | None = None,
    version_of: str | None = None,
    purpose: Purpose | None = None,
    groups: Path | None = None,
    toxicity: Path | None = None,
    toxic_label: str | None = None,
    toxic_words: Path | None = None,
    names_model: Path | None = None,
) -> Records:
    """Look for what is wrong with the data: score, reason and action for each record; nothing is removed.

    checks: "all" or names of checks; a check that is not named does not run.
    backbone: whose frozen vectors the label checks and the effect learn from.
    near: Jaccard similarity of character sequences from which two texts are near-duplicates, 0.5..1.
    folds: of the cross-validation that judges labels; a class with fewer records is not judged.
    effect: probe measures what each remedy does to a probe on held-out records, in seconds; tune measures it by training
    the task's encoder with and without, in minutes; none skips it.
    embed: auto embeds the records with a class label, all every record, none nothing: what needs vectors is not judged then.
    reference: a file or folder of records of the population that the model is for; how much of it is covered is measured.
    against: a test set, a file or a folder of them: records that are in it, or nearly, are contaminated.
    version_of: what names the thing that a record is a version of: group, source, file or meta.NAME; earlier versions are superseded.
    purpose: what the data is for, research or commercial: licences are judged against it.
    groups: a file of groups of people and their terms in place of those that come with burnish: axis, group, terms parted by |.
    toxicity: who judges toxic language: a run folder of a classifier, or a file of labelled texts that a probe learns from.
    toxic_label: which of its labels means toxic, where the name does not say.
    toxic_words: a file of words, one a line, found in any disguise.
    names_model: a run folder of a tagging model whose people count as names.

    What a record says by itself is read in blocks, wherever `engine` says; records are compared, and vectors learnt from, by
    this process, which holds the records, the words counted and the vectors. Findings of an earlier audit are replaced.
    """
    chosen = _chosen(checks)
    if near < 0.5:
        raise BurnishError(f"quality.audit: near is {near}, below 0.5 candidates are missed", hint="take 0.5 to 1")
    material = Material(
        records.table(COLUMNS),
        context,
        near=near,
        folds=max(folds, 2),
        backbone=str(backbone),
        embed=embed,
        reference=reference,
        against=against,
        version_of=version_of,
        told=Told(purpose, groups, toxicity, toxic_label, toxic_words, names_model),
    )
    found: dict[str, Found] = {}
    seconds: dict[str, float] = {}
    with spreading(context.engine) as material.run, context.progress.bar("audit", len(chosen), "checks") as bar:
        material.look(trait for one in chosen if one.fits(material) for trait in one.reads)
        for one in chosen:
            began = time.monotonic()
            found[one.name] = one.run(material)
            seconds[one.name] = time.monotonic() - began
            bar.advance(1)
    material.run = None
    effects = probe_effects(material, found) if effect != "none" else {}
    if effect == "tune":
        effects = tuned_effects(material, found, effects)
    made = rewritten(records, lambda: _with_findings(records, material.rows, found))
    facts = _facts(material, chosen, found, effects)
    facts["bench"] = {"near": near, "backbone": str(backbone), "effect": effect}
    if effect != "none" and (why := why_not(material)):
        facts["no_probe"] = why
    made.facts = {**records.facts, "audit": facts}
    for one in chosen:
        _tell(one, found[one.name], seconds[one.name], context)
    return made


def _chosen(checks: Literal["all"] | list[str]) -> list[Check]:
    if checks == "all":
        return list(CHECKS.values())
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise BurnishError(f"quality.audit has no check {unknown[0]!r}", hint=nearest(unknown[0], CHECKS, "checks are"))
    return [one for one in CHECKS.values() if one.name in checks]


def _with_findings(records: Records, rows: Array, found: dict[str, Found]) -> Iterator[pa.Table]:
    """The records batch by batch, with the findings of this audit instead of those of an earlier one."""
    position = np.full(len(records), -1)
    position[rows] = np.arange(len(rows))
    start = 0
    for batch in records.batches():
        column = batch.schema.get_field_index("findings")
        earlier = batch["findings"].to_pylist()
        findings = []
        for offset, old in enumerate(earlier):
            at = int(position[start + offset])
            fresh = [] if at < 0 else [_finding(name, one, at) for name, one in found.items() if one.flagged[at]]
            stays = [one for one in old or () if at < 0 or one["check"] not in CHECKS]
            findings.append([*stays, *fresh])
        start += batch.num_rows
        yield batch.set_column(column, "findings", pa.array(findings, pa.list_(FINDING)))


def _finding(name: str, found: Found, at: int) -> dict[str, Any]:
    return {
        "check": name, "score": float(found.score[at]), "reason": found.reason(at), "action": found.action(at)
    }  # fmt: skip


def _facts(
    material: Material, chosen: list[Check], found: dict[str, Found], effects: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The audit's numbers; no time of day or duration in them: the same data has the same facts."""
    said = {}
    for one in chosen:
        result = found[one.name]
        flagged = result.flagged.nonzero()[0]
        said[one.name] = {
            "dimension": one.dimension, "about": one.about, "method": one.doc.split("\n", 2)[-1].strip(),
            "count": len(flagged), "share": len(flagged) / max(len(material), 1), "skipped": result.skipped,
            "actions": dict(Counter(result.action(int(row)).split(":")[0] for row in flagged).most_common()),
            "effect": effects.get(one.name), "facts": result.facts,
        }  # fmt: skip
    return {
        "records": len(material), "labelled": int(material.taught.sum()), "checks": said,
        "clean": int((~_any(material, found)).sum()),
        "by_effect": [name for name in ordered({one.name: effects.get(one.name) for one in chosen}) if name in effects],
    }  # fmt: skip


def _any(material: Material, found: dict[str, Found]) -> Array:
    flagged = material.blank & False
    for one in found.values():
        flagged = flagged | one.flagged
    return flagged


def _tell(one: Check, found: Found, seconds: float, context: Context) -> None:
    if found.skipped:
        context.progress.tell(f"  {one.name}: not judged, {found.skipped}")
    elif found.flagged.any():
        context.progress.tell(f"  {one.name}: {int(found.flagged.sum()):,} records ({seconds:.1f} s)")
