# ruff: noqa: E402, B023 - threads are set before numpy is loaded; every job is run before its loop goes on
"""Speed of data quality on one real corpus in two languages, in one run: megabytes per CPU-second beside its peers.

    python benchmarks/quality.py --data ../shared/data [--peers PYTHON] [--megabytes 6] [--near] [--out benchmarks/results]

Corpus: BBC articles and AG News (English), Wikipedia articles and shopping reviews (Chinese), exact duplicates removed;
a tenth of the texts of 200 bytes or more gets one changed copy: 5% of words edited, sentences shuffled, boilerplate
around it, cut to two thirds. Recall: the copy is in its original's group. Precision: of all texts that were linked, those
with a partner in their group that shares half of their shingles, or four fifths of the smaller set, judged on exact sets.
CPU seconds of this process and its children, imports left out for libraries in this process; wall time says nothing on a
shared machine. --peers: an interpreter that has datatrove (its start, 2 to 4 CPU-seconds, is taken off).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import random
import re
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import duplicates as planted_small
import numpy as np
import pyarrow as pa

from burnish.core.records import conform
from burnish.measures.duplicates import exact_duplicates, near_duplicates
from burnish.measures.duplicates_on_disk import near_duplicates_on_disk
from burnish.measures.hygiene import Limits
from burnish.quality.clean import cleaned
from burnish.text.normalise import normalised
from burnish.text.words import words

KINDS = ("5% edited", "sentences shuffled", "boilerplate", "cut to two thirds")
AROUND = {
    "en": (
        "Share this page. Sign in to read more stories like this. ",
        " Read more at our site. All rights reserved. Follow us.",
    ),
    "zh": ("点击上方蓝字关注我们，获取更多内容。", "以上内容来自网络，版权归原作者所有，转载请注明出处。"),
}
THRESHOLD = 0.6


def english(data: Path, megabytes: float) -> list[str]:
    texts = planted_small.english(data, 100_000)
    with tarfile.open(fileobj=lzma.open(data / "bbc-news-en/bbc_news_summary.tar.xz")) as archive:
        for member in archive:
            if "News Articles" in member.name and (file := archive.extractfile(member)):
                texts.append(file.read().decode("utf-8", "replace"))
    random.Random(3).shuffle(texts)
    return upto(texts, megabytes)


def chinese(data: Path, megabytes: float) -> list[str]:
    texts = planted_small.chinese(data, 15_000)
    with tarfile.open(fileobj=lzma.open(data / "zhwiki-part-zh/zhwiki_part1.tar.xz")) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)):
                texts += re.findall(r"<doc [^>]*>\n(.*?)\n</doc>", file.read().decode("utf-8"), re.DOTALL)
            if sum(map(len, texts)) > megabytes * 1e6:
                break
    random.Random(4).shuffle(texts)
    return upto(texts, megabytes)


def upto(texts: list[str], megabytes: float) -> list[str]:
    sizes = np.cumsum([len(text.encode()) for text in texts])
    return texts[: int(np.searchsorted(sizes, megabytes * 1e6))]


def planted(texts: list[str], language: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts with copies behind them, what each copy was made of, and its kind."""
    rng = random.Random(5)
    texts = [texts[row] for row in np.flatnonzero(~exact_duplicates(texts).repeats)]
    vocabulary = [word for text in texts[:2000] for word in words(text)]
    fit = [row for row, text in enumerate(texts) if len(text.encode()) >= 200]
    origins = rng.sample(fit, len(fit) // 10)
    copies = [copied(texts[origin], number % 4, rng, language, vocabulary) for number, origin in enumerate(origins)]
    return texts + copies, np.array(origins), np.arange(len(origins)) % 4


def copied(text: str, kind: int, rng: random.Random, language: str, vocabulary: list[str]) -> str:
    if kind == 0:
        return planted_small.edited(text, 0.05, rng, language, vocabulary)
    if kind == 1:
        sentences = re.findall(r"[^.!?。！？\n]+[.!?。！？\n]*\s*", text)
        rng.shuffle(sentences)
        return "".join(sentences)
    before, behind = AROUND[language]
    return before + text + behind if kind == 2 else text[: len(text) * 2 // 3]


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def clocked(job: Callable[[], Any]) -> tuple[Any, float, float]:
    began, wall = cpu(), time.perf_counter()
    made = job()
    return made, cpu() - began, time.perf_counter() - wall


def precision(texts: list[str], label: np.ndarray) -> float:
    """The share of linked texts that a judge on exact sets finds alike to another of their group."""
    linked = np.flatnonzero(np.bincount(label, minlength=len(label))[label] > 1)
    rng = random.Random(6)
    asked = rng.sample(linked.tolist(), min(400, len(linked)))
    groups: dict[int, list[int]] = {}
    for row in linked.tolist():
        groups.setdefault(int(label[row]), []).append(row)
    right = 0
    for row in asked:
        own = planted_small.shingle_set(texts[row])
        for other in [one for one in groups[int(label[row])] if one != row][:30]:
            its = planted_small.shingle_set(texts[other])
            shared = len(own & its)
            if shared >= 0.5 * len(own | its) or shared >= 0.8 * min(len(own), len(its)):
                right += 1
                break
    return right / max(len(asked), 1)


def near_row(
    name: str, language: str, find: Callable[[], np.ndarray], data: tuple[Any, ...], start: float = 0.0
) -> dict[str, Any]:
    texts, origins, kinds = data
    size = sum(len(text.encode()) for text in texts) / 1e6
    label, spent, wall = clocked(find)
    base = len(texts) - len(origins)
    hit = label[base:] == label[origins]
    row = {
        "task": "near-duplicates", "name": name, "language": language, "megabytes": size, "texts": len(texts), "cpu_s": spent - start,
        "wall_s": wall, "mb_per_cpu_s": size / (spent - start), "recall": float(hit.mean()),
        "recall_by_kind": {kind: float(hit[kinds == at].mean()) for at, kind in enumerate(KINDS)},
        "precision": precision(texts, label),
    }  # fmt: skip
    if name == "datatrove":  # it says what goes and not with what: what it links wrongly cannot be told
        del row["precision"]
    print(json.dumps(row), flush=True)
    return row


def on_disk(texts: list[str]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        batches = (texts[at : at + 8192] for at in range(0, len(texts), 8192))
        return near_duplicates_on_disk(batches, Path(folder), threshold=THRESHOLD).label


def with_datatrove(python: str, what: str, texts: list[str], language: str) -> set[int]:
    """The places of the texts that stay."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        lines = (json.dumps({"text": text, "id": str(row)}, ensure_ascii=False) for row, text in enumerate(texts))
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (work := Path(folder) / "work").mkdir()
        script = Path(__file__).with_name("quality_datatrove.py")
        command = [python, str(script), what, str(source), str(work), {"en": "eng", "zh": "cmn_Hani"}[language]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-400:])
        return set(map(int, json.loads((work / "kept.json").read_text("utf-8"))))


def datatrove_label(python: str, texts: list[str], origins: np.ndarray, language: str) -> np.ndarray:
    """It says what stays, not why: a copy that went, or whose original went, counts as found; all others stand alone."""
    kept = with_datatrove(python, "near", texts, language)
    label = np.arange(len(texts))
    base = len(texts) - len(origins)
    for at, origin in enumerate(origins.tolist()):
        if base + at not in kept or origin not in kept:
            label[base + at] = label[origin]
    return label


def limit(texts: list[str]) -> None:
    """Read the bytes and hash them: what nobody can be faster than."""
    for text in texts:
        hashlib.blake2b(text.encode(), digest_size=8).digest()


def clean_row(name: str, language: str, job: Callable[[], int], texts: list[str], start: float = 0.0) -> dict[str, Any]:
    size = sum(len(text.encode()) for text in texts) / 1e6
    kept, spent, wall = clocked(job)
    row = {
        "task": "clean and filter", "name": name, "language": language, "megabytes": size, "texts": len(texts),
        "cpu_s": spent - start, "wall_s": wall, "mb_per_cpu_s": size / (spent - start), "kept": kept / len(texts),
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    return row


def ours_clean(table: pa.Table) -> int:
    limits = Limits(languages=("en", "zh"))
    parts = (cleaned(table.slice(at, 8192), limits=limits) for at in range(0, len(table), 8192))
    return sum(counts["records"] - counts["aside"] for _, counts, _ in parts)


def attempt(rows: list[dict[str, Any]], name: str, job: Callable[[], dict[str, Any]]) -> None:
    try:
        rows.append(job())
    except (ImportError, RuntimeError, FileNotFoundError) as error:
        print(f"{name} left out: {error}", file=sys.stderr)


def label_errors(data: Path) -> list[dict[str, Any]]:
    """Wrong labels planted in 10% of AG News, the same out-of-sample probabilities: cleanlab's ranking and ours."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    from burnish.measures.doubt import doubt

    texts, labels = planted_small.english_rows(data, 4000)
    true = np.array(labels)
    rng = np.random.default_rng(0)
    given = true.copy()
    wrong = rng.choice(len(true), len(true) // 10, replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, 4, len(wrong))) % 4
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    probabilities = cross_val_predict(
        LogisticRegression(C=10, max_iter=200), vectors, given, cv=5, method="predict_proba"
    )
    planted_here = np.isin(np.arange(len(true)), wrong)
    rows = []

    def row(name: str, find: Callable[[], np.ndarray]) -> dict[str, Any]:
        score, spent, wall = clocked(find)
        order = np.argsort(-score, kind="stable")
        recalls = np.cumsum(planted_here[order]) / planted_here.sum()
        upto_here = int(np.searchsorted(recalls, 0.7)) + 1
        made = {
            "task": "label errors", "name": name, "language": "en", "texts": len(texts), "cpu_s": spent, "wall_s": wall,
            "records_per_cpu_s": len(texts) / max(spent, 1e-9), "recall": 0.7, "precision": float(planted_here[order[:upto_here]].mean()),
        }  # fmt: skip
        print(json.dumps(made), flush=True)
        return made

    def cleanlab_() -> np.ndarray:
        from cleanlab.rank import get_label_quality_scores

        return 1 - get_label_quality_scores(given, probabilities)

    attempt(rows, "cleanlab", lambda: (cleanlab_(), row("cleanlab", cleanlab_))[1])
    attempt(rows, "burnish", lambda: row("burnish", lambda: doubt(given, [np.log(probabilities)]).wrong))
    return rows


def limit_row(task: str, language: str, job: Callable[[], Any], texts: list[str]) -> dict[str, Any]:
    _, spent, _ = clocked(job)
    size = sum(len(text.encode()) for text in texts) / 1e6
    row = {
        "task": task, "name": "python, polars", "language": language, "megabytes": size, "cpu_s": spent, "mb_per_cpu_s": size / spent,
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    return row


def ours_near(language: str, data: tuple[Any, ...]) -> list[dict[str, Any]]:
    texts = data[0]
    near_duplicates(texts[:300]), on_disk(texts[:300])  # imports and tables are no part of the rate
    return [
        near_row("burnish", language, lambda: near_duplicates(texts, threshold=THRESHOLD).label, data),
        near_row("burnish, on disk", language, lambda: on_disk(texts), data),
    ]


def near_again(options: argparse.Namespace) -> None:
    """Measure burnish's near-duplicates and normalising alone and put them in the place of their rows in --out."""
    again = []
    for language, read in (("en", english), ("zh", chinese)):
        data = planted(read(options.data, options.megabytes), language)
        again += ours_near(language, data)
        again.append(limit_row("limit: normalise", language, partial(normalised, data[0]), data[0]))
    if options.out:
        stored = json.loads((options.out / "quality-speed.json").read_text("utf-8"))
        new = {(row["task"], row["name"], row["language"]): row for row in again}
        rows = [new.get((row["task"], row["name"], row["language"]), row) for row in stored["rows"]]
        command = f"python benchmarks/quality.py --data DATA --megabytes {options.megabytes:g} --near"
        write(options.out, rows, stored["command"], command)


def write(out: Path, rows: list[dict[str, Any]], command: str, again: str = "") -> None:
    stored = {"command": command} | ({"again": again} if again else {}) | {"rows": rows}
    (out / "quality-speed.json").write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "quality-speed.md").write_text(page(rows, command, again), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", default="", help="an interpreter that has datatrove")
    parser.add_argument("--megabytes", type=float, default=5.0, help="of each language")
    parser.add_argument("--peer-megabytes", type=float, default=0.4, help="of each language, for the peers")
    parser.add_argument("--near", action="store_true", help="only burnish's near-duplicates; other rows of --out stay")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.near:
        return near_again(options)
    rows: list[dict[str, Any]] = []
    for language, read in (("en", english), ("zh", chinese)):
        data = planted(read(options.data, options.megabytes), language)
        texts = data[0]
        table = conform(pa.table({"text": texts}))
        ours_clean(table.slice(0, 300))  # imports and tables are no part of the rate
        rows += ours_near(language, data)
        few = planted(read(options.data, options.peer_megabytes), language)
        for name, find in (("rensa", planted_small.with_rensa), ("datasketch", planted_small.with_datasketch)):
            attempt(
                rows,
                name,
                lambda: near_row(
                    f"{name}, same bands and verification", language, lambda: find(few[0], THRESHOLD), few
                ),
            )
        rows.append(clean_row("burnish", language, lambda: ours_clean(table), texts))
        if options.peers:
            idle = clocked(lambda: with_datatrove(options.peers, "clean", few[0][:3], language))[1]
            attempt(
                rows,
                "datatrove",
                lambda: clean_row(
                    "datatrove",
                    language,
                    lambda: len(with_datatrove(options.peers, "clean", few[0], language)),
                    few[0],
                    idle,
                ),
            )
            idle = clocked(lambda: with_datatrove(options.peers, "near", few[0][:3], language))[1]
            attempt(
                rows,
                "datatrove",
                lambda: near_row(
                    "datatrove", language, lambda: datatrove_label(options.peers, few[0], few[1], language), few, idle
                ),
            )
        for name, job in (
            ("limit: hash the bytes", lambda: limit(texts)),
            ("limit: normalise", lambda: normalised(texts)),
        ):
            rows.append(limit_row(name, language, job, texts))
    rows += label_errors(options.data)
    if options.out:
        command = f"python benchmarks/quality.py --data DATA --peers PYTHON --megabytes {options.megabytes:g} --peer-megabytes {options.peer_megabytes:g}"
        write(options.out, rows, command)


def page(rows: list[dict[str, Any]], command: str, again: str = "") -> str:
    later = (
        f" Rows of burnish's near-duplicates and of normalising: measured again by `{again}`, the others stand."
        if again
        else ""
    )
    lines = [
        "# Speed of data quality", "", f"`{command}`: one run, one thread. Recall and precision on planted copies and labels (see the script).{later}", "",
        "| task | what | language | MB | MB per CPU-s | CPU-s | recall | precision | kept |", "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip

    def said(row: dict[str, Any], name: str, form: str) -> str:
        return format(row[name], form) if name in row else ""

    for row in rows:
        cells = [
            row["task"],
            row["name"],
            row["language"],
            said(row, "megabytes", ".1f"),
            said(row, "mb_per_cpu_s", ".2f"),
        ]
        cells += [
            said(row, "cpu_s", ".2f"),
            said(row, "recall", ".3f"),
            said(row, "precision", ".3f"),
            said(row, "kept", ".3f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Recall by kind of change:",
        "",
        "| what | language | " + " | ".join(KINDS) + " |",
        "|---|---|" + "--:|" * len(KINDS),
    ]
    for row in rows:
        if "recall_by_kind" in row:
            lines.append(
                f"| {row['name']} | {row['language']} | "
                + " | ".join(f"{row['recall_by_kind'][kind]:.3f}" for kind in KINDS)
                + " |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
