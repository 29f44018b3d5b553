"""Taggers without training labels: what spans made by rules are worth, and the model tuned on them, beside full supervision.

    python benchmarks/construct_spans.py wikigold --data ../shared/data [--names names-0.3.0.tar.gz]
    python benchmarks/construct_spans.py cluener --data ../shared/data [--limit 1000]

wikigold: the distant labels of BOND (bond-ner-en) on its 1,142 training sentences, with rules an English speaker writes and
GeoNames beside them. The 280 checked development sentences weigh labellers and choose; nothing is tuned on them except in
the arms "gold only" and "last" (constructed spans first, four fifths of the gold after them). Test: the 274 checked sentences, looked at once an arm.
cluener: `construct_spans_zh`. Arms that cost a tuning are asked for by --arms. Entity F1 (strict: both borders and type) in
percent, one seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from burnish.construct.aggregate import aggregate
from burnish.construct.self_training import self_training
from burnish.core.artifacts import Gold, Records, Split, Votes
from burnish.core.progress import Plain
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec, find
from burnish.measures.entities import entity_counts, entity_scores

RESULTS = Path(__file__).parent / "results" / "construct-spans"
BACKBONE = "e5-small-zhen"  # it knows capitals, which the default for English does not; --backbone names another
EPOCHS = 3
SUPERVISION = (
    "Gold weighs labellers, chooses the epoch and whether a round of self-training is kept; the ways tried (docs/log.md) were "
    "compared on it too. BOND's released script chooses on this side as well. Only `gold only` and `last` learn from it. The test "
    "side was read once an arm. The 1,142 sentences have no checked labels here, so that full supervision cannot be measured."
)
GOLD_PASSES = 9  # as many as the arm that learns from the gold alone
STRATEGY = {"use": "frozen", "share": 0.5}  # the lower six of twelve layers stay as they are: half the time


def wikigold(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Sides and labellers."""
    from construct_spans_en import labellers
    from sets import unpacked

    from burnish.formats.conll import joined, spans

    place = data / "bond-ner-en/wikigold_distant"
    tags = {number: tag for tag, number in json.loads(unpacked(place / "tag_to_id.json")).items()}

    def side(name: str) -> list[dict[str, Any]]:
        made = []
        for row in json.loads(unpacked(place / name)):
            text, places = joined(row["str_words"], "blank")
            made.append({"text": text, "spans": list(spans([tags[one] for one in row["tags"]], places))})
        return made

    train, dev, test = side("train.json.xz"), side("dev.json"), side("test.json")
    return {
        "task": TaskSpec("tagging", ("PER", "LOC", "ORG", "MISC"), languages=("en",)),
        "raw": train, "truth": None, "gold": dev, "test": test,
        "labellers": labellers(train, folder, options.names),
        "published": {
            "BOND": 60.07, "best single source of WRENCH": 58.9, "majority vote of WRENCH": 52.1,
        },
        "supervision": SUPERVISION,
    }  # fmt: skip


