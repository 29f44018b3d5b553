"""Near-duplicates planted in real texts: what is found, what is found wrongly, and megabytes per CPU-second.

    python benchmarks/duplicates.py --data ../shared/data [--limit 20000] [--thresholds 0.5 0.6 0.7 0.8]

Texts: AG News (English) and online shopping reviews (Chinese), exact duplicates removed. A tenth of the texts gets one
changed copy each, of one of five kinds. Recall: the copy is in its original's group. Wrong: a text of the corpus itself was
linked, and an independent judge (difflib's ratio, at least 0.6) finds it unlike all of its group: real corpora hold
near-duplicates of their own (--show prints the least similar).
Peers run single-threaded on the same shingles with the same bands and the same verification, all of it in Python around
their hashing; a peer that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import lzma
import random
import time
import zipfile
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from burnish.measures.duplicates import exact_duplicates, near_duplicates
from burnish.text.normalise import normalise
from burnish.text.scripts import script_table
from burnish.text.words import words

KINDS = ("case and blanks", "5% of words edited", "10% of words edited", "last sixth cut", "boilerplate added")
BOILERPLATE = {"en": " Read more at our site. All rights reserved.", "zh": "以上为用户真实评价，转载请注明。"}
MINIMUM = {"en": 60, "zh": 30}


def english_rows(data: Path, limit: int) -> tuple[list[str], list[int]]:
    with lzma.open(data / "agnews-en/test.csv.xz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))[:limit]
    return [f"{title}. {text}" for _, title, text in rows], [int(label) - 1 for label, _, _ in rows]


def english(data: Path, limit: int) -> list[str]:
    return english_rows(data, limit)[0]


def chinese(data: Path, limit: int) -> list[str]:
    with zipfile.ZipFile(data / "online-shopping-10-zh/online_shopping_10_cats.zip") as archive:
        text = archive.read("online_shopping_10_cats.csv").decode("utf-8-sig")
    rows = [row["review"] for row in csv.DictReader(io.StringIO(text))]
    random.Random(0).shuffle(rows)
    return rows[:limit]


def edited(text: str, rate: float, rng: random.Random, language: str, vocabulary: list[str]) -> str:
    """Replace, drop, double or swap `rate` of the words (characters in Chinese)."""
    blank = " " if language == "en" else ""
    tokens = text.split() if language == "en" else list(text)
    for place in sorted(rng.sample(range(len(tokens)), max(1, round(rate * len(tokens)))), reverse=True):
        action = rng.choice(("replace", "drop", "insert", "swap"))
        if action == "replace":
            tokens[place] = rng.choice(vocabulary)
        elif action == "drop":
            del tokens[place]
        elif action == "insert":
            tokens.insert(place, rng.choice(vocabulary))
        elif place + 1 < len(tokens):
            tokens[place], tokens[place + 1] = tokens[place + 1], tokens[place]
    return blank.join(tokens)


def changed(text: str, kind: int, rng: random.Random, language: str, vocabulary: list[str]) -> str:
    if kind == 0:
        return "  ".join(text.upper().split()) + "　\u200b"
    if kind in (1, 2):
        return edited(text, 0.05 * kind, rng, language, vocabulary)
    return text[: len(text) * 5 // 6] if kind == 3 else text + BOILERPLATE[language]


def planted(texts: list[str], language: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts with copies behind them, the index each copy was made from, and the kind of change."""
    rng = random.Random(1)
    texts = [texts[i] for i in np.flatnonzero(~exact_duplicates(texts).repeats)]
    vocabulary = [word for text in texts[:2000] for word in words(text)]
    fit = [i for i, text in enumerate(texts) if len(text) >= MINIMUM[language]]
    origins = rng.sample(fit, len(texts) // 10)
    copies = [changed(texts[origin], i % 5, rng, language, vocabulary) for i, origin in enumerate(origins)]
    return texts + copies, np.array(origins), np.arange(len(origins)) % 5


def shingle_set(text: str) -> set[str]:
    """The peers' shingles: the same rule as ours, one Python string at a time."""
    form, table = normalise(text), script_table()
    sizes = [3 if table[ord(character)] in (4, 5) else 5 for character in form]
    return {form[i : i + size] for i, size in enumerate(sizes) if i + size <= len(form)} or {form}


def linked(sets: list[set[str]], candidates: set[tuple[int, int]], threshold: float) -> np.ndarray:
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(len(sets)))
    for i, j in candidates:
        shared = len(sets[i] & sets[j])
        if shared >= threshold * (len(sets[i]) + len(sets[j]) - shared):
            graph.add_edge(i, j)
    label = np.arange(len(sets))
    for component in networkx.connected_components(graph):
        label[list(component)] = min(component)
    return label


