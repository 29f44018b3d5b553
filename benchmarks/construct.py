"""Weak supervision on two public rule sets: what aggregation is worth, and what a few gold records add.

    python benchmarks/construct.py --data ../shared/data/trec6-sms-lf-en [--draws 10] [--peers] [--sets sms trec]

TREC-6 (68 rules) and SMS spam (73 rules) of awasthiabhijeet/Learning-From-Rules, the rules run again as regex labellers.
Part 1: every method without gold and with the 500 validation records as gold; test score of the vote itself (records
without a vote get the commonest prediction) and of the end model, a probe on frozen MiniLM trained on covered records.
Part 2: 5, 10, 20, 50 gold records a class drawn from the validation records (fewer where it has fewer), ten draws;
the end model learns from the labels and is then continued on the gold. TREC: accuracy; SMS: F1 of spam. "rest" is the
same score on the validation records that were not drawn: TREC's official test set has another mixture of questions.
Nothing is chosen on test. Peers (crowd-kit's Dawid-Skene, snorkel's LabelModel) run on the same matrix.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.construct.labellers.words import regex
from burnish.construct.labels import evidence
from burnish.construct.labels.label_models import METHODS, Ballots, collapsed
from burnish.construct.self_training import train_rounds
from burnish.core.artifacts import Records
from burnish.core.progress import Plain, Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.nn.backbones import resolve
from burnish.nn.continuing import continued, softmax
from burnish.nn.embeddings import embed
from burnish.nn.probe import Probe

SIZES = (5, 10, 20, 50)
TREC = {
    "DESC": "DESCRIPTION",
    "ENTY": "ENTITY",
    "HUM": "HUMAN",
    "ABBR": "ABBREVIATION",
    "LOC": "LOCATION",
    "NUM": "NUMERIC",
}
Row = tuple[str, str]


@dataclass
class RuleSet:
    """A data set with the votes of its rules. Sides: train, valid, test; votes (n, m), truth (n,), vectors (n, d)."""

    name: str
    labels: tuple[str, ...]
    votes: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]

    def score(self, predicted: np.ndarray, truth: np.ndarray) -> float:
        if self.name == "trec":
            return 100 * float((predicted == truth).mean())
        hits = float(((predicted == 1) & (truth == 1)).sum())
        return 100 * 2 * hits / max(float((predicted == 1).sum() + (truth == 1).sum()), 1.0)


def read_trec(folder: Path, side: str) -> list[Row]:
    rows = []
    for line in (folder / f"{side}.txt").read_text("latin-1").splitlines():
        name, _, rest = line.partition(":")
        text = " ".join(line.split()[1:]) if side == "test" else rest
        rows.append((text.strip().lower(), TREC[name]))
    return rows


def read_sms(folder: Path, side: str) -> list[Row]:
    with (folder / f"{side}.csv").open(encoding="latin-1", newline="") as file:
        return [(row["v2"].strip().lower(), row["v1"]) for row in csv.DictReader(file)]


def load(data: Path, name: str, cache: Path) -> RuleSet:
    folder = data / name.upper()
    rules = [line.split("\t")[:2] for line in (folder / "rule.txt").read_text("latin-1").splitlines()]
    labels = tuple(sorted(TREC.values())) if name == "trec" else ("ham", "spam")
    context = Context(TaskSpec(labels=labels), 0, data, cache, cache, Silent())
    backbone = resolve("minilm", languages=["en"], progress=Plain())
    votes, truth, vectors = {}, {}, {}
    for side in ("train", "valid", "test"):
        rows = (read_trec if name == "trec" else read_sms)(folder, side)
        records = Records.from_rows(Record(text=text) for text, _ in rows)
        matrix = np.full((len(rows), len(rules)), -1)
        for j, (label, pattern) in enumerate(rules):
            made = regex(records, None, context, label=label, pattern=pattern)
            matrix[made.table["row"].to_numpy(), j] = labels.index(label)
        votes[side] = matrix
        truth[side] = np.array([labels.index(label) for _, label in rows])
        vectors[side] = embed([text for text, _ in rows], backbone, cache=cache, progress=Plain())
    middle = vectors["train"].mean(0)
    for side, found in vectors.items():
        moved = found - middle
        vectors[side] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return RuleSet(name, labels, votes, truth, vectors)


def end_model(rules: RuleSet, beliefs: np.ndarray, labelled: np.ndarray) -> Probe | None:
    if len(np.unique(beliefs[labelled].argmax(1))) < 2:
        return None
    return Probe(len(rules.labels), seed=0).fit(rules.vectors["train"][labelled], beliefs[labelled])


def vote_alone(rules: RuleSet, beliefs: np.ndarray, ballots: Ballots, rows: slice) -> float:
    predicted = beliefs.argmax(1)
    commonest = np.bincount(predicted[ballots.covered], minlength=len(rules.labels)).argmax()
    predicted = np.where(ballots.covered, predicted, commonest)
    return rules.score(predicted[rows], rules.truth["test"])


def methods_table(rules: RuleSet, peers: bool) -> list[dict[str, object]]:
    """Part 1."""
    sides = ("train", "valid", "test")
    matrix = np.vstack([rules.votes[side] for side in sides])
    n, v = len(rules.truth["train"]), len(rules.truth["valid"])
    ballots = Ballots.from_matrix(matrix, len(rules.labels))
    covered = ballots.covered[:n]
    nobody = np.full(matrix.shape[1], np.nan)
    found: list[dict[str, object]] = []

    def add(method: str, gold: int, beliefs: np.ndarray, seconds: float) -> None:
        probe = end_model(rules, beliefs[:n], covered)
        end = (
            np.zeros(len(rules.truth["test"]), dtype=int)
            if probe is None
            else probe.logits(rules.vectors["test"]).argmax(1)
        )
        found.append(
            {
                "method": method,
                "gold": gold,
                "train_covered_accuracy": 100 * float((beliefs[:n].argmax(1) == rules.truth["train"])[covered].mean()),
                "test": vote_alone(rules, beliefs, ballots, slice(n + v, None)),
                "end_model": rules.score(end, rules.truth["test"]),
                "refused": collapsed(beliefs, ballots),
                "seconds": seconds,
            }
        )

    for gold in (0, v):
        known = np.full(len(matrix), -1)
        if gold:
            known[n : n + v] = rules.truth["valid"]
        for name, method in METHODS.items():
            began = time.perf_counter()
            add(name, gold, method(ballots, known, nobody).beliefs(ballots), time.perf_counter() - began)
        judged = evidence.judge(ballots, known, nobody, methods=list(METHODS), seed=0)
        name = evidence.choose(judged, ballots)[0]
        chosen = next(row for row in reversed(found) if row["method"] == name)
        found.append({**chosen, "method": f"auto: {name}"})
    if peers:
        for name, beliefs, seconds in peer_beliefs(matrix, len(rules.labels), n):
            add(name, 0, beliefs, seconds)
    probe = Probe(len(rules.labels), seed=0).fit(rules.vectors["train"], rules.truth["train"])
    full = rules.score(probe.logits(rules.vectors["test"]).argmax(1), rules.truth["test"])
    found.append({"method": "all true labels", "gold": n, "end_model": full})
    return found


def peer_beliefs(matrix: np.ndarray, k: int, n: int) -> list[tuple[str, np.ndarray, float]]:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene
    from snorkel.labeling.model import LabelModel

    row, labeller = np.nonzero(matrix >= 0)
    began = time.perf_counter()
    said = pd.DataFrame({"task": row, "worker": labeller, "label": matrix[row, labeller]})
    probs = DawidSkene(n_iter=100).fit_predict_proba(said)
    crowd = np.full((len(matrix), k), 1 / k)
    crowd[np.ix_(probs.index.to_numpy(), probs.columns.to_numpy())] = probs.to_numpy()
    made = [("crowd-kit Dawid-Skene", crowd, time.perf_counter() - began)]
    began = time.perf_counter()
    model = LabelModel(cardinality=k, verbose=False)
    model.fit(matrix[:n], n_epochs=500, seed=0, progress_bar=False)
    made.append(("snorkel LabelModel", model.predict_proba(matrix), time.perf_counter() - began))
    return made


def few_gold(rules: RuleSet, size: int, draw: int) -> dict[str, tuple[float, float]]:
    """Part 2, one draw: way -> (test score, score on the validation records that were not drawn)."""
    k, n = len(rules.labels), len(rules.truth["train"])
    random = np.random.default_rng(draw)
    drawn = np.concatenate(
        [random.permutation(np.flatnonzero(rules.truth["valid"] == label))[:size] for label in range(k)]
    )
    rest = np.setdiff1d(np.arange(len(rules.truth["valid"])), drawn)
    vectors, truth = rules.vectors["valid"][drawn], rules.truth["valid"][drawn]
    matrix = np.vstack([rules.votes["train"], rules.votes["valid"][drawn]])
    ballots = Ballots.from_matrix(matrix, k)
    known = np.concatenate([np.full(n, -1), truth])
    nobody = np.full(matrix.shape[1], np.nan)
    covered = ballots.covered[:n]
    scores: dict[str, tuple[float, float]] = {}

    def judge(way: str, beliefs: np.ndarray, labelled: np.ndarray) -> None:
        probe = end_model(rules, beliefs, labelled)
        assert probe is not None
        shares = softmax(probe.logits(rules.vectors["train"])).mean(0)
        move = continued(probe.logits(vectors), vectors, truth, shares=shares, seed=0)
        logits = [probe.logits(rules.vectors[s]) + move(rules.vectors[s]) for s in ("test", "valid")]
        scores[way] = (
            rules.score(logits[0].argmax(1), rules.truth["test"]),
            rules.score(logits[1][rest].argmax(1), rules.truth["valid"][rest]),
        )

    probe = Probe(k, seed=0).fit(vectors, truth)
    scores["gold only"] = (
        rules.score(probe.logits(rules.vectors["test"]).argmax(1), rules.truth["test"]),
        rules.score(probe.logits(rules.vectors["valid"][rest]).argmax(1), rules.truth["valid"][rest]),
    )
    judged = evidence.judge(ballots, known, nobody, methods=list(METHODS), seed=0)
    chosen = evidence.choose(judged, ballots)[0]
    for way in dict.fromkeys(["majority", "weighted", chosen]):
        judge(f"{way} + gold", METHODS[way](ballots, known, nobody).beliefs(ballots)[:n], covered)
    scores["auto + gold"] = scores[f"{chosen} + gold"]
    beliefs = METHODS[chosen](ballots, known, nobody).beliefs(ballots)[:n]
    steps = train_rounds(
        rules.vectors["train"],
        np.where(covered[:, None], beliefs, np.nan),
        gold_vectors=vectors,
        truth=truth,
        learn_gold=True,
        rounds=3,
        precision=0.9,
        overrule=True,
        seed=0,
    )
    judge("auto + self-training + gold", steps[-1].targets, steps[-1].labelled)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec6-sms-lf-en"))
    parser.add_argument("--cache", type=Path, default=Path("runs/.cache"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/construct-rules.json"))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sets", nargs="+", default=["sms", "trec"], choices=("sms", "trec"))
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    before = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    made: dict[str, object] = {**before, "machine": platform.processor() or platform.machine(), "draws": asked.draws}
    for name in asked.sets:
        rules = load(asked.data, name, asked.cache)
        found: dict[str, object] = {"methods": methods_table(rules, asked.peers), "few_gold": {}}
        made[name] = found
        for size in SIZES:
            scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for draw in range(asked.draws):
                for way, pair in few_gold(rules, size, draw).items():
                    scores[way].append(pair)
            found["few_gold"][size] = {  # type: ignore[index]
                way: {
                    "test": [float(np.mean([p[0] for p in pairs])), float(np.std([p[0] for p in pairs]))],
                    "rest": [float(np.mean([p[1] for p in pairs])), float(np.std([p[1] for p in pairs]))],
                    "draws": len(pairs),
                }
                for way, pairs in scores.items()
            }
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            asked.out.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
            asked.out.with_suffix(".md").write_text(page(made), "utf-8")


def page(made: dict[str, object]) -> str:
    lines = ["# Labels from public rules", "", "`python benchmarks/construct.py --peers`", ""]
    for name in ("trec", "sms"):
        if name not in made:
            continue
        found: dict = made[name]  # type: ignore[assignment,type-arg]
        unit = "accuracy" if name == "trec" else "F1 of spam"
        lines += [
            f"## {name.upper()} ({unit})",
            "",
            "| method | gold | vote on test | end model | refused |",
            "|---|--:|--:|--:|---|",
        ]
        for row in found["methods"]:
            vote = f"{row['test']:.1f}" if "test" in row else ""
            lines.append(
                f"| {row['method']} | {row['gold']} | {vote} | {row['end_model']:.1f} | {row.get('refused', '')} |"
            )
        lines += ["", "| gold a class | way | test | validation, not drawn |", "|--:|---|--:|--:|"]
        for size, ways in found["few_gold"].items():
            for way, score in ways.items():
                (a, b), (c, d) = score["test"], score["rest"]
                lines.append(f"| {size} | {way} | {a:.1f} ± {b:.1f} | {c:.1f} ± {d:.1f} |")
        lines.append("")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
