"""What a remedy does to the model: a probe trained with it and one without, judged on the same held-out records.

REPEATS random splits, near-duplicates on one side. In each, one probe learns from the training side as it is, and one
from the training side as every remedy would leave it: records set aside, labels changed or shared, weights, redacted
texts. Checks of labels are asked again about the training side alone (`again`), for what they say of everything has read
the judging labels. The judging side is cured for nobody, with exceptions that are the same for both probes:

- records that a check would take away because nothing like them should come (copies, empty texts) do not judge; those that a
  check of labels would take away do: texts as hard as they are come again;
- a label that a check doubts judges by halves: given and suggested label share it, as likely as the check finds them. To
  judge by it as it stands would punish who learnt better; to leave such records out would keep the easy ones alone, and
  flatter every remedy that takes hard records away. `as_labelled` says what the plain labels say.

Intervals: corrected resampled t (Nadeau and Bengio 2003), for splits share records. Best of several remedies for one
check is chosen on these same splits, so its value is a little kind to it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from burnish.measures.resampled import corrected_t
from burnish.quality.again import Told, asked_again, findings_of
from burnish.quality.bench import LEAST_GROUP, Bench, bench, figures, learnt, redacted_vectors, why_not
from burnish.quality.checks import Found, Material
from burnish.quality.material import Array
from burnish.quality.remedies import DOUBTED, Remedy, candidates, doubted, redacted, remedies_for, remedy

REPEATS = 8
PARTS = 4  # one part in four is held out
LOSSES = ("log_loss", "ece", "gap", "absolute_error")  # smaller is better
Effects = dict[str, dict[str, Any]]
Way = tuple[str, float]  # a remedy, and the score from which it acts
Plan = Callable[[Told], Remedy]


def probe_effects(material: Material, found: Mapping[str, Found]) -> Effects:
    """Check -> {figure: {value, low, high}, ..., "remedy", "certain", "remedies", "removed", "changed", "held_out", "by"}.

    Figures are with the remedy minus without, of the best remedy for the check; `remedies` has all that were tried, and
    `figure` names the chief one. `certain`: the score from which it acts. Checks whose
    findings ask for nothing have none. {} where no probe can learn the task (`bench.why_not`).
    """
    told = findings_of(material, found)
    given = labels_given(material)
    plans: dict[tuple[str, Way], Plan] = {
        (name, way): functools.partial(act, name, way, given=given)
        for name, one in told.items()
        for way in candidates(list(one.values()))
        if way[0] in remedies_for(material.task.target) and act(name, way, told, given=given).touched
    }
    if not plans or why_not(material):
        return {}
    measured, _, _ = measure(bench(material), material, plans, told)
    effects: Effects = {}
    for name in told:
        ways = {
            way: {**measured[name, way], "remedy": way[0], "certain": way[1]}
            for check, way in plans
            if check == name and (name, way) in measured
        }
        if ways:
            effects[name] = {**_best(name, list(ways.values())), "remedies": list(ways.values())}
    return effects


def _best(name: str, ways: list[dict[str, Any]]) -> dict[str, Any]:
    """The remedy that does most. Of doubted labels the first, which won most on other sets, unless another is better by
    more than chance: the best of five by a few hundred doubtful judges is often the luckiest."""
    best = max(ways, key=_merit)
    if name == DOUBTED and best is not ways[0]:
        chief = best["figure"]
        return best if best[chief]["low"] > ways[0][chief]["value"] else ways[0]
    return best


def act(name: str, way: Way, told: Told, *, given: Sequence[str | None]) -> Remedy:
    """The remedy of one check: way is its kind and the score from which it acts."""
    return remedy(way[0], told.get(name, {}), given, certain=way[1])


def labels_given(material: Material) -> list[str | None]:
    """(n,) the label of every record, None where it has none of the task's."""
    if not material.one_label:
        return [None] * len(material)
    return [material.names[at] if at >= 0 else None for at in material.labels.tolist()]


