"""What each augmentation is worth: a model taught with its records beside one taught without, on the validation side.

"Without" has the same records copied as they are, so that both learn as long from as many: what is measured is what the
edits are worth, not what further steps are.

A trial is small: a part of the training side with what is made of it, three times with other dice. Two kinds:

probe   a logistic regression on frozen vectors; seconds; where a text has one label
tune    the model of the spec with all its settings

An augmentation is kept where the paired bootstrap over validation records (Berg-Kirkpatrick et al. 2012; the three
repeats added up record by record) puts the whole interval above no difference, and every repeat was better. The interval
is widened for the number of augmentations that are judged (Bonferroni), so that trying many finds nothing by chance.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.progress import Silent
from burnish.core.stage import Context
from burnish.train.augment.base import Augmentation, augmentations
from burnish.train.making import Made, made, problem

Array = np.ndarray[Any, np.dtype[Any]]
Figures = Callable[[Array], Mapping[str, Array]]
Learn = Callable[[Any, Context], tuple[Any, dict[str, Any]]]  # sides, context -> model, what goes on its card

REPEATS = 3
TUNED, PROBED = 500, 2000  # training records of a trial at most
JUDGED = 1000  # validation records of a trial at most
LEAST_JUDGES = 30  # validation records: fewer say nothing
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trial:
    """How trials of one kind go. table: what is taught; judges: validation records; run: (records to add, seed, folder)
    -> tally (n, s) of the judges."""

    kind: str
    figure: str
    figures: Figures
    table: pa.Table
    judges: pa.Table
    run: Callable[[pa.Table, int, Path], Array]


def named(parts: Sequence[Augmentation]) -> dict[str, Augmentation]:
    """Each with a name of its own: a second eda is eda#2."""
    made: dict[str, Augmentation] = {}
    for part in parts:
        same = sum(one.name == part.name for one in made.values())
        made[f"{part.name}#{same + 1}" if same else part.name] = part
    return made


def wrong(value: Any, task: Any) -> list[tuple[str, str, str]]:
    """(setting, message, hint) for what is wrong with `augment` for a task."""
    told = [problem(part, task) for part in augmentations.open(value)]
    return [("augment", message, "") for message in told if message]


