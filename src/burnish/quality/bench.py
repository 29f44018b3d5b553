"""The bench on which remedies are measured: what a probe can learn of the records, and how it is judged.

one      one label a record: a logistic probe; accuracy, macro F1, log loss, calibration, worst group, robustness
several  several labels a record, or the labels of its spans or relations: ridge regression on each; micro F1, worst group
number   a number a record: ridge regression; Pearson's correlation, mean absolute error

Texts with a second text (pairs) are read as one. Answers and outputs that are texts of their own have no probe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from burnish.core.progress import Silent
from burnish.core.records import TARGETS, labels_of
from burnish.quality.checks import Material

Array = np.ndarray[Any, np.dtype[Any]]
Learn = Literal["one", "several", "number"]
MOST_ROWS, MANY_CLASSES = 3000, 20  # half of the records where there are more classes: cost grows with both
LEAST_ROWS = 60
LEAST_GROUP = 15  # judged records of a group from which its accuracy is looked at
GROUPS = 20  # a column with more values names records, not groups
DISTURBED_ROWS = 200
RIDGE = 0.1
FLOOR = 1e-7
CHIEF = {"one": "accuracy", "several": "f1", "number": "pearson"}


@dataclass
class Bench:
    """l records that have a target, as a probe sees them.

    rows: (l,) their positions in the material. targets: (l, k) shares of classes, 0 or 1 for each label, or (l, 1) numbers.
    strata: (l,) what splits are balanced by. groups: (l,) near-duplicates share a number. slices: (l,) codes by name, -1
    for none; of them the worst group is taken. disturbed: kind -> (positions (m,), vectors (m, d)). proxy: what is learnt
    in place of the task's own target, if anything.
    """

    learn: Learn
    rows: Array
    vectors: Array
    targets: Array
    strata: Array
    groups: Array
    slices: dict[str, Array]
    names: tuple[str, ...]
    seed: int
    proxy: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)  # of the slices: what their codes stand for
    disturbed: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    l2: float = 0.1

    @property
    def chief(self) -> str:
        """The figure that findings are ordered by."""
        return CHIEF[self.learn]


def why_not(material: Material) -> str:
    """Why no probe can learn what the records teach; "" where one can."""
    if material.embed == "none":
        return "it learns from vectors, and embed: none makes none"
    if material.one_label:
        rows = material.labelled
        if len(rows) < LEAST_ROWS:
            return f"needs {LEAST_ROWS} labelled records, there are {len(rows)}"
        return "" if len(np.unique(material.labels[rows])) > 1 else "all labels are the same"
    if getattr(material.task, "image", None) is not None:
        return "the task reads images, and the probe reads texts alone"
    if not set(material.task.target) & {"labels", "value", "spans", "relations"} or "answer" in material.task.target:
        return f"a probe learns labels and numbers, and the target of {material.context.task.type} is a text; effect: tune measures it where an encoder answers"
    count = int(material.taught.sum())
    return "" if count >= LEAST_ROWS else f"needs {LEAST_ROWS} records with a target, there are {count}"


def bench(material: Material) -> Bench:
    """Set it up; embeds the records, which costs only what the cache does not hold."""
    seed = material.context.seed
    rows = material.labelled if material.one_label else np.flatnonzero(material.taught)
    most = MOST_ROWS if len(material.names) <= MANY_CLASSES else MOST_ROWS // 2
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    learn, targets, names, proxy = _targets(material, rows)
    strata = targets.argmax(axis=1) if learn == "one" else np.zeros(len(rows), dtype=np.int64)
    if learn == "several":
        strata = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    if learn == "number":
        strata = np.digitize(targets[:, 0], np.quantile(targets[:, 0], (0.2, 0.4, 0.6, 0.8)))
    vectors = _vectors(material, [material.texts[row] for row in rows])
    made = Bench(learn, rows, vectors, targets, strata, material.alike.label[rows], {}, names, seed, proxy)
    made.slices = _slices(material, made)
    if learn == "one":
        from burnish.nn.probe import Probe

        made.l2 = Probe(targets.shape[1], seed=seed).fit(vectors, targets).chosen_l2
        made.disturbed = _disturbed(material, made)
    return made


def _targets(material: Material, rows: Array) -> tuple[Learn, Array, tuple[str, ...], str]:
    if material.one_label:
        at = np.searchsorted(material.labelled, rows)
        return "one", material.targets[at], material.names, ""
    if "value" in material.task.target:
        values = np.array([material.column("value")[row] for row in rows], dtype=np.float64)
        return "number", values[:, None], ("value",), ""
    wanted = [name for name in TARGETS if name in material.task.target]
    table = material.select(wanted)
    told = [set(labels_of(row, wanted)) for row in table.take(pa.array(rows)).to_pylist()]
    names = tuple(sorted(set().union(*told)))
    targets = np.array([[float(name in one) for name in names] for one in told], dtype=np.float32)
    placed = sorted({"spans", "relations"} & set(wanted))
    proxy = f"which labels its {' and '.join(placed)} have, not where they are" if placed else ""
    return "several", targets, names, proxy


def _vectors(material: Material, texts: Sequence[str]) -> Array:
    from burnish.nn.backbones import resolve
    from burnish.nn.embeddings import embed

    context = material.context
    folder = resolve(material.backbone, languages=context.task.languages, progress=Silent())  # the audit has told
    return embed(list(texts), folder, cache=context.cache, progress=context.progress)


def _slices(material: Material, made: Bench) -> dict[str, Array]:
    """Classes, and every column that names groups of people or of records; and both together, for a shortcut harms one
    class of those who lack it."""
    found = {"label": made.strata} if made.learn == "one" else {}
    named = {name: (list(one.values), one.number) for name, one in material.slices.items()}
    groups = [None if value is None else str(value) for value in material.column("group")]
    distinct = sorted({value for value in groups if value is not None})
    place = {value: at for at, value in enumerate(distinct)}
    named["group"] = (distinct, np.array([-1 if value is None else place[value] for value in groups], dtype=np.int64))
    for name, (values, number) in named.items():
        codes = number[made.rows]
        if 2 <= len(values) <= GROUPS:
            found[name], made.values[name] = codes, values
            if made.learn == "one":
                found[f"{name} and label"] = np.where(codes >= 0, codes * len(made.names) + made.strata, -1)
    return found


def _disturbed(material: Material, made: Bench) -> dict[str, tuple[Array, Array]]:
    """At most DISTURBED_ROWS records in each way that they can be disturbed, embedded anew."""
    from burnish.text.disturb import DISTURBED

    drawn = np.random.default_rng(made.seed).permutation(len(made.rows))
    found = {}
    for kind, disturb in DISTURBED.items():
        places: list[int] = []
        texts: list[str] = []
        for at in drawn[: 5 * DISTURBED_ROWS]:
            if (text := disturb(material.texts[made.rows[at]], seed=made.seed)) is not None and len(
                places
            ) < DISTURBED_ROWS:
                places.append(int(at))
                texts.append(text)
        if len(places) >= 4 * LEAST_GROUP:
            found[kind] = (np.array(places), _vectors(material, texts))
    return found


def redacted_vectors(material: Material, made: Bench, rows: Mapping[int, str]) -> Array:
    """The vectors with those of changed texts in place: rows are positions in the bench -> new text."""
    changed = made.vectors.copy()
    places = sorted(rows)
    if places:
        changed[places] = _vectors(material, [rows[at] for at in places])
    return changed


def learnt(made: Bench, inside: Array, targets: Array, weights: Array, vectors: Array) -> Any:
    """A function from vectors (m, d) to outputs (m, k), learnt from the records `inside` (l,)."""
    if made.learn == "one":
        from burnish.nn.probe import Probe

        probe = Probe(targets.shape[1], seed=made.seed, l2=made.l2)
        return probe.fit(vectors[inside], targets[inside], weights=weights[inside]).probabilities
    return _ridge(vectors[inside], targets[inside], weights[inside])


def _ridge(vectors: Array, targets: Array, weights: Array) -> Any:
    """Weighted ridge regression on centred vectors, all outputs at once (Hoerl and Kennard 1970)."""
    share = (weights / weights.sum())[:, None]
    middle, mean = (share * vectors).sum(0), (share * targets).sum(0)
    moved = (vectors - middle).astype(np.float64)
    scatter = moved.T @ (share * moved)
    strength = RIDGE * np.trace(scatter) / len(scatter) + 1e-12
    solved = np.linalg.solve(scatter + strength * np.eye(len(scatter)), moved.T @ (share * (targets - mean)))
    return lambda some: (some - middle) @ solved + mean


def figures(made: Bench, outputs: Array, judge: Array, targets: Array) -> dict[str, float]:
    """Figures of outputs (m, k) for the judged records at positions `judge` (m,); targets (m, k) may be shared labels."""
    if made.learn == "number":
        return _of_numbers(outputs[:, 0], targets[:, 0])
    if made.learn == "several":
        return _of_several(made, outputs > 0.5, judge, targets > 0.5)
    return _of_one(made, outputs, judge, targets)


def _of_one(made: Bench, chances: Array, judge: Array, targets: Array) -> dict[str, float]:
    said = chances.argmax(axis=1)
    right = targets[np.arange(len(said)), said]  # the share of the label that was said: expected accuracy
    worst = _worst(made, judge, right)
    true = targets.argmax(axis=1)
    return {
        "accuracy": float(right.mean()),
        "macro_f1": _macro_f1(true, said, targets.shape[1]),
        "log_loss": float(-(targets * np.log(np.maximum(chances, FLOOR))).sum(axis=1).mean()),
        "ece": _ece(chances.max(axis=1), right),
        **({"worst_group": worst, "gap": float(right.mean()) - worst} if worst is not None else {}),
    }


def _of_several(made: Bench, said: Array, judge: Array, true: Array) -> dict[str, float]:
    both = 2 * float((said & true).sum())
    worst = _worst(made, judge, (said == true).all(axis=1).astype(float))
    return {
        "f1": both / max(float(said.sum() + true.sum()), 1.0),
        "accuracy": float((said == true).all(axis=1).mean()),
        **({"worst_group": worst} if worst is not None else {}),
    }


def _of_numbers(said: Array, true: Array) -> dict[str, float]:
    moving = said.std() > 0 and true.std() > 0
    return {
        "pearson": float(np.corrcoef(said, true)[0, 1]) if moving else 0.0,
        "absolute_error": float(np.abs(said - true).mean()),
    }


def _worst(made: Bench, judge: Array, right: Array) -> float | None:
    """Accuracy of the group that fares worst (Sagawa et al. 2020), of groups with LEAST_GROUP judged records."""
    means = []
    for codes in made.slices.values():
        here = codes[judge]
        counts = np.bincount(here[here >= 0])
        sums = np.bincount(here[here >= 0], weights=right[here >= 0])
        means += [sums[one] / counts[one] for one in np.flatnonzero(counts >= LEAST_GROUP)]
    return float(min(means)) if len(means) > 1 else None


def _macro_f1(true: Array, said: Array, classes: int) -> float:
    hit = np.bincount(true[true == said], minlength=classes)
    total = np.bincount(true, minlength=classes) + np.bincount(said, minlength=classes)
    return float((2 * hit[total > 0] / total[total > 0]).mean())


def _ece(sure: Array, right: Array, bins: int = 15) -> float:
    """Expected calibration error with bins of equal width (Guo et al. 2017); right: (m,) 0..1."""
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(sure))
