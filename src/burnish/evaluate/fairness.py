"""Is the model as good to everybody? Rates and scores by group, and what happens when a text speaks of somebody else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Gold, Model, Report, Split
from burnish.core.chinese import in_both, language_of, speaking
from burnish.core.errors import BurnishError
from burnish.core.records import COLUMNS
from burnish.core.stage import Context, Positive, nearest, stage
from burnish.evaluate.again import Again, ask_again, field_values, one_served
from burnish.evaluate.judged import Judged

MENTIONS = "mentions:"


@stage("evaluate.fairness")
def fairness(
    models: list[Model],
    split: Split,
    gold: Gold | None,
    context: Context,
    *,
    by: str | list[str] = "group",
    selected: str | None = None,
    least: Positive = 20,
    groups: Path | None = None,
    swap: Literal["gender", "groups", "all", "none"] = "gender",
    pairs: Path | None = None,
    data: Path | None = None,
    fields: dict[str, str] | None = None,
    label_names: dict[str, str] | None = None,
    draws: Positive = 500,
    language: Literal["auto", "en", "zh"] = "auto",
) -> Report:
    """Compare groups: fairlearn's rates, the worst group, answers that turn when a person is swapped.

    by: what groups the test records: group, language, source, meta.NAME, or mentions:AXIS for the people a text speaks of
        (gender, age, religion, region, ethnicity, orientation); one or several.
    selected: the label whose rates count; without it every label is looked at and the worst tells.
    least: test records of a group, below which it is left out and named.
    groups: a file of groups and terms in place of those that come with burnish, for mentions.
    swap: terms that are swapped to see whether the answer stays (he for she, 他 for 她, religions and origins), or none.
    pairs: a file of your own pairs of terms, a tab between.
    data: an outside test set; without it gold or the test side, as in evaluate.report.
    fields: record field -> name in the test set.
    label_names: label as it stands in the test set -> label of the task.
    draws: of the bootstrap and of the shuffles.
    language: of the page; auto takes Chinese where it is the task's first language, else English.

    The last model is judged, the one that serves. Tasks without one label a text: their figures by group.
    """
    judge, served = one_served(models, split, gold, context, data=data, fields=fields, label_names=label_names)
    every = [
        _grouped(one, served, context, selected=selected, least=least, groups=groups, draws=draws)
        for one in ([by] if isinstance(by, str) else by)
    ]
    swaps = None if swap == "none" and pairs is None else _swaps(served, models, context, swap, pairs)
    numbers: dict[str, Any] = {
        "kind": "fairness", "n": len(judge.table), "model": served.name, "judged_by": judge.about, "by": every, "swaps": swaps,
        "chief": served.task.figure,
    }  # fmt: skip
    numbers["gates"] = _gates(every, swaps)
    from burnish.evaluate.fairness_page import page, verdict

    numbers |= in_both(lambda: verdict(numbers))
    numbers["headline"] = {name: one["value"] for name, one in numbers["gates"].items() if one["value"] is not None}
    with speaking(language_of(context.task.languages, language)):
        return Report(numbers, page(numbers))


def _grouped(
    by: str, served: Judged, context: Context, *, selected: str | None, least: int, groups: Path | None, draws: int
) -> dict[str, Any]:
    """What differs between the groups of one attribute."""
    masks = _groups_of(by, served.table, groups)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    kept = [name for name, count in counts.items() if count >= least]
    made: dict[str, Any] = {
        "by": by,
        "groups": counts,
        "left_out": sorted(set(counts) - set(kept)),
        "labels": {},
        "scores": {},
    }
    if len(kept) < 2:
        made["skipped"] = f"{len(kept)} group{'s' if len(kept) != 1 else ''} with {least} test records or more"
        return made
    chief = served.task.figure
    rows = np.concatenate([np.flatnonzero(masks[name]) for name in kept])
    group = np.repeat(np.arange(len(kept)), [counts[name] for name in kept])
    from burnish.measures.intervals import bootstrap_sums

    for name in kept:
        around = bootstrap_sums(served.tally[masks[name]], served.task.figures, seed=context.seed, draws=draws)
        made["scores"][name] = {
            "n": counts[name],
            "value": around[chief].value,
            "interval": [around[chief].low, around[chief].high],
        }
    worst = min(kept, key=lambda name: (made["scores"][name]["value"], name))
    best = max(kept, key=lambda name: (made["scores"][name]["value"], name))
    made["worst_group"] = {"name": worst, **made["scores"][worst]}
    made["gap"] = made["scores"][best]["value"] - made["scores"][worst]["value"]
    if served.task.one_label:
        _rates(made, served, rows, group, kept, selected, context, draws)
    return made


def _rates(
    made: dict[str, Any], served: Judged, rows: np.ndarray, group: np.ndarray, kept: list[str], selected: str | None,
    context: Context, draws: int,
) -> None:  # fmt: skip
    """fairlearn's figures for each label, or the one that is selected."""
    from burnish.measures.fairness import judge

    labels = list(context.task.labels)
    if selected is not None and selected not in labels:
        raise BurnishError(
            f"evaluate.fairness.selected: no label {selected!r}", hint=nearest(selected, labels, "labels are")
        )
    number = {label: at for at, label in enumerate(labels)}
    wanted = np.array([number.get(label, -1) for label in served.table["label"].to_pylist()])[rows]
    said = np.array([number.get(one.get("label"), -1) for one in served.answers.items])[rows]
    # of two classes one is enough for selection: the other is its mirror
    for label in [selected] if selected else labels[1:] if len(labels) == 2 else labels:
        made["labels"][label] = judge(
            group, wanted, said, names=kept, label=number[label], seed=context.seed, draws=draws
        )