def chosen(
    parts: Sequence[Augmentation], sides: Any, *, test: pa.Table, folder: Path, learn: Learn, context: Context
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The made records that are kept, and what is told of each augmentation.

    sides: `train.sides.Sides`. test: the side that is read only to leave out what is like it. folder: the backbone's.
    learn: how the spec's model is taught. Results of trials lie in scratch, so that a killed run goes on behind them.
    Cost: small trainings, REPEATS for each augmentation that is judged, and REPEATS for what they are compared with.
    """
    judging = [sides.validation_table, test]
    asked = sum(part.keep == "auto" for part in parts)
    kept, story = [sides.table.slice(0, 0)], []
    trials: dict[str, Trial] = {}
    for name, part in named(parts).items():
        began = time.monotonic()
        told: dict[str, Any] = {"name": name, "settings": augmentations.plain({"use": part.name, **vars(part)})}
        if part.keep == "always":
            told |= {"kept": True, "why": "keep: always; not judged"}
        elif len(sides.validation_table) < LEAST_JUDGES:
            why = f"{len(sides.validation_table)} validation records cannot judge ({LEAST_JUDGES} can); keep: always does not ask"
            told |= {"kept": False, "why": why}
        else:
            kind = _kind(part, sides.task)
            if kind not in trials:
                trials[kind] = _probing(sides, folder, context) if kind == "probe" else _tuning(sides, learn, context)
            told |= _judged(part, name, trials[kind], sides, judging, asked, context)
        whole = _made(part, name, sides.table, sides.task, judging, context, context.seed) if told["kept"] else None
        if whole is not None:  # only now are all of them made: a model that writes them may be slow
            kept.append(whole.table)
            told |= _about(whole)
        story.append(told | {"made": len(whole.table) if whole else 0, "seconds": round(time.monotonic() - began, 2)})
        context.progress.tell(f"  augment {_sentence(story[-1])}")
    return pa.concat_tables(kept), story


def seconds(parts: Sequence[Augmentation], records: int, taught_s: float) -> float:
    """What making, judging and learning cost at most beside a plain run, where that takes `taught_s`."""
    more = sum(part.share * part.copies for part in parts)
    judged = [part for part in parts if part.keep == "auto"]
    small = taught_s * min(1.0, TUNED / max(records, 1))
    trials = sum(small * (1 + part.share * part.copies) for part in judged) + (small if judged else 0.0)
    return taught_s * more + REPEATS * trials


def _kind(part: Augmentation, task: Any) -> str:
    can = task.one_label and task.engine == "encoder" and getattr(task, "image", None) is None
    return "probe" if can and part.trial in ("auto", "probe") else "tune"


def _made(
    part: Augmentation, name: str, table: pa.Table, task: Any, judging: Sequence[pa.Table], context: Context, seed: int
) -> Made:
    return made(part, name, table, task, judging=judging, base=context.base, seed=seed, progress=context.progress)


def _about(found: Made) -> dict[str, Any]:
    return {
        "parents": found.parents,
        "dropped": dict(found.dropped.most_common()),
        "examples": [list(pair) for pair in found.examples],
    }


def _judged(
    part: Augmentation, name: str, trial: Trial, sides: Any, judging: Sequence[pa.Table], asked: int, context: Context
) -> dict[str, Any]:
    """{"difference", "repeats", "kept", ...} of one augmentation."""
    from burnish.measures.intervals import bootstrap_sums

    where = context.scratch / "augment"
    tried = [
        _made(part, name, trial.table, sides.task, judging, context, context.seed + repeat) for repeat in range(REPEATS)
    ]
    if not any(len(one.table) for one in tried):
        return _about(tried[0]) | {"kept": False, "why": "no record could be made", "tried": 0}
    plain, other = [], []
    for repeat, one in enumerate(tried):
        seed = context.seed + repeat
        copied = hashlib.sha256("\n".join(_parents(one)).encode()).hexdigest()[:12]  # the same for most augmentations
        plain.append(_remembered(trial, one.unchanged, seed, where / f"{trial.kind}-plain-{copied}-{repeat}"))
        other.append(_remembered(trial, one.table, seed, where / f"{trial.kind}-{name}-{repeat}"))
    repeats = [_chief(trial, b) - _chief(trial, a) for a, b in zip(plain, other, strict=True)]
    found = bootstrap_sums(
        np.sum(other, axis=0), trial.figures, against=np.sum(plain, axis=0), seed=context.seed, draws=2000,
        confidence=1 - (1 - CONFIDENCE) / max(asked, 1),
    )[trial.figure]  # fmt: skip
    better, always = found.low > 0, all(one > 0 for one in repeats)
    why = (
        "better on the validation side by more than chance" if better and always
        else "better, but not in every repeat" if better
        else "worse on the validation side by more than chance" if found.high < 0
        else "no difference that chance would not make"
    )  # fmt: skip
    return _about(tried[0]) | {
        "tried": len(tried[0].table),
        "trial": trial.kind,
        "figure": trial.figure,
        "difference": {key: round(getattr(found, key), 6) for key in ("value", "low", "high", "p_value")},
        "repeats": [round(one, 6) for one in repeats],
        "plain": round(float(np.mean([_chief(trial, one) for one in plain])), 6),
        "records": len(trial.table),
        "judges": len(trial.judges),
        **_unit(trial.figure, sides.task),
        "kept": bool(better and always),
        "why": why,
    }


def _unit(figure: str, task: Any) -> dict[str, Any]:
    """What people call differences of a figure, and how many of it 1.0 is."""
    if figure == "log likelihood":
        return {"unit": "nats", "points": 1.0}
    return {"unit": "points", "points": task.points if figure == task.figure else 100.0}


def _parents(found: Made) -> list[str]:
    """Ids of the records that were copied, as often as they were."""
    return sorted(name.rsplit("+", 1)[0] for name in found.table["id"].to_pylist())


def _chief(trial: Trial, tally: Array) -> float:
    return float(np.nan_to_num(trial.figures(tally.sum(0))[trial.figure]))


def _remembered(trial: Trial, records: pa.Table, seed: int, place: Path) -> Array:
    """The tally of one run, from scratch where an earlier process has it."""
    file = place.with_suffix(".npy")
    if file.is_file():
        found: Array = np.load(file, allow_pickle=False)
        return found
    place.mkdir(parents=True, exist_ok=True)
    tally = np.asarray(trial.run(records, seed, place), dtype=np.float64)
    half = file.with_suffix(".half")
    with half.open("wb") as sink:
        np.save(sink, tally, allow_pickle=False)
    half.replace(file)  # the last act: a file that is there is whole
    shutil.rmtree(place, ignore_errors=True)
    return tally


def _part(table: pa.Table, most: int, task: Any, seed: int) -> pa.Table:
    """About so many records at most, drawn, in their order; those that belong together come together."""
    if len(table) <= most:
        return table
    columns = [table[name].to_pylist() for name in (("group", *task.together) if task.together else ("id",))]
    units = list(zip(*columns, strict=True))
    distinct = list(dict.fromkeys(units))
    count = max(1, len(distinct) * most // len(table))
    drawn = np.random.default_rng(seed).choice(len(distinct), count, replace=False)
    chosen = {distinct[at] for at in drawn}
    return table.filter(pa.array([one in chosen for one in units]))


def _probing(sides: Any, folder: Path, context: Context) -> Trial:
    """Accuracy of a probe on the backbone's frozen vectors, its penalty chosen without what was made."""
    from burnish.nn.embeddings import embed
    from burnish.nn.probe import Probe
    from burnish.text.inputs import said

    task = sides.task
    table = _part(sides.table, PROBED, task, context.seed)
    judges = _part(sides.validation_table, JUDGED, task, context.seed)
    names = dict.fromkeys([*task.labels, *table["label"].to_pylist(), *judges["label"].to_pylist()])
    labels = {label: at for at, label in enumerate(names)}  # of a tree the inner ones too

    def vectors(some: pa.Table) -> Array:
        read = said(task.read(some))
        return embed(read, folder, cache=context.cache, progress=context.progress, max_length=sides.max_length)

    def targets(some: pa.Table) -> Array:
        return np.array([labels[label] for label in some["label"].to_pylist()], dtype=np.int64)

    known, asked = (vectors(table), targets(table)), (vectors(judges), targets(judges))
    penalty = Probe(len(labels), seed=context.seed).fit(*known).chosen_l2

    def run(records: pa.Table, seed: int, place: Path) -> Array:
        more = (np.concatenate(pair) for pair in zip(known, (vectors(records), targets(records)), strict=True))
        probe = Probe(len(labels), seed=context.seed, l2=penalty).fit(*more)
        right = probe.logits(asked[0]).argmax(1) == asked[1]
        return np.stack([right, np.ones(len(right))], axis=1)

    return Trial("probe", "accuracy", _mean("accuracy"), table, judges, run)


def _tuning(sides: Any, learn: Learn, context: Context) -> Trial:
    """The chief figure of the spec's own model; a generator, slow to write, is judged by what it gives the references."""
    task = sides.task
    table = _part(sides.table, TUNED, task, context.seed)
    judges = _part(sides.validation_table, JUDGED, task, context.seed)
    writes = task.engine != "encoder"

    def run(records: pa.Table, seed: int, place: Path) -> Array:
        from burnish.nn.predict import predict_outputs
        from burnish.train.teach import encoded, likelihoods

        part = sides.part(table, judges, records)
        model, card = learn(part, replace(context, seed=seed, scratch=place, progress=Silent()))
        if writes:
            losses = likelihoods(model, task, part.examples(judges))
            return np.stack([-losses, np.ones(len(losses))], axis=1)
        validation = encoded(task, part, judges)
        outputs = predict_outputs(model, validation.read, task.head())
        tally: Array = task.tally(judges, task.decode(validation.inputs, validation.read, outputs, card))
        return tally

    figure = "log likelihood" if writes else task.figure
    return Trial("tune", figure, _mean(figure) if writes else task.figures, table, judges, run)


def _mean(name: str) -> Figures:
    def figures(sums: Array) -> Mapping[str, Array]:
        sums = np.asarray(sums, dtype=np.float64)
        return {name: sums[..., 0] / sums[..., 1]}

    return figures


def _sentence(told: Mapping[str, Any]) -> str:
    """One augmentation for the terminal."""
    head = f"{told['name']}: {told['made']:,} records" if told["kept"] else told["name"]
    if "difference" in told:
        value, low, high = (told["points"] * told["difference"][key] for key in ("value", "low", "high"))
        head += f"; {told['figure']} {value:+.1f} {told['unit']} ({low:+.1f} to {high:+.1f}) by a {told['trial']} trial"
    return f"{head}; {'kept' if told['kept'] else 'not kept'}: {told['why']}"
