"""Planted label errors on real text: how many the audit finds, and what taking them out is worth.

    python benchmarks/audit.py --data ../shared/data [--rows 4000] [--rate 0.1]

A tenth of the labels is turned at random; every check of the audit then runs on real vectors. Precision, recall and AUROC
are of the label check; "wins back" is the part of the lost accuracy (probe, official test set) that curation returns.
"""

from __future__ import annotations

import argparse
import lzma
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from burnish.core.artifacts import Records
from burnish.core.progress import Plain
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.measures.noise import label_errors
from burnish.nn.backbones import resolve
from burnish.nn.embeddings import embed
from burnish.nn.probe import Probe, out_of_sample
from burnish.quality.audit import audit
from burnish.quality.checks import Material
from burnish.quality.curate import curate
from burnish.quality.noise_labels import _chances

SETS = {
    "sst2-en": (
        "en",
        "minilm",
        "train.tsv.xz",
        "test.tsv",
        lambda line: (line.rsplit("\t", 1)[0], line.rsplit("\t", 1)[1]),
    ),
    "chnsenticorp-zh": (
        "zh",
        "e5-small-zhen",
        "train.tsv.xz",
        "test.tsv",
        lambda line: tuple(reversed(line.split("\t", 1))),
    ),
}
NAMES = ("negative", "positive")


def read(path: Path, parse: object) -> list[tuple[str, int]]:
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        pairs = [parse(line.rstrip("\n")) for line in lines if "\t" in line]  # type: ignore[operator]
    return [(text, int(label)) for text, label in pairs if label in ("0", "1")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "burnish-bench")
    args = parser.parse_args()
    for name in args.sets:
        language, backbone, train, test, parse = SETS[name]
        random = np.random.default_rng(0)
        rows = read(args.data / name / train, parse)
        rows = [rows[at] for at in sorted(random.choice(len(rows), min(args.rows, len(rows)), replace=False))]
        true = np.array([label for _, label in rows])
        wrong = random.random(len(rows)) < args.rate
        given = np.where(wrong, 1 - true, true)
        folder = resolve(backbone, languages=(language,), progress=Plain())

        began = time.process_time()
        vectors = embed([text for text, _ in rows], folder, cache=args.cache, progress=Plain())
        spent = time.process_time() - began
        print(
            f"{name}: {len(rows):,} texts; embedding {spent:.1f} CPU-s ({len(rows) / spent:,.0f} texts/CPU-s; import included)"
        )

        scratch = Path(tempfile.mkdtemp())
        context = Context(TaskSpec(labels=NAMES, languages=(language,)), 0, scratch, scratch, args.cache, Plain())
        records = Records.from_rows(
            Record(text=text, id=str(at), label=NAMES[label])
            for at, ((text, _), label) in enumerate(zip(rows, given, strict=True))
        )
        began = time.process_time()
        audited = audit(records, context, backbone=backbone)  # type: ignore[arg-type]
        table = audited.table()  # walked once: what follows starts from it
        print(f"  audit, all checks and effect: {time.process_time() - began:.1f} CPU-s")
        score, flagged = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        for at, findings in enumerate(table["findings"].to_pylist()):
            for one in findings:
                if one["check"] == "label_errors":
                    score[at], flagged[at] = one["score"], True
        facts = audited.facts["audit"]["checks"]["label_errors"]["facts"]
        print(
            f"  suspects {flagged.sum():,} of {wrong.sum():,} planted: precision {wrong[flagged].mean():.3f} recall {flagged[wrong].mean():.3f}; estimated rate {facts['rate']}"
        )
        for least in (0.7, 0.8, 0.9, 0.95):
            sure = score >= least
            if sure.any():
                print(
                    f"    score >= {least}: {sure.sum():,} suspects, precision {wrong[sure].mean():.3f}, recall {sure[wrong].mean():.3f}"
                )

        for what, chances in (
            ("probe", out_of_sample(vectors, given, num_classes=2, seed=0, calibrate=True)),
            (
                "probe and words",
                _chances(Material(table, context, near=0.8, folds=5, backbone=backbone), np.ones(len(rows), bool)),
            ),
        ):
            noise = label_errors(given, chances)
            print(
                f"  {what}: AUROC {roc_auc_score(wrong, 1 - noise.score):.3f}, precision {wrong[noise.suspect].mean():.3f}, "
                f"recall {noise.suspect[wrong].mean():.3f}; agrees with the true labels {(chances.argmax(1) == true).mean():.3f}"
            )

        told = read(args.data / name / test, parse)
        asked = embed([text for text, _ in told], folder, cache=args.cache, progress=Plain())
        answer = np.array([label for _, label in told])
        kept = {"true labels": (np.ones(len(rows), bool), true), "planted": (np.ones(len(rows), bool), given)}
        kept["without all suspects"] = (~flagged, given)
        for certain in (0.8, 0.9):
            made = Records.from_table(table)
            made.facts = audited.facts
            kept[f"curated, certain {certain}"] = (
                np.array(curate(made, context, certain=certain).column("keep")),
                given,
            )
        for what, (rows_kept, labels) in kept.items():
            probe = Probe(2, seed=0).fit(vectors[rows_kept], labels[rows_kept])
            print(
                f"    {what:24} {rows_kept.sum():6,} records, test accuracy {(probe.probabilities(asked).argmax(1) == answer).mean():.4f}"
            )
        print(
            "  effects:",
            {k: v["effect"]["accuracy"] for k, v in audited.facts["audit"]["checks"].items() if v["effect"]},
            flush=True,
        )


if __name__ == "__main__":
    main()
