"""Influence in closed form against leaving records out for real, on frozen vectors of SST-2 and of THUCNews titles.

    python benchmarks/influence.py --data ../shared/data

TRAIN training records, ASKED wrong answers of the probe on test records. single: each training record left out in turn, the
probe fitted anew; Spearman's correlation of foreseen and real change of the wrong margin, per question, mean and tenth
percentile. groups: 40 draws of 30 records left out together, all questions. A probe that stops at a tolerance is noisy where
a single record hardly matters, so `top`: how often the record that pulled hardest is among the real first five.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import sets_en
import sets_zh
from scipy.stats import spearmanr
from sets import by_content

from burnish.core.progress import Silent
from burnish.nn.backbones import resolve
from burnish.nn.embeddings import embed
from burnish.nn.influence import Influence
from burnish.nn.probe import Probe

TRAIN, ASKED = 300, 25
SETS = {"sst2": (sets_en.sst2, "en"), "thucnews": (sets_zh.thucnews, "zh")}


def measured(name: str, data: Path) -> dict[str, Any]:
    read, language = SETS[name]
    found = read(data)
    folder = resolve("auto", languages=(language,), progress=Silent())
    cache = Path(tempfile.gettempdir()) / "burnish-planted"
    cache.mkdir(exist_ok=True)
    names = sorted({row["label"] for row in found.train})
    sides = []
    for rows, most in ((found.train, TRAIN), (found.test, 500)):
        some = sorted(rows, key=lambda row: by_content(row["text"]))[:most]
        vectors = embed([row["text"] for row in some], folder, cache=cache, progress=Silent())
        sides.append((vectors, np.array([names.index(row["label"]) for row in some])))
    (vectors, targets), (others, truth) = sides
    probe = Probe(len(names), seed=0).fit(vectors, targets)
    answers = probe.logits(others).argmax(1)
    wrong = np.flatnonzero(answers != truth)[:ASKED]
    asked, said, wanted = others[wrong], answers[wrong], truth[wrong]
    began = time.process_time()
    influence = Influence(probe, vectors, targets)
    pulls = influence.pulls(asked, said, wanted)
    spent, at = time.process_time() - began, np.arange(len(wrong))

    def without(rest: np.ndarray) -> np.ndarray:
        fitted = Probe(len(names), seed=0, l2=probe.chosen_l2).fit(vectors[rest], targets[rest]).logits(asked)
        margin: np.ndarray = fitted[at, said] - fitted[at, wanted]
        return margin

    whole = without(np.arange(len(vectors)))
    began = time.process_time()
    real = np.stack([whole - without(np.delete(np.arange(len(vectors)), row)) for row in range(len(vectors))], axis=1)
    again = time.process_time() - began
    ranks = [spearmanr(pulls[one], real[one]).statistic for one in at]
    top = [int(np.argmax(pulls[one])) in np.argsort(-real[one])[:5] for one in at]
    draw, foreseen, happened = np.random.default_rng(0), [], []
    for _ in range(40):
        out = draw.choice(len(vectors), 30, replace=False)
        foreseen.append(pulls[:, out].sum(1))
        happened.append(whole - without(np.setdiff1d(np.arange(len(vectors)), out)))
    return {
        "set": name, "train": len(vectors), "asked": len(wrong), "exact": influence.exact,
        "single, mean": round(float(np.mean(ranks)), 3), "single, tenth percentile": round(float(np.quantile(ranks, 0.1)), 3),
        "top": round(float(np.mean(top)), 3), "groups": round(float(spearmanr(np.ravel(foreseen), np.ravel(happened)).statistic), 3),
        "seconds": round(spent, 2), "seconds of leaving out": round(again, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for name in SETS:
        rows.append(measured(name, options.data))
        print(json.dumps(rows[-1]), flush=True)
    path = Path(__file__).parent / "results" / "influence.json"
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