def _groups_of(by: str, table: pa.Table, groups: Path | None) -> dict[str, np.ndarray]:
    """Group -> (n,) which records are in it; those of `mentions` may overlap. BurnishError where there is no such field."""
    if by.startswith(MENTIONS):
        from burnish.evaluate.judges import said
        from burnish.text.groups import DEFAULT, mentions, read_groups

        wanted = read_groups(groups or DEFAULT)
        axis = by.removeprefix(MENTIONS)
        found = {
            key[1]: mask
            for key, mask in mentions(said(table), {k: v for k, v in wanted.items() if k[0] == axis}).items()
        }
        if not found:
            axes = sorted({key[0] for key in wanted})
            raise BurnishError(f"evaluate.fairness.by: no axis {axis!r}", hint=nearest(axis, axes, "axes are"))
        return {name: mask for name, mask in found.items() if mask.any()}
    values = field_values(table, by)
    if not any(values):
        names = [one for one in COLUMNS if one in ("group", "language", "source", "file", "licence", "label_from")]
        inside = sorted({key for one in table["meta"].to_pylist() if one for key in json.loads(one)})
        raise BurnishError(
            f"evaluate.fairness.by: no test record has {by}",
            hint=nearest(by, [*names, *(f"meta.{one}" for one in inside), "mentions:gender"], "there are"),
        )
    return {name: np.array([one == name for one in values]) for name in sorted({one for one in values if one})}


def _swaps(served: Judged, models: Sequence[Model], context: Context, about: str, pairs: Path | None) -> dict[str, Any]:
    """Texts about somebody else: how often the answer turns."""
    from burnish.measures.intervals import wilson
    from burnish.text.counterparts import counterparts, paired, swapped

    if served.task.target and set(served.task.target) & {"spans", "relations", "answer"}:
        return {"skipped": "targets stand at characters of the text, which a swap moves"}
    known = counterparts(about) if pairs is None else paired(_lines(pairs))
    again: Again = ask_again(served, models[served.position], lambda text, draw: swapped(text, known), context)
    if not len(again.rows):
        return {"skipped": "no test record has a term that could be swapped", "n": 0}
    same = served.task.agreement(served.answers.take(again.rows), again.answers)
    turned = same < 1
    around = wilson(int(turned.sum()), len(turned))
    made: dict[str, Any] = {
        "about": about if pairs is None else pairs.name, "n": len(turned), "turned": int(turned.sum()),
        "flip_rate": around.value, "interval": [around.low, around.high],
    }  # fmt: skip
    before, after = served.answers.probabilities, again.answers.probabilities
    if before is not None and after is not None:
        made["mean_change"] = float(np.abs(before[again.rows] - after).sum(axis=1).mean() / 2)
    brief = served.task.brief
    moves = Counter(
        (brief(served.answers.items[row]), brief(again.answers.items[at]))
        for at, row in enumerate(again.rows)
        if turned[at]
    )
    made["moves"] = [{"from": one, "to": two, "count": count} for (one, two), count in moves.most_common(10)]
    texts = served.table["text"].to_pylist()
    made["examples"] = [
        {"id": served.table["id"][int(row)].as_py(), "before": texts[row], "after": again.inputs[at]["text"],
         "said": brief(served.answers.items[row]), "then": brief(again.answers.items[at])}
        for at, row in enumerate(again.rows) if turned[at]
    ][:10]  # fmt: skip
    return made


def _lines(pairs: Path) -> list[list[str]]:
    lines = [
        line.split("\t")
        for line in pairs.read_text("utf-8-sig").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    bad = next((number for number, line in enumerate(lines, start=1) if len(line) < 2), None)
    if bad is not None:
        raise BurnishError(f"{pairs.name}: pair {bad} has no counterpart", hint="a pair a line, with a tab between")
    return lines


def _gates(every: Sequence[Mapping[str, Any]], swaps: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What evaluate.gate can hold the model to: the worst over attributes and labels."""
    made: dict[str, dict[str, Any]] = {}
    for name in ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"):
        found = [
            one["figures"][name]
            for by in every
            for one in by["labels"].values()
            if one["figures"][name]["value"] is not None
        ]
        if found:
            worst = max(found, key=lambda one: one["value"])
            made[name] = {"value": worst["value"], "interval": worst["interval"], "most": True}
    groups = [by["worst_group"] for by in every if "worst_group" in by]
    if groups:
        worst = min(groups, key=lambda one: one["value"])
        made["worst_group"] = {"value": worst["value"], "interval": worst["interval"], "most": False}
    if swaps and "flip_rate" in swaps:
        made["flip_rate"] = {"value": swaps["flip_rate"], "interval": swaps["interval"], "most": True}
    return made