def cluener(data: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from construct_spans_zh import prepared

    return prepared(data, folder, limit=options.limit)


SETS = {"wikigold": wikigold, "cluener": cluener}


def rows_of(rows: Sequence[dict[str, Any]], *, bare: bool = False) -> list[Record]:
    return [Record(text=row["text"], spans=None if bare else row["spans"], id=f"{at}") for at, row in enumerate(rows)]


def votes_of(steps: Sequence[dict[str, Any]], records: Records, gold: Gold | None, context: Context) -> list[Votes]:
    made: list[Votes] = []
    for step in steps:
        settings = {key: value for key, value in step.items() if key != "use"}
        stage = find("construct", step["use"]).run
        given = (
            (records, made, gold, context) if step["use"] in ("repeated", "common_words") else (records, gold, context)
        )
        made.append(stage(*given, **settings))
    return made


def stored(records: Records, folder: Path) -> Records:
    folder.mkdir(parents=True)
    records.save(folder)
    return Records.open(folder)


def quality(records: Records, truth: Sequence[dict[str, Any]] | None, labels: Sequence[str]) -> dict[str, float] | None:
    """Precision, recall and F1 of constructed spans against hidden ones; records without spans are taken to say none."""
    if truth is None:
        return None
    said = [one or [] for one in records.column("spans")]
    return scored(said, [row["spans"] for row in truth], labels)


def scored(said: Sequence[Any], wanted: Sequence[Any], labels: Sequence[str]) -> dict[str, float]:
    scores = entity_scores(entity_counts(wanted, said, labels).sum(0))
    return {name: round(100 * float(scores[f"micro_{name}"]), 1) for name in ("precision", "recall", "f1")}


def tuned(
    train: Sequence[Record], made: dict[str, Any], context: Context, *, epochs: int | None = None, last: int = 0
) -> dict[str, float]:
    """Strict entity scores on the test side of a model tuned on `train`; the checked records choose among its epochs.

    last: so many of the checked records are not among those that choose, but are learnt at the end (gold: {train: true}).
    """
    from burnish.tasks import predictor
    from burnish.train.tune import tune

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        inner = replace(context, scratch=folder / "scratch")
        sides = [Records.from_rows(one) for one in (train, rows_of(made["gold"][last:]), rows_of(made["test"]))]
        gold = Gold.from_rows(rows_of(made["gold"][:last])) if last else None
        if isinstance(gold, Gold):
            gold.facts = {"train": True}
        passes = GOLD_PASSES if last else "auto"
        how = {"backbone": BACKBONE, "epochs": epochs or EPOCHS, "strategy": STRATEGY, "gold_epochs": passes}
        begun = time.process_time()
        model = tune(Split(*sides), gold if isinstance(gold, Gold) else None, inner, **how)
        seconds = round(time.process_time() - begun, 1)
        checked = max(one["validation_score"] or 0.0 for one in model.info["history"]["tune"]["epochs"])
        model.save(folder / "model")
        answers = predictor.load(folder / "model").answers([{"text": row["text"]} for row in made["test"]])
    said = [[{k: s[k] for k in ("start", "end", "label")} for s in one["spans"]] for one in answers.items]
    scores = scored(said, [row["spans"] for row in made["test"]], context.task.labels)
    return {**scores, "validation_f1": round(100 * checked, 1), "seconds": seconds}


def on_test(made: dict[str, Any], context: Context, folder: Path) -> dict[str, Any]:
    """The labellers themselves on the test texts: each alone (the best flatters itself), the plain vote, and the chosen way."""
    from burnish.construct.labels.one_label import joined as joined_votes
    from burnish.construct.spans import evidence as span_evidence
    from burnish.construct.spans import form as spans
    from burnish.construct.spans import models as span_models
    from burnish.construct.spans.votes import candidates_of, units_of

    steps = [one for one in made["labellers"] if one["use"] != "existing"]
    records, gold = Records.from_rows(rows_of(made["test"], bare=True)), Gold.from_rows(rows_of(made["test"]))
    steps = [{**one, "trust": None} if "trust" in one else one for one in steps]
    labellers, table = joined_votes(votes_of(steps, records, None, context))
    mentions = spans.mentions_of(table, labellers, len(records), 0, context.task.labels)
    truth = spans.truth_of(gold, 0, context.task.labels)
    nothing = np.full(len(labellers), np.nan)
    candidates, units = candidates_of(mentions, nested=False), units_of([row["text"] for row in made["test"]], mentions)
    problem = span_models.Problem(mentions, candidates, units, truth, nothing, np.zeros(len(labellers)))
    each = [round(100 * one.f1, 1) for one in span_evidence.singles(problem, labellers)]
    best = int(np.argmax(each))
    plain = span_evidence.count(
        span_models.majority(replace(problem, truth={}))(problem), truth, len(context.task.labels)
    )
    return {
        "best_labeller": {"name": labellers[best].name, "f1": each[best]},
        "majority": {"precision": round(100 * plain.precision, 1), "recall": round(100 * plain.recall, 1), "f1": round(100 * plain.f1, 1)},
    }  # fmt: skip


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp())
    made = SETS[name](options.data, folder, options)
    (folder / "scratch").mkdir()
    context = Context(made["task"], 0, folder, folder / "scratch", options.cache, Plain(every_s=60))
    labels = made["task"].labels
    told: dict[str, Any] = {
        "set": name,
        "records": len(made["raw"]),
        "gold": len(made["gold"]),
        "test": len(made["test"]),
    }
    told |= {
        "backbone": BACKBONE,
        "epochs": EPOCHS,
        "published": made.get("published"),
        "supervision": made.get("supervision"),
    }
    how = {"strategy": STRATEGY, "epochs": EPOCHS}
    given = any(one["use"] == "existing" for one in made["labellers"])
    raw = Records.from_rows(rows_of(made["raw"], bare=not given))
    gold = Gold.from_rows(rows_of(made["gold"]))
    for arm, checked in (("gold weighs", gold), ("no gold", None)):
        if checked is None and not {"none", "blind"} & set(options.arms):
            continue
        begun = time.process_time()
        votes = votes_of(made["labellers"], raw, checked, context)
        joined = stored(aggregate(raw, votes, checked, context), folder / arm)
        row: dict[str, Any] = {"method": joined.facts["method"], "labels": quality(joined, made["truth"], labels)}
        row |= {"seconds": round(time.process_time() - begun, 1)}
        if checked is not None:
            row["methods_on_gold"] = {one["method"]: round(100 * one["accuracy"], 1) for one in joined.facts["methods"]}
            row["best_single_on_gold"] = joined.facts["best_single"]
            row["labellers"] = [
                {key: one[key] for key in ("name", "votes", "accuracy", "gold_recall", "gold_f1")} for one in joined.facts["labellers"]
            ]  # fmt: skip
        told[f"aggregated, {arm}"] = row
        print(json.dumps(row, ensure_ascii=False)[:1500], flush=True)
        if "aggregated" in options.arms and checked is not None:
            row["tuned"] = {**tuned(list(joined), made, context), **how}
            print("tuned on aggregated", row["tuned"], flush=True)
        if "last" in options.arms and checked is not None:
            part = len(made["gold"]) * 4 // 5
            told["aggregated, then four fifths of the gold"] = {
                "labels": row["labels"],
                "tuned": {**tuned(list(joined), made, context, last=part), **how},
            }
            print("gold last", told["aggregated, then four fifths of the gold"], flush=True)
        if "majority" in options.arms and checked is not None:
            plain = stored(aggregate(raw, votes, checked, context, method="majority"), folder / "plain")
            told["majority vote"] = {
                "labels": quality(plain, made["truth"], labels),
                "tuned": tuned(list(plain), made, context),
            }
            print("tuned on majority", told["majority vote"], flush=True)
        if ("self" in options.arms and checked is not None) or ("blind" in options.arms and checked is None):
            begun = time.process_time()
            last = stored(
                self_training(
                    joined, checked, context, rounds=options.rounds, precision=options.precision, backbone=BACKBONE
                ),
                folder / f"self {arm}",
            )
            row = {"rounds": last.facts["rounds"], "labels": quality(last, made["truth"], labels)}
            row["seconds"] = round(time.process_time() - begun, 1)
            if len(row["rounds"]) > 1:  # else they are the spans of the votes, and are tuned on as such
                row["tuned"] = {**tuned(list(last), made, context), **how}
            told[f"self-trained, {arm}"] = row
            print("self", json.dumps(row), flush=True)
    told["labellers on the test texts"] = on_test(made, context, folder)
    print(told["labellers on the test texts"], flush=True)
    if "distant" in options.arms and given:
        told["distant labels as they are"] = {"tuned": tuned(rows_of(made["raw"]), made, context)}
    if "gold" in options.arms:
        half = len(made["gold"]) * 4 // 5
        part = {**made, "gold": made["gold"][half:]}
        told["gold only"] = {"tuned": tuned(rows_of(made["gold"][:half]), part, context, epochs=9)}
    if "full" in options.arms and made["truth"] is not None:
        told["full supervision"] = {"tuned": tuned(rows_of(made["truth"]), made, context)}
    for name_of in ("distant labels as they are", "gold only", "full supervision"):
        print(name_of, told.get(name_of), flush=True)
    return told


