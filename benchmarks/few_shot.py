"""A few labels a class: burnish beside SetFit, a frozen probe, prompts and TF-IDF, on the same draws and the same encoder.

    python benchmarks/few_shot.py --sets agnews trec sst2 thucnews --shots 8 --seeds 5
    python benchmarks/few_shot.py --sets agnews thucnews --shots 64 --seeds 5 --setfit-iterations 5

probe          frozen encoder, logistic regression on its mean-pooled vectors
contrastive    `strategy: contrastive` of burnish; cosine, supervised: the same with this `loss`
setfit         the library, its defaults but for the number of pairs a text (--setfit-iterations, its paper has 20)
full           `strategy: full` of burnish with auto settings
zero_shot      `task.pattern` with SmolLM2, nothing learnt; prompt: the same, learnt from the few (English)
tfidf          TF-IDF + logistic regression
Seconds are CPU-seconds of this process from loaded weights to a model, without judging. results/few-shot.{json,md}
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[2] / "shared" / "data"
PATTERNS = {
    "agnews": ("{text} This text is about {word}", {"Sports": "sports", "Business": "business", "World": "politics", "Sci/Tech": "technology"}),
    "sst2": ("{text} It was {word}", {"negative": ["terrible", "bad"], "positive": ["great", "good"]}),
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """labels; few: of a class, for each draw; test."""

    name: str
    language: str
    labels: list[str]
    pool: list[tuple[str, str]]
    test: list[tuple[str, str]]

    def draw(self, shots: int, seed: int) -> tuple[list[str], np.ndarray]:
        """`shots` texts of each class, and their classes."""
        rows = list(self.pool)
        random.Random(seed).shuffle(rows)
        found = [
            (text, at) for at, label in enumerate(self.labels) for text, _ in [r for r in rows if r[1] == label][:shots]
        ]
        return [text for text, _ in found], np.array([at for _, at in found])

    @property
    def asked(self) -> tuple[list[str], np.ndarray]:
        return [text for text, _ in self.test], np.array([self.labels.index(label) for _, label in self.test])


def read(name: str, limit: int) -> Task:
    """A set; of AG News the test file is at hand alone, so its first half is the pool and its second half judges."""
    if name == "agnews":
        labels = (SHARED / "agnews-en/classes.txt").read_text("utf-8").split("\n")[:4]
        with lzma.open(SHARED / "agnews-en/test.csv.xz", "rt", encoding="utf-8") as file:
            rows = [
                (f"{title}. {text}".replace("\\", " "), labels[int(at) - 1]) for at, title, text in csv.reader(file)
            ]
        half = len(rows) // 2
        pool, test = rows[:half], rows[half:]
    elif name == "trec":
        from construct import TREC, read_trec

        folder, labels = SHARED / "trec6-sms-lf-en/TREC", sorted(TREC.values())
        pool, test = read_trec(folder, "train"), read_trec(folder, "test")
    else:
        import sets_en
        import sets_zh

        readers = {**sets_en.READERS, **sets_zh.READERS}
        sides = readers[name if name in readers else f"{name}-supervised"](SHARED)
        pool, test = ([(str(row["text"]), str(row["label"])) for row in side] for side in (sides.train, sides.test))
        labels = sorted({label for _, label in pool})
    random.Random(0).shuffle(test)
    language = "zh" if any("\u4e00" <= char <= "\u9fff" for char in pool[0][0]) else "en"
    return Task(name, language, labels, pool, test[:limit])


def folder_of(language: str) -> Path:
    from burnish.core.progress import Silent
    from burnish.nn.backbones import resolve

    return resolve("auto", languages=(language,), progress=Silent())


def ours(task: Task, texts: list[str], targets: np.ndarray, seed: int, strategy: Any) -> tuple[float, float]:
    """(accuracy, CPU-seconds) of a strategy of burnish; "probe" is the frozen encoder under its logistic regression."""
    import torch
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import contrastive, models
    from burnish.nn.batches import batches_of, reading_order
    from burnish.nn.embeddings import about
    from burnish.nn.examples import encode
    from burnish.nn.loop import fit
    from burnish.nn.models import Head
    from burnish.nn.predict import predict_logits
    from burnish.nn.strategies.base import strategies
    from burnish.nn.training import Training

    folder = folder_of(task.language)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train = encode(texts, tokenizer, max_length=256).with_targets(targets)
    model: Any = models.build(folder, Head("sequence", tuple(task.labels)), seed=seed)
    began = time.process_time()
    if about(folder).get("centred"):  # as train.sides does
        with torch.no_grad():
            order = reading_order(train.lengths, batch_tokens=4096)
            means = [
                model.pooled(b.ids_BL, b.mask_BL) for b in batches_of(train, order, pad_token=tokenizer.pad_token_id)
            ]
            model.centre(torch.cat(means).mean(0))
    if strategy == "probe":
        contrastive.settle_head(model.eval(), train, seed=seed)
    elif strategy == "full":
        fit(model, train, None, settings=Training(), scratch=None, progress=Silent(), seed=seed)
    else:
        (part,) = strategies.open(strategy)
        part.teach(model, train, settings=Training(), seed=seed, scratch=None, progress=Silent())
    seconds = time.process_time() - began
    asked, right = task.asked
    found = predict_logits(model, encode(asked, tokenizer, max_length=256)).argmax(1)
    return float((found == right).mean()), seconds


def setfit(task: Task, texts: list[str], targets: np.ndarray, seed: int, iterations: int) -> tuple[float, float]:
    import logging
    import warnings

    import datasets
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    part = Transformer(str(folder_of(task.language)), max_seq_length=256)
    body = SentenceTransformer(modules=[part, Pooling(part.get_word_embedding_dimension())], device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
    began = time.process_time()
    arguments = TrainingArguments(
        batch_size=16, num_epochs=1, num_iterations=iterations, seed=seed, report_to="none", save_strategy="no"
    )
    rows = datasets.Dataset.from_dict({"text": texts, "label": targets.tolist()})
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    seconds = time.process_time() - began
    asked, right = task.asked
    return float((np.asarray(model.predict(asked, show_progress_bar=False)) == right).mean()), seconds


def prompted(task: Task, texts: list[str], targets: np.ndarray, seed: int, learn: bool) -> tuple[float, float]:
    """By `task.pattern` with SmolLM2: as it is, or learnt with LoRA in eight passes."""
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.core.stage import TaskSpec
    from burnish.core.tasktypes import open_task
    from burnish.nn import models
    from burnish.nn.backbones import resolve
    from burnish.nn.loop import fit
    from burnish.nn.predict import predict_logits
    from burnish.nn.strategies.base import strategies
    from burnish.nn.training import Training

    text, words = PATTERNS[task.name]
    spec = TaskSpec(
        "classification", tuple(task.labels), {}, (task.language,), {"pattern": {"text": text, "words": words}}
    )
    asking = open_task(spec)
    folder = resolve("smollm2", languages=("en",), progress=Silent())
    tokenizer = asking.tokenizer(AutoTokenizer.from_pretrained(folder))
    model = models.build(folder, asking.head(), seed=seed)
    began = time.process_time()
    if learn:
        train = asking.encode([{"text": one} for one in texts], tokenizer, max_length=256).with_targets(targets)
        parts = strategies.open("lora")
        for one in parts:
            one.place(model, seed=seed)
        settings = Training(epochs=8, learning_rate=5e-4)
        fit(model, train, None, settings=settings, scratch=None, progress=Silent(), seed=seed, strategies=parts)
    seconds = time.process_time() - began
    asked, right = task.asked
    model.eval()
    found = predict_logits(model, asking.encode([{"text": one} for one in asked], tokenizer, max_length=256)).argmax(1)
    return float((found == right).mean()), seconds


def tfidf(task: Task, texts: list[str], targets: np.ndarray, seed: int) -> tuple[float, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    began = time.process_time()
    how: dict[str, Any] = (
        {"analyzer": "char", "ngram_range": (1, 2)} if task.language == "zh" else {"ngram_range": (1, 2)}
    )
    words = TfidfVectorizer(sublinear_tf=True, **how)
    model = LogisticRegression(max_iter=1000, C=10).fit(words.fit_transform(texts), targets)
    seconds = time.process_time() - began
    asked, right = task.asked
    return float((model.predict(words.transform(asked)) == right).mean()), seconds


ENTRANTS: dict[str, Callable[..., tuple[float, float]]] = {
    "tfidf": lambda task, texts, targets, seed, _: tfidf(task, texts, targets, seed),
    "probe": lambda task, texts, targets, seed, _: ours(task, texts, targets, seed, "probe"),
    "contrastive": lambda task, texts, targets, seed, _: ours(task, texts, targets, seed, "contrastive"),
    **{
        loss: lambda task, texts, targets, seed, _, loss=loss: ours(
            task, texts, targets, seed, {"use": "contrastive", "loss": loss}
        )
        for loss in ("cosine", "supervised")
    },
    "full": lambda task, texts, targets, seed, _: ours(task, texts, targets, seed, "full"),
    "setfit": setfit,
    "zero_shot": lambda task, texts, targets, seed, _: prompted(task, texts, targets, seed, False),
    "prompt": lambda task, texts, targets, seed, _: prompted(task, texts, targets, seed, True),
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["agnews", "thucnews"])
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", type=int, default=1000, help="texts that judge")
    parser.add_argument("--setfit-iterations", type=int, default=20)
    parser.add_argument(
        "--entrants", nargs="+", default=["tfidf", "probe", "contrastive", "full", "setfit"], choices=ENTRANTS
    )
    given = parser.parse_args(arguments)
    command = "python benchmarks/few_shot.py " + " ".join(arguments)
    path = RESULTS / "few-shot.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    for name in given.sets:
        task = read(name, given.test)
        for entrant in given.entrants:
            if entrant in ("zero_shot", "prompt") and name not in PATTERNS:
                continue
            found = []
            for seed in range(1 if entrant == "zero_shot" else given.seeds):
                texts, targets = task.draw(given.shots, seed)
                found.append(ENTRANTS[entrant](task, texts, targets, seed, given.setfit_iterations))
                print(
                    name, given.shots, entrant, seed, [round(one, 3) for one in found[-1]], file=sys.stderr, flush=True
                )
            row = {"set": name, "shots": given.shots, "entrant": entrant, "test": len(task.test), "command": command}
            row |= {"accuracy": [one for one, _ in found], "cpu_seconds": [one for _, one in found]}
            rows = [
                one for one in rows if [one[k] for k in ("set", "shots", "entrant")] != [name, given.shots, entrant]
            ]
            rows.append(row)
            path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (RESULTS / "few-shot.md").write_text(table(rows), "utf-8")


def table(rows: Sequence[dict[str, Any]]) -> str:
    told = (__doc__ or "").strip().splitlines()[5:-1]
    lines = ["# A few labels a class", "", "```text", *told, "```", ""]
    lines += ["Accuracy in % over the draws, mean ± standard deviation.", ""]
    lines += [
        "| set | labels a class | entrant | accuracy | draws | CPU-s | test texts | command |",
        "|---|--:|---|--:|--:|--:|--:|---|",
    ]
    for row in sorted(rows, key=lambda one: (one["set"], one["shots"], -np.mean(one["accuracy"]))):
        points = 100 * np.array(row["accuracy"])
        spread = f" ± {points.std(ddof=1):.1f}" if len(points) > 1 else ""
        lines.append(
            f"| {row['set']} | {row['shots']} | {row['entrant']} | {points.mean():.1f}{spread} | {len(points)} | "
            f"{np.mean(row['cpu_seconds']):.0f} | {row['test']:,} | `{row['command']}` |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
