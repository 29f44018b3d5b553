"""Planted label errors: precision and recall of ours and of cleanlab on the same out-of-sample probabilities.

    python benchmarks/label_errors.py --data ../shared/data

A tenth of the labels is replaced by another class at random. Probabilities: TF-IDF and logistic regression, 5 folds.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import zipfile
from pathlib import Path

import numpy as np
from duplicates import english_rows
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from burnish.measures.noise import label_errors
from burnish.text.words import terms


def shopping(data: Path, field: str, limit: int) -> tuple[list[str], np.ndarray]:
    with zipfile.ZipFile(data / "online-shopping-10-zh/online_shopping_10_cats.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("online_shopping_10_cats.csv").decode("utf-8-sig"))))
    order = np.random.default_rng(0).permutation(len(rows))[:limit]
    labels = np.unique([rows[i][field] for i in order], return_inverse=True)[1]
    return [rows[i]["review"] for i in order], labels


def show(name: str, truth: np.ndarray, suspect: np.ndarray, spent_s: float, note: str = "") -> None:
    hit = (suspect & truth).sum()
    precision, recall = hit / max(suspect.sum(), 1), hit / truth.sum()
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(
        f"  {name:34} precision {precision:.3f}  recall {recall:.3f}  f1 {f1:.3f}  {spent_s * 1000:7.0f} CPU-ms  {note}",
        flush=True,
    )


def compare(name: str, texts: list[str], labels: np.ndarray, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(len(labels)) < rate
    classes = labels.max() + 1
    noisy = np.where(truth, (labels + rng.integers(1, classes, len(labels))) % classes, labels)
    model = make_pipeline(
        TfidfVectorizer(analyzer=terms, min_df=2, sublinear_tf=True), LogisticRegression(max_iter=300)
    )
    probabilities = cross_val_predict(model, texts, noisy, cv=5, method="predict_proba")
    print(
        f"{name}: {len(texts):,} texts, {classes} classes, {truth.mean():.3f} wrong, accuracy {(probabilities.argmax(1) == labels).mean():.3f}"
    )
    for prune in ("noise_rate", "class", "both", "confident"):
        began = time.process_time()
        noise = label_errors(noisy, probabilities, prune=prune)
        rank = roc_auc_score(truth, -noise.score)
        spent = time.process_time() - began
        show(
            f"burnish {prune}",
            truth,
            noise.suspect,
            spent,
            f"AUROC {rank:.3f}  rate {noise.rate.value:.3f} [{noise.rate.low:.3f}, {noise.rate.high:.3f}]",
        )
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        print("  cleanlab: skipped, not installed")
        return
    rank = roc_auc_score(truth, -get_label_quality_scores(noisy, probabilities, method="normalized_margin"))
    for prune in ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning"):
        began = time.process_time()
        suspect = find_label_issues(noisy, probabilities, filter_by=prune, n_jobs=1)
        show(f"cleanlab {prune}", truth, suspect, time.process_time() - began, f"AUROC {rank:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.1)
    options = parser.parse_args()
    texts, labels = english_rows(options.data, options.limit)
    compare("AG News, topic", texts, np.array(labels), options.rate, 0)
    compare("shopping, category", *shopping(options.data, "cat", options.limit), options.rate, 0)
    compare("shopping, sentiment", *shopping(options.data, "label", options.limit), options.rate, 0)


if __name__ == "__main__":
    main()