def ordered(effects: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """Names of the checks, the one whose remedy helps most first; those without a measured effect come last."""

    def merit(name: str) -> tuple[float, ...]:
        one = effects[name]
        return _merit(one) if one else (-9.0,) * 3

    return sorted(effects, key=merit, reverse=True)


def helps(effect: Mapping[str, Any]) -> bool:
    """Whether the whole interval of the chief figure is above nothing; of a label's log loss below, with no loss of it."""
    chief = effect[effect["figure"]]
    return bool(chief["low"] > 0 or (chief["value"] >= 0 and effect.get("log_loss", {}).get("high", 0.0) < 0))


def harms(effect: Mapping[str, Any]) -> bool:
    """Whether the whole interval of the chief figure is below nothing."""
    return bool(effect[effect["figure"]]["high"] < 0)


def _merit(effect: Mapping[str, Any]) -> tuple[float, ...]:
    chief = effect[effect["figure"]]
    return (round(chief["value"], 4), -effect.get("log_loss", {"value": 0.0})["value"], chief["low"])


def measure(
    made: Bench, material: Material, plans: Mapping[Any, Plan], told: Told, *, repeats: int = REPEATS
) -> tuple[dict[Any, dict[str, Any]], dict[str, float], dict[Any, tuple[dict[str, float], dict[str, float]]]]:
    """(plan -> effect, figures without any remedy, plan -> figures without and with it of the records that judge it);
    figures are means over the splits.

    plans: name -> a function from findings to the remedy that they lead to. told: what the checks say of all records.
    """
    from burnish.nn.probe import assign_folds

    place = {int(row): at for at, row in enumerate(made.rows)}
    judged, aside = judge_targets(made, material, told, place), not_judged(made, material, told, place)
    whole = {name: plan(told) for name, plan in plans.items()}
    come = _doubtful(told, place, len(made.rows)) | (judged.max(axis=1) < 1 if made.learn == "one" else False)
    dropped = {name: _dropped(made, one, place) & ~come for name, one in whole.items()}
    again = asked_again(material, [name for name in told if told[name]], told)
    before: dict[Any, list[dict[str, float]]] = {name: [] for name in plans}
    after: dict[Any, list[dict[str, float]]] = {name: [] for name in plans}
    plain: list[dict[str, float]] = []
    rights: dict[Any, list[tuple[Array, Array, Array]]] = {name: [] for name in plans}
    hits = np.zeros((2, len(made.rows)))  # of the records, without any remedy: how often right, how often judged
    ones = np.ones(len(made.rows), dtype=np.float32)
    with material.context.progress.bar("effect", repeats * (len(plans) + 1), "fits") as bar:
        for repeat in range(repeats):
            held = assign_folds(made.strata, folds=PARTS, groups=made.groups, seed=made.seed + 1 + repeat) == 0
            common = held & ~aside
            if not common.any() or held.all():
                continue
            without = learnt(made, ~held, made.targets, ones, made.vectors)
            plain.append(_judged(made, without, common, judged))
            hits += np.stack([_right(made, without, common, judged), common])
            bar.advance(1)
            seen = again(made.rows[~held]) if plans else told
            for name, plan in plans.items():
                bar.advance(1)
                stays, targets, weights, vectors = cured(made, material, plan(seen), place)
                own = common & ~dropped[name]
                if not (~held & stays).any() or own.sum() < 2:
                    continue
                with_it = learnt(made, ~held & stays, targets, weights, vectors)
                before[name].append(_judged(made, without, own, judged))
                after[name].append(_judged(made, with_it, own, judged))
                rights[name].append((own, *(_right(made, one, own, judged) for one in (without, with_it))))
    effects = {
        name: _effect(made, whole[name], before[name], after[name]) | _on_worst(made, hits, rights[name])
        for name in plans
        if len(after[name]) >= max(2, repeats // 2)
    }
    return effects, _means(plain), {name: (_means(before[name]), _means(after[name])) for name in effects}


def _right(made: Bench, ask: Any, judge: Array, targets: Array) -> Array:
    """(l,) the share of the judging label that was said, 0 where a record does not judge."""
    found = np.zeros(len(made.rows))
    at = np.flatnonzero(judge)
    outputs = ask(made.vectors[at])
    if made.learn == "one":
        found[at] = targets[at, outputs.argmax(axis=1)]
    elif made.learn == "several":
        found[at] = ((outputs > 0.5) == (targets[at] > 0.5)).all(axis=1)
    return found


def _on_worst(made: Bench, hits: Array, rights: list[tuple[Array, Array, Array]]) -> dict[str, Any]:
    """What the remedy does to the group that fares worst without it, all splits together (Sagawa et al. 2020).

    A group that is judged in few splits, by few records, would be the worst by chance in one of them.
    """
    worst: tuple[float, str, Array] | None = None
    for name, codes in made.slices.items():
        for code in np.unique(codes[codes >= 0]):
            members = codes == code
            if (members & (hits[1] > 0)).sum() >= LEAST_GROUP and not members.all():
                share = float(hits[0, members].sum() / hits[1, members].sum())
                if worst is None or share < worst[0]:
                    worst = (share, f"{name} {_value(made, name, int(code))}", members)
    if worst is None:
        return {}
    _, said, members = worst
    rows = [(own & members, before, after) for own, before, after in rights if (own & members).any()]
    if len(rows) < 2:
        return {}
    groups = [float((after - before)[here].mean()) for here, before, after in rows]
    gaps = [
        float((after - before)[own].mean() - (after - before)[own & members].mean())
        for own, before, after in rights
        if (own & members).any()
    ]
    return {"worst_group": interval(groups), "gap": interval(gaps), "group": said}


def _value(made: Bench, name: str, code: int) -> str:
    """What a code of a slicing stands for."""
    if name == "label":
        return made.names[code]
    if name.endswith(" and label"):
        code, label = divmod(code, len(made.names))
        return f"{made.values[name.removesuffix(' and label')][code]}, {made.names[label]}"
    return made.values[name][code]


def _dropped(made: Bench, one: Remedy, place: Mapping[int, int]) -> Array:
    """(l,) records that the remedy would set aside."""
    gone = np.zeros(len(made.rows), dtype=bool)
    gone[[place[row] for row in one.dropped if row in place]] = True
    return gone


def _doubtful(told: Told, place: Mapping[int, int], count: int) -> Array:
    """(l,) records whose label some check of labels doubts, with a better one to name or without."""
    from burnish.quality.checks import CHECKS

    found = np.zeros(count, dtype=bool)
    for name, rows in told.items():
        if name in CHECKS and CHECKS[name].of_labels:
            found[[place[row] for row in rows if row in place]] = True
    return found


def cured(made: Bench, material: Material, one: Remedy, place: Mapping[int, int]) -> tuple[Array, Array, Array, Array]:
    """(stays (l,), targets (l, k), weights (l,), vectors (l, d)) as a remedy leaves the records of the bench."""
    stays, targets = np.ones(len(made.rows), dtype=bool), made.targets.copy()
    weights = np.ones(len(made.rows), dtype=np.float32)
    stays[[place[row] for row in one.dropped if row in place]] = False
    for row, label in one.label.items():
        if row in place and label in made.names:
            targets[place[row]] = np.eye(len(made.names), dtype=np.float32)[made.names.index(label)]
    for row, shares in one.shares.items():
        if row in place:
            targets[place[row]] = [shares.get(name, 0.0) for name in made.names]
    for row, times in one.weight.items():
        if row in place:
            weights[place[row]] = times
    texts = {place[row]: redacted(material.texts[row]) for row in one.redacted if row in place}
    return stays, targets, weights, redacted_vectors(material, made, texts) if texts else made.vectors


def judge_targets(made: Bench, material: Material, told: Told, place: Mapping[int, int]) -> Array:
    """Targets (l, k) to judge by: doubted labels are shared between the given and the suggested one."""
    judged: Array = made.targets.copy()
    if made.learn != "one":
        return judged
    judged = np.eye(judged.shape[1], dtype=np.float32)[judged.argmax(axis=1)]
    for row, (better, score) in doubted(told, labels_given(material)).items():
        if row in place:
            old = int(judged[place[row]].argmax())
            judged[place[row]] = 0.0 if better in made.names else score / (judged.shape[1] - 1)
            judged[place[row], old] = 1 - score
            if better in made.names:
                judged[place[row], made.names.index(better)] += score
    return judged


def not_judged(made: Bench, material: Material, told: Told, place: Mapping[int, int]) -> Array:
    """(l,) records that a check would drop by itself and not for their label: copies, empty texts, contradictions."""
    from burnish.quality.checks import CHECKS

    aside = np.zeros(len(made.rows), dtype=bool)
    for name, found in told.items():
        if name in CHECKS and CHECKS[name].auto == "drop":
            aside[[place[row] for row, one in found.items() if row in place and one.action == "drop"]] = True
    return aside


def _judged(made: Bench, ask: Any, judge: Array, targets: Array) -> dict[str, float]:
    at = np.flatnonzero(judge)
    outputs = ask(made.vectors[at])
    said = figures(made, outputs, at, targets[at])
    if made.learn == "one":
        said["as_labelled"] = float((outputs.argmax(axis=1) == made.targets[at].argmax(axis=1)).mean())
        tried = [_disturbed(ask, places, vectors, judge, targets) for places, vectors in made.disturbed.values()]
        for kind, share in zip(made.disturbed, tried, strict=True):
            if share is not None:
                said[f"robustness.{kind}"] = share
        there = [share for share in tried if share is not None]
        if there:
            said["robustness"] = float(np.mean(there))
    return said


def _disturbed(ask: Any, places: Array, vectors: Array, judge: Array, targets: Array) -> float | None:
    """Accuracy on disturbed texts of the judged records."""
    here = judge[places]
    if not here.any():
        return None
    said = ask(vectors[here]).argmax(axis=1)
    return float(targets[places[here], said].mean())


def _effect(made: Bench, one: Remedy, before: list[dict[str, float]], after: list[dict[str, float]]) -> dict[str, Any]:
    keys = [key for key in after[0] if all(key in row for row in (*before, *after))]
    told: dict[str, Any] = {
        key: interval([b[key] - a[key] for a, b in zip(before, after, strict=True)]) for key in keys
    }
    here = set(made.rows.tolist())
    return told | {
        "figure": made.chief, "removed": len(one.dropped), "changed": len(one.touched) - len(one.dropped),
        "held_out": len(here) // PARTS, "by": "probe", **({"proxy": made.proxy} if made.proxy else {}),
    }  # fmt: skip


def interval(gains: list[float]) -> dict[str, float]:
    """A mean difference with its interval, rounded as facts are."""
    found = corrected_t(gains, held_out=1 / PARTS)
    return {"value": round(found.value, 5), "low": round(found.low, 5), "high": round(found.high, 5)}


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    keys = [key for key in rows[0] if all(key in row for row in rows)] if rows else []
    return {key: round(float(np.mean([row[key] for row in rows])), 5) for key in keys}