def write(told: dict[str, Any], command: str) -> None:
    """Into results/construct-spans.{json,md}: figures of a set replace those that were there, arm by arm."""
    path = RESULTS.with_suffix(".json")
    held = json.loads(path.read_text("utf-8")) if path.exists() else {}
    before = held.get(told["set"], {})
    stamp = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
    told = {key: _with(before.get(key), value) for key, value in told.items()}
    commands = [*(one for one in before.get("commands", []) if one != command), command]
    held[told["set"]] = {**before, **{key: value for key, value in told.items() if value is not None}, **stamp, "commands": commands}  # fmt: skip
    path.write_text(json.dumps(held, ensure_ascii=False, indent=1) + "\n", "utf-8")
    RESULTS.with_suffix(".md").write_text(page(held), "utf-8")


def _with(before: Any, now: Any) -> Any:
    """What one arm told before, less what it tells anew."""
    return {**before, **now} if isinstance(before, dict) and isinstance(now, dict) else now


def page(held: dict[str, Any]) -> str:
    lines = ["# Taggers without training labels", "", "Strict entity F1 in percent, one seed; `label` is that of the constructed spans against hidden ones, where there are any.", ""]  # fmt: skip
    for name, told in held.items():
        lines += [f"## {name}", "", f"{told['records']:,} texts, {told['gold']:,} gold records, {told['test']:,} test records; {told['backbone']}; `{'`, `'.join(told['commands'])}`, {told['date']}", ""]  # fmt: skip
        if told.get("supervision"):
            lines += [told["supervision"], ""]
        lines += [
            "| | label P | label R | label F1 | gold F1, which chooses | test P | test R | test F1 |",
            "|---|" + "--:|" * 7,
        ]
        for arm, row in told.items():
            if isinstance(row, dict) and ("tuned" in row or row.get("labels") or row.get("rounds")):
                chooses = str((row.get("tuned") or {}).get("validation_f1", ""))
                cells = [*_cells(row.get("labels")), chooses, *_cells(row.get("tuned"))]
                method = f" ({row['method']})" if row.get("method") else ""
                method += (
                    " (no round was kept: the spans that votes made)" if len(row.get("rounds", [0, 0])) == 1 else ""
                )
                lines.append(f"| tuned on: {arm}{method} | " + " | ".join(cells) + " |")
        votes = told.get("aggregated, gold weighs") or {}
        if votes.get("methods_on_gold"):
            single = votes["best_single_on_gold"]
            figures = {
                **votes["methods_on_gold"],
                f"best single labeller ({single['name']})": round(100 * single["accuracy"], 1),
            }
            listed = ", ".join(f"{name} {figure}" for name, figure in figures.items())
            aside = [f"Joined votes on the gold records, each judged without itself: {listed}.", ""]
        else:
            aside = []
        said = told.get("labellers on the test texts") or {}
        if said:
            best = said["best_labeller"]
            lines.append(f"| rules on the test texts: best one ({best['name']}) | | | | | | | {best['f1']} |")
            lines.append(
                "| rules on the test texts: majority vote | | | | | " + " | ".join(_cells(said["majority"])) + " |"
            )
        for source, figure in (told.get("published") or {}).items():
            lines.append(f"| published: {source} | | | | | | | {figure} |")
        lines += ["", *aside]
    return "\n".join(lines)


def _cells(scores: dict[str, float] | None) -> list[str]:
    return ["" if scores is None else str(scores[key]) for key in ("precision", "recall", "f1")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "burnish")
    parser.add_argument("--names", type=Path, default=None, help="the archive of the package names 0.3.0")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--all-layers", action="store_true", help="tune all layers, in four passes")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--precision", type=float, default=0.8)
    parser.add_argument("--arms", nargs="*", default=["aggregated", "self", "majority", "distant", "gold", "full"])
    asked = parser.parse_args()
    if asked.all_layers:
        STRATEGY, EPOCHS = {"use": "full"}, 4
    more = " --all-layers" * asked.all_layers + f" --backbone {asked.backbone}" * (asked.backbone != BACKBONE)
    more += f" --rounds {asked.rounds}" * (asked.rounds != 2)
    BACKBONE = asked.backbone
    for one in asked.sets:
        command = f"python benchmarks/construct_spans.py {one} --arms {' '.join(asked.arms)}{more}"
        write(measure(one, asked), command)