def with_datasketch(texts: list[str], threshold: float) -> np.ndarray:
    from datasketch import MinHash, MinHashLSH

    sets = [shingle_set(text) for text in texts]
    lsh = MinHashLSH(num_perm=112, params=(28, 4))
    candidates = set()
    for i, one in enumerate(sets):
        sketch = MinHash(num_perm=112, seed=1)
        sketch.update_batch([shingle.encode() for shingle in one])
        candidates |= {(j, i) for j in lsh.query(sketch)}
        lsh.insert(i, sketch)
    return linked(sets, candidates, threshold)


def with_rensa(texts: list[str], threshold: float) -> np.ndarray:
    from rensa import RMinHash, RMinHashLSH

    sets = [shingle_set(text) for text in texts]
    lsh = RMinHashLSH(threshold=threshold, num_perm=112, num_bands=28)
    candidates = set()
    for i, one in enumerate(sets):
        sketch = RMinHash(num_perm=112, seed=1)
        sketch.update(list(one))
        candidates |= {(j, i) for j in lsh.query(sketch)}
        lsh.insert(i, sketch)
    return linked(sets, candidates, threshold)


def ours(texts: list[str], threshold: float) -> np.ndarray:
    return near_duplicates(texts, threshold=threshold).label


def row(
    name: str, find: Callable[[list[str], float], np.ndarray], threshold: float, language: str, data: tuple
) -> None:
    texts, origins, kinds = data
    size = sum(len(text.encode()) for text in texts) / 1e6
    began = time.process_time()
    label = find(texts, threshold)
    spent = time.process_time() - began
    base = len(texts) - len(origins)
    hit = label[base:] == label[origins]
    by_kind = "  ".join(f"{hit[kinds == kind].mean():6.3f}" for kind in range(5))
    wrong = sum(not alike(texts, label, index) for index in np.flatnonzero(label[:base] != np.arange(base)))
    wrong += int((~hit & (label[base:] != np.arange(base, len(texts)))).sum())  # in a group, but not its original's
    precision = hit.sum() / max(hit.sum() + wrong, 1)
    print(
        f"{language}  {name:12} {threshold:4.2f}  {by_kind}  {hit.mean():6.3f}  {wrong:6}  {precision:9.3f}  {size / spent:8.2f}  {len(texts) / spent:11,.0f}",
        flush=True,
    )


def alike(texts: list[str], label: np.ndarray, index: int) -> bool:
    """Judge a linked text of the corpus itself by another measure: is most of it, in order, in another of its group?"""
    one = normalise(texts[index])
    others = [normalise(texts[other]) for other in np.flatnonzero(label == label[index])[:20] if other != index]
    return max(SequenceMatcher(None, one, other, autojunk=False).ratio() for other in others) >= 0.6


def show(texts: list[str], threshold: float, base: int, count: int) -> None:
    groups = near_duplicates(texts[:base], threshold=threshold)
    order = np.argsort(groups.similarity)[:count]
    for (i, j), similarity in zip(groups.pairs[order], groups.similarity[order], strict=True):
        print(f"--- {similarity:.2f}\n{texts[i][:200]}\n{texts[j][:200]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.5, 0.6, 0.7, 0.8])
    parser.add_argument("--peer-threshold", type=float, default=0.6)
    parser.add_argument("--show", type=int, default=0, help="print so many of the least similar unplanted pairs")
    options = parser.parse_args()
    print(
        "       what         at    "
        + "  ".join(f"{name[:6]:>6}" for name in ("case", "5%", "10%", "cut", "boiler", "all"))
        + "   wrong  precision  MB/CPU-s  texts/CPU-s"
    )
    for language, read in (("en", english), ("zh", chinese)):
        data = planted(read(options.data, options.limit), language)
        ours(data[0][:200], 0.6)  # imports and tables are no part of the rate
        for threshold in options.thresholds:
            row("burnish", ours, threshold, language, data)
        for name, find in (("rensa", with_rensa), ("datasketch", with_datasketch)):
            try:
                row(name, find, options.peer_threshold, language, data)
            except ImportError as error:
                print(f"{language}  {name:12} skipped: {error}")
        if options.show:
            show(data[0], options.thresholds[0], len(data[0]) - len(data[1]), options.show)


if __name__ == "__main__":
    main()
