"""Planted faults: are they found, does the probe foresee what mending them is worth, and what does `curate: auto` win back?

    python benchmarks/planted.py --data ../shared/data                # everything; goes on where it was stopped
    python benchmarks/planted.py --data ../shared/data --only probe   # without tuning: two minutes

Sets: SST-2 (sentences, 2 classes), Banking77 (10 of its intents), THUCNews titles (Chinese, 10 topics); TRAIN records with a
fault planted by a seeded draw, TEST clean records of the set's own test side that no step ever sees but the last.

found      precision and recall of the checks that are there for each kind of fault
predicted  the probe's effect of the remedy, from the dirty records alone (quality.effect, 8 splits)
true       test accuracy (worst group, where the fault is about groups) of the task's encoder, tuned on the mended records
           less tuned on the dirty ones; mean over the seeds that are done
rank       Spearman's correlation of predicted and true over all sets and faults
curate     test accuracy of the tuned encoder: dirty, `curate: auto`, cleanlab's filter on the same probabilities, clean
agreement  real noise: Financial PhraseBank, what checks of labels point at, against whether all annotators agree

The remedy acts on what the check found, where one is there ("by: check"); on the planted rows themselves where none is
("by: planted"), so that the prediction can be judged without the detector. `random`: a fifth of the records thrown away
for no reason, a remedy that should not help.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh
from scipy.stats import spearmanr
from sets import by_content

from burnish.core.artifacts import Records
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality import tuned
from burnish.quality.again import Told
from burnish.quality.audit import audit
from burnish.quality.bench import bench, figures, learnt
from burnish.quality.checks import CHECKS, COLUMNS, Material
from burnish.quality.curate import curate
from burnish.quality.effect import cured, labels_given, measure
from burnish.quality.plan import findings_in
from burnish.quality.remedies import Remedy, remedy
from burnish.testing import sample_context
from burnish.text.edits import Edit, applied, clusters, is_letter, sound

TRAIN, TEST, SEEDS = 600, 1500, (0, 1, 2)
DATA: list[Path] = []
RESULTS = Path(__file__).parent / "results"
INTENTS = 10
# which checks look for a fault, under all names they may have
LOOKS = {
    "wrong": ("label_errors",), "near": ("near_duplicates", "semantic_duplicates", "exact_duplicates"), "pii": ("pii",),
    "stale": ("label_drift", "age"), "spurious": ("spurious_tokens", "artefacts"),
    "group": ("slice_balance", "joint_balance", "groups"),
}  # fmt: skip
RUN = [
    "label_errors",
    "conflicting_duplicates",
    "near_duplicates",
    "exact_duplicates",
    "pii",
    "label_drift",
    "spurious_tokens",
    "artefacts",
    "slice_balance",
    "joint_balance",
    "semantic_duplicates",
    "age",
]
DOUBTS = ("label_errors", "training_dynamics", "area_under_margin", "neighbour_disagreement")  # of labels, one by one
FAULTS = ("wrong5", "wrong10", "wrong20", "near", "pii", "stale", "spurious", "group", "random")
FIRST = (
    "random",
    "wrong20",
    "stale",
    "spurious",
    "wrong10",
    "group",
    "wrong5",
    "near",
    "pii",
)  # in which order they are tuned
OF_GROUPS = ("spurious", "group")
TOKEN = {"en": "zqx", "zh": "〔推〕"}
SECRET = {
    "en": "call me on +1 415 555 {:04d}, mail j{}.smith@example.com",
    "zh": "联系电话1381234{:04d}，邮箱zhang{}@example.com",
}


@dataclass
class World:
    """A set with one fault. rows: planted positions. groups: meta.group of train and test, for faults about groups."""

    name: str
    fault: str
    spec: TaskSpec
    train: list[Record]
    test: list[Record]
    rows: set[int] = field(default_factory=set)


def sides(name: str, data: Path) -> tuple[list[Record], list[Record], TaskSpec]:
    reader, language = {
        "sst2": (sets_en.sst2, "en"), "banking10": (sets_en.banking77, "en"), "thucnews": (sets_zh.thucnews, "zh"),
    }[name]  # fmt: skip
    read = reader(data)
    labels = sorted({row["label"] for row in read.train})
    if name == "banking10":
        labels = sorted(labels, key=by_content)[:INTENTS]
    order = [
        sorted((row for row in side if row["label"] in labels), key=lambda row: by_content(row["text"]))
        for side in (read.train, read.test)
    ]
    train, test = (
        [
            Record(id=f"{at}", text=row["text"], label=row["label"], time=datetime(2025, 6, 1, tzinfo=UTC))
            for at, row in enumerate(rows[:most])
        ]
        for rows, most in zip(order, (TRAIN, TEST), strict=True)
    )
    return train, test, TaskSpec("classification", tuple(sorted(labels)), {}, (language,))


def planted(name: str, fault: str, data: Path) -> World:
    train, test, spec = sides(name, data)
    world = World(name, fault, spec, list(train), test)
    draw = np.random.default_rng(int(1e6 * by_content(name + fault)))
    language, count = spec.languages[0], len(train)
    if fault.startswith("wrong"):
        for at in draw.choice(count, count * int(fault[5:]) // 100, replace=False):
            other = str(draw.choice([label for label in spec.labels if label != train[at].label]))
            world.train[at] = replace(train[at], label=other)
            world.rows.add(int(at))
    elif fault == "near":
        for at in draw.choice(count, count // 100, replace=False):
            for copy in range(20):
                text = typos(train[at].text or "", seed=copy) or train[at].text
                world.rows.add(len(world.train))
                world.train.append(replace(train[at], id=f"{at}-{copy}", text=text))
    elif fault == "pii":
        for at in draw.choice(count, count // 10, replace=False):
            number = int(draw.integers(10**4))
            world.train[at] = replace(train[at], text=f"{train[at].text} {SECRET[language].format(number, number)}")
            world.rows.add(int(at))
    elif fault == "stale":
        turned = dict(zip(spec.labels, (*spec.labels[1:], spec.labels[0]), strict=True))
        for at in draw.choice(count, count // 4, replace=False):  # what the labels meant has moved since
            other = turned[train[at].label or ""] if draw.random() < 0.6 else train[at].label
            world.train[at] = replace(train[at], label=other, time=datetime(2015, 6, 1, tzinfo=UTC))
            world.rows.add(int(at))
    elif fault == "spurious":
        first, token = spec.labels[0], TOKEN[language]
        world.train = [_marked(one, token, draw.random() < (0.9 if one.label == first else 0.05)) for one in train]
        world.test = [_marked(one, token, at % 2 == 0) for at, one in enumerate(test)]
        world.rows = {at for at, one in enumerate(world.train) if one.meta["group"] == "marked" and one.label == first}
    elif fault == "group":
        few = set(draw.choice(count, count // 25, replace=False).tolist())
        world.train = [_rough(one, at in few) for at, one in enumerate(train)]
        world.test = [_rough(one, at % 2 == 0) for at, one in enumerate(test)]
        world.rows = {int(at) for at in few}
    elif fault == "random":
        world.rows = {int(at) for at in draw.choice(count, count // 5, replace=False)}
    return world


def _marked(one: Record, token: str, yes: bool) -> Record:
    text = f"{token} {one.text}" if yes else one.text
    return replace(one, text=text, meta={"group": "marked" if yes else "plain"})


def _rough(one: Record, yes: bool) -> Record:
    """People who type fast: thrice the typing errors."""
    text = one.text or ""
    for seed in range(3) if yes else ():
        text = typos(text, seed=seed) or text
    return replace(one, text=text, meta={"group": "rough" if yes else "plain"})


def typos(text: str, *, seed: int) -> str | None:
    """One letter in twenty swapped, left out or doubled; here and not taken from the package, so that worlds stay the same."""
    draw = random.Random(f"{seed} {text}")
    letters = [one for one in clusters(text) if is_letter(text[slice(*one)])]
    if len(letters) < 4:
        return None
    edits = []
    for at in draw.sample(range(len(letters) - 1), max(1, int(0.05 * len(letters)))):
        here, following = letters[at], letters[at + 1]
        sign, next_sign = text[slice(*here)], text[slice(*following)]
        kind = draw.choice(("swap", "drop", "double"))
        if kind == "swap" and following[0] == here[1] and sign != next_sign:
            edits.append(Edit(here[0], following[1], next_sign + sign))
        else:
            edits.append(Edit(*here, sign * 2 if kind == "double" else ""))
    made = applied(text, sound(edits))
    return made if made != text else None


def context_of(world: World, folder: Path) -> Context:
    cache = Path(tempfile.gettempdir()) / "burnish-planted"
    cache.mkdir(exist_ok=True)
    return replace(sample_context(folder, world.spec), cache=cache)


def material_of(records: Records, context: Context) -> Material:
    return Material(records.table(COLUMNS), context, near=0.8, folds=5, backbone="auto")


def mended(world: World, material: Material, told: Told) -> tuple[Remedy, str]:
    """The remedy of a fault, and who says which rows: the check or the planting."""
    kind, rows = world.fault.rstrip("0123456789"), frozenset(world.rows)
    found = {row: one for name in LOOKS.get(kind, ()) for row, one in told.get(name, {}).items()}
    if kind in ("wrong", "near") and found:
        return remedy("drop", found, labels_given(material), certain=0.0), "check"
    if kind == "pii":
        return Remedy(redacted=rows), "planted"
    if kind == "group":
        return Remedy(weight=dict.fromkeys(rows, 4.0)), "planted"
    if kind == "spurious":  # those who break the rule count more (Sagawa et al. 2020)
        first = world.spec.labels[0]
        breaks = [at for at, one in enumerate(world.train) if (one.meta["group"] == "marked") != (one.label == first)]
        return Remedy(weight=dict.fromkeys(breaks, 4.0)), "planted"
    return Remedy(dropped=rows), "planted"


def found_row(world: World, told: Mapping[str, Mapping[int, Any]]) -> dict[str, Any]:
    """Precision and recall of each check that looks for the fault; False where none does yet."""
    kind, made = world.fault.rstrip("0123456789"), {}
    for name in LOOKS.get(kind, ()):
        if name in CHECKS:
            said = {row for row, one in told.get(name, {}).items() if kind != "near" or one.action != "keep"}
            hits = len(said & world.rows)
            made[name] = {
                "found": len(said), "planted": len(world.rows),
                "precision": round(hits / max(len(said), 1), 3), "recall": round(hits / len(world.rows), 3),
            }  # fmt: skip
    return made


def probe_row(world: World, folder: Path) -> dict[str, Any]:
    """What the checks find, what the probe predicts, and what a probe does on the clean test side."""
    context = context_of(world, folder)
    records = audit(Records.from_rows(world.train), context, checks=RUN, effect="none")
    material = material_of(records, context)
    told = findings_in(records, material)
    cure, by = mended(world, material, told)
    made = bench(material)
    began = time.process_time()
    effects, _, _ = measure(made, material, {"it": lambda seen: mended(world, material, seen)[0]}, told)
    spent = time.process_time() - began
    figure = figure_of(world)
    effect = effects["it"]
    test = material_of(Records.from_rows(world.test), context)
    judge = bench(test)
    on_test = []
    place = {int(row): at for at, row in enumerate(made.rows)}
    ones = np.ones(len(made.rows), dtype=np.float32)
    for stays, targets, weights, vectors in (
        (ones > 0, made.targets, ones, made.vectors),
        cured(made, material, cure, place),
    ):
        outputs = learnt(made, stays, targets, weights, vectors)(judge.vectors)
        on_test.append(figures(judge, outputs, np.arange(len(judge.rows)), judge.targets)[figure])
    return {
        "set": world.name, "fault": world.fault, "checks": found_row(world, told), "by": by, "figure": figure,
        "predicted": effect.get(figure, effect["accuracy"]), "as_labelled": effect["as_labelled"],
        "log_loss": effect["log_loss"], "probe_on_test": round(on_test[1] - on_test[0], 5), "seconds": round(spent, 2),
    }  # fmt: skip


def figure_of(world: World) -> str:
    return "worst_group" if world.fault in OF_GROUPS else "accuracy"


def variant(world: World, kind: str, folder: Path) -> tuple[list[Record], Remedy]:
    """The records that a variant trains on, and the weights that go with them."""
    context = context_of(world, folder)
    records = audit(Records.from_rows(world.train), context, checks=RUN, effect="probe" if kind == "auto" else "none")
    if kind == "auto":
        kept = [one for one in curate(records, context) if one.keep]
        return kept, Remedy(weight={at: one.meta["weight"] for at, one in enumerate(kept) if "weight" in one.meta})
    material = material_of(records, context)
    if kind == "cleanlab":
        from cleanlab.filter import find_label_issues

        from burnish.nn.probe import out_of_sample

        chances = out_of_sample(
            material.vectors, material.targets, num_classes=len(world.spec.labels), seed=0, calibrate=True
        )
        issues = find_label_issues(material.labels[material.labelled], chances, n_jobs=1)
        return [one for one, bad in zip(world.train, issues, strict=True) if not bad], Remedy()
    if kind == "dirty":
        return world.train, Remedy()
    cure, _ = mended(world, material, findings_in(records, material))
    from burnish.quality.changed import changed

    rows = [at for at in range(len(world.train)) if at not in cure.dropped]
    table = changed(records.table(), replace(cure, weight={}), world.spec.labels)
    kept = [one for at, one in enumerate(Records.from_table(table)) if at not in cure.dropped]
    return kept, Remedy(weight={new: cure.weight[old] for new, old in enumerate(rows) if old in cure.weight})


def tuned_row(world: World, kind: str, seed: int, folder: Path) -> dict[str, Any]:
    """Figures on the clean test side of the encoder tuned on one variant of the records."""
    context = replace(context_of(world, folder), seed=seed)
    kept, weights = variant(world, kind, folder)
    context = replace(context, seed=seed)
    lab = tuned.Laboratory(material_of(Records.from_rows(kept), context), None, {})
    began = time.monotonic()
    model = lab.learn(lab.table, weights, 0)
    test = material_of(Records.from_rows(world.test), context)
    judge = bench(test)
    chances = np.asarray(lab.answers(model, Records.from_rows(world.test).table()).probabilities)
    told = figures(judge, chances, np.arange(len(judge.rows)), judge.targets)
    return {
        "set": world.name, "fault": world.fault, "variant": kind, "seed": seed, "records": len(kept),
        "seconds": round(time.monotonic() - began, 1), **{key: round(value, 5) for key, value in told.items()},
    }  # fmt: skip


def curated_row(world: World, folder: Path) -> dict[str, Any]:
    """Accuracy on the clean test side of a probe on the records as each way to curate leaves them."""
    context = context_of(world, folder)
    test = bench(material_of(Records.from_rows(world.test), context))
    row: dict[str, Any] = {"set": world.name, "fault": world.fault, "kept": {}}
    for kind in ("dirty", "auto", "cleanlab", "oracle", "clean"):
        weights = Remedy()
        if kind == "oracle":
            kept = [one for at, one in enumerate(world.train) if at not in world.rows]
        elif kind == "clean":
            kept = planted(world.name, "random", DATA[0]).train
        else:
            kept, weights = variant(world, kind, folder)
        made = bench(material_of(Records.from_rows(kept), context))
        counts = np.array([weights.weight.get(at, 1.0) for at in range(len(kept))], dtype=np.float32)
        outputs = learnt(made, np.ones(len(kept)) > 0, made.targets, counts, made.vectors)(test.vectors)
        row[kind] = round(figures(test, outputs, np.arange(len(test.rows)), test.targets)["accuracy"], 4)
        row["kept"][kind] = round(float(counts.sum()))
    return row


def agreement(data: Path, folder: Path) -> dict[str, Any]:
    """How well checks of labels tell sentences of Financial PhraseBank that annotators disagree on."""
    from sklearn.metrics import roc_auc_score

    agreed = sets_en.phrasebank(data)
    unanimous = {row["text"] for row in agreed.train + agreed.test}
    read = sets_en.phrasebank50(data)
    rows = sorted(read.train + read.test, key=lambda row: by_content(row["text"]))[:2500]
    spec = TaskSpec("classification", ("negative", "neutral", "positive"), {}, ("en",))
    world = World(
        "phrasebank",
        "agreement",
        spec,
        [Record(id=str(at), text=row["text"], label=row["label"]) for at, row in enumerate(rows)],
        [],
        [],
    )
    context = context_of(world, folder)
    material = material_of(
        audit(Records.from_rows(world.train), context, checks=["label_errors"], effect="none"), context
    )
    doubtful = np.array([row["text"] not in unanimous for row in rows])
    made: dict[str, Any] = {"records": len(rows), "not unanimous": round(float(doubtful.mean()), 3)}
    for name in DOUBTS:
        found = CHECKS[name].run(material)
        made[name] = {
            "AUROC of the score": round(float(roc_auc_score(doubtful, found.score)), 3),
            "flagged": int(found.flagged.sum()), "not unanimous among flagged": round(float(doubtful[found.flagged].mean()), 3),
        }  # fmt: skip
    return made


def work(names: list[str], data: Path, state: dict[str, Any], only: str) -> Iterator[None]:
    """Row after row; what is known is not measured again."""
    rows = {(one["set"], one["fault"]): one for one in state.setdefault("probe", [])}
    done = {(one["set"], one["fault"], one["variant"], one["seed"]) for one in state.setdefault("tuned", [])}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if "agreement" not in state:
            state["agreement"] = agreement(data, folder)
            yield
        for name in names:
            for fault in FAULTS:
                if (name, fault) not in rows:
                    state["probe"].append(probe_row(planted(name, fault, data), folder))
                    yield
        known = {(one["set"], one["fault"]) for one in state.setdefault("curated", [])}
        for name in names:
            for fault in ("wrong20", "wrong10", "wrong5"):
                if (name, fault) not in known:
                    state["curated"].append(curated_row(planted(name, fault, data), folder))
                    yield
        if only == "probe":
            return
        wanted = [(fault, kind) for fault in FIRST for kind in ("mended", "dirty")]
        wanted += [(fault, kind) for fault in ("wrong20", "wrong10", "wrong5") for kind in ("auto", "cleanlab")]
        for seed in SEEDS:
            for fault, kind in wanted:
                for name in names:
                    if (name, fault, kind, seed) not in done:
                        state["tuned"].append(tuned_row(planted(name, fault, data), kind, seed, folder))
                        yield


def summed(state: dict[str, Any]) -> dict[str, Any]:
    """Predicted beside true, their rank correlation, and the table of curation."""
    told: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in state["tuned"]:
        told.setdefault((one["set"], one["fault"], one["variant"]), []).append(one)
    pairs = []
    for one in state["probe"]:
        key = one["set"], one["fault"]
        dirty, mended_ = ({row["seed"]: row for row in told.get((*key, kind), [])} for kind in ("dirty", "mended"))
        seeds = dirty.keys() & mended_.keys()
        if seeds:
            gains = [mended_[seed][one["figure"]] - dirty[seed][one["figure"]] for seed in sorted(seeds)]
            pairs.append(
                {
                    "set": key[0],
                    "fault": key[1],
                    "predicted": one["predicted"]["value"],
                    "true": round(float(np.mean(gains)), 5),
                    "seeds": len(seeds),
                }
            )
    made: dict[str, Any] = {"pairs": pairs}
    if len(pairs) > 4:
        for name, key in (("rank", "predicted"),):
            found = spearmanr([one[key] for one in pairs], [one["true"] for one in pairs])
            made[name] = {
                "spearman": round(float(found.statistic), 3),
                "p": round(float(found.pvalue), 5),
                "n": len(pairs),
            }
        on_test = {(one["set"], one["fault"]): one["probe_on_test"] for one in state["probe"]}
        found = spearmanr([on_test[one["set"], one["fault"]] for one in pairs], [one["true"] for one in pairs])
        made["rank_of_probe_on_test"] = round(float(found.statistic), 3)
    some = [one for one in state["probe"] if one["fault"] not in OF_GROUPS]
    if len(some) > 4:
        both = spearmanr([one["predicted"]["value"] for one in some], [one["probe_on_test"] for one in some])
        made["rank_on_clean_test"] = {
            "spearman": round(float(both.statistic), 3),
            "p": round(float(both.pvalue), 5),
            "n": len(some),
        }
        inside = [one["predicted"]["low"] <= one["probe_on_test"] <= one["predicted"]["high"] for one in some]
        made["clean_test_inside_interval"] = f"{sum(inside)} of {len(inside)}"
    made["curate"] = [
        {"set": name, "fault": fault, **{
            kind: round(float(np.mean([row["accuracy"] for row in told[key]])), 4)
            for kind in ("dirty", "mended", "auto", "cleanlab", "clean")
            if (key := (name, "random", "dirty") if kind == "clean" else (name, fault, kind)) in told  # random: nothing is wrong
        }}
        for name in sorted({one["set"] for one in state["tuned"]}) for fault in ("wrong5", "wrong10", "wrong20")
    ]  # fmt: skip
    return made


def write(state: dict[str, Any]) -> None:
    """planted.json and planted.md, after every row."""
    state["summary"] = summed(state)
    whole = RESULTS / "planted.json"
    part = whole.with_suffix(".part")
    part.write_text(json.dumps(state, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(whole)
    lines = ["# Planted faults", "", "`python benchmarks/planted.py --data ../shared/data`", ""]
    lines += [
        "| set | fault | checks: precision / recall | remedy by | figure | predicted (95%) | as labelled | probe on clean test | true, tuned |",
        "|---|---|---|---|---|---|--:|--:|--:|",
    ]
    true = {(one["set"], one["fault"]): one for one in state["summary"]["pairs"]}
    for one in state["probe"]:
        said = (
            "; ".join(f"{name} {row['precision']:.2f} / {row['recall']:.2f}" for name, row in one["checks"].items())
            or "none yet"
        )
        gain, real = one["predicted"], true.get((one["set"], one["fault"]))
        lines.append(
            f"| {one['set']} | {one['fault']} | {said} | {one['by']} | {one['figure']} | {100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}) | "
            f"{100 * one['as_labelled']['value']:+.1f} | {100 * one['probe_on_test']:+.1f} | "
            + (f"{100 * real['true']:+.1f} ({real['seeds']} seeds) |" if real else "not measured |")
        )
    if "rank_on_clean_test" in state["summary"]:
        rank = state["summary"]["rank_on_clean_test"]
        lines += [
            "",
            f"Accuracy, predicted against the same probe on the clean test side: Spearman {rank['spearman']} (n = {rank['n']}, p = {rank['p']}); {state['summary']['clean_test_inside_interval']} true changes lie inside the predicted interval.",
        ]
    if "rank" in state["summary"]:
        rank = state["summary"]["rank"]
        lines += [
            "",
            f"True, tuned (one seed moves test accuracy by about two points; few seeds cannot rank effects that small): Spearman of predicted and true {rank['spearman']} (n = {rank['n']}, p = {rank['p']}); of the probe on the clean test side and true: {state['summary']['rank_of_probe_on_test']}.",
        ]
    kinds = ("dirty", "auto", "cleanlab", "oracle", "clean")
    lines += ["", "Test accuracy of a probe (records kept, each as much as it counts):", ""]
    lines += ["| set | wrong labels | dirty | curate: auto | cleanlab's filter | wrong ones left out | clean |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|"]
    for one in state.get("curated", []):
        cells = " | ".join(f"{100 * one[kind]:.1f} ({one['kept'][kind]})" for kind in kinds)
        lines.append(f"| {one['set']} | {one['fault']} | {cells} |")
    lines += [
        "",
        "Test accuracy of the tuned encoder:",
        "",
        "| set | wrong labels | dirty | label_errors dropped | curate: auto | cleanlab's filter | clean |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for one in state["summary"]["curate"]:
        lines.append(
            f"| {one['set']} | {one['fault']} | "
            + " | ".join(
                f"{100 * one[kind]:.1f}" if kind in one else "-"
                for kind in ("dirty", "mended", "auto", "cleanlab", "clean")
            )
            + " |"
        )
    if any("detector" in one for one in state["tuned"]):
        lines += ["", "`label_errors dropped` was tuned on what confident learning doubted, the check before this one."]
    if seen := state.get("agreement"):
        lines += ["", f"Financial PhraseBank, real noise: {seen['records']:,} sentences, annotators differ on {seen['not unanimous']:.1%}.", ""]  # fmt: skip
        lines += ["| check | AUROC of the score | flagged | annotators differ on |", "|---|--:|--:|--:|"]
        lines += ["| " + " | ".join(map(str, (name, *seen[name].values()))) + " |" for name in DOUBTS]
    (RESULTS / "planted.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=["sst2", "banking10", "thucnews"])
    parser.add_argument("--only", choices=["all", "probe"], default="all")
    options = parser.parse_args()
    DATA.append(options.data)
    whole = RESULTS / "planted.json"
    state = json.loads(whole.read_text("utf-8")) if whole.exists() else {}
    for _ in work(options.sets, options.data, state, options.only):
        write(state)
        print(
            json.dumps((state["tuned"] or state["probe"] or [state["agreement"]])[-1], ensure_ascii=False), flush=True
        )


if __name__ == "__main__":
    main()
